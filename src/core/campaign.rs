//! Owns the words for a campaign and its messages: ids, classes, states.
//!
//! Invariant: a final state is never left (`MessageState::is_final`).

use serde::{Deserialize, Serialize};

/// A campaign's number in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CampaignId(pub i64);

/// A message's number in the store: one recipient's mail of one campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub i64);

/// A stored revision of a campaign's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionId(pub i64);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// Which mail goes first: strictly in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Receipts and passwords: bound by quota, rate, account limits and pauses only, not by windows.
    Transactional,
    /// Ordinary mail.
    Normal,
    /// Newsletters.
    Bulk,
}

impl Class {
    /// All classes, first to leave first.
    pub const ALL: [Self; 3] = [Self::Transactional, Self::Normal, Self::Bulk];

    /// The word used in files and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

/// Where a campaign stands. Whether its start has come is told by its start, not by its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CampaignState {
    /// `submit` is still reading its list: nothing leaves.
    Loading,
    /// Its mail may leave.
    Running,
    /// Nothing leaves until it is resumed (by an operator, or stopped by a reply that blames the sender's setup).
    Paused,
    /// Given up by the operator.
    Cancelled,
    /// Every message is in a final state.
    Finished,
}

impl CampaignState {
    /// The word used in the store and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        }
    }
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Waiting, never tried.
    Queued,
    /// Waiting to be tried again.
    Deferred,
    /// Taken by a relay's owner for sending: quota is spent.
    Claimed,
    /// Its fate at the relay is unknown; waits for an operator.
    Parked,
    /// The relay answered 250 to the end of data. We never say *delivered*.
    Accepted,
    /// Refused for good.
    Bounced,
    /// Its campaign's `not_after` or its retry lifetime passed.
    Expired,
    /// The address is on the suppression list, or its domain is dead.
    Suppressed,
    /// Its campaign was cancelled, or it was pruned from the list.
    Cancelled,
}

impl MessageState {
    /// All states, waiting ones first.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Deferred,
        Self::Claimed,
        Self::Parked,
        Self::Accepted,
        Self::Bounced,
        Self::Expired,
        Self::Suppressed,
        Self::Cancelled,
    ];

    /// Whether this state is never left.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Bounced | Self::Expired | Self::Suppressed | Self::Cancelled)
    }

    /// The word used in the store and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Claimed => "claimed",
            Self::Parked => "parked",
            Self::Accepted => "accepted",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Suppressed => "suppressed",
            Self::Cancelled => "cancelled",
        }
    }
}
