//! Owns how entries become lanes: `like` copied, groups of one bucket joined, each value chosen with its source.
//!
//! Invariants: a value in a group's own entry wins, else the stricter of `defaults` and the destination group; among the
//! groups of one bucket the strictest wins; a bucket that the plan does not name has the entry `default`, there only the
//! stricter with the destination group, since nobody wrote it for this group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::curve;
use super::entry::{Placed, Settings, WrittenEntry};
use super::gate::{WrittenGate, WrittenThrottling};
use super::{DEFAULT, WrittenPlan, hours};
use crate::config::problem::{Problem, Problems, did_you_mean, quoted};
use crate::core::names::{BucketName, GroupName};
use crate::core::plan::{
    Avoid, Curve, CurveShape, Gate, Group, GroupStatus, Groups, LanePlan, Limits, Plan, Source, Sourced, Spread,
    Throttling, UNKNOWN_BUDGET, WeekHours,
};
use crate::core::units::{Rate, Share, grouped};

/// A release may move by a fifth of its interval: enough to break lockstep with other senders at round minutes, little
/// enough that an hour's volume stays within a few percent.
const JITTER: Share = Share::percent(20);

/// Where neither the plan nor the group says how long a block lasts.
const COOLDOWN: Duration = Duration::from_secs(30 * 60);

/// An entry with `like` copied in.
#[derive(Debug, Clone)]
struct Settled {
    curve: Option<Placed<Curve>>,
    settings: Settings,
    /// Its curve could not be read or copied, and that was reported.
    broken: bool,
}

/// The plan as meant; `None` when something needed was refused.
pub(super) fn resolve(problems: &Problems, written: &WrittenPlan, groups: &Groups) -> Option<Plan> {
    let settled = settle_all(problems, written);
    let fallback = written.entries.iter().find(|(name, _)| name.as_str() == DEFAULT).map(|(name, _)| name.clone());
    let template = fallback.as_ref().and_then(|name| settled.get(name));
    if let Some((template, name)) = template.zip(fallback.as_ref())
        && template.curve.is_none()
        && !template.broken
    {
        let key = written.entries.get(name).map(|e| e.key).unwrap_or_default();
        problems.at_with(
            key,
            "\"default\" has no curve",
            "give it one: it holds for every group that the plan does not name, or names without a curve",
        );
    }
    let lanes: Vec<_> = groups
        .buckets()
        .into_iter()
        .map(|(bucket, members)| {
            let join = Join { problems, written, settled: &settled, template, members };
            (bucket, join.lane().map(Arc::new))
        })
        .collect();
    let lanes: BTreeMap<BucketName, Arc<LanePlan>> =
        lanes.into_iter().map(|(b, l)| Some((b, l?))).collect::<Option<_>>()?;
    let default = groups.get(&fallback?).and_then(|group| lanes.get(&group.bucket)).cloned()?;
    let (name, timezone, day_starts) = written.head.clone()?;
    Some(Plan { name, timezone, day_starts, lanes, default, text: problems.file().text.as_str().into() })
}

fn settle_all(problems: &Problems, written: &WrittenPlan) -> BTreeMap<GroupName, Settled> {
    let mut settled = BTreeMap::new();
    for name in written.entries.keys() {
        let chain = chain(problems, written, &settled, name);
        // From the end of the chain back: each entry copies one that is settled.
        for name in chain.into_iter().rev() {
            if let Some(entry) = written.entries.get(&name) {
                let copied = entry.like.as_ref().map(|(like, _)| settled.get(like).cloned());
                settled.insert(name, settle(problems, entry, copied));
            }
        }
    }
    settled
}

/// `name`, what it is like, and so on, up to an entry that is settled or like nothing.
fn chain(
    problems: &Problems,
    written: &WrittenPlan,
    settled: &BTreeMap<GroupName, Settled>,
    name: &GroupName,
) -> Vec<GroupName> {
    let mut chain = Vec::new();
    let mut next = Some(name.clone());
    while let Some(name) = next.filter(|n| !settled.contains_key(n)) {
        let like = written.entries.get(&name).and_then(|entry| entry.like.as_ref());
        chain.push(name);
        let Some((like, span)) = like else { break };
        if let Some(at) = chain.iter().position(|n| n == like) {
            let names: Vec<_> = chain[at..].iter().chain([like]).map(GroupName::as_str).collect();
            let message = format!("entries that are like each other in a circle: {}", names.join(", like "));
            problems.at_with(*span, message, "give one of them a curve of its own instead of `like`");
            break;
        }
        if !written.entries.contains_key(like) {
            let known = || written.entries.keys().map(GroupName::as_str);
            let help = match did_you_mean(like.as_str(), known()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("entries of this plan: {}", known().collect::<Vec<_>>().join(", ")),
            };
            problems.at_with(*span, format!("the plan has no entry {} to be like", quoted(like.as_str())), help);
            break;
        }
        next = Some(like.clone());
    }
    chain
}

