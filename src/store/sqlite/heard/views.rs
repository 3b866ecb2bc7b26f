//! Owns how reports are shown, and what a relay's owner reads of them.
//!
//! Invariant: a message's own address is shown with its reports; it is not stored twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::super::codec::{self, Result, day_code};
use super::super::engine::Db;
use super::super::intake;
use super::super::names::Names;
use crate::core::campaign::{CampaignId, MessageId};
use crate::core::feedback::{Diagnostic, Way};
use crate::core::names::{CampaignName, LaneKey, RelayName};
use crate::store::{CameBack, Health, Recipient, Report, ReportRow, UnknownReply};

const REPORT: &str = "SELECT r.id, r.way, r.event, r.at, r.recorded, r.fate, r.message, coalesce(m.key, q.key, r.key), r.relay,
        r.bucket, r.day, r.campaign, r.counts, r.code, r.enhanced, r.text, r.stage, r.remote, r.signal, r.action, r.reason, r.rule,
        r.suppress, r.mailbox_after, r.evidence
    FROM report r LEFT JOIN message m ON m.id = r.message LEFT JOIN recipient q ON q.message = r.message";

fn read(db: &mut Db, tail: &str, parameters: &[&dyn ToSql]) -> Result<Vec<ReportRow>> {
    let Db { conn, names } = db;
    let mut statement = conn.prepare_cached(&format!("{REPORT} {tail}"))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(report_row(conn, names, row)?);
    }
    Ok(found)
}

fn report_row(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<ReportRow> {
    let way = names.text(conn, row.get(1)?)?;
    let rule: Option<Arc<str>> = row.get::<_, Option<i64>>(21)?.map(|id| names.text(conn, id)).transpose()?;
    let (relay, bucket): (Option<i64>, Option<i64>) = (row.get(8)?, row.get(9)?);
    let lane = match (relay, bucket) {
        (Some(relay), Some(bucket)) => {
            Some(LaneKey { relay: names.relay(conn, relay)?, bucket: names.bucket(conn, bucket)? })
        }
        _ => None,
    };
    let report = Report {
        way: Way(Cow::Owned(way.to_string())),
        id: row.get(2)?,
        at: codec::timestamp(row.get(3)?)?,
        fate: codec::fate(row.get(5)?)?,
        message: row.get::<_, Option<i64>>(6)?.map(MessageId),
        key: row.get(7)?,
        said: Diagnostic {
            code: row.get(13)?,
            enhanced: row.get::<_, Option<i64>>(14)?.map(codec::enhanced).transpose()?,
            text: row.get(15)?,
        },
        stage: row.get::<_, Option<i64>>(16)?.map(codec::stage).transpose()?,
        remote: row.get(17)?,
        signal: codec::signal(row.get(18)?)?,
        action: row.get::<_, Option<i64>>(19)?.map(codec::action).transpose()?,
        reason: codec::why(row.get(20)?)?,
        rule,
        suppress: row.get::<_, Option<i64>>(22)?.map(codec::reason).transpose()?,
        mailbox_after: row.get(23)?,
        evidence: row.get(24)?,
    };
    Ok(ReportRow {
        id: row.get(0)?,
        report,
        recorded: codec::timestamp(row.get(4)?)?,
        lane,
        day: row.get::<_, Option<i64>>(10)?.map(codec::day).transpose()?,
        campaign: row.get::<_, Option<i64>>(11)?.map(CampaignId),
        counts: row.get(12)?,
    })
}

/// What asks for something, and per lane the newest that went through; in the order of recording.
pub(in super::super) fn reports_of(db: &mut Db, relay: &RelayName, after: i64, limit: u32) -> Result<Vec<ReportRow>> {
    let Some(relay) = db.names.find(&db.conn, relay.as_str())? else { return Ok(Vec::new()) };
    let act = "r.id IN (SELECT id FROM report WHERE relay = ?1 AND id > ?2 AND counts AND action IN (3, 4, 5) ORDER BY id LIMIT ?3)";
    let mut found = read(db, &format!("WHERE {act} ORDER BY r.id"), &[&relay, &after, &limit])?;
    // Never past what was cut off by the limit: the cursor is the last number that was read.
    let until = if found.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
        i64::MAX
    } else {
        found.last().map_or(i64::MAX, |row| row.id)
    };
    let well = "WHERE r.id IN (SELECT report FROM went_well WHERE relay = ?1 AND report > ?2 AND report <= ?3)";
    found.extend(read(db, well, &[&relay, &after, &until])?);
    found.sort_by_key(|row| row.id);
    Ok(found)
}

pub(in super::super) fn reports_about(db: &mut Db, message: MessageId) -> Result<Vec<ReportRow>> {
    read(db, "WHERE r.message = ?1 ORDER BY r.id LIMIT 100", &[&message.0])
}

pub(in super::super) fn reports_to(db: &mut Db, key: &str) -> Result<Vec<ReportRow>> {
    let tail = "WHERE r.id IN (SELECT id FROM report WHERE key = ?1
            UNION SELECT p.id FROM message n JOIN report p ON p.message = n.id WHERE n.key = ?1
            UNION SELECT p.id FROM recipient n JOIN report p ON p.message = n.message WHERE n.key = ?1)
        ORDER BY r.id DESC LIMIT 100";
    read(db, tail, &[&key])
}

