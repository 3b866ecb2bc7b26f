//! Owns the lints of a plan: what can be used as written and is probably not what was meant.
//!
//! Invariants: a lint says which day and which figures; a copied curve is not judged a second time; the thresholds stand
//! here with where they come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::curve::scaled;
use super::entry::{Placed, Settings, WrittenEntry};
use super::{DEFAULT, WrittenPlan};
use crate::config::problem::{Problem, Problems, SourceFile, Span};
use crate::config::tree::{self, Kind};
use crate::core::names::{BucketName, GroupName};
use crate::core::plan::{Curve, GroupKind, Groups, LanePlan, Plan, Source};
use crate::core::units::grouped;

/// A step above twice the day before is what receivers notice. Steps to fewer than 50 messages are not judged: 50 is what
/// a careful first day sends anyway.
const SMALL: u32 = 50;

/// First days above these are pointed out: four to five times what a careful plan for a new IP begins with (50 at a
/// Japanese carrier or provider, 100 at a world-wide service). No Japanese receiver publishes a figure; of the published
/// curves, those per IP begin with 50 to 300.
const FIRST_DAY_JAPAN: u32 = 200;
const FIRST_DAY_GLOBAL: u32 = 500;

/// Days looked at: no plan warms up for longer.
const HORIZON: u32 = 400;

/// Every lint of the plan.
pub(super) fn all(problems: &Problems, written: &WrittenPlan, plan: &Plan, groups: &Groups) {
    for (name, entry) in &written.entries {
        curve(problems, name, entry);
        without_curve(problems, name, entry, plan, groups);
    }
    first_days(problems, written, groups);
    let base = written.defaults.gate.or(&written.gate);
    base.lint(problems);
    written.defaults.throttling.lint(problems);
    for settings in written.entries.values().map(|entry| &entry.settings) {
        if settings.gate.span.is_some() {
            settings.gate.or(&base).lint(problems);
        }
        if settings.throttling.span.is_some() {
            settings.throttling.or(&written.defaults.throttling).lint(problems);
        }
    }
    let judge = Judge { problems, written };
    judge.closed(plan);
    judge.caps(plan);
}

/// The entry's own curve with all that the entry says of it.
fn judged(entry: &WrittenEntry) -> Option<Curve> {
    let mut curve = entry.curve.as_ref()?.value.curve.clone();
    if let Some(then) = &entry.then {
        curve.then = then.value;
    }
    scaled(curve, entry.scale, entry.up_to)
}

