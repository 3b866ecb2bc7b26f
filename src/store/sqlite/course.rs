//! Owns plan days, orders about lanes, and the journal.
//!
//! Invariants: what a relay's owner decided is one transaction, fenced by its lease; the journal only grows; an order is done once.

use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::codec::{self, Result, day_code, micros};
use super::engine::Db;
use super::lease::{self, LEDGER, LEDGER_FROM, fence};
use super::names::Names;
use crate::core::journal::{Entry, Kind};
use crate::core::lane::{Ledger, Verdict};
use crate::core::names::{BucketName, CampaignName, LaneKey, RelayName};
use crate::core::reply::{Action, Reason};
use crate::core::schedule::Course;
use crate::store::{Courses, JournalFilter, LaneOrder, Lease, Rolled, StoreError, UnknownsOf};

/// Entries of the journal that are kept: at 50 lanes this is more than ten years.
const ENTRIES_MOST: i64 = 1_000_000;

pub(super) fn roll(db: &mut Db, lease: &Lease, rolled: &Rolled, now: Timestamp) -> Result<()> {
    let relay = fence(db, lease)?;
    let Db { conn, names } = db;
    for verdict in &rolled.verdicts {
        write_verdict(conn, names, relay, verdict, now)?;
    }
    let amended = |v: &Verdict| {
        let same = |e: &Entry| e.kind == Kind::Amended && e.bucket.as_ref() == Some(&v.bucket) && e.day == Some(v.day);
        rolled.entries.iter().any(same)
    };
    for verdict in rolled.verdicts.iter().filter(|verdict| !amended(verdict)) {
        write_entry(conn, names, &entry_of(&lease.relay, verdict, now))?;
    }
    for ledger in &rolled.ledgers {
        write_ledger(conn, names, relay, ledger)?;
    }
    for entry in &rolled.entries {
        write_entry(conn, names, entry)?;
    }
    for order in &rolled.orders {
        conn.prepare_cached("DELETE FROM lane_order WHERE id = ?1 AND relay = ?2")?.execute([*order, relay])?;
    }
    Ok(())
}

fn entry_of(relay: &RelayName, v: &Verdict, now: Timestamp) -> Entry {
    Entry {
        at: now,
        by: "gate".to_owned(),
        relay: Some(relay.clone()),
        bucket: Some(v.bucket.clone()),
        day: Some(v.day),
        kind: Kind::Verdict,
        because: format!("{}: {}", v.kind.as_str(), v.because),
        inputs: v.inputs.clone(),
        before: format!("warm-up day {}", v.before),
        after: format!("warm-up day {}", v.after),
    }
}

fn write_verdict(conn: &Connection, names: &mut Names, relay: i64, v: &Verdict, now: Timestamp) -> Result<()> {
    let bucket = names.id(conn, v.bucket.as_str())?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO verdict (relay, bucket, day, days, kind, before, after, because, at, inputs)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        relay,
        bucket,
        day_code(v.day),
        v.days,
        codec::verdict_code(v.kind),
        v.before,
        v.after,
        v.because,
        micros(now),
        json(&v.inputs)?,
    ])?;
    Ok(())
}

fn write_ledger(conn: &Connection, names: &mut Names, relay: i64, l: &Ledger) -> Result<()> {
    let bucket = names.id(conn, l.bucket.as_str())?;
    // What was spent, and how it was answered, is known to claims and settles only.
    conn.prepare_cached(
        "INSERT INTO ledger (relay, bucket, day, warmup_day, quota, quota_peak, emptied, idle, peak, ceiling, held, eased,
                eased_because)
         VALUES (?1, ?2, ?3, ?4, ?5, max(?5, ?6), ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT DO UPDATE SET warmup_day = excluded.warmup_day, quota = excluded.quota,
            quota_peak = max(quota_peak, excluded.quota_peak), emptied = max(emptied, excluded.emptied), idle = excluded.idle,
            peak = excluded.peak, ceiling = excluded.ceiling, held = excluded.held, eased = excluded.eased,
            eased_because = excluded.eased_because",
    )?
    .execute(params![
        relay,
        bucket,
        day_code(l.day),
        l.warmup_day,
        l.quota,
        l.quota_peak,
        l.emptied,
        l.ramp.idle,
        l.ramp.peak,
        l.ramp.ceiling,
        l.ramp.held,
        l.ramp.eased,
        l.ramp.eased_because,
    ])?;
    Ok(())
}

fn json(inputs: &std::collections::BTreeMap<String, String>) -> Result<String> {
    serde_json::to_string(inputs)
        .map_err(|error| StoreError::Refused(format!("the figures cannot be written: {error}")))
}

