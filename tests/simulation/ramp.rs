//! Owns the long worlds: three weeks of a ramp in virtual time, under a provider whose mood drifts, with crashes, clocks that are set,
//! edited plans, in zones that change to summer time and back.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{Clock, PacedClock, SharedClock};
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::{Answers, Config, FeedbackSettings, RelaySettings, RetrySettings, WorkerSettings};
use hikagen::core::campaign::{CampaignId, Class};
use hikagen::core::lane::Verdict;
use hikagen::core::names::{BucketName, RelayName};
use hikagen::core::reply::{Answer, Delivery, Reply, Stage};
use hikagen::relay::{Connection, Outgoing, Relay};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{NewCampaign, NewMessage, Revision, Store};
use hikagen::worker::{self, Control, Pacing, Parts};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use tokio::sync::mpsc;

use crate::carrier::mix;
use crate::faulty::{Faulty, Gate, Planted, Trouble};
use crate::settings;
use crate::world::PlainComposer;

/// Days that a world lasts.
pub(crate) const DAYS: i64 = 16;
/// Quotas by warm-up day; the last one stays.
pub(crate) const CURVES: [(&str, &str, &[u32]); 2] = [
    ("docomo", "docomo.ne.jp", &[12, 14, 17, 20, 24, 29, 35, 42, 50, 60]),
    ("google", "gmail.com", &[16, 20, 25, 31, 39, 49]),
];
/// What an edited plan makes of the curve while it is in force.
pub(crate) const EDITED: u32 = 2;

/// What is asked of a long world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RampAsk {
    pub(crate) seed: u64,
    pub(crate) trouble: Trouble,
    pub(crate) planted: Planted,
    /// The clock is set by so much on the sixth day, and right again five hours later.
    pub(crate) set_by: Option<SignedDuration>,
    /// The plan's curves are halved from the seventh to the tenth day.
    pub(crate) edited: bool,
    /// Nothing waits on days 5 to 13: the lane idles.
    pub(crate) idles: bool,
    /// Every destination is content on every day.
    pub(crate) calm: bool,
    /// Days that it lasts.
    pub(crate) days: i64,
}

impl RampAsk {
    pub(crate) fn new(seed: u64, trouble: Trouble) -> Self {
        let bit = |what: &str, n: u64| mix(seed, what).is_multiple_of(n);
        let hours = [26, -3, 2, -20][usize::try_from(mix(seed, "hours") % 4).unwrap()];
        Self {
            seed,
            trouble,
            planted: Planted::Nothing,
            set_by: bit("set", 3).then(|| SignedDuration::from_hours(hours)),
            edited: bit("edited", 3),
            idles: bit("idles", 4),
            calm: false,
            days: DAYS,
        }
    }
}

/// How a destination feels on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Content,
    /// One message in four is deferred for as long as the day lasts.
    Unhappy,
    /// One message in fifteen.
    Displeased,
    /// It blocks whoever sends, once, in the middle of the day.
    Blocks,
}

/// The mood of a bucket on the n-th day (from 0): it drifts, and is content for long enough to recover.
pub(crate) fn mood(seed: u64, bucket: &str, day: i64) -> Mood {
    match mix(seed, &format!("{bucket} {}", day / 2)) % 10 {
        0 | 1 => Mood::Unhappy,
        2 => Mood::Displeased,
        3 if day % 2 == 1 => Mood::Blocks,
        _ => Mood::Content,
    }
}

/// A message as the destination saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) bucket: String,
    pub(crate) recipient: String,
    pub(crate) code: u16,
    pub(crate) blocks: bool,
}

