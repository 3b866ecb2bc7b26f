//! Owns the counts of messages per campaign, bucket and place.
//!
//! Invariant: every movement of a message passes `Counters`, in the transaction that moves it; a count never falls below zero
//! (the table refuses it).

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::codec::{Place, Result};

/// Changes of one transaction, written once at its end.
#[derive(Debug, Default)]
pub(super) struct Counters {
    changes: BTreeMap<(i64, i64, i64), i64>,
}

impl Counters {
    /// A message came into `place`.
    pub(super) fn enter(&mut self, campaign: i64, bucket: i64, place: Place) {
        *self.changes.entry((campaign, bucket, place.code())).or_default() += 1;
    }

    /// A message left `place`.
    pub(super) fn leave(&mut self, campaign: i64, bucket: i64, place: Place) {
        *self.changes.entry((campaign, bucket, place.code())).or_default() -= 1;
    }

    /// Writes the changes.
    pub(super) fn flush(self, conn: &Connection) -> Result<()> {
        let mut update =
            conn.prepare_cached("UPDATE counter SET n = n + ?4 WHERE campaign = ?1 AND bucket = ?2 AND place = ?3")?;
        let mut insert =
            conn.prepare_cached("INSERT INTO counter (campaign, bucket, place, n) VALUES (?1, ?2, ?3, ?4)")?;
        for ((campaign, bucket, place), n) in self.changes.into_iter().filter(|(_, n)| *n != 0) {
            if update.execute(params![campaign, bucket, place, n])? == 0 {
                insert.execute(params![campaign, bucket, place, n])?;
            }
        }
        Ok(())
    }
}
