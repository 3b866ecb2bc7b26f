//! Owns a contestant: bare rusqlite statements that put a list's rows, parsed already, into the product's own tables.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use hikagen::core::campaign::Class;
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{NewCampaign, Revision, Store};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use crate::table::float;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The list
    #[arg(long)]
    csv: PathBuf,
    /// The store to make
    #[arg(long)]
    store: PathBuf,
}

/// A row as the tables want it.
struct Row {
    key: String,
    score: i64,
    columns: String,
}

fn rows(args: &Args) -> Result<Vec<Row>> {
    let mut reader = csv::Reader::from_path(&args.csv)?;
    let names = reader.headers()?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let columns: Map<String, Value> =
            names.iter().zip(&record).map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        let score: i64 = record.get(3).unwrap_or("0").parse()?;
        let key = record.get(0).unwrap_or_default().to_owned();
        rows.push(Row { key, score: score * 1_000, columns: json!(columns).to_string() });
    }
    Ok(rows)
}

/// The product makes its tables and a campaign.
#[tokio::main(flavor = "current_thread")]
async fn tables(args: &Args) -> Result<i64> {
    let store = SqliteStore::open(&args.store)?;
    let now = Timestamp::now();
    let revision = Revision {
        content: "{}".to_owned(),
        start: now,
        finish_by: None,
        not_after: None,
        class: Class::Bulk,
        weight: 100,
        digest: String::new(),
    };
    let new =
        NewCampaign { name: "bare".parse()?, pool: "news".parse()?, from: "news@m.example.jp".to_owned(), revision };
    Ok(store.create_campaign(new, now).await?.0)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let rows = rows(args)?;
    let campaign = tables(args)?;
    let mut conn = Connection::open(&args.store)?;
    // As the product sets its writing connection.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", 67_108_864)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -65_536)?;
    conn.execute("INSERT INTO name (text) VALUES ('default')", [])?;
    let bucket = conn.last_insert_rowid();
    conn.execute("INSERT INTO counter (campaign, bucket, place, n) VALUES (?1, ?2, 0, 0)", [campaign, bucket])?;
    let began = Instant::now();
    let (mut at, mut size) = (0, 2_000);
    while at < rows.len() {
        let batch = &rows[at..rows.len().min(at + size)];
        let start = Instant::now();
        insert(&mut conn, batch, campaign, bucket)?;
        at += batch.len();
        size = next_size(batch.len(), start.elapsed());
    }
    println!("{}", float(rows.len()) / began.elapsed().as_secs_f64());
    Ok(())
}

/// As many rows as would have taken 20 ms: the product's own size of a transaction.
fn next_size(rows: usize, took: Duration) -> usize {
    let fits = rows as u128 * 20_000_000 / took.as_nanos().max(1);
    usize::try_from(fits).unwrap_or(20_000).min(2 * rows).clamp(100, 20_000)
}

fn insert(conn: &mut Connection, rows: &[Row], campaign: i64, bucket: i64) -> Result<()> {
    let tx = conn.transaction()?;
    {
        let mut message = tx.prepare_cached(
            "INSERT INTO message (campaign, bucket, score, load, key, address, columns) VALUES (?1, ?2, ?3, 0, ?4, NULL, ?5)",
        )?;
        let mut ready =
            tx.prepare_cached("INSERT INTO ready (campaign, bucket, tier, rank, message) VALUES (?1, ?2, 1, ?3, ?4)")?;
        for row in rows {
            message.execute(params![campaign, bucket, row.score, row.key, row.columns])?;
            ready.execute([campaign, bucket, -row.score, tx.last_insert_rowid()])?;
        }
        tx.prepare_cached("UPDATE counter SET n = n + ?3 WHERE campaign = ?1 AND bucket = ?2")?.execute(params![
            campaign,
            bucket,
            i64::try_from(rows.len())?
        ])?;
    }
    Ok(tx.commit()?)
}
