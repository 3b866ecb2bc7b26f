//! Owns leases, what a relay's owner must remember, and what happens to a dead owner's claims.
//!
//! Invariants: a token grows with every acquisition and never falls; quota of a dead owner's claims stays spent; such a claim
//! is retried once and parked the second time.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{self, Place, Result, micros};
use super::counters::Counters;
use super::engine::Db;
use super::{course, heard, orders};
use crate::core::lane::{Ledger, Ramp, Showing};
use crate::core::names::{BucketName, RelayName};
use crate::store::{Lease, PlanRevision, Recovered, RelayMemory, StoreError};

const PERHAPS_SENT: &str = "perhaps sent: its worker ended while it was in the air";

/// Takes a relay whose lock the caller holds.
pub(super) fn acquire(
    db: &mut Db,
    relay: &RelayName,
    owner: &str,
    retry_at: Timestamp,
    park: bool,
    now: Timestamp,
) -> Result<(Lease, Recovered)> {
    let id = db.names.id(&db.conn, relay.as_str())?;
    let token: i64 = db
        .conn
        .prepare_cached(
            "INSERT INTO lease (relay, token, owner, since) VALUES (?1, 1, ?2, ?3)
             ON CONFLICT DO UPDATE SET token = token + 1, owner = excluded.owner, since = excluded.since
             RETURNING token",
        )?
        .query_row(params![id, owner, micros(now)], |row| row.get(0))?;
    let recovered = recover(&db.conn, id, micros(retry_at), park, micros(now))?;
    Ok((Lease { relay: relay.clone(), token }, recovered))
}

/// A claim that an owner left behind.
struct Orphan {
    message: i64,
    campaign: i64,
    bucket: i64,
    rank: i64,
    claimed_at: i64,
    attempts: i64,
    first_attempt: Option<i64>,
    uncertain: i64,
    last_attempt: Option<i64>,
}

fn orphans(conn: &Connection, relay: i64) -> Result<Vec<Orphan>> {
    let mut statement = conn.prepare_cached(
        "SELECT message, campaign, bucket, rank, claimed_at, attempts, first_attempt, uncertain, last_attempt
         FROM claimed WHERE relay = ?1 ORDER BY message",
    )?;
    let mut rows = statement.query([relay])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Orphan {
            message: row.get(0)?,
            campaign: row.get(1)?,
            bucket: row.get(2)?,
            rank: row.get(3)?,
            claimed_at: row.get(4)?,
            attempts: row.get(5)?,
            first_attempt: row.get(6)?,
            uncertain: row.get(7)?,
            last_attempt: row.get(8)?,
        });
    }
    Ok(found)
}

fn recover(conn: &Connection, relay: i64, retry_at: i64, park: bool, now: i64) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let orphans = orphans(conn, relay)?;
    if orphans.is_empty() {
        return Ok(recovered);
    }
    conn.prepare_cached(
        "INSERT INTO lost (message, relay, bucket, day, warmup_day, token, claimed_at, at)
         SELECT message, relay, bucket, day, warmup_day, token, claimed_at, ?2 FROM claimed WHERE relay = ?1",
    )?
    .execute([relay, now])?;
    conn.prepare_cached("DELETE FROM claimed WHERE relay = ?1")?.execute([relay])?;
    let mut counters = Counters::default();
    for o in orphans {
        let tried = Tried {
            attempts: o.attempts + 1,
            first_attempt: o.first_attempt.unwrap_or(o.claimed_at),
            uncertain: o.uncertain + 1,
            last_attempt: o.last_attempt,
            relay,
            at: now,
            note: Some(PERHAPS_SENT),
        };
        tried.write(conn, o.message)?;
        let place = if park || o.uncertain > 0 {
            set_parked(conn, o.message, (o.campaign, o.bucket, o.rank), now, PERHAPS_SENT)?;
            recovered.parked += 1;
            Place::Parked
        } else {
            wait_until(conn, o.message, (o.campaign, o.bucket, o.rank), retry_at)?;
            recovered.retried += 1;
            Place::Later
        };
        counters.leave(o.campaign, o.bucket, Place::Claimed);
        counters.enter(o.campaign, o.bucket, place);
    }
    counters.flush(conn)?;
    Ok(recovered)
}

