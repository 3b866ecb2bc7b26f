//! Owns hours as people write them: windows per weekday, avoided minutes, dates and holidays; read and printed.
//!
//! Invariants: what is printed reads to the same hours; a window is never empty; a window over midnight belongs to the day
//! it opens and does not cross `day_starts`.

use jiff::civil::{Date, Time};

use crate::config::fields::Fields;
use crate::config::keys::plan::{AVOID, HOLIDAYS};
use crate::config::problem::{Problem, Problems, Span};
use crate::config::tree::{Entry, Kind, Node};
use crate::core::plan::{Avoid, AvoidDate, Holidays, WeekHours};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 1_440;

/// `HH:MM`, 00:00 to 24:00, as minutes.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two = |t: &str| (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    if !two(hours) || minutes.len() != 2 || !two(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY).then_some(total)
}

/// Reads a time of day such as `04:00`.
pub(super) fn time_of_day(problems: &Problems, node: &Node) -> Option<Time> {
    let text = problems.text(node, "a time of day such as \"04:00\"")?;
    let minutes = clock(text).filter(|m| *m < DAY);
    let time = minutes.and_then(|m| Time::new(i8::try_from(m / 60).ok()?, i8::try_from(m % 60).ok()?, 0, 0).ok());
    if time.is_none() {
        problems.at_with(
            node.span,
            format!("expected a time of day such as \"04:00\", got {}", node.shown()),
            "write hours and minutes, 00:00 to 23:59, in quotes",
        );
    }
    time
}

/// Reads a window: `"08:00-21:00"`, a list of such, or a map of weekdays to either.
pub(super) fn window(problems: &Problems, node: &Node, day_starts: Time) -> Option<WeekHours> {
    let mut days: [Vec<(u16, u16)>; 7] = Default::default();
    if let Kind::Map(entries) = &node.kind {
        let mut first: [Option<Span>; 7] = [None; 7];
        let mut whole = true;
        for entry in entries {
            let Some(names) = weekdays(problems, entry) else {
                whole = false;
                continue;
            };
            let Some(hours) = day_hours(problems, &entry.value, day_starts) else {
                whole = false;
                continue;
            };
            for day in names {
                if let Some(first) = first[day].replace(entry.key_span) {
                    let message = format!("{} is there twice", WEEKDAYS[day]);
                    problems.push(Problem::at(problems.file(), entry.key_span, message).also(first, "first here"));
                }
                days[day].clone_from(&hours);
            }
        }
        if entries.is_empty() {
            problems.at_with(
                node.span,
                "expected hours for at least one weekday, got none",
                "to send nothing, pause the lane",
            );
        }
        return (whole && !entries.is_empty()).then_some(WeekHours { days });
    }
    let hours = day_hours(problems, node, day_starts)?;
    Some(WeekHours { days: std::array::from_fn(|_| hours.clone()) })
}

/// `mon`, `mon-fri`, `sat-mon`, `mon,wed`: indexes from Monday.
fn weekdays(problems: &Problems, entry: &Entry) -> Option<Vec<usize>> {
    let index = |name: &str| WEEKDAYS.iter().position(|day| *day == name.trim().to_ascii_lowercase());
    let mut found = Vec::new();
    for part in entry.key.split(',') {
        let range = match part.split_once('-') {
            Some((from, to)) => index(from).zip(index(to)),
            None => index(part).map(|day| (day, day)),
        };
        let Some((from, to)) = range else {
            problems.at_with(
                entry.key_span,
                format!("expected weekdays, got \"{}\"", entry.key),
                "write mon, mon-fri or mon,wed (mon tue wed thu fri sat sun)",
            );
            return None;
        };
        found.extend((0..=(to + 7 - from) % 7).map(|n| (from + n) % 7));
    }
    Some(found)
}

fn day_hours(problems: &Problems, node: &Node, day_starts: Time) -> Option<Vec<(u16, u16)>> {
    let ranges: Option<Vec<_>> = match &node.kind {
        Kind::List(items) if items.is_empty() => {
            problems.at_with(
                node.span,
                "expected hours, got an empty list",
                "leave the weekday out: then it is closed",
            );
            None
        }
        Kind::List(items) => {
            // Every item is read, so that every problem is reported.
            let read: Vec<_> = items.iter().map(|item| range(problems, item, day_starts)).collect();
            read.into_iter().collect()
        }
        _ => range(problems, node, day_starts).map(|r| vec![r]),
    };
    ranges.map(merged)
}

fn range(problems: &Problems, node: &Node, day_starts: Time) -> Option<(u16, u16)> {
    let text = problems.text(node, "hours such as \"08:00-21:00\"")?;
    let ends = text.split_once('-').and_then(|(from, to)| Some((clock(from)?, clock(to)?)));
    let Some((from, to)) = ends.filter(|(from, to)| *from < DAY && from != to) else {
        problems.at_with(
            node.span,
            format!("expected hours such as \"08:00-21:00\", got {}", node.shown()),
            "the end is not included; 24:00 is the end of the day; \"22:00-02:00\" goes over midnight",
        );
        return None;
    };
    if to > from {
        return Some((from, to));
    }
    let starts = minutes_of(day_starts);
    if to > starts || from < starts {
        problems.at_with(
            node.span,
            format!("a window over midnight may not cross day_starts ({}), got {}", show(starts), node.shown()),
            "set `day_starts` to a time outside the window, such as \"04:00\", or end the window there",
        );
        return None;
    }
    Some((from, to + DAY))
}

