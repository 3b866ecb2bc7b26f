//! Owns the room in the file: how much is free, and how it goes back to the file system.
//!
//! Invariant: giving back is bounded by pages a call; only `compact` holds writers for as long as the file is large.

use std::path::Path;

use rusqlite::Connection;

use super::Limits;
use super::codec::{Result, many};
use super::engine::Db;
use super::open::{self, Purpose};
use crate::store::{Space, StoreError};

/// `auto_vacuum` of a file whose free pages can be given back bit by bit.
const INCREMENTAL: i64 = 2;

fn pragma(conn: &Connection, name: &str) -> Result<i64> {
    Ok(conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
}

/// Lets a file that is still empty give free pages back later. Without effect on one that has tables.
pub(super) fn prepare(conn: &Connection) -> Result<()> {
    Ok(conn.pragma_update(None, "auto_vacuum", INCREMENTAL)?)
}

fn look(conn: &Connection) -> Result<Space> {
    let page = many(pragma(conn, "page_size")?)?;
    Ok(Space {
        bytes: many(pragma(conn, "page_count")?)? * page,
        free: many(pragma(conn, "freelist_count")?)? * page,
        shrinks: pragma(conn, "auto_vacuum")? == INCREMENTAL,
    })
}

pub(super) fn space(db: &mut Db) -> Result<Space> {
    look(&db.conn)
}

pub(super) fn shrink(db: &mut Db, pages: u32) -> Result<Space> {
    let mut statement = db.conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    // Each step gives one page back.
    while rows.next()?.is_some() {}
    drop(rows);
    look(&db.conn)
}

/// A connection of its own to write the file anew with: within a transaction, where verbs live, SQLite cannot do it.
fn connect(path: &Path) -> Result<Connection> {
    let conn = open::connect(path, Purpose::Write, Limits::default())?;
    prepare(&conn)?;
    // The copy is a temporary database: as large as the store, so that memory is no place for it.
    conn.pragma_update(None, "temp_store", "FILE")?;
    Ok(conn)
}

/// What stopped a writing anew, with the file's name. It fills two disks: the log beside the store, and where SQLite keeps
/// temporary files.
fn stopped(path: &Path, error: rusqlite::Error) -> StoreError {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    match StoreError::from(error) {
        StoreError::Unavailable(_) if full => StoreError::Unavailable(format!(
            "{}: the disk is full; this needs the store's size once more beside it and once more for a temporary copy: free \
             space there, or name another folder for the copy with TMPDIR (the store is as it was)",
            path.display()
        )),
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
        other => other,
    }
}

/// Writes the file anew.
pub(super) fn compact(path: &Path) -> Result<Space> {
    let conn = connect(path)?;
    let named = |error| stopped(path, error);
    conn.execute_batch("VACUUM").map_err(named)?;
    // The new pages lie in the log until then. Somebody who reads may hold it up; the next checkpoint does the rest.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(named)?;
    look(&conn)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn the_copy_of_the_store_lies_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hikagen.db");
        open::create(&path).unwrap();
        let conn = connect(&path).unwrap();
        // SQLite's numbers: 1 in a file, 2 in memory.
        assert_eq!(pragma(&conn, "temp_store").unwrap(), 1);
    }

    #[test]
    fn a_full_disk_is_told_with_both_places() {
        let said = |code| stopped(Path::new("mail.db"), rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        let full = said(ffi::SQLITE_FULL).to_string();
        for word in ["mail.db: the disk is full", "TMPDIR", "beside it"] {
            assert!(full.contains(word), "{word}: {full}");
        }
        let busy = said(ffi::SQLITE_BUSY).to_string();
        assert!(busy.contains("mail.db: another program") && !busy.contains("TMPDIR"), "{busy}");
    }
}
