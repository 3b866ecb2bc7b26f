//! Owns what time and operators decided about waiting messages: feeding, expiry, cancelling, the end of campaigns.
//!
//! Invariant: bounded by `limit` messages a call, so that an order about a million messages never holds up a claim.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{self, LAST_OPEN_PLACE, Place, RETRY_TIER, Result, micros};
use super::counters::Counters;
use super::engine::Db;
use super::intake;
use crate::core::campaign::{CampaignState, MessageState};
use crate::core::names::CampaignName;
use crate::store::{Fed, Swept};

/// Ends a message that was taken out of its place; see [`intake::finish`].
pub(super) use super::intake::finish as end;

/// Takes a message out of line or out of waiting; `None` when it is in neither.
pub(super) fn take_out(
    conn: &Connection,
    campaign: i64,
    bucket: i64,
    rank: i64,
    message: i64,
) -> Result<Option<Place>> {
    let tier: Option<i64> = conn
        .prepare_cached(
            "DELETE FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier IN (0, 1) AND rank = ?3 AND message = ?4
             RETURNING tier",
        )?
        .query_row([campaign, bucket, rank, message], |row| row.get(0))
        .optional()?;
    if let Some(tier) = tier {
        return Ok(Some(Place::of_tier(tier)));
    }
    let gone = conn
        .prepare_cached(
            "DELETE FROM later WHERE (due, message) = (SELECT due, message FROM later WHERE campaign = ?1 AND message = ?2)",
        )?
        .execute([campaign, message])?;
    Ok((gone > 0).then_some(Place::Later))
}

pub(super) fn feed(db: &mut Db, now: Timestamp, limit: u32) -> Result<Fed> {
    let mut due = Vec::new();
    {
        let mut statement = db.conn.prepare_cached(
            "SELECT due, message, campaign, bucket, rank FROM later WHERE due <= ?1 ORDER BY due, message LIMIT ?2",
        )?;
        let mut rows = statement.query(params![micros(now), limit])?;
        while let Some(row) = rows.next()? {
            due.push((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                [row.get::<_, i64>(2)?, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?],
            ));
        }
    }
    let mut counters = Counters::default();
    for (at, message, [campaign, bucket, rank]) in &due {
        db.conn.prepare_cached("DELETE FROM later WHERE due = ?1 AND message = ?2")?.execute([at, message])?;
        intake::stand_in_line(&db.conn, *campaign, *bucket, RETRY_TIER, *rank, *message)?;
        counters.leave(*campaign, *bucket, Place::Later);
        counters.enter(*campaign, *bucket, Place::Retry);
    }
    counters.flush(&db.conn)?;
    let next: Option<i64> = db.conn.prepare_cached("SELECT min(due) FROM later")?.query_row([], |row| row.get(0))?;
    Ok(Fed { moved: codec::rows(due.len()), next: codec::maybe_timestamp(next)? })
}

