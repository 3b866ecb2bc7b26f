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
mod tests {
    use std::time::Duration;

    use jiff::civil::{Date, Time, date, time};
    use jiff::tz::TimeZone;
    use jiff::{SignedDuration, Timestamp, ToSpan as _};
    use proptest::prelude::*;

    use super::*;
    use crate::core::plan::{Avoid, AvoidDate, Holidays, WeekHours};

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect(name)
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    fn every_day(from: u16, to: u16) -> WeekHours {
        WeekHours { days: std::array::from_fn(|_| vec![(from, to)]) }
    }

    fn tokyo(hours: &WeekHours, avoid: &Avoid, day: Date) -> Hours {
        Hours::of(&zone("Asia/Tokyo"), Time::midnight(), hours, Some(avoid), day)
    }

    #[test]
    fn a_window_is_half_open() {
        let hours = tokyo(&every_day(480, 1260), &Avoid::default(), date(2026, 11, 24));
        assert!(!hours.is_open(ts("2026-11-24T07:59:59.999+09")));
        assert!(hours.is_open(ts("2026-11-24T08:00+09")));
        assert!(hours.is_open(ts("2026-11-24T20:59:59.999+09")));
        assert!(!hours.is_open(ts("2026-11-24T21:00+09")));
        assert_eq!(hours.closes(ts("2026-11-24T12:00+09")), Some(ts("2026-11-24T21:00+09")));
        assert_eq!(hours.next_open(ts("2026-11-24T03:00+09")), Some(ts("2026-11-24T08:00+09")));
        assert_eq!(hours.next_open(ts("2026-11-24T12:00+09")), Some(ts("2026-11-24T12:00+09")));
        assert_eq!(hours.next_open(ts("2026-11-24T21:00+09")), None);
        assert_eq!(hours.open_left(ts("2026-11-24T20:30+09")), Duration::from_secs(1_800));
        assert_eq!(hours.total(), Duration::from_secs(13 * 3_600));
    }

    #[test]
    fn avoided_minutes_include_both_ends() {
        let avoid = Avoid { minutes: vec![(0, 2), (30, 32)], ..Avoid::default() };
        let hours = tokyo(&every_day(480, 600), &avoid, date(2026, 11, 24));
        let opened: Vec<_> = hours
            .segments()
            .map(|(a, b)| {
                let show = |t: Timestamp| t.to_zoned(zone("Asia/Tokyo")).strftime("%H:%M").to_string();
                format!("{}-{}", show(a), show(b))
            })
            .collect();
        assert_eq!(opened, ["08:03-08:30", "08:33-09:00", "09:03-09:30", "09:33-10:00"]);
        assert_eq!(hours.total(), Duration::from_secs(4 * 27 * 60));
    }

