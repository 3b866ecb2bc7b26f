//! Owns what decisions and people read: outlook, tallies, ledgers, verdicts, owners, events, plans.
//!
//! Invariant: nothing here scans messages; counts come from the counters.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::codec::{self, Place, Result, day_code, micros};
use super::engine::Db;
use super::lease::{self, LEDGER, LEDGER_FROM};
use super::{intake, orders};
use crate::core::campaign::{CampaignId, CampaignState};
use crate::core::lane::{Ledger, Verdict};
use crate::core::names::{PlanName, PoolName, RelayName};
use crate::store::{CampaignRow, EventRow, Outlook, OwnerRow, PlanRevision, TallyRow, WaitingRow};

pub(super) fn outlook(db: &mut Db, now: Timestamp) -> Result<Outlook> {
    let ended =
        [codec::campaign_state_code(CampaignState::Cancelled), codec::campaign_state_code(CampaignState::Finished)];
    let campaigns = intake::select(db, "WHERE c.state NOT IN (?1, ?2) ORDER BY c.id", ended)?;
    let mut outlook = Outlook { campaigns, ..Outlook::default() };
    for index in 0..outlook.campaigns.len() {
        let campaign = outlook.campaigns[index].id;
        waiting(db, campaign, &mut outlook.waiting)?;
    }
    outlook.pauses = orders::pauses(&db.conn, micros(now))?;
    let Db { conn, names } = db;
    let mut statement =
        conn.prepare_cached("SELECT relay, bucket, n FROM need WHERE until > ?1 ORDER BY relay, bucket")?;
    let mut rows = statement.query([micros(now)])?;
    while let Some(row) = rows.next()? {
        outlook.needs.push((names.relay(conn, row.get(0)?)?, names.bucket(conn, row.get(1)?)?, row.get(2)?));
    }
    let week_ago = now.checked_sub(SignedDuration::from_hours(7 * 24)).unwrap_or(Timestamp::MIN);
    let mut statement = conn.prepare_cached("SELECT pool FROM transactional WHERE last > ?1 ORDER BY pool")?;
    let mut rows = statement.query([micros(week_ago)])?;
    while let Some(row) = rows.next()? {
        outlook.transactional_pools.push(names.pool(conn, row.get(0)?)?);
    }
    Ok(outlook)
}

/// Adds a campaign's waiting mail per bucket.
fn waiting(db: &mut Db, campaign: CampaignId, into: &mut Vec<WaitingRow>) -> Result<()> {
    let Db { conn, names } = db;
    let mut statement = conn.prepare_cached(
        "SELECT bucket, sum(n * (place = 0)), sum(n * (place = 1)), sum(n * (place = 2)) FROM counter
         WHERE campaign = ?1 AND place <= 2 AND n > 0 GROUP BY bucket ORDER BY bucket",
    )?;
    let mut rows = statement.query([campaign.0])?;
    while let Some(row) = rows.next()? {
        into.push(WaitingRow {
            campaign,
            bucket: names.bucket(conn, row.get(0)?)?,
            fresh: codec::many(row.get(1)?)?,
            retries: codec::many(row.get(2)?)?,
            later: codec::many(row.get(3)?)?,
        });
    }
    Ok(())
}

pub(super) fn campaigns(db: &mut Db) -> Result<Vec<CampaignRow>> {
    intake::select(db, "ORDER BY c.id DESC", [])
}

pub(super) fn tally(db: &mut Db, id: CampaignId) -> Result<Vec<TallyRow>> {
    let Db { conn, names } = db;
    let mut statement = conn
        .prepare_cached("SELECT bucket, place, n FROM counter WHERE campaign = ?1 AND n > 0 ORDER BY bucket, place")?;
    let mut rows = statement.query([id.0])?;
    let mut found: Vec<TallyRow> = Vec::new();
    while let Some(row) = rows.next()? {
        let bucket = names.bucket(conn, row.get(0)?)?;
        let state = Place::from_code(row.get(1)?)?.state();
        let n = codec::many(row.get(2)?)?;
        // Deferred mail is in two places: in line, and waiting for its time.
        match found.iter_mut().find(|t| t.bucket == bucket && t.state == state) {
            Some(tally) => tally.n += n,
            None => found.push(TallyRow { bucket, state, n }),
        }
    }
    found.sort_by(|a, b| (&a.bucket, a.state).cmp(&(&b.bucket, b.state)));
    Ok(found)
}