/// `copied`: `None` without `like`, `Some(None)` when what it is like is not there.
fn settle(problems: &Problems, entry: &WrittenEntry, copied: Option<Option<Settled>>) -> Settled {
    let missing = matches!(copied, Some(None));
    let copied = copied.flatten();
    let own =
        entry.curve.as_ref().map(|c| Placed { value: c.value.curve.clone(), span: c.span, source: c.source.clone() });
    let mut broken = entry.broken || missing || (own.is_none() && copied.as_ref().is_some_and(|c| c.broken));
    let mut curve = own.or_else(|| copied.as_ref().and_then(|c| c.curve.clone()));
    if let Some(found) = &mut curve {
        match (&entry.then, &found.value.shape) {
            (Some(then), CurveShape::Listed { .. }) => found.value.then = then.value,
            (Some(then), CurveShape::Growing { .. }) if entry.curve.is_none() => {
                let help = "take `then` away: the copied curve grows without end";
                problems.at_with(then.span, "a curve that grows has no end for \"then\" to follow", help);
            }
            _ => {}
        }
        match curve::scaled(found.value.clone(), entry.scale, entry.up_to) {
            Some(scaled) => found.value = scaled,
            None => {
                broken = true;
                problems.at(entry.key, "scaled twice, this comes to less than 0.01% or more than 10_000%");
            }
        }
    }
    let settings = match &copied {
        Some(copied) => entry.settings.clone().or(&copied.settings),
        None => entry.settings.clone(),
    };
    Settled { curve: curve.filter(|_| !broken), settings, broken }
}

/// The groups of one bucket becoming a lane.
struct Join<'a> {
    problems: &'a Problems,
    written: &'a WrittenPlan,
    settled: &'a BTreeMap<GroupName, Settled>,
    template: Option<&'a Settled>,
    members: Vec<&'a Group>,
}

impl<'a> Join<'a> {
    fn named(&self) -> Vec<(&'a GroupName, &'a Settled)> {
        self.members.iter().filter_map(|group| self.settled.get_key_value(&group.name)).collect()
    }

    fn lane(&self) -> Option<LanePlan> {
        let curve = self.curve();
        let rate = self.pick(|s| &s.rate, |l| l.rate, Rate::stricter);
        let burst = self.pick(|s| &s.burst, |_| None, Ord::min);
        let window = self.hours(|s| &s.window, "windows");
        let spread = self.pick(|s| &s.spread, |_| None, |a, b| if a == Spread::Even { a } else { b });
        let spread = spread.unwrap_or_else(|| built_in(Spread::Even));
        let jitter = self.pick(|s| &s.jitter, |_| None, Ord::max);
        let jitter = jitter.unwrap_or_else(|| built_in((spread.value == Spread::Even).then_some(JITTER)));
        let avoid = self.pick(|s| &s.avoid, |_| None, |a, b| hours::either(&a, &b));
        let cooldown = self.pick(|s| &s.cooldown, |l| l.cooldown, Ord::max);
        let budget = self.pick(|s| &s.unknown_budget, |_| None, Ord::min);
        let lane = LanePlan {
            curve: curve?,
            burst,
            rate,
            per_hour: self.pick(|s| &s.per_hour, |_| None, Ord::min),
            connections: self.pick(|s| &s.connections, |l| l.connections, Ord::min),
            messages_per_connection: self.pick(|s| &s.messages_per_connection, |l| l.messages_per_connection, Ord::min),
            window: window.unwrap_or_else(|| built_in(WeekHours::always())),
            avoid: avoid.unwrap_or_else(|| built_in(Avoid::default())),
            spread,
            jitter: jitter.value.map(|value| Sourced { value, source: jitter.source }),
            transactional: self.hours(|s| &s.transactional, "windows of transactional mail"),
            cooldown: cooldown.unwrap_or_else(|| built_in(COOLDOWN)),
            gate: self.gate(),
            throttling: self.throttling(),
            unknown_budget: budget.unwrap_or_else(|| built_in(UNKNOWN_BUDGET)),
        };
        self.deep_bucket(&lane);
        Some(lane)
    }

    /// What entries say, the first group's first; for a bucket without one, the entry `default`.
    fn spoken(&self) -> Vec<&Settings> {
        let named = self.named();
        match named.is_empty() {
            true => self.template.iter().map(|settled| &settled.settings).collect(),
            false => named.into_iter().map(|(_, settled)| &settled.settings).collect(),
        }
    }

    /// The gate, figure by figure: of the entries, else of `defaults`, else of the plan.
    fn gate(&self) -> Gate {
        let written = self.spoken().into_iter().fold(WrittenGate::default(), |gate, entry| gate.or(&entry.gate));
        written.or(&self.written.defaults.gate).or(&self.written.gate).gate()
    }

    /// The throttling, likewise.
    fn throttling(&self) -> Throttling {
        let spoken = self.spoken();
        let written = spoken.into_iter().fold(WrittenThrottling::default(), |all, entry| all.or(&entry.throttling));
        written.or(&self.written.defaults.throttling).throttling()
    }

