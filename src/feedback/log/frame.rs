//! Owns the forms in which a log keeps a line: classic syslog, ISO 8601, RFC 5424, and the journal's JSON and export forms.
//!
//! Invariants: a line of no known form is `None`, never a guess; a time without a year is the newest one that is not ahead of now;
//! a time without a zone is the configuration's.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// How far the log's machine may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// How many years back a 29 February is looked for.
const YEARS_BACK: i16 = 8;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One entry of a log, whatever its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// When.
    pub(super) at: Option<Timestamp>,
    /// The machine that wrote it.
    pub(super) host: Cow<'a, str>,
    /// The program, without its process id: `postfix/smtp`.
    pub(super) tag: Cow<'a, str>,
    /// What it said.
    pub(super) text: Cow<'a, str>,
}

/// Reads a whole line.
pub(super) fn entry<'a>(line: &'a str, zone: &TimeZone, now: Timestamp) -> Option<Entry<'a>> {
    let line = line.trim_start_matches('\u{feff}');
    if line.starts_with('{') {
        return json(line);
    }
    let (priority, rest) = without_priority(line);
    if priority && let Some(rest) = rest.strip_prefix("1 ") {
        return structured(rest, zone);
    }
    let (at, rest) = classic(rest, zone, now).or_else(|| dated(rest, zone))?;
    let (host, rest) = rest.trim_start().split_once(' ')?;
    let (tag, text) = tagged(rest)?;
    Some(Entry { at: Some(at), host: host.into(), tag: tag.into(), text: text.into() })
}

/// Takes `<22>` off.
fn without_priority(line: &str) -> (bool, &str) {
    let number = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match number {
        Some((digits, rest)) if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (true, rest)
        }
        _ => (false, line),
    }
}

/// `postfix/smtp[123]: text`.
fn tagged(rest: &str) -> Option<(&str, &str)> {
    let (head, text) = rest.trim_start().split_once(": ")?;
    let tag = head.split_once('[').map_or(head, |(tag, _)| tag);
    (!tag.is_empty() && !tag.contains(' ')).then_some((tag, text))
}

/// `Nov 26 10:00:00 ...`, the day with one digit or two, fractions of a second or none.
fn classic<'a>(line: &'a str, zone: &TimeZone, now: Timestamp) -> Option<(Timestamp, &'a str)> {
    let (month, rest) = line.split_once(' ')?;
    let month = i8::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let day: i8 = day.parse().ok()?;
    let (time, rest) = rest.split_once(' ')?;
    let time: jiff::civil::Time = time.parse().ok()?;
    let this = now.to_zoned(zone.clone()).year();
    let limit = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
    let at = (this.saturating_sub(YEARS_BACK)..=this.saturating_add(1)).rev().find_map(|year| {
        let day = jiff::civil::Date::new(year, month, day).ok()?;
        let at = day.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
        (at <= limit).then_some(at)
    })?;
    Some((at, rest))
}

/// A line that begins with an ISO time, or with seconds since the epoch.
fn dated<'a>(line: &'a str, zone: &TimeZone) -> Option<(Timestamp, &'a str)> {
    let (time, rest) = line.split_once(' ')?;
    moment(time, zone).or_else(|| epoch(time)).map(|at| (at, rest))
}

/// `2026-11-26T10:00:00.123+09:00`, its zone as `Z`, `+09:00`, `+0900` or left out.
fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let local = |at: DateTime| at.to_zoned(zone.clone()).ok().map(|at| at.timestamp());
    text.parse().ok().or_else(|| text.parse().ok().and_then(local))
}

/// `1795650000.123456`, as `journalctl -o short-unix` writes it.
fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !(9..=11).contains(&seconds.len()) || !digits(seconds) || !digits(fraction) {
        return None;
    }
    Timestamp::from_second(seconds.parse().ok()?).ok()
}

/// RFC 5424 behind its version: time, host, program, process, message id, structured data, text.
fn structured<'a>(line: &'a str, zone: &TimeZone) -> Option<Entry<'a>> {
    let (time, rest) = line.split_once(' ')?;
    let (host, rest) = rest.split_once(' ')?;
    let (tag, rest) = rest.split_once(' ')?;
    let (_process, rest) = rest.split_once(' ')?;
    let (_id, rest) = rest.split_once(' ')?;
    let text = behind_data(rest)?.trim_start_matches([' ', '\u{feff}']);
    Some(Entry { at: moment(time, zone), host: host.into(), tag: tag.into(), text: text.into() })
}

