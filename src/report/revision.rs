//! Owns what another plan would change: for today, with what is spent already, and for the coming days.
//!
//! Invariants: what is shown for the coming days holds where each day counts and the lane advances by one; only what differs is shown;
//! lanes that change alike stand together.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::words::{Table, at, number};
use crate::config::compared::{Differs, buckets_of, lanes_differ, plans_differ};
use crate::core::names::{BucketName, RelayName};
use crate::core::plan::Plan;

/// Plan days that are looked at, the first one included.
pub const DAYS: u32 = 14;

/// A plan, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its name.
    pub plan: String,
    /// A file, the name of a shipped plan, or `store`.
    pub source: String,
    /// Since when it is in force; null: it is not, or nobody noted it.
    pub since: Option<Timestamp>,
    /// Who applied it (host and process), where it is known.
    pub by: Option<String>,
}

/// What one plan in place of another changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// The relay; null where two files are compared.
    pub relay: Option<RelayName>,
    /// The plan before; null: no plan was applied yet.
    pub before: Option<Version>,
    /// The plan after.
    pub after: Version,
    /// The plan day from which on `after` holds; null: from now on.
    pub from: Option<Date>,
    /// Whether anything changes.
    pub changes: bool,
    /// What changes for the whole plan.
    pub plan: Vec<Differs>,
    /// What changes for lanes.
    pub lanes: Vec<LaneRevision>,
}

/// What changes for lanes that change alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneRevision {
    /// Their buckets.
    pub buckets: Vec<BucketName>,
    /// Their warm-up day on the first day shown.
    pub warmup_day: u32,
    /// What changes for the running plan day; null where its quota stays, or the change is for later.
    pub today: Option<TodayRevision>,
    /// Values that differ, in the order of a plan.
    pub values: Vec<Differs>,
    /// Days among the next 14 whose quota differs, the running one left out.
    pub days: Vec<DayRevision>,
}

/// What changes for the running plan day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TodayRevision {
    /// Quota before.
    pub before: u32,
    /// Quota after.
    pub after: u32,
    /// Of it: spent, which stays.
    pub spent: u32,
    /// Left before.
    pub left_before: u32,
    /// Left after.
    pub left_after: u32,
}

/// What changes on a coming day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayRevision {
    /// The plan day; null where files are compared.
    pub day: Option<Date>,
    /// Its warm-up day, where each day until then counts.
    pub warmup_day: u32,
    /// Quota before.
    pub before: u32,
    /// Quota after.
    pub after: u32,
}

/// Where a lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its warm-up day.
    pub warmup_day: u32,
    /// Quota that is not passed though the curve allows more.
    pub ceiling: Option<u32>,
    /// The running plan day and what is spent of it; `None`: no plan day runs.
    pub today: Option<(Date, u32)>,
}

/// What `after` changes in place of `before`, from `later` plan days on from now (0: at once).
#[must_use]
pub fn lane_revisions(
    before: &Plan,
    after: &Plan,
    later: u32,
    standing: impl Fn(&BucketName) -> Standing,
) -> Vec<LaneRevision> {
    let mut all: Vec<LaneRevision> = Vec::new();
    for bucket in buckets_of(before, after) {
        let (old, new) = (before.lane(&bucket), after.lane(&bucket));
        let mut values = lanes_differ(old, new);
        let standing = standing(&bucket);
        let quotas = |warmup_day: u32| (old.curve.value.quota(warmup_day), new.curve.value.quota(warmup_day));
        let first = standing.warmup_day.saturating_add(later);
        let (mut today, mut days) = (None, Vec::new());
        for n in 0..DAYS {
            let (before, after) = quotas(first.saturating_add(n));
            if n + later == 0
                && let Some((_, spent)) = standing.today
            {
                let most = standing.ceiling.unwrap_or(u32::MAX);
                let (before, after) = (before.min(most), after.min(most));
                let (left_before, left_after) = (before.saturating_sub(spent), after.saturating_sub(spent));
                today = (before != after).then_some(TodayRevision { before, after, spent, left_before, left_after });
            } else if before != after {
                let day = standing.today.and_then(|(day, _)| day.checked_add(Span::new().days(n + later)).ok());
                days.push(DayRevision { day, warmup_day: first.saturating_add(n), before, after });
            }
        }
        // A curve that is written otherwise and means the same for a year changes nothing.
        if (1..=400).all(|day| quotas(day).0 == quotas(day).1) {
            values.retain(|differs| differs.key != "curve");
        }
        if values.is_empty() {
            continue;
        }
        let found = LaneRevision { buckets: Vec::new(), warmup_day: first, today, values, days };
        let alike = all.iter_mut().find(|known| LaneRevision { buckets: Vec::new(), ..(*known).clone() } == found);
        match alike {
            Some(known) => known.buckets.push(bucket),
            None => all.push(LaneRevision { buckets: vec![bucket], ..found }),
        }
    }
    all
}