    #[test]
    fn the_last_minute_of_the_hour_and_overlapping_ranges_are_avoided_once() {
        let avoid = Avoid { minutes: vec![(50, 59), (0, 4), (3, 9), (55, 59)], ..Avoid::default() };
        let hours = tokyo(&every_day(0, 1440), &avoid, date(2026, 11, 24));
        assert_eq!(hours.segments().count(), 24);
        assert_eq!(hours.total(), Duration::from_secs(24 * 40 * 60));
        let never = Avoid { minutes: vec![(0, 59)], ..Avoid::default() };
        assert_eq!(tokyo(&every_day(0, 1440), &never, date(2026, 11, 24)).total(), Duration::ZERO);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_opens() {
        let tz = zone("Asia/Tokyo");
        let mut week = WeekHours { days: std::array::from_fn(|_| Vec::new()) };
        week.days[0] = vec![(1_320, 1_560)]; // Monday 22:00 to Tuesday 02:00
        let holidays = Holidays { also: vec![date(2026, 11, 16)], ..Holidays::default() };
        let avoid = Avoid { holidays, ..Avoid::default() };
        let starts = time(4, 0, 0, 0);
        let monday = Hours::of(&tz, starts, &week, Some(&avoid), date(2026, 11, 23));
        assert_eq!(monday.total(), Duration::from_secs(4 * 3_600));
        assert_eq!(monday.closes(ts("2026-11-24T01:00+09")), Some(ts("2026-11-24T02:00+09")));
        assert_eq!(Hours::of(&tz, starts, &week, Some(&avoid), date(2026, 11, 24)).total(), Duration::ZERO);
        // The Monday before is avoided, and so is the part of its window that lies on Tuesday.
        assert_eq!(Hours::of(&tz, starts, &week, Some(&avoid), date(2026, 11, 16)).total(), Duration::ZERO);
        // With days that start at midnight each day gets its own part.
        let split = |day| Hours::of(&tz, Time::midnight(), &week, Some(&avoid), day).total();
        assert_eq!(split(date(2026, 11, 23)), Duration::from_secs(2 * 3_600));
        assert_eq!(split(date(2026, 11, 24)), Duration::from_secs(2 * 3_600));
        assert_eq!(split(date(2026, 11, 17)), Duration::ZERO);
    }

    #[test]
    fn holidays_and_dates_are_avoided() {
        let avoid = Avoid {
            dates: vec![AvoidDate::Yearly { month: 12, day: 31 }, AvoidDate::Once(date(2026, 11, 25))],
            holidays: Holidays { japan: true, ..Holidays::default() },
            ..Avoid::default()
        };
        let open = |day| !tokyo(&every_day(480, 1260), &avoid, day).total().is_zero();
        assert!(!open(date(2026, 11, 23)), "Labor Thanksgiving Day");
        assert!(open(date(2026, 11, 24)));
        assert!(!open(date(2026, 11, 25)));
        assert!(open(date(2027, 11, 25)));
        assert!(!open(date(2026, 12, 31)) && !open(date(2027, 12, 31)));
    }

    #[test]
    fn the_next_opening_passes_over_closed_days() {
        let tz = zone("Asia/Tokyo");
        let holidays = Holidays { japan: true, ..Holidays::default() };
        let avoid = Avoid { holidays, ..Avoid::default() };
        let week = every_day(540, 1080);
        let opening = |after: &str| next_opening(&tz, Time::midnight(), &week, Some(&avoid), ts(after));
        // Golden Week 2026: Sunday 05-03 to the substitute holiday on 05-06.
        assert_eq!(opening("2026-05-02T18:00+09"), Some(ts("2026-05-07T09:00+09")));
        assert_eq!(opening("2026-05-07T10:00+09"), Some(ts("2026-05-07T10:00+09")));
        let never = WeekHours { days: std::array::from_fn(|_| Vec::new()) };
        assert_eq!(next_opening(&tz, Time::midnight(), &never, None, ts("2026-05-02T18:00+09")), None);
    }

    #[test]
    fn plan_days_are_right_where_the_clock_moves() {
        let berlin = zone("Europe/Berlin");
        let length = |tz: &TimeZone, starts, day| {
            let (from, to) = day_bounds(tz, starts, day);
            to.duration_since(from).as_mins()
        };
        assert_eq!(length(&berlin, Time::midnight(), date(2026, 3, 29)), 23 * 60);
        assert_eq!(length(&berlin, Time::midnight(), date(2026, 10, 25)), 25 * 60);
        // 02:30 does not exist on 2026-03-29: the day begins when the gap ends.
        let (from, _) = day_bounds(&berlin, time(2, 30, 0, 0), date(2026, 3, 29));
        assert_eq!(from, ts("2026-03-29T03:00+02"));
        // 02:30 comes twice on 2026-10-25: the day begins with the first.
        let (from, _) = day_bounds(&berlin, time(2, 30, 0, 0), date(2026, 10, 25));
        assert_eq!(from, ts("2026-10-25T02:30+02"));
        assert_eq!(plan_day(&berlin, time(2, 30, 0, 0), ts("2026-10-25T02:10+01")), date(2026, 10, 25));
        // Midnight itself is skipped.
        let (from, _) = day_bounds(&zone("America/Santiago"), Time::midnight(), date(2026, 9, 6));
        assert_eq!(from, ts("2026-09-06T01:00-03"));
        // Samoa had no 2011-12-30.
        assert_eq!(length(&zone("Pacific/Apia"), Time::midnight(), date(2011, 12, 30)), 0);
    }

    #[test]
    fn windows_follow_the_wall_clock_where_it_moves() {
        let berlin = zone("Europe/Berlin");
        let night = every_day(60, 240);
        let total = |day| Hours::of(&berlin, Time::midnight(), &night, None, day).total().as_secs() / 60;
        assert_eq!(total(date(2026, 3, 29)), 120);
        assert_eq!(total(date(2026, 10, 25)), 240);
        assert_eq!(total(date(2026, 11, 1)), 180);
    }

    /// What the wall clock shows at `now`, judged by the definition and nothing else.
    fn open_by_definition(tz: &TimeZone, week: &WeekHours, avoid: &Avoid, now: Timestamp) -> bool {
        let local = now.to_zoned(tz.clone()).datetime();
        let minute = u8::try_from(local.minute()).expect("0 to 59");
        if avoid.minutes.iter().any(|(a, b)| (*a..=*b).contains(&minute)) {
            return false;
        }
        let minutes = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).expect("below 1440");
        let inside = |opening: Date, minutes: u16| {
            let weekday = usize::try_from(opening.weekday().to_monday_zero_offset()).expect("0 to 6");
            let avoided = avoid.dates.contains(&AvoidDate::Once(opening));
            !avoided && week.days[weekday].iter().any(|(a, b)| (*a..*b).contains(&minutes))
        };
        inside(local.date(), minutes) || inside(local.date().yesterday().expect("a date"), minutes + 1_440)
    }