/// What follows `-` or `[id name="value"]...`; a value may hold `]` only as `\]`.
fn behind_data(rest: &str) -> Option<&str> {
    if let Some(rest) = rest.strip_prefix('-') {
        return Some(rest);
    }
    let (mut open, mut escaped) = (false, false);
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' if !open => open = true,
            ']' if open => open = false,
            _ if !open => return Some(&rest[at..]),
            _ => {}
        }
    }
    None
}

/// What is used of an entry of the journal, as `journalctl -o json` writes it.
#[derive(Deserialize)]
struct Journal<'a> {
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    at: Option<Cow<'a, str>>,
    #[serde(rename = "_HOSTNAME", borrow)]
    host: Option<Cow<'a, str>>,
    #[serde(rename = "SYSLOG_IDENTIFIER", borrow)]
    tag: Option<Cow<'a, str>>,
    #[serde(rename = "MESSAGE", borrow)]
    text: Option<Text<'a>>,
}

/// A message is a text; with bytes that are none in it, a list of numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    Plain(Cow<'a, str>),
    Bytes(Vec<u8>),
}

fn json(line: &str) -> Option<Entry<'_>> {
    let journal: Journal<'_> = serde_json::from_str(line).ok()?;
    let text = match journal.text? {
        Text::Plain(text) => text,
        Text::Bytes(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    };
    Some(Entry {
        at: journal.at.and_then(|at| microseconds(&at)),
        host: journal.host.unwrap_or_default(),
        tag: journal.tag?,
        text,
    })
}

fn microseconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_microsecond(text.parse().ok()?).ok()
}

/// Longest value that is kept of the export form, bytes.
const VALUE_MOST: usize = super::LINE_MOST;

/// An entry of the journal's export form (`journalctl -o export`), which stands on several lines: `NAME=value`, or `NAME` alone
/// and then eight bytes of length with that many bytes. A blank line ends it.
#[derive(Debug, Default)]
pub(super) struct Export {
    at: Option<Timestamp>,
    host: String,
    tag: Option<String>,
    text: Option<String>,
    /// Something of this form was seen: a lone word in another log is none of a field.
    begun: bool,
    /// A value with a length in front that is not complete.
    binary: Option<(String, Vec<u8>)>,
}