fn curve(problems: &Problems, name: &GroupName, entry: &WrittenEntry) {
    let Some((own, curve)) = entry.curve.as_ref().zip(judged(entry)) else { return };
    let place = |day: u32| own.value.days.get(day as usize - 1).copied().unwrap_or(own.value.span);
    let last = curve.settles().min(HORIZON);
    let steep = |day: &u32| {
        let (before, after) = (curve.quota(day - 1), curve.quota(*day));
        after >= SMALL && u64::from(after) > 2 * u64::from(before)
    };
    let steep: Vec<u32> = (2..=last).filter(steep).collect();
    if let Some(day) = steep.first().copied() {
        let (before, after) = (grouped(curve.quota(day - 1).into()), grouped(curve.quota(day).into()));
        let more = match &steep[1..] {
            [] => String::new(),
            [day] => format!("; so does day {day}"),
            days => format!("; so do days {}", days.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
        };
        let message = format!("{name}: day {day} steps up from {before} to {after}, more than twice{more}");
        problems.lint(place(day), message, "receivers notice such steps; put a day between them");
    }
    if let Some(day) = (2..=last).find(|day| curve.quota(*day) < curve.quota(day - 1)) {
        let (before, after) = (grouped(curve.quota(day - 1).into()), grouped(curve.quota(day).into()));
        let message = format!("{name}: day {day} falls from {before} to {after}");
        problems.lint(place(day), message, "is a digit missing?");
    }
}

/// One lint for the whole plan: a plan for a warm IP has such a day in every curve.
fn first_days(problems: &Problems, written: &WrittenPlan, groups: &Groups) {
    let mut high = Vec::new();
    for (name, entry) in &written.entries {
        let Some((own, curve)) = entry.curve.as_ref().zip(judged(entry)) else { continue };
        let kind = groups.get(name).map(|g| g.kind);
        let japan = matches!(kind, Some(GroupKind::Carrier | GroupKind::Isp | GroupKind::Freemail));
        if curve.quota(1) > if japan { FIRST_DAY_JAPAN } else { FIRST_DAY_GLOBAL } {
            let span = own.value.days.first().copied().unwrap_or(own.value.span);
            high.push((span, format!("{name} {}", grouped(curve.quota(1).into()))));
        }
    }
    high.sort_by_key(|(span, _)| *span);
    let names = high.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(((first, _), others)) = high.split_first() else { return };
    let message = format!("much for the first day of a new IP: {names}");
    let lint = Problem::at(problems.file(), *first, message).lint();
    let lint = lint.help("well for an IP that is warm already; a new one begins with 50 to 100 per group");
    problems.push(others.iter().fold(lint, |lint, (span, _)| lint.also(*span, "and here")));
}

/// An entry of its own that still has the default's curve was perhaps meant to have one.
fn without_curve(problems: &Problems, name: &GroupName, entry: &WrittenEntry, plan: &Plan, groups: &Groups) {
    let Some(group) = groups.get(name).filter(|g| g.name.as_str() != DEFAULT) else { return };
    if entry.curve.is_some() || entry.like.is_some() {
        return;
    }
    if matches!(&plan.lane(&group.bucket).curve.source, Source::Entry { group, .. } if group.as_str() == DEFAULT) {
        let message = format!("{name} has no curve; it follows that of \"default\"");
        problems.lint(entry.key, message, "write `like: default` when this is meant");
    }
}

/// Lints about a lane, at the place of the value that causes them.
struct Judge<'a> {
    problems: &'a Problems,
    written: &'a WrittenPlan,
}

/// What a lane's limits can add up to on its longest day.
struct Cap {
    most: u64,
    words: String,
    source: Source,
}

impl Judge<'_> {
    fn place<T>(&self, source: &Source, of: impl Fn(&Settings) -> &Option<Placed<T>>) -> Option<Span> {
        let settings = self.written.entries.values().map(|e| &e.settings).chain([&self.written.defaults]);
        settings.filter_map(|s| of(s).as_ref()).find(|p| p.source == *source).map(|p| p.span)
    }

    /// Where to point when the value is not the plan's own: the curve that cannot be filled.
    fn curve_place(&self, lane: &LanePlan) -> Span {
        let curves = self.written.entries.values().filter_map(|e| e.curve.as_ref());
        curves.into_iter().find(|c| c.source == lane.curve.source).map(|c| c.span).unwrap_or_default()
    }

    /// Windows in which every minute is avoided.
    fn closed(&self, plan: &Plan) {
        let mut shut: BTreeMap<Span, Vec<&BucketName>> = BTreeMap::new();
        for (bucket, lane) in plan.lanes.iter().filter(|(_, lane)| (0..7).all(|day| open_minutes(lane, day) == 0)) {
            let place =
                self.place(&lane.avoid.source, |s| &s.avoid).or_else(|| self.place(&lane.window.source, |s| &s.window));
            shut.entry(place.unwrap_or_default()).or_default().push(bucket);
        }
        for (span, buckets) in shut {
            let message =
                format!("every minute of the window is avoided: nothing would ever leave for {}", some(&buckets));
            self.problems.lint(span, message, "avoid fewer minutes, or open the window longer");
        }
    }

    /// Rates and hourly caps that cannot add up to the day's quota.
    fn caps(&self, plan: &Plan) {
        type Found<'a> = BTreeMap<(Span, String), (u32, u32, u64, Vec<&'a BucketName>)>;
        let mut found: Found<'_> = BTreeMap::new();
        for (bucket, lane) in &plan.lanes {
            let Some(cap) = cap(lane).filter(|cap| cap.most > 0) else { continue };
            let over = (1..=lane.curve.value.settles().min(HORIZON))
                .find(|d| u64::from(lane.curve.value.quota(*d)) > cap.most);
            let Some(day) = over else { continue };
            let place = self.place(&cap.source, |s| &s.rate).or_else(|| self.place(&cap.source, |s| &s.per_hour));
            let place = place.unwrap_or_else(|| self.curve_place(lane));
            let first = (day, lane.curve.value.quota(day), cap.most);
            let (earliest, quota, most, buckets) =
                found.entry((place, cap.words)).or_insert((first.0, first.1, first.2, Vec::new()));
            if day < *earliest {
                (*earliest, *quota, *most) = first;
            }
            buckets.push(bucket);
        }
        for ((span, words), (day, quota, most, buckets)) in found {
            let (quota, most) = (grouped(quota.into()), grouped(most));
            let message = format!(
                "{words} adds up to {most} in a day at best; from warm-up day {day} the quota is more ({quota}): {}",
                some(&buckets)
            );
            self.problems.lint(
                span,
                message,
                "the rest of the quota would be lost; raise it, or end the curve with up_to",
            );
        }
    }
}

