//! Owns reading SMTP replies from bytes: where one ends, what is none, and how it is told on.
//!
//! Invariants: a reply is bounded in line length, lines and bytes; every line ends in CRLF and bears the same code between
//! 200 and 599; what is told on holds no control characters and at most 1,000 characters.

use crate::core::reply::{Enhanced, Reply};

/// Longest line of a reply, CRLF included (RFC 5321 4.5.3.1.5 asks for 512; relays put long addresses and links in it).
const LINE_BYTES: usize = 4 * 1024;
/// Most lines of a reply.
const LINES: usize = 128;
/// Most bytes of a reply.
const REPLY_BYTES: usize = 64 * 1024;
/// Most characters told on.
const TEXT_CHARS: usize = 1_000;

/// A complete reply as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawReply {
    /// 200 to 599.
    pub(super) code: u16,
    bytes: Vec<u8>,
}

impl RawReply {
    /// The lines without code, separator and line end.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|b| *b == b'\n').filter(|line| line.len() > 3).map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.get(4..).unwrap_or_default()
        })
    }

    /// The reply as it is told on.
    pub(super) fn reply(&self) -> Reply {
        let mut text = String::new();
        let mut enhanced = None;
        for (at, line) in self.lines().enumerate() {
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            let code: Option<Enhanced> = first.parse().ok();
            if at == 0 {
                enhanced = code;
            } else {
                text.push('\n');
            }
            let told = if code.is_some() && code == enhanced { rest.trim_start() } else { line };
            text.extend(told.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()));
        }
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS) {
            text.truncate(end);
        }
        Reply { code: self.code, enhanced, text }
    }

    /// A form that lettre reads without doubt: one line of ASCII with the same first digit. (Its parser knows no second
    /// digit above 5, so real replies such as 571 would be faults.)
    pub(super) fn canonical(&self) -> &'static [u8] {
        match self.code / 100 {
            2 => b"250 ok\r\n",
            3 => b"354 go on\r\n",
            4 => b"450 no\r\n",
            _ => b"550 no\r\n",
        }
    }
}

/// Takes one complete reply from the front of `bytes`; `None` until its last line is complete.
///
/// # Errors
/// In words: what is wrong with what came.
pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<RawReply>, String> {
    let mut at = 0;
    let mut code = None;
    for count in 1.. {
        if count > LINES {
            return Err(format!("a reply of more than {LINES} lines"));
        }
        let rest = &bytes[at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() > LINE_BYTES {
                Err(format!("a reply line of more than {LINE_BYTES} bytes: {}", excerpt(rest)))
            } else if !rest.iter().take(3).all(u8::is_ascii_digit) {
                Err(format!("expected three digits, got {}", excerpt(rest)))
            } else {
                Ok(None)
            };
        };
        let (this, last) = line(&rest[..=end])?;
        if code.is_some_and(|before| before != this) {
            return Err(format!("a reply with two codes: {}", excerpt(bytes)));
        }
        code = Some(this);
        at += end + 1;
        if at > REPLY_BYTES {
            return Err(format!("a reply of more than {REPLY_BYTES} bytes"));
        }
        if last {
            let left = bytes.split_off(at);
            return Ok(Some(RawReply { code: this, bytes: std::mem::replace(bytes, left) }));
        }
    }
    Ok(None)
}

/// Code of one line, and whether it is the last.
fn line(line: &[u8]) -> Result<(u16, bool), String> {
    if line.len() > LINE_BYTES {
        return Err(format!("a reply line of more than {LINE_BYTES} bytes: {}", excerpt(line)));
    }
    let text = match line.strip_suffix(b"\r\n") {
        Some(text) if !text.contains(&b'\r') => text,
        _ => return Err(format!("a bare CR or LF in {}", excerpt(line))),
    };
    let code = match text.first_chunk::<3>() {
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => {
            digits.iter().fold(0_u16, |code, digit| code * 10 + u16::from(digit - b'0'))
        }
        _ => return Err(format!("expected three digits, got {}", excerpt(line))),
    };
    if !(200..600).contains(&code) {
        return Err(format!("a code outside 200 to 599: {}", excerpt(line)));
    }
    match text.get(3) {
        None | Some(b' ') => Ok((code, true)),
        Some(b'-') => Ok((code, false)),
        Some(_) => Err(format!("expected a blank or a hyphen after the code: {}", excerpt(line))),
    }
}

/// The start of what came, fit for a message to people.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let start = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { " ..." } else { "" };
    format!("\"{}\"{more}", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(text: &str) -> Reply {
        let mut bytes = text.as_bytes().to_vec();
        let raw = take(&mut bytes).expect("well formed").expect("complete");
        assert!(bytes.is_empty());
        raw.reply()
    }

    #[test]
    fn lines_are_joined_without_their_codes() {
        let reply = taken("550-5.7.1 one\r\n550-5.7.1 two\r\n550 three\r\n");
        assert_eq!((reply.code, reply.enhanced), (550, Some(Enhanced(5, 7, 1))));
        assert_eq!(reply.text, "one\ntwo\nthree");
    }

    #[test]
    fn what_is_told_on_is_at_most_1000_characters() {
        let reply = taken(&format!("250 {}\r\n", "あ".repeat(1_300)));
        assert_eq!(reply.text.chars().count(), 1_000);
    }

    #[test]
    fn what_follows_a_reply_stays() {
        let mut bytes = b"250 ok\r\n354 go".to_vec();
        assert_eq!(take(&mut bytes).map(|reply| reply.map(|reply| reply.code)), Ok(Some(250)));
        assert_eq!(bytes, b"354 go");
        assert_eq!(take(&mut bytes), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_a_fault_however_they_are_cut(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "([2-6][0-9]{2}[ -][ -~]{0,20}(\r\n|\n|\r)){0,5}".prop_map(String::into_bytes),
            ],
            cut in 1_usize..40,
        ) {
            let mut whole = bytes.clone();
            let at_once = take(&mut whole);
            let mut fed = Vec::new();
            let mut in_parts = Ok(None);
            for part in bytes.chunks(cut) {
                fed.extend_from_slice(part);
                in_parts = take(&mut fed);
                if in_parts != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(at_once.is_err(), in_parts.is_err());
            if let (Ok(at_once), Ok(in_parts)) = (at_once, in_parts) {
                prop_assert_eq!(&at_once, &in_parts);
                if let Some(raw) = at_once {
                    let reply = raw.reply();
                    prop_assert!((200..600).contains(&reply.code));
                    prop_assert!(reply.text.chars().all(|c| c == '\n' || !c.is_control()));
                }
            }
        }
    }
}