impl Export {
    /// Takes a line without its end; gives whether it was of this form.
    pub(super) fn take(&mut self, line: &[u8]) -> bool {
        if let Some((name, mut value)) = self.binary.take() {
            value.extend_from_slice(&line[..line.len().min(VALUE_MOST.saturating_sub(value.len()))]);
            let length = value.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
            let whole = length.and_then(|n| usize::try_from(n).ok()).map(|n| n.saturating_add(8));
            match whole {
                Some(whole) if value.len() >= whole => self.set(&name, &value[8..whole]),
                _ if value.len() < VALUE_MOST => {
                    value.push(b'\n');
                    self.binary = Some((name, value));
                }
                _ => {}
            }
            return true;
        }
        let end = line.iter().position(|b| *b == b'=').unwrap_or(line.len());
        let Ok(name) = std::str::from_utf8(&line[..end]) else { return false };
        let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name) {
            return false;
        }
        match line.get(end + 1..) {
            Some(value) => self.set(name, value),
            None if !self.begun => return false,
            None => self.binary = Some((name.to_owned(), Vec::new())),
        }
        true
    }

    /// The entry as far as it came; the next begins.
    pub(super) fn end(&mut self) -> Option<Entry<'static>> {
        let done = std::mem::take(self);
        Some(Entry { at: done.at, host: done.host.into(), tag: done.tag?.into(), text: done.text?.into() })
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        self.begun = true;
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            "__REALTIME_TIMESTAMP" => self.at = microseconds(&text()),
            "_HOSTNAME" => self.host = text(),
            "SYSLOG_IDENTIFIER" => self.tag = Some(text()),
            "MESSAGE" => self.text = Some(text()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tokyo() -> TimeZone {
        TimeZone::get("Asia/Tokyo").unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-26T01:30:00Z".parse().unwrap()
    }

    fn read(line: &str) -> Option<Entry<'_>> {
        entry(line, &tokyo(), now())
    }

    #[test]
    fn the_same_entry_is_read_from_every_form() {
        for line in [
            "Nov 26 10:00:00 mail postfix/smtp[123]: 4A: text",
            "Nov 26 10:00:00.250000 mail postfix/smtp[123]: 4A: text",
            "<22>Nov 26 10:00:00 mail postfix/smtp[123]: 4A: text",
            "2026-11-26T10:00:00.250+09:00 mail postfix/smtp[123]: 4A: text",
            "2026-11-26T10:00:00+0900 mail postfix/smtp[123]: 4A: text",
            "2026-11-26T01:00:00Z mail postfix/smtp[123]: 4A: text",
            "2026-11-26T10:00:00 mail postfix/smtp[123]: 4A: text",
            "1795654800.250000 mail postfix/smtp[123]: 4A: text",
            "<22>1 2026-11-26T10:00:00+09:00 mail postfix/smtp 123 - - 4A: text",
            "<22>1 2026-11-26T01:00:00Z mail postfix/smtp 123 - [a@1 b=\"c\\]\"][d@1 e=\"f\"] \u{feff}4A: text",
            r#"{"__REALTIME_TIMESTAMP":"1795654800250000","_HOSTNAME":"mail","SYSLOG_IDENTIFIER":"postfix/smtp","MESSAGE":"4A: text"}"#,
            r#"{"MESSAGE":[52,65,58,32,116,101,120,116],"SYSLOG_IDENTIFIER":"postfix/smtp","_HOSTNAME":"mail","__REALTIME_TIMESTAMP":"1795654800250000"}"#,
        ] {
            let entry = read(line).unwrap_or_else(|| panic!("not read: {line}"));
            assert_eq!((&*entry.host, &*entry.tag, &*entry.text), ("mail", "postfix/smtp", "4A: text"), "{line}");
            assert_eq!(entry.at.unwrap().as_second(), 1_795_654_800, "{line}");
        }
    }

    #[test]
    fn a_time_without_a_year_is_the_newest_that_is_not_ahead() {
        let at = |line: &str, now: &str| {
            let line = format!("{line} mail postfix/smtp[1]: x");
            entry(&line, &tokyo(), now.parse().unwrap()).unwrap().at.unwrap().to_string()
        };
        assert_eq!(at("Dec 31 23:59:59", "2027-01-01T00:00:10+09"), "2026-12-31T14:59:59Z");
        assert_eq!(at("Jan  1 00:00:05", "2026-12-31T23:59:50+09"), "2026-12-31T15:00:05Z");
        assert_eq!(at("Nov 28 00:00:00", "2026-11-26T10:00:00+09"), "2025-11-27T15:00:00Z");
        assert_eq!(at("Feb 29 12:00:00", "2026-11-26T10:00:00+09"), "2024-02-29T03:00:00Z");
    }

    #[test]
    fn what_is_no_line_of_a_log_is_none() {
        for line in [
            "",
            " ",
            "Nov",
            "Nov 26 10:00:00",
            "Nov 31 10:00:00 mail postfix/smtp[1]: x",
            "Nov 26 25:00:00 mail postfix/smtp[1]: x",
            "2026-11-26T10:00:00+09:00",
            "<22>1 2026-11-26T10:00:00Z mail",
            "<22>1 2026-11-26T10:00:00Z mail postfix/smtp 1 - [a b=\"c",
            "{\"MESSAGE\":null}",
            "{",
            "To: someone@example.jp",
            "日本語 26 10:00:00 mail postfix/smtp[1]: x",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn the_export_form_is_read_with_and_without_lengths() {
        let mut export = Export::default();
        let mut binary = 8_u64.to_le_bytes().to_vec();
        binary.extend(b"4A: text");
        for line in [
            b"__CURSOR=s=1".as_slice(),
            b"__REALTIME_TIMESTAMP=1795654800250000",
            b"_HOSTNAME=mail",
            b"SYSLOG_IDENTIFIER=postfix/smtp",
            b"MESSAGE",
            &binary,
        ] {
            assert!(export.take(line));
        }
        let entry = export.end().unwrap();
        assert_eq!((&*entry.host, &*entry.tag, &*entry.text), ("mail", "postfix/smtp", "4A: text"));
        assert_eq!(entry.at.unwrap().as_second(), 1_795_654_800);
        assert_eq!(export.end(), None);
        assert!(!export.take(b"Nov 26 10:00:00 mail postfix/smtp[1]: x=y"));
    }

    #[test]
    fn a_length_that_promises_too_much_ends_by_itself() {
        let mut export = Export::default();
        assert!(!export.take(b"MESSAGE"), "nothing of an entry came before it");
        assert!(export.take(b"__CURSOR=s=1") && export.take(b"MESSAGE"));
        let mut line = u64::MAX.to_le_bytes().to_vec();
        line.resize(40_000, b'x');
        assert!(export.take(&line));
        assert!(export.take(&line));
        assert!(export.take(b"SYSLOG_IDENTIFIER=postfix/smtp"));
        assert_eq!(export.tag.as_deref(), Some("postfix/smtp"));
    }
}
