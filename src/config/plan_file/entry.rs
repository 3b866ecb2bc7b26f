//! Owns one entry of a plan as written: a destination group's, or `defaults`.
//!
//! Invariant: every value remembers its place and who wrote it, so that a copied value still names the entry it came from.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::civil::Time;

use super::curve::{self, WrittenCurve};
use super::gate::{self, WrittenGate, WrittenThrottling};
use super::hours;
use crate::config::fields::Fields;
use crate::config::keys::plan::{DEFAULTS, ENTRY, TRANSACTIONAL};
use crate::config::problem::{Problems, Span};
use crate::config::tree::{Entry, Kind, Node};
use crate::core::names::GroupName;
use crate::core::plan::{Avoid, Source, Sourced, Spread, Then, WeekHours};
use crate::core::units::{Rate, Share};

/// Longest pause after a block: it doubles up to this, so that it cannot begin above it.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(24 * 3_600);

/// Who wrote a value.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// The entry of this group.
    Entry(GroupName),
    /// `defaults`.
    Defaults,
}

/// A value, its place and who wrote it.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Span,
    pub(super) source: Source,
}

impl<T: Clone> Placed<T> {
    pub(super) fn sourced(&self) -> Sourced<T> {
        Sourced { value: self.value.clone(), source: self.source.clone() }
    }
}

/// What an entry says besides its curve; `None`: not written.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) rate: Option<Placed<Rate>>,
    pub(super) burst: Option<Placed<NonZeroU32>>,
    pub(super) per_hour: Option<Placed<NonZeroU32>>,
    pub(super) connections: Option<Placed<NonZeroU32>>,
    pub(super) messages_per_connection: Option<Placed<NonZeroU32>>,
    pub(super) window: Option<Placed<WeekHours>>,
    pub(super) avoid: Option<Placed<Avoid>>,
    pub(super) spread: Option<Placed<Spread>>,
    /// `Some(None)`: exactly even.
    pub(super) jitter: Option<Placed<Option<Share>>>,
    pub(super) transactional: Option<Placed<WeekHours>>,
    pub(super) cooldown: Option<Placed<Duration>>,
    pub(super) gate: WrittenGate,
    pub(super) throttling: WrittenThrottling,
    pub(super) unknown_budget: Option<Placed<Share>>,
}

impl Settings {
    /// What is not written here is taken from `other`.
    pub(super) fn or(self, other: &Self) -> Self {
        Self {
            rate: self.rate.or_else(|| other.rate.clone()),
            burst: self.burst.or_else(|| other.burst.clone()),
            per_hour: self.per_hour.or_else(|| other.per_hour.clone()),
            connections: self.connections.or_else(|| other.connections.clone()),
            messages_per_connection: self.messages_per_connection.or_else(|| other.messages_per_connection.clone()),
            window: self.window.or_else(|| other.window.clone()),
            avoid: self.avoid.or_else(|| other.avoid.clone()),
            spread: self.spread.or_else(|| other.spread.clone()),
            jitter: self.jitter.or_else(|| other.jitter.clone()),
            transactional: self.transactional.or_else(|| other.transactional.clone()),
            cooldown: self.cooldown.or_else(|| other.cooldown.clone()),
            gate: self.gate.or(&other.gate),
            throttling: self.throttling.or(&other.throttling),
            unknown_budget: self.unknown_budget.or_else(|| other.unknown_budget.clone()),
        }
    }
}

/// A destination group's entry.
#[derive(Debug, Clone)]
pub(super) struct WrittenEntry {
    /// Where its name stands.
    pub(super) key: Span,
    pub(super) curve: Option<Placed<WrittenCurve>>,
    pub(super) then: Option<Placed<Then>>,
    /// The entry that it copies.
    pub(super) like: Option<(GroupName, Span)>,
    pub(super) scale: Option<Share>,
    pub(super) up_to: Option<u32>,
    pub(super) settings: Settings,
    /// Its curve could not be read, and that was reported.
    pub(super) broken: bool,
}

/// Reads `defaults`.
pub(super) fn defaults(map: &Fields<'_>, starts: Time) -> Settings {
    // A curve here would be given to every group silently; it has a place of its own.
    let belongs = |key: &str| DEFAULTS.keys().any(|known| known.name == key);
    let misplaced = |key: &str| !belongs(key) && ENTRY.keys().any(|known| known.name == key);
    for item in map.entries.iter().filter(|item| misplaced(&item.key)) {
        map.problems().at_with(
            item.key_span,
            format!("\"{}\" does not belong into defaults", item.key),
            "the curve of every group that the plan does not name goes under groups: default",
        );
    }
    map.known_of(&[&DEFAULTS, &ENTRY]);
    settings(map, &Origin::Defaults, starts)
}

