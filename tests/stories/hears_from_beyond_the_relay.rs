//! What comes back from beyond the relay: it pauses as a carrier's answer in the session, suppresses, is told, and counts once.

use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::{Clock as _, PacedClock, SharedClock, SystemClock};
use hikagen::compose::Tokens;
use hikagen::config::Config;
use hikagen::core::campaign::MessageState;
use hikagen::core::feedback::{Diagnostic, Fate, Heard, Way};
use hikagen::core::reply::Stage;
use hikagen::feedback::Ear;
use hikagen::store::{Lease, Pause, PauseCause, Recorded, Scope, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::{Manner, Sink};
use crate::support::worker::{Working, configuration};
use crate::support::{insight, until};

const SPEED: f64 = 20.0;
const BLOCK: &str = "Service not available, closing transmission channel";
const SOON: Duration = Duration::from_secs(60);

/// A project with a campaign of docomo addresses, submitted.
fn project(sink: &Sink, answers: &str, n: usize) -> Project {
    let project = Project::empty();
    let envelope = "envelope_from: \"bounce+{token}@m.example.jp\"";
    write_configuration(&project, &[RelayEntry::new("one", sink.port).with(&[answers, envelope])]);
    write_plan(&project, "plan.yaml", &[("docomo", 1_000, "100/s"), ("default", 1_000, "100/s")]);
    let campaign = write_campaign(&project, "spring", addresses("docomo.ne.jp", n));
    project.hikagen(&["submit", &campaign]).expect(0);
    project
}

/// Waits in the clock's time until `found` gives something.
async fn wait<T, F: Future<Output = Option<T>>>(clock: &PacedClock, what: &str, found: impl Fn() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            clock.sleep(Duration::from_secs(2)).await;
        }
    };
    tokio::time::timeout(SOON, looking).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

async fn lane_pause(store: &Arc<dyn Store>, clock: &PacedClock) -> Option<Pause> {
    let outlook = store.outlook(clock.now()).await.unwrap();
    outlook
        .pauses
        .into_iter()
        .find(|pause| matches!(&pause.scope, Scope::Lane(lane) if lane.bucket.as_str() == "docomo"))
}

async fn accepted(store: &Arc<dyn Store>, n: usize) -> Option<()> {
    (insight::tally(&**store, "spring").await.get(&MessageState::Accepted) == Some(&n)).then_some(())
}

/// Waits until the relay's owner has acted on so many reports (the first `n` of the store).
async fn acted(store: &Arc<dyn Store>, clock: &PacedClock, n: i64) {
    let lease = Lease { relay: "one".parse().unwrap(), token: 0 };
    let heard = || async { (store.memory(&lease, clock.now()).await.unwrap().heard >= n).then_some(()) };
    wait(clock, "a look at the reports", heard).await;
}

fn ear(store: &Arc<dyn Store>, config: &Config, clock: &SharedClock) -> Ear {
    let tokens = Arc::new(Tokens::open(&Tokens::key_file(&config.store)).unwrap());
    let config = Arc::new(config.clone());
    Ear::new(store.clone(), tokens, clock.clone(), Arc::new(move || config.clone()))
}

/// A bounce mail's words about the message that left from `sender`.
fn heard(id: &str, sender: &str, (code, text): (u16, &str), at: Timestamp) -> Heard {
    Heard {
        way: Way::MAIL,
        id: id.to_owned(),
        at: Some(at),
        fate: Fate::Refused,
        said: Diagnostic { code: Some(code), enhanced: None, text: text.to_owned() },
        stage: Some(Stage::Rcpt),
        remote: Some("mfsmax.docomo.ne.jp".to_owned()),
        clues: vec![sender.to_owned()],
        recipient: None,
        evidence: format!("Diagnostic-Code: smtp; {code} {text}"),
    }
}

/// The whole second: the store keeps microseconds, a clock may tell less.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap()
}

