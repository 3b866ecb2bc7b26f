//! Owns the reading of a list: CSV of any encoding, row after row, in bounded memory, twice the same.
//!
//! Invariants: a row is never longer than [`ROW_MAX`]; a quote that is left open is an error with its line, not a file in memory; a
//! row's line is the one where it begins.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use csv::StringRecord;

use super::clean::fold;
use super::encoding::{Encoding, sniff};
use crate::config::problem::did_you_mean;

/// Longest row, octets.
const ROW_MAX: usize = 1024 * 1024;
/// Most columns.
const COLUMNS_MAX: usize = 256;

/// A list, opened, its encoding and header known.
#[derive(Debug)]
pub(super) struct List {
    path: PathBuf,
    file: File,
    pub(super) encoding: Encoding,
    pub(super) bytes: u64,
    modified: Option<SystemTime>,
    pub(super) header: Header,
}

/// The columns of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Names as templates use them; `email` and `score` in lower case.
    pub(super) names: Vec<String>,
    /// Where the address stands.
    pub(super) email: usize,
    /// Where the score stands.
    pub(super) score: Option<usize>,
    /// Columns without a name at the end of the header, which spreadsheets leave behind.
    pub(super) unnamed: usize,
}

impl List {
    /// Opens `path`, finds its encoding (the whole file is read once) and reads its header.
    ///
    /// # Errors
    /// In words.
    pub(super) fn open(path: &Path, seen: &mut dyn FnMut(u64)) -> Result<Self, String> {
        let name = path.display();
        let mut file = File::open(path).map_err(|e| format!("{name} cannot be read: {e}"))?;
        let metadata = file.metadata().map_err(|e| format!("{name} cannot be read: {e}"))?;
        if !metadata.is_file() {
            return Err(format!("{name} is not a file"));
        }
        let empty = || {
            format!("{name} is empty: expected a first line with column names, one of them \"email\", and a row below")
        };
        if metadata.len() == 0 {
            return Err(empty());
        }
        let encoding = sniff(&mut file, path, seen)?;
        let mut rows = Rows::over(&file, encoding, path)?;
        let Some((line, first)) = rows.next_row()? else { return Err(empty()) };
        let header = Header::read(first).map_err(|why| format!("{name}:{line}: {why}"))?;
        let modified = metadata.modified().ok();
        Ok(Self { path: path.to_owned(), file, encoding, bytes: metadata.len(), modified, header })
    }

    /// The rows below the header, from the first on.
    pub(super) fn rows(&self) -> Result<Rows, String> {
        let mut rows = Rows::over(&self.file, self.encoding, &self.path)?;
        rows.next_row()?;
        Ok(rows)
    }

    /// Whether the file is still the one that was opened.
    pub(super) fn is_unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|now| now.len() == self.bytes && now.modified().ok() == self.modified)
    }
}

impl Header {
    fn read(record: &StringRecord) -> Result<Self, String> {
        let mut names: Vec<String> = record.iter().map(|name| name.trim_matches(is_blank).to_owned()).collect();
        let total = names.len();
        while names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        if let Some(at) = names.iter().position(String::is_empty) {
            return Err(format!("column {} has no name", at + 1));
        }
        if names.len() > COLUMNS_MAX {
            return Err(format!("{} columns; at most {COLUMNS_MAX}", names.len()));
        }
        for name in &mut names {
            let plain = fold(name).to_lowercase();
            if ["email", "score"].contains(&plain.as_str()) {
                *name = plain;
            }
        }
        for (at, name) in names.iter().enumerate() {
            if let Some(first) = names[..at].iter().position(|earlier| earlier == name) {
                return Err(format!("columns {} and {} are both called \"{name}\"", first + 1, at + 1));
            }
        }
        let email = names.iter().position(|name| name == "email").ok_or_else(|| no_email(&names))?;
        if let Some(bad) = names.iter().find(|name| name.chars().any(char::is_control)) {
            return Err(format!("the column name \"{}\" holds a control character", bad.escape_debug()));
        }
        let score = names.iter().position(|name| name == "score");
        Ok(Self { unnamed: total - names.len(), names, email, score })
    }
}

fn no_email(names: &[String]) -> String {
    if let Some(address) = names.iter().find(|name| name.contains(['@', '＠'])) {
        return format!(
            "the first line must name the columns, one of them \"email\", but holds the address {}",
            address.escape_debug()
        );
    }
    let only = names.first().filter(|_| names.len() == 1);
    let separated =
        only.and_then(|name| [('\t', "tabs"), (';', "semicolons")].into_iter().find(|(c, _)| name.contains(*c)));
    if let Some((_, what)) = separated {
        return format!("the columns are separated by {what}; save the list with commas (CSV)");
    }
    let alias = |name: &&String| {
        let plain = fold(name).to_lowercase().replace(['-', '_', ' '], "");
        ["mail", "emailaddress", "mailaddress", "address", "メール", "メールアドレス", "eメール", "アドレス"]
            .contains(&plain.as_str())
    };
    let near = names.iter().find(alias).map(String::as_str);
    let near = near.or_else(|| names.iter().map(String::as_str).find(|name| did_you_mean(name, ["email"]).is_some()));
    let hint = near.map(|name| format!("; did you mean \"{name}\"? Name it \"email\"")).unwrap_or_default();
    format!("no column is called \"email\"; the columns are: {}{hint}", names.join(", "))
}

