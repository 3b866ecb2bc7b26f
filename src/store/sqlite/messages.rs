//! Owns how messages and attempts are shown.
//!
//! Invariant: a message's state is told by the table it is in, never stored twice.

use std::sync::Arc;

use jiff::civil::Date;
use rusqlite::{Connection, Row, ToSql, params};

use super::codec::{self, Result, day_code};
use super::engine::Db;
use super::names::Names;
use crate::core::campaign::{CampaignId, CampaignState, MessageId, MessageState};
use crate::core::names::{BucketName, CampaignName, LaneKey, RelayName};
use crate::core::reply::{Answer, Reply};
use crate::store::{AnswerCount, Attempt, AttemptRow, MessageFilter, MessageRow, SEED_SCORE};

/// The state of message `m`, by where it is. The codes are those of codec.rs.
const STATE: &str = "CASE WHEN f.message IS NOT NULL THEN f.state WHEN a.message IS NOT NULL THEN 2
    WHEN p.message IS NOT NULL THEN 3 WHEN l.message IS NOT NULL OR t.message IS NOT NULL THEN 1 ELSE 0 END";

const FROM: &str = "FROM message m JOIN campaign c ON c.id = m.campaign
    LEFT JOIN final f ON f.message = m.id LEFT JOIN claimed a ON a.message = m.id
    LEFT JOIN parked p ON p.message = m.id LEFT JOIN later l ON l.campaign = m.campaign AND l.message = m.id
    LEFT JOIN tried t ON t.message = m.id";

fn select(tail: &str) -> String {
    format!(
        "SELECT m.id, c.name, m.campaign, c.pool, c.class, m.bucket, coalesce(m.address, m.key), m.columns, m.score,
            {STATE} AS state,
            coalesce(f.because, p.because, t.note),
            CASE WHEN f.message IS NOT NULL THEN f.at WHEN a.message IS NOT NULL THEN a.claimed_at
                 WHEN p.message IS NOT NULL THEN p.at ELSE t.at END,
            l.due, coalesce(f.relay, a.relay, t.relay), coalesce(f.attempts, a.attempts, t.attempts, 0),
            coalesce(f.last_attempt, a.last_attempt, t.last_attempt)
         {FROM} {tail}"
    )
}

fn read(db: &mut Db, tail: &str, parameters: &[&dyn ToSql]) -> Result<Vec<MessageRow>> {
    let Db { conn, names } = db;
    let mut statement = conn.prepare_cached(&select(tail))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(message_row(conn, names, row)?);
    }
    Ok(found)
}

fn message_row(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<MessageRow> {
    let campaign: String = row.get(1)?;
    let because: Option<String> = row.get(10)?;
    let last_attempt: Option<i64> = row.get(15)?;
    let because = match (because, last_attempt) {
        (None, Some(id)) => by_id(conn, names, id)?.map(|(attempt, _)| attempt.attempt.answer.to_string()),
        (because, _) => because,
    };
    let relay: Option<i64> = row.get(13)?;
    Ok(MessageRow {
        id: MessageId(row.get(0)?),
        campaign: CampaignName::new(&campaign).map_err(|_| codec::damaged("the campaign name", &campaign))?,
        campaign_id: CampaignId(row.get(2)?),
        pool: names.pool(conn, row.get(3)?)?,
        class: codec::class(row.get(4)?)?,
        bucket: names.bucket(conn, row.get(5)?)?,
        address: row.get(6)?,
        columns: row.get(7)?,
        score: row.get(8)?,
        state: codec::state(row.get(9)?)?,
        because,
        since: codec::maybe_timestamp(row.get(11)?)?,
        due: codec::maybe_timestamp(row.get(12)?)?,
        relay: relay.map(|id| names.relay(conn, id)).transpose()?,
        attempts: row.get(14)?,
    })
}

pub(super) fn message(db: &mut Db, id: MessageId) -> Result<Option<MessageRow>> {
    Ok(read(db, "WHERE m.id = ?1", &[&id.0])?.pop())
}

pub(super) fn messages_to(db: &mut Db, key: &str) -> Result<Vec<MessageRow>> {
    read(db, "WHERE m.key = ?1 ORDER BY m.id DESC LIMIT 100", &[&key])
}

pub(super) fn messages_of(
    db: &mut Db,
    id: CampaignId,
    states: &[MessageState],
    after: Option<MessageId>,
    limit: u32,
) -> Result<Vec<MessageRow>> {
    let after = after.map_or(0, |m| m.0);
    let among = if states.is_empty() {
        String::new()
    } else {
        let codes: Vec<String> = states.iter().map(|s| codec::state_code(*s).to_string()).collect();
        format!("AND {STATE} IN ({})", codes.join(", "))
    };
    let tail = format!("WHERE m.campaign = ?1 AND m.id > ?2 {among} ORDER BY m.id LIMIT ?3");
    read(db, &tail, &[&id.0, &after, &limit])
}

/// A page of what `filter` means. The tables that hold few rows say where to look, so that a million final messages are not
/// walked through to find the parked ones.
pub(super) fn messages_like(
    db: &mut Db,
    filter: &MessageFilter,
    after: Option<MessageId>,
    limit: u32,
) -> Result<Vec<MessageRow>> {
    let relay = match &filter.relay {
        None => None,
        Some(relay) => match db.names.find(&db.conn, relay.as_str())? {
            None => return Ok(Vec::new()),
            some => some,
        },
    };
    let of_campaign = if filter.campaign.is_some() { "m.campaign = ?2" } else { "?2 IS NULL" };
    let mut tail =
        format!("WHERE m.id > ?1 AND {of_campaign} AND (?3 IS NULL OR coalesce(f.relay, a.relay, t.relay) = ?3)");
    let codes: Vec<String> = filter.states.iter().map(|s| codec::state_code(*s).to_string()).collect();
    if !codes.is_empty() {
        tail.push_str(&format!(" AND {STATE} IN ({})", codes.join(", ")));
    }
    if filter.states == [MessageState::Parked] {
        tail.push_str(" AND m.id IN (SELECT message FROM parked)");
    }
    if filter.uncertain {
        tail.push_str(
            " AND f.message IS NULL AND m.id IN (SELECT message FROM parked UNION SELECT message FROM tried WHERE uncertain > 0
                UNION SELECT message FROM claimed WHERE uncertain > 0)",
        );
    }
    tail.push_str(" ORDER BY m.id LIMIT ?4");
    let (campaign, after) = (filter.campaign.map(|id| id.0), after.map_or(0, |m| m.0));
    read(db, &tail, &[&after, &campaign, &relay, &limit])
}

