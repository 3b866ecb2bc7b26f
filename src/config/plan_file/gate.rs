//! Owns the figures by which days are judged and lanes slowed, as written: in the plan, in `defaults` and in a group's entry.
//!
//! Invariants: a figure of the entry wins, else that of `defaults`, else the plan's, else the default; what contradicts itself
//! (a hold below the advance, a floor above the ceiling) is pointed out where it is written.

use std::time::Duration;

use super::entry::part;
use crate::config::fields::Fields;
use crate::config::keys::plan::{ADVANCE, HOLD, THROTTLING};
use crate::config::problem::{Problems, Span};
use crate::config::tree::Node;
use crate::core::plan::{Blind, Gate, Shares, Throttling};
use crate::core::units::Share;

/// Longest time between two changes of a lane's pace.
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

/// `advance` as written.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenGate {
    filled: Option<Share>,
    emptied: Option<Share>,
    sample: Option<u32>,
    advance: WrittenShares,
    hold: WrittenShares,
    hold_from: Option<u32>,
    step_back_from: Option<u32>,
    idle_days: Option<u32>,
    restart_days: Option<u32>,
    blind: Option<Blind>,
    blind_growth: Option<Share>,
    /// Where it is written.
    pub(super) span: Option<Span>,
}

#[derive(Debug, Clone, Copy, Default)]
struct WrittenShares {
    deferrals: Option<Share>,
    bounces: Option<Share>,
    unknown_users: Option<Share>,
    complaints: Option<Share>,
}

impl WrittenShares {
    fn read(fields: &Fields<'_>) -> Self {
        let share = |key| fields.read(key, part);
        Self {
            deferrals: share("deferrals"),
            bounces: share("bounces"),
            unknown_users: share("unknown_users"),
            complaints: share("complaints"),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            deferrals: self.deferrals.or(other.deferrals),
            bounces: self.bounces.or(other.bounces),
            unknown_users: self.unknown_users.or(other.unknown_users),
            complaints: self.complaints.or(other.complaints),
        }
    }

    fn over(self, base: Shares) -> Shares {
        Shares {
            deferrals: self.deferrals.unwrap_or(base.deferrals),
            bounces: self.bounces.unwrap_or(base.bounces),
            unknown_users: self.unknown_users.unwrap_or(base.unknown_users),
            complaints: self.complaints.unwrap_or(base.complaints),
        }
    }
}

/// Reads `advance`.
pub(super) fn advance(fields: &Fields<'_>) -> WrittenGate {
    let Some(map) = fields.map("advance", "filled, emptied, ...") else { return WrittenGate::default() };
    map.known(&ADVANCE);
    let hold = map.map("hold", "deferrals, bounces, ...");
    let count = |key| map.count(key).map(std::num::NonZeroU32::get);
    WrittenGate {
        filled: map.read("filled", part),
        emptied: map.read("emptied", part),
        sample: count("sample"),
        advance: WrittenShares::read(&map),
        hold: hold
            .map(|hold| {
                hold.known(&HOLD);
                WrittenShares::read(&hold)
            })
            .unwrap_or_default(),
        hold_from: count("hold_from"),
        step_back_from: count("step_back_from"),
        idle_days: count("idle_days"),
        restart_days: count("restart_days"),
        blind: map.read("blind", |p, n| p.one_of(n, &[("advance", Blind::Advance), ("hold", Blind::Hold)])),
        blind_growth: map.share("blind_growth"),
        span: fields.entry("advance").map(|entry| entry.key_span),
    }
}

