//! Owns `why`: what holds a message, a campaign or a lane now, when that opens, and when its turn comes.
//!
//! One answer, one text: the command line, the log and the demonstration print [`Why::render`].

mod attempts;
mod campaign;
mod lane;
mod message;
mod turn;

use jiff::Timestamp;
use serde::Serialize;

use super::heard::ReportView;
use super::picture::Picture;
use super::words::{at, number};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::address::Address;
use crate::core::campaign::MessageId;
use crate::core::names::{CampaignName, LaneKey};
use crate::store::{Store, StoreError, Suppression};

pub use attempts::AttemptView;
pub use campaign::{BucketWhy, CampaignWhy};
pub use lane::LaneWhy;
pub use message::{LaneChoice, MessageWhy};
pub use turn::Turn;

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One message.
    Message,
    /// Every message to an address, and whether it is suppressed.
    Address,
    /// A campaign.
    Campaign,
    /// A lane, or all lanes of a relay or bucket.
    Lane,
}

/// The answer to `why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// What was asked about.
    pub asked: String,
    /// What that is.
    pub kind: Kind,
    /// The moment that it shows.
    pub at: Timestamp,
    /// Messages, newest first.
    pub messages: Vec<MessageWhy>,
    /// Entries of the suppression list.
    pub suppressions: Vec<Suppression>,
    /// The campaign.
    pub campaign: Option<CampaignWhy>,
    /// Lanes.
    pub lanes: Vec<LaneWhy>,
    /// Messages of the whole store whose details were folded into counts, where an address was asked about: some may have
    /// been to it.
    pub folded: u64,
    /// Reports about the address that were matched with none of these messages, newest first.
    pub reports: Vec<ReportView>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing has that name: what was looked for, and what is near it.
    #[error("{0}")]
    Unknown(String),
}

/// Answers for `asked`: `local@domain`, `m123`, a campaign, `relay/bucket`, a relay or a bucket.
///
/// # Errors
/// When nothing has that name, or the store cannot be read.
pub async fn why(store: &dyn Store, config: &Config, now: Timestamp, asked: &str) -> Result<Why, WhyError> {
    let asked = asked.trim();
    let picture = Picture::take(store, config, now).await?;
    let mut answer = Why {
        asked: asked.to_owned(),
        kind: Kind::Lane,
        at: now,
        messages: Vec::new(),
        suppressions: Vec::new(),
        campaign: None,
        lanes: Vec::new(),
        folded: 0,
        reports: Vec::new(),
    };
    if asked.contains('@') {
        answer.kind = Kind::Address;
        address(store, &picture, asked, &mut answer).await?;
    } else if let Some(id) = message_id(asked) {
        answer.kind = Kind::Message;
        let row = store.message(id).await?;
        let Some(row) = row else { return Err(no_message(store, id).await?) };
        answer.messages.push(message::why(store, &picture, row).await?);
    } else if let Some(row) = campaign_row(store, asked).await? {
        answer.kind = Kind::Campaign;
        answer.campaign = Some(campaign::why(store, &picture, row).await?);
    } else {
        for key in lanes_named(&picture, asked) {
            answer.lanes.extend(lane::why(store, &picture, &key).await?);
        }
        if answer.lanes.is_empty() {
            return Err(unknown(store, &picture, asked).await?);
        }
    }
    Ok(answer)
}

/// Why there is nothing to say about a message.
async fn no_message(store: &dyn Store, id: MessageId) -> Result<WhyError, StoreError> {
    Ok(WhyError::Unknown(if store.is_folded(id).await? {
        format!(
            "message {id} is over: its campaign ended long ago, and its details were folded into counts (`retention`)"
        )
    } else {
        format!("there is no message {id}")
    }))
}

/// `m123`, or the bare number.
fn message_id(asked: &str) -> Option<MessageId> {
    asked.strip_prefix('m').unwrap_or(asked).parse().ok().map(MessageId)
}

