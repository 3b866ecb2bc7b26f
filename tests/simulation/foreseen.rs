//! Owns forecast against outcome: a world of several relays, pools and campaigns in which the worker does what it does, and what
//! was forecast of it before it began.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{PacedClock, SharedClock};
use hikagen::compose::Composer;
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::settings::{Answers, RelayLimits};
use hikagen::config::{Config, FeedbackSettings, ListenSettings, RelaySettings, RetrySettings, WorkerSettings};
use hikagen::core::campaign::{Class, MessageState};
use hikagen::core::names::{BucketName, RelayName};
use hikagen::core::reply::{Answer, Delivery, Reply, Stage};
use hikagen::forecast::{Forecast, OutcomeShares, Outcomes, STEP, Scene, forecast};
use hikagen::relay::{Connection, Outgoing, Relay};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{NewCampaign, NewMessage, Revision, Store};
use hikagen::worker::{self, Control, Pacing, Parts};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::carrier::mix;
use crate::settings;
use crate::world::PlainComposer;

const BEGIN: &str = "2026-11-24T07:55:00+09:00[Asia/Tokyo]";
const DAYS: u32 = 90;
const BUCKETS: [(&str, &str); 3] = [("docomo", "docomo.ne.jp"), ("au", "ezweb.ne.jp"), ("google", "gmail.com")];

/// When a campaign's mail of one bucket came to its end.
type Ends = BTreeMap<(String, String), Timestamp>;

fn pick<'a>(seed: u64, what: &str, of: &[&'a str]) -> &'a str {
    of[(mix(seed, what) % of.len() as u64) as usize]
}

/// What binds on a relay.
enum Kind {
    /// Quotas that grow, spread over the day.
    Climbs,
    /// The lanes' rate.
    Drips,
    /// The account's cap in 24 hours, below what the lanes want.
    Capped,
}

const CURVES: [&str; 3] = ["7, 11, 17, 25", "12, 18, 27", "5, 8, 12, 18, 27"];
const AU: &str = "{ start: 12, grow: 1.2, up_to: 60 }";

fn kind(seed: u64, relay: &str) -> Kind {
    match mix(seed, &format!("{relay} kind")) % 4 {
        0 | 1 => Kind::Climbs,
        2 => Kind::Drips,
        _ => Kind::Capped,
    }
}

