//! Owns finding a log again that was rotated: `mail.log.1`, `mail.log-20261126`, renamed or copied.
//!
//! Invariant: a file is taken for the one that was read only when the bytes before the place are the same.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::places::{BEFORE, Place};

/// Most rotated files that are looked at, the newest.
const MOST: usize = 64;
/// Endings of files that are no text any more.
const PACKED: [&str; 6] = ["gz", "bz2", "xz", "zst", "lz4", "Z"];

/// Device and inode.
pub(super) fn identity(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Opens a regular file. (A pipe would hold up its reader.)
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}

/// The bytes before `offset`, at most [`BEFORE`]; fewer where the file ends sooner.
pub(super) fn before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(offset).unwrap_or(usize::MAX).min(BEFORE);
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut bytes[read..], offset - length as u64 + read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether `place` lies in `file`. At offset zero only the file itself can tell.
pub(super) fn holds(file: &File, place: &Place) -> io::Result<bool> {
    let meta = file.metadata()?;
    if place.offset == 0 {
        return Ok(identity(&meta) == place.file);
    }
    Ok(meta.len() >= place.offset && place.is_behind(&before(file, place.offset)?))
}

/// The rotated files of `path` that are still text, by their last change, the oldest first.
pub(super) fn rotated(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_one = |other: &str| {
        let rest = other.strip_prefix(name).unwrap_or_default();
        let packed = other.rsplit_once('.').is_some_and(|(_, ending)| PACKED.contains(&ending));
        rest.starts_with(['.', '-']) && rest.contains(|c: char| c.is_ascii_digit()) && !packed
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok().filter(|entry| entry.file_name().to_str().is_some_and(is_one))?;
            let meta = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?;
            Some((meta.modified().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    let from = found.len().saturating_sub(MOST);
    found.split_off(from).into_iter().map(|(_, path)| path).collect()
}

/// The rotated file in which `place` lies, opened, and the rotated files after it.
pub(super) fn find(path: &Path, place: &Place) -> Option<(File, Vec<PathBuf>)> {
    let all = rotated(path);
    let held = |one: &PathBuf| open(one).ok().filter(|file| holds(file, place).unwrap_or(false));
    let is_same = |file: &File| file.metadata().is_ok_and(|meta| identity(&meta) == place.file);
    let found: Vec<(usize, File)> = all.iter().enumerate().filter_map(|(at, one)| Some((at, held(one)?))).collect();
    let same = found.iter().position(|(_, file)| is_same(file)).unwrap_or(0);
    let (at, file) = found.into_iter().nth(same)?;
    Some((file, all[at + 1..].to_vec()))
}

/// The rotated files after the one with this identity; none, where it is not among them.
pub(super) fn after(path: &Path, file: (u64, u64)) -> Vec<PathBuf> {
    let all = rotated(path);
    let at = all.iter().position(|one| fs::metadata(one).is_ok_and(|meta| identity(&meta) == file));
    at.map_or_else(Vec::new, |at| all[at + 1..].to_vec())
}
