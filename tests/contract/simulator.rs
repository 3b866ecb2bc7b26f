//! Owns the meeting of the relay and the carrier simulator: what one says, the other understands.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{Clock, SystemClock};
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::shipped::shipped_plan;
use hikagen::config::{
    Answers, Login, Mechanism, Proof, RelayLimits, RelaySettings, RetrySettings, Secret, Timeouts, TlsMode, Uncertain,
    Warmup,
};
use hikagen::core::names::{BucketName, GroupName, RelayName};
use hikagen::core::reply::{Action, Answer, Delivery, Fault, Stage};
use hikagen::core::units::Share;
use hikagen::relay::smtp::SmtpRelay;
use hikagen::relay::{Outgoing, Relay};
use hikagen::sim::{Manners, Tolerance};
use hikagen::simulator::{Options, Simulator};
use jiff::Timestamp;

fn settings(port: u16, login: Option<(&str, &str)>) -> Arc<RelaySettings> {
    let steady = shipped_plan("steady").unwrap();
    let plan = read_plan(steady, "steady.yaml", &Destinations::shipped().groups).value.unwrap();
    Arc::new(RelaySettings {
        name: RelayName::new("sim").unwrap(),
        known: None,
        host: "127.0.0.1".to_owned(),
        port,
        tls: TlsMode::None,
        ca: None,
        auth: login.map(|(user, password)| Login {
            user: user.to_owned(),
            proof: Proof::Password(
                Secret { place: "env PASSWORD".to_owned(), text: password.to_owned().into() },
                Mechanism::Offered,
            ),
        }),
        domain: "m.example.jp".to_owned(),
        hello: None,
        plan: Arc::new(plan),
        plan_source: "steady".to_owned(),
        next_plan: None,
        ears: Vec::new(),
        warmup: Warmup { day: 1, started: None },
        limits: RelayLimits::default(),
        envelope_from: None,
        headers: Vec::new(),
        answers: Answers::Carrier,
        signs: None,
        dkim: None,
        source_address: None,
        pipelining: true,
        uncertain: Uncertain::Retry,
        timeouts: Timeouts::default(),
        retry: RetrySettings::default(),
    })
}

/// A clock that the test sets.
#[derive(Debug)]
struct HandClock(Mutex<Timestamp>);

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _span: Duration) {}
}

fn options(unknown: Option<Share>) -> Options {
    Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        groups: Arc::new(Destinations::shipped().groups),
        manners: Manners { unknown, ..Manners::default() },
        login: None,
    }
}

fn mail(recipient: &str) -> Outgoing {
    Outgoing {
        envelope_from: "bounce+x@m.example.jp".to_owned(),
        recipient: recipient.to_owned(),
        recipient_alternative: None,
        bytes: b"Subject: hello\r\n\r\n.a line that begins with a dot\r\n".to_vec(),
    }
}

