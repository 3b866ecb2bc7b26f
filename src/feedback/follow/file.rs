//! Owns the reading of one log that grows: over rotation by renaming or copying, over restarts, with lines that are half written.
//!
//! Invariants: bounded in what one look reads and in the length of a line; a file that was renamed is read to its end before the
//! next; the place that a look gives lies behind whole lines, all of them read. Blocks: it runs on a thread of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::places::{BEFORE, Place};
use super::rotated;
use crate::core::feedback::Heard;
use crate::feedback::log::{LINE_MOST, Reader};

/// Most bytes that one look reads.
const CHUNK: usize = 256 * 1024;
/// Bytes before the place that are read again after a restart, for the queue ids of messages that are still under way.
const RECALL: u64 = 4 * 1024 * 1024;
/// Looks without anything new after which a renamed file is done with: its writer may hold it a little longer.
const PATIENCE: u32 = 2;

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// What the new lines told.
    pub(super) heard: Vec<Heard>,
    /// How far it has read; `None`: nothing is open.
    pub(super) place: Option<Place>,
    /// There may be more at once.
    pub(super) more: bool,
    /// What people should know.
    pub(super) remark: Option<String>,
}

/// A log that is followed.
pub(super) struct Followed {
    path: PathBuf,
    /// Where an earlier process left off.
    left: Option<Place>,
    open: Option<Open>,
    /// Rotated files to read before `path`.
    next: VecDeque<PathBuf>,
    reader: Reader,
}

/// A file that is being read.
struct Open {
    file: File,
    identity: (u64, u64),
    /// Behind the last whole line.
    offset: u64,
    /// The bytes before `offset`.
    before: Vec<u8>,
    /// The beginning of a line.
    part: Vec<u8>,
    /// The rest of a line that is too long is passed over.
    skips: bool,
    /// Looks without anything new since it was seen to be renamed.
    idle: u32,
}

impl Followed {
    /// Follows the log at `path` from where an earlier process left it, else from its beginning.
    pub(super) fn new(path: &Path, left: Option<Place>, zone: TimeZone) -> Self {
        Self { path: path.to_owned(), left, open: None, next: VecDeque::new(), reader: Reader::new(zone) }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The file is not there or cannot be read; the next look tries again.
    pub(super) fn look(&mut self, now: Timestamp) -> io::Result<Look> {
        let mut look = Look::default();
        if self.open.is_none() {
            self.begin(now, &mut look)?;
        }
        self.see_whether_it_was_cut(&mut look)?;
        if let Some(open) = &mut self.open {
            look.more = open.read(|line| look.heard.extend(self.reader.read(line, now)))?;
            if look.more {
                open.idle = 0;
            }
        }
        if !look.more {
            self.see_whether_it_was_renamed(now, &mut look)?;
        }
        look.place = self.open.as_ref().map(|open| Place::new(open.identity, open.offset, &open.before));
        Ok(look)
    }

    /// Opens what is to be read next.
    fn begin(&mut self, now: Timestamp, look: &mut Look) -> io::Result<()> {
        while let Some(path) = self.next.pop_front() {
            // It may be packed by now.
            if let Ok(file) = rotated::open(&path) {
                self.open = Some(Open::at(file, 0)?);
                return Ok(());
            }
        }
        let current = rotated::open(&self.path);
        let Some(left) = self.left.clone() else {
            self.open = Some(Open::at(current?, 0)?);
            return Ok(());
        };
        let held = current.as_ref().ok().map(|file| rotated::holds(file, &left)).transpose()?.unwrap_or(false);
        let found = if held { Some((current?, Vec::new())) } else { rotated::find(&self.path, &left) };
        match found {
            Some((file, next)) => {
                self.next = next.into();
                let open = Open::at(file, left.offset)?;
                open.recall(|line| drop(self.reader.read(line, now)))?;
                self.open = Some(open);
            }
            None => {
                // Not there at all is trouble of its own; the place may be found when it is there again.
                self.open = Some(Open::at(rotated::open(&self.path)?, 0)?);
                look.remark = Some(
                    "the place where it was left is not in it nor in a rotated file that is still text: it is read from its \
                     beginning; what was packed meanwhile can be given to `hikagen feedback import`"
                        .to_owned(),
                );
            }
        }
        self.left = None;
        Ok(())
    }

    /// A file that was emptied or written anew in its place (`copytruncate`) is read from its beginning, what was not read of
    /// it before from its copy.
    fn see_whether_it_was_cut(&mut self, look: &mut Look) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let length = open.file.metadata()?.len();
        let read = open.offset + open.part.len() as u64;
        let same = length >= read && rotated::before(&open.file, open.offset)? == open.before;
        if same {
            return Ok(());
        }
        let place = Place::new(open.identity, open.offset, &open.before);
        let copy = (place.offset > 0).then(|| rotated::find(&self.path, &place)).flatten();
        match copy {
            Some((file, next)) => {
                self.next = next.into();
                self.open = Some(Open::at(file, place.offset)?);
            }
            None => {
                look.remark = Some("it was emptied; what had not been read of it is in no rotated file".to_owned());
                self.open = Some(Open::at(open.file.try_clone()?, 0)?);
            }
        }
        Ok(())
    }

