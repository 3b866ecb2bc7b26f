//! Owns the claim: messages are taken and their quota is spent in one transaction.
//!
//! Invariants: fenced by the lease's token; `spent` never passes the quota given; a suppressed address costs nothing; retries
//! first, then score, then list order; a campaign that is not running, not begun or over is passed over.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::codec::{self, FRESH_TIER, Place, RETRY_TIER, Result, cell_start, day_code, micros};
use super::counters::Counters;
use super::engine::Db;
use super::intake::{self, Standing};
use super::suppression::Screen;
use super::{lease, sweep};
use crate::core::campaign::{Class, MessageId, MessageState};
use crate::store::{Claim, ClaimOrder, ClaimRef, Claimed, LaneClaim, StoreError, Want};

/// After so many suppressed addresses in one claim the rest is left for the next: a claim stays short.
const SUPPRESSED_MAX: u64 = 2_000;

/// Range scan of one campaign's line in one bucket. Messages that were never tried have no row in `tried`.
const FRESH: &str = "SELECT r.rank, r.message, coalesce(m.address, m.key), m.columns, m.key, 0, NULL, 0, NULL
    FROM ready r CROSS JOIN message m ON m.id = r.message
    WHERE r.campaign = ?1 AND r.bucket = ?2 AND r.tier = ?3 ORDER BY r.rank, r.message LIMIT ?4";
const RETRIES: &str = "SELECT r.rank, r.message, coalesce(m.address, m.key), m.columns, m.key,
        coalesce(t.attempts, 0), t.first_attempt, coalesce(t.uncertain, 0), t.last_attempt
    FROM ready r CROSS JOIN message m ON m.id = r.message LEFT JOIN tried t ON t.message = r.message
    WHERE r.campaign = ?1 AND r.bucket = ?2 AND r.tier = ?3 ORDER BY r.rank, r.message LIMIT ?4";

/// A message in line.
struct Candidate {
    rank: i64,
    message: i64,
    address: String,
    columns: String,
    key: String,
    attempts: u32,
    first_attempt: Option<i64>,
    uncertain: i64,
    last_attempt: Option<i64>,
}

/// What a lane took, for its ledger.
#[derive(Default)]
struct Taken {
    all: u32,
    retries: u32,
    transactional: u32,
}

pub(super) fn claim(db: &mut Db, order: &ClaimOrder) -> Result<Claimed> {
    let relay = lease::fence(db, &order.lease)?;
    let mut claiming = Claiming {
        order,
        relay,
        now: micros(order.now),
        campaigns: BTreeMap::new(),
        counters: Counters::default(),
        claimed: Claimed::default(),
    };
    for lane in &order.lanes {
        let bucket = db.names.id(&db.conn, lane.bucket.as_str())?;
        claiming.lane(&db.conn, lane, bucket)?;
    }
    claiming.counters.flush(&db.conn)?;
    Ok(claiming.claimed)
}

struct Claiming<'a> {
    order: &'a ClaimOrder,
    relay: i64,
    now: i64,
    /// `None`: passed over.
    campaigns: BTreeMap<i64, Option<(Standing, Screen)>>,
    counters: Counters,
    claimed: Claimed,
}

