//! Owns retention: details of messages and attempts that become counts.
//!
//! Invariants: only campaigns that ended are folded, so that no key is forgotten that a resubmission could bring again; what
//! is counted stays countable (`counter` is not touched, `folded` and `folded_attempt` take what the rows said); one
//! transaction touches a bounded number of rows; the newest message stays, since SQLite gives the number after the highest
//! to the next one, and numbers are in Message-IDs and tokens for ever.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codec::{self, Result, day_code, micros};
use super::engine::Db;
use crate::core::campaign::{CampaignId, MessageId};
use crate::core::names::CampaignName;
use crate::store::{FoldOrder, Folded, FoldedRow};

/// Messages of a campaign that may be folded, the oldest first. The campaign is parameter 1.
const FINAL: &str = "FROM message m CROSS JOIN final f ON f.message = m.id
    WHERE m.campaign = ?1 AND m.id < (SELECT max(id) FROM message)";

/// The campaign that ended first and has something to fold.
pub(super) fn next_campaign(db: &mut Db, before: Timestamp) -> Result<Option<CampaignId>> {
    let mut statement = db.conn.prepare_cached(
        "SELECT c.id FROM campaign c WHERE c.ended <= ?1 AND EXISTS (SELECT 1 FROM message m JOIN final f ON f.message = m.id
            WHERE m.campaign = c.id AND m.id < (SELECT max(id) FROM message))
         ORDER BY c.ended, c.id LIMIT 1",
    )?;
    Ok(statement.query_row([micros(before)], |row| row.get(0)).optional()?.map(CampaignId))
}

/// A message to fold.
struct Candidate {
    message: i64,
    bucket: i64,
    state: i64,
    at: i64,
    last_attempt: Option<i64>,
}

fn candidates(conn: &Connection, campaign: CampaignId, limit: u32) -> Result<Vec<Candidate>> {
    let sql = format!("SELECT m.id, m.bucket, f.state, f.at, f.last_attempt {FINAL} ORDER BY m.id LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![campaign.0, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Candidate {
            message: row.get(0)?,
            bucket: row.get(1)?,
            state: row.get(2)?,
            at: row.get(3)?,
            last_attempt: row.get(4)?,
        });
    }
    Ok(found)
}

/// Relay, bucket, plan day and warm-up day of an attempt.
type LaneDay = [i64; 4];

/// Counts of one transaction, written once at its end.
#[derive(Default)]
struct Counts {
    /// By bucket, state and day.
    messages: BTreeMap<[i64; 3], i64>,
    /// Attempts, those that count, and lost claims.
    attempts: BTreeMap<LaneDay, [i64; 3]>,
    rows: u64,
    done: Folded,
}

/// Folds a part of one campaign; nothing that ended after `order.before`. What has ended never begins again.
pub(super) fn fold(db: &mut Db, campaign: CampaignId, order: &FoldOrder) -> Result<Folded> {
    let conn = &db.conn;
    let found = candidates(conn, campaign, order.limit)?;
    // The end was noted by a clock that stood wrong: the campaign waits its time from its newest message on.
    if let Some(late) = found.iter().map(|c| c.at).filter(|at| *at > micros(order.before)).max() {
        conn.prepare_cached("UPDATE campaign SET ended = max(ended, ?2) WHERE id = ?1")?.execute([campaign.0, late])?;
        return Ok(Folded { more: true, ..Folded::default() });
    }
    let mut counts = Counts::default();
    for candidate in found {
        if counts.rows >= u64::from(order.limit) {
            break;
        }
        counts.take(conn, &candidate, &order.zone)?;
    }
    counts.write(conn, campaign)?;
    counts.done.more = counts.done.messages > 0;
    Ok(counts.done)
}

fn lane_day(row: &Row<'_>) -> rusqlite::Result<LaneDay> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
}

