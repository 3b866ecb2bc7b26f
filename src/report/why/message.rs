//! Owns the answer about one message.

use jiff::Timestamp;
use serde::Serialize;

use super::AttemptView;
use super::turn::{Carrier, Turn, turn};
use crate::config::{Config, RelaySettings};
use crate::core::campaign::{CampaignState, MessageState};
use crate::core::names::LaneKey;
use crate::report::heard::ReportView;
use crate::report::holds::{Hold, binding, campaign_holds, carriers, worker_hold};
use crate::report::picture::Picture;
use crate::report::words::{at, count, number};
use crate::store::{CampaignRow, MessageRow, Store, StoreError};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageWhy {
    /// `m123`
    pub message: String,
    /// Campaign.
    pub campaign: String,
    /// Recipient.
    pub address: String,
    /// Where it waits.
    pub bucket: String,
    /// It goes to a seed: first in its line.
    pub seed: bool,
    /// `transactional`, `normal`, `bulk`.
    pub class: &'static str,
    /// `queued`, `deferred`, `claimed`, `parked`, `accepted`, `bounced`, `expired`, `suppressed`, `cancelled`.
    pub state: &'static str,
    /// Why it is in that state.
    pub because: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it is tried again, where it is deferred.
    pub due: Option<Timestamp>,
    /// Relay of the claim or of the last attempt.
    pub relay: Option<String>,
    /// What holds it, whichever lane takes it.
    pub holds: Vec<Hold>,
    /// The lanes that may take it, in order of need, each with what holds it.
    pub lanes: Vec<LaneChoice>,
    /// Messages that leave before it; null where it is not in line.
    pub before: Option<u64>,
    /// The earliest day on which its turn comes; null where nothing tells.
    pub turn: Option<Turn>,
    /// Attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// What came back from beyond the relay, oldest first.
    pub reports: Vec<ReportView>,
}

/// A lane that may take a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneChoice {
    /// `relay/bucket`
    pub lane: String,
    /// Left of today's quota.
    pub left: u32,
    /// What holds it.
    pub holds: Vec<Hold>,
}

impl LaneChoice {
    pub(super) fn of(picture: &Picture<'_>, key: &LaneKey, settings: &RelaySettings, holds: &[Hold]) -> Self {
        let ledger = picture.today(key, settings).ledger;
        let mut holds = holds.to_vec();
        holds.extend(worker_hold(picture, &key.relay));
        Self { lane: key.to_string(), left: ledger.quota.saturating_sub(ledger.spent), holds }
    }

    /// One line for each hold, or that it is open.
    pub(super) fn render(&self, indent: &str) -> String {
        if self.holds.is_empty() {
            let left = number(u64::from(self.left));
            return format!("{indent}{}: open, {left} left of today's quota\n", self.lane);
        }
        self.holds.iter().map(|hold| format!("{indent}{}: {}\n", self.lane, hold.text)).collect()
    }
}

pub(super) async fn why(store: &dyn Store, picture: &Picture<'_>, row: MessageRow) -> Result<MessageWhy, StoreError> {
    let attempts = store.attempts(row.id).await?.iter().map(AttemptView::of).collect();
    let reports = store.reports_about(row.id).await?.iter().map(ReportView::of).collect();
    let mut answer = MessageWhy {
        message: row.id.to_string(),
        campaign: row.campaign.to_string(),
        address: row.address.clone(),
        bucket: row.bucket.to_string(),
        seed: row.is_seed(),
        class: row.class.as_str(),
        state: row.state.as_str(),
        because: row.because.clone(),
        since: row.since,
        due: row.due,
        relay: row.relay.as_ref().map(ToString::to_string),
        holds: Vec::new(),
        lanes: Vec::new(),
        before: None,
        turn: None,
        attempts,
        reports,
    };
    if !matches!(row.state, MessageState::Queued | MessageState::Deferred) {
        return Ok(answer);
    }
    let campaign = store.campaign(&row.campaign).await?;
    if let Some(campaign) = &campaign {
        wait(store, picture, &row, campaign, &mut answer).await?;
    }
    Ok(answer)
}

