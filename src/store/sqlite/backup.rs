//! Owns copies of the store, and noticing that an older one was put back.
//!
//! Invariants: a copy is one consistent view and appears under its name only when it is whole and on the disk; a store whose
//! generation is behind the number beside it is older than what this machine has sent from.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::codec::Result;
use super::engine::Db;
use super::orders;
use crate::store::{Pause, PauseCause, Scope, StoreError};

/// Pages copied at a time.
const PAGES: std::ffi::c_int = 1_000;

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|f| f.sync_all()).map_err(|error| failed(folder, &error))
}

/// Copies the view that `db` has (within a reading transaction) to a new file.
pub(super) fn backup(db: &mut Db, to: &Path) -> Result<()> {
    if to.exists() {
        return Err(StoreError::Refused(format!(
            "{} exists; give a new name, a backup replaces nothing",
            to.display()
        )));
    }
    let part = beside(to, ".part");
    let copied = copy(&db.conn, &part).and_then(|()| {
        File::open(&part).and_then(|f| f.sync_all()).map_err(|error| failed(&part, &error))?;
        // Not `rename`: that would replace a file that came to be meanwhile.
        std::fs::hard_link(&part, to).map_err(|error| failed(to, &error))
    });
    drop(std::fs::remove_file(&part));
    copied?;
    sync_folder_of(to)
}

fn copy(source: &Connection, part: &Path) -> Result<()> {
    if part.exists() {
        std::fs::remove_file(part).map_err(|error| failed(part, &error))?;
    }
    super::open::create(part)?;
    let mut target = Connection::open(part)?;
    Backup::new(source, &mut target)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    // One behind the number beside the store: a copy put back is always noticed, however young it is.
    target.execute("UPDATE meta SET value = value - 1 WHERE key = 'generation'", [])?;
    target.close().map_err(|(_, error)| error.into())
}

fn number_path(store: &Path) -> PathBuf {
    beside(store, ".generation")
}

/// The number beside the store; `None` when there is none.
pub(super) fn number_beside(store: &Path) -> Result<Option<i64>> {
    let path = number_path(store);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&path, &error)),
    };
    let number = text.trim().parse().map_err(|_| {
        StoreError::Corrupt(format!(
            "{} holds \"{}\" where a number was expected; if the store was not restored from a backup, remove the file",
            path.display(),
            text.trim().chars().take(40).collect::<String>()
        ))
    })?;
    Ok(Some(number))
}

/// Writes the number beside the store, whole or not at all.
pub(super) fn write_number(store: &Path, number: i64) -> Result<()> {
    let path = number_path(store);
    let part = beside(&path, ".part");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        writeln!(file, "{number}")?;
        file.sync_all()?;
        std::fs::rename(&part, &path)
    };
    write().map_err(|error| failed(&path, &error))?;
    sync_folder_of(&path)
}

fn generation(db: &Db) -> Result<i64> {
    Ok(db.conn.prepare_cached("SELECT value FROM meta WHERE key = 'generation'")?.query_row([], |row| row.get(0))?)
}

fn set_generation(db: &Db, number: i64) -> Result<()> {
    db.conn.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'generation'")?.execute([number])?;
    Ok(())
}

/// Moves the generation on. Returns the new one.
pub(super) fn move_on(db: &mut Db) -> Result<i64> {
    let number = generation(db)? + 1;
    set_generation(db, number)?;
    Ok(number)
}

/// A worker begins: pauses everything where the number beside the store is ahead of it. Returns the new generation and a
/// warning.
pub(super) fn begin(db: &mut Db, number_beside: Option<i64>, now: Timestamp) -> Result<(i64, Option<String>)> {
    let own = generation(db)?;
    let number = own.max(number_beside.unwrap_or(0)) + 1;
    set_generation(db, number)?;
    if number_beside.is_none_or(|n| n <= own) {
        return Ok((number, None));
    }
    let warning = "the store was restored from a backup: mail that left after the backup was made may leave again, and quota \
                   spent since then is not known; check with `status` and `audit`, then `hikagen resume --all`";
    orders::pause(
        &db.conn,
        &Pause {
            scope: Scope::All,
            cause: PauseCause::Fault,
            reason: warning.to_owned(),
            since: now,
            until: None,
            times: 1,
        },
    )?;
    Ok((number, Some(warning.to_owned())))
}