    /// A file that is at its end and is not the log any more is closed after a while, and the next is opened.
    fn see_whether_it_was_renamed(&mut self, now: Timestamp, look: &mut Look) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let meta = std::fs::metadata(&self.path)?;
        if rotated::identity(&meta) == open.identity {
            return Ok(());
        }
        open.idle += 1;
        if open.idle < PATIENCE {
            return Ok(());
        }
        if !open.skips && !open.part.is_empty() {
            look.heard.extend(self.reader.read(&open.part, now));
        }
        if self.next.is_empty() {
            self.next = rotated::after(&self.path, open.identity).into();
        }
        self.open = None;
        self.begin(now, look)?;
        look.more = true;
        Ok(())
    }
}

impl Open {
    fn at(file: File, offset: u64) -> io::Result<Self> {
        let identity = rotated::identity(&file.metadata()?);
        let before = rotated::before(&file, offset)?;
        Ok(Self { file, identity, offset, before, part: Vec::new(), skips: false, idle: 0 })
    }

    /// Gives the lines of the next bytes; whether there were any.
    fn read(&mut self, mut line: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut bytes = vec![0; CHUNK];
        let read = self.file.read_at(&mut bytes, self.offset + self.part.len() as u64)?;
        if read == 0 {
            return Ok(false);
        }
        let mut all = std::mem::take(&mut self.part);
        all.extend_from_slice(&bytes[..read]);
        let mut done = 0;
        while let Some(length) = memchr::memchr(b'\n', &all[done..]) {
            if !std::mem::take(&mut self.skips) {
                line(&all[done..done + length]);
            }
            done += length + 1;
        }
        if all.len() - done > LINE_MOST {
            if !std::mem::replace(&mut self.skips, true) {
                line(&all[done..]);
            }
            done = all.len();
        }
        self.part = all.split_off(done);
        self.offset += done as u64;
        self.before.extend_from_slice(&all);
        let surplus = self.before.len().saturating_sub(BEFORE);
        self.before.drain(..surplus);
        Ok(true)
    }

    /// Gives the lines before the place once more.
    fn recall(&self, mut line: impl FnMut(&[u8])) -> io::Result<()> {
        let mut at = self.offset.saturating_sub(RECALL);
        let mut part = Vec::new();
        while at < self.offset {
            let length = usize::try_from(self.offset - at).unwrap_or(CHUNK).min(CHUNK);
            let mut bytes = vec![0; length];
            let read = self.file.read_at(&mut bytes, at)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            part.extend_from_slice(&bytes[..read]);
            let mut done = 0;
            while let Some(length) = memchr::memchr(b'\n', &part[done..]) {
                line(&part[done..done + length]);
                done += length + 1;
            }
            part.drain(..done);
            if part.len() > LINE_MOST {
                part.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
