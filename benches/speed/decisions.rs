//! Owns the fourth part: what deciding costs with 10, 100 and 1,000 lanes, by the pure core alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use hikagen::core::campaign::{CampaignId, Class};
use hikagen::core::moment::Moment;
use hikagen::core::names::BucketName;
use hikagen::core::plan::{
    Avoid, Curve, CurveShape, Gate, LanePlan, Plan, Source, Sourced, Spread, Then, Throttling, UNKNOWN_BUDGET,
    WeekHours,
};
use hikagen::core::schedule::{AHEAD, Backlog, Line, Past, PoolLines, Schedule, Terms};
use jiff::civil::{Time, date};
use jiff::tz::TimeZone;

use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float};

/// Virtual time between two ticks.
const TICK: Duration = Duration::from_millis(10);

fn built_in<T>(value: T) -> Sourced<T> {
    Sourced { value, source: Source::BuiltIn }
}

/// Every lane sends 10 a second.
fn plan() -> Result<Plan> {
    let lane = LanePlan {
        curve: built_in(Curve {
            shape: CurveShape::Listed { values: vec![100_000_000], preset: None },
            scale: None,
            then: Then::Last,
            up_to: None,
        }),
        rate: Some(built_in("10/s".parse()?)),
        burst: None,
        per_hour: None,
        connections: None,
        messages_per_connection: None,
        window: built_in(WeekHours::always()),
        avoid: built_in(Avoid::default()),
        spread: built_in(Spread::Asap),
        jitter: None,
        transactional: None,
        cooldown: built_in(Duration::from_secs(3_600)),
        gate: Gate::default(),
        throttling: Throttling::default(),
        unknown_budget: built_in(UNKNOWN_BUDGET),
    };
    Ok(Plan {
        name: "measure".parse()?,
        timezone: TimeZone::UTC,
        day_starts: Time::midnight(),
        lanes: BTreeMap::new(),
        default: Arc::new(lane),
        text: "".into(),
    })
}

/// Nanoseconds of a tick and of a message released, over `ticks` of virtual time.
fn measure(lanes: u32, ticks: u32) -> Result<(f64, f64)> {
    let at = date(2026, 3, 3).at(8, 0, 0, 0).to_zoned(TimeZone::UTC)?.timestamp();
    let mut now = Moment { at, up: Duration::from_secs(1_000) };
    let terms = Terms {
        relay: "measure".parse()?,
        plan: Arc::new(plan()?),
        next: None,
        first_day: 1,
        started: None,
        rate: None,
        burst: None,
        per_hour: None,
        per_day: None,
        connections: lanes * 2,
        answers_own: true,
        ears: Vec::new(),
        ahead: AHEAD,
    };
    let (mut schedule, _) = Schedule::open(terms, Vec::new(), Past::default(), now);
    let buckets: Vec<BucketName> = (0..lanes).map(|i| format!("lane-{i}").parse()).collect::<Result<_, _>>()?;
    let campaign = CampaignId(1);
    let line = Line { campaign, class: Class::Bulk, weight: 100, fresh: 100_000_000, retries: 0 };
    let mut backlog = Backlog::default();
    for bucket in &buckets {
        schedule.see(bucket, now);
        schedule.join(bucket, &[campaign]);
        let pool = PoolLines { lines: vec![line.clone()], needed_by_earlier: 0, exempt: vec![false] };
        backlog.lanes.insert(bucket.clone(), vec![pool]);
    }
    let began = Instant::now();
    let mut released = 0_u64;
    for _ in 0..ticks {
        for want in schedule.wants(&backlog, now) {
            let n = want.wants.iter().map(|w| w.fresh).sum();
            schedule.claimed(&want.bucket, Class::Bulk, (campaign, 100, n, 0), now);
        }
        schedule.turn();
        for bucket in &buckets {
            if schedule.release(bucket, Class::Bulk, now.at, false, now).is_ok() {
                schedule.answered(bucket, false, None, None, now);
                released += 1;
            }
        }
        now = now.plus(TICK);
    }
    let spent = float(began.elapsed().as_nanos());
    Ok((spent / float(ticks), spent / float(released)))
}

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    say("lanes");
    let ticks = if rounds.quick { 300 } else { 2_000 };
    let mut tick: [Samples; 3] = Default::default();
    let mut each: [Samples; 3] = Default::default();
    for _ in 0..rounds.n {
        for (i, lanes) in [10, 100, 1_000].into_iter().enumerate() {
            let (of_tick, of_message) = measure(lanes, ticks)?;
            tick[i].push(of_tick);
            each[i].push(of_message);
        }
    }
    let growth = each[2].over(&each[0]);
    let what = "a decision with 1,000 lanes, times its cost with 10 (linear would be 100)";
    report.goal(what, &growth, Bar::AtMost(99.0), "");
    for (i, lanes) in ["10", "100", "1,000"].into_iter().enumerate() {
        let microseconds = |samples: &Samples| Samples(samples.0.iter().map(|ns| ns / 1e3).collect()).show();
        let value =
            format!("{} µs a message, {} µs a look at all lanes", microseconds(&each[i]), microseconds(&tick[i]));
        report.figure(&format!("deciding with {lanes} lanes"), value);
    }
    Ok(())
}