/// What is remembered of a message that was tried and is not final.
pub(super) struct Tried<'a> {
    pub(super) attempts: i64,
    pub(super) first_attempt: i64,
    pub(super) uncertain: i64,
    pub(super) last_attempt: Option<i64>,
    pub(super) relay: i64,
    pub(super) at: i64,
    pub(super) note: Option<&'a str>,
}

impl Tried<'_> {
    pub(super) fn write(&self, conn: &Connection, message: i64) -> Result<()> {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO tried (message, attempts, first_attempt, uncertain, last_attempt, relay, at, note)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            message,
            self.attempts,
            self.first_attempt,
            self.uncertain,
            self.last_attempt,
            self.relay,
            self.at,
            self.note
        ])?;
        Ok(())
    }
}

/// Lets a message wait for its time. `line`: campaign, bucket, rank.
pub(super) fn wait_until(conn: &Connection, message: i64, line: (i64, i64, i64), due: i64) -> Result<()> {
    conn.prepare_cached("INSERT INTO later (due, message, campaign, bucket, rank) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute([due, message, line.0, line.1, line.2])?;
    Ok(())
}

/// Lets a message wait for the operator. `line`: campaign, bucket, rank.
pub(super) fn set_parked(conn: &Connection, message: i64, line: (i64, i64, i64), at: i64, because: &str) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO parked (message, campaign, bucket, rank, at, because) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![message, line.0, line.1, line.2, at, because])?;
    Ok(())
}

