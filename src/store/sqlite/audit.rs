//! Owns the recount (what the attempts themselves say, beside what the ledger says) and the inspection of the whole store.
//!
//! Invariant: a recount never reads `spent` to compute anything; it only puts it beside.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rusqlite::params;

use super::codec::{self, Result, day_code};
use super::engine::Db;
use crate::core::names::{BucketName, LaneKey, RelayName};
use crate::store::{RecountRow, Release};

/// Each source gives relay, bucket, day, warm-up day and a number. What is refunded is an attempt that counts nothing.
const SOURCES: [&str; 3] = [
    "SELECT relay, bucket, day, warmup_day, sum(counted) FROM attempt WHERE day >= ?1 GROUP BY relay, bucket, day, warmup_day",
    "SELECT relay, bucket, day, warmup_day, count(*) FROM claimed WHERE day >= ?1 GROUP BY relay, bucket, day, warmup_day",
    "SELECT relay, bucket, day, warmup_day, count(*) FROM lost WHERE day >= ?1 GROUP BY relay, bucket, day, warmup_day",
];

pub(super) fn recount(db: &mut Db, since: Date) -> Result<Vec<RecountRow>> {
    let Db { conn, names } = db;
    let mut days: BTreeMap<(i64, RelayName, BucketName), RecountRow> = BTreeMap::new();
    let mut row_of = |relay: i64, bucket: i64, day: i64| -> Result<(i64, RelayName, BucketName)> {
        let (relay, bucket) = (names.relay(conn, relay)?, names.bucket(conn, bucket)?);
        let key = (day, relay.clone(), bucket.clone());
        if !days.contains_key(&key) {
            let fresh = RecountRow {
                lane: LaneKey { relay, bucket },
                day: codec::day(day)?,
                warmup_days: Vec::new(),
                counted: 0,
                in_the_air: 0,
                lost: 0,
                spent: None,
                quota_peak: None,
            };
            days.insert(key.clone(), fresh);
        }
        Ok(key)
    };
    let mut counts = Vec::new();
    for (source, sql) in SOURCES.iter().enumerate() {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([day_code(since)])?;
        while let Some(row) = rows.next()? {
            let key = row_of(row.get(0)?, row.get(1)?, row.get(2)?)?;
            counts.push((key, source, row.get::<_, u32>(3)?, codec::many(row.get(4)?)?));
        }
    }
    let mut ledgers = Vec::new();
    let mut statement =
        conn.prepare_cached("SELECT relay, bucket, day, spent, quota_peak FROM ledger WHERE day >= ?1")?;
    let mut rows = statement.query([day_code(since)])?;
    while let Some(row) = rows.next()? {
        ledgers.push((row_of(row.get(0)?, row.get(1)?, row.get(2)?)?, row.get(3)?, row.get(4)?));
    }
    for (key, source, warmup_day, n) in counts {
        let Some(row) = days.get_mut(&key) else { continue };
        if !row.warmup_days.contains(&warmup_day) {
            row.warmup_days.push(warmup_day);
            row.warmup_days.sort_unstable();
        }
        match source {
            0 => row.counted += n,
            1 => row.in_the_air += n,
            _ => row.lost += n,
        }
    }
    for (key, spent, peak) in ledgers {
        if let Some(row) = days.get_mut(&key) {
            row.spent = Some(spent);
            row.quota_peak = Some(peak);
        }
    }
    Ok(days.into_values().collect())
}

/// Release times of counted attempts.
pub(super) fn releases(db: &mut Db, relay: &RelayName, bucket: Option<&BucketName>, day: Date) -> Result<Vec<Release>> {
    let Db { conn, names } = db;
    let Some(relay) = names.find(conn, relay.as_str())? else { return Ok(Vec::new()) };
    let bucket = match bucket {
        None => None,
        Some(bucket) => match names.find(conn, bucket.as_str())? {
            None => return Ok(Vec::new()),
            some => some,
        },
    };
    let mut statement = conn.prepare_cached(
        "SELECT released, class FROM attempt WHERE relay = ?1 AND (?2 IS NULL OR bucket = ?2) AND day = ?3 AND counted = 1
         ORDER BY released",
    )?;
    let mut rows = statement.query(params![relay, bucket, day_code(day)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Release { at: row.get(0)?, class: codec::class(row.get(1)?)? });
    }
    Ok(found)
}

/// Where every message is, by the tables: message, campaign, bucket, place (codes of codec.rs).
const WHEREABOUTS: &str = "
    SELECT message, campaign, bucket, 1 - tier AS place FROM ready
    UNION ALL SELECT message, campaign, bucket, 2 FROM later
    UNION ALL SELECT message, campaign, bucket, 3 FROM claimed
    UNION ALL SELECT message, campaign, bucket, 4 FROM parked
    UNION ALL SELECT f.message, m.campaign, m.bucket, 10 + f.state FROM final f JOIN message m ON m.id = f.message";

/// Problems named at most, of each kind.
const PROBLEMS_MAX: u32 = 20;

pub(super) fn inspect(db: &mut Db) -> Result<Vec<String>> {
    let conn = &db.conn;
    let mut problems = Vec::new();
    let mut statement = conn.prepare(&format!("PRAGMA quick_check({PROBLEMS_MAX})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            problems.push(format!("the file is damaged: {said}"));
        }
    }
    let mut look = |sql: String, say: fn([i64; 4]) -> String| -> Result<()> {
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([PROBLEMS_MAX])?;
        while let Some(row) = rows.next()? {
            problems.push(say([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]));
        }
        Ok(())
    };
    look(
        format!("SELECT message, count(*), 0, 0 FROM ({WHEREABOUTS}) GROUP BY message HAVING count(*) > 1 LIMIT ?1"),
        |[message, places, ..]| format!("message m{message} is in {places} places"),
    )?;
    look(
        format!(
            "SELECT id, campaign, 0, 0 FROM message WHERE id NOT IN (SELECT message FROM ({WHEREABOUTS})) LIMIT ?1"
        ),
        |[message, campaign, ..]| format!("message m{message} of campaign number {campaign} is nowhere"),
    )?;
    let counted =
        format!("SELECT campaign, bucket, place, count(*) AS n FROM ({WHEREABOUTS}) GROUP BY campaign, bucket, place");
    let counters = "SELECT campaign, bucket, place, n FROM counter WHERE n <> 0";
    look(format!("SELECT * FROM ({counted} EXCEPT {counters}) LIMIT ?1"), |[campaign, bucket, place, n]| {
        format!(
            "campaign number {campaign}, bucket number {bucket}: the counter of place {place} is wrong, {n} are there"
        )
    })?;
    look(format!("SELECT * FROM ({counters} EXCEPT {counted}) LIMIT ?1"), |[campaign, bucket, place, n]| {
        format!(
            "campaign number {campaign}, bucket number {bucket}: the counter of place {place} says {n} and is wrong"
        )
    })?;
    Ok(problems)
}