/// Fills in what a waiting message waits for.
async fn wait(
    store: &dyn Store,
    picture: &Picture<'_>,
    row: &MessageRow,
    campaign: &CampaignRow,
    answer: &mut MessageWhy,
) -> Result<(), StoreError> {
    let zone = &picture.config.timezone;
    if campaign.state == CampaignState::Cancelled {
        let text = format!("campaign {} is cancelled: this message is about to be", campaign.name);
        answer.holds.push(Hold::new("campaign-cancelled", text, None));
    }
    answer.holds.extend(campaign_holds(picture, campaign));
    if let Some(due) = row.due.filter(|due| *due > picture.now) {
        let text = format!("it was tried {} and is due again {}", times(row.attempts), at(due, zone));
        answer.holds.push(Hold::new("retry-later", text, Some(due)));
    }
    let found = carriers(picture, campaign, &row.bucket, row.attempts > 0);
    answer.lanes = found.iter().map(|(key, settings, holds)| LaneChoice::of(picture, key, settings, holds)).collect();
    answer.before = store.place_in_line(row.id).await?;
    if let Some(before) = answer.before {
        let lanes: Vec<Carrier<'_>> =
            found.iter().map(|(lane, settings, holds)| Carrier { lane, settings, holds }).collect();
        let free = match binding(&answer.holds) {
            Some(Hold { until: None, .. }) => return Ok(()),
            Some(Hold { until: Some(until), .. }) => *until,
            None => picture.now,
        };
        answer.turn = turn(picture, &lanes, before, free);
    }
    Ok(())
}

fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

impl MessageWhy {
    /// The answer as text, times in `config`'s zone.
    #[must_use]
    pub fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let seed = if self.seed { "seed " } else { "" };
        let mut out = format!("{} to {seed}{} ({}, {}) ", self.message, self.address, self.campaign, self.bucket);
        let since = self.since.map(|t| format!(" since {}", at(t, zone))).unwrap_or_default();
        let because = self.because.as_ref().map(|b| format!(": {b}")).unwrap_or_default();
        let relay = self.relay.as_ref().map(|r| format!(" by relay {r}")).unwrap_or_default();
        out.push_str(&match self.state {
            "queued" => format!("waits{since}{because}; {}", tried(self.attempts.len())),
            "deferred" => format!("was deferred{because}"),
            "claimed" => format!("is in the air: claimed{relay}{since}"),
            "parked" => format!(
                "is parked{since}{because}; its fate at the relay is unknown: `hikagen message settle {} --accepted` or `--retry`",
                self.message
            ),
            "accepted" => format!("was accepted{relay}{}", since.replace("since", "at")),
            "bounced" => format!("bounced{since}{because}"),
            "expired" => format!("expired{since}{because}"),
            "suppressed" => format!("is suppressed{since}{because}"),
            _ => format!("was cancelled{since}{because}"),
        });
        for report in self.reports.iter().filter(|report| report.counts) {
            out.push_str(&format!("; {}", report.sentence(zone)));
        }
        out.push_str(".\n");
        for report in self.reports.iter().filter(|report| !report.counts) {
            out.push_str(&format!("  once more: {}\n", report.sentence(zone)));
        }
        for hold in &self.holds {
            out.push_str(&format!("  {}\n", hold.text));
        }
        for lane in &self.lanes {
            out.push_str(&lane.render("  "));
        }
        match (self.before, &self.turn) {
            (Some(before), Some(turn)) => out.push_str(&format!(
                "  about {} before it; its turn comes on {} at the earliest\n",
                count(before, "message"),
                turn.day
            )),
            (Some(before), None) => out.push_str(&format!("  about {} before it\n", count(before, "message"))),
            (None, _) => {}
        }
        for attempt in &self.attempts {
            out.push_str(&format!("  {}\n", attempt.sentence(zone)));
        }
        out
    }
}

fn tried(attempts: usize) -> String {
    match attempts {
        0 => "it was never tried".to_owned(),
        1 => "it was tried once".to_owned(),
        n => format!("it was tried {n} times"),
    }
}
