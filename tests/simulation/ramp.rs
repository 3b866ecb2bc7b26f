//! Owns the long worlds: weeks of a ramp in virtual time, under a provider whose mood drifts, with crashes, clocks that are set,
//! edited plans, outages, bad lists and an operator, in zones that change to summer time and back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{Clock, PacedClock, SharedClock};
use hikagen::config::{Answers, Config, RelaySettings};
use hikagen::core::campaign::CampaignId;
use hikagen::core::lane::Verdict;
use hikagen::store::Store;
use hikagen::store::sqlite::SqliteStore;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::carrier::mix;
use crate::destination::{Destination, Door, Outage, Seen};
use crate::faulty::{Faulty, Gate, Planted, Trouble};
use crate::life::{self, Asked, Life};
use crate::operator::{Given, Operator, Stop};

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
    /// The relay is down for hours on some days.
    pub(crate) outages: bool,
    /// The relay's answers are its own, and every destination is content.
    pub(crate) own: bool,
    /// Lists turn out bad on some days.
    pub(crate) floods: bool,
    /// The operator gives orders about the lanes.
    pub(crate) ordered: bool,
    /// Days that it lasts.
    pub(crate) days: i64,
}

impl RampAsk {
    pub(crate) fn new(seed: u64, trouble: Trouble) -> Self {
        let bit = |what: &str, n: u64| mix(seed, what).is_multiple_of(n);
        let hours = [26, -3, 2, -20][usize::try_from(mix(seed, "hours") % 4).unwrap()];
        // What is ordered about a lane, and what is wrong with a list, shows where there is mail.
        let idles = bit("idles", 4);
        let outages = bit("outages", 2);
        Self {
            trouble,
            set_by: bit("set", 3).then(|| SignedDuration::from_hours(hours)),
            edited: bit("edited", 3),
            idles,
            outages,
            own: outages && bit("own", 2),
            floods: !idles && bit("floods", 2),
            ordered: !idles && bit("ordered", 2),
            ..Self::plain(seed)
        }
    }

    /// Nothing but moods that drift.
    pub(crate) fn plain(seed: u64) -> Self {
        Self {
            seed,
            trouble: Trouble::None,
            planted: Planted::Nothing,
            set_by: None,
            edited: false,
            idles: false,
            calm: false,
            outages: false,
            own: false,
            floods: false,
            ordered: false,
            days: DAYS,
        }
    }

    /// The plan's budget of unknown users, in hundredths.
    pub(crate) fn budget(&self) -> u32 {
        [3, 10, 25][(mix(self.seed, "budget") % 3) as usize]
    }
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
    /// The call that was to write a lane's first stop down; 0: there was none.
    pub(crate) first_stop: u32,
    pub(crate) zone: TimeZone,
    pub(crate) first: Date,
    /// When it began.
    pub(crate) began: Timestamp,
    pub(crate) seen: Vec<Seen>,
    pub(crate) given: Vec<Given>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) store: SqliteStore,
    pub(crate) campaign: CampaignId,
    pub(crate) submitted: usize,
    pub(crate) died: Option<Timestamp>,
    pub(crate) in_the_air: u64,
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

fn config(ask: &RampAsk, zone: &TimeZone, divided: u32) -> Arc<Config> {
    let mut text = format!(
        "plan: ramp\ntimezone: {}\ndefaults: {{ window: \"07:00-19:00\", spread: {}, jitter: none }}\ngroups:\n",
        zone.iana_name().unwrap(),
        if mix(ask.seed, "spread").is_multiple_of(2) { "even" } else { "asap, rate: 1/min" },
    );
    for (group, _, curve) in CURVES {
        let group = if group == "google" { "gmail" } else { group };
        let values: Vec<String> = curve.iter().map(|v| (v / divided).to_string()).collect();
        let values = values.join(", ");
        let budget = ask.budget();
        text.push_str(&format!(
            "  {group}: {{ curve: [{values}], rate: 1/min, cooldown: 30m, unknown_budget: {budget}% }}\n"
        ));
    }
    text.push_str("  default: { curve: [10] }\n");
    let relay = life::relay("one", life::plan(&text), &[26 * 3_600], 30);
    let answers = if ask.own { Answers::Own } else { Answers::Carrier };
    let relay = RelaySettings { answers, ears: vec!["the session".to_owned()], ..relay };
    Arc::new(life::config(vec![relay], &[("news", &["one"])]))
}