impl WrittenGate {
    /// What is not written here is taken from `other`.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            filled: self.filled.or(other.filled),
            emptied: self.emptied.or(other.emptied),
            sample: self.sample.or(other.sample),
            advance: self.advance.or(other.advance),
            hold: self.hold.or(other.hold),
            hold_from: self.hold_from.or(other.hold_from),
            step_back_from: self.step_back_from.or(other.step_back_from),
            idle_days: self.idle_days.or(other.idle_days),
            restart_days: self.restart_days.or(other.restart_days),
            blind: self.blind.or(other.blind),
            blind_growth: self.blind_growth.or(other.blind_growth),
            span: self.span.or(other.span),
        }
    }

    /// The gate in force.
    pub(super) fn gate(&self) -> Gate {
        let base = Gate::default();
        Gate {
            filled: self.filled.unwrap_or(base.filled),
            emptied: self.emptied.unwrap_or(base.emptied),
            sample: self.sample.unwrap_or(base.sample),
            advance: self.advance.over(base.advance),
            hold: self.hold.over(base.hold),
            hold_from: self.hold_from.unwrap_or(base.hold_from),
            step_back_from: self.step_back_from.unwrap_or(base.step_back_from),
            idle_days: self.idle_days.unwrap_or(base.idle_days),
            restart_days: self.restart_days.unwrap_or(base.restart_days),
            blind: self.blind.unwrap_or(base.blind),
            blind_growth: self.blind_growth.unwrap_or(base.blind_growth),
        }
    }

    /// What contradicts itself.
    pub(super) fn lint(&self, problems: &Problems) {
        let (Some(span), gate) = (self.span, self.gate()) else { return };
        let (a, h) = (&gate.advance, &gate.hold);
        let pairs = [
            ("deferrals", a.deferrals, h.deferrals),
            ("bounces", a.bounces, h.bounces),
            ("unknown_users", a.unknown_users, h.unknown_users),
            ("complaints", a.complaints, h.complaints),
        ];
        for (name, advance, hold) in pairs.into_iter().filter(|(_, advance, hold)| hold < advance) {
            let message = format!("{name}: a lane would advance below {advance}, and step back from {hold} on already");
            problems.lint(span, message, format!("write `hold: {{ {name}: ... }}` of at least {advance}"));
        }
        if gate.blind_growth < Share::percent(100) {
            let message = format!("blind_growth ({}) below 100% is taken as no growth", gate.blind_growth);
            problems.lint(span, message, "write 100% for no growth, 150% for half as much again a day");
        }
        if gate.restart_days <= gate.idle_days {
            let message =
                format!("restart_days ({}) does not come after idle_days ({})", gate.restart_days, gate.idle_days);
            problems.lint(span, message, "a lane first steps back day by day, and later starts again low");
        }
    }
}

/// `throttling` as written.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenThrottling {
    down: Option<Share>,
    up: Option<Share>,
    floor: Option<Share>,
    ceiling: Option<Share>,
    sample: Option<u32>,
    deferrals: Option<Share>,
    interval: Option<Duration>,
    /// Where it is written.
    pub(super) span: Option<Span>,
}

/// Reads `throttling`.
pub(super) fn throttling(fields: &Fields<'_>) -> WrittenThrottling {
    let Some(map) = fields.map("throttling", "down, up, ...") else { return WrittenThrottling::default() };
    map.known(&THROTTLING);
    let share = |key| map.read(key, part);
    WrittenThrottling {
        down: share("down"),
        up: share("up"),
        floor: share("floor"),
        ceiling: share("ceiling"),
        sample: map.count("sample").map(std::num::NonZeroU32::get),
        deferrals: share("deferrals"),
        interval: map.read("interval", interval),
        span: fields.entry("throttling").map(|entry| entry.key_span),
    }
}

fn interval(problems: &Problems, node: &Node) -> Option<Duration> {
    let span = problems.duration(node)?;
    let fits = span <= LONGEST_INTERVAL;
    if !fits {
        problems.at(node.span, format!("expected at most 24h between two changes, got {}", node.shown()));
    }
    fits.then_some(span)
}

impl WrittenThrottling {
    /// What is not written here is taken from `other`.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            down: self.down.or(other.down),
            up: self.up.or(other.up),
            floor: self.floor.or(other.floor),
            ceiling: self.ceiling.or(other.ceiling),
            sample: self.sample.or(other.sample),
            deferrals: self.deferrals.or(other.deferrals),
            interval: self.interval.or(other.interval),
            span: self.span.or(other.span),
        }
    }

    /// The throttling in force.
    pub(super) fn throttling(&self) -> Throttling {
        let base = Throttling::default();
        Throttling {
            down: self.down.unwrap_or(base.down),
            up: self.up.unwrap_or(base.up),
            floor: self.floor.unwrap_or(base.floor),
            ceiling: self.ceiling.unwrap_or(base.ceiling),
            sample: self.sample.unwrap_or(base.sample),
            deferrals: self.deferrals.unwrap_or(base.deferrals),
            interval: self.interval.unwrap_or(base.interval),
        }
    }

    /// What contradicts itself.
    pub(super) fn lint(&self, problems: &Problems) {
        let read = self.throttling();
        if let Some(span) = self.span.filter(|_| read.floor > read.ceiling) {
            let message = format!("the floor ({}) is above the ceiling ({}), which wins", read.floor, read.ceiling);
            problems.lint(span, message, "a lane goes between the two; write a floor below the ceiling");
        }
    }
}
