//! Owns forecast against outcome: a world of several relays, pools and campaigns in which the worker does what it does, and what
//! was forecast of it before it began.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{PacedClock, SharedClock};
use hikagen::config::settings::{Answers, RelayLimits};
use hikagen::config::{Config, RelaySettings};
use hikagen::core::campaign::{Class, MessageState};
use hikagen::core::reply::{Answer, Delivery, Reply, Stage};
use hikagen::forecast::{Forecast, GroupForecast, OutcomeShares, Outcomes, STEP, Scene, forecast};
use hikagen::relay::{Connection, Outgoing, Relay};
use hikagen::store::Store;
use hikagen::store::sqlite::SqliteStore;
use jiff::Timestamp;

use crate::carrier::mix;
use crate::faulty::{Gate, Trouble};
use crate::life::{self, Asked, Life};

const BEGIN: &str = "2026-11-24T07:55:00+09:00[Asia/Tokyo]";
const DAYS: u32 = 90;
const BUCKETS: [(&str, &str); 3] = [("docomo", "docomo.ne.jp"), ("au", "ezweb.ne.jp"), ("google", "gmail.com")];

/// When a campaign's mail of one bucket came to its end.
type Ends = BTreeMap<(String, String), Timestamp>;

/// What came of a world, and what was forecast of it.
pub(crate) struct Lived {
    foreseen: Forecast,
    ends: Ends,
    /// When mail of each bucket was handed over, by any relay for any campaign.
    left: BTreeMap<String, Vec<Timestamp>>,
    begin: Timestamp,
}

fn pick<'a>(seed: u64, what: &str, of: &[&'a str]) -> &'a str {
    of[(mix(seed, what) % of.len() as u64) as usize]
}

/// What a world is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Limits and shares: whatever is answered, the plan goes on at its pace.
    Limits,
    /// The gate as it comes, under few deferrals and bounces.
    Gates,
    /// Lanes that their deferrals slow down to their floor.
    Slowness,
}

impl About {
    fn of(seed: u64) -> Self {
        [Self::Limits, Self::Limits, Self::Gates, Self::Slowness][(mix(seed, "about") % 4) as usize]
    }

    /// Attempts of 200 that are deferred, and refused for good.
    fn answers(self) -> (u64, u64) {
        match self {
            Self::Limits => (8, 3),
            Self::Gates => (4, 1),
            Self::Slowness => (60, 3),
        }
    }
}

/// What binds on a relay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Quotas that grow, spread over the day.
    Climbs,
    /// The lanes' rate.
    Drips,
    /// The account's cap in 24 hours, below what the lanes want.
    CappedByDay(u32),
    /// In an hour.
    CappedByHour(u32),
    /// The lanes' floor.
    Slow,
}

const CURVES: [&str; 3] = ["7, 11, 17, 25", "12, 18, 27", "5, 8, 12, 18, 27"];
const AU: &str = "{ start: 12, grow: 1.2, up_to: 60 }";

fn kind(seed: u64, relay: &str) -> Kind {
    if About::of(seed) == About::Slowness {
        return Kind::Slow;
    }
    match mix(seed, &format!("{relay} kind")) % 6 {
        0 | 1 => Kind::Climbs,
        2 => Kind::Drips,
        3 => Kind::CappedByDay(80),
        4 => Kind::CappedByDay(70),
        _ => Kind::CappedByHour(6),
    }
}

