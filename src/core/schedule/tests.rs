//! Tests of the schedule: a relay with lanes made by hand, stepped through plan days without any I/O.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::civil::{Time, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::core::plan::{
    Avoid, Curve, CurveShape, Gate, LanePlan, Source, Sourced, Spread, Then, Throttling, UNKNOWN_BUDGET, WeekHours,
};
use crate::core::reply::{Action, Reason, Signal};
use crate::core::units::Share;

fn sourced<T>(value: T) -> Sourced<T> {
    Sourced { value, source: Source::BuiltIn }
}

pub(super) fn lane(quota: u32, rate: Option<&str>, spread: Spread, hours: (u16, u16)) -> LanePlan {
    LanePlan {
        curve: sourced(Curve {
            shape: CurveShape::Listed { values: vec![quota], preset: None },
            scale: None,
            then: Then::Last,
            up_to: None,
        }),
        rate: rate.map(|r| sourced(r.parse().expect("a rate"))),
        burst: None,
        per_hour: None,
        connections: None,
        messages_per_connection: None,
        window: sourced(WeekHours { days: std::array::from_fn(|_| vec![hours]) }),
        avoid: sourced(Avoid::default()),
        spread: sourced(spread),
        jitter: Some(sourced(Share::percent(20))),
        transactional: None,
        cooldown: sourced(Duration::from_secs(3_600)),
        gate: Gate::default(),
        throttling: Throttling::default(),
        unknown_budget: sourced(UNKNOWN_BUDGET),
    }
}

pub(super) fn plan(lanes: Vec<(&str, LanePlan)>) -> Arc<Plan> {
    let lanes: BTreeMap<_, _> = lanes.into_iter().map(|(name, lane)| (bucket(name), Arc::new(lane))).collect();
    Arc::new(Plan {
        name: "test".parse().expect("a name"),
        timezone: TimeZone::UTC,
        day_starts: Time::midnight(),
        lanes,
        default: Arc::new(lane(10, None, Spread::Asap, (0, 1_440))),
        text: "".into(),
    })
}

pub(super) fn bucket(name: &str) -> BucketName {
    BucketName::new(name).expect("a name")
}

pub(super) fn terms(plan: Arc<Plan>) -> Terms {
    Terms {
        relay: "relay".parse().expect("a name"),
        plan,
        next: None,
        first_day: 1,
        started: None,
        rate: None,
        burst: None,
        per_hour: None,
        per_day: None,
        connections: 4,
        answers_own: false,
        ears: vec!["the session".to_owned()],
        ahead: AHEAD,
    }
}

/// 08:00 and some on a Tuesday, 1,000 s after boot.
pub(super) fn morning(seconds: u64) -> Moment {
    let at = date(2026, 11, 24).at(8, 0, 0, 0).to_zoned(TimeZone::UTC).expect("UTC has no gaps").timestamp();
    Moment { at, up: Duration::from_secs(1_000) }.plus(Duration::from_secs(seconds))
}

pub(super) fn open(terms: Terms, buckets: &[&str], now: Moment) -> Schedule {
    let (mut schedule, _) = Schedule::open(terms, Vec::new(), Past::default(), now);
    for name in buckets {
        schedule.see(&bucket(name), now);
    }
    schedule
}

/// A relay whose answers are its own, with a lane `docomo`.
pub(super) fn schedule_at(at: jiff::Timestamp) -> Schedule {
    let terms = Terms { answers_own: true, ..terms(plan(vec![("docomo", lane(10, None, Spread::Asap, (0, 1_440)))])) };
    open(terms, &["docomo"], Moment { at, up: Duration::from_secs(1_000) })
}

fn line(campaign: i64, class: Class, fresh: u64, retries: u64) -> Line {
    Line { campaign: CampaignId(campaign), class, weight: 1, fresh, retries }
}

fn backlog(rows: Vec<(&str, Vec<Line>)>) -> Backlog {
    let pools = |lines: Vec<Line>| vec![PoolLines { exempt: vec![false; lines.len()], lines, needed_by_earlier: 0 }];
    Backlog { lanes: rows.into_iter().map(|(name, lines)| (bucket(name), pools(lines))).collect() }
}

fn count(wants: &[LaneWant], name: &str) -> (u32, u32) {
    let of_lane = wants.iter().filter(|w| w.bucket == bucket(name)).flat_map(|w| &w.wants);
    of_lane.fold((0, 0), |sum, w| (sum.0 + w.retries, sum.1 + w.fresh))
}

