//! Owns campaigns, their revisions and the intake of lists.
//!
//! Invariants: one message per campaign and key; a row that is not waiting any more is never touched by a resubmission; nothing
//! of a loading campaign leaves.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codec::{self, FRESH_TIER, Place, Result, micros, rank};
use super::counters::Counters;
use super::engine::Db;
use super::{suppression, sweep};
use crate::core::campaign::{CampaignId, CampaignState, Class, MessageState, RevisionId};
use crate::core::names::CampaignName;
use crate::store::{CampaignRow, Enqueued, NewCampaign, NewMessage, Revision, StoreError};

const CAMPAIGN: &str =
    "SELECT c.id, c.name, c.pool, c.sender, c.state, c.because, c.changed, c.created, c.revision, c.loads,
        r.content, r.start, r.finish_by, r.not_after, r.class, r.weight, r.digest
    FROM campaign c JOIN revision r ON r.id = c.revision";

/// What a claim, a settle or an intake must know of a campaign.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) state: CampaignState,
    pub(super) class: Class,
    pub(super) pool: i64,
    pub(super) start: i64,
    pub(super) not_after: Option<i64>,
    /// Domain of the campaign's sender, lower case.
    pub(super) domain: String,
}

impl Standing {
    /// Whether its mail may be claimed at `now`.
    pub(super) fn may_leave(&self, now: i64) -> bool {
        self.state == CampaignState::Running && self.start <= now && !self.is_past(now)
    }

    /// Whether `not_after` has come.
    pub(super) fn is_past(&self, now: i64) -> bool {
        self.not_after.is_some_and(|end| end <= now)
    }
}

/// Domain of `Name <local@domain>` or `local@domain`, lower case.
fn domain_of(from: &str) -> String {
    let after_at = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    after_at.trim_end_matches('>').trim().to_ascii_lowercase()
}

/// How a campaign stands; `None` when there is no such campaign.
pub(super) fn standing(conn: &Connection, campaign: i64) -> Result<Option<Standing>> {
    let mut statement =
        conn.prepare_cached("SELECT state, class, pool, start, not_after, sender FROM campaign WHERE id = ?1")?;
    let mut rows = statement.query([campaign])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let from: String = row.get(5)?;
    Ok(Some(Standing {
        state: codec::campaign_state(row.get(0)?)?,
        class: codec::class(row.get(1)?)?,
        pool: row.get(2)?,
        start: row.get(3)?,
        not_after: row.get(4)?,
        domain: domain_of(&from),
    }))
}

fn campaign_row(db: &mut Db, row: &CampaignColumns) -> Result<CampaignRow> {
    Ok(CampaignRow {
        id: CampaignId(row.id),
        name: CampaignName::new(&row.name).map_err(|_| codec::damaged("the campaign name", &row.name))?,
        pool: db.names.pool(&db.conn, row.pool)?,
        from: row.sender.clone(),
        state: row.state,
        because: row.because.clone(),
        changed: codec::timestamp(row.changed)?,
        created: codec::timestamp(row.created)?,
        revision: RevisionId(row.revision),
        current: row.current.clone(),
        loads: row.loads,
    })
}

struct CampaignColumns {
    id: i64,
    name: String,
    pool: i64,
    sender: String,
    state: CampaignState,
    because: Option<String>,
    changed: i64,
    created: i64,
    revision: i64,
    loads: i64,
    current: Revision,
}

fn columns(row: &Row<'_>) -> Result<CampaignColumns> {
    Ok(CampaignColumns {
        id: row.get(0)?,
        name: row.get(1)?,
        pool: row.get(2)?,
        sender: row.get(3)?,
        state: codec::campaign_state(row.get(4)?)?,
        because: row.get(5)?,
        changed: row.get(6)?,
        created: row.get(7)?,
        revision: row.get(8)?,
        loads: row.get(9)?,
        current: revision_row(row, 10)?,
    })
}

fn revision_row(row: &Row<'_>, first: usize) -> Result<Revision> {
    Ok(Revision {
        content: row.get(first)?,
        start: codec::timestamp(row.get(first + 1)?)?,
        finish_by: codec::maybe_timestamp(row.get(first + 2)?)?,
        not_after: codec::maybe_timestamp(row.get(first + 3)?)?,
        class: codec::class(row.get(first + 4)?)?,
        weight: row.get(first + 5)?,
        digest: row.get(first + 6)?,
    })
}