pub(super) fn note(db: &mut Db, entries: &[Entry]) -> Result<()> {
    let Db { conn, names } = db;
    entries.iter().try_for_each(|entry| write_entry(conn, names, entry))
}

fn write_entry(conn: &Connection, names: &mut Names, e: &Entry) -> Result<()> {
    let relay = e.relay.as_ref().map(|relay| names.id(conn, relay.as_str())).transpose()?;
    let bucket = e.bucket.as_ref().map(|bucket| names.id(conn, bucket.as_str())).transpose()?;
    conn.prepare_cached(
        "INSERT INTO journal (at, by, relay, bucket, day, kind, because, inputs, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        micros(e.at),
        e.by,
        relay,
        bucket,
        e.day.map(day_code),
        e.kind.as_str(),
        e.because,
        json(&e.inputs)?,
        e.before,
        e.after,
    ])?;
    let oldest = conn.last_insert_rowid() - ENTRIES_MOST;
    if oldest > 0 {
        conn.prepare_cached("DELETE FROM journal WHERE id <= ?1")?.execute([oldest])?;
    }
    Ok(())
}

pub(super) fn journal(db: &mut Db, filter: &JournalFilter, limit: u32) -> Result<Vec<(i64, Entry)>> {
    let Db { conn, names } = db;
    let relay = names.narrowed(conn, filter.relay.as_ref().map(RelayName::as_str))?;
    let bucket = names.narrowed(conn, filter.bucket.as_ref().map(BucketName::as_str))?;
    let (Some(relay), Some(bucket)) = (relay, bucket) else { return Ok(Vec::new()) };
    let mut statement = conn.prepare_cached(
        "SELECT id, at, by, relay, bucket, day, kind, because, inputs, before, after FROM journal
         WHERE (?1 IS NULL OR relay = ?1) AND (?2 IS NULL OR bucket = ?2) AND (?3 IS NULL OR kind = ?3)
           AND (?4 IS NULL OR day = ?4) AND (?5 IS NULL OR at >= ?5) ORDER BY id DESC LIMIT ?6",
    )?;
    let mut rows = statement.query(params![
        relay,
        bucket,
        filter.kind.map(Kind::as_str),
        filter.day.map(day_code),
        filter.since.map(micros),
        limit
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, entry(conn, names, row)?));
    }
    Ok(found)
}

fn entry(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<Entry> {
    let (relay, bucket): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
    let (kind, inputs): (String, String) = (row.get(6)?, row.get(8)?);
    Ok(Entry {
        at: codec::timestamp(row.get(1)?)?,
        by: row.get(2)?,
        relay: relay.map(|relay| names.relay(conn, relay)).transpose()?,
        bucket: bucket.map(|bucket| names.bucket(conn, bucket)).transpose()?,
        day: row.get::<_, Option<i64>>(5)?.map(codec::day).transpose()?,
        kind: Kind::of(&kind).ok_or_else(|| codec::damaged("the kind of a journal entry", &kind))?,
        because: row.get(7)?,
        inputs: inputs_of(&inputs)?,
        before: row.get(9)?,
        after: row.get(10)?,
    })
}

pub(super) fn inputs_of(text: &str) -> Result<std::collections::BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|_| codec::damaged("the figures of a decision", text))
}