/// By the index of seeds, which has nothing else in it.
pub(super) fn seeds_of(db: &mut Db, id: CampaignId) -> Result<Vec<MessageRow>> {
    read(db, &format!("WHERE m.campaign = ?1 AND m.score >= {SEED_SCORE} ORDER BY m.id LIMIT 1000"), &[&id.0])
}

/// What leaves before a message: its own line exactly, other campaigns by their counters.
pub(super) fn place_in_line(db: &mut Db, id: MessageId) -> Result<Option<u64>> {
    let Some(own) = message(db, id)? else { return Ok(None) };
    let conn = &db.conn;
    let Some(bucket) = db.names.find(conn, own.bucket.as_str())? else { return Ok(None) };
    let (campaign, rank) = (own.campaign_id.0, codec::rank(own.score));
    let mut tiers = conn.prepare_cached(
        "SELECT tier FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier IN (0, 1) AND rank = ?3 AND message = ?4",
    )?;
    let mut rows = tiers.query([campaign, bucket, rank, id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let tier: i64 = row.get(0)?;
    let own_before: i64 = conn
        .prepare_cached(
            "SELECT (SELECT count(*) FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier < ?3)
                + (SELECT count(*) FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier = ?3 AND (rank, message) < (?4, ?5))",
        )?
        .query_row([campaign, bucket, tier, rank, id.0], |row| row.get(0))?;
    let own_before = codec::many(own_before)?;
    // Mail of an earlier class leaves first; campaigns of the same class share by weight, so while this one's predecessors
    // leave, each of them sends in proportion, if it has that much.
    let mut others = conn.prepare_cached(
        "SELECT c.class, r.weight, sum(n.n), (SELECT w.weight FROM campaign o JOIN revision w ON w.id = o.revision WHERE o.id = ?1)
         FROM campaign c JOIN revision r ON r.id = c.revision
            JOIN counter n ON n.campaign = c.id AND n.bucket = ?2 AND n.place IN (0, 1)
         WHERE c.id <> ?1 AND c.state = ?3 AND c.pool = (SELECT pool FROM campaign WHERE id = ?1)
         GROUP BY c.id",
    )?;
    let running = codec::campaign_state_code(CampaignState::Running);
    let mut rows = others.query(params![campaign, bucket, running])?;
    let mut before = own_before;
    while let Some(row) = rows.next()? {
        let class = codec::class(row.get(0)?)?;
        let (weight, waiting, own_weight): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (weight, waiting) = (codec::many(weight)?, codec::many(waiting)?);
        before += match class.cmp(&own.class) {
            std::cmp::Ordering::Less => waiting,
            std::cmp::Ordering::Equal => {
                waiting.min(own_before.saturating_mul(weight) / codec::many(own_weight)?.max(1))
            }
            std::cmp::Ordering::Greater => 0,
        };
    }
    Ok(Some(before))
}

const ATTEMPT: &str =
    "SELECT message, relay, bucket, day, released, finished, stage, code, enhanced, text, fault, signal, action,
    rule, counted, before FROM attempt";

/// An attempt with the number of the one before it.
fn attempt_row(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<(AttemptRow, Option<i64>)> {
    let fault: Option<String> = row.get(10)?;
    let answer = match fault {
        Some(json) => {
            Answer::Fault(serde_json::from_str(&json).map_err(|_| codec::damaged("the fault of an attempt", &json))?)
        }
        None => Answer::Reply(Reply {
            code: row.get(7)?,
            enhanced: row.get::<_, Option<i64>>(8)?.map(codec::enhanced).transpose()?,
            text: row.get::<_, Option<String>>(9)?.unwrap_or_default(),
        }),
    };
    let rule: Option<Arc<str>> = match row.get(13)? {
        Some(id) => Some(names.text(conn, id)?),
        None => None,
    };
    let attempt = Attempt {
        released_at: codec::timestamp(row.get(4)?)?,
        finished_at: codec::timestamp(row.get(5)?)?,
        stage: codec::stage(row.get(6)?)?,
        answer,
        signal: codec::signal(row.get(11)?)?,
        action: row.get::<_, Option<i64>>(12)?.map(codec::action).transpose()?,
        rule,
    };
    let lane = LaneKey { relay: names.relay(conn, row.get(1)?)?, bucket: names.bucket(conn, row.get(2)?)? };
    let message = MessageId(row.get(0)?);
    Ok((AttemptRow { message, lane, day: codec::day(row.get(3)?)?, attempt, counted: row.get(14)? }, row.get(15)?))
}

fn by_id(conn: &Connection, names: &mut Names, id: i64) -> Result<Option<(AttemptRow, Option<i64>)>> {
    let mut statement = conn.prepare_cached(&format!("{ATTEMPT} WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| attempt_row(conn, names, row)).transpose()
}

/// Attempts of a message, oldest first: from the last one back.
pub(super) fn attempts(db: &mut Db, id: MessageId) -> Result<Vec<AttemptRow>> {
    let Db { conn, names } = db;
    let mut next: Option<i64> = conn
        .prepare_cached(
            "SELECT coalesce((SELECT last_attempt FROM final WHERE message = ?1),
                (SELECT last_attempt FROM claimed WHERE message = ?1), (SELECT last_attempt FROM tried WHERE message = ?1))",
        )?
        .query_row([id.0], |row| row.get(0))?;
    let mut found = Vec::new();
    while let Some(at) = next {
        let Some((attempt, before)) = by_id(conn, names, at)? else { break };
        found.push(attempt);
        // Numbers only grow, so a chain that does not fall is damage, not a longer history.
        next = before.filter(|b| *b < at);
    }
    found.reverse();
    Ok(found)
}

pub(super) fn lane_attempts(
    db: &mut Db,
    relay: &RelayName,
    bucket: &BucketName,
    limit: u32,
) -> Result<Vec<AttemptRow>> {
    let Db { conn, names } = db;
    let (Some(relay), Some(bucket)) = (names.find(conn, relay.as_str())?, names.find(conn, bucket.as_str())?) else {
        return Ok(Vec::new());
    };
    let sql = format!("{ATTEMPT} WHERE relay = ?1 AND bucket = ?2 ORDER BY day DESC, id DESC LIMIT ?3");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![relay, bucket, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(attempt_row(conn, names, row)?.0);
    }
    Ok(found)
}

pub(super) fn day_answers(db: &mut Db, lane: &LaneKey, day: Date, limit: u32) -> Result<Vec<AnswerCount>> {
    let Db { conn, names } = db;
    let (Some(relay), Some(bucket)) = (names.find(conn, lane.relay.as_str())?, names.find(conn, lane.bucket.as_str())?)
    else {
        return Ok(Vec::new());
    };
    let mut statement = conn.prepare_cached(
        "SELECT count(*), max(id) FROM attempt WHERE relay = ?1 AND bucket = ?2 AND day = ?3 AND action IS NOT NULL
         GROUP BY code, enhanced, fault, rule, signal, action ORDER BY 1 DESC, 2 DESC LIMIT ?4",
    )?;
    let mut rows = statement.query(params![relay, bucket, day_code(day), limit])?;
    let mut kinds: Vec<(i64, i64)> = Vec::new();
    while let Some(row) = rows.next()? {
        kinds.push((row.get(0)?, row.get(1)?));
    }
    let mut found = Vec::new();
    for (n, id) in kinds {
        if let Some((last, _)) = by_id(conn, names, id)? {
            found.push(AnswerCount { n: codec::many(n)?, last });
        }
    }
    Ok(found)
}
