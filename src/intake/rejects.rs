//! Owns the file of refused rows: `<list>.rejects.csv` beside the list, one row per refused row with line, address, rule and reason.
//!
//! Invariants: the file is complete or not there (written beside and renamed); a submission without refused rows leaves none
//! behind; it is written as the list is (with the mark where the list is not plain UTF-8, so that Excel reads it).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::clean::{Refusal, Rule};
use super::encoding::Encoding;

/// Rows kept in memory for the answer; the file has all.
const SHOWN: usize = 20;

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// Line where the row begins, from 1.
    pub line: u64,
    /// The address as the list has it.
    pub address: String,
    /// The rule that refused it.
    pub rule: Rule,
    /// In words.
    pub reason: String,
}

/// Refused rows: the first ones, how many, and the file with all of them.
#[derive(Debug)]
pub(super) struct Rejects {
    pub(super) first: Vec<Reject>,
    pub(super) count: u64,
    path: PathBuf,
    marked: bool,
    /// `None` until the first row, and where no file is wanted.
    writer: Option<csv::Writer<BufWriter<File>>>,
    wanted: bool,
}

/// Where the refused rows of `list` go.
pub(super) fn rejects_path(list: &Path) -> PathBuf {
    list.with_extension("rejects.csv")
}

impl Rejects {
    pub(super) fn new(list: &Path, encoding: Encoding, wanted: bool) -> Self {
        let marked = encoding != Encoding::Utf8;
        Self { first: Vec::new(), count: 0, path: rejects_path(list), marked, writer: None, wanted }
    }

    /// Notes a refused row.
    pub(super) fn add(&mut self, line: u64, address: &str, refusal: Refusal) -> Result<(), String> {
        self.count += 1;
        let reject = Reject { line, address: address.to_owned(), rule: refusal.rule, reason: refusal.why };
        if self.wanted {
            self.write(&reject).map_err(|e| self.cannot(&e))?;
        }
        if self.first.len() < SHOWN {
            self.first.push(reject);
        }
        Ok(())
    }

    fn write(&mut self, reject: &Reject) -> io::Result<()> {
        if self.writer.is_none() {
            let mut file = BufWriter::new(File::create(self.unfinished())?);
            if self.marked {
                file.write_all("\u{feff}".as_bytes())?;
            }
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(["line", "address", "rule", "reason"])?;
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            let line = reject.line.to_string();
            writer.write_record([line.as_str(), &reject.address, reject.rule.as_str(), &reject.reason])?;
        }
        Ok(())
    }

    /// Puts the file in its place; `None` when there is nothing in it.
    pub(super) fn finish(&mut self) -> Result<Option<PathBuf>, String> {
        if !self.wanted {
            return Ok(None);
        }
        let done = match self.writer.take() {
            Some(writer) => writer
                .into_inner()
                .map_err(|e| io::Error::other(e.to_string()))
                .and_then(|mut buffer| buffer.flush())
                .and_then(|()| std::fs::rename(self.unfinished(), &self.path))
                .map(|()| Some(self.path.clone())),
            None => match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(None),
            },
        };
        done.map_err(|e| self.cannot(&e))
    }

    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("csv.unfinished")
    }

    fn cannot(&self, e: &io::Error) -> String {
        format!("the refused rows cannot be written to {}: {e}", self.path.display())
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // Best effort: what is left of a broken run says so in its name.
            std::fs::remove_file(self.unfinished()).ok();
        }
    }
}
