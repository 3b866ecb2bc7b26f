//! Owns the collection of replies that no rule knows.
//!
//! Invariants: like replies are one row, whatever addresses, numbers and names stand in them; at most [`MOST`] rows are kept, those that
//! were heard last.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::super::codec::{self, Result, micros};
use super::super::names::Names;
use super::matching::Send;
use crate::core::feedback::Diagnostic;
use crate::core::reply::{Signal, Stage};
use crate::store::Report;

/// Rows kept.
const MOST: i64 = 2_000;
/// Longest shape, in characters.
const SHAPE_MOST: usize = 200;

/// Collects what a report said; where no lane is known, nobody's words are nobody's.
pub(super) fn collect_report(conn: &Connection, names: &mut Names, report: &Report, send: &Send) -> Result<()> {
    let origin = match (report.signal, send.relay, send.bucket) {
        (Signal::Relay, Some(relay), _) => names.text(conn, relay)?,
        (_, _, Some(bucket)) => names.text(conn, bucket)?,
        _ => "unmatched".into(),
    };
    collect(conn, &origin, &report.said, report.stage, report.at)
}

/// Collects a reply from `origin`.
pub(in super::super) fn collect(
    conn: &Connection,
    origin: &str,
    said: &Diagnostic,
    stage: Option<Stage>,
    at: Timestamp,
) -> Result<()> {
    if said.code.is_none() && said.enhanced.is_none() && said.text.is_empty() {
        return Ok(());
    }
    let shape = shape(said);
    let known = conn
        .prepare_cached(
            "UPDATE unknown_reply SET n = n + 1, code = ?3, enhanced = ?4, text = ?5, stage = ?6, first = min(first, ?7),
                last = max(last, ?7) WHERE origin = ?1 AND shape = ?2",
        )?
        .execute(params![
            origin,
            shape,
            said.code,
            said.enhanced.map(codec::enhanced_code),
            said.text,
            stage.map(codec::stage_code),
            micros(at)
        ])?;
    if known > 0 {
        return Ok(());
    }
    let kept: i64 = conn.prepare_cached("SELECT count(*) FROM unknown_reply")?.query_row([], |row| row.get(0))?;
    if kept >= MOST {
        conn.prepare_cached(
            "DELETE FROM unknown_reply WHERE (origin, shape) = (SELECT origin, shape FROM unknown_reply ORDER BY last LIMIT 1)",
        )?
        .execute([])?;
    }
    conn.prepare_cached(
        "INSERT INTO unknown_reply (origin, shape, code, enhanced, text, stage, n, first, last)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)",
    )?
    .execute(params![
        origin,
        shape,
        said.code,
        said.enhanced.map(codec::enhanced_code),
        said.text,
        stage.map(codec::stage_code),
        micros(at)
    ])?;
    Ok(())
}

/// The words without what differs from one mail to the next.
fn shape(said: &Diagnostic) -> String {
    let codes = [said.code.map(|code| code.to_string()), said.enhanced.map(|enhanced| enhanced.to_string())];
    let words = said.text.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let digits = bare.chars().filter(char::is_ascii_digit).count();
        let replaced = if word.contains('@') {
            "{addr}"
        } else if bare.contains("://")
            || (bare.contains('.') && bare.len() > 3 && bare.parse::<crate::core::reply::Enhanced>().is_err())
        {
            "{host}"
        } else if digits > 0 && digits == bare.chars().count() {
            "{n}"
        } else if digits >= 2 && bare.len() >= 8 {
            "{id}"
        } else {
            return word.to_lowercase();
        };
        replaced.to_owned()
    });
    codes.into_iter().flatten().chain(words).collect::<Vec<_>>().join(" ").chars().take(SHAPE_MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(text: &str) -> String {
        shape(&Diagnostic { code: Some(550), enhanced: None, text: text.to_owned() })
    }

    #[test]
    fn like_replies_have_one_shape() {
        assert_eq!(
            shape_of("Sorry, <taro@docomo.ne.jp> is not here [192.0.2.1] 4F1a2b3c4d (17)"),
            shape_of("sorry, <hanako@example.jp> is not here [198.51.100.7] 9e8d7c6b5a (18)")
        );
        assert_ne!(shape_of("mailbox full"), shape_of("mailbox closed"));
        assert_eq!(shape_of("see 5.1.1 or host mx1.example.jp"), "550 see 5.1.1 or host {host}");
    }
}
