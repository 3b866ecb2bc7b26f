//! Owns the looks at whether the store is whole: the file, its references, its counts.
//!
//! Invariants: nothing is changed and nothing is believed: counts are counted anew from the rows; a problem names the row, so
//! that somebody can look at it.

use rusqlite::Connection;

use super::codec::Result;
use super::engine::Db;

/// Problems named at most, of each kind.
const PROBLEMS_MAX: u32 = 20;

/// Where every message is, by the tables: message, campaign, bucket, place (codes of codec.rs).
const WHEREABOUTS: &str = "
    SELECT message, campaign, bucket, 1 - tier AS place FROM ready
    UNION ALL SELECT message, campaign, bucket, 2 FROM later
    UNION ALL SELECT message, campaign, bucket, 3 FROM claimed
    UNION ALL SELECT message, campaign, bucket, 4 FROM parked
    UNION ALL SELECT f.message, m.campaign, m.bucket, 10 + f.state FROM final f JOIN message m ON m.id = f.message";

/// How many messages are where by the rows, with those that were folded.
const COUNTED: &str = "
    SELECT campaign, bucket, place, sum(n) AS n FROM (
        SELECT campaign, bucket, place, 1 AS n FROM ({WHEREABOUTS})
        UNION ALL SELECT campaign, bucket, 10 + state, n FROM folded)
    GROUP BY campaign, bucket, place";

const COUNTERS: &str = "SELECT campaign, bucket, place, n FROM counter WHERE n <> 0";

/// What a lane's plan day handed over by the rows: attempts that count, claims in the air, claims lost, and what was folded.
const HANDED_OVER: &str = "
    SELECT relay, bucket, day, sum(n) AS n FROM (
        SELECT relay, bucket, day, counted AS n FROM attempt
        UNION ALL SELECT relay, bucket, day, 1 FROM claimed
        UNION ALL SELECT relay, bucket, day, 1 FROM lost
        UNION ALL SELECT relay, bucket, day, counted + lost FROM folded_attempt)
    GROUP BY relay, bucket, day HAVING sum(n) > 0";

/// The numbers of a problem.
type Numbers = [i64; 5];

/// A query that finds problems, and how to say one.
type Look = (&'static str, fn(Numbers) -> String);

const LOOKS: [Look; 11] = [
    ("SELECT message, count(*) FROM ({WHEREABOUTS}) GROUP BY message HAVING count(*) > 1", |[message, places, ..]| {
        format!("message m{message} is in {places} places")
    }),
    (
        "SELECT id, campaign FROM message WHERE id NOT IN (SELECT message FROM ({WHEREABOUTS}))",
        |[message, campaign, ..]| format!("message m{message} of campaign number {campaign} is nowhere"),
    ),
    (
        "SELECT w.message, w.campaign, w.bucket FROM ({WHEREABOUTS}) w LEFT JOIN message m ON m.id = w.message
         WHERE m.id IS NULL OR m.campaign <> w.campaign OR m.bucket <> w.bucket",
        |[message, campaign, bucket, ..]| {
            format!("campaign number {campaign}, bucket number {bucket} has message m{message}, which is not theirs")
        },
    ),
    ("SELECT message FROM final WHERE message NOT IN (SELECT id FROM message)", |[message, ..]| {
        format!("message m{message} has a final state and does not exist")
    }),
    (
        "SELECT m.id, m.campaign FROM message m WHERE m.campaign NOT IN (SELECT id FROM campaign)",
        |[message, campaign, ..]| format!("message m{message} is of campaign number {campaign}, which does not exist"),
    ),
    (
        "SELECT c.id, c.revision FROM campaign c LEFT JOIN revision r ON r.id = c.revision AND r.campaign = c.id
         WHERE r.id IS NULL",
        |[campaign, revision, ..]| format!("campaign number {campaign} has no revision number {revision}"),
    ),
    (
        "SELECT a.id, a.message FROM attempt a WHERE a.message NOT IN (SELECT id FROM message)",
        |[attempt, message, ..]| format!("attempt number {attempt} is of message m{message}, which does not exist"),
    ),
    (
        "SELECT f.message, f.last_attempt FROM final f LEFT JOIN attempt a ON a.id = f.last_attempt
         WHERE f.last_attempt IS NOT NULL AND a.message IS NOT f.message",
        |[message, attempt, ..]| format!("attempt number {attempt}, the last of message m{message}, is not its own"),
    ),
    ("SELECT * FROM ({COUNTED} EXCEPT {COUNTERS})", |[campaign, bucket, place, n, _]| {
        format!(
            "campaign number {campaign}, bucket number {bucket}: the counter of place {place} is wrong, {n} are there"
        )
    }),
    ("SELECT * FROM ({COUNTERS} EXCEPT {COUNTED})", |[campaign, bucket, place, n, _]| {
        format!(
            "campaign number {campaign}, bucket number {bucket}: the counter of place {place} says {n} and is wrong"
        )
    }),
    (
        "SELECT h.relay, h.bucket, h.day, h.n, coalesce(l.spent, -1) FROM ({HANDED_OVER}) h
            LEFT JOIN ledger l ON l.relay = h.relay AND l.bucket = h.bucket AND l.day = h.day
         WHERE l.spent IS NULL OR l.spent < h.n",
        |[relay, bucket, day, n, spent]| {
            let says = if spent < 0 { "there is no ledger".to_owned() } else { format!("the ledger says {spent}") };
            format!("relay number {relay}, bucket number {bucket} on {day}: {n} were handed over, but {says}")
        },
    ),
];

/// The file's structure by a pragma that answers "ok" or problems.
fn structure(conn: &Connection, pragma: &str) -> Result<Vec<String>> {
    let mut statement = conn.prepare(pragma)?;
    let mut rows = statement.query([])?;
    let mut problems = Vec::new();
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            problems.push(format!("the file is damaged: {said}"));
        }
    }
    Ok(problems)
}

pub(super) fn inspect(db: &mut Db) -> Result<Vec<String>> {
    let conn = &db.conn;
    let mut problems = structure(conn, &format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
    for (sql, say) in LOOKS {
        let sql = sql
            .replace("{COUNTED}", COUNTED)
            .replace("{COUNTERS}", COUNTERS)
            .replace("{HANDED_OVER}", HANDED_OVER)
            .replace("{WHEREABOUTS}", WHEREABOUTS);
        let mut statement = conn.prepare(&format!("{sql} LIMIT {PROBLEMS_MAX}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut numbers = Numbers::default();
            for (index, number) in numbers.iter_mut().enumerate().take(columns) {
                *number = row.get(index)?;
            }
            problems.push(say(numbers));
        }
    }
    Ok(problems)
}

/// Tables with their indexes, each to be looked at by itself.
pub(super) fn tables(db: &mut Db) -> Result<Vec<String>> {
    let mut statement = db.conn.prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(names)
}

pub(super) fn quick_check(db: &mut Db, table: &str) -> Result<Vec<String>> {
    structure(&db.conn, &format!("PRAGMA quick_check(\"{}\")", table.replace('"', "\"\"")))
}
