//! Owns the plain records of the care of a store: folding, space, and what operators list and settle at once.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::core::campaign::{CampaignId, MessageState};
use crate::core::names::{BucketName, RelayName};

/// What to fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldOrder {
    /// Campaigns whose last message became final at this time or before it.
    pub before: Timestamp,
    /// At most about so many rows (messages and their attempts), 1 or more; one message is always folded whole.
    pub limit: u32,
    /// Zone of the days that are counted by.
    pub zone: TimeZone,
}

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    /// Messages folded.
    pub messages: u64,
    /// Attempts folded with them.
    pub attempts: u64,
    /// There may be more to fold at once.
    pub more: bool,
}

/// Folded messages: all that is left of their details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedRow {
    /// Bucket.
    pub bucket: BucketName,
    /// State that they ended in.
    pub state: MessageState,
    /// Day on which that state began, in the zone of the fold.
    pub day: Date,
    /// How many.
    pub n: u64,
}

/// Room in the store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size, octets.
    pub bytes: u64,
    /// Of these: free, to be written to again, octets.
    pub free: u64,
    /// Free room can be given back to the file system bit by bit ([`super::Store::shrink`]). Stores that a version before
    /// retention made cannot, until they are compacted.
    pub shrinks: bool,
}

/// What an operator knows of the fate of a parked message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The relay has it: final, accepted.
    Accepted,
    /// The relay does not have it: it is sent again.
    Retry,
    /// It came back: final, bounced. The address is not suppressed.
    Bounced,
}

/// Which messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Claimed, or tried last, by this relay.
    pub relay: Option<RelayName>,
    /// In one of these states; empty: in any.
    pub states: Vec<MessageState>,
    /// Not final, and the fate of an attempt at the relay is unknown: waiting for its retry, in the air again, or parked.
    pub uncertain: bool,
}
