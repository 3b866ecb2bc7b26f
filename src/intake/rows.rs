//! Owns the reading of a list: CSV or JSONL of any encoding, row after row, in bounded memory, twice the same.
//!
//! Invariants: a row is never longer than [`ROW_MAX`]; a quote that is left open is an error with its line, not a file in memory; a
//! row's line is the one where it begins.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use csv::StringRecord;

use super::clean::{Refusal, fold};
use super::encoding::{Encoding, Written, sniff};
use super::jsonl;
use crate::config::campaign_file::{ListFormat, ListReading};
use crate::config::problem::did_you_mean;

/// Longest row, octets.
pub(super) const ROW_MAX: usize = 1024 * 1024;
/// Most columns.
pub(super) const COLUMNS_MAX: usize = 256;

/// A list, opened, its encoding and header known.
#[derive(Debug)]
pub(super) struct List {
    path: PathBuf,
    file: File,
    pub(super) encoding: Encoding,
    shape: Shape,
    pub(super) bytes: u64,
    modified: Option<SystemTime>,
    pub(super) header: Header,
    /// Columns without which a row is refused: a JSON object may lack any.
    needed: Vec<usize>,
}

/// How the octets of a list become rows.
#[derive(Debug, Clone, Copy)]
struct Shape {
    written: Written,
    format: ListFormat,
    /// Between the values of a CSV row.
    delimiter: u8,
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
    pub(super) fn open(path: &Path, reading: ListReading, seen: &mut dyn FnMut(u64)) -> Result<Self, String> {
        let name = path.display();
        let mut file = File::open(path).map_err(|e| format!("{name} cannot be read: {e}"))?;
        let metadata = file.metadata().map_err(|e| format!("{name} cannot be read: {e}"))?;
        if !metadata.is_file() {
            return Err(format!("{name} is not a file"));
        }
        let format = reading.format.unwrap_or_else(|| ListFormat::of(path));
        let empty = || match format {
            ListFormat::Csv => format!(
                "{name} is empty: expected a first line with column names, one of them \"email\", and a row below"
            ),
            ListFormat::Jsonl => format!("{name} is empty: expected one JSON object a line, each with \"email\""),
        };
        if metadata.len() == 0 {
            return Err(empty());
        }
        let written = sniff(&mut file, path, reading.encoding, seen)?;
        let mut shape = Shape { written, format, delimiter: b',' };
        let header = match format {
            ListFormat::Csv => {
                shape.delimiter = delimiter(&file, shape, path)?;
                let mut rows = Rows::over(&file, shape, path)?;
                let Some((line, first)) = rows.next_row()? else { return Err(empty()) };
                Header::read(first).map_err(|why| format!("{name}:{line}: {why}"))?
            }
            ListFormat::Jsonl => {
                let names = jsonl::names(text(&file, written, path)?, path)?;
                if names.is_empty() {
                    return Err(empty());
                }
                Header::of(names).map_err(|why| format!("{name}: {why}"))?
            }
        };
        let (encoding, bytes) = (written.encoding, metadata.len());
        let modified = metadata.modified().ok();
        Ok(Self { path: path.to_owned(), file, encoding, shape, bytes, modified, header, needed: Vec::new() })
    }

    /// From now on a row that lacks one of these columns is refused. (One without an address is, whatever is needed.)
    pub(super) fn need(&mut self, columns: Vec<usize>) {
        self.needed = columns.into_iter().filter(|column| *column != self.header.email).collect();
    }

    /// The rows below the header, from the first on.
    pub(super) fn rows(&self) -> Result<Rows, String> {
        if self.shape.format == ListFormat::Jsonl {
            let text = text(&self.file, self.shape.written, &self.path)?;
            return Ok(Rows {
                source: Source::Jsonl(jsonl::Objects::new(text, &self.header.names, &self.needed, &self.path)),
                record: StringRecord::new(),
                place: self.path.display().to_string(),
            });
        }
        let mut rows = Rows::over(&self.file, self.shape, &self.path)?;
        rows.next_row()?;
        Ok(rows)
    }

    /// Whether the file is still the one that was opened.
    pub(super) fn is_unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|now| now.len() == self.bytes && now.modified().ok() == self.modified)
    }
}

/// The file from behind its mark, as UTF-8.
fn text(file: &File, written: Written, path: &Path) -> Result<Box<dyn Read + Send>, String> {
    let fail = |e: io::Error| format!("{} cannot be read: {e}", path.display());
    let mut file = file.try_clone().map_err(fail)?;
    file.seek(SeekFrom::Start(written.mark)).map_err(fail)?;
    Ok(match written.encoding.decoder() {
        Some(decoder) => Box::new(BufReader::with_capacity(
            64 * 1024,
            encoding_rs_io::DecodeReaderBytesBuilder::new().encoding(Some(decoder)).build(file),
        )),
        None => Box::new(file),
    })
}

