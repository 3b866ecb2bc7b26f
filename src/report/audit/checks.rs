//! Owns the checks of an audit, each of one promise. They share no code with what they judge: no ledger, no throttle.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::{Audit, AuditedDay, DayEvidence, RelayEvidence, Rule, Violation};
use crate::core::campaign::Class;
use crate::core::lane::calendar::{Hours, day_bounds};
use crate::core::names::LaneKey;
use crate::core::plan::{LanePlan, Plan};
use crate::core::units::Rate;
use crate::report::words::{count, number};
use crate::store::{RecountRow, Release};

/// Times of release are kept in whole microseconds, rounded down: two of them may seem this much closer than they were.
const RESOLUTION_NANOS: i128 = 1_000;

/// Judges one relay with all its lanes.
pub(super) fn relay(evidence: &RelayEvidence, audit: &mut Audit) {
    for days in evidence.lanes().values() {
        lane(evidence, days, audit);
    }
    account(evidence, audit);
}

fn lane(evidence: &RelayEvidence, days: &[&DayEvidence], audit: &mut Audit) {
    let mut earlier: Option<(&DayEvidence, &[u32])> = None;
    for day in days {
        let key = &day.row.lane;
        let plans = plans_of(evidence, day);
        if plans.iter().any(Option::is_none) {
            audit.remarks.push(format!(
                "{key} on {}: the plan of that day can no longer be read; its quota is taken from the ledger, hours and rates are left out",
                day.row.day
            ));
        }
        quota(evidence, day, &plans, audit);
        ledger(day, audit);
        warmup_day(evidence, earlier, day, audit);
        hours(evidence, day, audit);
        audit.releases += day.releases.len() as u64;
        earlier = Some((day, &day.row.warmup_days));
    }
    folded(days, audit);
    for (limits, times) in stretches(evidence, days) {
        let key = &days[0].row.lane;
        let mut found = |rule, text| audit.violations.push(violation(rule, key, None, text));
        if let Some(rate) = limits.rate {
            pace(&times, rate, limits.burst, |text| found(Rule::Rate, format!("{key}: {text}")));
        }
        if let Some(most) = limits.per_hour {
            rolling(&times, HOUR, most, "60 minutes", |text| found(Rule::PerHour, format!("{key}: {text}")));
        }
    }
}

/// Of folded attempts the counts are kept and judged; their times are gone.
fn folded(days: &[&DayEvidence], audit: &mut Audit) {
    let of = || days.iter().map(|day| &day.row).filter(|row| row.folded > 0);
    if let Some(last) = of().next_back() {
        audit.remarks.push(format!(
            "{}: the hours and rates of {} up to {}, whose details were folded into counts (`retention`); quota, ledger and \
             warm-up day were",
            last.lane,
            count(of().map(|row| row.folded).sum(), "attempt"),
            last.day
        ));
    }
}

fn violation(rule: Rule, lane: &LaneKey, day: Option<Date>, text: String) -> Violation {
    Violation { rule, relay: lane.relay.clone(), lane: Some(lane.clone()), day, text }
}

/// The plans in force on a plan day, whose bounds are those of the newest plan.
fn plans_of(evidence: &RelayEvidence, day: &DayEvidence) -> Vec<Option<Arc<Plan>>> {
    let newest = evidence.plans.iter().rev().find_map(|p| p.plan.as_deref());
    let Some(plan) = newest.or(evidence.settings.as_ref().map(|s| &*s.plan)) else { return vec![None] };
    let (from, to) = day_bounds(&plan.timezone, plan.day_starts, day.row.day);
    evidence.plans_between(from, to)
}

fn handed_over(day: &DayEvidence) -> u64 {
    day.row.counted + day.row.in_the_air + day.row.lost
}

