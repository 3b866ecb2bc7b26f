//! Owns which send a report is about.
//!
//! Invariants: a number that a signed token gave is believed; an address finds the newest message that a relay had taken for it by
//! then; what is in the air counts as sent, since a bounce may be faster than the settle.

use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::codec::{self, Result, micros};
use super::super::intake;
use crate::core::campaign::MessageState;
use crate::store::Report;

/// How far a report's clock may be behind the store's.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// The send that a report is about, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Send {
    pub(super) message: Option<i64>,
    pub(super) campaign: Option<i64>,
    pub(super) bucket: Option<i64>,
    pub(super) relay: Option<i64>,
    pub(super) day: Option<i64>,
    /// The message's own address.
    pub(super) key: Option<String>,
    /// Sending domain of its campaign.
    pub(super) sender: Option<String>,
}

/// Relay, bucket and plan day of an attempt.
type Lane = (i64, i64, i64);

pub(super) fn send_of(conn: &Connection, report: &Report) -> Result<Send> {
    let message = match (report.message, &report.key) {
        (Some(id), _) => Some(id.0),
        (None, Some(key)) => newest_to(conn, key, micros(report.at.checked_add(SLACK).unwrap_or(report.at)))?,
        (None, None) => None,
    };
    let Some(message) = message else { return Ok(Send::default()) };
    let row: Option<(i64, i64, String)> = conn
        .prepare_cached("SELECT campaign, bucket, key FROM message WHERE id = ?1")?
        .query_row([message], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let mut send = Send { message: Some(message), ..Send::default() };
    if let Some((campaign, bucket, key)) = row {
        (send.campaign, send.bucket, send.key) = (Some(campaign), Some(bucket), Some(key));
        if let Some((relay, bucket, day)) = lane_of(conn, message)? {
            (send.relay, send.bucket, send.day) = (Some(relay), Some(bucket), Some(day));
        }
    } else {
        let folded: Option<(i64, String)> = conn
            .prepare_cached("SELECT campaign, key FROM recipient WHERE message = ?1")?
            .query_row([message], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // A number of another store, or of one that an older backup has replaced.
        let Some((campaign, key)) = folded else { return Ok(Send::default()) };
        (send.campaign, send.key) = (Some(campaign), Some(key));
    }
    if let Some(campaign) = send.campaign {
        send.sender = intake::standing(conn, campaign)?.map(|standing| standing.domain);
    }
    Ok(send)
}

fn newest_to(conn: &Connection, key: &str, before: i64) -> Result<Option<i64>> {
    let accepted = codec::state_code(MessageState::Accepted);
    let found = conn
        .prepare_cached(
            "SELECT m.id FROM message m LEFT JOIN final f ON f.message = m.id LEFT JOIN claimed c ON c.message = m.id
             WHERE m.key = ?1 AND ((f.state = ?2 AND f.at <= ?3) OR c.claimed_at <= ?3)
             ORDER BY coalesce(f.at, c.claimed_at) DESC LIMIT 1",
        )?
        .query_row(params![key, accepted, before], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The lane and plan day that sent a message: of the claim while it is in the air, else of the last attempt.
fn lane_of(conn: &Connection, message: i64) -> Result<Option<Lane>> {
    let lane = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let last = conn
        .prepare_cached(
            "SELECT relay, bucket, day FROM attempt WHERE id = coalesce(
                (SELECT last_attempt FROM final WHERE message = ?1), (SELECT last_attempt FROM tried WHERE message = ?1))",
        )?
        .query_row([message], lane)
        .optional()?;
    if last.is_some() {
        return Ok(last);
    }
    let in_the_air =
        conn.prepare_cached("SELECT relay, bucket, day FROM claimed WHERE message = ?1")?.query_row([message], lane);
    Ok(in_the_air.optional()?)
}