impl Revision {
    /// Of two plans.
    #[must_use]
    pub fn of(
        (before, from_version): (&Plan, Version),
        (after, to_version): (&Plan, Version),
        relay: Option<RelayName>,
        standing: impl Fn(&BucketName) -> Standing,
    ) -> Self {
        let (plan, lanes) = (plans_differ(before, after), lane_revisions(before, after, 0, standing));
        let changes = !plan.is_empty() || !lanes.is_empty();
        Self { relay, before: Some(from_version), after: to_version, from: None, changes, plan, lanes }
    }

    /// As text, times in `zone`.
    #[must_use]
    pub fn render(&self, zone: &TimeZone) -> String {
        let version = |version: &Version| {
            let since = version.since.map(|since| format!(", in force since {}", at(since, zone))).unwrap_or_default();
            let by = version.by.as_ref().map(|by| format!(" (applied by {by})")).unwrap_or_default();
            let source = if version.source == "store" { String::new() } else { format!(" ({})", version.source) };
            format!("{}{source}{since}{by}", version.plan)
        };
        let relay = self.relay.as_ref().map(|relay| format!("Relay {relay}: ")).unwrap_or_default();
        let from = self.from.map(|from| format!("from plan day {from} on: ")).unwrap_or_default();
        let Some(before) = &self.before else {
            return format!("{relay}no plan was applied yet; `hikagen run` applies {}\n", version(&self.after));
        };
        if !self.changes {
            return format!("{relay}{from}nothing changes; plan {}\n", version(before));
        }
        let mut out = format!("{relay}{from}plan {}\n  -> {}\n", version(before), version(&self.after));
        for differs in &self.plan {
            out += &format!("  {}: {} -> {}\n", differs.key, differs.before, differs.after);
        }
        if self.lanes.is_empty() {
            out += "  no lane changes\n";
        }
        for lane in &self.lanes {
            out += &lane.render();
        }
        out
    }
}