/// Reads a group's entry.
pub(super) fn read(problems: &Problems, item: &Entry, origin: &Origin, starts: Time) -> WrittenEntry {
    let mut entry = WrittenEntry {
        key: item.key_span,
        curve: None,
        then: None,
        like: None,
        scale: None,
        up_to: None,
        settings: Settings::default(),
        broken: true,
    };
    let Some(fields) = Fields::of(problems, &item.value, item.key_span, "curve, rate, window, ...") else {
        return entry;
    };
    fields.known(&ENTRY);
    entry.settings = settings(&fields, origin, starts);
    entry.curve = placed(&fields, "curve", origin, curve::curve);
    entry.then = placed(&fields, "then", origin, curve::then);
    entry.like = placed(&fields, "like", origin, |p, n| p.parsed(n, "the name of a group")).map(|l| (l.value, l.span));
    entry.scale = fields.share("scale");
    entry.up_to = fields.count("up_to").map(NonZeroU32::get);
    let refused = |key: &str, read: bool| fields.node(key).is_some() && !read;
    entry.broken = refused("curve", entry.curve.is_some())
        || refused("then", entry.then.is_some())
        || refused("like", entry.like.is_some())
        || refused("scale", entry.scale.is_some())
        || refused("up_to", entry.up_to.is_some());
    contradictions(&fields);
    entry
}

/// Keys that mean nothing together.
fn contradictions(fields: &Fields<'_>) {
    let has = |key: &str| fields.node(key).is_some();
    let curve = fields.node("curve");
    for key in ["scale", "up_to", "then"] {
        if let Some(item) = fields.entry(key).filter(|_| !has("curve") && !has("like")) {
            fields.problems().at_with(
                item.key_span,
                format!("\"{key}\" needs a curve to work on, and there is none in this entry"),
                "write `curve: ...` or `like: GROUP` beside it",
            );
        }
    }
    let growing =
        curve.is_some_and(|c| matches!(&c.kind, Kind::Map(entries) if entries.iter().any(|e| e.key == "grow")));
    if let Some(item) = fields.entry("then").filter(|_| growing) {
        fields.problems().at_with(
            item.key_span,
            "a curve that grows has no end for \"then\" to follow",
            "take `then` away, and write its up_to into the curve",
        );
    }
}

fn settings(fields: &Fields<'_>, origin: &Origin, starts: Time) -> Settings {
    Settings {
        rate: placed(fields, "rate", origin, Problems::rate),
        burst: placed(fields, "burst", origin, Problems::count),
        per_hour: placed(fields, "per_hour", origin, Problems::count),
        connections: placed(fields, "connections", origin, Problems::count),
        messages_per_connection: placed(fields, "messages_per_connection", origin, Problems::count),
        window: placed(fields, "window", origin, |p, n| hours::window(p, n, starts)),
        avoid: placed(fields, "avoid", origin, hours::avoid),
        spread: placed(fields, "spread", origin, |p, n| p.one_of(n, &[("even", Spread::Even), ("asap", Spread::Asap)])),
        jitter: placed(fields, "jitter", origin, jitter),
        transactional: placed(fields, "transactional", origin, |p, n| transactional(p, n, starts)),
        cooldown: placed(fields, "cooldown", origin, cooldown),
        gate: gate::advance(fields),
        throttling: gate::throttling(fields),
        unknown_budget: placed(fields, "unknown_budget", origin, part),
    }
}

fn placed<T>(
    fields: &Fields<'_>,
    key: &str,
    origin: &Origin,
    read: impl FnOnce(&Problems, &Node) -> Option<T>,
) -> Option<Placed<T>> {
    let line = fields.entry(key)?.key_span.line;
    let source = match origin {
        Origin::Entry(group) => Source::Entry { group: group.clone(), line },
        Origin::Defaults => Source::Defaults { line },
    };
    fields.read(key, |problems, node| Some(Placed { value: read(problems, node)?, span: node.span, source }))
}

/// A share that cannot be more than the whole.
pub(super) fn part(problems: &Problems, node: &Node) -> Option<Share> {
    let share = problems.share(node)?;
    let fits = share <= Share::percent(100);
    if !fits {
        problems.at(node.span, format!("expected a share of at most 100%, got {share}"));
    }
    fits.then_some(share)
}

fn jitter(problems: &Problems, node: &Node) -> Option<Option<Share>> {
    let text = problems.text(node, "a share such as 20%, or none")?;
    if text == "none" {
        return Some(None);
    }
    if !text.trim().ends_with('%') {
        let help = "write a percent sign; none is exactly even";
        problems.at_with(node.span, format!("expected a share such as 20%, or none, got {}", node.shown()), help);
        return None;
    }
    part(problems, node).map(Some)
}

fn transactional(problems: &Problems, node: &Node, starts: Time) -> Option<WeekHours> {
    let fields = Fields::of(problems, node, node.span, "one key, window")?;
    fields.known(&TRANSACTIONAL);
    fields.required("window", "the hours of transactional mail")?;
    fields.read("window", |p, n| hours::window(p, n, starts))
}

fn cooldown(problems: &Problems, node: &Node) -> Option<Duration> {
    let span = problems.duration(node)?;
    let fits = span <= LONGEST_COOLDOWN;
    if !fits {
        problems.at_with(
            node.span,
            format!("expected a cooldown of at most 24h, got {}", node.shown()),
            "a cooldown doubles with each further block, up to 24h",
        );
    }
    fits.then_some(span)
}
