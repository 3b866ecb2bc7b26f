//! Owns the reading of what a provider quotes of a reply: codes in front, the words after, and the small texts around them.
//!
//! Invariant: all that leaves here is bounded and without control characters (line breaks of a reply stay).

use serde_json::Value;

use crate::core::feedback::{Diagnostic, TEXT_MOST};
use crate::core::reply::Enhanced;

/// Longest clue that is kept, characters.
const CLUE_MOST: usize = 1_000;
/// Most clues of one message.
const CLUES_MOST: usize = 24;
/// Longest evidence, characters.
const EVIDENCE_MOST: usize = 2_000;
/// Longest line of evidence, characters.
const LINE_MOST: usize = 1_200;

/// Reads a quoted reply: `smtp; 550 5.1.1 No such user`, codes on each line or on the first. `status` is what the report gives
/// as enhanced code beside it, which counts where the reply has none of its own.
pub(super) fn reply(quoted: &str, status: &str) -> Diagnostic {
    let mut said = Diagnostic::default();
    let quoted = without_type(quoted.trim());
    for (at, line) in quoted.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let (code, rest) = code_in_front(line);
        let known = if at == 0 { code } else { said.code };
        let rest = if code.is_some() && code == known { rest } else { line };
        if at == 0 {
            said.code = code;
        } else {
            said.text.push('\n');
        }
        let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let enhanced: Option<Enhanced> = first.parse().ok();
        if at == 0 {
            said.enhanced = enhanced;
        }
        let words = if enhanced.is_some() && enhanced == said.enhanced { after.trim_start() } else { rest };
        said.text.extend(words.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()));
    }
    said.text = bounded(&said.text, TEXT_MOST);
    said.enhanced = said.enhanced.or_else(|| status.trim().parse().ok());
    said
}

/// What the provider itself says, without any code of a destination.
pub(super) fn own_words(text: &str) -> Diagnostic {
    Diagnostic { code: None, enhanced: None, text: bounded(&one_line(text), TEXT_MOST) }
}

/// Without the type that a DSN puts before a diagnostic (RFC 3464 2.3.6).
fn without_type(text: &str) -> &str {
    match text.split_once(';') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("smtp") || kind.to_ascii_lowercase().starts_with("x-") => {
            rest.trim_start()
        }
        _ => text,
    }
}

fn code_in_front(line: &str) -> (Option<u16>, &str) {
    let bytes = line.as_bytes();
    let digits = bytes.len() >= 3 && matches!(bytes[0], b'2'..=b'5') && bytes[1..3].iter().all(u8::is_ascii_digit);
    if !digits || bytes.get(3).is_some_and(|b| *b != b' ' && *b != b'-') {
        return (None, line);
    }
    (line[..3].parse().ok(), line.get(4..).unwrap_or("").trim_start())
}

/// The text under `key`; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("").trim()
}

/// An address out of `Name <local@domain>` or as it is. `None`: there is none.
pub(super) fn address(text: &str) -> Option<String> {
    let inner = match (text.rfind('<'), text.ends_with('>')) {
        (Some(at), true) => &text[at + 1..text.len() - 1],
        _ => text,
    };
    let inner = inner.trim();
    let fits = inner.len() <= 320 && inner.contains('@') && !inner.chars().any(char::is_control);
    fits.then(|| inner.to_owned())
}

/// Clues, each once, those that say nothing left out.
#[derive(Default)]
pub(super) struct Clues(pub(super) Vec<String>);

impl Clues {
    pub(super) fn add(&mut self, clue: &str) {
        let clue = bounded(&one_line(clue), CLUE_MOST);
        if !clue.is_empty() && self.0.len() < CLUES_MOST && !self.0.contains(&clue) {
            self.0.push(clue);
        }
    }
}

/// Lines `name: value` for a person, those without a value left out.
pub(super) fn evidence(lines: &[(&str, &str)]) -> String {
    let told = lines.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<String> =
        told.map(|(name, value)| format!("{name}: {}", bounded(&one_line(value), LINE_MOST))).collect();
    bounded(&lines.join("\n"), EVIDENCE_MOST)
}

pub(super) fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    spaced.collect::<String>().trim().to_owned()
}

pub(super) fn bounded(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(quoted: &str, status: &str) -> (Option<u16>, Option<String>, String) {
        let said = reply(quoted, status);
        (said.code, said.enhanced.map(|e| e.to_string()), said.text)
    }

    #[test]
    fn a_quoted_reply_is_taken_apart() {
        for (quoted, status, code, enhanced, text) in [
            ("smtp; 550 5.1.1 No such user", "", 550, "5.1.1", "No such user"),
            ("smtp;550-5.1.1 No such\n550 5.1.1 user", "5.1.1", 550, "5.1.1", "No such\nuser"),
            ("452 4.2.2 full", "4.0.0", 452, "4.2.2", "full"),
            ("550 Unknown user a@docomo.ne.jp", "5.1.1", 550, "5.1.1", "Unknown user a@docomo.ne.jp"),
            ("554-5.7.1 one\r\n554-more\r\n554 5.7.1 end", "", 554, "5.7.1", "one\nmore\nend"),
            ("250", "", 250, "", ""),
            ("250 OK", "2.0.0", 250, "2.0.0", "OK"),
        ] {
            let enhanced = Some(enhanced.to_owned()).filter(|e| !e.is_empty());
            assert_eq!(read(quoted, status), (Some(code), enhanced, text.to_owned()), "{quoted}");
        }
        for (quoted, text) in [
            ("unable to get mx info", "unable to get mx info"),
            ("5500 no code", "5500 no code"),
            ("650 5.1.1 x", "650 5.1.1 x"),
            ("", ""),
            ("あ; い", "あ; い"),
            ("55あ", "55あ"),
        ] {
            assert_eq!(read(quoted, "nonsense"), (None, None, text.to_owned()), "{quoted}");
        }
        assert_eq!(reply(&format!("550 {}", "あ\u{7}".repeat(5_000)), "").text.chars().count(), TEXT_MOST);
    }

    #[test]
    fn addresses_clues_and_evidence_are_bounded() {
        assert_eq!(address("Taro <taro@example.jp>").as_deref(), Some("taro@example.jp"));
        assert_eq!(address("\"a..b\"@docomo.ne.jp").as_deref(), Some("\"a..b\"@docomo.ne.jp"));
        for none in ["", "taro", "a\n@b", &format!("{}@b", "a".repeat(400)), "<", ">"] {
            assert_eq!(address(none), None, "{none}");
        }
        let mut clues = Clues::default();
        for n in 0..100 {
            clues.add(&format!("{}{}", n % 50, "x".repeat(2_000)));
            clues.add(" \n ");
        }
        assert_eq!(clues.0.len(), CLUES_MOST);
        assert!(clues.0.iter().all(|clue| clue.len() == CLUE_MOST));
        let long = "あ".repeat(9_000);
        let told = evidence(&[("a", &long), ("none", ""), ("b", &long)]);
        assert_eq!(told.chars().count(), EVIDENCE_MOST);
        assert!(!told.contains("none"));
    }
}
