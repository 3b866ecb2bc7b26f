//! Broken promises, planted one at a time: each must be found, and named.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, Time, date};
use jiff::tz::TimeZone;

use super::*;
use crate::config::{Answers, RelayLimits, RelaySettings, RetrySettings, Timeouts, TlsMode, Uncertain, Warmup};
use crate::core::campaign::Class;
use crate::core::plan::{
    Avoid, Curve, CurveShape, Gate, LanePlan, Plan, Source, Sourced, Spread, Then, Throttling, UNKNOWN_BUDGET,
    WeekHours,
};
use crate::store::{RecountRow, Release};

fn sourced<T>(value: T) -> Sourced<T> {
    Sourced { value, source: Source::BuiltIn }
}

fn nine_to_five() -> WeekHours {
    WeekHours { days: std::array::from_fn(|_| vec![(540, 1_020)]) }
}

fn plan(values: &[u32]) -> Plan {
    let lane = LanePlan {
        curve: sourced(Curve {
            shape: CurveShape::Listed { values: values.to_vec(), preset: None },
            scale: None,
            then: Then::Last,
            up_to: None,
        }),
        rate: Some(sourced("1/s".parse().unwrap())),
        burst: None,
        per_hour: NonZeroU32::new(60).map(sourced),
        connections: None,
        messages_per_connection: None,
        window: sourced(nine_to_five()),
        avoid: sourced(Avoid::default()),
        spread: sourced(Spread::Asap),
        jitter: None,
        transactional: None,
        cooldown: sourced(std::time::Duration::from_secs(300)),
        gate: Gate::default(),
        throttling: Throttling::default(),
        unknown_budget: sourced(UNKNOWN_BUDGET),
    };
    Plan {
        name: "test".parse().unwrap(),
        timezone: TimeZone::get("Asia/Tokyo").unwrap(),
        day_starts: Time::midnight(),
        lanes: BTreeMap::new(),
        default: Arc::new(lane),
        text: format!("{values:?}").into(),
    }
}