/// Number of the relay when the lease is the newest.
pub(super) fn fence(db: &mut Db, lease: &Lease) -> Result<i64> {
    let relay = db.names.id(&db.conn, lease.relay.as_str())?;
    let held: Option<(i64, Option<String>)> = db
        .conn
        .prepare_cached("SELECT token, owner FROM lease WHERE relay = ?1")?
        .query_row([relay], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match held {
        Some((token, Some(_))) if token == lease.token => Ok(relay),
        other => Err(StoreError::LeaseLost { relay: lease.relay.clone(), holder: other.and_then(|(_, owner)| owner) }),
    }
}

/// Who holds a relay, in words.
pub(super) fn holder(db: &mut Db, relay: &RelayName) -> Result<Option<String>> {
    let Some(id) = db.names.find(&db.conn, relay.as_str())? else { return Ok(None) };
    let mut statement = db.conn.prepare_cached("SELECT owner FROM lease WHERE relay = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?.flatten())
}

pub(super) fn release(db: &mut Db, lease: &Lease) -> Result<()> {
    let relay = fence(db, lease)?;
    db.conn.prepare_cached("UPDATE lease SET owner = NULL WHERE relay = ?1")?.execute([relay])?;
    Ok(())
}

/// Columns of a ledger and of what came back for it, in the order that [`ledger_row`] reads, from [`LEDGER_FROM`].
pub(super) const LEDGER: &str = "l.bucket, l.day, l.warmup_day, l.quota, l.quota_peak, l.spent, l.spent_retries,
    l.spent_transactional, l.accepted, l.deferred, l.bounced, l.emptied, l.tried, l.put_off, l.unknown, l.blocks, l.idle, l.peak,
    l.ceiling, l.held, l.eased, l.eased_because, coalesce(h.put_off, 0), coalesce(h.bounced, 0), coalesce(h.unknown, 0),
    coalesce(h.complaints, 0), coalesce(h.blocks, 0)";

/// How many they are.
pub(super) const LEDGER_COLUMNS: usize = 27;

/// Where they come from.
pub(super) const LEDGER_FROM: &str =
    "ledger l LEFT JOIN health h ON h.relay = l.relay AND h.bucket = l.bucket AND h.day = l.day";

/// Reads a ledger; `row` begins with the columns of [`LEDGER`].
pub(super) fn ledger_row(row: &rusqlite::Row<'_>, bucket: BucketName) -> Result<Ledger> {
    let (accepted, bounced) = (row.get(8)?, row.get(10)?);
    let session = Showing {
        tried: row.get(12)?,
        accepted,
        put_off: row.get(13)?,
        bounced,
        unknown: row.get(14)?,
        complaints: 0,
        blocks: row.get(15)?,
    };
    let beyond = Showing {
        tried: 0,
        accepted: 0,
        put_off: row.get(22)?,
        bounced: row.get(23)?,
        unknown: row.get(24)?,
        complaints: row.get(25)?,
        blocks: row.get(26)?,
    };
    Ok(Ledger {
        bucket,
        day: codec::day(row.get(1)?)?,
        warmup_day: row.get(2)?,
        quota: row.get(3)?,
        quota_peak: row.get(4)?,
        spent: row.get(5)?,
        spent_retries: row.get(6)?,
        spent_transactional: row.get(7)?,
        accepted,
        deferred: row.get(9)?,
        bounced,
        emptied: row.get(11)?,
        showing: session.with(beyond),
        ramp: Ramp {
            idle: row.get(16)?,
            peak: row.get(17)?,
            ceiling: row.get(18)?,
            held: row.get(19)?,
            eased: row.get(20)?,
            eased_because: row.get(21)?,
        },
    })
}

pub(super) fn memory(db: &mut Db, lease: &Lease, now: Timestamp) -> Result<RelayMemory> {
    let Some(relay) = db.names.find(&db.conn, lease.relay.as_str())? else { return Ok(RelayMemory::default()) };
    let Db { conn, names } = db;
    let mut memory = RelayMemory::default();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {LEDGER} FROM {LEDGER_FROM} WHERE l.relay = ?1
         AND l.day = (SELECT max(day) FROM ledger n WHERE n.relay = l.relay AND n.bucket = l.bucket) ORDER BY l.bucket"
    ))?;
    let mut rows = statement.query([relay])?;
    while let Some(row) = rows.next()? {
        let bucket = names.bucket(conn, row.get(0)?)?;
        memory.ledgers.push(ledger_row(row, bucket)?);
    }
    let since = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let mut statement = conn.prepare_cached(
        "SELECT bucket, start, n FROM cell WHERE start >= ?1 AND relay = ?2 AND n > 0 ORDER BY start",
    )?;
    let mut rows = statement.query([codec::cell_start(micros(since)), relay])?;
    while let Some(row) = rows.next()? {
        memory.cells.push((names.bucket(conn, row.get(0)?)?, codec::timestamp(row.get(1)?)?, row.get(2)?));
    }
    memory.pauses = orders::recent_pauses(conn, &lease.relay, now)?;
    memory.heard = heard::acted(conn, relay)?;
    // Plan days in UTC: a day more than late answers can still change.
    let days_ago = now.checked_sub(SignedDuration::from_hours(4 * 24)).unwrap_or(Timestamp::MIN);
    let since = days_ago.to_zoned(jiff::tz::TimeZone::UTC).date();
    memory.judged = course::judged_days(conn, names, relay, since)?;
    Ok(memory)
}

/// Replaces what a relay says that it can still send.
pub(super) fn write_needs(db: &mut Db, relay: &RelayName, needs: &[(BucketName, u32)], until: Timestamp) -> Result<()> {
    let Db { conn, names } = db;
    let relay = names.id(conn, relay.as_str())?;
    conn.prepare_cached("DELETE FROM need WHERE relay = ?1")?.execute([relay])?;
    for (bucket, n) in needs {
        let bucket = names.id(conn, bucket.as_str())?;
        conn.prepare_cached("INSERT OR REPLACE INTO need (relay, bucket, n, until) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![relay, bucket, n, micros(until)])?;
    }
    Ok(())
}

pub(super) fn record_plan(db: &mut Db, relay: &RelayName, plan: &PlanRevision, now: Timestamp) -> Result<bool> {
    let id = db.names.id(&db.conn, relay.as_str())?;
    let last: Option<(String, String)> = db
        .conn
        .prepare_cached("SELECT name, text FROM plan WHERE relay = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if last.is_some_and(|(name, text)| name == plan.name.as_str() && text == plan.text) {
        return Ok(false);
    }
    db.conn
        .prepare_cached("INSERT INTO plan (relay, at, name, text, by) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![id, micros(now), plan.name.as_str(), plan.text, plan.by])?;
    Ok(true)
}