async fn address(store: &dyn Store, picture: &Picture<'_>, asked: &str, answer: &mut Why) -> Result<(), WhyError> {
    let address = Address::parse(asked).map_err(|error| WhyError::Unknown(format!("{asked}: {error}")))?;
    let key = address.key();
    answer.suppressions = store.suppressions(Some(&key), None, 100).await?;
    for row in store.messages_to(&key).await? {
        answer.messages.push(message::why(store, picture, row).await?);
    }
    let listed = |report: &ReportView| answer.messages.iter().any(|m| Some(&m.message) == report.message.as_ref());
    let reports = store.reports_to(&key).await?;
    answer.reports = reports.iter().map(ReportView::of).filter(|report| !listed(report)).collect();
    answer.folded = store.folded(None).await?.iter().map(|row| row.n).sum();
    Ok(())
}

async fn campaign_row(store: &dyn Store, asked: &str) -> Result<Option<crate::store::CampaignRow>, StoreError> {
    match CampaignName::new(asked) {
        Ok(name) => store.campaign(&name).await,
        Err(_) => Ok(None),
    }
}

/// The lanes that a name means: one lane, or those in use of a relay or bucket (all, where none is in use).
fn lanes_named(picture: &Picture<'_>, asked: &str) -> Vec<LaneKey> {
    let all = picture.all_lanes();
    if let Ok(key) = asked.parse::<LaneKey>() {
        return all.into_iter().filter(|lane| *lane == key).collect();
    }
    let named: Vec<LaneKey> =
        all.into_iter().filter(|lane| lane.relay.as_str() == asked || lane.bucket.as_str() == asked).collect();
    let used: Vec<LaneKey> = named.iter().filter(|lane| picture.is_in_use(lane)).cloned().collect();
    if used.is_empty() { named } else { used }
}

async fn unknown(store: &dyn Store, picture: &Picture<'_>, asked: &str) -> Result<WhyError, StoreError> {
    let mut names: Vec<String> = store.campaigns().await?.into_iter().map(|row| row.name.to_string()).collect();
    let lanes = picture.all_lanes();
    names.extend(lanes.iter().map(ToString::to_string));
    names.extend(lanes.iter().map(|lane| lane.relay.to_string()));
    names.extend(lanes.iter().map(|lane| lane.bucket.to_string()));
    let near = did_you_mean(asked, names.iter().map(String::as_str));
    let near = near.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
    Ok(WhyError::Unknown(format!(
        "\"{asked}\" is no campaign, lane (relay/bucket), relay, bucket, message (m123) or address{near}"
    )))
}

impl Why {
    /// The answer as text, times in `config`'s zone.
    #[must_use]
    pub fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let mut out = String::new();
        for entry in &self.suppressions {
            let sender = entry.sender.as_deref().map(|s| format!(" of mail from {s}")).unwrap_or_default();
            let note = if entry.note.is_empty() { String::new() } else { format!(": {}", entry.note) };
            out.push_str(&format!(
                "{} is on the suppression list ({}{sender}) since {}{note}\n",
                entry.key,
                entry.reason.as_str(),
                at(entry.since, zone)
            ));
        }
        if self.kind == Kind::Address && self.messages.is_empty() {
            out.push_str(&format!("No campaign has a message to {}.\n", self.asked));
        }
        for report in &self.reports {
            let which = report.message.clone().unwrap_or_else(|| "no message of this store".to_owned());
            out.push_str(&format!("A report about {which}: {}.\n", report.sentence(zone)));
        }
        if self.folded > 0 {
            let n = number(self.folded);
            out.push_str(&format!(
                "Of {n} older messages only counts are left (`retention`); some may have been to it.\n"
            ));
        }
        let mut parts: Vec<String> = self.messages.iter().map(|m| m.render(config)).collect();
        parts.extend(self.campaign.iter().map(|c| c.render(config)));
        parts.extend(self.lanes.iter().map(|l| l.render(config)));
        if !out.is_empty() && !parts.is_empty() {
            out.push('\n');
        }
        out.push_str(&parts.join("\n"));
        out
    }
}