/// A comma; a tab in the UTF-16 that spreadsheets call "Unicode text", where the first line has tabs and no comma.
fn delimiter(file: &File, shape: Shape, path: &Path) -> Result<u8, String> {
    if !matches!(shape.written.encoding, Encoding::Utf16Le | Encoding::Utf16Be) {
        return Ok(b',');
    }
    let mut rows = Rows::over(file, shape, path)?;
    let Some((_, first)) = rows.next_row()? else { return Ok(b',') };
    Ok(if first.len() == 1 && first.get(0).is_some_and(|name| name.contains('\t')) { b'\t' } else { b',' })
}

impl Header {
    /// The columns of a list whose keys are `names`.
    fn of(names: Vec<String>) -> Result<Self, String> {
        let email = names.iter().position(|name| name == "email").ok_or_else(|| no_email(&names))?;
        let score = names.iter().position(|name| name == "score");
        Ok(Self { names, email, score, unnamed: 0 })
    }

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
        names.iter_mut().for_each(plain);
        for (at, name) in names.iter().enumerate() {
            if let Some(first) = names[..at].iter().position(|earlier| earlier == name) {
                return Err(format!("columns {} and {} are both called \"{name}\"", first + 1, at + 1));
            }
        }
        if let Some(bad) = names.iter().find(|name| name.contains('\u{fffd}')) {
            let bad = bad.escape_debug();
            return Err(format!("the column name \"{bad}\" was damaged when the list was written or converted"));
        }
        let unnamed = total - names.len();
        let header = Self { unnamed, ..Self::of(names)? };
        if let Some(bad) = header.names.iter().find(|name| name.chars().any(char::is_control)) {
            return Err(format!("the column name \"{}\" holds a control character", bad.escape_debug()));
        }
        Ok(header)
    }
}

/// `email` and `score` in whatever letters they are written.
pub(super) fn plain(name: &mut String) {
    let plain = fold(name).to_lowercase();
    if ["email", "score"].contains(&plain.as_str()) {
        *name = plain;
    }
}

fn no_email(names: &[String]) -> String {
    if names.first().is_some_and(|name| name.starts_with(['{', '['])) {
        return "the first line is JSON, not column names; name the list .jsonl, or write `format: jsonl`".to_owned();
    }
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
    source: Source,
    record: StringRecord,
    place: String,
}

enum Source {
    Csv(csv::Reader<Guard>),
    Jsonl(jsonl::Objects),
}

/// A row as it was read.
pub(super) struct Row<'a> {
    /// Where it begins, from 1.
    pub(super) line: u64,
    /// Its values in the order of the header.
    pub(super) record: &'a StringRecord,
    /// Why it cannot be read as a row at all.
    pub(super) refusal: Option<Refusal>,
}

impl Rows {
    fn over(file: &File, shape: Shape, path: &Path) -> Result<Self, String> {
        let guard = Guard {
            inner: text(file, shape.written, path)?,
            delimiter: shape.delimiter,
            state: State::FieldStart,
            line: 1,
            starts: VecDeque::new(),
            length: 0,
            quoted_at: 1,
        };
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(shape.delimiter).buffer_capacity(64 * 1024);
        let (record, place) = (StringRecord::new(), path.display().to_string());
        Ok(Self { source: Source::Csv(builder.from_reader(guard)), record, place })
    }

    /// The next row and the line where it begins; one that is refused as it stands has no values.
    pub(super) fn next_row(&mut self) -> Result<Option<(u64, &StringRecord)>, String> {
        Ok(self.next_checked()?.map(|row| (row.line, row.record)))
    }

    /// The next row, and whether it can be read as one.
    pub(super) fn next_checked(&mut self) -> Result<Option<Row<'_>>, String> {
        let reader = match &mut self.source {
            Source::Csv(reader) => reader,
            Source::Jsonl(objects) => {
                let next = objects.next_object(&mut self.record)?;
                return Ok(next.map(|(line, refusal)| Row { line, record: &self.record, refusal }));
            }
        };
        match reader.read_record(&mut self.record) {
            Ok(true) => {
                let line = reader.get_mut().starts.pop_front().unwrap_or_default();
                Ok(Some(Row { line, record: &self.record, refusal: None }))
            }
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
        match &self.source {
            Source::Csv(reader) => reader.position().byte(),
            Source::Jsonl(objects) => objects.position(),
        }
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
    delimiter: u8,
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
                (_, byte) if ends_line || *byte == self.delimiter => State::FieldStart,
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
