//! Owns plan days and a lane's hours: when a plan day begins and ends, and when inside it mail may leave.
//!
//! Windows and avoided minutes go by what the wall clock of the plan's zone shows: an hour that DST skips is not there, an
//! hour that it repeats counts twice. A window belongs to the date on which it opens. All ranges are half open.
//!
//! Invariants: plan days follow one another without gap or overlap; segments of `Hours` are sorted, disjoint, not empty,
//! and lie within their plan day.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::holidays::is_holiday;
use crate::core::plan::{Avoid, AvoidDate, WeekHours};

/// How far [`next_opening`] looks ahead, days.
const HORIZON: i64 = 400;

/// The plan day that holds `now`: the date on which it began.
#[must_use]
pub fn plan_day(tz: &TimeZone, day_starts: Time, now: Timestamp) -> Date {
    let local = tz.to_datetime(now);
    let mut day = local.date();
    // The wall clock is a good guess; where DST moves it over the day's start, the bounds decide.
    while now < day_start(tz, day_starts, day) {
        match day.yesterday() {
            Ok(before) => day = before,
            Err(_) => return day,
        }
    }
    while let Ok(next) = day.tomorrow() {
        if now < day_start(tz, day_starts, next) {
            break;
        }
        day = next;
    }
    day
}

/// Begin and end of plan day `day`, half open. Empty only where the zone skipped the whole day.
#[must_use]
pub fn day_bounds(tz: &TimeZone, day_starts: Time, day: Date) -> (Timestamp, Timestamp) {
    let end = day.tomorrow().map_or(Timestamp::MAX, |next| day_start(tz, day_starts, next));
    (day_start(tz, day_starts, day), end)
}

fn day_start(tz: &TimeZone, day_starts: Time, day: Date) -> Timestamp {
    first_instant(tz, day.to_datetime(day_starts))
}

/// The first instant at which the wall clock shows `local` or later.
fn first_instant(tz: &TimeZone, local: DateTime) -> Timestamp {
    match tz.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => at(local, offset),
        AmbiguousOffset::Gap { after, .. } => {
            let before_the_gap = at(local, after);
            tz.following(before_the_gap).next().map_or(before_the_gap, |transition| transition.timestamp())
        }
    }
}

/// `local` at `offset`; beyond jiff's range its nearest end.
fn at(local: DateTime, offset: Offset) -> Timestamp {
    let edge = if local.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    offset.to_timestamp(local).unwrap_or(edge)
}

/// A lane's open segments within one plan day. Every question costs O(log n).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    day: Date,
    starts: Timestamp,
    ends: Timestamp,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    opens: Timestamp,
    closes: Timestamp,
    /// Open time of all segments before this one.
    before: Duration,
}

impl Hours {
    /// The segments of plan day `day`: `hours` less what `avoid` takes away.
    #[must_use]
    pub fn of(tz: &TimeZone, day_starts: Time, hours: &WeekHours, avoid: Option<&Avoid>, day: Date) -> Self {
        let (starts, ends) = day_bounds(tz, day_starts, day);
        let mut open: Vec<(Timestamp, Timestamp)> = Vec::new();
        for stretch in stretches(tz, starts, ends) {
            let mut pieces = windows(hours, avoid, day, &stretch);
            pieces.sort_unstable();
            for (from, to) in pieces {
                match open.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(to),
                    _ => open.push((from, to)),
                }
            }
        }
        let mut before = Duration::ZERO;
        let segments = open.into_iter().map(|(opens, closes)| {
            let segment = Segment { opens, closes, before };
            before += between(opens, closes);
            segment
        });
        Self { day, starts, ends, segments: segments.collect() }
    }

    /// The plan day.
    #[must_use]
    pub fn day(&self) -> Date {
        self.day
    }

    /// When the plan day begins.
    #[must_use]
    pub fn starts(&self) -> Timestamp {
        self.starts
    }

    /// When it ends (the next one begins).
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The open segments, sorted and disjoint, each half open.
    pub fn segments(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.segments.iter().map(|s| (s.opens, s.closes))
    }

    /// Whether mail may leave at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.closes(now).is_some()
    }

    /// The end of the open segment that holds `now`.
    #[must_use]
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        self.at_or_after(now).filter(|s| s.opens <= now).map(|s| s.closes)
    }

    /// `now` when open, else the next opening of this plan day.
    #[must_use]
    pub fn next_open(&self, now: Timestamp) -> Option<Timestamp> {
        self.at_or_after(now).map(|s| s.opens.max(now))
    }

    /// Open time from `now` to the end of the plan day.
    #[must_use]
    pub fn open_left(&self, now: Timestamp) -> Duration {
        self.at_or_after(now).map_or(Duration::ZERO, |segment| {
            let passed = if segment.opens < now { between(segment.opens, now) } else { Duration::ZERO };
            self.total().saturating_sub(segment.before + passed)
        })
    }

    /// Open time of the whole plan day.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.segments.last().map_or(Duration::ZERO, |s| s.before + between(s.opens, s.closes))
    }

    /// The segment that holds `now`, else the first after it.
    fn at_or_after(&self, now: Timestamp) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|s| s.closes <= now))
    }
}

