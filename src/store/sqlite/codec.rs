//! Owns how values lie in columns: times, days and the codes of every enum.
//!
//! Invariant: a code never changes its meaning; what cannot be read back is reported as damage, never guessed.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::core::campaign::{CampaignState, Class, MessageState};
use crate::core::feedback::Fate;
use crate::core::lane::VerdictKind;
use crate::core::names::LaneKey;
use crate::core::names::RelayName;
use crate::core::reply::{Action, Enhanced, Reason, Signal, Stage};
use crate::store::{CELL, PauseCause, Scope, StoreError, SuppressionReason};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// The error for a value that no version of this program writes.
pub(super) fn damaged(what: &str, got: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what} \"{got}\" is none that this version writes: restore a backup"))
}

/// Microseconds since the epoch.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(super) fn timestamp(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| damaged("the time", micros))
}

pub(super) fn maybe_timestamp(micros: Option<i64>) -> Result<Option<Timestamp>> {
    micros.map(timestamp).transpose()
}

/// A day as yyyymmdd: sorts as days do and can be read by people.
pub(super) fn day_code(day: Date) -> i64 {
    i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day())
}

pub(super) fn day(code: i64) -> Result<Date> {
    let read = || {
        let year = i16::try_from(code.div_euclid(10_000)).ok()?;
        let month = i8::try_from(code.rem_euclid(10_000) / 100).ok()?;
        let day = i8::try_from(code.rem_euclid(100)).ok()?;
        Date::new(year, month, day).ok()
    };
    read().ok_or_else(|| damaged("the day", code))
}

/// Start of the spending cell that `at` falls into.
pub(super) fn cell_start(at: i64) -> i64 {
    let length = i64::try_from(CELL.as_micros()).unwrap_or(15_000_000);
    at.div_euclid(length) * length
}

/// A stored count.
pub(super) fn many(n: i64) -> Result<u64> {
    u64::try_from(n).map_err(|_| damaged("the count", n))
}

/// A number of rows as the store counts.
pub(super) fn rows(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A count as it is stored.
pub(super) fn stored(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// `-score`: what leaves first sorts first.
pub(super) fn rank(score: i64) -> i64 {
    score.saturating_neg()
}

/// An enhanced status code as one number: 5.7.606 is 5007606.
pub(super) fn enhanced_code(e: Enhanced) -> i64 {
    i64::from(e.0) * 1_000_000 + i64::from(e.1) * 1_000 + i64::from(e.2)
}

pub(super) fn enhanced(code: i64) -> Result<Enhanced> {
    let read = || {
        let class = u8::try_from(code / 1_000_000).ok()?;
        let subject = u16::try_from(code / 1_000 % 1_000).ok()?;
        Some(Enhanced(class, subject, u16::try_from(code % 1_000).ok()?))
    };
    read().ok_or_else(|| damaged("the enhanced status code", code))
}

/// Where a message is, as counters tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In line, never tried.
    Fresh,
    /// In line, tried before.
    Retry,
    /// Waiting for its time.
    Later,
    /// In the air.
    Claimed,
    /// Waiting for the operator.
    Parked,
    /// In a final state.
    Final(MessageState),
}

/// Counters with a code up to this one are about messages that are not final.
pub(super) const LAST_OPEN_PLACE: i64 = 4;

impl Place {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Fresh => 0,
            Self::Retry => 1,
            Self::Later => 2,
            Self::Claimed => 3,
            Self::Parked => LAST_OPEN_PLACE,
            Self::Final(state) => 10 + state_code(state),
        }
    }

    pub(super) fn from_code(code: i64) -> Result<Self> {
        Ok(match code {
            0 => Self::Fresh,
            1 => Self::Retry,
            2 => Self::Later,
            3 => Self::Claimed,
            LAST_OPEN_PLACE => Self::Parked,
            other => Self::Final(state(other - 10)?),
        })
    }

    /// The state of a message there.
    pub(super) fn state(self) -> MessageState {
        match self {
            Self::Fresh => MessageState::Queued,
            Self::Retry | Self::Later => MessageState::Deferred,
            Self::Claimed => MessageState::Claimed,
            Self::Parked => MessageState::Parked,
            Self::Final(state) => state,
        }
    }

    /// The place in line by tier.
    pub(super) fn of_tier(tier: i64) -> Self {
        if tier == RETRY_TIER { Self::Retry } else { Self::Fresh }
    }
}

/// Tier of messages that were tried before: they leave first.
pub(super) const RETRY_TIER: i64 = 0;
/// Tier of messages that were never tried.
pub(super) const FRESH_TIER: i64 = 1;

macro_rules! codes {
    ($to:ident, $from:ident, $type:ty, $what:literal, { $($code:literal => $variant:path),+ $(,)? }) => {
        pub(super) fn $to(value: $type) -> i64 {
            match value { $($variant => $code),+ }
        }

        pub(super) fn $from(code: i64) -> Result<$type> {
            match code {
                $($code => Ok($variant),)+
                other => Err(damaged($what, other)),
            }
        }
    };
}