    /// The one curve of the bucket; two different ones are a problem, none means the template's.
    fn curve(&self) -> Option<Sourced<Curve>> {
        let named = self.named();
        let mut given = named.iter().filter_map(|(name, s)| s.curve.as_ref().map(|c| (*name, c)));
        if named.iter().any(|(_, s)| s.broken) {
            return None;
        }
        let Some((first_name, first)) = given.next() else {
            return self.template.and_then(|t| t.curve.as_ref()).map(Placed::sourced);
        };
        for (name, _) in given.filter(|(_, c)| c.value != first.value) {
            let place = |name: &GroupName| self.written.entries.get(name).map(|e| e.key).unwrap_or_default();
            let message =
                format!("{first_name} and {name} are one receiving system and share one quota, but have two curves");
            let problem =
                Problem::at(self.problems.file(), place(name), message).also(place(first_name), "the other one");
            self.problems.push(problem.help(format!("take the curve of {name} away, or write `like: {first_name}`")));
        }
        Some(first.sourced())
    }

    /// One value, by the rule at the head of this file.
    fn pick<T: Clone + PartialEq>(
        &self,
        of_settings: impl Fn(&Settings) -> &Option<Placed<T>>,
        of_group: impl Fn(&Limits) -> Option<T>,
        stricter: impl Fn(T, T) -> T,
    ) -> Option<Sourced<T>> {
        let choose = |a: Option<Sourced<T>>, b: Option<Sourced<T>>| match (a, b) {
            (Some(a), Some(b)) => {
                let value = stricter(a.value.clone(), b.value.clone());
                let source = if value == a.value { a.source } else { b.source };
                Some(Sourced { value, source })
            }
            (a, b) => a.or(b),
        };
        let named = self.named();
        let shipped = |group: &Group| {
            let source = || Source::Group(group.name.clone());
            of_group(&group.limits).map(|value| Sourced { value, source: source() })
        };
        let defaults = of_settings(&self.written.defaults).as_ref().map(Placed::sourced);
        let lane_default = self.members.iter().any(|group| group.name.as_str() == DEFAULT);
        if named.is_empty() {
            let of_template = self.template.and_then(|t| of_settings(&t.settings).as_ref()).map(Placed::sourced);
            let written = of_template.or(defaults);
            return self.alive().map(shipped).fold(written, choose);
        }
        let own = |settled: &Settled| of_settings(&settled.settings).as_ref().map(Placed::sourced);
        let some_own = named.iter().any(|(_, settled)| own(settled).is_some());
        let of_member = |group: &&Group| match self.settled.get(&group.name) {
            Some(settled) => own(settled).or_else(|| choose(defaults.clone(), shipped(group))),
            // A group of the bucket that the plan does not name binds only where no entry speaks for the bucket.
            None if some_own || lane_default => None,
            None => shipped(group),
        };
        let members =
            self.members.iter().filter(|g| g.status != GroupStatus::Dead || self.settled.contains_key(&g.name));
        members.map(of_member).fold(None, choose)
    }

    fn alive(&self) -> impl Iterator<Item = &Group> {
        self.members.iter().copied().filter(|group| group.status != GroupStatus::Dead)
    }

    /// Hours that all groups of the bucket have open.
    fn hours(&self, of: impl Fn(&Settings) -> &Option<Placed<WeekHours>>, what: &str) -> Option<Sourced<WeekHours>> {
        let picked = self.pick(of, |_| None, |a, b| hours::both(&a, &b))?;
        if picked.value.days.iter().all(Vec::is_empty) {
            let names: Vec<_> = self.named().into_iter().map(|(name, _)| name.as_str()).collect();
            let key = self.named().last().and_then(|(name, _)| self.written.entries.get(*name)).map(|e| e.key);
            let message =
                format!("{} share one receiving system, and their {what} have no hour in common", names.join(" and "));
            self.problems.at_with(key.unwrap_or_default(), message, "give them hours that overlap");
        }
        Some(picked)
    }

    /// The throttle counts in nanoseconds: `interval x burst` must stay below 2^63 of them.
    fn deep_bucket(&self, lane: &LanePlan) {
        let (Some(rate), Some(burst)) = (&lane.rate, &lane.burst) else { return };
        let nanos = rate.value.interval().as_nanos() * u128::from(burst.value.get());
        if nanos < 1 << 63 {
            return;
        }
        let own = self.named().into_iter().find_map(|(_, s)| s.settings.burst.as_ref());
        let template = self.template.and_then(|t| t.settings.burst.as_ref());
        let span = own.or(template).or(self.written.defaults.burst.as_ref()).map(|b| b.span).unwrap_or_default();
        if self.problems.reported(span) {
            return;
        }
        let message = format!(
            "a burst of {} at {} is more than the throttle can count",
            grouped(burst.value.get().into()),
            rate.value
        );
        self.problems.at_with(span, message, "write a smaller burst; it is what may leave at once after a rest");
    }
}

fn built_in<T>(value: T) -> Sourced<T> {
    Sourced { value, source: Source::BuiltIn }
}
