//! Owns the rows of what came back from beyond the relay.
//!
//! Invariants: a report is counted once, whatever way and however often it comes (`way` and `id` tell a repeat; a message counts
//! once per fate); its counts belong to the plan day of the *send*; a final state is never left.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::SuppressionReason;
use crate::core::campaign::{CampaignId, MessageId};
use crate::core::feedback::{Diagnostic, Fate, Way};
use crate::core::names::{BucketName, CampaignName, LaneKey};
use crate::core::reply::{Action, Reason, Signal, Stage};

/// A report, read and matched, to record.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The way it came.
    pub way: Way,
    /// Tells a repeat, per way.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What became of the message.
    pub fate: Fate,
    /// The message, when a signed token said so; else the newest one that a relay took for `key` before `at`.
    pub message: Option<MessageId>,
    /// The recipient, [`crate::core::address::Address::key`].
    pub key: Option<String>,
    /// What was said.
    pub said: Diagnostic,
    /// At which stage, where known.
    pub stage: Option<Stage>,
    /// The receiving host, where known.
    pub remote: Option<String>,
    /// Whose fault.
    pub signal: Signal,
    /// What its rule asks for; `None` where nothing was refused.
    pub action: Option<Action>,
    /// Why.
    pub reason: Reason,
    /// The rule; `None`: read by the general form alone.
    pub rule: Option<Arc<str>>,
    /// The address is suppressed at once.
    pub suppress: Option<SuppressionReason>,
    /// The mailbox is full or suspended: the address is suppressed when this many such reports about different messages came
    /// without a delivery between them.
    pub mailbox_after: Option<u32>,
    /// The lines that decided.
    pub evidence: String,
}

/// What became of a batch of reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Recorded.
    pub new: u64,
    /// Known already: nothing changed.
    pub repeated: u64,
    /// Of `new`: about no message of this store.
    pub unmatched: u64,
    /// Addresses that were newly suppressed.
    pub suppressed: u64,
}

/// A report as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    /// Number, growing in the order of recording.
    pub id: i64,
    /// What was recorded; `message` is the one it was matched with.
    pub report: Report,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// The lane that sent the message, when it was matched.
    pub lane: Option<LaneKey>,
    /// The plan day that paid for it.
    pub day: Option<Date>,
    /// Its campaign.
    pub campaign: Option<CampaignId>,
    /// Whether it was the first of its fate for its message: only such ones count.
    pub counts: bool,
}

/// What came back for a lane's plan day, each message once per figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Messages that were reported delivered.
    pub delivered: u64,
    /// Messages whose delivery was delayed for a reason of volume, reputation or an unclassified one.
    pub delayed: u64,
    /// Messages that bounced later.
    pub bounced: u64,
    /// Of these, for an unknown user.
    pub unknown: u64,
    /// Messages that were complained of.
    pub complaints: u64,
    /// Reports that asked for a block.
    pub blocks: u64,
}

/// What came back for a campaign: distinct messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameBack {
    /// Bucket.
    pub bucket: BucketName,
    /// Fate.
    pub fate: Fate,
    /// Why, for refusals and delays.
    pub reason: Reason,
    /// The way it was first heard on.
    pub way: Way,
    /// How many messages.
    pub n: u64,
}

/// A reply that no rule knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownReply {
    /// Where it came from: a bucket, or a relay's own words.
    pub from: String,
    /// The words with addresses, numbers and ids struck out, so that like replies are one.
    pub shape: String,
    /// The newest one as it was.
    pub sample: Diagnostic,
    /// Stage of the newest one, where known.
    pub stage: Option<Stage>,
    /// How often.
    pub n: u64,
    /// First and last time.
    pub first: Timestamp,
    /// Last time.
    pub last: Timestamp,
}

/// Whom a token belongs to; known for folded messages, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Message.
    pub message: MessageId,
    /// Address key.
    pub key: String,
    /// Campaign.
    pub campaign: CampaignName,
    /// Domain of the campaign's sender, which an unsubscribe is about.
    pub sender_domain: String,
}

/// What was removed about a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Messages whose address, columns and words were removed.
    pub messages: u64,
    /// Of these, waiting ones that were cancelled.
    pub cancelled: u64,
    /// Reports whose words were removed.
    pub reports: u64,
    /// Suppression entries replaced by a hash.
    pub suppressions: u64,
    /// Whether the file still has the address in some place: mostly room that was given up before, which a compaction wipes.
    pub copy_left: bool,
}