/// Campaigns that `condition` (SQL on `c`) selects.
pub(super) fn select(db: &mut Db, condition: &str, parameters: impl rusqlite::Params) -> Result<Vec<CampaignRow>> {
    let mut found = Vec::new();
    {
        let mut statement = db.conn.prepare_cached(&format!("{CAMPAIGN} {condition}"))?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            found.push(columns(row)?);
        }
    }
    found.iter().map(|row| campaign_row(db, row)).collect()
}

/// A campaign by name.
pub(super) fn by_name(db: &mut Db, name: &CampaignName) -> Result<Option<CampaignRow>> {
    Ok(select(db, "WHERE c.name = ?1", [name.as_str()])?.pop())
}

/// The error for a campaign that is not there.
pub(super) fn no_such(id: CampaignId) -> StoreError {
    StoreError::Refused(format!("there is no campaign number {}", id.0))
}

pub(super) fn create(db: &mut Db, new: &NewCampaign, now: Timestamp) -> Result<CampaignId> {
    if by_name(db, &new.name)?.is_some() {
        return Err(StoreError::Refused(format!(
            "campaign {} exists already; submitting it again continues it, a new newsletter needs a new name",
            new.name
        )));
    }
    let pool = db.names.id(&db.conn, new.pool.as_str())?;
    let r = &new.revision;
    db.conn
        .prepare_cached(
            "INSERT INTO campaign (name, pool, sender, state, changed, created, revision, start, not_after, class)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, ?6, ?7, ?8)",
        )?
        .execute(params![
            new.name.as_str(),
            pool,
            new.from,
            codec::campaign_state_code(CampaignState::Loading),
            micros(now),
            micros(r.start),
            r.not_after.map(micros),
            codec::class_code(r.class),
        ])?;
    let id = CampaignId(db.conn.last_insert_rowid());
    add_revision(db, id, r, now)?;
    Ok(id)
}

fn add_revision(db: &Db, id: CampaignId, r: &Revision, now: Timestamp) -> Result<RevisionId> {
    db.conn
        .prepare_cached(
            "INSERT INTO revision (campaign, content, start, finish_by, not_after, class, weight, digest, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id.0,
            r.content,
            micros(r.start),
            r.finish_by.map(micros),
            r.not_after.map(micros),
            codec::class_code(r.class),
            r.weight,
            r.digest,
            micros(now),
        ])?;
    let revision = db.conn.last_insert_rowid();
    db.conn
        .prepare_cached("UPDATE campaign SET revision = ?2, start = ?3, not_after = ?4, class = ?5 WHERE id = ?1")?
        .execute(params![id.0, revision, micros(r.start), r.not_after.map(micros), codec::class_code(r.class)])?;
    Ok(RevisionId(revision))
}

fn open_campaign(db: &Db, id: CampaignId) -> Result<Standing> {
    let standing = standing(&db.conn, id.0)?.ok_or_else(|| no_such(id))?;
    if matches!(standing.state, CampaignState::Finished | CampaignState::Cancelled) {
        return Err(StoreError::Refused(format!(
            "the campaign is {}; a new newsletter needs a new name",
            standing.state.as_str()
        )));
    }
    Ok(standing)
}

pub(super) fn revise(db: &mut Db, id: CampaignId, revision: &Revision, now: Timestamp) -> Result<RevisionId> {
    open_campaign(db, id)?;
    add_revision(db, id, revision, now)
}

pub(super) fn revision(db: &mut Db, id: RevisionId) -> Result<Revision> {
    let mut statement = db.conn.prepare_cached(
        "SELECT content, start, finish_by, not_after, class, weight, digest FROM revision WHERE id = ?1",
    )?;
    let mut rows = statement.query([id.0])?;
    match rows.next()? {
        Some(row) => revision_row(row, 0),
        None => Err(StoreError::Refused(format!("there is no revision number {}", id.0))),
    }
}

