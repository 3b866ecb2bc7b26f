//! Owns what a report does to a message whose fate was uncertain: it tells that fate.
//!
//! Invariants: only a message that is parked, or waits after an uncertain attempt, is settled, and only by a report that bears its
//! signed token: an address alone may mean an earlier message; what is final or in the air is left alone.

use rusqlite::{Connection, OptionalExtension};

use super::super::codec::{Place, Result, rank};
use super::super::counters::Counters;
use super::super::{orders, sweep};
use crate::core::campaign::MessageState;
use crate::core::feedback::Fate;
use crate::core::reply::Action;
use crate::store::Report;

/// The state that a report settles an uncertain message as. A refusal for now (its rule would try again) leaves it to the operator.
fn settled_as(fate: Fate, action: Option<Action>) -> Option<MessageState> {
    match (fate, action) {
        (Fate::Delivered, _) => Some(MessageState::Accepted),
        (Fate::Refused, Some(Action::Suppress | Action::Fail)) => Some(MessageState::Bounced),
        _ => None,
    }
}

/// Settles the message of a report where its fate was uncertain.
pub(super) fn settle(conn: &Connection, report: &Report, now: i64, counters: &mut Counters) -> Result<()> {
    let (Some(id), Some(state)) = (report.message, settled_as(report.fate, report.action)) else { return Ok(()) };
    let uncertain: Option<(i64, i64, i64)> = conn
        .prepare_cached(
            "SELECT m.campaign, m.bucket, m.score FROM tried t JOIN message m ON m.id = t.message
             WHERE t.message = ?1 AND t.uncertain > 0",
        )?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((campaign, bucket, score)) = uncertain else { return Ok(()) };
    let because = format!("settled by a report (by {})", report.way.as_str());
    if orders::end_parked(conn, id.0, state, now, &because, counters)? {
        return Ok(());
    }
    if let Some(place) = sweep::take_out(conn, campaign, bucket, rank(score), id.0)? {
        sweep::end(conn, id.0, state, now, &because)?;
        counters.leave(campaign, bucket, place);
        counters.enter(campaign, bucket, Place::Final(state));
    }
    Ok(())
}