async fn send(relay: &SmtpRelay, recipient: &str) -> Delivery {
    match relay.connect().await {
        Ok(mut connection) => {
            let delivery = connection.deliver(&mail(recipient)).await;
            connection.close().await;
            delivery
        }
        Err(delivery) => delivery,
    }
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

#[tokio::test]
async fn mail_to_every_form_of_address_is_accepted_and_counted_in_its_group() {
    let simulator = Simulator::start(options(None), Arc::new(SystemClock)).await.unwrap();
    let relay = SmtpRelay::new(settings(simulator.addr().port(), None)).unwrap();
    let mut connection = relay.connect().await.unwrap();
    for recipient in
        ["\"taro..x\"@docomo.ne.jp", "taro..y@docomo.ne.jp", "jiro.@ezweb.ne.jp", "a@gmail.com", "b@t.vodafone.ne.jp"]
    {
        let delivery = connection.deliver(&mail(recipient)).await;
        assert!(delivery.is_accepted(), "{recipient}: {delivery:?}");
    }
    connection.close().await;
    let counts = simulator.stop().await;
    let accepted: Vec<_> = counts.iter().map(|(group, c)| (group.as_str(), c.accepted)).collect();
    assert_eq!(accepted, [("au", 1), ("docomo", 2), ("gmail", 1), ("softbank", 1)]);
}

#[tokio::test]
async fn a_carriers_refusal_arrives_with_its_stage_and_is_read_as_meant() {
    let simulator = Simulator::start(options(Some(Share::percent(100))), Arc::new(SystemClock)).await.unwrap();
    let relay = SmtpRelay::new(settings(simulator.addr().port(), None)).unwrap();
    let rules = Destinations::shipped().rules;
    for (recipient, name, stage, words) in [
        ("a@docomo.ne.jp", "docomo", Stage::Rcpt, "550 Unknown user a@docomo.ne.jp"),
        ("a@ezweb.ne.jp", "au", Stage::Rcpt, "550 <a@ezweb.ne.jp>: User unknown"),
        ("a@softbank.ne.jp", "softbank", Stage::Rcpt, "550 Invalid recipient: <a@softbank.ne.jp>"),
        (
            "a@yahoo.co.jp",
            "yahoo-jp",
            Stage::Body,
            "554 delivery error: dd This user doesn't have a yahoo.co.jp account",
        ),
        ("a@gmail.com", "gmail", Stage::Rcpt, "550 5.1.1 The email account that you tried to reach does not exist."),
    ] {
        let delivery = send(&relay, recipient).await;
        assert_eq!(delivery.stage, stage, "{delivery:?}");
        assert!(delivery.answer.to_string().starts_with(words), "{delivery:?}");
        assert_eq!(rules.read(&delivery, Some(&group(name))).action, Action::Suppress, "{delivery:?}");
    }
    assert!(simulator.stop().await.values().all(|c| c.bounced == 1 && c.accepted == 0));
}

#[tokio::test]
async fn au_resets_docomo_shuts_the_door_and_both_relent_when_the_clock_of_the_simulator_says_so() {
    let mut options = options(None);
    let strict = Tolerance {
        depth: NonZeroU32::MIN,
        rate: "1/s".parse().unwrap(),
        penalty: Duration::from_secs(600),
        ..options.manners.tolerance(&[])
    };
    for bucket in ["au", "docomo"] {
        options.manners.own.insert(BucketName::new(bucket).unwrap(), strict.clone());
    }
    let clock = Arc::new(HandClock(Mutex::new("2026-11-24T09:00:00+09:00".parse().unwrap())));
    let simulator = Simulator::start(options, clock.clone()).await.unwrap();
    let relay = SmtpRelay::new(settings(simulator.addr().port(), None)).unwrap();
    let (au, docomo) = ("a@ezweb.ne.jp", "a@docomo.ne.jp");
    assert!(send(&relay, docomo).await.is_accepted());
    let blocked = send(&relay, docomo).await;
    assert_eq!(blocked.answer.to_string(), "421 Service not available, closing transmission channel");
    assert!(send(&relay, au).await.is_accepted());
    let reset = send(&relay, au).await;
    assert!(matches!(reset.answer, Answer::Fault(Fault::Reset | Fault::Closed)), "{reset:?}");
    assert_eq!(Destinations::shipped().rules.read(&reset, Some(&group("au"))).action, Action::Block);
    *clock.0.lock().unwrap() += Duration::from_secs(600);
    assert!(send(&relay, docomo).await.is_accepted());
    assert!(send(&relay, au).await.is_accepted());
    let counts = simulator.stop().await;
    let (au, docomo) = (&counts[&group("au")], &counts[&group("docomo")]);
    assert_eq!((au.accepted, au.reset), (2, 1));
    assert_eq!((docomo.accepted, docomo.deferred), (2, 1));
}

#[tokio::test]
async fn a_login_is_checked() {
    let mut options = options(None);
    options.login = Some(("user".to_owned(), "secret".to_owned()));
    let simulator = Simulator::start(options, Arc::new(SystemClock)).await.unwrap();
    let port = simulator.addr().port();
    let right = SmtpRelay::new(settings(port, Some(("user", "secret")))).unwrap();
    assert!(send(&right, "a@docomo.ne.jp").await.is_accepted());
    let wrong = SmtpRelay::new(settings(port, Some(("user", "guess")))).unwrap();
    let refused = send(&wrong, "a@docomo.ne.jp").await;
    assert_eq!(refused.stage, Stage::Auth);
}
