//! Owns the figures by which a plan judges its days and slows its lanes: the gate, the throttling within the day, the budget of
//! unknown users.
//!
//! Invariant: every figure has a default (the page on semantics) and can be set per plan and per group.

use std::time::Duration;

use crate::core::units::Share;

/// Shares of a day's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Messages whose last answer of the day was a deferral that speaks of the lane.
    pub deferrals: Share,
    /// Messages refused for good.
    pub bounces: Share,
    /// Of these: unknown users.
    pub unknown_users: Share,
    /// Complaints per accepted message.
    pub complaints: Share,
}

/// What a lane does whose relay answers for itself and about whose mail nothing is heard beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blind {
    /// It advances by volume, its quota growing by [`Gate::blind_growth`] a day at most.
    Advance,
    /// It stays on its warm-up day.
    Hold,
}

impl Blind {
    /// The word used in plans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Hold => "hold",
        }
    }
}

/// The gate between two warm-up days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Share of the quota that must be handed over for the day to count.
    pub filled: Share,
    /// Or this share, when the backlog was empty after it.
    pub emptied: Share,
    /// Fewest messages tried for a verdict (the lesser of this and half the quota).
    pub sample: u32,
    /// Below these the lane advances.
    pub advance: Shares,
    /// Up to these it holds; above, it steps back.
    pub hold: Shares,
    /// Fewest such messages for a hold: a single one is written down and changes nothing.
    pub hold_from: u32,
    /// Fewest such messages for a step back.
    pub step_back_from: u32,
    /// Calendar days without a handover from which each further day is one rung back.
    pub idle_days: u32,
    /// Calendar days without a handover after which the lane starts again low.
    pub restart_days: u32,
    /// What a lane without ears does.
    pub blind: Blind,
    /// Most that its quota grows in a day: 150 % is half as much again.
    pub blind_growth: Share,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            filled: Share::percent(70),
            emptied: Share::percent(50),
            sample: 200,
            advance: Shares {
                deferrals: Share::percent(5),
                bounces: Share::percent(2),
                unknown_users: Share::percent(1),
                complaints: Share::per_mille(1),
            },
            hold: Shares {
                deferrals: Share::percent(10),
                bounces: Share::percent(5),
                unknown_users: Share::percent(3),
                complaints: Share::per_mille(3),
            },
            hold_from: 3,
            step_back_from: 5,
            idle_days: 7,
            restart_days: 30,
            blind: Blind::Advance,
            blind_growth: Share::percent(150),
        }
    }
}

impl Gate {
    /// Fewest messages for a verdict on a day of `quota`: small curves need small samples.
    #[must_use]
    pub fn sample_of(&self, quota: u32) -> u32 {
        self.sample.min(quota / 2).max(1)
    }
}

/// How a lane slows down and climbs back within the day: additive up, multiplicative down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttling {
    /// What is left of the pace at each step down.
    pub down: Share,
    /// What of the plan's pace comes back at each step up.
    pub up: Share,
    /// Never slower than this share of the plan's pace.
    pub floor: Share,
    /// Never faster than this one; at most 100 %.
    pub ceiling: Share,
    /// Answers before a share of them counts; a reply that asks to slow down needs no sample.
    pub sample: u32,
    /// Deferrals among the last answers from which the lane slows down.
    pub deferrals: Share,
    /// One change in this time.
    pub interval: Duration,
}

impl Default for Throttling {
    fn default() -> Self {
        Self {
            down: Share::percent(50),
            up: Share::percent(10),
            floor: Share::percent(10),
            ceiling: Share::percent(100),
            sample: 20,
            deferrals: Share::percent(10),
            interval: Duration::from_secs(300),
        }
    }
}

/// Unknown users that a destination is shown at most, where the plan says nothing: where the gate would step back.
pub const UNKNOWN_BUDGET: Share = Share::percent(3);