/// A clock that somebody sets.
#[derive(Debug)]
pub(crate) struct SetClock {
    clock: PacedClock,
    set: Mutex<SignedDuration>,
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        self.clock.now().checked_add(*self.set.lock().unwrap()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    async fn sleep(&self, span: Duration) {
        self.clock.sleep(span).await;
    }
}

/// What came of a long world.
pub(crate) struct Ramp {
    pub(crate) ask: RampAsk,
    pub(crate) calls: u32,
    pub(crate) zone: TimeZone,
    pub(crate) first: Date,
    pub(crate) seen: Vec<Seen>,
    pub(crate) store: SqliteStore,
    pub(crate) campaign: CampaignId,
    pub(crate) submitted: usize,
    pub(crate) died_on: Option<Date>,
    pub(crate) in_the_air: u64,
}

struct Destination {
    seed: u64,
    calm: bool,
    zone: TimeZone,
    first: Date,
    clock: SharedClock,
    seen: Arc<Mutex<Vec<Seen>>>,
    gate: Arc<Gate>,
}

impl Destination {
    fn answer(&self, recipient: &str, at: Timestamp, earlier: &[Seen]) -> (u16, &'static str, bool) {
        let bucket: String = recipient.chars().take_while(char::is_ascii_alphabetic).collect();
        let day = at.to_zoned(self.zone.clone()).date();
        let nth = i64::from(self.first.until(day).unwrap().get_days());
        let today = earlier.iter().filter(|s| s.bucket == bucket && s.at.to_zoned(self.zone.clone()).date() == day);
        let blocked_already = earlier.iter().any(|s| s.blocks && s.bucket == bucket);
        let dice = mix(self.seed, &format!("{recipient} {day}"));
        let mood = if self.calm { Mood::Content } else { mood(self.seed, &bucket, nth) };
        match mood {
            Mood::Unhappy if dice.is_multiple_of(4) => (451, "zz9 please come back another time", false),
            Mood::Displeased if dice.is_multiple_of(15) => (451, "zz9 please come back another time", false),
            Mood::Blocks if !blocked_already && today.count() >= 6 => match bucket.as_str() {
                "docomo" => (421, "Service not available, closing transmission channel", true),
                _ => (421, "4.7.0 very low reputation of the sending IP address", true),
            },
            _ => (250, "2.0.0 queued", false),
        }
    }
}

struct Line(Arc<Destination>, Option<Delivery>);

/// The relay in front of the destination.
struct Door(Arc<Destination>);

#[async_trait]
impl Relay for Door {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        self.0.gate.pass(async {}).await;
        Ok(Box::new(Line(self.0.clone(), None)))
    }
}

#[async_trait]
impl Connection for Line {
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery> {
        let here = self.0.clone();
        let delivery = here
            .gate
            .pass(async {
                let mut seen = here.seen.lock().unwrap();
                let at = here.clock.now();
                let (code, text, blocks) = here.answer(&mail.recipient, at, &seen);
                let bucket = mail.recipient.chars().take_while(char::is_ascii_alphabetic).collect();
                seen.push(Seen { at, bucket, recipient: mail.recipient.clone(), code, blocks });
                let stage = if code == 250 { Stage::Body } else { Stage::Rcpt };
                let enhanced = text.starts_with("4.7.0").then(|| "4.7.0".parse().unwrap());
                let answer = Answer::Reply(Reply { code, enhanced, text: text.to_owned() });
                Delivery { stage, answer, rcpt_written: true, dot_begun: stage == Stage::Body }
            })
            .await;
        if delivery.stage < Stage::Body {
            return Some(delivery);
        }
        self.1 = Some(delivery);
        None
    }