/// A list of so many in each bucket, numbered from `from`.
fn list(from: usize, each: usize) -> Vec<(&'static str, String, i64)> {
    let of = |(bucket, domain, _): (&'static str, &'static str, _)| {
        (from..from + each).map(move |n| (bucket, format!("{bucket}{n}@{domain}"), 0))
    };
    CURVES.into_iter().flat_map(of).collect()
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
        ask: ramp.ask,
        zone: ramp.zone.clone(),
        first: ramp.first,
        clock: clock.clone(),
        seen: seen.clone(),
        gate: gate.clone(),
        outages: Outage::all(&ramp.ask),
    });
    Life::begin(store, clock, gate, config, move |_| Arc::new(Door(here.clone())))
}

impl Ramp {
    /// Verdicts about a bucket, oldest first.
    pub(crate) async fn verdicts(&self, bucket: &str) -> Vec<Verdict> {
        let rows = self.store.verdicts(None, "2026-01-01".parse().unwrap()).await.unwrap();
        let mut rows: Vec<Verdict> = rows.into_iter().map(|(_, v)| v).filter(|v| v.bucket.as_str() == bucket).collect();
        rows.sort_by_key(|v| v.day);
        rows
    }

    pub(crate) fn day_of(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// A time of a clock that is right, since the world began.
    pub(crate) fn up(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.began)).unwrap_or_default()
    }

    /// When a day ends.
    pub(crate) fn end_of(&self, day: Date) -> Duration {
        self.up(day.tomorrow().unwrap().to_zoned(self.zone.clone()).unwrap().timestamp())
    }

    /// Whether a crash may hide an answer of that day, or a clock that was set may cut it in two.
    pub(crate) fn is_disturbed(&self, day: Date) -> bool {
        let died = self.died.map(|at| self.day_of(at));
        died.is_some_and(|died| died == day || died.tomorrow().unwrap() == day)
            || (self.ask.set_by.is_some() && (3..=8).contains(&self.nth(day)))
    }

    /// The number of a day, from 0.
    pub(crate) fn nth(&self, day: Date) -> i64 {
        i64::from(self.first.until(day).unwrap().get_days())
    }
}

/// Lives through a long world.
pub(crate) async fn live(ask: RampAsk) -> Ramp {
    let begin = begin(ask.seed);
    let set = Arc::new(SetClock { clock: PacedClock::new(begin.timestamp(), 1.0), set: Mutex::default() });
    let clock: SharedClock = set.clone();
    let zone = begin.time_zone().clone();
    let (plain, halved) = (config(&ask, &zone, 1), config(&ask, &zone, EDITED));
    let store = SqliteStore::in_memory();
    // An idle lane has enough for four days, and more on the fourteenth.
    let each = if ask.idles { 40 } else { 80 * usize::try_from(ask.days).unwrap() };
    let (campaign, submitted) =
        life::submit(&store, Asked::bulk("spring", clock.now()), list(0, each), clock.now()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut ramp = Ramp {
        ask,
        calls: 0,
        first_stop: 0,
        zone,
        first: begin.date(),
        began: begin.timestamp(),
        seen: Vec::new(),
        given: Vec::new(),
        stops: Vec::new(),
        store,
        campaign,
        submitted,
        died: None,
        in_the_air: 0,
    };
    let mut life = begin_life(&ramp, &clock, &seen, &plain, ask.trouble);
    let mut operator = Operator::new(ask, ramp.store.another_handle().unwrap(), clock.clone());
    for hour in 0..ask.days * 24 {
        let day = hour / 24;
        if let Some(by) = ask.set_by {
            let wrong = (5 * 24 + 4..5 * 24 + 9).contains(&hour);
            *set.set.lock().unwrap() = if wrong { by } else { SignedDuration::ZERO };
        }
        if ask.edited && (hour == 6 * 24 + 5 || hour == 10 * 24 + 5) {
            life.reload(if hour == 6 * 24 + 5 { &halved } else { &plain }).await;
        }
        if ask.idles && hour == 13 * 24 - 2 {
            life::submit(&ramp.store, Asked::bulk("autumn", clock.now()), list(10_000, 400), clock.now()).await;
        }
        operator.act(hour).await;
        let gate = life.gate.clone();
        tokio::select! {
            () = gate.died.notified() => {
                ramp.died = Some(clock.now());
                ramp.in_the_air += life.kill(&ramp.store).await;
                let now = if ask.edited && (6..10).contains(&day) { &halved } else { &plain };
                life = begin_life(&ramp, &clock, &seen, now, Trouble::None);
                clock.sleep(Duration::from_secs(1_800)).await;
            }
            () = clock.sleep(Duration::from_secs(3_600)) => {}
        }
    }
    ramp.calls = life.gate.calls.load(Ordering::SeqCst);
    ramp.first_stop = life.gate.first_stop.load(Ordering::SeqCst);
    Life::end(vec![life], &clock).await;
    (ramp.given, ramp.stops) = (operator.given, operator.stops);
    ramp.seen = seen.lock().unwrap().clone();
    ramp
}
