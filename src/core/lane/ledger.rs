//! Owns the ledger: what a lane must remember of its plan day over a restart.
//!
//! Invariant: `spent <= quota_peak`; `spent` only falls when a claim is given back unsent on the same plan day.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Showing;
use crate::core::names::BucketName;
use crate::core::plan::Curve;

/// One lane's plan day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The lane, within its relay.
    pub bucket: BucketName,
    /// The plan day: the local date on which it began.
    pub day: Date,
    /// Index into the curve, from 1.
    pub warmup_day: u32,
    /// Quota in force now.
    pub quota: u32,
    /// The highest quota that was in force on this plan day (a plan may be edited).
    pub quota_peak: u32,
    /// Messages claimed, less those given back unsent.
    pub spent: u32,
    /// Of `spent`: messages that were tried before.
    pub spent_retries: u32,
    /// Of `spent`: transactional mail.
    pub spent_transactional: u32,
    /// Messages the relay accepted, of this day's claims.
    pub accepted: u32,
    /// Attempts that were deferred, of this day's claims.
    pub deferred: u32,
    /// Messages that bounced, of this day's claims.
    pub bounced: u32,
    /// The backlog was empty at a moment when the gate's `emptied` share had been handed over.
    pub emptied: bool,
    /// How this day's messages were answered, in the session and beyond the relay together.
    pub showing: Showing,
    /// What the lane must carry from one plan day to the next.
    pub ramp: Ramp,
}

/// What a lane carries from one plan day to the next, beside its warm-up day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ramp {
    /// Plan days without a handover that lie directly before this one.
    pub idle: u32,
    /// The highest quota of a day with a handover, since it last started low; 0: there was none.
    pub peak: u32,
    /// Quota that is not passed though the curve allows more: a lane that nobody tells about grows slowly.
    pub ceiling: Option<u32>,
    /// The operator keeps the lane on its warm-up day, with this reason.
    pub held: Option<String>,
    /// What of the plan's pace is in force, in thousandths; 1,000: all of it.
    pub eased: u32,
    /// Why it is eased.
    pub eased_because: Option<String>,
}

impl Ramp {
    /// The whole pace, in thousandths.
    pub const WHOLE: u32 = 1_000;
}

impl Default for Ramp {
    fn default() -> Self {
        Self { idle: 0, peak: 0, ceiling: None, held: None, eased: Self::WHOLE, eased_because: None }
    }
}

impl Ledger {
    /// An untouched plan day.
    #[must_use]
    pub fn new(bucket: BucketName, day: Date, warmup_day: u32, quota: u32) -> Self {
        Self {
            bucket,
            day,
            warmup_day,
            quota,
            quota_peak: quota,
            spent: 0,
            spent_retries: 0,
            spent_transactional: 0,
            accepted: 0,
            deferred: 0,
            bounced: 0,
            emptied: false,
            showing: Showing::default(),
            ramp: Ramp::default(),
        }
    }

    /// The quota that a curve gives on this warm-up day, under the ramp's ceiling.
    #[must_use]
    pub fn quota_by(&self, curve: &Curve) -> u32 {
        curve.quota(self.warmup_day).min(self.ramp.ceiling.unwrap_or(u32::MAX)).max(1)
    }
}

/// The written verdict of one lane's plan day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The lane, within its relay.
    pub bucket: BucketName,
    /// The plan day judged (the last of a gap).
    pub day: Date,
    /// Days in the gap that this row covers; 1 for a day with a handover.
    pub days: u32,
    /// What was decided.
    pub kind: VerdictKind,
    /// Warm-up day before.
    pub before: u32,
    /// Warm-up day after.
    pub after: u32,
    /// Why, in words, with the figures.
    pub because: String,
    /// The figures that it rests on, by name.
    pub inputs: BTreeMap<String, String>,
}

/// What a gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// The next warm-up day begins.
    Advance,
    /// The day repeats.
    Hold,
    /// One rung back.
    StepBack,
    /// Nothing leaves until the operator says so.
    Stop,
    /// Too little to judge: the day repeats.
    NoVerdict,
}

impl VerdictKind {
    /// The word used in the store and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Hold => "hold",
            Self::StepBack => "step-back",
            Self::Stop => "stop",
            Self::NoVerdict => "no-verdict",
        }
    }
}
