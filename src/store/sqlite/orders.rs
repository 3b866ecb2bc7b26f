//! Owns orders: of operators (campaigns, parked messages) and of whoever pauses.
//!
//! Invariant: an order on something final is refused, never half done; a pause is one row per scope and cause.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codec::{self, Place, RETRY_TIER, Result, micros};
use super::counters::Counters;
use super::engine::Db;
use super::{intake, sweep};
use crate::core::campaign::{CampaignState, MessageId, MessageState};
use crate::core::names::{CampaignName, RelayName};
use crate::store::{EventRow, Fate, Pause, PauseCause, Scope, Settled, StoreError};

/// Events kept.
const EVENTS_MAX: i64 = 10_000;

pub(super) fn order_campaign(
    db: &mut Db,
    name: &CampaignName,
    state: CampaignState,
    because: &str,
    now: Timestamp,
) -> Result<()> {
    let Some(campaign) = intake::by_name(db, name)? else {
        return Err(StoreError::Refused(format!("there is no campaign {name}; `campaign list` shows all")));
    };
    let refuse = |why: &str| Err(StoreError::Refused(format!("campaign {name} {why}")));
    match (campaign.state, state) {
        (CampaignState::Finished, _) => return refuse("is finished: nothing of it is left"),
        (CampaignState::Cancelled, _) => return refuse("was cancelled, which cannot be undone"),
        (CampaignState::Loading, CampaignState::Paused | CampaignState::Running) => {
            return refuse("is still being loaded: nothing of it leaves yet; let `submit` end, or cancel it");
        }
        (_, CampaignState::Loading | CampaignState::Finished) => {
            return refuse("cannot be brought into that state by order");
        }
        (CampaignState::Running, CampaignState::Running) => return Ok(()),
        (_, CampaignState::Paused | CampaignState::Running | CampaignState::Cancelled) => {}
    }
    let because = (state != CampaignState::Running).then_some(because);
    db.conn
        .prepare_cached("UPDATE campaign SET state = ?2, because = ?3, changed = ?4 WHERE id = ?1")?
        .execute(params![campaign.id.0, codec::campaign_state_code(state), because, micros(now)])?;
    Ok(())
}

pub(super) fn pause(conn: &Connection, pause: &Pause) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO pause (scope, cause, reason, since, until, times) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        codec::scope_text(&pause.scope),
        codec::cause_code(pause.cause),
        pause.reason,
        micros(pause.since),
        pause.until.map(micros),
        pause.times
    ])?;
    Ok(())
}

pub(super) fn resume(db: &mut Db, scope: &Scope, cause: Option<PauseCause>) -> Result<u64> {
    let gone = db
        .conn
        .prepare_cached("DELETE FROM pause WHERE scope = ?1 AND (?2 IS NULL OR cause = ?2)")?
        .execute(params![codec::scope_text(scope), cause.map(codec::cause_code)])?;
    Ok(codec::rows(gone))
}

fn pause_row(row: &Row<'_>) -> Result<Pause> {
    let scope: String = row.get(0)?;
    Ok(Pause {
        scope: codec::scope(&scope)?,
        cause: codec::cause(row.get(1)?)?,
        reason: row.get(2)?,
        since: codec::timestamp(row.get(3)?)?,
        until: codec::maybe_timestamp(row.get(4)?)?,
        times: row.get(5)?,
    })
}

/// Pauses in force.
pub(super) fn pauses(conn: &Connection, now: i64) -> Result<Vec<Pause>> {
    let mut statement = conn.prepare_cached(
        "SELECT scope, cause, reason, since, until, times FROM pause WHERE until IS NULL OR until > ?1 ORDER BY scope, cause",
    )?;
    let mut rows = statement.query([now])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(pause_row(row)?);
    }
    Ok(found)
}

/// Pauses of a relay and its lanes that are in force or began within 7 days.
pub(super) fn recent_pauses(conn: &Connection, relay: &RelayName, now: Timestamp) -> Result<Vec<Pause>> {
    let week_ago = now.checked_sub(SignedDuration::from_hours(7 * 24)).unwrap_or(Timestamp::MIN);
    let mut statement = conn.prepare_cached(
        "SELECT scope, cause, reason, since, until, times FROM pause
         WHERE (scope = ?1 OR substr(scope, 1, length(?1) + 1) = ?1 || '/')
           AND (until IS NULL OR until > ?2 OR since >= ?3)
         ORDER BY scope, cause",
    )?;
    let mut rows = statement.query(params![relay.as_str(), micros(now), micros(week_ago)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(pause_row(row)?);
    }
    Ok(found)
}

pub(super) fn settle_parked(db: &mut Db, ids: &[MessageId], fate: Fate, now: Timestamp) -> Result<Settled> {
    let mut counters = Counters::default();
    let mut settled = Settled::default();
    for id in ids {
        if settle_one(&db.conn, id.0, fate, micros(now), &mut counters)? {
            settled.done += 1;
        } else {
            settled.stale += 1;
        }
    }
    counters.flush(&db.conn)?;
    Ok(settled)
}

/// False when it is not parked.
fn settle_one(conn: &Connection, id: i64, fate: Fate, now: i64, counters: &mut Counters) -> Result<bool> {
    let by_order =
        |state, counters: &mut Counters| end_parked(conn, id, state, now, "settled by the operator", counters);
    match fate {
        Fate::Accepted => by_order(MessageState::Accepted, counters),
        Fate::Bounced => by_order(MessageState::Bounced, counters),
        Fate::Retry => {
            let Some((campaign, bucket, rank)) = unpark(conn, id, counters)? else { return Ok(false) };
            let place = if intake::standing(conn, campaign)?.is_some_and(|c| c.state == CampaignState::Cancelled) {
                sweep::end(conn, id, MessageState::Cancelled, now, "its campaign was cancelled")?;
                Place::Final(MessageState::Cancelled)
            } else {
                intake::stand_in_line(conn, campaign, bucket, RETRY_TIER, rank, id)?;
                Place::Retry
            };
            counters.enter(campaign, bucket, place);
            Ok(true)
        }
    }
}

/// Ends a parked message in `state`; false when it is not parked.
pub(super) fn end_parked(
    conn: &Connection,
    id: i64,
    state: MessageState,
    now: i64,
    because: &str,
    counters: &mut Counters,
) -> Result<bool> {
    let Some((campaign, bucket, _)) = unpark(conn, id, counters)? else { return Ok(false) };
    sweep::end(conn, id, state, now, because)?;
    counters.enter(campaign, bucket, Place::Final(state));
    Ok(true)
}

/// Takes a message from the parked ones: its campaign, bucket and rank; `None` when it is not parked.
fn unpark(conn: &Connection, id: i64, counters: &mut Counters) -> Result<Option<(i64, i64, i64)>> {
    let parked: Option<(i64, i64, i64)> = conn
        .prepare_cached("DELETE FROM parked WHERE message = ?1 RETURNING campaign, bucket, rank")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((campaign, bucket, _)) = parked {
        counters.leave(campaign, bucket, Place::Parked);
    }
    Ok(parked)
}

pub(super) fn record_event(db: &mut Db, event: &EventRow) -> Result<()> {
    db.conn.prepare_cached("INSERT INTO event (at, kind, subject, text) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        micros(event.at),
        event.kind,
        event.subject,
        event.text
    ])?;
    let id = db.conn.last_insert_rowid();
    db.conn.prepare_cached("DELETE FROM event WHERE id <= ?1")?.execute([id - EVENTS_MAX])?;
    Ok(())
}
