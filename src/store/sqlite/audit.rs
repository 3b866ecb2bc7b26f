//! Owns the recount: what the attempts themselves say, beside what the ledger says.
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
const SOURCES: [&str; 6] = [
    "SELECT relay, bucket, day, warmup_day, sum(counted) FROM attempt WHERE day >= ?1 GROUP BY relay, bucket, day, warmup_day",
    "SELECT relay, bucket, day, warmup_day, count(*) FROM claimed WHERE day >= ?1 GROUP BY relay, bucket, day, warmup_day",
    "SELECT relay, bucket, day, warmup_day, count(*) FROM lost WHERE day >= ?1 GROUP BY relay, bucket, day, warmup_day",
    "SELECT relay, bucket, day, warmup_day, counted FROM folded_attempt WHERE day >= ?1",
    "SELECT relay, bucket, day, warmup_day, lost FROM folded_attempt WHERE day >= ?1",
    "SELECT relay, bucket, day, warmup_day, attempts FROM folded_attempt WHERE day >= ?1",
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
                folded: 0,
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
            0 | 3 => row.counted += n,
            1 => row.in_the_air += n,
            2 | 4 => row.lost += n,
            _ => row.folded += n,
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