/// Claims, releases and answers at once, in steps, until `until`; returns the times of release (seconds from the start).
fn run(schedule: &mut Schedule, name: &str, waiting: &mut u64, from: Moment, until: u64, step_ms: u64) -> Vec<f64> {
    let lane = bucket(name);
    let mut left = Vec::new();
    let mut unsent: Vec<Timestamp> = Vec::new();
    let mut ms = 0;
    while ms < until * 1_000 {
        let now = from.plus(Duration::from_millis(ms));
        for want in schedule.wants(&backlog(vec![(name, vec![line(1, Class::Bulk, *waiting, 0)])]), now) {
            let n: u32 = want.wants.iter().map(|w| w.fresh).sum();
            schedule.claimed(&lane, Class::Bulk, (CampaignId(1), 1, n, 0), now);
            unsent.extend((0..n).map(|_| now.at));
            *waiting -= u64::from(n);
        }
        while let Some(claimed_at) = unsent.first().copied()
            && schedule.release(&lane, Class::Bulk, claimed_at, false, now).is_ok()
        {
            unsent.remove(0);
            left.push(ms as f64 / 1_000.0);
            schedule.answered(&lane, false, None, None, now);
        }
        ms += step_ms;
    }
    left
}

#[test]
fn a_lane_uses_its_day_evenly_inside_its_window() {
    let mut schedule = open(
        terms(plan(vec![("docomo", lane(780, Some("60/min"), Spread::Even, (480, 1_260)))])),
        &["docomo"],
        morning(0),
    );
    let mut waiting = 5_000;
    let times = run(&mut schedule, "docomo", &mut waiting, morning(0), 14 * 3_600, 500);
    assert_eq!(times.len(), 780);
    assert!(times.last().is_some_and(|t| *t < 13.0 * 3_600.0 && *t > 12.9 * 3_600.0));
    for hour in 0..13 {
        let inside = times.iter().filter(|t| (**t / 3_600.0) as u32 == hour).count();
        assert!((55..=65).contains(&inside), "{inside} in hour {hour}");
    }
}

#[test]
fn a_rate_is_used_to_ninety_nine_percent_and_never_passed() {
    for rate in ["10/s", "100/s", "1000/s"] {
        let mut schedule = open(
            terms(plan(vec![("docomo", lane(1_000_000, Some(rate), Spread::Asap, (0, 1_440)))])),
            &["docomo"],
            morning(0),
        );
        let mut waiting = 1_000_000;
        let times = run(&mut schedule, "docomo", &mut waiting, morning(0), 12, 1);
        let rate: Rate = rate.parse().expect("a rate");
        assert!(times.len() as f64 >= rate.per_second() * 12.0 * 0.99 - 1.0, "{} at {rate}", times.len());
        for (i, from) in times.iter().enumerate() {
            let second = times[i..].iter().take_while(|t| **t - from < 1.0).count();
            assert!(second as f64 <= rate.per_second() + f64::from(rate.default_burst().get()), "{second} at {rate}");
        }
    }
}

#[test]
fn a_share_is_kept_for_transactional_mail_where_the_pool_has_any() {
    let mut schedule =
        open(terms(plan(vec![("docomo", lane(100, None, Spread::Asap, (480, 1_260)))])), &["docomo"], morning(0));
    let both = backlog(vec![("docomo", vec![line(1, Class::Bulk, 500, 0), line(2, Class::Transactional, 0, 0)])]);
    let claim_all = |schedule: &mut Schedule, now: Moment| {
        let mut sum = 0;
        loop {
            let (_, n) = count(&schedule.wants(&both, now), "docomo");
            if n == 0 {
                return sum;
            }
            schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, n, 0), now);
            for _ in 0..n {
                schedule.release(&bucket("docomo"), Class::Bulk, now.at, false, now).expect("free");
                schedule.answered(&bucket("docomo"), false, None, None, now);
            }
            sum += n;
        }
    };
    schedule.keep_for_transactional(true);
    assert_eq!(claim_all(&mut schedule, morning(0)), 98);
    let receipt = backlog(vec![("docomo", vec![line(2, Class::Transactional, 5, 0)])]);
    assert_eq!(count(&schedule.wants(&receipt, morning(1)), "docomo"), (0, 2));
    assert_eq!(claim_all(&mut schedule, morning(12 * 3_600 + 3_000)), 2, "it shrinks to nothing over the last hour");
}