impl LaneRevision {
    fn render(&self) -> String {
        let names: Vec<&str> = self.buckets.iter().map(BucketName::as_str).collect();
        let mut out = format!("\n  {}: warm-up day {}\n", names.join(", "), self.warmup_day);
        if let Some(today) = &self.today {
            let n = |n: u32| number(n.into());
            let TodayRevision { before, after, spent, left_before, left_after } = *today;
            out += &format!(
                "    today: quota {} -> {}; {} spent, {} left (before: {})\n",
                n(before),
                n(after),
                n(spent),
                n(left_after),
                n(left_before)
            );
        }
        for differs in self.values.iter().filter(|differs| differs.key != "curve") {
            out += &format!("    {}: {} -> {}\n", differs.key, differs.before, differs.after);
        }
        let mut table = Table::new(["PLAN DAY", "WARM-UP DAY", "BEFORE", "AFTER"], &[1, 2, 3]);
        for day in &self.days {
            let shown = day.day.map_or_else(|| "-".to_owned(), |day| day.to_string());
            table.row([shown, day.warmup_day.to_string(), number(day.before.into()), number(day.after.into())]);
        }
        let days = table.render("      ");
        if !days.is_empty() {
            out += &format!("    quota, where each day counts:\n{days}");
        } else if self.values.iter().any(|differs| differs.key == "curve") && self.today.is_none() {
            out += &format!("    curve: the quotas of the next {DAYS} days stay; later ones change\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::groups_file::Destinations;
    use crate::config::plan_file::read_plan;

    fn plan(groups: &str) -> Plan {
        let text =
            format!("plan: p\ntimezone: Asia/Tokyo\ngroups: {{ default: {{ curve: [50, 60, 70] }}, {groups} }}\n");
        read_plan(&text, "p.yaml", &Destinations::shipped().groups).value.expect("a plan")
    }

    fn version() -> Version {
        Version { plan: "p".to_owned(), source: "p.yaml".to_owned(), since: None, by: None }
    }

    fn standing(spent: u32) -> impl Fn(&BucketName) -> Standing {
        move |_| Standing { warmup_day: 2, ceiling: None, today: Some((jiff::civil::date(2026, 11, 26), spent)) }
    }

    #[test]
    fn what_is_spent_stays_spent_and_the_days_follow_the_curve() {
        let (old, new) =
            (plan("docomo: { curve: [10, 100, 200] }"), plan("docomo: { curve: [10, 60, 150], rate: 5/min }"));
        let revision = Revision::of((&old, version()), (&new, version()), None, standing(80));
        let lane = &revision.lanes[0];
        assert_eq!((revision.lanes.len(), lane.buckets[0].as_str(), lane.warmup_day), (1, "docomo", 2));
        let today = TodayRevision { before: 100, after: 60, spent: 80, left_before: 20, left_after: 0 };
        assert_eq!(lane.today, Some(today));
        assert_eq!(lane.days.len(), 13);
        let first = lane.days.first().map(|d| (d.day.map(|day| day.to_string()), d.warmup_day, d.before, d.after));
        assert_eq!(first, Some((Some("2026-11-27".to_owned()), 3, 200, 150)));
        let text = revision.render(&TimeZone::UTC);
        assert!(text.contains("today: quota 100 -> 60; 80 spent, 0 left (before: 20)"), "{text}");
        assert!(text.contains("rate:") && text.contains("-> 5/min"), "{text}");
    }

    #[test]
    fn an_equal_plan_changes_nothing_and_lanes_that_change_alike_stand_together() {
        let old = plan("docomo: { curve: [10] }");
        let same = Revision::of((&old, version()), (&old, version()), None, standing(0));
        assert!(!same.changes && same.render(&TimeZone::UTC).contains("nothing changes"));
        let text =
            "plan: p\ntimezone: Asia/Tokyo\ngroups: { default: { curve: [50, 60, 71] }, docomo: { curve: [10] } }\n";
        let new = read_plan(text, "p.yaml", &Destinations::shipped().groups).value.expect("a plan");
        let revision = Revision::of((&old, version()), (&new, version()), None, standing(0));
        assert_eq!(revision.lanes.len(), 1);
        assert!(revision.lanes[0].buckets.len() > 3 && revision.lanes[0].today.is_none());
    }

    #[test]
    fn a_curve_written_otherwise_is_no_change() {
        let (old, new) = (plan("docomo: { curve: [10, 20] }"), plan("docomo: { curve: [10, 20, 20] }"));
        assert!(!Revision::of((&old, version()), (&new, version()), None, standing(0)).changes);
    }

    #[test]
    fn a_change_from_a_later_day_on_leaves_today_alone() {
        let (old, new) = (plan("docomo: { curve: [10, 20, 30, 40] }"), plan("docomo: { curve: [10, 20, 30, 90] }"));
        let lanes = lane_revisions(&old, &new, 2, standing(5));
        assert_eq!((lanes[0].today.clone(), lanes[0].days.len(), lanes[0].warmup_day), (None, 14, 4));
        assert_eq!(lanes[0].days[0].day, Some(jiff::civil::date(2026, 11, 28)));
    }
}
