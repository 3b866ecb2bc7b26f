//! Owns the settle: what became of claims, with attempts, ledgers and suppressions, in one transaction.
//!
//! Invariants: a settle needs the claim row with its token and relay, so a second one finds nothing and a final state is never
//! left; quota is given back only in the ledger and the cell that paid.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{self, FRESH_TIER, Place, RETRY_TIER, Result, cell_start, micros};
use super::counters::Counters;
use super::course;
use super::engine::Db;
use super::heard::unknown;
use super::intake::{self, Standing};
use super::lease::{self, Tried};
use super::names::Names;
use super::suppression;
use crate::core::campaign::{CampaignState, Class, MessageState};
use crate::core::feedback::Diagnostic;
use crate::core::reply::{Answer, Signal};
use crate::store::{Attempt, Disposition, Lease, Settled, Settlement, StoreError};

/// The claim row, as it was when it was deleted.
struct Held {
    campaign: i64,
    bucket: i64,
    class: i64,
    day: i64,
    warmup_day: u32,
    claimed_at: i64,
    retry: bool,
    rank: i64,
    attempts: i64,
    first_attempt: Option<i64>,
    uncertain: i64,
    last_attempt: Option<i64>,
}

/// Changes of one lane's plan day.
#[derive(Default)]
struct LedgerChange {
    accepted: u32,
    deferred: u32,
    bounced: u32,
    refunded: u32,
    refunded_retries: u32,
    refunded_transactional: u32,
    tried: u32,
    /// A message that was put off may be put off no longer.
    put_off: i64,
    unknown: u32,
    blocks: u32,
}

pub(super) fn settle(db: &mut Db, lease: &Lease, settlements: &[Settlement]) -> Result<Settled> {
    let Db { conn, names } = db;
    let relay = names.id(conn, lease.relay.as_str())?;
    let mut settling = Settling {
        relay,
        campaigns: BTreeMap::new(),
        ledgers: BTreeMap::new(),
        cells: BTreeMap::new(),
        counters: Counters::default(),
    };
    let mut settled = Settled::default();
    for s in settlements {
        if settling.one(conn, names, s)? {
            settled.done += 1;
        } else {
            settled.stale += 1;
        }
    }
    settling.flush(conn)?;
    Ok(settled)
}

struct Settling {
    relay: i64,
    campaigns: BTreeMap<i64, Standing>,
    /// By bucket and day.
    ledgers: BTreeMap<(i64, i64), LedgerChange>,
    /// Refunds by start and bucket.
    cells: BTreeMap<(i64, i64), u32>,
    counters: Counters,
}

impl Settling {
    /// False when the claim is gone.
    fn one(&mut self, conn: &Connection, names: &mut Names, s: &Settlement) -> Result<bool> {
        let Some(held) = let_go(conn, self.relay, s)? else { return Ok(false) };
        let attempt = match &s.attempt {
            Some(attempt) => Some(write_attempt(conn, names, self.relay, s, attempt, &held)?),
            None => None,
        };
        if let Some(attempt) = &s.attempt
            && attempt.signal == Signal::Unclassified
            && let (Some(_), Answer::Reply(reply)) = (attempt.action, &attempt.answer)
        {
            let said = Diagnostic { code: Some(reply.code), enhanced: reply.enhanced, text: reply.text.clone() };
            let origin = names.text(conn, held.bucket)?;
            unknown::collect(conn, &origin, &said, Some(attempt.stage), s.at)?;
        }
        self.account(conn, s, &held)?;
        self.counters.leave(held.campaign, held.bucket, Place::Claimed);
        let outcome = self.outcome(conn, s, &held)?;
        let place = self.put(conn, s, &held, attempt, outcome)?;
        self.counters.enter(held.campaign, held.bucket, place);
        if let Disposition::Bounced(Some(reason)) = &s.disposition {
            let key: String = conn
                .prepare_cached("SELECT key FROM message WHERE id = ?1")?
                .query_row([s.claim.message.0], |row| row.get(0))?;
            let note = s.attempt.as_ref().map(|a| a.answer.to_string()).unwrap_or_default();
            suppression::add(conn, &key, *reason, None, &note, s.at)?;
        }
        Ok(true)
    }