#[test]
fn retries_take_a_fifth_of_the_day_while_fresh_mail_waits() {
    let schedule =
        open(terms(plan(vec![("docomo", lane(20, None, Spread::Asap, (0, 1_440)))])), &["docomo"], morning(0));
    let mixed = backlog(vec![("docomo", vec![line(1, Class::Bulk, 100, 100)])]);
    assert_eq!(count(&schedule.wants(&mixed, morning(0)), "docomo"), (4, 4), "eight at once: twice four connections");
    let alone = backlog(vec![("docomo", vec![line(1, Class::Bulk, 0, 100)])]);
    assert_eq!(count(&schedule.wants(&alone, morning(0)), "docomo"), (8, 0));
}

#[test]
fn what_an_earlier_relay_needs_is_left_to_it() {
    let schedule =
        open(terms(plan(vec![("docomo", lane(100, None, Spread::Asap, (0, 1_440)))])), &["docomo"], morning(0));
    let mut waiting = backlog(vec![("docomo", vec![line(1, Class::Bulk, 10, 0)])]);
    let set = |waiting: &mut Backlog, needed, exempt| {
        for pools in waiting.lanes.values_mut().flatten() {
            (pools.needed_by_earlier, pools.exempt) = (needed, vec![exempt]);
        }
    };
    for (needed, exempt, got) in [(10, false, 0), (50, false, 0), (7, false, 3), (0, false, 8), (50, true, 8)] {
        set(&mut waiting, needed, exempt);
        assert_eq!(count(&schedule.wants(&waiting, morning(0)), "docomo"), (0, got), "{needed} {exempt}");
    }
}

#[test]
fn account_limits_hold_over_all_lanes_together() {
    let lanes =
        vec![("au", lane(100, None, Spread::Asap, (0, 1_440))), ("docomo", lane(100, None, Spread::Asap, (0, 1_440)))];
    let account = Terms { per_hour: NonZeroU32::new(5), ..terms(plan(lanes)) };
    let mut schedule = open(account, &["au", "docomo"], morning(0));
    let both = backlog(vec![("au", vec![line(1, Class::Bulk, 50, 0)]), ("docomo", vec![line(1, Class::Bulk, 50, 0)])]);
    let wants = schedule.wants(&both, morning(0));
    assert_eq!(count(&wants, "au").1 + count(&wants, "docomo").1, 5);
    for want in &wants {
        let n: u32 = want.wants.iter().map(|w| w.fresh).sum();
        schedule.claimed(&want.bucket, Class::Bulk, (CampaignId(1), 1, n, 0), morning(0));
    }
    assert!(schedule.wants(&both, morning(3_599)).is_empty());
    assert!(!schedule.wants(&both, morning(3_616)).is_empty());
    let holds = schedule.explain(&bucket("docomo"), Class::Bulk, morning(60));
    assert!(holds.iter().any(|h| h.because == Because::RelayHourFull { cap: 5 }), "{holds:?}");
}

#[test]
fn a_blocked_lane_holds_no_other() {
    let lanes =
        vec![("au", lane(100, None, Spread::Asap, (0, 1_440))), ("docomo", lane(100, None, Spread::Asap, (0, 1_440)))];
    let mut schedule = open(terms(plan(lanes)), &["au", "docomo"], morning(0));
    let both = backlog(vec![("au", vec![line(1, Class::Bulk, 50, 0)]), ("docomo", vec![line(1, Class::Bulk, 50, 0)])]);
    let reading = Reading {
        rule: None,
        reason: Reason::Blocked,
        signal: Signal::Reputation,
        action: Action::Block,
        from_relay: false,
        meaning: "".into(),
    };
    let effect = schedule.answered(&bucket("docomo"), false, Some((&reading, Stage::Body)), None, morning(0));
    let Effect::PauseLane(pause) = effect else { panic!("{effect:?}") };
    schedule.pause(Some(&bucket("docomo")), Held { cause: pause.cause, reason: "blocked".into(), until: pause.until });
    let wants = schedule.wants(&both, morning(1));
    assert_eq!((count(&wants, "docomo"), count(&wants, "au")), ((0, 0), (0, 8)));
    assert!(!schedule.leaves_today(&bucket("docomo"), Class::Bulk, morning(23 * 3_600)));
    assert_eq!(
        count(&schedule.wants(&both, morning(3_601)), "docomo").1,
        4,
        "the cooldown is over: it has its share again"
    );
}

