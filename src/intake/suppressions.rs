//! Owns the reading of suppression lists: a CSV with `email`, and perhaps `reason`, `sender` and `note`, as `suppress export` writes it.

use std::path::Path;

use jiff::Timestamp;

use super::clean::{Refusal, Rule, clean_address};
use super::rejects::Reject;
use super::rows::{Header, List, Row, is_blank};
use crate::config::campaign_file::ListReading;
use crate::store::{Suppression, SuppressionReason};

/// Entries kept in memory before they are handed over.
const BATCH: usize = 2_000;

/// The key of one address as an operator writes it, cleaned as in a list.
///
/// # Errors
/// Why it is no address.
pub fn clean_key(text: &str) -> Result<String, String> {
    clean_address(text)
        .map(|address| address.key())
        .map_err(|refusal| format!("{}: {}", text.escape_debug(), refusal.why))
}

/// Reads entries of the list at `path` and hands them over in batches; rows without a reason get `reason`, unsubscribes without
/// a sender `sender`. Returns the refused rows.
///
/// # Errors
/// In words: the list cannot be read, or `take` failed.
pub fn read_suppressions(
    path: &Path,
    reason: SuppressionReason,
    sender: Option<&str>,
    now: Timestamp,
    take: &mut dyn FnMut(Vec<Suppression>) -> Result<(), String>,
) -> Result<Vec<Reject>, String> {
    let list = List::open(path, ListReading::default(), &mut |_| {})?;
    let mut rows = list.rows()?;
    let mut rejects = Vec::new();
    let mut batch = Vec::new();
    while let Some(Row { line, record, refusal }) = rows.next_checked()? {
        if refusal.is_none() && record.iter().all(|value| value.trim_matches(is_blank).is_empty()) {
            continue;
        }
        match refusal.map_or_else(|| entry(record, &list.header, reason, sender, now), Err) {
            Ok(entry) => batch.push(entry),
            Err(refusal) => rejects.push(Reject {
                line,
                address: record.get(list.header.email).unwrap_or_default().to_owned(),
                rule: refusal.rule,
                reason: refusal.why,
            }),
        }
        if batch.len() >= BATCH {
            take(std::mem::take(&mut batch))?;
        }
    }
    if !batch.is_empty() {
        take(batch)?;
    }
    Ok(rejects)
}

fn entry(
    record: &csv::StringRecord,
    header: &Header,
    reason: SuppressionReason,
    sender: Option<&str>,
    now: Timestamp,
) -> Result<Suppression, Refusal> {
    let value = |name: &str| {
        let at = header.names.iter().position(|n| n == name);
        at.and_then(|at| record.get(at)).map(|v| v.trim_matches(is_blank)).filter(|v| !v.is_empty())
    };
    let reason = match value("reason") {
        None => reason,
        Some(word) => reason_of(word).ok_or_else(|| {
            let known = "unknown, complaint, manual, unsubscribe, mailbox, forgotten";
            Refusal::new(Rule::Columns, format!("reason \"{}\" is none of: {known}", word.escape_debug()))
        })?,
    };
    let email = record.get(header.email).unwrap_or_default();
    // Of who is forgotten only a hash is left, which the store that made it knows again.
    let key = match reason {
        SuppressionReason::Forgotten if email.starts_with("sha256:") => email.to_owned(),
        _ => clean_address(email)?.key(),
    };
    let sender = value("sender").or(sender.filter(|_| reason == SuppressionReason::Unsubscribe));
    let sender = sender.map(str::to_ascii_lowercase);
    if reason == SuppressionReason::Unsubscribe && sender.is_none() {
        return Err(Refusal::new(
            Rule::Columns,
            "an unsubscribe needs the column \"sender\": the domain that was left",
        ));
    }
    let note: String = value("note").unwrap_or("imported").chars().filter(|c| !c.is_control()).collect();
    let since = value("since").and_then(|text| text.parse().ok()).unwrap_or(now);
    Ok(Suppression { key, reason, sender, note, since })
}

/// The reason that a word names.
#[must_use]
pub fn reason_of(word: &str) -> Option<SuppressionReason> {
    use SuppressionReason::{Complaint, Forgotten, Mailbox, Manual, Unknown, Unsubscribe};
    [Unknown, Complaint, Manual, Unsubscribe, Mailbox, Forgotten].into_iter().find(|reason| reason.as_str() == word)
}
