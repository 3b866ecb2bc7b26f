//! Owns the pause: nothing leaves, with a cause and an end.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why something is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseCause {
    /// An operator said so.
    Operator,
    /// A reply that blocks; ends with the cooldown.
    Block,
    /// A reply or a fault that asks to slow down; ends by itself.
    Throttle,
    /// Ends only by the operator.
    Stop,
    /// Login refused, store restored from a backup, clock gone wrong, disk full.
    Fault,
}

impl PauseCause {
    /// The word used in the store and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Block => "block",
            Self::Throttle => "throttle",
            Self::Stop => "stop",
            Self::Fault => "fault",
        }
    }
}

/// A pause in force on a lane (its own, its relay's, or everybody's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Why.
    pub cause: PauseCause,
    /// In words.
    pub reason: String,
    /// Until when; `None`: until resumed.
    pub until: Option<Timestamp>,
}

impl Held {
    /// Whether it ends only when the operator resumes: something is wrong that waiting does not mend.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        self.cause == PauseCause::Stop
    }
}

/// How long a pause lasts that a reply or fault causes, the `times`-th time within 7 days (from 1): it doubles, up to `most`.
#[must_use]
pub fn doubling(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times.saturating_sub(1).min(20)).unwrap_or(u32::MAX);
    first.checked_mul(factor).unwrap_or(most).min(most)
}