/// The pause that a carrier's block in the session causes.
async fn block_in_session() -> Pause {
    let says = format!("421 {BLOCK}");
    let refuse = move |line: &str| line.starts_with("RCPT").then(|| says.clone());
    let sink = Sink::with(Manner { answers: Some(Arc::new(refuse)), ..Manner::default() });
    let project = project(&sink, "answers: carrier", 1);
    let clock = Arc::new(PacedClock::new(SystemClock.now(), SPEED));
    let working = Working::start(configuration(project.folder(), &[]), clock.clone(), SPEED);
    let pause = wait(&clock, "a pause in the session", || lane_pause(&working.store, &clock)).await;
    working.end().await;
    pause
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_a_bounce_mail_tells_pauses_the_lane_as_one_in_the_session_and_only_once() {
    let in_session = block_in_session().await;
    let cooldown = in_session.until.unwrap().duration_since(in_session.since).round(jiff::Unit::Second).unwrap();

    let sink = Sink::open();
    let project = project(&sink, "answers: own", 3);
    let config = configuration(project.folder(), &[]);
    let clock = Arc::new(PacedClock::new(SystemClock.now(), SPEED));
    let shared: SharedClock = clock.clone();
    let working = Working::start(config.clone(), shared.clone(), SPEED);
    wait(&clock, "all accepted", || accepted(&working.store, 3)).await;
    assert_eq!(lane_pause(&working.store, &clock).await, None, "an accepted message pauses nothing");

    let senders: Vec<String> = sink.arrivals().into_iter().map(|arrival| arrival.from).collect();
    let ear = ear(&working.store, &config, &shared);
    let at = whole(clock.now().checked_sub(SignedDuration::from_mins(5)).unwrap());
    let recorded = ear.take(vec![heard("first", &senders[0], (421, BLOCK), at)]).await.unwrap();
    assert_eq!(recorded, Recorded { new: 1, ..Recorded::default() });
    let pause = wait(&clock, "a pause that was heard of", || lane_pause(&working.store, &clock)).await;
    assert_eq!((pause.cause, pause.times), (in_session.cause, in_session.times));
    assert_eq!(pause.until.unwrap().duration_since(at), cooldown, "from the time of the report on");
    assert!(
        pause.reason.contains(BLOCK) && pause.reason.contains("heard by mail from mfsmax.docomo.ne.jp"),
        "{}",
        pause.reason
    );
    let events = working.store.events(10).await.unwrap();
    assert!(
        events.iter().any(|event| event.kind == "lane-paused" && event.text.contains("heard by mail")),
        "{events:?}"
    );

    // A repeat and the rest of the burst change nothing.
    let again = ear.take(vec![heard("first", &senders[0], (421, BLOCK), at)]).await.unwrap();
    assert_eq!(again, Recorded { repeated: 1, ..Recorded::default() });
    ear.take(vec![heard("second", &senders[1], (421, BLOCK), at)]).await.unwrap();
    acted(&working.store, &clock, 2).await;
    assert_eq!(lane_pause(&working.store, &clock).await, Some(pause.clone()));
    working.end().await;

    // Neither does a new start; and what the operator resumed since stays resumed.
    let working = Working::start(config.clone(), shared.clone(), SPEED);
    assert_eq!(lane_pause(&working.store, &clock).await, Some(pause.clone()));
    // What the owner acts on it has read after what it remembers.
    let well = Heard { fate: Fate::Delivered, ..heard("well", &senders[0], (250, "ok"), at) };
    ear.take(vec![well]).await.unwrap();
    acted(&working.store, &clock, 3).await;
    assert_eq!(working.store.resume(&pause.scope, Some(PauseCause::Block)).await.unwrap(), 1);
    ear.take(vec![heard("third", &senders[2], (421, BLOCK), at)]).await.unwrap();
    acted(&working.store, &clock, 4).await;
    assert_eq!(lane_pause(&working.store, &clock).await, None);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_suppresses_nobody_and_a_block_of_last_week_holds_nothing_up() {
    let sink = Sink::open();
    let project = project(&sink, "answers: own", 1);
    let config = configuration(project.folder(), &[]);
    let clock = Arc::new(PacedClock::new(SystemClock.now(), SPEED));
    let shared: SharedClock = clock.clone();
    let working = Working::start(config.clone(), shared.clone(), SPEED);
    wait(&clock, "all accepted", || accepted(&working.store, 1)).await;
    let ear = ear(&working.store, &config, &shared);
    let forged = format!("bounce+{}@m.example.jp", "a".repeat(32));
    let victim = Heard {
        recipient: Some("somebody@docomo.ne.jp".to_owned()),
        ..heard("forged", &forged, (550, "Unknown user"), clock.now())
    };
    let recorded = ear.take(vec![victim]).await.unwrap();
    assert_eq!(recorded, Recorded { new: 1, unmatched: 1, ..Recorded::default() });
    assert!(working.store.suppressions(None, None, 10).await.unwrap().is_empty());

    let sender = sink.arrivals()[0].from.clone();
    let at = whole(clock.now().checked_sub(SignedDuration::from_hours(40)).unwrap());
    ear.take(vec![heard("old", &sender, (421, BLOCK), at)]).await.unwrap();
    acted(&working.store, &clock, 2).await;
    let lease = Lease { relay: "one".parse().unwrap(), token: 0 };
    let remembered = || async {
        let pauses = working.store.memory(&lease, clock.now()).await.unwrap().pauses;
        pauses.iter().any(|pause| pause.since == at && pause.cause == PauseCause::Block).then_some(())
    };
    wait(&clock, "the block is remembered", remembered).await;
    assert_eq!(lane_pause(&working.store, &clock).await, None, "its pause is over");
    working.end().await;
}

/// The lines by which a Postfix relay tells of one message.
fn log_of(sender: &str, message_id: &str, recipient: &str, ends: &str) -> String {
    let at = SystemClock.now();
    format!(
        "{at} mx postfix/cleanup[11]: 4F1AB20C: message-id={message_id}\n\
         {at} mx postfix/qmgr[12]: 4F1AB20C: from=<{sender}>, size=900, nrcpt=1 (queue active)\n\
         {at} mx postfix/smtp[13]: 4F1AB20C: to=<{recipient}>, relay=mfsmax.docomo.ne.jp[203.0.113.1]:25, delay=1, \
         delays=0/0/0/1, {ends}\n"
    )
}

const UNKNOWN: &str = "dsn=5.1.1, status=bounced (host mfsmax.docomo.ne.jp[203.0.113.1] said: 550 5.1.1 \
                       Unknown user (in reply to RCPT TO command))";

#[test]
fn a_log_given_by_hand_suppresses_and_is_told_by_every_command_that_shows_the_message() {
    let sink = Sink::open();
    let project = project(&sink, "answers: own", 2);
    project.hikagen(&["run", "--until-idle"]).expect(0);
    until("two messages at the sink", SOON, || (sink.count() == 2).then_some(()));
    let arrival = sink.arrivals().into_iter().find(|a| a.to == ["user0@docomo.ne.jp"]).unwrap();
    project.write("mail.log", log_of(&arrival.from, &arrival.message_id, "user0@docomo.ne.jp", UNKNOWN));

    let dry: Value = json(&project, &["feedback", "import", "--dry-run", "--json", "mail.log"]);
    let one = &dry["reports"][0];
    assert_eq!((&one["recipient"], &one["fate"]), (&"user0@docomo.ne.jp".into(), &"refused".into()), "{dry}");
    assert_eq!((&one["reason"], &one["at_fault"], &one["code"]), (&"user-unknown".into(), &true.into(), &550.into()));
    assert_eq!(
        (&one["action"], &one["stage"], &one["enhanced"]),
        (&"suppress".into(), &"rcpt".into(), &"5.1.1".into())
    );
    assert_eq!((&one["campaign"], &one["way"]), (&"spring".into(), &"log".into()));
    assert!(one["message"].as_str().unwrap().starts_with('m'), "{one}");
    assert_eq!(json(&project, &["suppress", "list", "--json"]), Value::Array(Vec::new()), "a trial changes nothing");

    let taken: Value = json(&project, &["feedback", "import", "--json", "mail.log"]);
    assert_eq!((&taken["recorded"]["new"], &taken["recorded"]["suppressed"]), (&1.into(), &1.into()), "{taken}");
    assert_eq!(taken["reports"][0]["known"], false, "{taken}");
    let again: Value = json(&project, &["feedback", "import", "--json", "mail.log"]);
    assert_eq!((&again["recorded"]["new"], &again["recorded"]["repeated"]), (&0.into(), &1.into()), "{again}");
    assert_eq!(again["reports"][0]["known"], true);

    let suppressed: Value = json(&project, &["suppress", "list", "--json"]);
    assert_eq!((&suppressed[0]["email"], &suppressed[0]["reason"]), (&"user0@docomo.ne.jp".into(), &"unknown".into()));
    let why = project.hikagen(&["why", "user0@docomo.ne.jp"]).expect(0).out;
    assert!(why.contains("was accepted by relay one") && why.contains("; bounced later at "), "{why}");
    assert!(why.contains("550 5.1.1") && why.contains("heard by log from mfsmax.docomo.ne.jp"), "{why}");
    let shown: Value = json(&project, &["campaign", "show", "spring", "--json"]);
    assert_eq!((&shown["reported"][0]["fate"], &shown["reported"][0]["n"]), (&"refused".into(), &1.into()), "{shown}");
    assert!(project.hikagen(&["campaign", "show", "spring"]).expect(0).out.contains("bounced later"));
    let status: Value = json(&project, &["status", "--json"]);
    assert_eq!(status["campaigns"][0]["came_back"]["bounced"], 1, "{status}");
    let lane: Value = json(&project, &["why", "one/docomo", "--json"]);
    assert_eq!(
        (&lane["lanes"][0]["health"][0]["bounced"], &lane["lanes"][0]["health"][0]["unknown"]),
        (&1.into(), &1.into())
    );
    for narrowed in [&["--campaign", "spring"], &["--lane", "one/docomo"], &["--address", "user0@docomo.ne.jp"]] {
        let listed: Value = json(&project, &[&["feedback", "list", "--json"], &narrowed[..]].concat());
        assert_eq!((&listed[0]["campaign"], &listed[0]["fate"]), (&"spring".into(), &"refused".into()), "{listed}");
        assert_eq!(listed.as_array().unwrap().len(), 1);
    }
}

#[test]
fn what_cannot_be_read_is_told_and_the_exit_says_so() {
    let project = Project::empty();
    let ran = project.hikagen(&["feedback", "import", "--dry-run", "missing.eml"]).expect(1);
    assert!(ran.err.contains("missing.eml: No such file"), "{}", ran.err);
    assert!(ran.out.contains("0 reports, 1 unreadable; nothing was recorded"), "{}", ran.out);
    let sink = Sink::open();
    let project = self::project(&sink, "answers: own", 1);
    project.hikagen(&["feedback", "import", "--relay", "two", "hikagen.yaml"]).expect(1);
    let unknown = project.hikagen(&["rules", "unknown"]).expect(0);
    assert!(unknown.out.contains("every reply so far is known to a rule"), "{}", unknown.out);
}

fn json(project: &Project, command: &[&str]) -> Value {
    serde_json::from_str(&project.hikagen(command).expect(0).out).unwrap()
}
