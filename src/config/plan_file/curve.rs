//! Owns the curve as written: a list, `{ start, grow, up_to }` or `{ preset, scale, up_to }`, and what `then` follows.
//!
//! Invariants: a curve has a first day and no day of zero; growth is above 1 and finite; a preset is a published one.

use crate::config::curves::{preset, preset_names};
use crate::config::fields::Fields;
use crate::config::keys::plan::{GROWING, PUBLISHED, THEN};
use crate::config::problem::{Problems, Span, did_you_mean};
use crate::config::tree::{Kind, Node};
use crate::core::plan::{Curve, CurveShape, Then};
use crate::core::units::Share;

/// Longest listed curve, days.
const LONGEST: usize = 1_000;

/// Fastest growth that is taken for meant, per day.
const STEEPEST: f64 = 10.0;

/// A curve and the places a lint may point at.
#[derive(Debug, Clone)]
pub(super) struct WrittenCurve {
    pub(super) curve: Curve,
    /// The whole value.
    pub(super) span: Span,
    /// Each listed value; empty otherwise.
    pub(super) days: Vec<Span>,
}

/// Reads the value of `curve`.
pub(super) fn curve(problems: &Problems, node: &Node) -> Option<WrittenCurve> {
    match &node.kind {
        Kind::List(items) => listed(problems, node, items),
        Kind::Map(_) => {
            let fields = Fields::of(problems, node, node.span, "a curve")?;
            match fields.node("preset") {
                Some(_) => published(&fields, node.span),
                None => growing(&fields, node.span),
            }
        }
        _ => {
            problems.at_with(
                node.span,
                format!("expected a curve, got {}", node.shown()),
                "write [50, 75, 100], { start: 50, grow: 1.3, up_to: 20_000 } or { preset: NAME, scale: 10% }",
            );
            None
        }
    }
}

fn listed(problems: &Problems, node: &Node, items: &[Node]) -> Option<WrittenCurve> {
    if items.is_empty() || items.len() > LONGEST {
        let message = format!("expected 1 to {LONGEST} daily volumes, got {}", items.len());
        problems.at_with(node.span, message, "the last value stays; `then: { grow: 1.15 }` goes on growing");
        return None;
    }
    let values: Vec<_> = items.iter().map(|item| problems.count(item).map(std::num::NonZero::get)).collect();
    let values: Vec<u32> = values.into_iter().collect::<Option<_>>()?;
    Some(WrittenCurve {
        curve: Curve { shape: CurveShape::Listed { values, preset: None }, scale: None, then: Then::Last, up_to: None },
        span: node.span,
        days: items.iter().map(|item| item.span).collect(),
    })
}

fn published(fields: &Fields<'_>, span: Span) -> Option<WrittenCurve> {
    fields.known(&PUBLISHED);
    let node = fields.node("preset")?;
    let name = fields.text("preset");
    let (scale, up_to) = (optional(fields, "scale", Fields::share), optional(fields, "up_to", Fields::count));
    let name = name?;
    let Some(found) = preset(name) else {
        let help = match did_you_mean(name, preset_names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "`hikagen plan curves` lists them".to_owned(),
        };
        fields.problems().at_with(node.span, format!("no published curve is named {}", node.shown()), help);
        return None;
    };
    let shape = CurveShape::Listed { values: found.values.clone(), preset: Some(name.to_owned()) };
    let curve = Curve { shape, scale: scale?, then: Then::Last, up_to: up_to?.map(std::num::NonZero::get) };
    Some(WrittenCurve { curve, span, days: Vec::new() })
}

fn growing(fields: &Fields<'_>, span: Span) -> Option<WrittenCurve> {
    fields.known_of(&[&GROWING, &PUBLISHED]);
    let start = fields.required("start", "the volume of day 1, such as 50").and_then(|_| fields.count("start"));
    let grow = fields.required("grow", "the factor per day, such as 1.3").and_then(|_| growth(fields));
    let (scale, up_to) = (optional(fields, "scale", Fields::share), optional(fields, "up_to", Fields::count));
    let shape = CurveShape::Growing { start: start?.get(), grow: grow? };
    let curve = Curve { shape, scale: scale?, then: Then::Last, up_to: up_to?.map(std::num::NonZero::get) };
    Some(WrittenCurve { curve, span, days: Vec::new() })
}

/// `None`: there and refused. `Some(None)`: not there.
fn optional<'a, T>(fields: &Fields<'a>, key: &str, read: impl Fn(&Fields<'a>, &str) -> Option<T>) -> Option<Option<T>> {
    match fields.entry(key) {
        None => Some(None),
        Some(_) => read(fields, key).map(Some),
    }
}

fn growth(fields: &Fields<'_>) -> Option<f64> {
    fields.read("grow", |problems, node| {
        let text = problems.text(node, "a factor per day such as 1.15")?;
        let number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse::<f64>().ok()).flatten();
        let found = number.filter(|grow| *grow > 1.0 && *grow <= STEEPEST);
        if found.is_none() {
            problems.at_with(
                node.span,
                format!("expected a factor per day above 1 and at most {STEEPEST}, got {}", node.shown()),
                "1.15 is 15 % more each day",
            );
        }
        found
    })
}

/// Reads the value of `then`: `{ grow, up_to }`.
pub(super) fn then(problems: &Problems, node: &Node) -> Option<Then> {
    let fields = Fields::of(problems, node, node.span, "what follows the curve: grow and up_to")?;
    fields.known(&THEN);
    let grow = fields.required("grow", "the factor per day, such as 1.15").and_then(|_| growth(&fields));
    let up_to = optional(&fields, "up_to", Fields::count);
    Some(Then::Grow { grow: grow?, up_to: up_to?.map(std::num::NonZero::get) })
}

/// `scale` on top of what the curve was scaled by already; `None`: below 0.01 % nothing can be written.
pub(super) fn scaled(mut curve: Curve, scale: Option<Share>, up_to: Option<u32>) -> Option<Curve> {
    curve.scale = match (curve.scale, scale) {
        (Some(before), Some(more)) => Some(before.times(more)?),
        (before, more) => before.or(more),
    };
    curve.up_to = curve.up_to.into_iter().chain(up_to).min();
    Some(curve)
}