fn quota(evidence: &RelayEvidence, day: &DayEvidence, plans: &[Option<Arc<Plan>>], audit: &mut Audit) {
    let row = &day.row;
    let stamped = row.warmup_days.iter().max().copied();
    let allowed = |plan: &Plan| stamped.map(|d| plan.lane(&row.lane.bucket).curve.value.quota(d));
    let readable: Option<Vec<u32>> = plans.iter().map(|p| p.as_deref().and_then(allowed)).collect();
    let most = readable.and_then(|all| all.into_iter().max()).or(if evidence.settings.is_none() || stamped.is_some() {
        row.quota_peak
    } else {
        None
    });
    let over = handed_over(day);
    if let Some(most) = most
        && over > u64::from(most)
    {
        let text = format!(
            "{} on {}: {} handed over, but warm-up day {} allows {}",
            row.lane,
            row.day,
            count(over, "message"),
            stamped.map_or_else(|| "?".to_owned(), |d| d.to_string()),
            number(u64::from(most))
        );
        audit.violations.push(violation(Rule::Quota, &row.lane, Some(row.day), text));
    }
    audit.days.push(AuditedDay {
        lane: row.lane.clone(),
        day: row.day,
        warmup_day: stamped,
        quota: most,
        attempts: row.counted,
        in_the_air: row.in_the_air,
        lost: row.lost,
        folded: row.folded,
        spent: row.spent,
    });
}

fn ledger(day: &DayEvidence, audit: &mut Audit) {
    let row = &day.row;
    let over = handed_over(day);
    let text = match (row.spent, row.quota_peak) {
        (None, _) if over > 0 => format!("{} has no ledger, but {} left", row.lane, count(over, "message")),
        // More spent than left is waste, not a broken promise: claims given back after their plan day had ended.
        (Some(spent), _) if u64::from(spent) < over => format!(
            "the ledger of {} says {} spent; {} counted, {} in the air and {} lost make {}",
            row.lane,
            number(u64::from(spent)),
            number(row.counted),
            number(row.in_the_air),
            number(row.lost),
            number(over)
        ),
        (Some(spent), Some(peak)) if spent > peak => {
            format!("the ledger of {} says {spent} spent of at most {peak}", row.lane)
        }
        _ => return,
    };
    audit.violations.push(violation(Rule::Ledger, &row.lane, Some(row.day), format!("{text} (on {})", row.day)));
}

fn warmup_day(evidence: &RelayEvidence, earlier: Option<(&DayEvidence, &[u32])>, day: &DayEvidence, audit: &mut Audit) {
    let row = &day.row;
    // By order or by a late answer the warm-up day moves within a plan day, and needs no earning.
    let since = earlier.map_or(row.day, |(before, _)| before.row.day.tomorrow().unwrap_or(before.row.day));
    if evidence.steered.iter().any(|(bucket, on)| *bucket == row.lane.bucket && (since..=row.day).contains(on)) {
        return;
    }
    let mut found = |text: String| audit.violations.push(violation(Rule::WarmupDay, &row.lane, Some(row.day), text));
    if row.warmup_days.len() > 1 {
        found(format!("{} on {}: claims carry several warm-up days: {:?}", row.lane, row.day, row.warmup_days));
    }
    let (Some((before, days)), Some(&now)) = (earlier, row.warmup_days.iter().max()) else { return };
    let Some(&then) = days.iter().max() else { return };
    if now > then + 1 {
        found(format!(
            "{}: warm-up day {now} on {} after day {then} on {}: a day may rise by one at most",
            row.lane, row.day, before.row.day
        ));
    }
    if now > then {
        // The lower of the two bars (`emptied`), under the plan most generous with it: whoever is below it earned nothing.
        let bar = plans_of(evidence, before).into_iter().map(|plan| {
            plan.map(|p| {
                let lane = p.lane(&row.lane.bucket);
                let quota = lane.curve.value.quota(then);
                lane.gate.emptied.of(u64::from(quota)).min(lane.gate.filled.of(u64::from(quota)))
            })
        });
        if let Some(bar) = bar.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min())
            && handed_over(before) < bar
        {
            found(format!(
                "{}: warm-up day {then} on {} handed over {}, too few (at least {}) for day {now} to follow",
                row.lane,
                before.row.day,
                number(handed_over(before)),
                number(bar)
            ));
        }
    }
}