    async fn hand_over(&mut self, _: &Outgoing, _: Option<&Outgoing>) -> Delivery {
        self.0.gate.pass(async {}).await;
        self.1.take().expect("a message is handed over when it was offered and wanted")
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn is_usable(&self) -> bool {
        true
    }

    async fn close(self: Box<Self>) {}
}

/// The zone and the first morning of a world: some worlds live through a change of the clocks.
fn begin(seed: u64) -> Zoned {
    let mornings = [
        "2026-11-24T06:55:00+09:00[Asia/Tokyo]",
        "2026-10-20T06:55:00+02:00[Europe/Berlin]",
        "2026-03-02T06:55:00-05:00[America/New_York]",
    ];
    mornings[usize::try_from(mix(seed, "zone") % 3).unwrap()].parse().unwrap()
}

fn config(seed: u64, zone: &TimeZone, divided: u32) -> Arc<Config> {
    let mut text = format!(
        "plan: ramp\ntimezone: {}\ndefaults: {{ window: \"07:00-19:00\", spread: {}, jitter: none }}\ngroups:\n",
        zone.iana_name().unwrap(),
        if mix(seed, "spread").is_multiple_of(2) { "even" } else { "asap, rate: 1/min" },
    );
    for (group, _, curve) in CURVES {
        let group = if group == "google" { "gmail" } else { group };
        let values: Vec<String> = curve.iter().map(|v| (v / divided).to_string()).collect();
        text.push_str(&format!("  {group}: {{ curve: [{}], rate: 1/min, cooldown: 30m }}\n", values.join(", ")));
    }
    text.push_str("  default: { curve: [10] }\n");
    let Destinations { groups, rules } = Destinations::shipped();
    let read = read_plan(&text, "plan.yaml", &groups);
    let plan = Arc::new(read.value.unwrap_or_else(|| panic!("{:?}", read.problems)));
    let retry = RetrySettings {
        after: vec![Duration::from_secs(26 * 3_600)],
        lifetime: Duration::from_secs(30 * 86_400),
        uncertain: Duration::from_secs(900),
    };
    let name: RelayName = "one".parse().unwrap();
    let relay = RelaySettings {
        name: name.clone(),
        plan: plan.clone(),
        retry,
        answers: Answers::Carrier,
        ears: vec!["the session".to_owned()],
        ..settings::relay(1)
    };
    Arc::new(Config {
        path: "hikagen.yaml".into(),
        store: "memory".into(),
        timezone: plan.timezone.clone(),
        groups: Arc::new(groups),
        rules: Arc::new(rules),
        pools: [("news".parse().unwrap(), vec![name.clone()])].into(),
        relays: BTreeMap::from([(name, Arc::new(relay))]),
        worker: WorkerSettings { drain: Duration::from_secs(60), ..WorkerSettings::default() },
        listen: hikagen::config::ListenSettings::default(),
        feedback: FeedbackSettings::default(),
        signing_key: None,
    })
}

async fn submit(store: &SqliteStore, name: &str, (from, each): (usize, usize), now: Timestamp) -> (CampaignId, usize) {
    let revision = Revision {
        content: "{}".into(),
        start: now,
        finish_by: None,
        not_after: None,
        class: Class::Bulk,
        weight: 1,
        digest: name.into(),
    };
    let pool = "news".parse().unwrap();
    let new = NewCampaign { name: name.parse().unwrap(), pool, from: "news@m.example.jp".into(), revision };
    let id = store.create_campaign(new, now).await.unwrap();
    let mut rows = Vec::new();
    for (bucket, domain, _) in CURVES {
        for n in 0..each {
            let address = format!("{bucket}{}@{domain}", from + n);
            rows.push(NewMessage {
                key: address.clone(),
                address,
                bucket: BucketName::new(bucket).unwrap(),
                score: 0,
                columns: "{}".into(),
                refused: None,
            });
        }
    }
    let n = rows.len();
    store.enqueue(id, rows, 1, false, now).await.unwrap();
    store.finish_intake(id, 1, false, now).await.unwrap();
    (id, n)
}

struct Life {
    task: tokio::task::JoinHandle<()>,
    control: mpsc::Sender<Control>,
    gate: Arc<Gate>,
}

fn begin_life(
    ramp: &Ramp,
    clock: &SharedClock,
    seen: &Arc<Mutex<Vec<Seen>>>,
    config: &Arc<Config>,
    t: Trouble,
) -> Life {
    let gate = Gate::new(t, clock.clone());
    let inner = ramp.store.another_handle().unwrap();
    let store = Arc::new(Faulty { inner, gate: gate.clone(), planted: ramp.ask.planted });
    let here = Arc::new(Destination {
        seed: ramp.ask.seed,
        calm: ramp.ask.calm,
        zone: ramp.zone.clone(),
        first: ramp.first,
        clock: clock.clone(),
        seen: seen.clone(),
        gate: gate.clone(),
    });
    let parts = Parts {
        store,
        clock: clock.clone(),
        relays: Arc::new(move |_| Ok(Arc::new(Door(here.clone())) as Arc<dyn Relay>)),
        composers: Arc::new(|_| Ok(Arc::new(PlainComposer) as Arc<_>)),
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
    let config = config.clone();
    let task = tokio::spawn(async move { worker::run(parts, config, false, orders).await.unwrap() });
    Life { task, control, gate }
}

impl Ramp {
    async fn kill(&mut self, life: Life) {
        self.in_the_air += self.store.owners().await.unwrap().iter().map(|owner| owner.in_the_air).sum::<u64>();
        life.task.abort();
        let _ = life.task.await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Verdicts about a bucket, oldest first.
    pub(crate) async fn verdicts(&self, bucket: &str) -> Vec<Verdict> {
        let rows = self.store.verdicts(None, "2026-01-01".parse().unwrap()).await.unwrap();
        let mut rows: Vec<Verdict> = rows.into_iter().map(|(_, v)| v).filter(|v| v.bucket.as_str() == bucket).collect();
        rows.sort_by_key(|v| v.day);
        rows
    }
}

/// Lives through a long world.
pub(crate) async fn live(ask: RampAsk) -> Ramp {
    let begin = begin(ask.seed);
    let set = Arc::new(SetClock { clock: PacedClock::new(begin.timestamp(), 1.0), set: Mutex::default() });
    let clock: SharedClock = set.clone();
    let zone = begin.time_zone().clone();
    let (plain, halved) = (config(ask.seed, &zone, 1), config(ask.seed, &zone, EDITED));
    let store = SqliteStore::in_memory();
    // An idle lane has enough for four days, and more on the fourteenth.
    let each = if ask.idles { 40 } else { 80 * usize::try_from(ask.days).unwrap() };
    let (campaign, submitted) = submit(&store, "spring", (0, each), clock.now()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (calls, first) = (0, begin.date());
    let mut ramp =
        Ramp { ask, calls, zone, first, seen: Vec::new(), store, campaign, submitted, died_on: None, in_the_air: 0 };
    let mut life = begin_life(&ramp, &clock, &seen, &plain, ask.trouble);
    for hour in 0..ask.days * 24 {
        let day = hour / 24;
        if let Some(by) = ask.set_by {
            let wrong = (5 * 24 + 4..5 * 24 + 9).contains(&hour);
            *set.set.lock().unwrap() = if wrong { by } else { SignedDuration::ZERO };
        }
        if ask.edited && (hour == 6 * 24 + 5 || hour == 10 * 24 + 5) {
            let now = if hour == 6 * 24 + 5 { &halved } else { &plain };
            life.control.send(Control::Reload(now.clone())).await.unwrap();
        }
        if ask.idles && hour == 13 * 24 - 2 {
            submit(&ramp.store, "autumn", (10_000, 400), clock.now()).await;
        }
        let gate = life.gate.clone();
        tokio::select! {
            () = gate.died.notified() => {
                ramp.died_on = Some(clock.now().to_zoned(ramp.zone.clone()).date());
                ramp.kill(life).await;
                let now = if ask.edited && (6..10).contains(&day) { &halved } else { &plain };
                life = begin_life(&ramp, &clock, &seen, now, Trouble::None);
                clock.sleep(Duration::from_secs(1_800)).await;
            }
            () = clock.sleep(Duration::from_secs(3_600)) => {}
        }
    }
    ramp.calls = life.gate.calls.load(Ordering::SeqCst);
    let _ = life.control.send(Control::Drain).await;
    tokio::select! {
        _ = life.task => {}
        () = clock.sleep(Duration::from_secs(600)) => {}
    }
    ramp.seen = seen.lock().unwrap().clone();
    ramp
}
