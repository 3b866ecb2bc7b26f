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

/// Writes the file anew, on a connection of its own: within a transaction, where verbs live, SQLite cannot do it.
pub(super) fn compact(path: &Path) -> Result<Space> {
    let conn = open::connect(path, Purpose::Write, Limits::default())?;
    let named = |error: rusqlite::Error| match StoreError::from(error) {
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
        other => other,
    };
    prepare(&conn)?;
    conn.execute_batch("VACUUM").map_err(named)?;
    // The new pages lie in the log until then. Somebody who reads may hold it up; the next checkpoint does the rest.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(named)?;
    look(&conn)
}