codes!(state_code, state, MessageState, "the message state", {
    0 => MessageState::Queued, 1 => MessageState::Deferred, 2 => MessageState::Claimed, 3 => MessageState::Parked,
    4 => MessageState::Accepted, 5 => MessageState::Bounced, 6 => MessageState::Expired,
    7 => MessageState::Suppressed, 8 => MessageState::Cancelled,
});
codes!(campaign_state_code, campaign_state, CampaignState, "the campaign state", {
    0 => CampaignState::Loading, 1 => CampaignState::Running, 2 => CampaignState::Paused,
    3 => CampaignState::Cancelled, 4 => CampaignState::Finished,
});
codes!(class_code, class, Class, "the class", {
    0 => Class::Transactional, 1 => Class::Normal, 2 => Class::Bulk,
});
codes!(cause_code, cause, PauseCause, "the cause of a pause", {
    0 => PauseCause::Operator, 1 => PauseCause::Block, 2 => PauseCause::Throttle, 3 => PauseCause::Stop,
    4 => PauseCause::Fault,
});
codes!(reason_code, reason, SuppressionReason, "the reason of a suppression", {
    0 => SuppressionReason::Unknown, 1 => SuppressionReason::Complaint, 2 => SuppressionReason::Manual,
    3 => SuppressionReason::Unsubscribe, 4 => SuppressionReason::Mailbox, 5 => SuppressionReason::Forgotten,
});
codes!(fate_code, fate, Fate, "the fate", {
    0 => Fate::Delivered, 1 => Fate::Delayed, 2 => Fate::Refused, 3 => Fate::Complaint, 4 => Fate::Unsubscribed,
    5 => Fate::AutoReply,
});
codes!(why_code, why, Reason, "the reason of a report", {
    0 => Reason::UserUnknown, 1 => Reason::HostUnknown, 2 => Reason::HasMoved, 3 => Reason::MailboxFull,
    4 => Reason::Suspended, 5 => Reason::Filtered, 6 => Reason::MessageTooBig, 7 => Reason::Content, 8 => Reason::Spam,
    9 => Reason::Virus, 10 => Reason::Blocked, 11 => Reason::BadReputation, 12 => Reason::RateLimited,
    13 => Reason::AuthFailure, 14 => Reason::SenderRejected, 15 => Reason::PolicyViolation, 16 => Reason::NoRelaying,
    17 => Reason::SecurityError, 18 => Reason::Expired, 19 => Reason::NetworkError, 20 => Reason::SystemError,
    21 => Reason::SystemFull, 22 => Reason::NotAccept, 23 => Reason::SyntaxError, 24 => Reason::NotARefusal,
    25 => Reason::Undefined,
});
codes!(verdict_code, verdict, VerdictKind, "the verdict", {
    0 => VerdictKind::Advance, 1 => VerdictKind::Hold, 2 => VerdictKind::StepBack, 3 => VerdictKind::Stop,
    4 => VerdictKind::NoVerdict,
});
codes!(stage_code, stage, Stage, "the stage", {
    0 => Stage::Connect, 1 => Stage::Greeting, 2 => Stage::Hello, 3 => Stage::Tls, 4 => Stage::Auth, 5 => Stage::Mail,
    6 => Stage::Rcpt, 7 => Stage::Data, 8 => Stage::Body,
});
codes!(signal_code, signal, Signal, "the signal", {
    0 => Signal::Recipient, 1 => Signal::Content, 2 => Signal::Volume, 3 => Signal::Reputation,
    4 => Signal::SenderSetup, 5 => Signal::Relay, 6 => Signal::Unclassified,
});
codes!(action_code, action, Action, "the action", {
    0 => Action::Suppress, 1 => Action::Fail, 2 => Action::Retry, 3 => Action::Throttle, 4 => Action::Block,
    5 => Action::StopCampaign,
});

pub(super) fn scope_text(scope: &Scope) -> String {
    match scope {
        Scope::All => "*".to_owned(),
        Scope::Relay(relay) => relay.to_string(),
        Scope::Lane(lane) => lane.to_string(),
    }
}

pub(super) fn scope(text: &str) -> Result<Scope> {
    let bad = |_| damaged("the scope", text);
    if text == "*" {
        Ok(Scope::All)
    } else if text.contains('/') {
        text.parse::<LaneKey>().map(Scope::Lane).map_err(bad)
    } else {
        RelayName::new(text).map(Scope::Relay).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_what_was_never_written_is_damage() {
        for s in MessageState::ALL {
            assert_eq!(state(state_code(s)), Ok(s));
            assert_eq!(Place::from_code(Place::Final(s).code()), Ok(Place::Final(s)));
        }
        for f in Fate::ALL {
            assert_eq!(fate(fate_code(f)), Ok(f));
        }
        for r in Reason::ALL {
            assert_eq!(why(why_code(r)), Ok(r));
        }
        for p in [Place::Fresh, Place::Retry, Place::Later, Place::Claimed, Place::Parked] {
            assert_eq!(Place::from_code(p.code()), Ok(p));
        }
        let date = jiff::civil::date(2026, 2, 28);
        assert_eq!(day(day_code(date)), Ok(date));
        assert_eq!(day_code(date), 20_260_228);
        assert!(day(20_260_231).is_err());
        assert!(state(99).is_err());
        assert_eq!(enhanced(enhanced_code(Enhanced(5, 7, 606))), Ok(Enhanced(5, 7, 606)));
        for text in ["*", "ses-tokyo", "ses-tokyo/docomo"] {
            assert_eq!(scope(text).map(|s| scope_text(&s)), Ok(text.to_owned()));
        }
        assert!(scope("Not A Name").is_err());
    }

    #[test]
    fn a_cell_begins_at_or_before_the_time_in_it() {
        assert_eq!(cell_start(0), 0);
        assert_eq!(cell_start(14_999_999), 0);
        assert_eq!(cell_start(15_000_000), 15_000_000);
        assert_eq!(cell_start(-1), -15_000_000);
    }
}
