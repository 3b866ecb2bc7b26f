//! Owns the daily report: what was planned for a plan day, what left, how it was answered, and what follows for the next day.
//!
//! Invariants: figures are the ledgers' own; a day that was not judged yet is judged by the core as if it ended now, and the report says
//! so; what one day can show is bounded.

mod answers;
mod gather;
mod html;
mod language;
mod reasons;
mod text;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

pub use answers::WorstAnswer;
pub use gather::{daily, default_day};
pub use language::Lang;

use super::journal::Decision;
use super::overview::Counts;
use crate::core::lane::VerdictKind;
use crate::core::names::{BucketName, RelayName};

/// The report of one plan day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Daily {
    /// The plan day.
    pub day: Date,
    /// When it was drawn up.
    pub at: Timestamp,
    /// Whether the plan day is over for every relay shown.
    pub finished: bool,
    /// All lanes together.
    pub total: Figures,
    /// The relays, by name.
    pub relays: Vec<DailyRelay>,
    /// Campaigns that were open or ended on the day.
    pub campaigns: Vec<DailyCampaign>,
    /// Campaigns of these that are not shown, because they are too many.
    pub more_campaigns: u64,
}

/// What is counted of a plan day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Messages that might be handed over.
    pub quota: u64,
    /// Of these: handed over, attempts that were given back left out.
    pub spent: u64,
    /// Accepted by the relay.
    pub accepted: u64,
    /// Attempts that were deferred.
    pub deferred: u64,
    /// Refused for good in the session.
    pub bounced: u64,
    /// Unknown users, in the session and beyond it.
    pub unknown: u64,
    /// Reported delivered from beyond the relay.
    pub delivered: u64,
    /// Accepted by the relay and bounced later.
    pub bounced_later: u64,
    /// Delayed beyond the relay.
    pub delayed: u64,
    /// Complained of.
    pub complaints: u64,
    /// Answers and reports that blocked the lane.
    pub blocks: u64,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.quota += other.quota;
        self.spent += other.spent;
        self.accepted += other.accepted;
        self.deferred += other.deferred;
        self.bounced += other.bounced;
        self.unknown += other.unknown;
        self.delivered += other.delivered;
        self.bounced_later += other.bounced_later;
        self.delayed += other.delayed;
        self.complaints += other.complaints;
        self.blocks += other.blocks;
    }

    /// All of `figures` together.
    fn sum<'a>(figures: impl IntoIterator<Item = &'a Self>) -> Self {
        figures.into_iter().fold(Self::default(), |mut sum, figures| {
            sum.add(figures);
            sum
        })
    }

    /// Whether anything came back from beyond the relay.
    fn came_back(&self) -> bool {
        self.delivered + self.bounced_later + self.delayed + self.complaints > 0
    }
}

/// One relay on the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DailyRelay {
    /// Name.
    pub relay: RelayName,
    /// The plan that was in force at last on the day.
    pub plan: String,
    /// Whether its plan day is over.
    pub finished: bool,
    /// When the plan day began.
    pub begins: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// All its lanes together.
    pub total: Figures,
    /// Lanes with a plan day of that date, by bucket.
    pub lanes: Vec<DailyLane>,
    /// Answers other than acceptances, the worst first.
    pub answers: Vec<WorstAnswer>,
    /// Pauses, slowings and orders of the day, in the order of time.
    pub decisions: Vec<Decision>,
    /// Quota and handovers of its lanes together, on the days until then.
    pub history: Vec<HistoryDay>,
}

/// One lane on the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DailyLane {
    /// Its bucket.
    pub bucket: BucketName,
    /// Index into the curve.
    pub warmup_day: u32,
    /// Its figures.
    pub figures: Figures,
    /// The operator keeps it on its warm-up day, with this reason.
    pub held: Option<String>,
    /// What of the plan's pace was in force at last, in thousandths.
    pub eased: u32,
    /// What follows.
    pub verdict: DailyVerdict,
}

/// What a plan day comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DailyVerdict {
    /// It is written; false: what it would be if the day ended as it is now.
    pub written: bool,
    /// The decision.
    pub kind: VerdictKind,
    /// Warm-up day of this day.
    pub before: u32,
    /// Warm-up day of the next one.
    pub after: u32,
    /// Quota of the next day.
    pub quota: u32,
    /// Why, in words.
    pub because: String,
    /// The figures that it rests on, by name.
    pub inputs: BTreeMap<String, String>,
    /// The Japanese of `because`, where the figures tell it.
    #[serde(skip)]
    because_ja: Option<String>,
}

/// One day of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryDay {
    /// Plan day.
    pub day: Date,
    /// Quotas of its lanes.
    pub quota: u64,
    /// Handed over.
    pub spent: u64,
    /// Accepted by the relay.
    pub accepted: u64,
}

/// One campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DailyCampaign {
    /// Name.
    pub campaign: String,
    /// `loading`, `running`, `paused`, `cancelled`, `finished`.
    pub state: &'static str,
    /// Why it is paused or cancelled.
    pub because: Option<String>,
    /// When it ended, where it did.
    pub ended: Option<Timestamp>,
    /// When it should be done.
    pub finish_by: Option<Timestamp>,
    /// Messages per state, as they are now.
    pub messages: Counts,
}