    fn arb_week() -> impl Strategy<Value = WeekHours> {
        let day = proptest::collection::vec((0u16..1_440, 1u16..1_440), 0..3).prop_map(|ranges| {
            let mut sorted: Vec<(u16, u16)> = Vec::new();
            let mut raw: Vec<_> = ranges.into_iter().map(|(from, len)| (from, from + len)).collect();
            raw.sort_unstable();
            for (from, to) in raw {
                if sorted.last().is_none_or(|last| last.1 <= from) {
                    sorted.push((from, to));
                }
            }
            sorted
        });
        proptest::collection::vec(day, 7).prop_map(|days| WeekHours { days: days.try_into().expect("seven days") })
    }

    fn arb_avoid(around: Date) -> impl Strategy<Value = Avoid> {
        let minutes = proptest::collection::vec((0u8..60, 0u8..10).prop_map(|(a, n)| (a, (a + n).min(59))), 0..4);
        let dates = proptest::collection::vec(-1i64..=1, 0..2);
        (minutes, dates).prop_map(move |(minutes, dates)| Avoid {
            minutes,
            dates: dates.into_iter().map(|d| AvoidDate::Once(around.saturating_add(d.days()))).collect(),
            holidays: Holidays::default(),
        })
    }

    /// Days on which clocks move, and an ordinary one.
    fn arb_place() -> impl Strategy<Value = (&'static str, Date)> {
        prop_oneof![
            Just(("Asia/Tokyo", date(2026, 11, 24))),
            Just(("Europe/Berlin", date(2026, 3, 29))),
            Just(("Europe/Berlin", date(2026, 10, 25))),
            Just(("America/New_York", date(2026, 11, 1))),
            Just(("America/Santiago", date(2026, 9, 6))),
            Just(("Australia/Lord_Howe", date(2026, 4, 5))),
            Just(("Asia/Kathmandu", date(2026, 1, 1))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn hours_agree_with_a_count_minute_by_minute(
            ((name, day), week, avoid) in arb_place()
                .prop_flat_map(|place| (Just(place), arb_week(), arb_avoid(place.1))),
            starts in 0i8..24,
        ) {
            let tz = zone(name);
            let starts = time(starts, 0, 0, 0);
            let hours = Hours::of(&tz, starts, &week, Some(&avoid), day);
            let segments: Vec<_> = hours.segments().collect();
            for (from, to) in &segments {
                prop_assert!(from < to && hours.starts() <= *from && *to <= hours.ends());
            }
            prop_assert!(segments.windows(2).all(|w| w[0].1 < w[1].0));
            let mut left = Duration::ZERO;
            let mut next = None;
            let mut now = hours.ends() - SignedDuration::from_mins(1);
            while now >= hours.starts() {
                let open = open_by_definition(&tz, &week, &avoid, now);
                if open {
                    left += Duration::from_secs(60);
                    next = Some(now);
                }
                prop_assert_eq!(hours.is_open(now), open, "{}", now.to_zoned(tz.clone()));
                prop_assert_eq!(hours.open_left(now), left);
                prop_assert_eq!(hours.next_open(now), next);
                now -= SignedDuration::from_mins(1);
            }
            prop_assert_eq!(hours.total(), left);
        }

        #[test]
        fn plan_days_follow_one_another_without_gap(
            (name, day) in arb_place(),
            starts in 0i8..24,
            minutes in -4_000i64..4_000,
        ) {
            let tz = zone(name);
            let starts = time(starts, 30, 0, 0);
            let now = day.at(12, 0, 0, 0).to_zoned(tz.clone()).expect("a time").timestamp()
                + SignedDuration::from_mins(minutes);
            let found = plan_day(&tz, starts, now);
            let (from, to) = day_bounds(&tz, starts, found);
            prop_assert!(from <= now && now < to);
            prop_assert_eq!(day_bounds(&tz, starts, found.tomorrow().expect("a date")).0, to);
        }
    }
}
