//! Owns numbers over rounds and the table that is printed: medians with their range, goals met or not.

use std::fmt::{Display, Write as _};

/// A number as a float: the counts here are far below 2^53.
pub(crate) fn float<T: Display>(n: T) -> f64 {
    n.to_string().parse().unwrap_or(f64::NAN)
}

/// One number per round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n == 0 { f64::NAN } else { f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]) }
    }

    /// Round by round, this over the other.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// The median, and the range where there is more than one.
    pub(crate) fn show(&self) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median = number(self.median());
        if self.0.len() > 1 { format!("{median} ({}..{})", number(least), number(most)) } else { median }
    }
}

/// Three digits that matter, thousands in groups.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.abs() < 100.0 {
        return format!("{value:.*}", if value.abs() < 10.0 { 2 } else { 1 });
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// What a goal asks of the median.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Report {
    goals: Vec<(String, String, String, bool)>,
    figures: Vec<(String, String)>,
}

impl Report {
    /// A goal: `unit` stands behind the numbers.
    pub(crate) fn goal(&mut self, what: &str, samples: &Samples, bar: Bar, unit: &str) {
        let (wanted, met) = match bar {
            Bar::AtLeast(n) => (format!("at least {n}{unit}"), samples.median() >= n),
            Bar::AtMost(n) => (format!("at most {n}{unit}"), samples.median() <= n),
        };
        self.goals.push((what.to_owned(), format!("{}{unit}", samples.show()), wanted, met));
    }

    /// A figure without a goal.
    pub(crate) fn figure(&mut self, what: &str, value: String) {
        self.figures.push((what.to_owned(), value));
    }

    /// Whether every goal is met.
    pub(crate) fn is_met(&self) -> bool {
        self.goals.iter().all(|(.., met)| *met)
    }

    /// The table in Markdown.
    pub(crate) fn markdown(&self, machine: &str) -> String {
        let mut text = String::from("| what | measured | wanted | |\n|---|---|---|---|\n");
        for (what, measured, wanted, met) in &self.goals {
            let verdict = if *met { "met" } else { "**not met**" };
            let _ = writeln!(text, "| {what} | {measured} | {wanted} | {verdict} |");
        }
        text.push_str("\n| figure | median (least..most) |\n|---|---|\n");
        for (what, value) in &self.figures {
            let _ = writeln!(text, "| {what} | {value} |");
        }
        let _ = write!(text, "\n{machine}\n");
        text
    }
}