pub(super) fn ledgers(db: &mut Db, relay: Option<&RelayName>, since: Date) -> Result<Vec<(RelayName, Ledger)>> {
    let Db { conn, names } = db;
    let Some(relay) = names.narrowed(conn, relay.map(RelayName::as_str))? else { return Ok(Vec::new()) };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {LEDGER}, l.relay FROM {LEDGER_FROM} WHERE (?1 IS NULL OR l.relay = ?1) AND l.day >= ?2
         ORDER BY l.day DESC, l.relay, l.bucket"
    ))?;
    let mut rows = statement.query(params![relay, day_code(since)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let bucket = names.bucket(conn, row.get(0)?)?;
        found.push((names.relay(conn, row.get(lease::LEDGER_COLUMNS)?)?, lease::ledger_row(row, bucket)?));
    }
    Ok(found)
}

pub(super) fn verdicts(db: &mut Db, relay: Option<&RelayName>, since: Date) -> Result<Vec<(RelayName, Verdict)>> {
    let Db { conn, names } = db;
    let Some(relay) = names.narrowed(conn, relay.map(RelayName::as_str))? else { return Ok(Vec::new()) };
    let mut statement = conn.prepare_cached(
        "SELECT relay, bucket, day, days, kind, before, after, because, inputs FROM verdict
         WHERE (?1 IS NULL OR relay = ?1) AND day >= ?2 ORDER BY day DESC, relay, bucket",
    )?;
    let mut rows = statement.query(params![relay, day_code(since)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let verdict = Verdict {
            bucket: names.bucket(conn, row.get(1)?)?,
            day: codec::day(row.get(2)?)?,
            days: row.get(3)?,
            kind: codec::verdict(row.get(4)?)?,
            before: row.get(5)?,
            after: row.get(6)?,
            because: row.get(7)?,
            inputs: super::course::inputs_of(&row.get::<_, String>(8)?)?,
        };
        found.push((names.relay(conn, row.get(0)?)?, verdict));
    }
    Ok(found)
}

/// Leases that were not given back; whether their owners live is for the locks to say.
pub(super) fn owners(db: &mut Db) -> Result<Vec<OwnerRow>> {
    let Db { conn, names } = db;
    let mut statement = conn.prepare_cached(
        "SELECT relay, token, owner, since, (SELECT count(*) FROM claimed c WHERE c.relay = l.relay)
         FROM lease l ORDER BY relay",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(OwnerRow {
            relay: names.relay(conn, row.get(0)?)?,
            token: row.get(1)?,
            owner: row.get(2)?,
            since: codec::timestamp(row.get(3)?)?,
            alive: false,
            in_the_air: codec::many(row.get(4)?)?,
        });
    }
    Ok(found)
}

pub(super) fn events(db: &mut Db, limit: u32) -> Result<Vec<EventRow>> {
    let mut statement =
        db.conn.prepare_cached("SELECT at, kind, subject, text FROM event ORDER BY id DESC LIMIT ?1")?;
    let mut rows = statement.query([limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(EventRow {
            at: codec::timestamp(row.get(0)?)?,
            kind: row.get(1)?,
            subject: row.get(2)?,
            text: row.get(3)?,
        });
    }
    Ok(found)
}

pub(super) fn plan_history(db: &mut Db, relay: &RelayName, limit: u32) -> Result<Vec<(Timestamp, PlanRevision)>> {
    let Some(relay) = db.names.find(&db.conn, relay.as_str())? else { return Ok(Vec::new()) };
    let mut statement =
        db.conn.prepare_cached("SELECT at, name, text, by FROM plan WHERE relay = ?1 ORDER BY id DESC LIMIT ?2")?;
    let mut rows = statement.query(params![relay, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let name = PlanName::new(&name).map_err(|_| codec::damaged("the plan name", &name))?;
        found.push((codec::timestamp(row.get(0)?)?, PlanRevision { name, text: row.get(2)?, by: row.get(3)? }));
    }
    Ok(found)
}

/// Pools of campaigns that are neither finished nor cancelled.
pub(super) fn pools_in_use(db: &mut Db) -> Result<Vec<PoolName>> {
    let Db { conn, names } = db;
    let mut statement = conn.prepare_cached("SELECT DISTINCT pool FROM campaign WHERE state NOT IN (?1, ?2)")?;
    let mut rows = statement.query([
        codec::campaign_state_code(CampaignState::Cancelled),
        codec::campaign_state_code(CampaignState::Finished),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(names.pool(conn, row.get(0)?)?);
    }
    found.sort();
    Ok(found)
}