pub(super) fn order_lane(db: &mut Db, order: &LaneOrder) -> Result<()> {
    let Db { conn, names } = db;
    let relay = names.id(conn, order.lane.relay.as_str())?;
    let bucket = names.id(conn, order.lane.bucket.as_str())?;
    let day = match order.course {
        Course::SetDay(day) => Some(day),
        Course::Hold | Course::GoOn | Course::Lift => None,
    };
    conn.prepare_cached(
        "INSERT INTO lane_order (at, relay, bucket, course, warmup_day, by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![micros(order.at), relay, bucket, order.course.as_str(), day, order.by, order.reason])?;
    Ok(())
}

/// Ledgers since `since`, and the orders that wait.
pub(super) fn courses(db: &mut Db, relay: &RelayName, since: Date) -> Result<Courses> {
    let Some(id) = db.names.find(&db.conn, relay.as_str())? else { return Ok(Courses::default()) };
    let Db { conn, names } = db;
    let mut courses = Courses::default();
    let mut statement =
        conn.prepare_cached(&format!("SELECT {LEDGER} FROM {LEDGER_FROM} WHERE l.relay = ?1 AND l.day >= ?2"))?;
    let mut rows = statement.query([id, day_code(since)])?;
    while let Some(row) = rows.next()? {
        let bucket = names.bucket(conn, row.get(0)?)?;
        courses.ledgers.push(lease::ledger_row(row, bucket)?);
    }
    let mut statement = conn.prepare_cached(
        "SELECT id, at, bucket, course, warmup_day, by, reason FROM lane_order WHERE relay = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let word: String = row.get(3)?;
        let day: Option<u32> = row.get(4)?;
        let course = match (word.as_str(), day) {
            ("hold", _) => Course::Hold,
            ("go-on", _) => Course::GoOn,
            ("lift", _) => Course::Lift,
            ("set-day", Some(day)) => Course::SetDay(day),
            _ => return Err(codec::damaged("an order about a lane", &word)),
        };
        let lane = LaneKey { relay: relay.clone(), bucket: names.bucket(conn, row.get(2)?)? };
        let at = codec::timestamp(row.get(1)?)?;
        courses.orders.push((row.get(0)?, LaneOrder { at, lane, course, by: row.get(5)?, reason: row.get(6)? }));
    }
    Ok(courses)
}

/// Days of a relay that were judged lately, oldest first.
pub(super) fn judged_days(
    conn: &Connection,
    names: &mut Names,
    relay: i64,
    since: Date,
) -> Result<Vec<(Ledger, Verdict)>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {LEDGER}, v.days, v.kind, v.before, v.after, v.because, v.inputs FROM {LEDGER_FROM}
         JOIN verdict v ON v.relay = l.relay AND v.bucket = l.bucket AND v.day = l.day
         WHERE l.relay = ?1 AND l.day >= ?2 AND l.spent > 0 ORDER BY l.day"
    ))?;
    let mut rows = statement.query([relay, day_code(since)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let bucket = names.bucket(conn, row.get(0)?)?;
        let ledger = lease::ledger_row(row, bucket.clone())?;
        let at = lease::LEDGER_COLUMNS;
        let inputs: String = row.get(at + 5)?;
        let verdict = Verdict {
            bucket,
            day: ledger.day,
            days: row.get(at)?,
            kind: codec::verdict(row.get(at + 1)?)?,
            before: row.get(at + 2)?,
            after: row.get(at + 3)?,
            because: row.get(at + 4)?,
            inputs: inputs_of(&inputs)?,
        };
        found.push((ledger, verdict));
    }
    Ok(found)
}

/// Campaigns whose mail met unknown users on a lane's plan day, in the session and beyond the relay, the most first.
pub(super) fn unknowns(db: &mut Db, lane: &LaneKey, day: Date) -> Result<Vec<UnknownsOf>> {
    let Db { conn, names } = db;
    let (Some(relay), Some(bucket)) = (names.find(conn, lane.relay.as_str())?, names.find(conn, lane.bucket.as_str())?)
    else {
        return Ok(Vec::new());
    };
    let mut statement = conn.prepare_cached(
        "SELECT c.name, r.content, count(*) n FROM (
             SELECT m.campaign FROM attempt a JOIN message m ON m.id = a.message
             WHERE a.relay = ?1 AND a.bucket = ?2 AND a.day = ?3 AND a.action = ?4
             UNION ALL
             SELECT campaign FROM report
             WHERE relay = ?1 AND bucket = ?2 AND day = ?3 AND reason = ?5 AND counts AND campaign IS NOT NULL) u
         JOIN campaign c ON c.id = u.campaign JOIN revision r ON r.id = c.revision
         GROUP BY c.id ORDER BY n DESC, c.id LIMIT 20",
    )?;
    let parameters: [&dyn ToSql; 5] =
        [&relay, &bucket, &day_code(day), &codec::action_code(Action::Suppress), &codec::why_code(Reason::UserUnknown)];
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let campaign = CampaignName::new(&name).map_err(|_| codec::damaged("the campaign name", &name))?;
        found.push(UnknownsOf { campaign, content: row.get(1)?, n: codec::many(row.get(2)?)? });
    }
    Ok(found)
}

/// The attempt before a claim's, where it was on the same lane and plan day and counted: whether it was put off.
pub(super) fn earlier_today(conn: &Connection, attempt: Option<i64>, lane: (i64, i64, i64)) -> Result<Option<bool>> {
    let Some(attempt) = attempt else { return Ok(None) };
    let mut statement = conn.prepare_cached(
        "SELECT put_off FROM attempt WHERE id = ?1 AND relay = ?2 AND bucket = ?3 AND day = ?4 AND counted",
    )?;
    Ok(statement.query_row(params![attempt, lane.0, lane.1, lane.2], |row| row.get(0)).optional()?)
}
