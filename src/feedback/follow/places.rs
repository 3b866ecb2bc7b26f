//! Owns how far each log was read, kept in a small file beside the store.
//!
//! Invariants: the file is whole or not there (written beside and renamed); a place that is lost or too old costs a second reading,
//! which changes nothing, so a file that cannot be read is told of and begun anew.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes before a place by which it is known again.
pub(super) const BEFORE: usize = 256;
/// Largest file of places that is read, bytes.
const LARGEST: u64 = 1 << 20;
/// Writers of one process take turns: after a reload the last write of the old watchers may still run.
static WRITING: Mutex<()> = Mutex::new(());

/// A place in a file: which file it was, how far, and what stood before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Device and inode of the file.
    pub(super) file: (u64, u64),
    /// Bytes read.
    pub(super) offset: u64,
    /// Digest of the last [`BEFORE`] bytes before it.
    before: String,
}

impl Place {
    /// The place in `file` at `offset`, behind the bytes `before`.
    pub(super) fn new(file: (u64, u64), offset: u64, before: &[u8]) -> Self {
        Self { file, offset, before: digest(before) }
    }

    /// Whether the bytes before the offset are those of this place.
    pub(super) fn is_behind(&self, before: &[u8]) -> bool {
        self.before == digest(before)
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Written {
    /// By path.
    files: BTreeMap<String, Place>,
    /// Cursors of the journal by unit.
    journals: BTreeMap<String, String>,
}

/// The places of all logs.
#[derive(Debug)]
pub(super) struct Places {
    path: PathBuf,
    written: Mutex<Written>,
}

impl Places {
    /// Reads the places at `path`, where there are any.
    pub(super) fn open(path: &Path) -> Self {
        let read = || -> io::Result<Written> {
            if std::fs::metadata(path)?.len() > LARGEST {
                return Err(io::Error::other("it is larger than 1 MB"));
            }
            Ok(serde_json::from_slice(&std::fs::read(path)?)?)
        };
        let written = read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                let path = path.display();
                tracing::warn!("{path}: {error}; the logs are read from their beginning, which changes nothing twice");
            }
            Written::default()
        });
        Self { path: path.to_owned(), written: Mutex::new(written) }
    }

    /// How far the file at `path` was read.
    pub(super) fn file(&self, path: &Path) -> Option<Place> {
        self.lock().files.get(&path.display().to_string()).cloned()
    }

    /// How far the journal of `unit` was read.
    pub(super) fn journal(&self, unit: &str) -> Option<String> {
        self.lock().journals.get(unit).cloned()
    }

    /// Writes down how far the file at `path` was read. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; it is known to this process all the same.
    pub(super) fn set_file(&self, path: &Path, place: Place) -> io::Result<()> {
        self.set(|written| written.files.insert(path.display().to_string(), place.clone()) != Some(place))
    }

    /// Writes down how far the journal of `unit` was read. Blocks.
    ///
    /// # Errors
    /// As [`Self::set_file`].
    pub(super) fn set_journal(&self, unit: &str, cursor: String) -> io::Result<()> {
        self.set(|written| written.journals.insert(unit.to_owned(), cursor.clone()) != Some(cursor))
    }

    fn set(&self, change: impl FnOnce(&mut Written) -> bool) -> io::Result<()> {
        let mut written = self.lock();
        if !change(&mut written) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&*written)?;
        let _turn = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_outlive_the_process_and_broken_files_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hikagen.db.heard.json");
        let places = Places::open(&path);
        let (log, place) = (Path::new("mail.log"), Place::new((1, 2), 3, b"abc"));
        assert_eq!(places.file(log), None);
        places.set_file(log, place.clone()).unwrap();
        places.set_journal("postfix@-.service", "s=1;i=2".to_owned()).unwrap();
        let again = Places::open(&path);
        assert_eq!(again.file(log), Some(place.clone()));
        assert_eq!(again.journal("postfix@-.service").as_deref(), Some("s=1;i=2"));
        assert!(place.is_behind(b"abc") && !place.is_behind(b"abd"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Places::open(&path).file(log), None);
    }
}