    fn account(&mut self, conn: &Connection, s: &Settlement, held: &Held) -> Result<()> {
        let lane = (self.relay, held.bucket, held.day);
        let earlier = course::earlier_today(conn, held.last_attempt, lane)?;
        let change = self.ledgers.entry((held.bucket, held.day)).or_default();
        if s.refund {
            change.refunded += 1;
            change.refunded_retries += u32::from(held.retry);
            change.refunded_transactional += u32::from(held.class == codec::class_code(Class::Transactional));
            *self.cells.entry((cell_start(held.claimed_at), held.bucket)).or_default() += 1;
            return Ok(());
        }
        if s.attempt.is_some() {
            change.tried += u32::from(earlier.is_none());
            change.put_off += i64::from(is_put_off(s)) - i64::from(earlier.unwrap_or(false));
            change.blocks += u32::from(s.grade.blocks);
        }
        if matches!(s.disposition, Disposition::Bounced(_)) {
            change.unknown += u32::from(s.grade.unknown);
        }
        match &s.disposition {
            Disposition::Accepted => change.accepted += 1,
            Disposition::Bounced(_) => change.bounced += 1,
            Disposition::Deferred { .. } | Disposition::Expired(_) if s.attempt.is_some() => change.deferred += 1,
            _ => {}
        }
        Ok(())
    }

    /// The disposition, after the campaign's end has had its say.
    fn outcome(&mut self, conn: &Connection, s: &Settlement, held: &Held) -> Result<Outcome> {
        let unsure = matches!(s.disposition, Disposition::Uncertain { .. } | Disposition::Parked);
        let open = unsure || matches!(s.disposition, Disposition::Deferred { .. } | Disposition::Unsent);
        let perhaps = if unsure || held.uncertain > 0 { " (perhaps sent)" } else { "" };
        if open {
            let campaign = self.campaign(conn, held.campaign)?;
            if campaign.state == CampaignState::Cancelled {
                let why = format!("its campaign was cancelled{perhaps}");
                return Ok(Outcome::Final(MessageState::Cancelled, Some(why)));
            }
            if campaign.is_past(micros(s.at)) {
                return Ok(Outcome::Final(MessageState::Expired, Some(format!("not_after has passed{perhaps}"))));
            }
        }
        Ok(match &s.disposition {
            Disposition::Accepted => Outcome::Final(MessageState::Accepted, None),
            Disposition::Bounced(_) => Outcome::Final(MessageState::Bounced, None),
            Disposition::Expired(why) => Outcome::Final(MessageState::Expired, Some(why.clone())),
            Disposition::Deferred { due } => Outcome::Later(micros(*due), 0),
            Disposition::Uncertain { due } => Outcome::Later(micros(*due), 1),
            Disposition::Parked => Outcome::Parked,
            Disposition::Unsent => Outcome::BackInLine,
        })
    }

    fn campaign(&mut self, conn: &Connection, id: i64) -> Result<&Standing> {
        if let std::collections::btree_map::Entry::Vacant(slot) = self.campaigns.entry(id) {
            let standing = intake::standing(conn, id)?.ok_or_else(|| codec::damaged("the campaign number", id))?;
            slot.insert(standing);
        }
        self.campaigns.get(&id).ok_or_else(|| codec::damaged("the campaign number", id))
    }

    fn put(
        &self,
        conn: &Connection,
        s: &Settlement,
        held: &Held,
        attempt: Option<i64>,
        outcome: Outcome,
    ) -> Result<Place> {
        let message = s.claim.message.0;
        let line = (held.campaign, held.bucket, held.rank);
        let mut tried = Tried {
            attempts: held.attempts + i64::from(s.attempt.is_some()),
            first_attempt: held
                .first_attempt
                .unwrap_or_else(|| s.attempt.as_ref().map_or(held.claimed_at, |attempt| micros(attempt.released_at))),
            uncertain: held.uncertain,
            last_attempt: attempt.or(held.last_attempt),
            relay: self.relay,
            at: micros(s.at),
            note: None,
        };
        Ok(match outcome {
            Outcome::Final(state, because) => {
                conn.prepare_cached(
                    "INSERT INTO final (message, state, at, because, relay, last_attempt, attempts)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    message,
                    codec::state_code(state),
                    micros(s.at),
                    because,
                    self.relay,
                    tried.last_attempt,
                    tried.attempts
                ])?;
                Place::Final(state)
            }
            Outcome::Later(due, uncertain) => {
                tried.uncertain += uncertain;
                tried.write(conn, message)?;
                lease::wait_until(conn, message, line, due)?;
                Place::Later
            }
            Outcome::Parked => {
                tried.uncertain += 1;
                tried.write(conn, message)?;
                lease::set_parked(conn, message, line, micros(s.at), "the relay's answer to the message never came")?;
                Place::Parked
            }
            Outcome::BackInLine => {
                let tier = if held.retry { RETRY_TIER } else { FRESH_TIER };
                intake::stand_in_line(conn, held.campaign, held.bucket, tier, held.rank, message)?;
                Place::of_tier(tier)
            }
        })
    }

    fn flush(self, conn: &Connection) -> Result<()> {
        let mut ledger = conn.prepare_cached(
            "UPDATE ledger SET accepted = accepted + ?4, deferred = deferred + ?5, bounced = bounced + ?6,
                    spent = spent - ?7, spent_retries = spent_retries - ?8, spent_transactional = spent_transactional - ?9,
                    tried = tried + ?10, put_off = max(0, put_off + ?11), unknown = unknown + ?12, blocks = blocks + ?13
             WHERE relay = ?1 AND bucket = ?2 AND day = ?3",
        )?;
        for ((bucket, day), c) in self.ledgers {
            ledger.execute(params![
                self.relay,
                bucket,
                day,
                c.accepted,
                c.deferred,
                c.bounced,
                c.refunded,
                c.refunded_retries,
                c.refunded_transactional,
                c.tried,
                c.put_off,
                c.unknown,
                c.blocks,
            ])?;
        }
        let mut cell =
            conn.prepare_cached("UPDATE cell SET n = n - ?4 WHERE start = ?1 AND relay = ?2 AND bucket = ?3")?;
        for ((start, bucket), n) in self.cells {
            cell.execute(params![start, self.relay, bucket, n])?;
        }
        self.counters.flush(conn)
    }
}

