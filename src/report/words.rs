//! Owns how times and numbers read in answers: the same everywhere.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serializer;
use std::time::Duration;

/// `2026-11-25 08:00`, local; seconds only where there are any.
#[must_use]
pub fn at(time: Timestamp, zone: &TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    let form = if local.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    local.strftime(form).to_string()
}

/// `1,200`.
#[must_use]
pub fn number(n: u64) -> String {
    crate::core::units::grouped(n).replace('_', ",")
}

/// `1 message`, `1,200 messages`.
#[must_use]
pub fn count(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(n))
}

/// About how long from `now` to `then`: `3 s`, `12 min`, `2 h 5 min`, `3 days`. `now` when it is past.
#[must_use]
pub fn from_now(now: Timestamp, then: Timestamp) -> String {
    let seconds = u64::try_from(then.duration_since(now).as_secs()).unwrap_or(0);
    about(Duration::from_secs(seconds))
}

/// About how long: the two largest units that matter.
#[must_use]
pub fn about(span: Duration) -> String {
    match span.as_secs() {
        0 => "now".to_owned(),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => match (s / 3_600, s / 60 % 60) {
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        },
        s => format!("{} days", s / 86_400),
    }
}

/// Serializes what can be shown as its text.
///
/// # Errors
/// As the serializer.
pub fn shown_one<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Serializes what can be shown as its text, or null.
///
/// # Errors
/// As the serializer.
pub fn shown<T: std::fmt::Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// Columns of text, each as wide as its widest cell; `right` names the columns that hold numbers. Japanese characters count as
/// two columns, as terminals show them.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with a heading.
    #[must_use]
    pub fn new<const N: usize>(head: [&str; N], right: &[usize]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()], right: right.to_vec() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The table as lines, each beginning with `indent`; nothing when there is only the heading.
    #[must_use]
    pub fn render(&self, indent: &str) -> String {
        if self.rows.len() < 2 {
            return String::new();
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| self.rows.iter().filter_map(|r| r.get(c)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(c, (cell, wide))| {
                    let gap = " ".repeat(wide - width(cell));
                    if self.right.contains(&c) { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
                })
                .collect();
            out.push_str(indent);
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

/// Terminal columns: two for East Asian wide characters (the ranges that Japanese text uses).
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x1100..=0x115F
            | 0x2E80..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x1F300..=0x1FAFF
            | 0x20000..=0x3FFFD => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_read_as_people_write_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        let time: Timestamp = "2026-11-24T23:00:00Z".parse().expect("a time");
        assert_eq!(at(time, &zone), "2026-11-25 08:00");
        assert_eq!(at(time + Duration::from_secs(7), &zone), "2026-11-25 08:00:07");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!((count(1, "message"), count(1_200, "message")), ("1 message".into(), "1,200 messages".into()));
        assert_eq!(from_now(time, time), "now");
        assert_eq!(from_now(time, time - Duration::from_secs(7)), "now");
        assert_eq!(from_now(time, time + Duration::from_secs(7_500)), "2 h 5 min");
        assert_eq!(about(Duration::from_secs(260_000)), "3 days");
    }

    #[test]
    fn columns_line_up_under_japanese_too() {
        let mut table = Table::new(["NAME", "N"], &[1]);
        table.row(["春のお知らせ".into(), "5".into()]);
        table.row(["a".into(), "1,200".into()]);
        assert_eq!(table.render("  "), "  NAME              N\n  春のお知らせ      5\n  a             1,200\n");
        assert_eq!(Table::new(["A"], &[]).render(""), "");
    }
}
