//! Owns a campaign's times: as written, and as instants once it is known what time it is.
//!
//! Invariants: a bare date is 00:00 for `start` and the day's end for the others; `+12d` counts from the later of start and
//! submit, whole days by the calendar; a time that a clock change skips is the one an hour later.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::config::fields::Fields;
use crate::config::problem::{Problem, Problems, Read, SourceFile, Span};
use crate::config::tree::Node;
use crate::core::units;

const DAY: u64 = 86_400;

/// A time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `2026-11-24 09:00`
    At(DateTime),
    /// `2026-11-24`
    On(Date),
    /// `+12d`
    After(Duration),
}

/// A campaign's times as written, with their places.
#[derive(Debug, Clone)]
pub struct Times {
    /// Zone of the configuration.
    pub timezone: TimeZone,
    /// First instant of claiming; `None`: at once.
    pub start: Option<When>,
    /// Deadline, judged by the forecast.
    pub finish_by: Option<When>,
    /// What is unsent then expires.
    pub not_after: Option<When>,
    file: Arc<SourceFile>,
    places: [Span; 3],
}

/// A campaign's times as instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instants {
    /// First instant of claiming; may be past.
    pub start: Timestamp,
    /// Deadline.
    pub finish_by: Option<Timestamp>,
    /// End.
    pub not_after: Option<Timestamp>,
}

pub(super) fn read(fields: &Fields<'_>, timezone: &TimeZone) -> Times {
    let place = |key: &str| fields.node(key).map_or(fields.span, |node| node.span);
    let start = fields.read("start", when);
    if let Some(When::After(_)) = start {
        let help = "write a local time such as 2026-11-24 09:00, or leave start away to begin at once";
        fields.problems().at_with(place("start"), "start cannot be relative to itself", help);
    }
    Times {
        timezone: timezone.clone(),
        start,
        finish_by: fields.read("finish_by", when),
        not_after: fields.read("not_after", when),
        file: Arc::clone(fields.problems().file()),
        places: ["start", "finish_by", "not_after"].map(place),
    }
}

fn when(problems: &Problems, node: &Node) -> Option<When> {
    const WHAT: &str = "a local time such as 2026-11-24 09:00, a date, or +12d";
    let text = problems.text(node, WHAT)?;
    if let Some(span) = text.strip_prefix('+') {
        return units::span(span).map(When::After).map_err(|e| problems.because(node, &e)).ok();
    }
    if let Ok(date) = text.parse::<Date>().map_err(|_| ()).and_then(|date| plain(text, 10).then_some(date).ok_or(())) {
        return Some(When::On(date));
    }
    let zoned = text.get(11..).is_some_and(|time| time.contains(['+', '-', 'Z', 'z', '[']));
    match text.parse::<DateTime>() {
        Ok(time) if !zoned && text.len() >= 16 => Some(When::At(time)),
        _ if zoned => {
            let message = format!("expected a local time, got {} with an offset", node.shown());
            problems.at_with(node.span, message, "times are those of the configuration's timezone");
            None
        }
        _ => {
            problems.expected(node, WHAT);
            None
        }
    }
}

fn plain(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

impl Times {
    /// The instants, when it is `now` at submit.
    #[must_use]
    pub fn resolve(&self, now: Timestamp) -> Read<Instants> {
        let problems = Problems::new(&self.file);
        let instants = self.instants(now);
        if instants.is_none() {
            problems.push(Problem::of_file(&self.file, "its times lie beyond the calendar"));
        }
        if let Some(found) = instants {
            self.ordered(&problems, &found, now);
        }
        Read::new(instants, problems.into_vec())
    }

    fn instants(&self, now: Timestamp) -> Option<Instants> {
        let start = match self.start {
            None => now,
            Some(When::On(date)) => self.begins(date)?,
            Some(When::At(time)) => self.at(time)?,
            Some(When::After(span)) => later(now, span, &self.timezone)?,
        };
        let base = start.max(now);
        let end = |when: Option<When>| match when {
            None => Some(None),
            Some(When::On(date)) => self.begins(date.tomorrow().ok()?).map(Some),
            Some(When::At(time)) => self.at(time).map(Some),
            Some(When::After(span)) => later(base, span, &self.timezone).map(Some),
        };
        Some(Instants { start, finish_by: end(self.finish_by)?, not_after: end(self.not_after)? })
    }

    fn begins(&self, date: Date) -> Option<Timestamp> {
        self.at(date.at(0, 0, 0, 0))
    }

    fn at(&self, time: DateTime) -> Option<Timestamp> {
        self.timezone.to_ambiguous_zoned(time).compatible().ok().map(|zoned| zoned.timestamp())
    }

    fn ordered(&self, problems: &Problems, found: &Instants, now: Timestamp) {
        let [start, finish_by, not_after] = self.places;
        let shown = |at: Timestamp| at.to_zoned(self.timezone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        if let Some(end) = found.not_after {
            if end <= found.start {
                let message = format!("not_after ({}) is not later than start ({})", shown(end), shown(found.start));
                problems.push(Problem::at(&self.file, not_after, message).also(start, "start"));
            } else if end <= now {
                let message = format!("not_after ({}) is past: everything would expire unsent", shown(end));
                problems.at(not_after, message);
            }
        }
        let Some(deadline) = found.finish_by else { return };
        if deadline <= found.start {
            let message = format!("finish_by ({}) is not later than start ({})", shown(deadline), shown(found.start));
            problems.push(Problem::at(&self.file, finish_by, message).also(start, "start"));
        } else if deadline <= now {
            problems.lint(finish_by, format!("finish_by ({}) is past", shown(deadline)), "nothing is stopped by it");
        }
        if let Some(end) = found.not_after.filter(|end| *end < deadline) {
            let message = format!("not_after ({}) comes before finish_by ({})", shown(end), shown(deadline));
            problems.lint(finish_by, message, "what is unsent expires at not_after");
        }
    }
}

/// `span` after `at`: whole days by the calendar, everything else by the clock.
fn later(at: Timestamp, span: Duration, timezone: &TimeZone) -> Option<Timestamp> {
    let seconds = span.as_secs();
    if seconds > 0 && seconds.is_multiple_of(DAY) && span.subsec_nanos() == 0 {
        let days = i64::try_from(seconds / DAY).ok()?;
        return at.to_zoned(timezone.clone()).checked_add(days.days()).ok().map(|zoned| zoned.timestamp());
    }
    at.checked_add(span).ok()
}