fn plan_text(seed: u64, relay: &str) -> String {
    let pick = |what: &str, of: &[&'static str]| pick(seed, &format!("{relay} {what}"), of);
    // Where a quota leaves at once, one message more is a day more: quotas are spread, or the rate fills the day.
    let (spread, rate, curves) = match kind(seed, relay) {
        Kind::Climbs => ("even", pick("rate", &["1/s", "20/min"]), [pick("curve", &CURVES), AU, "20, 30, 40"]),
        Kind::Drips => ("asap", pick("slow", &["2/hour", "3/hour", "70/day"]), ["90"; 3]),
        Kind::Capped => ("even", "1/s", ["50"; 3]),
    };
    let curve = |curve: &str| if curve == AU { AU.to_owned() } else { format!("[{curve}]") };
    format!(
        "plan: {relay}\ntimezone: Asia/Tokyo\nadvance: {{ deferrals: 90%, bounces: 90%, unknown_users: 90%, hold: {{ deferrals: 95%, \
         bounces: 95%, unknown_users: 95% }} }}\ndefaults:\n  window: \"{}\"\n  spread: {spread}\n  jitter: 20%\n  rate: {rate}\n  \
         throttling: {{ down: 100% }}\n  unknown_budget: 95%\ngroups:\n  docomo: {{ curve: {} }}\n  \
         au: {{ curve: {}, avoid: {{ minutes: [\"00-02\"] }} }}\n  gmail: {{ curve: {}, per_hour: {} }}\n  default: {{ curve: [15] }}\n",
        pick("window", &["00:00-24:00", "01:00-24:00"]),
        curve(curves[0]),
        curve(curves[1]),
        curve(curves[2]),
        pick("hour", &["2", "15", "100"]),
    )
}

fn config(seed: u64) -> Config {
    let Destinations { groups, rules } = Destinations::shipped();
    let relay = |name: &str| {
        let read = read_plan(&plan_text(seed, name), name, &groups);
        let plan = Arc::new(read.value.unwrap_or_else(|| panic!("{:?}", read.problems)));
        let retry = RetrySettings {
            after: vec![Duration::from_secs(600), Duration::from_secs(1_800)],
            lifetime: Duration::from_secs(4 * 86_400),
            uncertain: Duration::from_secs(900),
        };
        let per_day = NonZeroU32::new(80).filter(|_| matches!(kind(seed, name), Kind::Capped));
        let limits = RelayLimits { per_day, ..RelayLimits::default() };
        let (name, ears): (RelayName, _) = (name.parse().unwrap(), vec!["the session".to_owned()]);
        let answers = Answers::Carrier;
        (name.clone(), Arc::new(RelaySettings { name, plan, retry, limits, ears, answers, ..settings::relay(1) }))
    };
    let relays: BTreeMap<_, _> = [relay("cold"), relay("mild"), relay("warm")].into();
    let pools = [("news", vec!["cold", "warm"]), ("shop", vec!["mild", "warm"])];
    let pools = pools
        .map(|(pool, names)| (pool.parse().unwrap(), names.into_iter().map(|name| name.parse().unwrap()).collect()));
    Config {
        path: PathBuf::from("hikagen.yaml"),
        store: PathBuf::from("memory"),
        timezone: relays.values().next().unwrap().plan.timezone.clone(),
        groups: Arc::new(groups),
        rules: Arc::new(rules),
        pools: pools.into(),
        relays,
        worker: WorkerSettings { drain: Duration::from_secs(60), ..WorkerSettings::default() },
        listen: ListenSettings::default(),
        feedback: FeedbackSettings::default(),
        signing_key: None,
    }
}

async fn submit(store: &SqliteStore, seed: u64, now: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    for (name, pool, weight, days) in [("spring", "news", 1, 0), ("summer", "news", 3, 4), ("offers", "shop", 1, 0)] {
        let start = now + Duration::from_secs(days * 86_400);
        let revision = Revision {
            content: "{}".into(),
            start,
            finish_by: None,
            not_after: None,
            class: if name == "offers" { Class::Normal } else { Class::Bulk },
            weight,
            digest: "one".into(),
        };
        let new = NewCampaign {
            name: name.parse().unwrap(),
            pool: pool.parse().unwrap(),
            from: "news@m.example.jp".into(),
            revision,
        };
        let id = store.create_campaign(new, now).await.unwrap();
        let mut rows = Vec::new();
        for (bucket, domain) in BUCKETS {
            for n in 0..500 + mix(seed, &format!("{name} {bucket}")) % 200 {
                let address = format!("{name}.{bucket}.{n}@{domain}");
                rows.push(NewMessage {
                    key: address.clone(),
                    address: address.clone(),
                    bucket: BucketName::new(bucket).unwrap(),
                    score: 0,
                    columns: "{}".into(),
                    refused: None,
                });
                all.push(address);
            }
        }
        store.enqueue(id, rows, 1, false, now).await.unwrap();
        store.finish_intake(id, 1, false, now).await.unwrap();
    }
    all
}

/// What a carrier makes of a message on its n-th try.
fn judge(seed: u64, recipient: &str, tries: u32) -> Delivery {
    let reply = |stage: Stage, code: u16, text: &str| {
        let answer = Answer::Reply(Reply { code, enhanced: None, text: text.to_owned() });
        Delivery { stage, answer, rcpt_written: true, dot_begun: stage == Stage::Body }
    };
    // First tries: an even share of every list, so that chance does not decide how many attempts a list needs.
    let n: u64 = recipient.split(['.', '@']).nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
    let first = (n * 77 + mix(seed, "first")) % 200;
    let place = if tries == 1 { first } else { mix(seed, &format!("{recipient} {tries}")) % 200 };
    match place {
        0..=7 => reply(Stage::Rcpt, 451, "4.2.0 try again later"),
        8..=10 => reply(Stage::Rcpt, 550, "5.1.1 Unknown user"),
        _ => reply(Stage::Body, 250, "2.0.0 queued"),
    }
}

fn is_deferral(delivery: &Delivery) -> bool {
    matches!(&delivery.answer, Answer::Reply(reply) if reply.code == 451)
}

/// The shares of what [`judge`] will say to these messages.
fn shares(seed: u64, recipients: &[String]) -> Outcomes {
    let mut outcomes = Outcomes { takes: Duration::from_secs(1), ..Outcomes::default() };
    for (bucket, _) in BUCKETS {
        let (mut attempts, mut deferred, mut bounced) = (0_u32, 0_u32, 0_u32);
        for recipient in recipients.iter().filter(|r| r.split('.').nth(1) == Some(bucket)) {
            for tries in 1.. {
                attempts += 1;
                let delivery = judge(seed, recipient, tries);
                if !is_deferral(&delivery) {
                    bounced += u32::from(!delivery.is_accepted());
                    break;
                }
                deferred += 1;
            }
        }
        let of = |n: u32| f64::from(n) / f64::from(attempts);
        let shares = OutcomeShares { deferrals: of(deferred), bounces: of(bounced), unknown: of(bounced) };
        outcomes.buckets.insert(bucket.parse().unwrap(), shares);
    }
    outcomes
}

/// What the carriers saw: tries of each recipient, and when mail came to its end.
#[derive(Default)]
struct Seen {
    tries: BTreeMap<String, u32>,
    ends: Ends,
}

struct Carrier {
    seed: u64,
    clock: SharedClock,
    seen: Arc<Mutex<Seen>>,
}

#[async_trait]
impl Relay for Carrier {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        let Self { seed, clock, seen } = self;
        Ok(Box::new(Line { seed: *seed, clock: clock.clone(), seen: seen.clone(), wanted: None }))
    }
}

