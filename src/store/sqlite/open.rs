//! Owns how a connection is opened, what it is set to, and migrations.
//!
//! Invariants: a file that is not ours, or is newer than this program, is never written to; a migration is one transaction;
//! integrity is never checked here (it reads the whole file).

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::codec::Result;
use super::{Limits, space};
use crate::store::StoreError;

/// Marks the file as ours (`file(1)` and SQLite show it): "Hkgn".
const APPLICATION_ID: i64 = 0x486b_676e;

/// Migration n brings a store from version n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("version_2.sql"),
    include_str!("version_3.sql"),
    include_str!("version_4.sql"),
];

/// How long a writer waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
}

/// Creates the file, readable by its owner only (it holds addresses), unless it exists.
pub(super) fn create(path: &Path) -> Result<()> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!(
            "{} cannot be created: {error}; create its folder and give write permission on it",
            path.display()
        ))),
    }
}

/// Opens a connection to a file that exists and brings its schema up to date.
pub(super) fn connect(path: &Path, purpose: Purpose, limits: Limits) -> Result<Connection> {
    let name = |error: StoreError| match error {
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
        StoreError::Corrupt(why) => StoreError::Corrupt(format!("{}: {why}", path.display())),
        other => other,
    };
    let access = if limits.read_only { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let open = || -> Result<Connection> {
        let mut conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY)?;
        if purpose == Purpose::Write {
            migrate(&mut conn)?;
            keep_a_log(&conn)?;
            if let Some(pages) = limits.max_pages {
                conn.pragma_update(None, "max_page_count", pages)?;
            }
        }
        set(&conn, purpose)?;
        Ok(conn)
    };
    open().map_err(name)
}

/// A store that lives in memory.
pub(super) fn in_memory() -> Result<Connection> {
    let mut conn = Connection::open_in_memory()?;
    migrate(&mut conn)?;
    set(&conn, Purpose::Write)?;
    Ok(conn)
}

fn set(conn: &Connection, purpose: Purpose) -> Result<()> {
    // FULL: with NORMAL a power cut may take the last commits, which would be mails sent twice. Group commit makes it
    // affordable (153,000 settles a second measured, against 4,500 with a commit each).
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", 67_108_864)?;
    // What a report sorts and a check gathers grows with the store, so it goes to the disk; what the writer sorts is small.
    conn.pragma_update(None, "temp_store", if purpose == Purpose::Write { "MEMORY" } else { "FILE" })?;
    conn.pragma_update(None, "cache_size", if purpose == Purpose::Write { -65_536 } else { -16_384 })?;
    conn.set_prepared_statement_cache_capacity(160);
    Ok(())
}

/// Switches to the write-ahead log. The switch does not wait for other connections by itself.
fn keep_a_log(conn: &Connection) -> Result<()> {
    let read = |pragma: &str| conn.query_row(pragma, [], |row| row.get::<_, String>(0));
    if read("PRAGMA journal_mode")? == "wal" {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        match read("PRAGMA journal_mode = WAL") {
            Ok(_) => return Ok(()),
            Err(error) if tries >= 250 => return Err(error.into()),
            Err(_) => std::thread::park_timeout(Duration::from_millis(20)),
        }
        tries += 1;
    }
}

fn version(conn: &Connection) -> Result<usize> {
    let application: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || objects != 0) {
        return Err(StoreError::Corrupt(
            "the file is a database of another program, not a Hikagen store; give another path".to_owned(),
        ));
    }
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(version) if version <= known => Ok(version),
        _ => Err(StoreError::Corrupt(format!(
            "it was made by a newer version of Hikagen (its schema is {version}, this version knows up to {known}); use \
             that version"
        ))),
    }
}

fn migrate(conn: &mut Connection) -> Result<()> {
    if version(conn)? == MIGRATIONS.len() {
        return Ok(());
    }
    // Only an empty file takes it, and only outside a transaction.
    space::prepare(conn)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it while this one waited for the lock.
    let from = version(&tx)?;
    for migration in MIGRATIONS.get(from..).unwrap_or_default() {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_writer_keeps_temporary_tables_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hikagen.db");
        create(&path).unwrap();
        // SQLite's numbers: 1 in a file, 2 in memory.
        for (purpose, place) in [(Purpose::Write, 2), (Purpose::Read, 1)] {
            let conn = connect(&path, purpose, Limits::default()).unwrap();
            let found: i64 = conn.query_row("PRAGMA temp_store", [], |row| row.get(0)).unwrap();
            assert_eq!(found, place, "{purpose:?}");
        }
    }
}
