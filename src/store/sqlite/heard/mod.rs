//! Owns the recording of reports from beyond the relay.
//!
//! Invariants: a report is known by its way and event, so a repeat finds itself; a message counts once per fate, whatever the way; what
//! is counted belongs to the lane and the plan day of the send; no row of `final` is ever changed.

mod matching;
mod told;
pub(super) mod unknown;
pub(super) mod views;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{self, Result, micros};
use super::counters::Counters;
use super::engine::Db;
use super::names::Names;
use super::{lease, suppression};
use crate::core::feedback::Fate;
use crate::core::lane::speaks_of_the_lane;
use crate::core::reply::{Action, Reason, Signal};
use crate::store::{Health, Lease, Recorded, Report, SuppressionReason};
use matching::Send;

/// Evidence of a report that the destination took a message, in characters: it says little and there are many.
const EVIDENCE_OF_A_SUCCESS: usize = 200;

pub(super) fn record(db: &mut Db, reports: &[Report], now: Timestamp) -> Result<Recorded> {
    let Db { conn, names } = db;
    let mut recording = Recording { now: micros(now), ..Recording::default() };
    for report in reports {
        recording.one(conn, names, report)?;
    }
    recording.flush(conn)?;
    recording.counters.flush(conn)?;
    Ok(recording.done)
}

/// Changes of one transaction, written once at its end where they are sums.
#[derive(Default)]
struct Recording {
    now: i64,
    /// By relay, bucket and day, with how many more are put off than before.
    health: BTreeMap<[i64; 3], (Health, i64)>,
    /// By campaign, bucket, fate, reason and way.
    came_back: BTreeMap<[i64; 5], i64>,
    /// The newest report of mail that went through, by relay and bucket.
    went_well: BTreeMap<[i64; 2], i64>,
    counters: Counters,
    done: Recorded,
}

impl Recording {
    fn one(&mut self, conn: &Connection, names: &mut Names, report: &Report) -> Result<()> {
        let way = names.id(conn, report.way.as_str())?;
        let known: Option<i64> = conn
            .prepare_cached("SELECT id FROM report WHERE way = ?1 AND event = ?2")?
            .query_row(params![way, report.id], |row| row.get(0))
            .optional()?;
        if known.is_some() {
            self.done.repeated += 1;
            return Ok(());
        }
        let send = matching::send_of(conn, report)?;
        let counts = match send.message {
            Some(message) => !is_known(conn, message, report.fate)?,
            None => true,
        };
        let id = write(conn, names, report, (way, self.now), &send, counts)?;
        self.done.new += 1;
        self.done.unmatched += u64::from(send.message.is_none());
        if counts {
            self.count(conn, report, way, &send, id)?;
        }
        let key = send.key.as_deref().or(report.key.as_deref());
        if let Some(key) = key {
            self.hold_back(conn, report, key, &send, counts)?;
        }
        told::settle(conn, report, self.now, &mut self.counters)?;
        if report.rule.is_none() && matches!(report.fate, Fate::Refused | Fate::Delayed) {
            unknown::collect_report(conn, names, report, &send)?;
        }
        Ok(())
    }

    fn count(&mut self, conn: &Connection, report: &Report, way: i64, send: &Send, id: i64) -> Result<()> {
        let fate = codec::fate_code(report.fate);
        if let (Some(campaign), Some(bucket)) = (send.campaign, send.bucket)
            && report.fate != Fate::AutoReply
        {
            let key = [campaign, bucket, fate, codec::why_code(report.reason), way];
            *self.came_back.entry(key).or_default() += 1;
        }
        let (Some(relay), Some(bucket), Some(day)) = (send.relay, send.bucket, send.day) else { return Ok(()) };
        let (health, put_off) = self.health.entry([relay, bucket, day]).or_default();
        match report.fate {
            Fate::Delivered => {
                health.delivered += 1;
                self.went_well.insert([relay, bucket], id);
            }
            Fate::Delayed => {
                let speaks = speaks_of_the_lane(report.signal);
                health.delayed += u64::from(speaks);
                *put_off += i64::from(speaks);
            }
            Fate::Refused => {
                health.bounced += 1;
                health.unknown += u64::from(report.reason == Reason::UserUnknown);
            }
            Fate::Complaint => health.complaints += 1,
            Fate::Unsubscribed | Fate::AutoReply => {}
        }
        health.blocks += u64::from(report.action == Some(Action::Block));
        // What was delayed and then came to an end is put off no longer.
        if let (Fate::Delivered | Fate::Refused, Some(message)) = (report.fate, send.message) {
            *put_off -= i64::from(was_put_off(conn, message)?);
        }
        Ok(())
    }

    fn hold_back(&mut self, conn: &Connection, report: &Report, key: &str, send: &Send, counts: bool) -> Result<()> {
        if report.fate == Fate::Delivered {
            // Mostly there is no such row, and then nothing is written.
            conn.prepare_cached("DELETE FROM mailbox WHERE key = ?1")?.execute([key])?;
            return Ok(());
        }
        let note = format!("{} ({}, by {})", report.said, report.reason.as_str(), report.way.as_str());
        let mut new = false;
        if let Some(reason) = report.suppress {
            let sender = match reason {
                SuppressionReason::Unsubscribe => send.sender.as_deref(),
                _ => None,
            };
            new |= suppression::add(conn, key, reason, sender, &note, report.at)?;
        }
        if let Some(most) = report.mailbox_after
            && counts
        {
            let n: u32 = conn
                .prepare_cached(
                    "INSERT INTO mailbox (key, n, last) VALUES (?1, 1, ?2)
                     ON CONFLICT DO UPDATE SET n = n + 1, last = max(last, excluded.last) RETURNING n",
                )?
                .query_row(params![key, micros(report.at)], |row| row.get(0))?;
            if n >= most {
                let note = format!("{n} messages in a row: {note}");
                new |= suppression::add(conn, key, SuppressionReason::Mailbox, None, &note, report.at)?;
            }
        }
        self.done.suppressed += u64::from(new);
        Ok(())
    }