/// A plan edited a moment ago may have taken its token under the old hours.
const EDIT_GRACE: Duration = Duration::from_secs(1);

fn hours(evidence: &RelayEvidence, day: &DayEvidence, audit: &mut Audit) {
    let row = &day.row;
    let started = evidence.settings.as_ref().and_then(|s| s.warmup.started);
    if let Some(first) = started.filter(|first| row.day < *first && handed_over(day) > 0) {
        let text = format!("{}: mail left on {}, before its start on {first}", row.lane, row.day);
        audit.violations.push(violation(Rule::Window, &row.lane, Some(row.day), text));
    }
    let mut known: Vec<(Arc<Plan>, bool, Option<Hours>)> = Vec::new();
    let mut outside: Vec<i64> = Vec::new();
    for release in &day.releases {
        let time = Timestamp::from_microsecond(release.at).unwrap_or(Timestamp::MAX);
        let from = time.checked_sub(EDIT_GRACE).unwrap_or(Timestamp::MIN);
        let to = time.checked_add(Duration::from_micros(1)).unwrap_or(Timestamp::MAX);
        let transactional = release.class == Class::Transactional;
        let allowed = evidence.plans_between(from, to).into_iter().any(|plan| {
            let Some(plan) = plan else { return true };
            let i = known.iter().position(|(p, t, _)| Arc::ptr_eq(p, &plan) && *t == transactional);
            let i = i.unwrap_or_else(|| {
                known.push((Arc::clone(&plan), transactional, hours_of(&plan, row, transactional)));
                known.len() - 1
            });
            known[i].2.as_ref().is_none_or(|hours| hours.is_open(time))
        });
        if !allowed {
            outside.push(release.at);
        }
    }
    if let (Some(first), Some(last)) = (outside.first(), outside.last()) {
        let text = format!(
            "{} on {}: {} outside its hours, the first at {}, the last at {}",
            row.lane,
            row.day,
            count(outside.len() as u64, "release"),
            shown(*first),
            shown(*last)
        );
        audit.violations.push(violation(Rule::Window, &row.lane, Some(row.day), text));
    }
}

/// The hours that bound a lane's mail on a plan day; `None`: none do.
fn hours_of(plan: &Plan, row: &RecountRow, transactional: bool) -> Option<Hours> {
    let lane = plan.lane(&row.lane.bucket);
    let of = |week, avoid| Hours::of(&plan.timezone, plan.day_starts, week, avoid, row.day);
    if transactional {
        lane.transactional.as_ref().map(|week| of(&week.value, None))
    } else {
        Some(of(&lane.window.value, Some(&lane.avoid.value)))
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What bounds the pace of a lane while one plan is in force.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    rate: Option<Rate>,
    burst: u32,
    per_hour: Option<u32>,
}

impl Bounds {
    fn of(lane: &LanePlan) -> Self {
        let rate = lane.rate.as_ref().map(|r| r.value);
        let burst = lane.burst.as_ref().map(|b| b.value).or(rate.map(Rate::default_burst));
        Self { rate, burst: burst.map_or(1, Into::into), per_hour: lane.per_hour.as_ref().map(|n| n.value.get()) }
    }
}

/// A lane's releases, cut where its bounds changed.
fn stretches(evidence: &RelayEvidence, days: &[&DayEvidence]) -> Vec<(Bounds, Vec<i64>)> {
    let Some(bucket) = days.first().map(|d| &d.row.lane.bucket) else { return Vec::new() };
    let mut out: Vec<(Bounds, Vec<i64>)> = Vec::new();
    let mut broken = true;
    for release in sorted(days.iter().flat_map(|d| &d.releases)) {
        let time = Timestamp::from_microsecond(release).unwrap_or(Timestamp::MAX);
        let next = time.checked_add(Duration::from_micros(1)).unwrap_or(Timestamp::MAX);
        let plan = evidence.plans_between(time, next).pop().flatten();
        let Some(bounds) = plan.map(|p| Bounds::of(p.lane(bucket))) else {
            broken = true;
            continue;
        };
        match out.last_mut() {
            Some((last, times)) if !broken && *last == bounds => times.push(release),
            _ => out.push((bounds, vec![release])),
        }
        broken = false;
    }
    out
}

fn sorted<'a>(releases: impl Iterator<Item = &'a Release>) -> Vec<i64> {
    let mut times: Vec<i64> = releases.map(|r| r.at).collect();
    times.sort_unstable();
    times
}

