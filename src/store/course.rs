//! Owns the words for what changes a lane's course: plan days that begin, orders of operators, and the journal of decisions.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::core::journal::{Entry, Kind};
use crate::core::lane::{Ledger, Verdict};
use crate::core::names::{BucketName, CampaignName, LaneKey, RelayName};
use crate::core::schedule::Course;

/// What a relay's owner decided, written in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rolled {
    /// Verdicts about plan days; one that is known is replaced.
    pub verdicts: Vec<Verdict>,
    /// Ledgers of a new or a running plan day.
    pub ledgers: Vec<Ledger>,
    /// For the journal, beside the verdicts (which are written there in any case).
    pub entries: Vec<Entry>,
    /// Orders that are done, by number.
    pub orders: Vec<i64>,
}

/// What an operator ordered about a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneOrder {
    /// When.
    pub at: Timestamp,
    /// The lane.
    pub lane: LaneKey,
    /// What.
    pub course: Course,
    /// Who: `name@host`.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a relay's owner looks at while the day runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Courses {
    /// Ledgers of the last days, with how they were answered by now.
    pub ledgers: Vec<Ledger>,
    /// Orders that wait, by number, oldest first.
    pub orders: Vec<(i64, LaneOrder)>,
}

/// Which entries of the journal are meant; what is `None` narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Of this relay.
    pub relay: Option<RelayName>,
    /// Of this lane of it.
    pub bucket: Option<BucketName>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// About this plan day.
    pub day: Option<Date>,
    /// Not before.
    pub since: Option<Timestamp>,
}

/// Where a lane's unknown users of a plan day came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownsOf {
    /// The campaign.
    pub campaign: CampaignName,
    /// Its content, which names the list.
    pub content: String,
    /// Messages.
    pub n: u64,
}