    fn flush(&self, conn: &Connection) -> Result<()> {
        let mut health = conn.prepare_cached(
            "INSERT INTO health (relay, bucket, day, delivered, delayed, bounced, unknown, complaints, blocks, put_off)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, max(0, ?10))
             ON CONFLICT DO UPDATE SET delivered = delivered + excluded.delivered, delayed = delayed + excluded.delayed,
                bounced = bounced + excluded.bounced, unknown = unknown + excluded.unknown,
                complaints = complaints + excluded.complaints, blocks = blocks + excluded.blocks,
                put_off = max(0, put_off + ?10)",
        )?;
        for ([relay, bucket, day], (h, put_off)) in &self.health {
            let counts = [h.delivered, h.delayed, h.bounced, h.unknown, h.complaints, h.blocks];
            let [delivered, delayed, bounced, unknown, complaints, blocks] = counts.map(codec::stored);
            health.execute([
                relay,
                bucket,
                day,
                &delivered,
                &delayed,
                &bounced,
                &unknown,
                &complaints,
                &blocks,
                put_off,
            ])?;
        }
        let mut came_back = conn.prepare_cached(
            "INSERT INTO came_back (campaign, bucket, fate, reason, way, n) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET n = n + excluded.n",
        )?;
        for ([campaign, bucket, fate, reason, way], n) in &self.came_back {
            came_back.execute([campaign, bucket, fate, reason, way, n])?;
        }
        let mut well = conn.prepare_cached(
            "INSERT INTO went_well (relay, bucket, report) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET report = excluded.report",
        )?;
        for ([relay, bucket], id) in &self.went_well {
            well.execute([relay, bucket, id])?;
        }
        Ok(())
    }
}

/// Whether this fate of a message was counted before.
fn is_known(conn: &Connection, message: i64, fate: Fate) -> Result<bool> {
    let mut statement =
        conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM report WHERE message = ?1 AND fate = ?2 AND counts)")?;
    Ok(statement.query_row([message, codec::fate_code(fate)], |row| row.get(0))?)
}

/// Whether a message was delayed in words that speak of its lane, and came to no end yet: the first end resolves it.
fn was_put_off(conn: &Connection, message: i64) -> Result<bool> {
    let mut statement = conn.prepare_cached(
        "SELECT count(*) FILTER (WHERE fate = ?2 AND signal IN (?3, ?4, ?5)) > 0
            AND count(*) FILTER (WHERE fate IN (?6, ?7)) = 1 FROM report WHERE message = ?1 AND counts",
    )?;
    let signal = codec::signal_code;
    let parameters = params![
        message,
        codec::fate_code(Fate::Delayed),
        signal(Signal::Volume),
        signal(Signal::Reputation),
        signal(Signal::Unclassified),
        codec::fate_code(Fate::Delivered),
        codec::fate_code(Fate::Refused),
    ];
    Ok(statement.query_row(parameters, |row| row.get(0))?)
}

fn write(
    conn: &Connection,
    names: &mut Names,
    report: &Report,
    (way, now): (i64, i64),
    send: &Send,
    counts: bool,
) -> Result<i64> {
    let rule = report.rule.as_ref().map(|rule| names.id(conn, rule)).transpose()?;
    let evidence: String = match report.fate {
        Fate::Delivered => report.evidence.chars().take(EVIDENCE_OF_A_SUCCESS).collect(),
        _ => report.evidence.clone(),
    };
    // A message knows its address; only where it is another's is the report's own kept.
    let key = report.key.as_ref().filter(|key| send.key.as_ref() != Some(key));
    conn.prepare_cached(
        "INSERT INTO report (way, event, at, recorded, fate, message, key, relay, bucket, day, campaign, counts, code, enhanced,
                text, stage, remote, signal, action, reason, rule, suppress, mailbox_after, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    )?
    .execute(params![
        way,
        report.id,
        micros(report.at),
        now,
        codec::fate_code(report.fate),
        send.message,
        key,
        send.relay,
        send.bucket,
        send.day,
        send.campaign,
        counts,
        report.said.code,
        report.said.enhanced.map(codec::enhanced_code),
        report.said.text,
        report.stage.map(codec::stage_code),
        report.remote,
        codec::signal_code(report.signal),
        report.action.map(codec::action_code),
        codec::why_code(report.reason),
        rule,
        report.suppress.map(codec::reason_code),
        report.mailbox_after,
        evidence,
    ])?;
    Ok(conn.last_insert_rowid())
}

/// Remembers up to which report the relay's owner has acted.
pub(super) fn note_heard(db: &mut Db, lease: &Lease, until: i64) -> Result<()> {
    let relay = lease::fence(db, lease)?;
    db.conn
        .prepare_cached(
            "INSERT INTO acted (relay, report) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET report = max(report, excluded.report)",
        )?
        .execute([relay, until])?;
    Ok(())
}

/// Up to which report the owner of relay number `relay` has acted.
pub(super) fn acted(conn: &Connection, relay: i64) -> Result<i64> {
    let mut statement = conn.prepare_cached("SELECT report FROM acted WHERE relay = ?1")?;
    Ok(statement.query_row([relay], |row| row.get(0)).optional()?.unwrap_or(0))
}