pub(in super::super) fn reports(
    db: &mut Db,
    campaign: Option<CampaignId>,
    lane: Option<&LaneKey>,
    limit: u32,
) -> Result<Vec<ReportRow>> {
    let (relay, bucket) = match lane {
        Some(lane) => {
            let relay = db.names.find(&db.conn, lane.relay.as_str())?;
            let bucket = db.names.find(&db.conn, lane.bucket.as_str())?;
            // Nothing was ever recorded of a name that the store does not know.
            let (Some(relay), Some(bucket)) = (relay, bucket) else { return Ok(Vec::new()) };
            (Some(relay), Some(bucket))
        }
        None => (None, None),
    };
    let tail = "WHERE (?1 IS NULL OR r.campaign = ?1) AND (?2 IS NULL OR (r.relay = ?2 AND r.bucket = ?3))
        ORDER BY r.id DESC LIMIT ?4";
    read(db, tail, &[&campaign.map(|id| id.0), &relay, &bucket, &limit])
}

pub(in super::super) fn came_back(db: &mut Db, id: CampaignId) -> Result<Vec<CameBack>> {
    let Db { conn, names } = db;
    let mut statement = conn.prepare_cached(
        "SELECT bucket, fate, reason, way, n FROM came_back WHERE campaign = ?1 ORDER BY bucket, fate, reason, way",
    )?;
    let mut rows = statement.query([id.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(CameBack {
            bucket: names.bucket(conn, row.get(0)?)?,
            fate: codec::fate(row.get(1)?)?,
            reason: codec::why(row.get(2)?)?,
            way: Way(Cow::Owned(names.text(conn, row.get(3)?)?.to_string())),
            n: codec::many(row.get(4)?)?,
        });
    }
    Ok(found)
}

pub(in super::super) fn health(
    db: &mut Db,
    relay: Option<&RelayName>,
    since: Date,
) -> Result<Vec<(LaneKey, Date, Health)>> {
    let Db { conn, names } = db;
    let Some(of) = names.narrowed(conn, relay.map(RelayName::as_str))? else { return Ok(Vec::new()) };
    let mut statement = conn.prepare_cached(
        "SELECT relay, bucket, day, delivered, delayed, bounced, unknown, complaints, blocks FROM health
         WHERE (?1 IS NULL OR relay = ?1) AND day >= ?2 ORDER BY day DESC, relay, bucket",
    )?;
    let mut rows = statement.query(params![of, day_code(since)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let lane = LaneKey { relay: names.relay(conn, row.get(0)?)?, bucket: names.bucket(conn, row.get(1)?)? };
        let count = |column: usize| codec::many(row.get(column)?);
        let health = Health {
            delivered: count(3)?,
            delayed: count(4)?,
            bounced: count(5)?,
            unknown: count(6)?,
            complaints: count(7)?,
            blocks: count(8)?,
        };
        found.push((lane, codec::day(row.get(2)?)?, health));
    }
    Ok(found)
}

pub(in super::super) fn unknown_replies(db: &mut Db, limit: u32) -> Result<Vec<UnknownReply>> {
    let mut statement = db.conn.prepare_cached(
        "SELECT origin, shape, code, enhanced, text, stage, n, first, last FROM unknown_reply
         ORDER BY n DESC, last DESC, origin, shape LIMIT ?1",
    )?;
    let mut rows = statement.query([limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let sample = Diagnostic {
            code: row.get(2)?,
            enhanced: row.get::<_, Option<i64>>(3)?.map(codec::enhanced).transpose()?,
            text: row.get(4)?,
        };
        found.push(UnknownReply {
            from: row.get(0)?,
            shape: row.get(1)?,
            sample,
            stage: row.get::<_, Option<i64>>(5)?.map(codec::stage).transpose()?,
            n: codec::many(row.get(6)?)?,
            first: codec::timestamp(row.get(7)?)?,
            last: codec::timestamp(row.get(8)?)?,
        });
    }
    Ok(found)
}

pub(in super::super) fn recipients_of(db: &mut Db, messages: &[MessageId]) -> Result<Vec<Recipient>> {
    let conn = &db.conn;
    let mut look = conn.prepare_cached(
        "SELECT p.key, c.id, c.name FROM (SELECT key, campaign FROM message WHERE id = ?1
            UNION ALL SELECT key, campaign FROM recipient WHERE message = ?1) p JOIN campaign c ON c.id = p.campaign LIMIT 1",
    )?;
    // A batch is mostly about a few campaigns: the sender of each is read once.
    let mut campaigns: HashMap<i64, (CampaignName, String)> = HashMap::new();
    let mut found = Vec::with_capacity(messages.len());
    for message in messages {
        let row: Option<(String, i64, String)> =
            look.query_row([message.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let Some((key, id, name)) = row else { continue };
        let (campaign, sender_domain) = match campaigns.entry(id) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(slot) => {
                let domain = intake::standing(conn, id)?.map(|standing| standing.domain).unwrap_or_default();
                let name = CampaignName::new(&name).map_err(|_| codec::damaged("the campaign name", &name))?;
                slot.insert((name, domain)).clone()
            }
        };
        found.push(Recipient { message: *message, key, campaign, sender_domain });
    }
    Ok(found)
}
