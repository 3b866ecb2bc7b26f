//! Owns the suppression list.
//!
//! Invariants: every entry holds everything but an unsubscribe, which holds mail of its sending domain (or of all, when it names
//! none) and never transactional mail; an address that is forgotten is known by its hash alone.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::codec::{self, Result, micros};
use super::engine::Db;
use super::forget;
use crate::core::campaign::Class;
use crate::store::{Suppression, SuppressionReason};

/// Looks whether an address is held back from one campaign's mail.
#[derive(Debug)]
pub(super) struct Screen {
    class: Class,
    senders: Vec<String>,
    /// There are no entries at all: nothing to look up.
    empty: bool,
    /// Makes hashes, where some address is known by its hash alone.
    hash: Option<forget::Hash>,
}

impl Screen {
    /// `senders`: the domains under which the mail is sent.
    pub(super) fn new(conn: &Connection, class: Class, senders: &[&str]) -> Result<Self> {
        let mut statement = conn.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM suppression)")?;
        let empty = statement.query_row([], |row| row.get(0))?;
        let domain = |s: &&str| s.rsplit_once('@').map_or(*s, |(_, domain)| domain).to_ascii_lowercase();
        let hash = if empty { None } else { forget::Hash::where_needed(conn)? };
        Ok(Self { class, senders: senders.iter().map(domain).collect(), empty, hash })
    }

    /// Why `key` is held back, in words.
    pub(super) fn holds(&self, conn: &Connection, key: &str) -> Result<Option<String>> {
        if self.empty {
            return Ok(None);
        }
        let hashed = self.hash.as_ref().map(|hash| hash.of(key));
        let mut statement =
            conn.prepare_cached("SELECT key, reason, sender, note, since FROM suppression WHERE key IN (?1, ?2)")?;
        let mut rows = statement.query([Some(key), hashed.as_deref()])?;
        while let Some(row) = rows.next()? {
            let entry = entry(row)?;
            let holds = match entry.reason {
                SuppressionReason::Unknown
                | SuppressionReason::Complaint
                | SuppressionReason::Manual
                | SuppressionReason::Mailbox
                | SuppressionReason::Forgotten => true,
                SuppressionReason::Unsubscribe => {
                    self.class != Class::Transactional && entry.sender.as_ref().is_none_or(|s| self.senders.contains(s))
                }
            };
            if holds {
                let of = entry.sender.map(|s| format!(" from {s}")).unwrap_or_default();
                let note = if entry.note.is_empty() { String::new() } else { format!(": {}", entry.note) };
                return Ok(Some(format!("{}{of} since {}{note}", entry.reason.as_str(), entry.since)));
            }
        }
        Ok(None)
    }
}

fn entry(row: &Row<'_>) -> Result<Suppression> {
    let sender: String = row.get(2)?;
    Ok(Suppression {
        key: row.get(0)?,
        reason: codec::reason(row.get(1)?)?,
        sender: (!sender.is_empty()).then_some(sender),
        note: row.get(3)?,
        since: codec::timestamp(row.get(4)?)?,
    })
}

/// Adds one entry; false when it was there.
pub(super) fn add(
    conn: &Connection,
    key: &str,
    reason: SuppressionReason,
    sender: Option<&str>,
    note: &str,
    since: Timestamp,
) -> Result<bool> {
    let added = conn
        .prepare_cached(
            "INSERT INTO suppression (key, reason, sender, note, since) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key,
            codec::reason_code(reason),
            sender.unwrap_or_default().to_ascii_lowercase(),
            note,
            micros(since)
        ])?;
    Ok(added > 0)
}

pub(super) fn suppress(db: &mut Db, entries: &[Suppression]) -> Result<u64> {
    let mut new = 0;
    for e in entries {
        new += u64::from(add(&db.conn, &e.key, e.reason, e.sender.as_deref(), &e.note, e.since)?);
    }
    Ok(new)
}

pub(super) fn unsuppress(db: &mut Db, key: &str) -> Result<u64> {
    Ok(codec::rows(db.conn.prepare_cached("DELETE FROM suppression WHERE key = ?1")?.execute([key])?))
}

/// A page of the list. All entries of a key are on one page, so that `after` never skips one.
pub(super) fn list(db: &mut Db, key: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<Suppression>> {
    let mut page = Vec::new();
    let mut read = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| -> Result<()> {
        let mut statement = db.conn.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            page.push(entry(row)?);
        }
        Ok(())
    };
    const COLUMNS: &str = "SELECT key, reason, sender, note, since FROM suppression";
    if let Some(key) = key {
        read(
            &format!("{COLUMNS} WHERE key = ?1 AND key > ?2 ORDER BY key, reason, sender"),
            &[&key, &after.unwrap_or_default()],
        )?;
    } else {
        read(
            &format!(
                "{COLUMNS} WHERE key IN (SELECT DISTINCT key FROM suppression WHERE key > ?1 ORDER BY key LIMIT ?2)
                 ORDER BY key, reason, sender"
            ),
            &[&after.unwrap_or_default(), &limit],
        )?;
    }
    Ok(page)
}
