//! Owns `plan curves`: the published curves that are built in, each with where it was published.

use serde::Serialize;

use crate::cli::{Context, Exit, Outcome};
use crate::config::curves::{Preset, presets};
use crate::report::words::{Table, number};

/// One curve as `--json` prints it.
#[derive(Serialize)]
struct Listed {
    /// Its name, for `preset:`.
    curve: &'static str,
    /// Warm-up days until its last volume.
    days: usize,
    /// Messages on day 1.
    first: u32,
    /// Messages on the last day, and on every later one.
    last: u32,
    publisher: &'static str,
    /// What the source meant by one curve.
    unit: &'static str,
    /// How the source goes from one day to the next.
    advance: &'static str,
    source: &'static str,
    /// Messages on each day.
    values: &'static [u32],
}

impl Listed {
    fn of((curve, preset): (&'static str, &'static Preset)) -> Self {
        let Preset { values, unit, advance, publisher, source } = preset;
        let end = |volume: Option<&u32>| volume.copied().unwrap_or_default();
        let (first, last) = (end(values.first()), end(values.last()));
        Self { curve, days: values.len(), first, last, publisher, unit, advance, source, values }
    }
}

pub(super) fn list(context: &Context) -> Outcome {
    let curves: Vec<Listed> = presets().map(Listed::of).collect();
    let mut table = Table::new(["CURVE", "DAYS", "FIRST", "LAST", "PUBLISHER", "SOURCE"], &[1, 2, 3]);
    for curve in &curves {
        table.row([
            curve.curve.to_owned(),
            number(curve.days as u64),
            number(curve.first.into()),
            number(curve.last.into()),
            curve.publisher.to_owned(),
            curve.source.to_owned(),
        ]);
    }
    let text = format!(
        "Published curves, messages per warm-up day. In a plan: `curve: {{ preset: NAME, scale: 10%, up_to: 10_000 }}`;\n\
         `--json` shows every day, and what each source means by it.\n\n{}",
        table.render("  ")
    );
    context.answer(&curves, &text)?;
    Ok(Exit::Done)
}
