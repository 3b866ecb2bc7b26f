//! Owns the wish of a person to be forgotten.
//!
//! Invariants: afterwards no row has the address, its columns or words that name it; counts, states and numbers stay; a hash keeps later
//! lists from bringing the address back, salted with what only this store has; what is overwritten is wiped from the file, and what
//! lies there in room that was given up before is found.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::codec::{self, Place, Result, micros, rank};
use super::counters::Counters;
use super::engine::Db;
use super::{suppression, sweep};
use crate::core::campaign::MessageState;
use crate::store::{Forgotten, StoreError, SuppressionReason};

/// What stands before a hash: no address begins so, since none has a domain of it.
const HASHED: &str = "sha256:";

/// Makes the hash that stands for an address.
#[derive(Debug, Clone)]
pub(super) struct Hash {
    salt: Vec<u8>,
}

impl Hash {
    fn new(conn: &Connection) -> Result<Self> {
        Ok(Self { salt: conn.prepare_cached("SELECT value FROM salt")?.query_row([], |row| row.get(0))? })
    }

    /// `None` where no address is known by its hash alone.
    pub(super) fn where_needed(conn: &Connection) -> Result<Option<Self>> {
        // In key order: `sha256:` up to, not including, `sha256;`.
        let mut statement = conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM suppression WHERE key >= 'sha256:' AND key < 'sha256;')")?;
        let some: bool = statement.query_row([], |row| row.get(0))?;
        if some { Self::new(conn).map(Some) } else { Ok(None) }
    }

    /// The hash of an address key.
    pub(super) fn of(&self, key: &str) -> String {
        let digest = Sha256::new().chain_update(&self.salt).chain_update(key).finalize();
        digest.iter().fold(HASHED.to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }
}

pub(super) fn forget(db: &mut Db, key: &str, now: Timestamp) -> Result<Forgotten> {
    let conn = &db.conn;
    let hash = Hash::new(conn)?.of(key);
    conn.pragma_update(None, "secure_delete", "ON")?;
    let mut forgotten = Forgotten::default();
    let mut counters = Counters::default();
    for (message, campaign, bucket, score) in messages_to(conn, key)? {
        if let Some(place) = sweep::take_out(conn, campaign, bucket, rank(score), message)? {
            cancel(conn, message, now)?;
            counters.leave(campaign, bucket, place);
            counters.enter(campaign, bucket, Place::Final(MessageState::Cancelled));
            forgotten.cancelled += 1;
        } else if conn.prepare_cached("DELETE FROM parked WHERE message = ?1")?.execute([message])? > 0 {
            cancel(conn, message, now)?;
            counters.leave(campaign, bucket, Place::Parked);
            counters.enter(campaign, bucket, Place::Final(MessageState::Cancelled));
            forgotten.cancelled += 1;
        }
        silence(conn, message, key)?;
        conn.prepare_cached("UPDATE message SET key = ?2, address = NULL, columns = '{}' WHERE id = ?1")?
            .execute(params![message, hash])?;
        forgotten.messages += 1;
    }
    counters.flush(conn)?;
    conn.prepare_cached("UPDATE recipient SET key = ?2 WHERE key = ?1")?.execute([key, &hash])?;
    conn.prepare_cached("DELETE FROM mailbox WHERE key = ?1")?.execute([key])?;
    conn.prepare_cached("DELETE FROM unknown_reply WHERE instr(lower(text), ?1) > 0")?.execute([key])?;
    conn.prepare_cached("UPDATE event SET text = replace(text, ?1, '(forgotten)') WHERE instr(text, ?1) > 0")?
        .execute([key])?;
    let words = "text = '', evidence = '', remote = NULL";
    let of_key = format!("UPDATE report SET {words}, key = ?2 WHERE key = ?1");
    forgotten.reports += codec::rows(conn.prepare_cached(&of_key)?.execute([key, &hash])?);
    let of_messages = format!("UPDATE report SET {words} WHERE message IN (SELECT id FROM message WHERE key = ?1)");
    forgotten.reports += codec::rows(conn.prepare_cached(&of_messages)?.execute([&hash])?);
    let entries = conn.prepare_cached("DELETE FROM suppression WHERE key = ?1")?.execute([key])?;
    forgotten.suppressions = codec::rows(entries);
    suppression::add(conn, &hash, SuppressionReason::Forgotten, None, "", now)?;
    conn.pragma_update(None, "secure_delete", "OFF")?;
    Ok(forgotten)
}

fn cancel(conn: &Connection, message: i64, now: Timestamp) -> Result<()> {
    super::intake::finish(conn, message, MessageState::Cancelled, micros(now), "its recipient wished to be forgotten")
}

/// Message, campaign, bucket and score of everything to an address.
fn messages_to(conn: &Connection, key: &str) -> Result<Vec<(i64, i64, i64, i64)>> {
    let mut statement = conn.prepare_cached("SELECT id, campaign, bucket, score FROM message WHERE key = ?1")?;
    let rows = statement.query_map([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Removes words that name the address from what is remembered of a message.
fn silence(conn: &Connection, message: i64, key: &str) -> Result<()> {
    for sql in [
        "UPDATE final SET because = NULL WHERE message = ?1 AND instr(lower(because), ?2) > 0",
        "UPDATE tried SET note = NULL WHERE message = ?1 AND instr(lower(note), ?2) > 0",
    ] {
        conn.prepare_cached(sql)?.execute(params![message, key])?;
    }
    let mut next: Option<i64> = conn
        .prepare_cached(
            "SELECT coalesce((SELECT last_attempt FROM final WHERE message = ?1),
                (SELECT last_attempt FROM claimed WHERE message = ?1), (SELECT last_attempt FROM tried WHERE message = ?1))",
        )?
        .query_row([message], |row| row.get(0))?;
    while let Some(id) = next {
        let before: Option<Option<i64>> = conn
            .prepare_cached(
                "UPDATE attempt SET text = CASE WHEN instr(lower(text), ?3) > 0 THEN '(forgotten)' ELSE text END
                 WHERE id = ?1 AND message = ?2 RETURNING before",
            )?
            .query_row(params![id, message, key], |row| row.get(0))
            .optional()?;
        next = before.flatten().filter(|b| *b < id);
    }
    Ok(())
}

/// Writes the log into the file and empties it, so that no copy of what was wiped stays there. Beside a long reader some of it stays
/// until that one has ended: the next transaction that finds nobody reading overwrites it.
pub(super) fn empty_the_log(path: &Path) -> Result<()> {
    let conn = rusqlite::Connection::open(path)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(StoreError::from)
}

/// How much of the file is looked at at once, octets.
const PIECE: usize = 1 << 20;

/// Whether the file has an address in any place. SQLite moves rows between pages as a table grows, and leaves what it copied in the
/// room that becomes free; nothing short of writing the file anew wipes that.
pub(super) fn has_a_copy(path: &Path, key: &str) -> Result<bool> {
    let failed = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let finder = memchr::memmem::Finder::new(key);
    let mut piece = vec![0; PIECE + key.len()];
    // What of the piece before may begin an address that ends in the next one.
    let mut kept = 0;
    loop {
        let read = file.read(&mut piece[kept..]).map_err(failed)?;
        if read == 0 {
            return Ok(false);
        }
        let filled = kept + read;
        piece[kept..filled].make_ascii_lowercase();
        if finder.find(&piece[..filled]).is_some() {
            return Ok(true);
        }
        kept = key.len().min(filled);
        piece.copy_within(filled - kept..filled, 0);
    }
}