/// Campaigns with waiting mail that an end has come for: number, state that its mail ends in, why.
fn ended(conn: &Connection, now: i64) -> Result<Vec<(i64, MessageState, &'static str)>> {
    let mut statement = conn.prepare_cached(
        "SELECT c.id, c.state = ?1 FROM campaign c
         WHERE c.state <> ?2 AND (c.state = ?1 OR c.not_after <= ?3)
           AND EXISTS (SELECT 1 FROM counter n WHERE n.campaign = c.id AND n.place IN (0, 1, 2, 4) AND n.n > 0)
         ORDER BY c.id",
    )?;
    let mut rows = statement.query(params![
        codec::campaign_state_code(CampaignState::Cancelled),
        codec::campaign_state_code(CampaignState::Finished),
        now
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(if row.get(1)? {
            (row.get(0)?, MessageState::Cancelled, "its campaign was cancelled")
        } else {
            (row.get(0)?, MessageState::Expired, "not_after has passed")
        });
    }
    Ok(found)
}

/// Waiting messages of a campaign: how to find some, and how to delete one (by bucket, first, second, message).
const WAITING: [(&str, &str); 3] = [
    (
        "SELECT bucket, tier, rank, message, tier FROM ready WHERE campaign = ?1 LIMIT ?2",
        "DELETE FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier = ?3 AND rank = ?4 AND message = ?5",
    ),
    (
        "SELECT bucket, due, rank, message, 2 FROM later WHERE campaign = ?1 LIMIT ?2",
        "DELETE FROM later WHERE campaign = ?1 AND bucket = ?2 AND due = ?3 AND rank = ?4 AND message = ?5",
    ),
    (
        "SELECT bucket, at, rank, message, 4 FROM parked WHERE campaign = ?1 LIMIT ?2",
        "DELETE FROM parked WHERE campaign = ?1 AND bucket = ?2 AND at = ?3 AND rank = ?4 AND message = ?5",
    ),
];

/// Ends at most `limit` waiting messages of a campaign.
fn end_waiting(
    conn: &Connection,
    (campaign, state, because): (i64, MessageState, &str),
    limit: u64,
    now: i64,
) -> Result<u64> {
    let mut done = 0;
    let mut counters = Counters::default();
    for (index, (find, delete)) in WAITING.iter().enumerate() {
        let mut found = Vec::new();
        {
            let mut statement = conn.prepare_cached(find)?;
            let mut rows = statement.query(params![campaign, i64::try_from(limit - done).unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                let key: [i64; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
                found.push(key);
            }
        }
        for [bucket, first, second, message] in found {
            conn.prepare_cached(delete)?.execute([campaign, bucket, first, second, message])?;
            end(conn, message, state, now, because)?;
            let place = match index {
                0 => Place::of_tier(first),
                1 => Place::Later,
                _ => Place::Parked,
            };
            counters.leave(campaign, bucket, place);
            counters.enter(campaign, bucket, Place::Final(state));
            done += 1;
        }
    }
    counters.flush(conn)?;
    Ok(done)
}

pub(super) fn sweep(db: &mut Db, now: Timestamp, limit: u32) -> Result<Swept> {
    let mut swept = Swept::default();
    let mut left = u64::from(limit);
    for ended in ended(&db.conn, micros(now))? {
        let done = end_waiting(&db.conn, ended, left, micros(now))?;
        if ended.1 == MessageState::Cancelled {
            swept.cancelled += done;
        } else {
            swept.expired += done;
        }
        left -= done;
        if left == 0 {
            swept.more = true;
            break;
        }
    }
    swept.finished = finish_campaigns(&db.conn, micros(now))?;
    note_ends(&db.conn, micros(now))?;
    forget(&db.conn, now)?;
    Ok(swept)
}

/// A campaign whose messages are all in a final state is finished. One that is loading is not: more may come. It has not ended
/// before anything that is known of it, whatever the clock says; when its messages ended is looked at as they are folded.
fn finish_campaigns(conn: &Connection, now: i64) -> Result<Vec<CampaignName>> {
    let mut statement = conn.prepare_cached(
        "UPDATE campaign SET state = ?1, because = NULL, changed = ?2, ended = max(?2, changed, created)
         WHERE state IN (?3, ?4) AND NOT EXISTS
            (SELECT 1 FROM counter n WHERE n.campaign = campaign.id AND n.place <= ?5 AND n.n > 0)
         RETURNING name",
    )?;
    let mut rows = statement.query(params![
        codec::campaign_state_code(CampaignState::Finished),
        now,
        codec::campaign_state_code(CampaignState::Running),
        codec::campaign_state_code(CampaignState::Paused),
        LAST_OPEN_PLACE,
    ])?;
    let mut finished = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        finished.push(CampaignName::new(&name).map_err(|_| codec::damaged("the campaign name", &name))?);
    }
    Ok(finished)
}

/// A cancelled campaign has ended once its last message is in a final state: what was in the air had to settle first. One that
/// is finished may lack its note where a worker of an earlier version, still running, finished it.
fn note_ends(conn: &Connection, now: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE campaign SET ended = max(?1, changed, created) WHERE state IN (?2, ?3) AND ended IS NULL AND NOT EXISTS
            (SELECT 1 FROM counter n WHERE n.campaign = campaign.id AND n.place <= ?4 AND n.n > 0)",
    )?
    .execute(params![
        now,
        codec::campaign_state_code(CampaignState::Cancelled),
        codec::campaign_state_code(CampaignState::Finished),
        LAST_OPEN_PLACE
    ])?;
    Ok(())
}

/// Cells older than any limit looks back, and pauses that have ended and are older than a week (the third block within 7 days
/// is a stop, so younger ones are still counted).
fn forget(conn: &Connection, now: Timestamp) -> Result<()> {
    let before = |hours| micros(now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN));
    conn.prepare_cached("DELETE FROM cell WHERE start < ?1")?.execute([before(25)])?;
    conn.prepare_cached("DELETE FROM pause WHERE until <= ?1 AND since < ?2")?
        .execute([micros(now), before(7 * 24)])?;
    conn.prepare_cached("DELETE FROM need WHERE until <= ?1")?.execute([micros(now)])?;
    Ok(())
}
