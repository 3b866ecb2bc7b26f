//! Owns how a list is written: UTF-8 (with or without its mark) or Shift_JIS, found by reading the whole file once.
//!
//! Invariant: a file is read in one encoding or refused; lines of two encodings in one file are never guessed at, since half of
//! the names would reach people as rubbish.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a mark.
    Utf8,
    /// UTF-8 that begins with the byte order mark, as Excel writes it.
    Utf8Marked,
    /// Shift_JIS as Windows has it (windows-31j).
    ShiftJis,
}

impl Encoding {
    /// The word used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Marked => "UTF-8 with BOM",
            Self::ShiftJis => "Shift_JIS",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const MARK: &[u8] = b"\xef\xbb\xbf";
/// Octets read at once.
const CHUNK: usize = 256 * 1024;
/// Longest line whose encoding is judged as a whole; a longer one is judged by its beginning.
const LINE: usize = 1024 * 1024;

/// What the lines of a file look like.
#[derive(Debug, Default)]
struct Lines {
    seen: u64,
    /// First line that is not UTF-8.
    broken: Option<u64>,
    /// First line that is UTF-8 and holds kana, kanji or full-width letters: no accident in Shift_JIS.
    japanese: Option<u64>,
}

impl Lines {
    fn see(&mut self, line: &[u8]) {
        self.seen += 1;
        if line.is_ascii() {
            return;
        }
        match std::str::from_utf8(line) {
            Ok(text) if self.japanese.is_none() && text.chars().any(is_japanese) => self.japanese = Some(self.seen),
            Err(e) if self.broken.is_none() && e.error_len().is_some() => self.broken = Some(self.seen),
            Err(_) if self.broken.is_none() && line.len() < LINE => self.broken = Some(self.seen),
            _ => {}
        }
    }
}

fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff60}')
}

/// Finds the encoding of `file` and puts it back to its beginning. `seen` is told how many octets were read.
///
/// # Errors
/// In words: not readable, another kind of file, or two encodings in one.
pub(super) fn sniff(file: &mut File, path: &Path, seen: &mut dyn FnMut(u64)) -> Result<Encoding, String> {
    let name = path.display();
    let fail = |e: std::io::Error| format!("{name} cannot be read: {e}");
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let mut lines = Lines::default();
    let mut chunk = vec![0_u8; CHUNK];
    let mut line: Vec<u8> = Vec::new();
    let (mut total, mut marked) = (0_u64, false);
    loop {
        let n = file.read(&mut chunk).map_err(fail)?;
        if n == 0 {
            break;
        }
        if total == 0 {
            another_kind(&chunk[..n]).map_or(Ok(()), |kind| Err(format!("{name} {kind}")))?;
            marked = chunk[..n].starts_with(MARK);
        }
        total += n as u64;
        seen(total);
        for piece in chunk[..n].split_inclusive(|b| *b == b'\n') {
            let room = LINE - line.len().min(LINE);
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                lines.see(&line);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        lines.see(&line);
    }
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    match (lines.broken, lines.japanese) {
        (None, _) if marked => Ok(Encoding::Utf8Marked),
        (None, _) => Ok(Encoding::Utf8),
        (Some(broken), Some(japanese)) => Err(format!(
            "{name} is written in two encodings: line {japanese} is UTF-8 and line {broken} is not; \
             save the parts again as UTF-8 and put them together"
        )),
        (Some(broken), None) if marked => Err(format!(
            "{name} begins with the mark of UTF-8, but line {broken} is not UTF-8; save it as \"CSV UTF-8\""
        )),
        (Some(_), None) => Ok(Encoding::ShiftJis),
    }
}

/// Words for a file that is no text in a supported encoding.
fn another_kind(head: &[u8]) -> Option<&'static str> {
    let zeros = head.iter().take(4_096).filter(|b| **b == 0).count();
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || zeros * 8 > head.len().min(4_096) {
        return Some("is UTF-16 (\"Unicode text\") or no text at all; save it as \"CSV UTF-8\"");
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xd0\xcf\x11\xe0") {
        return Some("is an Excel workbook, not CSV; save it as \"CSV UTF-8\"");
    }
    if head.starts_with(b"\x1f\x8b") {
        return Some("is compressed; unpack it first");
    }
    None
}