/// At most six names, and how many more.
fn some(buckets: &[&BucketName]) -> String {
    let names: Vec<_> = buckets.iter().take(6).map(|b| b.as_str()).collect();
    let more = buckets.len().saturating_sub(6);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

fn open_minutes(lane: &LanePlan, day: usize) -> u64 {
    let avoided = |minute: u16| {
        let minute = u8::try_from(minute % 60).unwrap_or(0);
        lane.avoid.value.minutes.iter().any(|(from, to)| (*from..=*to).contains(&minute))
    };
    lane.window.value.days[day].iter().map(|&(from, to)| (from..to).filter(|m| !avoided(*m)).count() as u64).sum()
}

/// The narrower of rate and hourly cap on the weekday with the longest window.
fn cap(lane: &LanePlan) -> Option<Cap> {
    let minutes = (0..7).map(|day| open_minutes(lane, day)).max().unwrap_or(0);
    let by_rate = lane.rate.as_ref().map(|rate| Cap {
        // Rounded up, so that a plan that just fits is not blamed.
        most: u64::try_from((u128::from(minutes) * 60_000_000_000).div_ceil(rate.value.interval().as_nanos().max(1)))
            .unwrap_or(u64::MAX),
        words: format!("a rate of {}", rate.value),
        source: rate.source.clone(),
    });
    let hours = |day: &Vec<(u16, u16)>| day.iter().map(|(from, to)| u64::from((to - from).div_ceil(60))).sum::<u64>();
    let hours = lane.window.value.days.iter().map(hours).max().unwrap_or(0);
    let by_hour = lane.per_hour.as_ref().map(|cap| Cap {
        most: u64::from(cap.value.get()) * hours,
        words: format!("a cap of {} per hour", grouped(cap.value.get().into())),
        source: cap.source.clone(),
    });
    by_rate.into_iter().chain(by_hour).min_by_key(|cap| cap.most)
}

/// A lint when the plan's zone is not the configuration's, in which campaign times are written.
#[must_use]
pub fn timezone_differs(file: &Arc<SourceFile>, plan: &Plan, configuration: &TimeZone) -> Option<Problem> {
    let (ours, theirs) = (plan.timezone.iana_name(), configuration.iana_name());
    if ours == theirs {
        return None;
    }
    let problems = Problems::new(file);
    let root = tree::parse(&problems)?;
    let Kind::Map(entries) = &root.kind else { return None };
    let span = entries.iter().find(|e| e.key == "timezone").map(|e| e.value.span)?;
    let (ours, theirs) = (ours.unwrap_or("another zone"), theirs.unwrap_or("another zone"));
    let message =
        format!("the plan counts its days and hours in {ours}, the configuration its campaign times in {theirs}");
    Some(Problem::at(file, span, message).help("write the same zone in both, unless this is meant").lint())
}