#[test]
fn a_lane_that_could_take_everything_leaves_to_the_others_what_they_ask_for() {
    let lanes = vec![
        ("au", lane(100_000, None, Spread::Asap, (0, 1_440))),
        ("docomo", lane(100_000, Some("2/s"), Spread::Asap, (0, 1_440))),
    ];
    let mut schedule = open(terms(plan(lanes)), &["au", "docomo"], morning(0));
    let line = || vec![line(1, Class::Bulk, 90_000, 0)];
    let both = backlog(vec![("au", line()), ("docomo", line())]);
    for _ in 0..4 {
        let wants = schedule.wants(&both, morning(1));
        let (greedy, modest) = (count(&wants, "au").1, count(&wants, "docomo").1);
        assert!(modest >= 2, "{modest} for a lane that asks for a second of its pace");
        assert_eq!(greedy + modest, 8, "and the whole air is used");
        schedule.turn();
    }
}

#[test]
fn a_lane_whose_mail_takes_long_leaves_the_air_to_the_others() {
    let lanes = vec![
        ("au", lane(100_000, None, Spread::Asap, (0, 1_440))),
        ("docomo", lane(100_000, Some("50/s"), Spread::Asap, (0, 1_440))),
    ];
    let mut schedule = open(terms(plan(lanes)), &["au", "docomo"], morning(0));
    let line = || vec![line(1, Class::Bulk, 90_000, 0)];
    let both = backlog(vec![("au", line()), ("docomo", line())]);
    schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, 4, 0), morning(1));
    let wants = schedule.wants(&both, morning(1));
    assert_eq!(
        (count(&wants, "au"), count(&wants, "docomo")),
        ((0, 4), (0, 0)),
        "half of the eight is docomo's already"
    );
}

#[test]
fn an_account_with_room_for_one_serves_the_lanes_by_turns() {
    let paced = || lane(100_000, Some("1/s"), Spread::Asap, (0, 1_440));
    let lanes = vec![
        ("au", paced()),
        ("docomo", paced()),
        ("google", lane(100_000, None, Spread::Asap, (0, 1_440))),
        ("softbank", paced()),
    ];
    let names = ["au", "docomo", "google", "softbank"];
    let account = Terms { per_hour: NonZeroU32::new(1), ..terms(plan(lanes)) };
    let mut schedule = open(account, &names, morning(0));
    let all = backlog(names.map(|name| (name, vec![line(1, Class::Bulk, 90_000, 0)])).to_vec());
    let mut served = BTreeMap::new();
    for hour in 0..12 {
        let now = morning(10 + hour * 3_700);
        for want in schedule.wants(&all, now) {
            *served.entry(want.bucket.to_string()).or_insert(0) += 1;
            schedule.claimed(&want.bucket, Class::Bulk, (CampaignId(1), 1, 1, 0), now);
            schedule.release(&want.bucket, Class::Bulk, now.at, false, now).unwrap();
            schedule.answered(&want.bucket, false, None, None, now);
        }
        schedule.turn();
    }
    let served: Vec<(&str, u32)> = served.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(served, names.map(|name| (name, 3)));
}

#[test]
fn an_account_with_room_for_one_serves_whoever_had_least_of_the_day() {
    let names = ["au", "docomo", "google"];
    let lanes = names.map(|name| (name, lane(100, None, Spread::Asap, (0, 1_440))));
    let account = Terms { per_day: NonZeroU32::new(25), ..terms(plan(lanes.to_vec())) };
    let mut schedule = open(account, &names, morning(0));
    let claim = |schedule: &mut Schedule, name: &str, n| {
        schedule.claimed(&bucket(name), Class::Bulk, (CampaignId(1), 1, n, 0), morning(0));
        (0..n).for_each(|_| schedule.given_back(&bucket(name), Class::Bulk, false, None));
    };
    for (name, had) in [("au", 12), ("docomo", 4), ("google", 8)] {
        claim(&mut schedule, name, had);
    }
    let waits = |name: &'static str| (name, vec![line(1, Class::Bulk, 50, 0)]);
    for _ in 0..3 {
        let wants = schedule.wants(&backlog(names.map(waits).to_vec()), morning(1));
        assert_eq!(wants.iter().map(|want| want.bucket.as_str()).collect::<Vec<_>>(), ["docomo"]);
        schedule.turn();
    }
}

#[test]
fn a_lane_that_can_take_nothing_of_a_class_leaves_the_air_to_that_class() {
    let lanes = ["au", "docomo"].map(|name| (name, lane(100, None, Spread::Asap, (0, 1_440))));
    let mut schedule = open(terms(plan(lanes.to_vec())), &["au", "docomo"], morning(0));
    // A fifth of au's day went to retries: no more of them while fresh mail waits.
    schedule.claimed(&bucket("au"), Class::Normal, (CampaignId(1), 1, 20, 20), morning(0));
    for _ in 0..20 {
        schedule.given_back(&bucket("au"), Class::Normal, true, None);
    }
    let all = backlog(vec![
        ("au", vec![line(1, Class::Normal, 0, 50), line(2, Class::Bulk, 50, 0)]),
        ("docomo", vec![line(1, Class::Normal, 50, 0)]),
    ]);
    for _ in 0..2 {
        let wants = schedule.wants(&all, morning(1));
        let got = (count(&wants, "au"), count(&wants, "docomo"));
        assert_eq!(got, ((0, 0), (0, 8)), "bulk mail waits for all that is normal");
        schedule.turn();
    }
}