fn plan_text(seed: u64, relay: &str) -> String {
    let pick = |what: &str, of: &[&'static str]| pick(seed, &format!("{relay} {what}"), of);
    // Where a quota leaves at once, one message more is a day more: quotas are spread, or the rate fills the day.
    let (spread, rate, curves) = match kind(seed, relay) {
        Kind::Climbs => ("even", pick("rate", &["1/s", "20/min"]), [pick("curve", &CURVES), AU, "20, 30, 40"]),
        Kind::Drips => ("asap", pick("slow", &["2/hour", "3/hour", "70/day"]), ["90"; 3]),
        Kind::CappedByDay(80) => ("even", "1/s", ["50"; 3]),
        Kind::CappedByDay(_) | Kind::CappedByHour(_) => ("even", "1/s", ["50", "60", "40"]),
        Kind::Slow => ("even", "20/min", ["300"; 3]),
    };
    let lenient = "advance: { deferrals: 90%, bounces: 90%, unknown_users: 90%, hold: { deferrals: 95%, bounces: 95%, \
                   unknown_users: 95% } }\n";
    let (gate, throttling) = match About::of(seed) {
        About::Limits => (lenient, "{ down: 100% }"),
        About::Gates => ("", "{ down: 100% }"),
        About::Slowness => (lenient, "{ floor: 40% }"),
    };
    let curve = |curve: &str| if curve == AU { AU.to_owned() } else { format!("[{curve}]") };
    format!(
        "plan: {relay}\ntimezone: Asia/Tokyo\n{gate}defaults:\n  window: \"{}\"\n  spread: {spread}\n  jitter: 20%\n  \
         rate: {rate}\n  throttling: {throttling}\n  unknown_budget: 95%\ngroups:\n  docomo: {{ curve: {} }}\n  \
         au: {{ curve: {}, avoid: {{ minutes: [\"00-02\"] }} }}\n  gmail: {{ curve: {}, per_hour: {} }}\n  default: {{ curve: [15] }}\n",
        pick("window", &["00:00-24:00", "01:00-24:00"]),
        curve(curves[0]),
        curve(curves[1]),
        curve(curves[2]),
        pick("hour", &["2", "15", "100"]),
    )
}

fn config(seed: u64) -> Config {
    let relay = |name: &str| {
        let plan = life::plan(&plan_text(seed, name));
        let limits = match kind(seed, name) {
            Kind::CappedByDay(n) => RelayLimits { per_day: NonZeroU32::new(n), ..RelayLimits::default() },
            Kind::CappedByHour(n) => RelayLimits { per_hour: NonZeroU32::new(n), ..RelayLimits::default() },
            Kind::Climbs | Kind::Drips | Kind::Slow => RelayLimits::default(),
        };
        let (ears, answers) = (vec!["the session".to_owned()], Answers::Carrier);
        RelaySettings { limits, ears, answers, ..life::relay(name, plan, &[600, 1_800], 60) }
    };
    let pools: [(&str, &[&str]); 2] = [("news", &["cold", "warm"]), ("shop", &["mild", "warm"])];
    life::config(["cold", "mild", "warm"].map(relay).into(), &pools)
}

async fn submit(store: &SqliteStore, seed: u64, now: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    for (name, pool, weight, days) in [("spring", "news", 1, 0), ("summer", "news", 3, 4), ("offers", "shop", 1, 0)] {
        let start = now + Duration::from_secs(days * 86_400);
        let class = if name == "offers" { Class::Normal } else { Class::Bulk };
        let mut list = Vec::new();
        for (bucket, domain) in BUCKETS {
            let n = 500 + mix(seed, &format!("{name} {bucket}")) % 200;
            list.extend((0..n).map(|n| (bucket, format!("{name}.{bucket}.{n}@{domain}"), 0)));
        }
        all.extend(list.iter().map(|(_, address, _)| address.clone()));
        life::submit(store, Asked { name, pool, class, weight, start }, list, now).await;
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
    let first = (n * 61 + mix(seed, "first") % 200) % 200;
    let place = if tries == 1 { first } else { mix(seed, &format!("{recipient} {tries}")) % 200 };
    let (deferred, refused) = About::of(seed).answers();
    if place < deferred {
        reply(Stage::Rcpt, 451, "zz9 please come back another time")
    } else if place < deferred + refused {
        reply(Stage::Rcpt, 550, "5.1.1 Unknown user")
    } else {
        reply(Stage::Body, 250, "2.0.0 queued")
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
    left: BTreeMap<String, Vec<Timestamp>>,
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
        let (mut parts, now) = (mail.recipient.split('.').map(str::to_owned), self.clock.now());
        let (campaign, bucket) = (parts.next().unwrap(), parts.next().unwrap());
        seen.left.entry(bucket.clone()).or_default().push(now);
        if !is_deferral(&delivery) {
            seen.ends.insert((campaign, bucket), now);
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
pub(crate) async fn live(seed: u64) -> Lived {
    let begin: jiff::Zoned = BEGIN.parse().unwrap();
    let clock: SharedClock = Arc::new(PacedClock::new(begin.timestamp(), 1.0));
    let (config, store) = (config(seed), SqliteStore::in_memory());
    let recipients = submit(&store, seed, clock.now()).await;
    let scene = Scene::of_store(config.clone(), &store, clock.now()).await.unwrap();
    let foreseen = forecast(&scene, &shares(seed, &recipients), clock.now(), DAYS, STEP);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (of_relays, ticking) = (seen.clone(), clock.clone());
    let (own, gate) = (Arc::new(store.another_handle().unwrap()), Gate::new(Trouble::None, clock.clone()));
    let life = Life::begin(own, &clock, gate, &Arc::new(config), move |_| {
        Arc::new(Carrier { seed, clock: ticking.clone(), seen: of_relays.clone() })
    });
    while clock.elapsed() < Duration::from_secs(u64::from(DAYS) * 86_400) {
        clock.sleep(Duration::from_secs(3_600)).await;
        if is_over(&store).await {
            break;
        }
    }
    Life::end(vec![life], &clock).await;
    let Seen { ends, left, .. } = std::mem::take(&mut *seen.lock().unwrap());
    Lived { foreseen, ends, left, begin: begin.timestamp() }
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

/// Chance decides how often the very last message is tried, and each try of a lane at a few messages an hour takes its turn: in a list
/// of less than eight days that may be more than one per cent.
const LAST_TRIES: Duration = Duration::from_secs(2 * 3_600);

/// How far off a forecast may be, as a share of the time from beginning to end. Where an account's cap is short of what its lanes
/// want, which of them gets the odd message of an hour decides over some per cent of a lane's share; where lanes are slowed down by
/// chance, on the first day above all, the forecast knows the chance and not its course.
fn tolerance(seed: u64) -> f64 {
    let is_capped = |relay: &str| matches!(kind(seed, relay), Kind::CappedByDay(_) | Kind::CappedByHour(_));
    match About::of(seed) {
        About::Slowness => 0.1,
        _ if ["cold", "mild", "warm"].iter().any(|relay| is_capped(relay)) => 0.02,
        About::Limits | About::Gates => 0.01,
    }
}

/// Longer than any lane's pace here: nothing leaves before a window opens, a cap is free again or a day begins.
const STANDSTILL: f64 = 3_600.0;

impl Lived {
    /// Seconds between two times, without those in which mail of the bucket stood still: one message more or less, which chance
    /// decides, may leave before or behind them.
    fn flowing(&self, bucket: &str, one: Timestamp, other: Timestamp) -> f64 {
        let (from, to) = (one.min(other), one.max(other));
        let within = self.left[bucket].iter().copied().filter(|at| from < *at && *at < to);
        let times: Vec<Timestamp> = [from].into_iter().chain(within).chain([to]).collect();
        let spans = times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64());
        spans.filter(|span| *span < STANDSTILL).sum()
    }

    /// Each group's forecast, when it came to its end, and seconds from the beginning to it.
    fn groups(&self) -> impl Iterator<Item = (&str, &GroupForecast, Timestamp, f64)> {
        self.ends.iter().map(|((campaign, bucket), came)| {
            let course = self.foreseen.campaign(campaign).unwrap();
            let group = course.groups.iter().find(|g| g.bucket.as_str() == bucket).unwrap();
            (campaign.as_str(), group, *came, came.duration_since(self.begin).as_secs_f64())
        })
    }

    /// How far off each group's end was, as a share of the time from the beginning to it.
    pub(crate) fn errors(&self) -> Vec<f64> {
        let error = |(_, group, came, took): (&str, &GroupForecast, Timestamp, f64)| {
            Some((group.ends?.duration_since(came).as_secs_f64() / took).abs())
        };
        self.groups().filter_map(error).collect()
    }

    /// Where the forecast is further off than it may be.
    pub(crate) fn off(&self, seed: u64) -> Vec<String> {
        let mut off = Vec::new();
        for (campaign, group, came, took) in self.groups() {
            let bucket = group.bucket.as_str();
            let Some(ends) = group.ends else {
                off.push(format!("world {seed}, {campaign} to {bucket}: ends, and {} were to remain", group.remaining));
                continue;
            };
            let by = ends.duration_since(came).as_secs_f64();
            let most = (tolerance(seed) * took).max(LAST_TRIES.as_secs_f64());
            if by.abs() > most && self.flowing(bucket, ends, came) > most {
                off.push(format!(
                    "world {seed}, {campaign} to {bucket}: forecast {ends}, came {came}: {:+.2} %",
                    by / took * 100.0
                ));
            }
        }
        off
    }
}