struct Line {
    seed: u64,
    clock: SharedClock,
    seen: Arc<Mutex<Seen>>,
    wanted: Option<Delivery>,
}

#[async_trait]
impl Connection for Line {
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery> {
        self.clock.sleep(Duration::from_millis(200 + mix(self.seed, &mail.recipient) % 1_200)).await;
        let mut seen = self.seen.lock().unwrap();
        let tries = seen.tries.entry(mail.recipient.clone()).or_default();
        *tries += 1;
        let delivery = judge(self.seed, &mail.recipient, *tries);
        if !is_deferral(&delivery) {
            let mut parts = mail.recipient.split('.').map(str::to_owned);
            let key = (parts.next().unwrap(), parts.next().unwrap());
            seen.ends.insert(key, self.clock.now());
        }
        if delivery.stage < Stage::Body {
            return Some(delivery);
        }
        self.wanted = Some(delivery);
        None
    }

    async fn hand_over(&mut self, _: &Outgoing, _: Option<&Outgoing>) -> Delivery {
        self.wanted.take().expect("a message is handed over when it was offered and wanted")
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn is_usable(&self) -> bool {
        true
    }

    async fn close(self: Box<Self>) {}
}

/// Lives through a world: what was forecast, and what came.
pub(crate) async fn live(seed: u64) -> (Forecast, Ends, Timestamp) {
    let begin: jiff::Zoned = BEGIN.parse().unwrap();
    let clock: SharedClock = Arc::new(PacedClock::new(begin.timestamp(), 1.0));
    let (config, store) = (config(seed), SqliteStore::in_memory());
    let recipients = submit(&store, seed, clock.now()).await;
    let scene = Scene::of_store(config.clone(), &store, clock.now()).await.unwrap();
    let foreseen = forecast(&scene, &shares(seed, &recipients), clock.now(), DAYS, STEP);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (of_relays, ticking) = (seen.clone(), clock.clone());
    let parts = Parts {
        store: Arc::new(store.another_handle().unwrap()),
        clock: clock.clone(),
        relays: Arc::new(move |_| {
            Ok(Arc::new(Carrier { seed, clock: ticking.clone(), seen: of_relays.clone() }) as Arc<dyn Relay>)
        }),
        composers: Arc::new(|_| Ok(Arc::new(PlainComposer) as Arc<dyn Composer>)),
        owner: "world".into(),
        disk: None,
        pacing: Pacing {
            poll: Duration::from_secs(300),
            ahead: Duration::from_secs(1),
            needs: Duration::from_secs(600),
            ..Pacing::default()
        },
    };
    let (control, orders) = mpsc::channel(4);
    let task = tokio::spawn(async move { worker::run(parts, Arc::new(config), false, orders).await.unwrap() });
    while clock.elapsed() < Duration::from_secs(u64::from(DAYS) * 86_400) {
        clock.sleep(Duration::from_secs(3_600)).await;
        if is_over(&store).await {
            break;
        }
    }
    control.send(Control::Drain).await.unwrap();
    task.await.unwrap();
    let ends = std::mem::take(&mut seen.lock().unwrap().ends);
    (foreseen, ends, begin.timestamp())
}

async fn is_over(store: &SqliteStore) -> bool {
    for campaign in store.campaigns().await.unwrap() {
        let tally = store.tally(campaign.id).await.unwrap();
        if tally.iter().any(|row| row.n > 0 && !row.state.is_final() && row.state != MessageState::Parked) {
            return false;
        }
    }
    true
}

/// Where the forecast is more than 1 % of the time from beginning to end off.
pub(crate) fn off(seed: u64, (foreseen, ends, begin): &(Forecast, Ends, Timestamp)) -> Vec<String> {
    let mut off = Vec::new();
    for ((campaign, bucket), came) in ends {
        let course = foreseen.campaign(campaign).unwrap();
        let group = course.groups.iter().find(|g| g.bucket.as_str() == bucket).unwrap();
        let took = came.duration_since(*begin).as_secs_f64();
        let Some(ends) = group.ends else {
            off.push(format!("world {seed}, {campaign} to {bucket}: ends, and {} were to remain", group.remaining));
            continue;
        };
        let by = ends.duration_since(*came).as_secs_f64() / took;
        if by.abs() > 0.01 {
            off.push(format!(
                "world {seed}, {campaign} to {bucket}: forecast {ends}, came {came}: {:+.2} %",
                by * 100.0
            ));
        }
    }
    off
}