pub(super) fn enqueue(
    db: &mut Db,
    id: CampaignId,
    rows: &[NewMessage],
    load: i64,
    mark: bool,
    now: Timestamp,
) -> Result<Enqueued> {
    let standing = open_campaign(db, id)?;
    let mut batch = Batch {
        campaign: id.0,
        load,
        mark,
        now: micros(now),
        screen: suppression::Screen::new(&db.conn, standing.class, &[&standing.domain])?,
        counters: Counters::default(),
        done: Enqueued::default(),
    };
    for row in rows {
        let bucket = db.names.id(&db.conn, row.bucket.as_str())?;
        batch.take(&db.conn, row, bucket)?;
    }
    let done = batch.done;
    batch.counters.flush(&db.conn)?;
    db.conn.prepare_cached("UPDATE campaign SET loads = max(loads, ?2) WHERE id = ?1")?.execute([id.0, load + 1])?;
    if standing.class == Class::Transactional && done.added > 0 {
        note_transactional(&db.conn, standing.pool, micros(now))?;
    }
    Ok(done)
}

/// Remembers that a pool has transactional mail.
pub(super) fn note_transactional(conn: &Connection, pool: i64, now: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO transactional (pool, last) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
    )?
    .execute([pool, now])?;
    Ok(())
}

/// One call of `enqueue`.
struct Batch {
    campaign: i64,
    load: i64,
    mark: bool,
    now: i64,
    screen: suppression::Screen,
    counters: Counters,
    done: Enqueued,
}

impl Batch {
    fn take(&mut self, conn: &Connection, row: &NewMessage, bucket: i64) -> Result<()> {
        let address = (row.address != row.key).then_some(&row.address);
        let inserted = conn
            .prepare_cached(
                "INSERT INTO message (campaign, bucket, score, load, key, address, columns)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key, campaign) DO NOTHING",
            )?
            .execute(params![self.campaign, bucket, row.score, self.load, row.key, address, row.columns])?;
        if inserted == 0 {
            return self.meet(conn, row, bucket);
        }
        let message = conn.last_insert_rowid();
        let held = match &row.refused {
            Some(why) => Some(why.clone()),
            None => self.screen.holds(conn, &row.key)?,
        };
        if let Some(why) = held {
            finish(conn, message, MessageState::Suppressed, self.now, &why)?;
            self.counters.enter(self.campaign, bucket, Place::Final(MessageState::Suppressed));
            self.done.suppressed += 1;
        } else {
            stand_in_line(conn, self.campaign, bucket, FRESH_TIER, rank(row.score), message)?;
            self.counters.enter(self.campaign, bucket, Place::Fresh);
            self.done.added += 1;
        }
        Ok(())
    }

    /// A key that the campaign has already.
    fn meet(&mut self, conn: &Connection, row: &NewMessage, bucket: i64) -> Result<()> {
        let known = conn
            .prepare_cached(
                "SELECT id, bucket, score, columns, coalesce(address, key), load FROM message WHERE key = ?1 AND campaign = ?2",
            )?
            .query_row(params![row.key, self.campaign], |r| {
                Ok((
                    r.get::<_, i64>(0)?,
                    r.get::<_, i64>(1)?,
                    r.get::<_, i64>(2)?,
                    r.get::<_, String>(3)?,
                    r.get::<_, String>(4)?,
                    r.get::<_, i64>(5)?,
                ))
            })?;
        let (message, old_bucket, old_score, old_columns, old_address, seen_in) = known;
        if seen_in == self.load {
            // Twice in one list: the first row wins.
            self.done.known += 1;
            return Ok(());
        }
        if self.mark {
            conn.prepare_cached("UPDATE message SET load = ?2 WHERE id = ?1 AND load <> ?2")?
                .execute([message, self.load])?;
        }
        let same =
            (old_bucket, old_score) == (bucket, row.score) && old_columns == row.columns && old_address == row.address;
        if same || row.refused.is_some() || !self.shift(conn, message, (old_bucket, old_score), (bucket, row.score))? {
            self.done.known += 1;
            return Ok(());
        }
        let address = (row.address != row.key).then_some(&row.address);
        conn.prepare_cached(
            "UPDATE message SET bucket = ?2, score = ?3, address = ?4, columns = ?5, load = ?6 WHERE id = ?1",
        )?
        .execute(params![message, bucket, row.score, address, row.columns, self.load])?;
        self.done.updated += 1;
        Ok(())
    }