/// The first instant from `after` on at which mail may leave (`after` itself when open), looked for 400 days ahead.
#[must_use]
pub fn next_opening(
    tz: &TimeZone,
    day_starts: Time,
    hours: &WeekHours,
    avoid: Option<&Avoid>,
    after: Timestamp,
) -> Option<Timestamp> {
    let first = plan_day(tz, day_starts, after);
    (0..=HORIZON)
        .map_while(|ahead| first.checked_add(ahead.days()).ok())
        .find_map(|day| Hours::of(tz, day_starts, hours, avoid, day).next_open(after))
}

/// A stretch of time during which the zone keeps one offset.
#[derive(Debug)]
struct Stretch {
    from: Timestamp,
    to: Timestamp,
    offset: Offset,
}

impl Stretch {
    /// The part of a range of wall clock time that lies in this stretch.
    fn clip(&self, from: DateTime, to: DateTime) -> Option<(Timestamp, Timestamp)> {
        let (from, to) = (at(from, self.offset).max(self.from), at(to, self.offset).min(self.to));
        (from < to).then_some((from, to))
    }
}

fn stretches(tz: &TimeZone, starts: Timestamp, ends: Timestamp) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut from = starts;
    let mut offset = tz.to_offset(starts);
    for transition in tz.following(starts).take_while(|t| t.timestamp() < ends) {
        found.push(Stretch { from, to: transition.timestamp(), offset });
        (from, offset) = (transition.timestamp(), transition.offset());
    }
    if from < ends {
        found.push(Stretch { from, to: ends, offset });
    }
    found
}

/// What is open in `stretch` of plan day `day`, not sorted.
fn windows(hours: &WeekHours, avoid: Option<&Avoid>, day: Date, stretch: &Stretch) -> Vec<(Timestamp, Timestamp)> {
    let mut open = Vec::new();
    // A plan day touches at most two dates; a window that runs over midnight may have opened on the date before.
    for opening in [day.yesterday(), Ok(day), day.tomorrow()].into_iter().flatten() {
        if avoid.is_some_and(|a| avoids_date(a, opening)) {
            continue;
        }
        for &(from, to) in &hours.days[weekday_index(opening)] {
            let (Some(from), Some(to)) = (minute_of(opening, from), minute_of(opening, to)) else { continue };
            if let Some(window) = stretch.clip(from, to) {
                open.extend(without_minutes(window, avoid, stretch));
            }
        }
    }
    open
}

/// `window` less the avoided minutes of each hour.
fn without_minutes(
    window: (Timestamp, Timestamp),
    avoid: Option<&Avoid>,
    stretch: &Stretch,
) -> Vec<(Timestamp, Timestamp)> {
    let mut closed: Vec<(i8, i8)> = Vec::new();
    for &(first, last) in avoid.map_or(&[][..], |a| &a.minutes) {
        let minute = |m: u8| i8::try_from(m.min(60)).unwrap_or(60);
        closed.push((minute(first), minute(last.saturating_add(1))));
    }
    if closed.is_empty() {
        return vec![window];
    }
    closed.sort_unstable();
    let (mut from, to) = window;
    let mut open = Vec::new();
    let local = stretch.offset.to_datetime(from);
    let mut hour = local.date().at(local.hour(), 0, 0, 0);
    while at(hour, stretch.offset) < to {
        for &(shut, reopen) in &closed {
            let shut = at(hour.saturating_add(i64::from(shut).minutes()), stretch.offset);
            let reopen = at(hour.saturating_add(i64::from(reopen).minutes()), stretch.offset);
            if from < shut.min(to) {
                open.push((from, shut.min(to)));
            }
            from = from.max(reopen);
        }
        hour = hour.saturating_add(1.hour());
    }
    if from < to {
        open.push((from, to));
    }
    open
}

fn avoids_date(avoid: &Avoid, date: Date) -> bool {
    let listed = avoid.dates.iter().any(|avoided| match *avoided {
        AvoidDate::Yearly { month, day } => date.month() == month && date.day() == day,
        AvoidDate::Once(day) => date == day,
    });
    listed || is_holiday(date, &avoid.holidays)
}

fn weekday_index(date: Date) -> usize {
    usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0)
}

/// Wall clock time `minutes` after 00:00 of `date`.
fn minute_of(date: Date, minutes: u16) -> Option<DateTime> {
    date.at(0, 0, 0, 0).checked_add(SignedDuration::from_mins(i64::from(minutes))).ok()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