fn settings(limits: RelayLimits) -> Arc<RelaySettings> {
    Arc::new(RelaySettings {
        name: "r".parse().unwrap(),
        known: None,
        host: "127.0.0.1".into(),
        port: 25,
        tls: TlsMode::None,
        ca: None,
        auth: None,
        domain: "m.example.jp".into(),
        hello: None,
        plan: Arc::new(plan(&[10, 20, 40])),
        plan_source: "test".into(),
        ears: Vec::new(),
        next_plan: None,
        warmup: Warmup { day: 1, started: None },
        limits,
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

const FIRST: Date = date(2026, 11, 24);

/// A clean day: `n` messages from 10:00, one every two minutes.
fn day(offset: i64, warmup_day: u32, n: u32) -> DayEvidence {
    let day = FIRST + jiff::Span::new().days(offset);
    let ten = day.at(10, 0, 0, 0).in_tz("Asia/Tokyo").unwrap().timestamp().as_microsecond();
    DayEvidence {
        row: RecountRow {
            lane: "r/docomo".parse().unwrap(),
            day,
            warmup_days: vec![warmup_day],
            counted: u64::from(n),
            in_the_air: 0,
            lost: 0,
            folded: 0,
            spent: Some(n),
            quota_peak: Some(1_000),
        },
        releases: (0..i64::from(n)).map(|i| Release { at: ten + i * 120_000_000, class: Class::Bulk }).collect(),
    }
}

fn audit_of(days: Vec<DayEvidence>, limits: RelayLimits, plans: Vec<InForce>) -> Audit {
    let (relay, settings) = ("r".parse().unwrap(), Some(settings(limits)));
    judge(&[RelayEvidence { relay, settings, plans, days, steered: BTreeSet::new() }], FIRST)
}

fn rules(days: Vec<DayEvidence>) -> Vec<Rule> {
    audit_of(days, RelayLimits::default(), Vec::new()).violations.into_iter().map(|v| v.rule).collect()
}

#[test]
fn a_run_within_its_plan_is_clean() {
    let audit = audit_of(vec![day(0, 1, 10), day(1, 2, 20), day(2, 3, 30)], RelayLimits::default(), Vec::new());
    assert!(audit.is_clean(), "{}", audit.render());
    assert_eq!(audit.releases, 60);
    assert_eq!(audit.days.iter().map(|d| d.quota).collect::<Vec<_>>(), [Some(10), Some(20), Some(40)]);
}

#[test]
fn a_message_over_quota_is_found_whatever_the_ledger_says() {
    let audit = audit_of(vec![day(0, 1, 11)], RelayLimits::default(), Vec::new());
    assert_eq!(audit.violations.len(), 1, "{}", audit.render());
    assert_eq!(
        audit.violations[0].text,
        "r/docomo on 2026-11-24: 11 messages handed over, but warm-up day 1 allows 10"
    );
    let mut in_the_air = day(0, 1, 9);
    in_the_air.row.in_the_air = 1;
    in_the_air.row.lost = 1;
    in_the_air.row.spent = Some(11);
    assert_eq!(rules(vec![in_the_air]), [Rule::Quota]);
}

#[test]
fn a_ledger_that_disagrees_with_the_attempts_is_found() {
    let mut short = day(0, 1, 8);
    short.row.spent = Some(7);
    assert_eq!(rules(vec![short]), [Rule::Ledger]);
    let mut none = day(0, 1, 8);
    none.row.spent = None;
    assert_eq!(rules(vec![none]), [Rule::Ledger]);
    let mut above_peak = day(0, 1, 8);
    above_peak.row.quota_peak = Some(7);
    assert_eq!(rules(vec![above_peak]), [Rule::Ledger]);
}

#[test]
fn a_warm_up_day_that_was_not_earned_is_found() {
    let mut two = day(0, 1, 8);
    two.row.warmup_days = vec![1, 2];
    assert_eq!(rules(vec![two]), [Rule::WarmupDay]);
    assert_eq!(rules(vec![day(0, 1, 10), day(1, 3, 5)]), [Rule::WarmupDay]);
    assert_eq!(rules(vec![day(0, 1, 4), day(1, 2, 5)]), [Rule::WarmupDay]);
    assert_eq!(rules(vec![day(0, 1, 5), day(1, 2, 5), day(2, 1, 5)]), []);
}

#[test]
fn a_release_outside_the_window_is_found_unless_it_is_transactional() {
    let mut early = day(0, 1, 2);
    early.releases[0].at -= 2 * 3_600_000_000;
    assert_eq!(rules(vec![early.clone()]), [Rule::Window]);
    early.releases[0].class = Class::Transactional;
    assert_eq!(rules(vec![early]), []);
}

#[test]
fn a_pace_above_burst_and_rate_is_found_over_any_time() {
    let mut fast = day(0, 1, 3);
    for (i, release) in fast.releases.iter_mut().enumerate() {
        release.at = day(0, 1, 1).releases[0].at + i64::try_from(i).unwrap() * 400_000;
    }
    let audit = audit_of(vec![fast.clone()], RelayLimits::default(), Vec::new());
    assert_eq!(audit.violations.iter().map(|v| v.rule).collect::<Vec<_>>(), [Rule::Rate]);
    assert!(audit.violations[0].text.contains("3 messages released within 800ms"), "{}", audit.violations[0].text);
    // Two at once and one a second later is burst 2 + 1/s exactly.
    let start = fast.releases[0].at;
    (fast.releases[1].at, fast.releases[2].at) = (start, start + 1_000_000);
    assert_eq!(rules(vec![fast.clone()]), []);
    fast.releases[2].at -= 10;
    assert_eq!(rules(vec![fast]), [Rule::Rate]);
}

#[test]
fn an_hour_too_full_is_found_over_midnight_of_the_record_too() {
    let mut full = day(2, 3, 40);
    let more = day(2, 3, 21);
    full.releases.extend(more.releases.iter().map(|r| Release { at: r.at + 7, class: r.class }));
    full.releases.sort();
    full.row.counted = 61;
    full.row.spent = Some(61);
    for (i, release) in full.releases.iter_mut().enumerate() {
        release.at = day(2, 3, 1).releases[0].at + i64::try_from(i).unwrap() * 59_000_000;
    }
    let found = rules(vec![full]);
    assert!(found.contains(&Rule::PerHour), "{found:?}");
}

#[test]
fn the_accounts_own_limits_are_looked_at_across_lanes() {
    let mut au = day(0, 1, 10);
    au.row.lane = "r/au".parse().unwrap();
    let days = || vec![day(0, 1, 10), au.clone()];
    let limits = |edit: &dyn Fn(&mut RelayLimits)| {
        let mut limits = RelayLimits::default();
        edit(&mut limits);
        audit_of(days(), limits, Vec::new()).violations.into_iter().map(|v| v.rule).collect::<Vec<_>>()
    };
    assert_eq!(limits(&|l| l.per_day = NonZeroU32::new(19)), [Rule::AccountPerDay]);
    assert_eq!(limits(&|l| l.per_hour = NonZeroU32::new(19)), [Rule::AccountPerHour]);
    assert_eq!(limits(&|l| l.per_day = NonZeroU32::new(20)), []);
    let slow = |l: &mut RelayLimits| (l.rate, l.burst) = ("1/min".parse().ok(), NonZeroU32::new(1));
    assert_eq!(limits(&slow), [Rule::AccountRate]);
}

#[test]
fn a_day_under_an_edited_plan_is_judged_by_the_most_generous_plan_of_that_day() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let in_force = |since: &str, values: &[u32]| InForce { since: at(since), plan: Some(Arc::new(plan(values))) };
    let plans = || vec![in_force("2026-11-01T00:00:00Z", &[5]), in_force("2026-11-24T03:00:00Z", &[12])];
    let found = |days| audit_of(days, RelayLimits::default(), plans()).violations;
    assert_eq!(found(vec![day(0, 1, 12)]), []);
    assert_eq!(found(vec![day(0, 1, 13)]).len(), 1);
    assert_eq!(found(vec![day(-1, 1, 6)]).len(), 1);
    let unreadable = vec![InForce { since: at("2026-11-01T00:00:00Z"), plan: None }];
    let audit = audit_of(vec![day(0, 1, 12)], RelayLimits::default(), unreadable);
    assert!(audit.is_clean() && audit.remarks.len() == 1, "{}", audit.render());
}

#[test]
fn folded_attempts_are_judged_by_their_counts_and_said() {
    let mut first = day(0, 1, 10);
    (first.row.folded, first.releases) = (10, Vec::new());
    let audit = audit_of(vec![first.clone(), day(1, 2, 20)], RelayLimits::default(), Vec::new());
    assert!(audit.is_clean(), "{}", audit.render());
    assert_eq!((audit.releases, audit.days[0].folded), (20, 10));
    let said = audit.render();
    assert!(said.contains("Not looked at: r/docomo: the hours and rates of 10 attempts up to 2026-11-24"), "{said}");
    first.row.counted = 11;
    assert_eq!(rules(vec![first]), [Rule::Quota, Rule::Ledger]);
}

#[test]
fn a_warm_up_day_that_was_set_needs_no_earning() {
    let days = vec![day(0, 1, 10), day(1, 3, 10)];
    assert_eq!(rules(days.clone()), [Rule::WarmupDay]);
    let steered = BTreeSet::from([("docomo".parse().unwrap(), FIRST.tomorrow().unwrap())]);
    let (relay, settings) = ("r".parse().unwrap(), Some(settings(RelayLimits::default())));
    let audit = judge(&[RelayEvidence { relay, settings, plans: Vec::new(), days, steered }], FIRST);
    assert!(audit.is_clean(), "{:?}", audit.violations);
}