fn minutes_of(time: Time) -> u16 {
    u16::try_from(i16::from(time.hour()) * 60 + i16::from(time.minute())).unwrap_or(0)
}

/// Sorted and disjoint; what overlaps or touches becomes one.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::new();
    for (from, to) in ranges {
        match out.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => out.push((from, to)),
        }
    }
    out
}

/// What is open in both.
pub(super) fn both(a: &WeekHours, b: &WeekHours) -> WeekHours {
    let day = |day: usize| {
        let pairs = a.days[day].iter().flat_map(|x| b.days[day].iter().map(move |y| (x.0.max(y.0), x.1.min(y.1))));
        pairs.filter(|(from, to)| from < to).collect()
    };
    WeekHours { days: std::array::from_fn(day) }
}

/// What either avoids.
pub(super) fn either(a: &Avoid, b: &Avoid) -> Avoid {
    let mut out = a.clone();
    out.minutes = minutes_merged(a.minutes.iter().chain(&b.minutes).copied().collect());
    out.dates.extend(b.dates.iter().filter(|d| !a.dates.contains(d)));
    out.holidays.except = match (a.holidays.japan, b.holidays.japan) {
        (true, true) => a.holidays.except.iter().filter(|d| b.holidays.except.contains(d)).copied().collect(),
        (true, false) => a.holidays.except.clone(),
        (false, _) => b.holidays.except.clone(),
    };
    out.holidays.japan |= b.holidays.japan;
    out.holidays.also.extend(b.holidays.also.iter().filter(|d| !a.holidays.also.contains(d)));
    out
}

/// Both ends belong to the range, so that neighbours touch.
fn minutes_merged(ranges: Vec<(u8, u8)>) -> Vec<(u8, u8)> {
    merged(ranges.into_iter().map(|(from, to)| (from, to + 1)).collect()).into_iter().map(|(a, b)| (a, b - 1)).collect()
}

/// Reads `{ minutes: [...], dates: [...], holidays: ... }`.
pub(super) fn avoid(problems: &Problems, node: &Node) -> Option<Avoid> {
    let fields = Fields::of(problems, node, node.span, "minutes, dates and holidays")?;
    fields.known(&AVOID);
    let minutes = fields.read("minutes", |p, n| items(p, n, "minutes such as \"00-02\"", minutes));
    let dates = fields.read("dates", |p, n| items(p, n, "dates such as \"12-31\"", avoid_date));
    let holidays = fields.read("holidays", holidays);
    let whole = |key: &str, read: bool| fields.node(key).is_none() || read;
    let all =
        whole("minutes", minutes.is_some()) && whole("dates", dates.is_some()) && whole("holidays", holidays.is_some());
    all.then(|| Avoid {
        minutes: minutes_merged(minutes.unwrap_or_default().into_iter().flatten().collect()),
        dates: dates.unwrap_or_default(),
        holidays: holidays.unwrap_or_default(),
    })
}