    /// Moves a waiting message to its new bucket and rank; false when it is not waiting.
    fn shift(&mut self, conn: &Connection, message: i64, old: (i64, i64), new: (i64, i64)) -> Result<bool> {
        let (old_rank, new_rank) = (rank(old.1), rank(new.1));
        let tier: Option<i64> = conn
            .prepare_cached(
                "DELETE FROM ready WHERE campaign = ?1 AND bucket = ?2 AND tier IN (0, 1) AND rank = ?3 AND message = ?4
                 RETURNING tier",
            )?
            .query_row([self.campaign, old.0, old_rank, message], |r| r.get(0))
            .optional()?;
        let place = if let Some(tier) = tier {
            stand_in_line(conn, self.campaign, new.0, tier, new_rank, message)?;
            Place::of_tier(tier)
        } else {
            let moved = conn
                .prepare_cached(
                    "UPDATE later SET bucket = ?3, rank = ?4
                     WHERE (due, message) = (SELECT due, message FROM later WHERE campaign = ?1 AND message = ?2)",
                )?
                .execute([self.campaign, message, new.0, new_rank])?;
            if moved == 0 {
                return Ok(false);
            }
            Place::Later
        };
        self.counters.leave(self.campaign, old.0, place);
        self.counters.enter(self.campaign, new.0, place);
        Ok(true)
    }
}

/// Puts a message into line.
pub(super) fn stand_in_line(
    conn: &Connection,
    campaign: i64,
    bucket: i64,
    tier: i64,
    rank: i64,
    message: i64,
) -> Result<()> {
    conn.prepare_cached("INSERT INTO ready (campaign, bucket, tier, rank, message) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute([campaign, bucket, tier, rank, message])?;
    Ok(())
}

/// Ends a waiting message; what was tried is carried over. `because` gets "(perhaps sent)" where an attempt was uncertain and the
/// state does not tell how that one went.
pub(super) fn finish(conn: &Connection, message: i64, state: MessageState, now: i64, because: &str) -> Result<()> {
    let open = !matches!(state, MessageState::Accepted | MessageState::Bounced);
    conn.prepare_cached(
        "INSERT INTO final (message, state, at, because, relay, last_attempt, attempts)
         SELECT ?1, ?2, ?3, ?4 || CASE WHEN t.uncertain > 0 AND ?5 THEN ' (perhaps sent)' ELSE '' END,
                t.relay, t.last_attempt, coalesce(t.attempts, 0)
         FROM (SELECT 1) LEFT JOIN tried t ON t.message = ?1",
    )?
    .execute(params![message, codec::state_code(state), now, because, open])?;
    Ok(())
}

/// Cancels waiting messages that the list of `load` does not have, from number `after` on, at most `limit` looked at. Returns
/// how many were cancelled and where to go on.
pub(super) fn prune(
    db: &mut Db,
    id: CampaignId,
    load: i64,
    after: i64,
    limit: i64,
    now: Timestamp,
) -> Result<(u64, Option<i64>)> {
    open_campaign(db, id)?;
    let mut seen = Vec::new();
    {
        let mut statement = db.conn.prepare_cached(
            "SELECT id, bucket, score, load FROM message WHERE campaign = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut rows = statement.query([id.0, after, limit])?;
        while let Some(row) = rows.next()? {
            seen.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?));
        }
    }
    let next = if codec::rows(seen.len()) < codec::many(limit)? { None } else { seen.last().map(|row| row.0) };
    let mut pruned = 0;
    let mut counters = Counters::default();
    for (message, bucket, score, of_load) in seen {
        if of_load == load {
            continue;
        }
        if let Some(place) = sweep::take_out(&db.conn, id.0, bucket, rank(score), message)? {
            finish(&db.conn, message, MessageState::Cancelled, micros(now), "not on the list any more (--prune)")?;
            counters.leave(id.0, bucket, place);
            counters.enter(id.0, bucket, Place::Final(MessageState::Cancelled));
            pruned += 1;
        }
    }
    counters.flush(&db.conn)?;
    Ok((pruned, next))
}

/// `Loading` becomes `Running`; any other state stays.
pub(super) fn finish_intake(db: &mut Db, id: CampaignId, load: i64, now: Timestamp) -> Result<()> {
    open_campaign(db, id)?;
    db.conn
        .prepare_cached(
            "UPDATE campaign SET loads = max(loads, ?2), changed = CASE WHEN state = ?3 THEN ?5 ELSE changed END,
                    state = CASE WHEN state = ?3 THEN ?4 ELSE state END
             WHERE id = ?1",
        )?
        .execute(params![
            id.0,
            load + 1,
            codec::campaign_state_code(CampaignState::Loading),
            codec::campaign_state_code(CampaignState::Running),
            micros(now),
        ])?;
    Ok(())
}
