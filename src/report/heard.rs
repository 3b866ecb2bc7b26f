//! Owns what came back from beyond the relay as people read it: reports, sums of a campaign, the health of a lane's days.
//!
//! Invariant: a message is *delivered* only where a report says so, and such a sentence says who reported it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::words::{Table, at, number};
use crate::core::feedback::Fate;
use crate::core::reply::Action;
use crate::store::{CameBack, Health, ReportRow};

/// One report. The keys of its JSON are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportView {
    /// Message, `m123`; null: of no message of this store.
    pub message: Option<String>,
    /// Recipient; null where the report named none.
    pub address: Option<String>,
    /// `relay/bucket` that sent the message; null where it was not matched.
    pub lane: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// `delivered`, `delayed`, `refused`, `complaint`, `unsubscribed`, `auto-reply`.
    pub fate: Fate,
    /// Why, in the field's words.
    pub reason: &'static str,
    /// Whose fault; null where nothing was refused or delayed.
    pub signal: Option<&'static str>,
    /// What its rule asks for; null where nothing was refused or delayed.
    pub action: Option<&'static str>,
    /// The rule; null for the general form of replies.
    pub rule: Option<String>,
    /// The reply's code.
    pub code: Option<u16>,
    /// The enhanced code.
    pub enhanced: Option<String>,
    /// At which stage, where known.
    pub stage: Option<&'static str>,
    /// What was said, in words.
    pub text: String,
    /// The receiving host, where known.
    pub remote: Option<String>,
    /// The way it came: `mail`, `log`, a provider's name.
    pub way: String,
    /// It was the first of its fate for its message.
    pub counts: bool,
}

impl ReportView {
    /// From the stored row.
    #[must_use]
    pub fn of(row: &ReportRow) -> Self {
        let report = &row.report;
        Self {
            message: report.message.map(|id| id.to_string()),
            address: report.key.clone(),
            lane: row.lane.as_ref().map(ToString::to_string),
            at: report.at,
            recorded: row.recorded,
            fate: report.fate,
            reason: report.reason.as_str(),
            signal: report.action.map(|_| report.signal.as_str()),
            action: report.action.map(Action::as_str),
            rule: report.rule.as_ref().map(ToString::to_string),
            code: report.said.code,
            enhanced: report.said.enhanced.map(|e| e.to_string()),
            stage: report.stage.map(|stage| stage.as_str()),
            text: report.said.text.replace('\n', " / "),
            remote: report.remote.clone(),
            way: report.way.as_str().to_owned(),
            counts: row.counts,
        }
    }

    /// `bounced later at 2026-11-24 10:05: 550 5.1.1 no such user (user-unknown, heard by mail from mx.docomo.ne.jp)`
    #[must_use]
    pub fn sentence(&self, zone: &TimeZone) -> String {
        let said = [self.code.map(|c| c.to_string()), self.enhanced.clone(), Some(self.text.clone())];
        let said: Vec<String> = said.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {}", said.join(" ")) };
        let why = if self.action.is_some() { format!("{}, ", self.reason) } else { String::new() };
        let rule = self.rule.as_ref().map(|rule| format!("rule {rule}, ")).unwrap_or_default();
        let remote = self.remote.as_ref().map(|host| format!(" from {host}")).unwrap_or_default();
        let when = at(self.at, zone);
        format!("{} at {when}{said} ({why}{rule}heard by {}{remote})", fate_in_words(self.fate), self.way)
    }
}

/// A fate, after a subject: `bounced later`.
fn fate_in_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Delivered => "reported delivered",
        Fate::Delayed => "delayed beyond the relay",
        Fate::Refused => "bounced later",
        Fate::Complaint => "complained of",
        Fate::Unsubscribed => "unsubscribed",
        Fate::AutoReply => "answered by a program",
    }
}

/// What came back for a campaign, in all: distinct messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Returned {
    /// Reported delivered.
    pub delivered: u64,
    /// Delayed beyond the relay.
    pub delayed: u64,
    /// Accepted by the relay and bounced later.
    pub bounced: u64,
    /// Complained of.
    pub complaints: u64,
    /// Unsubscribed.
    pub unsubscribed: u64,
    /// Answered by a program.
    pub auto_replies: u64,
}

impl Returned {
    /// Adds up what came back.
    #[must_use]
    pub fn of(rows: &[CameBack]) -> Self {
        let mut all = Self::default();
        for row in rows {
            *match row.fate {
                Fate::Delivered => &mut all.delivered,
                Fate::Delayed => &mut all.delayed,
                Fate::Refused => &mut all.bounced,
                Fate::Complaint => &mut all.complaints,
                Fate::Unsubscribed => &mut all.unsubscribed,
                Fate::AutoReply => &mut all.auto_replies,
            } += row.n;
        }
        all
    }

    /// `12 bounced later, 3 complained of`; nothing where nothing came back.
    #[must_use]
    pub fn in_words(&self) -> String {
        let parts = [
            (self.delivered, "reported delivered"),
            (self.delayed, "delayed beyond the relay"),
            (self.bounced, "bounced later"),
            (self.complaints, "complained of"),
            (self.unsubscribed, "unsubscribed"),
            (self.auto_replies, "answered by a program"),
        ];
        let told = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(n)));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// What came back per bucket, fate, reason and way, as a table with its heading; nothing where nothing came back.
#[must_use]
pub fn render_came_back(rows: &[CameBack], indent: &str) -> String {
    let mut table = Table::new(["bucket", "what", "reason", "heard by", "messages"], &[4]);
    for row in rows {
        let refusal = matches!(row.fate, Fate::Refused | Fate::Delayed);
        table.row([
            row.bucket.to_string(),
            fate_in_words(row.fate).to_owned(),
            if refusal { row.reason.as_str().to_owned() } else { "-".to_owned() },
            row.way.as_str().to_owned(),
            number(row.n),
        ]);
    }
    let table = table.render(&format!("{indent}  "));
    if table.is_empty() { table } else { format!("{indent}came back from beyond the relay:\n{table}") }
}

/// What came back for a plan day of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HealthView {
    /// Plan day of the sends.
    pub day: Date,
    /// Messages by what came back.
    #[serde(flatten)]
    pub health: Health,
}

impl HealthView {
    /// `2026-11-24: 40 reported delivered, 3 bounced later (2 unknown users), 1 complained of, 1 block heard`
    #[must_use]
    pub fn sentence(&self) -> String {
        let h = &self.health;
        let unknown = if h.unknown > 0 { format!(" ({} unknown users)", number(h.unknown)) } else { String::new() };
        let parts = [
            (h.delivered, "reported delivered".to_owned()),
            (h.delayed, "delayed beyond the relay".to_owned()),
            (h.bounced, format!("bounced later{unknown}")),
            (h.complaints, "complained of".to_owned()),
            (h.blocks, "reports of a block".to_owned()),
        ];
        let told = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(n)));
        let told = told.collect::<Vec<_>>().join(", ");
        format!("{}: {}", self.day, if told.is_empty() { "nothing came back" } else { &told })
    }
}
