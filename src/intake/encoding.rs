//! Owns how a list is written: UTF-16 where its mark or the campaign says so, else UTF-8 (with or without its mark) or Shift_JIS,
//! found by reading the whole file once.
//!
//! Invariant: a file is read in one encoding or refused; lines of two encodings in one file are never guessed at, since half of
//! the names would reach people as rubbish.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::config::campaign_file::ListEncoding;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a mark.
    Utf8,
    /// UTF-8 that begins with the byte order mark, as Excel writes it.
    Utf8Marked,
    /// Shift_JIS as Windows has it (windows-31j).
    ShiftJis,
    /// UTF-16, low octet first, as Windows writes "Unicode text".
    Utf16Le,
    /// UTF-16, high octet first.
    Utf16Be,
}

impl Encoding {
    /// The word used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Marked => "UTF-8 with BOM",
            Self::ShiftJis => "Shift_JIS",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }

    /// What turns it into UTF-8; `None` where nothing needs to.
    pub(super) fn decoder(self) -> Option<&'static encoding_rs::Encoding> {
        match self {
            Self::Utf8 | Self::Utf8Marked => None,
            Self::ShiftJis => Some(encoding_rs::SHIFT_JIS),
            Self::Utf16Le => Some(encoding_rs::UTF_16LE),
            Self::Utf16Be => Some(encoding_rs::UTF_16BE),
        }
    }
}

impl From<ListEncoding> for Encoding {
    fn from(declared: ListEncoding) -> Self {
        match declared {
            ListEncoding::Utf8 => Self::Utf8,
            ListEncoding::ShiftJis => Self::ShiftJis,
            ListEncoding::Utf16Le => Self::Utf16Le,
            ListEncoding::Utf16Be => Self::Utf16Be,
        }
    }
}

/// How a file is written, and how many octets at its beginning only say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) encoding: Encoding,
    pub(super) mark: u64,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Byte order marks.
const MARKS: [(&[u8], Encoding); 3] =
    [(b"\xef\xbb\xbf", Encoding::Utf8Marked), (b"\xff\xfe", Encoding::Utf16Le), (b"\xfe\xff", Encoding::Utf16Be)];
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

/// Finds the encoding of `file`, which the campaign may have `declared`, and puts it back to its beginning. `seen` is told how many
/// octets were read.
///
/// # Errors
/// In words: not readable, another kind of file, not what was declared, or two encodings in one.
pub(super) fn sniff(
    file: &mut File,
    path: &Path,
    declared: Option<ListEncoding>,
    seen: &mut dyn FnMut(u64),
) -> Result<Written, String> {
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
            if let Some(written) = by_its_head(&chunk[..n], declared).map_err(|why| format!("{name} {why}"))? {
                file.seek(SeekFrom::Start(0)).map_err(fail)?;
                return Ok(written);
            }
            marked = chunk[..n].starts_with(MARKS[0].0);
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
    let found = |encoding, mark| Ok(Written { encoding, mark });
    match (lines.broken, lines.japanese) {
        (None, _) if marked => found(Encoding::Utf8Marked, 3),
        (None, _) => found(Encoding::Utf8, 0),
        (Some(broken), _) if declared == Some(ListEncoding::Utf8) => Err(format!(
            "{name}:{broken}: this line is not UTF-8, which `encoding: utf-8` says of the list; save it as UTF-8, or take the \
             key away to have the encoding found"
        )),
        (Some(broken), Some(japanese)) => Err(format!(
            "{name} is written in two encodings: line {japanese} is UTF-8 and line {broken} is not; \
             save the parts again as UTF-8 and put them together"
        )),
        (Some(broken), None) if marked => Err(format!(
            "{name} begins with the mark of UTF-8, but line {broken} is not UTF-8; save it as \"CSV UTF-8\""
        )),
        (Some(_), None) => found(Encoding::ShiftJis, 0),
    }
}

/// The encoding where the first octets or the campaign settle it.
///
/// # Errors
/// Words for a file that is no text in a supported encoding, or not what the campaign says.
fn by_its_head(head: &[u8], declared: Option<ListEncoding>) -> Result<Option<Written>, String> {
    if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
        return Err("is UTF-32; save it as \"CSV UTF-8\"".to_owned());
    }
    let mark = MARKS.iter().find(|(mark, _)| head.starts_with(mark));
    if let (Some((_, encoding)), Some(declared)) = (mark, declared) {
        let declared = Encoding::from(declared);
        if declared != *encoding && (declared, *encoding) != (Encoding::Utf8, Encoding::Utf8Marked) {
            return Err(format!(
                "begins with the mark of {encoding}, but `encoding:` says {declared}; take the key away"
            ));
        }
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err("is an Excel workbook, not CSV; save it as \"CSV UTF-8\"".to_owned());
    }
    if head.starts_with(b"\x1f\x8b") {
        return Err("is compressed; unpack it first".to_owned());
    }
    if let Some((mark, encoding @ (Encoding::Utf16Le | Encoding::Utf16Be))) = mark {
        return Ok(Some(Written { encoding: *encoding, mark: mark.len() as u64 }));
    }
    if let Some(declared) = declared.filter(|declared| *declared != ListEncoding::Utf8) {
        return Ok(Some(Written { encoding: declared.into(), mark: 0 }));
    }
    let zeros = head.iter().take(4_096).filter(|b| **b == 0).count();
    if zeros * 8 > head.len().min(4_096) {
        return Err("is UTF-16 without its mark, or no text at all; save it as \"CSV UTF-8\", or write \
                    `encoding: utf-16le` into the campaign"
            .to_owned());
    }
    Ok(None)
}
