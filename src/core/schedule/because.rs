//! Owns the reasons for waiting, each with its sentence: the same words in `why`, `status`, the log and the demonstration.

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;

use crate::core::lane::Held;
use crate::core::units::{Rate, grouped};

/// Why nothing more leaves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// The plan day's quota is handed over.
    QuotaSpent {
        /// Handed over or in the air.
        spent: u32,
        /// The quota.
        quota: u32,
        /// Warm-up day.
        warmup_day: u32,
    },
    /// What is left of the quota is kept for transactional mail.
    KeptForTransactional {
        /// Messages kept.
        kept: u32,
    },
    /// Retries had their share while fresh mail waits.
    RetriesHadTheirShare {
        /// Retries of this plan day.
        retries: u32,
    },
    /// The lane's rate.
    Throttled {
        /// The rate.
        rate: Rate,
    },
    /// The lane is slowed down because of what its destination answered.
    Eased {
        /// Thousandths of the plan's pace.
        share: u32,
        /// What that comes to.
        rate: Rate,
    },
    /// The quota is spread evenly over the window.
    Paced,
    /// The lane's cap over 60 minutes.
    HourFull {
        /// The cap.
        cap: u32,
    },
    /// The relay account's rate.
    RelayThrottled {
        /// The rate.
        rate: Rate,
    },
    /// The relay account's cap over 60 minutes.
    RelayHourFull {
        /// The cap.
        cap: u32,
    },
    /// The relay account's cap over 24 hours.
    RelayDayFull {
        /// The cap.
        cap: u32,
    },
    /// Outside the window, or an avoided minute, day or holiday.
    WindowClosed,
    /// The relay's warm-up has not started.
    NotStarted {
        /// First plan day.
        started: Date,
    },
    /// Paused.
    Paused(Held),
    /// All connections that the lane may use are busy.
    Busy {
        /// How many.
        connections: u32,
    },
    /// The time of day jumped.
    ClockWrong,
    /// The stored plan day lies in the future.
    DayAhead {
        /// The ledger's plan day.
        day: Date,
    },
    /// An earlier relay of the pool still needs what waits.
    LeftToEarlierRelay,
    /// Nothing waits.
    NothingWaits,
}

impl Because {
    /// A short word for JSON and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::QuotaSpent { .. } => "quota-spent",
            Self::KeptForTransactional { .. } => "kept-for-transactional",
            Self::RetriesHadTheirShare { .. } => "retries-had-their-share",
            Self::Throttled { .. } => "throttled",
            Self::Eased { .. } => "eased",
            Self::Paced => "paced",
            Self::HourFull { .. } => "hour-full",
            Self::RelayThrottled { .. } => "relay-throttled",
            Self::RelayHourFull { .. } => "relay-hour-full",
            Self::RelayDayFull { .. } => "relay-day-full",
            Self::WindowClosed => "window-closed",
            Self::NotStarted { .. } => "not-started",
            Self::Paused(_) => "paused",
            Self::Busy { .. } => "busy",
            Self::ClockWrong => "clock-wrong",
            Self::DayAhead { .. } => "day-ahead",
            Self::LeftToEarlierRelay => "left-to-earlier-relay",
            Self::NothingWaits => "nothing-waits",
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |n: &u32| grouped(u64::from(*n)).replace('_', ",");
        match self {
            Self::QuotaSpent { spent, quota, warmup_day } => {
                write!(f, "the quota of warm-up day {warmup_day} is spent ({} of {})", n(spent), n(quota))
            }
            Self::KeptForTransactional { kept } => {
                write!(f, "the last {} of the quota are kept for transactional mail", n(kept))
            }
            Self::RetriesHadTheirShare { retries } => {
                write!(f, "retries had their share of the quota today ({}) while fresh mail waits", n(retries))
            }
            Self::Throttled { rate } => write!(f, "the lane's rate is {rate}"),
            Self::Eased { share, rate } => {
                write!(f, "the lane goes at {} % of its plan's pace for now ({rate}), by what was answered", share / 10)
            }
            Self::Paced => f.write_str("the quota is spread evenly over the window"),
            Self::HourFull { cap } => write!(f, "the lane's cap of {} in 60 minutes is reached", n(cap)),
            Self::RelayThrottled { rate } => write!(f, "the relay account's rate is {rate}"),
            Self::RelayHourFull { cap } => write!(f, "the relay account's cap of {} in 60 minutes is reached", n(cap)),
            Self::RelayDayFull { cap } => write!(f, "the relay account's cap of {} in 24 hours is reached", n(cap)),
            Self::WindowClosed => f.write_str("the plan's window is closed"),
            Self::NotStarted { started } => write!(f, "the warm-up starts on {started}"),
            Self::Paused(held) => write!(f, "paused ({}): {}", held.cause.as_str(), held.reason),
            Self::Busy { connections } => write!(f, "all {connections} connections that the lane may use are busy"),
            Self::ClockWrong => {
                f.write_str("the clock jumped; nothing leaves until it has agreed with the time since boot for 60 s")
            }
            Self::DayAhead { day } => {
                write!(f, "the ledger is already at plan day {day}, which this clock has not reached")
            }
            Self::LeftToEarlierRelay => f.write_str("an earlier relay of the pool still needs what waits"),
            Self::NothingWaits => f.write_str("nothing waits"),
        }
    }
}

/// One reason and how long it lasts from now; `None`: until something else changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The reason.
    pub because: Because,
    /// How long.
    pub lasts: Option<Duration>,
}