/// For all i <= j: j - i + 1 <= burst + rate x (tj - ti). Reports the worst pair only.
fn pace(times: &[i64], rate: Rate, burst: u32, found: impl FnOnce(String)) {
    let (per, n) = (i128::try_from(rate.per().as_nanos()).unwrap_or(i128::MAX >> 40), i128::from(rate.count().get()));
    // With g(k) = k x per - n x t(k) the bound reads g(j) - g(i) <= (burst - 1) x per.
    let slack = (i128::from(burst) - 1) * per + n * RESOLUTION_NANOS;
    let mut lowest: Option<(i128, usize)> = None;
    let mut worst: Option<(i128, usize, usize)> = None;
    for (k, t) in times.iter().enumerate() {
        let g = i128::try_from(k).unwrap_or(i128::MAX >> 60) * per - n * i128::from(*t) * 1_000;
        if lowest.is_none_or(|(low, _)| g < low) {
            lowest = Some((g, k));
        }
        let (low, i) = lowest.unwrap_or((g, k));
        if g - low > slack && worst.is_none_or(|(w, ..)| g - low > w) {
            worst = Some((g - low, i, k));
        }
    }
    if let Some((_, i, j)) = worst {
        let span = Duration::from_micros(times[j].abs_diff(times[i]));
        found(format!(
            "{} released within {span:?} from {}, more than burst {burst} + {rate}",
            count((j - i + 1) as u64, "message"),
            shown(times[i])
        ));
    }
}

/// No more than `most` in any `span` (half open: a release counts for exactly so long). Reports the worst place only.
fn rolling(times: &[i64], span: Duration, most: u32, words: &str, found: impl FnOnce(String)) {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let (mut first, mut worst) = (0, (0, 0));
    for (k, t) in times.iter().enumerate() {
        while times[first].saturating_add(span) <= *t {
            first += 1;
        }
        worst = worst.max((k - first + 1, first));
    }
    let (n, at) = worst;
    if n as u64 > u64::from(most) {
        found(format!(
            "{} released in the {words} from {}, more than {}",
            count(n as u64, "message"),
            shown(times[at]),
            number(u64::from(most))
        ));
    }
}

fn shown(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |t| t.to_string())
}

/// The relay account's own limits, as they are configured now.
fn account(evidence: &RelayEvidence, audit: &mut Audit) {
    let Some(settings) = &evidence.settings else {
        if !evidence.days.is_empty() {
            audit.remarks.push(format!(
                "relay {} is not in the configuration any more: its quotas are taken from the ledger",
                evidence.relay
            ));
        }
        return;
    };
    let times = sorted(evidence.days.iter().flat_map(|d| &d.releases));
    let limits = &settings.limits;
    let mut found = |rule, text| {
        let text = format!("{}: {text} (the account's limit as configured now)", evidence.relay);
        audit.violations.push(Violation { rule, relay: evidence.relay.clone(), lane: None, day: None, text });
    };
    if let Some(rate) = limits.rate {
        let burst = limits.burst.unwrap_or_else(|| rate.default_burst()).get();
        pace(&times, rate, burst, |text| found(Rule::AccountRate, text));
    }
    if let Some(most) = limits.per_hour {
        rolling(&times, HOUR, most.get(), "60 minutes", |text| found(Rule::AccountPerHour, text));
    }
    if let Some(most) = limits.per_day {
        rolling(&times, DAY, most.get(), "24 hours", |text| found(Rule::AccountPerDay, text));
    }
}