enum Outcome {
    Final(MessageState, Option<String>),
    /// Due, and by how much its uncertain attempts grow.
    Later(i64, i64),
    Parked,
    BackInLine,
}

/// Deletes the claim row; `None` when there is none with this token and relay.
fn let_go(conn: &Connection, relay: i64, s: &Settlement) -> Result<Option<Held>> {
    let mut statement = conn.prepare_cached(
        "DELETE FROM claimed WHERE message = ?1 AND token = ?2 AND relay = ?3
         RETURNING campaign, bucket, class, day, warmup_day, claimed_at, retry, rank, attempts, first_attempt, uncertain,
            last_attempt",
    )?;
    let held = statement.query_row([s.claim.message.0, s.claim.token, relay], |row| {
        Ok(Held {
            campaign: row.get(0)?,
            bucket: row.get(1)?,
            class: row.get(2)?,
            day: row.get(3)?,
            warmup_day: row.get(4)?,
            claimed_at: row.get(5)?,
            retry: row.get(6)?,
            rank: row.get(7)?,
            attempts: row.get(8)?,
            first_attempt: row.get(9)?,
            uncertain: row.get(10)?,
            last_attempt: row.get(11)?,
        })
    });
    Ok(held.optional()?)
}

/// Whether the attempt was a deferral that speaks of the lane.
fn is_put_off(s: &Settlement) -> bool {
    s.grade.put_off && matches!(s.disposition, Disposition::Deferred { .. } | Disposition::Expired(_))
}

fn write_attempt(
    conn: &Connection,
    names: &mut Names,
    relay: i64,
    s: &Settlement,
    attempt: &Attempt,
    held: &Held,
) -> Result<i64> {
    let rule = match &attempt.rule {
        Some(rule) => Some(names.id(conn, rule)?),
        None => None,
    };
    let (code, enhanced, text, fault) = match &attempt.answer {
        Answer::Reply(r) => (Some(r.code), r.enhanced.map(codec::enhanced_code), Some(r.text.as_str()), None),
        Answer::Fault(fault) => {
            let json = serde_json::to_string(fault)
                .map_err(|error| StoreError::Refused(format!("the fault cannot be written: {error}")))?;
            (None, None, None, Some(json))
        }
    };
    conn.prepare_cached(
        "INSERT INTO attempt (message, relay, bucket, class, day, warmup_day, released, finished, stage, code, enhanced,
                text, fault, signal, action, rule, counted, before, put_off)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )?
    .execute(params![
        s.claim.message.0,
        relay,
        held.bucket,
        held.class,
        held.day,
        held.warmup_day,
        micros(attempt.released_at),
        micros(attempt.finished_at),
        codec::stage_code(attempt.stage),
        code,
        enhanced,
        text,
        fault,
        codec::signal_code(attempt.signal),
        attempt.action.map(codec::action_code),
        rule,
        !s.refund,
        held.last_attempt,
        is_put_off(s),
    ])?;
    Ok(conn.last_insert_rowid())
}