impl Counts {
    fn take(&mut self, conn: &Connection, c: &Candidate, zone: &TimeZone) -> Result<()> {
        let day = day_code(codec::timestamp(c.at)?.to_zoned(zone.clone()).date());
        *self.messages.entry([c.bucket, c.state, day]).or_default() += 1;
        let mut next = c.last_attempt;
        while let Some(id) = next {
            let gone = conn
                .prepare_cached(
                    "DELETE FROM attempt WHERE id = ?1 AND message = ?2 RETURNING relay, bucket, day, warmup_day, counted, before",
                )?
                .query_row([id, c.message], |row| {
                    Ok((lane_day(row)?, row.get::<_, i64>(4)?, row.get::<_, Option<i64>>(5)?))
                })
                .optional()?;
            let Some((lane, counted, before)) = gone else { break };
            let sums = self.attempts.entry(lane).or_default();
            sums[0] += 1;
            sums[1] += counted;
            self.done.attempts += 1;
            next = before;
        }
        self.lost(conn, c.message)?;
        // The token in an unsubscribe link or a late bounce of what was sent still finds its address.
        if c.last_attempt.is_some() {
            conn.prepare_cached(
                "INSERT INTO recipient (message, campaign, key) SELECT id, campaign, key FROM message WHERE id = ?1
                 ON CONFLICT DO NOTHING",
            )?
            .execute([c.message])?;
        }
        for sql in [
            "DELETE FROM report WHERE message = ?1",
            "DELETE FROM tried WHERE message = ?1",
            "DELETE FROM final WHERE message = ?1",
            "DELETE FROM message WHERE id = ?1",
        ] {
            conn.prepare_cached(sql)?.execute([c.message])?;
        }
        self.done.messages += 1;
        self.rows = self.done.messages + self.done.attempts;
        Ok(())
    }

    fn lost(&mut self, conn: &Connection, message: i64) -> Result<()> {
        let mut statement =
            conn.prepare_cached("DELETE FROM lost WHERE message = ?1 RETURNING relay, bucket, day, warmup_day")?;
        let mut rows = statement.query([message])?;
        while let Some(row) = rows.next()? {
            self.attempts.entry(lane_day(row)?).or_default()[2] += 1;
        }
        Ok(())
    }

    fn write(&self, conn: &Connection, campaign: CampaignId) -> Result<()> {
        let mut messages = conn.prepare_cached(
            "INSERT INTO folded (campaign, bucket, state, day, n) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET n = n + excluded.n",
        )?;
        for ([bucket, state, day], n) in &self.messages {
            messages.execute([&campaign.0, bucket, state, day, n])?;
        }
        let mut attempts = conn.prepare_cached(
            "INSERT INTO folded_attempt (relay, bucket, day, warmup_day, attempts, counted, lost)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, counted = counted + excluded.counted,
                lost = lost + excluded.lost",
        )?;
        for ([relay, bucket, day, warmup_day], [n, counted, lost]) in &self.attempts {
            attempts.execute([relay, bucket, day, warmup_day, n, counted, lost])?;
        }
        Ok(())
    }
}

pub(super) fn foldable(db: &mut Db, before: Timestamp) -> Result<Vec<(CampaignName, u64)>> {
    let sql = format!("SELECT count(*) {FINAL} AND f.at <= ?2");
    let mut campaigns = db.conn.prepare_cached("SELECT id, name FROM campaign WHERE ended <= ?1 ORDER BY ended, id")?;
    let mut rows = campaigns.query([micros(before)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let n = codec::many(db.conn.prepare_cached(&sql)?.query_row([id, micros(before)], |row| row.get(0))?)?;
        if n > 0 {
            let name = CampaignName::new(&name).map_err(|_| codec::damaged("the campaign name", &name))?;
            found.push((name, n));
        }
    }
    Ok(found)
}

pub(super) fn folded(db: &mut Db, campaign: Option<CampaignId>) -> Result<Vec<FoldedRow>> {
    let Db { conn, names } = db;
    let which = if campaign.is_some() { "campaign = ?1" } else { "?1 IS NULL" };
    let sql = format!("SELECT bucket, state, day, sum(n) FROM folded WHERE {which} GROUP BY day, bucket, state");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([campaign.map(|id| id.0)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(FoldedRow {
            bucket: names.bucket(conn, row.get(0)?)?,
            state: codec::state(row.get(1)?)?,
            day: codec::day(row.get(2)?)?,
            n: codec::many(row.get(3)?)?,
        });
    }
    found.sort_by(|a, b| (a.day, &a.bucket, a.state).cmp(&(b.day, &b.bucket, b.state)));
    Ok(found)
}

/// Numbers are given without gaps: one below the newest that has no row was folded.
pub(super) fn is_folded(db: &mut Db, id: MessageId) -> Result<bool> {
    let mut statement = db.conn.prepare_cached(
        "SELECT ?1 > 0 AND ?1 < coalesce((SELECT max(id) FROM message), 0) AND NOT EXISTS (SELECT 1 FROM message WHERE id = ?1)",
    )?;
    Ok(statement.query_row([id.0], |row| row.get(0))?)
}