/// Blanks, full-width ones and the byte order mark too.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// Rows of a list, one at a time.
pub(super) struct Rows {
    reader: csv::Reader<Guard>,
    record: StringRecord,
    place: String,
}

impl Rows {
    fn over(file: &File, encoding: Encoding, path: &Path) -> Result<Self, String> {
        let place = path.display().to_string();
        let fail = |e: io::Error| format!("{place} cannot be read: {e}");
        let mut file = file.try_clone().map_err(fail)?;
        file.seek(SeekFrom::Start(if encoding == Encoding::Utf8Marked { 3 } else { 0 })).map_err(fail)?;
        let text: Box<dyn Read + Send> = match encoding {
            Encoding::ShiftJis => Box::new(BufReader::with_capacity(
                64 * 1024,
                encoding_rs_io::DecodeReaderBytesBuilder::new().encoding(Some(encoding_rs::SHIFT_JIS)).build(file),
            )),
            Encoding::Utf8 | Encoding::Utf8Marked => Box::new(file),
        };
        let guard =
            Guard { inner: text, state: State::FieldStart, line: 1, starts: VecDeque::new(), length: 0, quoted_at: 1 };
        let reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(64 * 1024).from_reader(guard);
        Ok(Self { reader, record: StringRecord::new(), place })
    }

    /// The next row and the line where it begins.
    pub(super) fn next_row(&mut self) -> Result<Option<(u64, &StringRecord)>, String> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => Ok(Some((self.reader.get_mut().starts.pop_front().unwrap_or_default(), &self.record))),
            Ok(false) => Ok(None),
            Err(e) => match e.into_kind() {
                csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::InvalidData => Err(format!("{}:{e}", self.place)),
                csv::ErrorKind::Io(e) => Err(format!("{} cannot be read: {e}", self.place)),
                other => Err(format!("{} cannot be read: {other:?}", self.place)),
            },
        }
    }

    /// Octets of text read so far.
    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }
}

/// Where the guard stands in the CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote inside a quoted field: the end of the field, or half of a doubled quote.
    QuoteSeen,
}

/// Walks the text ahead of the CSV reader (same rules for quotes and empty lines), so that no row grows without bound and each
/// has its line: the reader itself counts empty lines and CRLF to the row behind them.
struct Guard {
    inner: Box<dyn Read + Send>,
    state: State,
    line: u64,
    /// Lines where the rows begin that the reader has not given out yet.
    starts: VecDeque<u64>,
    /// Octets of the row so far.
    length: usize,
    quoted_at: u64,
}

impl Guard {
    fn walk(&mut self, text: &[u8]) -> io::Result<()> {
        for byte in text {
            let ends_line = matches!(byte, b'\n' | b'\r');
            if self.length == 0 && !ends_line {
                self.starts.push_back(self.line);
            }
            self.length += usize::from(self.length > 0 || !ends_line);
            if self.length > ROW_MAX {
                return Err(self.too_long());
            }
            self.state = match (self.state, byte) {
                (State::Quoted, b'"') => State::QuoteSeen,
                (State::Quoted, _) => State::Quoted,
                (State::QuoteSeen, b'"') => State::Quoted,
                (State::FieldStart, b'"') => {
                    self.quoted_at = self.line;
                    State::Quoted
                }
                (_, b',' | b'\n' | b'\r') => State::FieldStart,
                _ => State::Plain,
            };
            if *byte == b'\n' {
                self.line += 1;
            }
            if ends_line && self.state == State::FieldStart {
                self.length = 0;
            }
        }
        Ok(())
    }

    fn too_long(&self) -> io::Error {
        let text = if self.state == State::Quoted { self.open_quote() } else { "split it".to_owned() };
        let row = self.starts.back().copied().unwrap_or(self.line);
        io::Error::new(io::ErrorKind::InvalidData, format!("{row}: the row is longer than {ROW_MAX} octets; {text}"))
    }

    fn open_quote(&self) -> String {
        format!("the quote that opens in line {} is never closed", self.quoted_at)
    }
}

impl Read for Guard {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.walk(&buf[..n])?;
        if n == 0 && !buf.is_empty() && self.state == State::Quoted {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {}", self.quoted_at, self.open_quote()),
            ));
        }
        Ok(n)
    }
}