#[test]
fn a_claim_is_short_enough_for_the_next_one_to_come_soon() {
    let lanes = vec![("au", lane(100_000, Some("50000/s"), Spread::Asap, (0, 1_440)))];
    let mut schedule = open(Terms { connections: 5_000, ..terms(plan(lanes)) }, &["au"], morning(0));
    let waiting = backlog(vec![("au", vec![line(1, Class::Bulk, 90_000, 0)])]);
    assert_eq!(count(&schedule.wants(&waiting, morning(1)), "au").1, 1_000);
    schedule.claimed(&bucket("au"), Class::Bulk, (CampaignId(1), 1, 1_000, 0), morning(1));
    assert_eq!(count(&schedule.wants(&waiting, morning(1)), "au").1, 1_000);
}

#[test]
fn what_is_given_back_unsent_on_the_same_day_can_be_claimed_again() {
    let mut schedule =
        open(terms(plan(vec![("docomo", lane(5, None, Spread::Asap, (0, 1_440)))])), &["docomo"], morning(0));
    let waiting = backlog(vec![("docomo", vec![line(1, Class::Bulk, 50, 0)])]);
    schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, 5, 0), morning(0));
    assert!(schedule.wants(&waiting, morning(1)).is_empty());
    schedule.given_back(&bucket("docomo"), Class::Bulk, false, Some((schedule.today(), morning(0).at)));
    let again = schedule.lanes()[&bucket("docomo")].left();
    schedule.given_back(&bucket("docomo"), Class::Bulk, false, None);
    assert_eq!((again, schedule.lanes()[&bucket("docomo")].left()), (1, 1));
}

#[test]
fn caps_of_a_worker_that_runs_for_long_hold_no_more_than_their_window() {
    let narrow =
        LanePlan { per_hour: Some(sourced(NonZeroU32::MAX)), ..lane(1_000_000, None, Spread::Asap, (0, 1_440)) };
    let account = Terms { per_hour: NonZeroU32::new(1_000), ..terms(plan(vec![("docomo", narrow)])) };
    let mut schedule = open(account, &["docomo"], morning(0));
    for minute in 0..600 {
        schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, 1, 0), morning(minute * 60));
    }
    assert!(schedule.caps(&bucket("docomo")).all(|cap| (60..=62).contains(&cap.cells())));
    assert_eq!(schedule.caps(&bucket("docomo")).count(), 2);
}

proptest! {
    #[test]
    fn no_quota_is_passed_and_a_restart_decides_the_same(quota in 1u32..60, steps in prop::collection::vec((0u64..900, 1u64..40), 1..40)) {
        let plan = plan(vec![("docomo", lane(quota, Some("1/s"), Spread::Even, (480, 1_260)))]);
        let mut schedule = open(terms(plan.clone()), &["docomo"], morning(0));
        let mut seconds = 0;
        for (wait, waiting) in steps {
            seconds += wait;
            let now = morning(seconds);
            let waits = backlog(vec![("docomo", vec![line(1, Class::Bulk, waiting, 0)])]);
            let wants = schedule.wants(&waits, now);
            prop_assert_eq!(&wants, &schedule.wants(&waits, now), "pure");
            let n = count(&wants, "docomo").1;
            schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, n, 0), now);
            let ledger = schedule.lanes()[&bucket("docomo")].ledger.clone();
            prop_assert!(ledger.spent <= quota);
            let (again, rollover) = Schedule::open(terms(plan.clone()), vec![ledger.clone()], Past::default(), now);
            prop_assert_eq!(rollover, Rollover::default());
            prop_assert_eq!(&again.lanes()[&bucket("docomo")].ledger, &ledger);
            for _ in 0..n {
                if schedule.release(&bucket("docomo"), Class::Bulk, now.at, false, now).is_err() {
                    schedule.given_back(&bucket("docomo"), Class::Bulk, false, Some((schedule.today(), now.at)));
                } else {
                    schedule.answered(&bucket("docomo"), false, None, None, now);
                }
            }
        }
    }
}
