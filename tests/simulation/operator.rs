//! Owns the operator of a long world: what it orders about which lane and when, and that it resumes a lane that stopped, late.

use std::collections::BTreeMap;
use std::time::Duration;

use hikagen::clock::SharedClock;
use hikagen::core::journal::{Entry, Kind};
use hikagen::core::names::LaneKey;
use hikagen::core::schedule::Course;
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{LaneOrder, Pause, PauseCause, Scope, Store};
use jiff::Timestamp;

use crate::carrier::mix;
use crate::ramp::{CURVES, RampAsk};

/// What it orders about a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Course(Course),
    /// For so many hours; `None`: until it resumes.
    Pause(Option<u64>),
    Resume,
}

/// An order that was given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) at: Timestamp,
    /// Since the world began.
    pub(crate) up: Duration,
    pub(crate) bucket: &'static str,
    pub(crate) order: Order,
}

/// A lane that stood stopped, as the operator saw it once an hour. Times since the world began.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) bucket: &'static str,
    pub(crate) from: Duration,
    pub(crate) until: Option<Duration>,
}

/// The operator of a world.
pub(crate) struct Operator {
    ask: RampAsk,
    store: SqliteStore,
    clock: SharedClock,
    /// Hour since the world began in which it first saw a lane stopped.
    stopped: BTreeMap<&'static str, i64>,
    pub(crate) given: Vec<Given>,
    pub(crate) stops: Vec<Stop>,
}

/// What is ordered about a bucket, by the hour of the world.
fn orders(ask: &RampAsk, bucket: &str) -> Vec<(i64, Order)> {
    let dice = |what: &str, n: u64| i64::try_from(mix(ask.seed, &format!("order {bucket} {what}")) % n).unwrap();
    let held = 24 * (2 + dice("hold on", 5)) + dice("hold at", 24);
    let goes = held + 20 + dice("hold for", 60);
    let set = 24 * (9 + dice("set on", 4)) + dice("set at", 12);
    let day = u32::try_from(1 + dice("set to", 7)).unwrap();
    let paused = 24 * (3 + dice("pause on", 8)) + dice("pause at", 11);
    let hours = 1 + dice("pause for", 30);
    // Whoever sets the clock would move the end of a pause.
    let by_itself = dice("pause ends", 2) == 0 && ask.set_by.is_none();
    let mut orders = vec![
        (held, Order::Course(Course::Hold)),
        (goes, Order::Course(Course::GoOn)),
        (set, Order::Course(Course::SetDay(day))),
        (24 * (6 + dice("lift on", 6)) + dice("lift at", 24), Order::Course(Course::Lift)),
        (paused, Order::Pause(by_itself.then_some(hours.unsigned_abs()))),
    ];
    if !by_itself {
        orders.push((paused + hours, Order::Resume));
    }
    orders
}

impl Operator {
    pub(crate) fn new(ask: RampAsk, store: SqliteStore, clock: SharedClock) -> Self {
        Self { ask, store, clock, stopped: BTreeMap::new(), given: Vec::new(), stops: Vec::new() }
    }

    /// What it does in the `hour`-th hour.
    pub(crate) async fn act(&mut self, hour: i64) {
        for (bucket, ..) in CURVES {
            let orders = if self.ask.ordered { orders(&self.ask, bucket) } else { Vec::new() };
            for (_, order) in orders.into_iter().filter(|(at, _)| *at == hour) {
                self.give(bucket, order).await;
            }
        }
        let pauses = self.store.outlook(self.clock.now()).await.unwrap().pauses;
        for (bucket, ..) in CURVES {
            let stops = |p: &Pause| p.cause == PauseCause::Stop && p.scope == Scope::Lane(lane(bucket));
            if !pauses.iter().any(stops) {
                self.stopped.remove(bucket);
                continue;
            }
            if !self.stopped.contains_key(bucket) {
                self.stops.push(Stop { bucket, from: self.clock.elapsed(), until: None });
            }
            let since = *self.stopped.entry(bucket).or_insert(hour);
            let wait = [2, 5, 12, 30][(mix(self.ask.seed, &format!("{bucket} {since}")) % 4) as usize];
            if hour >= since + wait {
                self.give(bucket, Order::Resume).await;
            }
        }
    }

    async fn give(&mut self, bucket: &'static str, order: Order) {
        let (at, reason) = (self.clock.now(), "by the operator of this world".to_owned());
        match &order {
            Order::Course(course) => {
                let (course, by) = (course.clone(), "operator@world".to_owned());
                self.store.order_lane(LaneOrder { at, lane: lane(bucket), course, by, reason }).await.unwrap();
            }
            Order::Pause(hours) => {
                let until = hours.map(|hours| at.checked_add(Duration::from_secs(hours * 3_600)).unwrap());
                let (scope, cause) = (Scope::Lane(lane(bucket)), PauseCause::Operator);
                self.store.pause(Pause { scope, cause, reason, since: at, until, times: 1 }).await.unwrap();
            }
            Order::Resume => {
                let ended = self.store.resume(&Scope::Lane(lane(bucket)), None).await.unwrap();
                if ended > 0 {
                    self.store.note(vec![resumed(lane(bucket), at, reason)]).await.unwrap();
                }
                self.stopped.remove(bucket);
                let now = self.clock.elapsed();
                self.stops
                    .iter_mut()
                    .filter(|s| s.bucket == bucket && s.until.is_none())
                    .for_each(|s| s.until = Some(now));
            }
        }
        self.given.push(Given { at, up: self.clock.elapsed(), bucket, order });
    }
}

/// What the journal says of it, as `lane resume` writes it.
fn resumed(lane: LaneKey, at: Timestamp, because: String) -> Entry {
    Entry {
        at,
        by: "operator@world".to_owned(),
        relay: Some(lane.relay),
        bucket: Some(lane.bucket),
        day: None,
        kind: Kind::Resumed,
        because,
        inputs: BTreeMap::new(),
        before: "paused".to_owned(),
        after: "mail flows".to_owned(),
    }
}

fn lane(bucket: &str) -> LaneKey {
    format!("one/{bucket}").parse().unwrap()
}