impl Claiming<'_> {
    fn lane(&mut self, conn: &Connection, lane: &LaneClaim, bucket: i64) -> Result<()> {
        let mut taken = Taken::default();
        for want in &lane.wants {
            let id = want.campaign.0;
            let known = match self.campaigns.remove(&id) {
                Some(known) => known,
                None => self.look_up(conn, id)?,
            };
            if let Some((standing, screen)) = &known {
                let before = taken.all;
                for (tier, n) in [(RETRY_TIER, want.retries), (FRESH_TIER, want.fresh)] {
                    self.take(conn, Line { lane, want, bucket, tier, standing, screen }, n, &mut taken)?;
                }
                if standing.class == Class::Transactional && taken.all > before {
                    intake::note_transactional(conn, standing.pool, self.now)?;
                }
            }
            self.campaigns.insert(id, known);
        }
        self.spend(conn, lane, bucket, &taken)
    }

    fn look_up(&self, conn: &Connection, campaign: i64) -> Result<Option<(Standing, Screen)>> {
        let Some(standing) = intake::standing(conn, campaign)?.filter(|s| s.may_leave(self.now)) else {
            return Ok(None);
        };
        let screen = Screen::new(conn, standing.class, &[&self.order.sender, &standing.domain])?;
        Ok(Some((standing, screen)))
    }

    /// Takes `n` messages from the head of a line.
    fn take(&mut self, conn: &Connection, line: Line<'_>, n: u32, taken: &mut Taken) -> Result<()> {
        let mut missing = n;
        while missing > 0 && self.claimed.suppressed < SUPPRESSED_MAX {
            let found = head(conn, line.want.campaign.0, line.bucket, line.tier, missing)?;
            let Some(last) = found.last() else { break };
            // What was read is the head of the line, so one range goes.
            conn.prepare_cached(
                "DELETE FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier = ?3 AND (rank, message) <= (?4, ?5)",
            )?
            .execute([line.want.campaign.0, line.bucket, line.tier, last.rank, last.message])?;
            let short = codec::rows(found.len()) < u64::from(missing);
            for candidate in found {
                self.counters.leave(line.want.campaign.0, line.bucket, Place::of_tier(line.tier));
                if let Some(why) = line.screen.holds(conn, &candidate.key)? {
                    self.suppress(conn, &line, candidate.message, &why)?;
                } else {
                    self.claim_one(conn, &line, candidate, taken)?;
                    missing -= 1;
                }
            }
            if short {
                break;
            }
        }
        Ok(())
    }

    fn suppress(&mut self, conn: &Connection, line: &Line<'_>, message: i64, why: &str) -> Result<()> {
        sweep::end(conn, message, MessageState::Suppressed, self.now, why)?;
        self.counters.enter(line.want.campaign.0, line.bucket, Place::Final(MessageState::Suppressed));
        self.claimed.suppressed += 1;
        Ok(())
    }

    fn claim_one(&mut self, conn: &Connection, line: &Line<'_>, c: Candidate, taken: &mut Taken) -> Result<()> {
        let retry = line.tier == RETRY_TIER;
        conn.prepare_cached(
            "INSERT INTO claimed (message, relay, token, campaign, bucket, class, day, warmup_day, claimed_at, retry, rank,
                    attempts, first_attempt, uncertain, last_attempt)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            c.message,
            self.relay,
            self.order.lease.token,
            line.want.campaign.0,
            line.bucket,
            codec::class_code(line.standing.class),
            day_code(line.lane.day),
            line.lane.warmup_day,
            self.now,
            retry,
            c.rank,
            c.attempts,
            c.first_attempt,
            c.uncertain,
            c.last_attempt,
        ])?;
        self.counters.enter(line.want.campaign.0, line.bucket, Place::Claimed);
        taken.all += 1;
        taken.retries += u32::from(retry);
        taken.transactional += u32::from(line.standing.class == Class::Transactional);
        self.claimed.claims.push(Claim {
            r: ClaimRef {
                message: MessageId(c.message),
                token: self.order.lease.token,
                campaign: line.want.campaign,
                bucket: line.lane.bucket.clone(),
                class: line.standing.class,
                day: line.lane.day,
                warmup_day: line.lane.warmup_day,
                claimed_at: codec::timestamp(self.now)?,
                retry,
            },
            address: c.address,
            columns: c.columns,
            attempts: c.attempts,
            first_attempt: codec::maybe_timestamp(c.first_attempt)?,
            was_uncertain: c.uncertain > 0,
        });
        Ok(())
    }

    /// Writes what was taken into ledger and cell; refuses, and so undoes the whole claim, where it passes the quota.
    fn spend(&self, conn: &Connection, lane: &LaneClaim, bucket: i64, taken: &Taken) -> Result<()> {
        let day = day_code(lane.day);
        let spent: u32 = conn
            .prepare_cached(
                "INSERT INTO ledger (relay, bucket, day, warmup_day, quota, quota_peak) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
                 ON CONFLICT DO UPDATE SET warmup_day = excluded.warmup_day, quota = excluded.quota,
                    quota_peak = max(quota_peak, excluded.quota)
                 RETURNING spent",
            )?
            .query_row(params![self.relay, bucket, day, lane.warmup_day, lane.quota], |row| row.get(0))?;
        if taken.all == 0 {
            return Ok(());
        }
        if u64::from(spent) + u64::from(taken.all) > u64::from(lane.quota) {
            return Err(StoreError::Refused(format!(
                "{} more would pass the quota of {}/{} on {}: {spent} of {} are spent",
                taken.all, self.order.lease.relay, lane.bucket, lane.day, lane.quota
            )));
        }
        conn.prepare_cached(
            "UPDATE ledger SET spent = spent + ?4, spent_retries = spent_retries + ?5,
                    spent_transactional = spent_transactional + ?6
             WHERE relay = ?1 AND bucket = ?2 AND day = ?3",
        )?
        .execute(params![self.relay, bucket, day, taken.all, taken.retries, taken.transactional])?;
        conn.prepare_cached(
            "INSERT INTO cell (start, relay, bucket, n) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET n = n + excluded.n",
        )?
        .execute(params![cell_start(self.now), self.relay, bucket, taken.all])?;
        Ok(())
    }
}

/// One campaign's line in one bucket, as a lane looks at it.
struct Line<'a> {
    lane: &'a LaneClaim,
    want: &'a Want,
    bucket: i64,
    tier: i64,
    standing: &'a Standing,
    screen: &'a Screen,
}

fn head(conn: &Connection, campaign: i64, bucket: i64, tier: i64, n: u32) -> Result<Vec<Candidate>> {
    let mut statement = conn.prepare_cached(if tier == RETRY_TIER { RETRIES } else { FRESH })?;
    let mut rows = statement.query(params![campaign, bucket, tier, n])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Candidate {
            rank: row.get(0)?,
            message: row.get(1)?,
            address: row.get(2)?,
            columns: row.get(3)?,
            key: row.get(4)?,
            attempts: row.get(5)?,
            first_attempt: row.get(6)?,
            uncertain: row.get(7)?,
            last_attempt: row.get(8)?,
        });
    }
    Ok(found)
}