/// A list of what `read` reads, or a single one.
fn items<T>(
    problems: &Problems,
    node: &Node,
    what: &str,
    read: impl Fn(&Problems, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let nodes = match &node.kind {
        Kind::Scalar { .. } => std::slice::from_ref(node),
        _ => problems.list(node, what)?,
    };
    let read: Vec<_> = nodes.iter().map(|n| read(problems, n)).collect();
    read.into_iter().collect()
}

fn minutes(problems: &Problems, node: &Node) -> Option<Vec<(u8, u8)>> {
    let text = problems.text(node, "minutes such as \"00-02\"")?;
    let minute = |t: &str| {
        let t = t.trim();
        let well_formed = (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        t.parse::<u8>().ok().filter(|m| well_formed && *m < 60)
    };
    let ends = match text.split_once('-') {
        Some((from, to)) => minute(from).zip(minute(to)),
        None => minute(text).map(|m| (m, m)),
    };
    match ends {
        Some((from, to)) if from <= to => Some(vec![(from, to)]),
        Some((from, to)) => Some(vec![(from, 59), (0, to)]),
        None => {
            problems.at_with(
                node.span,
                format!("expected minutes of the hour such as \"00-02\", got {}", node.shown()),
                "minutes are 00 to 59, both ends included; \"58-02\" goes over the full hour",
            );
            None
        }
    }
}

fn avoid_date(problems: &Problems, node: &Node) -> Option<AvoidDate> {
    let text = problems.text(node, "a date such as \"12-31\" or \"2026-12-31\"")?;
    // 2024 is a leap year: 02-29 is a day of every fourth year.
    let yearly = (text.len() == 5).then(|| format!("2024-{text}")).and_then(|t| t.parse::<Date>().ok());
    let found = yearly
        .map(|d| AvoidDate::Yearly { month: d.month(), day: d.day() })
        .or_else(|| full_date(text).map(AvoidDate::Once));
    if found.is_none() {
        problems.at_with(
            node.span,
            format!("expected a date such as \"12-31\" or \"2026-12-31\", got {}", node.shown()),
            "write MM-DD for every year, YYYY-MM-DD for one",
        );
    }
    found
}

fn full_date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

fn one_date(problems: &Problems, node: &Node) -> Option<Date> {
    let text = problems.text(node, "a date such as \"2026-12-31\"")?;
    let found = full_date(text);
    if found.is_none() {
        problems.at(node.span, format!("expected a date such as \"2026-12-31\", got {}", node.shown()));
    }
    found
}

fn holidays(problems: &Problems, node: &Node) -> Option<Holidays> {
    let japan = |japan: bool| Holidays { japan, ..Holidays::default() };
    let Kind::Map(_) = &node.kind else {
        return problems.one_of(node, &[("japan", true), ("none", false)]).map(japan);
    };
    let fields = Fields::of(problems, node, node.span, "japan, also and except")?;
    fields.known(&HOLIDAYS);
    let dates = |key: &str| match fields.entry(key) {
        None => Some(Vec::new()),
        Some(_) => fields.read(key, |p, n| items(p, n, "dates such as \"2026-12-31\"", one_date)),
    };
    let (also, except) = (dates("also"), dates("except"));
    let japan = if fields.node("japan").is_some() { fields.flag("japan")? } else { false };
    Some(Holidays { japan, also: also?, except: except? })
}

fn show(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `starts`: what is printed must be read again by a plan whose day starts then.
fn shown_ranges(ranges: &[(u16, u16)], starts: Option<u16>) -> Vec<String> {
    let one = |&(from, to): &(u16, u16)| match to.checked_sub(DAY).filter(|over| *over > 0) {
        None => vec![format!("{}-{}", show(from), show(to))],
        Some(over) if over < from && starts.is_none_or(|starts| over <= starts && starts <= from) => {
            vec![format!("{}-{}", show(from), show(over))]
        }
        // What cannot be written as one range was two that touch.
        Some(over) => vec![format!("{}-24:00", show(from)), format!("23:59-{}", show(over))],
    };
    ranges.iter().flat_map(one).collect()
}

fn list(items: &[String]) -> String {
    let quoted: Vec<_> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

/// Hours as YAML in one line, for people.
#[must_use]
pub fn show_window(hours: &WeekHours) -> String {
    window_text(hours, None)
}

/// Hours as YAML in one line, for a plan whose day starts at `day_starts`.
pub(super) fn written_window(hours: &WeekHours, day_starts: Time) -> String {
    window_text(hours, Some(minutes_of(day_starts)))
}

fn window_text(hours: &WeekHours, starts: Option<u16>) -> String {
    let shown: Vec<_> = hours.days.iter().map(|day| shown_ranges(day, starts)).collect();
    let text = |ranges: &[String]| match ranges {
        [one] => format!("\"{one}\""),
        more => list(more),
    };
    if shown.iter().all(|day| *day == shown[0] && !day.is_empty()) {
        return text(&shown[0]);
    }
    let mut parts: Vec<String> = Vec::new();
    let mut day = 0;
    while day < 7 {
        let last = (day..7).take_while(|d| shown[*d] == shown[day]).last().unwrap_or(day);
        let name = if last > day { format!("{}-{}", WEEKDAYS[day], WEEKDAYS[last]) } else { WEEKDAYS[day].to_owned() };
        if !shown[day].is_empty() {
            parts.push(format!("{name}: {}", text(&shown[day])));
        }
        day = last + 1;
    }
    format!("{{ {} }}", parts.join(", "))
}

/// What is avoided, as YAML in one line.
#[must_use]
pub fn show_avoid(avoid: &Avoid) -> String {
    let mut parts = Vec::new();
    if !avoid.minutes.is_empty() {
        let minutes: Vec<_> = avoid.minutes.iter().map(|(from, to)| format!("{from:02}-{to:02}")).collect();
        parts.push(format!("minutes: {}", list(&minutes)));
    }
    if !avoid.dates.is_empty() {
        let date = |date: &AvoidDate| match date {
            AvoidDate::Yearly { month, day } => format!("{month:02}-{day:02}"),
            AvoidDate::Once(date) => date.to_string(),
        };
        parts.push(format!("dates: {}", list(&avoid.dates.iter().map(date).collect::<Vec<_>>())));
    }
    let Holidays { japan, also, except } = &avoid.holidays;
    match (japan, also.is_empty() && except.is_empty()) {
        (true, true) => parts.push("holidays: japan".to_owned()),
        (false, true) => {}
        (japan, false) => {
            let dates = |dates: &[Date]| list(&dates.iter().map(Date::to_string).collect::<Vec<_>>());
            let (also, except) = (dates(also), dates(except));
            parts.push(format!("holidays: {{ japan: {japan}, also: {also}, except: {except} }}"));
        }
    }
    if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) }
}
