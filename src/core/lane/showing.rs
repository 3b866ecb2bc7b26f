//! Owns what a lane's plan day showed: how its messages were answered, each of them counted once.
//!
//! Invariants: a message that was tried twice on a plan day is one message; of its answers the last one of that day counts as its
//! deferral; what the relay alone is to blame for is no answer about the lane.

use serde::{Deserialize, Serialize};

use crate::core::reply::{Action, Reading, Reason, Signal};

/// How a plan day's messages were answered, in the session and beyond the relay together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Showing {
    /// Distinct messages tried.
    pub tried: u32,
    /// Messages that the relay accepted.
    pub accepted: u32,
    /// Messages whose last answer of the day was a deferral that speaks of volume or reputation, or that no rule knows.
    pub put_off: u32,
    /// Messages refused for good.
    pub bounced: u32,
    /// Of these: unknown users.
    pub unknown: u32,
    /// Messages that were complained of.
    pub complaints: u32,
    /// Answers that blocked the lane.
    pub blocks: u32,
}

impl Showing {
    /// Both together: what was answered in the session, and what came back later about the same messages.
    #[must_use]
    pub fn with(self, beyond: Self) -> Self {
        Self {
            tried: self.tried.saturating_add(beyond.tried),
            accepted: self.accepted.saturating_add(beyond.accepted),
            put_off: self.put_off.saturating_add(beyond.put_off),
            bounced: self.bounced.saturating_add(beyond.bounced),
            unknown: self.unknown.saturating_add(beyond.unknown),
            complaints: self.complaints.saturating_add(beyond.complaints),
            blocks: self.blocks.saturating_add(beyond.blocks),
        }
    }
}

/// What one answer says of its lane, beyond what became of the message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Grade {
    /// The destination wants less, or trusts the sender less, or says something that no rule knows.
    pub put_off: bool,
    /// There is no such user.
    pub unknown: bool,
    /// It blocks the lane.
    pub blocks: bool,
}

impl Grade {
    /// Of an answer in the session that was not an acceptance. `own`: the relay's answers are its own, not the destination's.
    #[must_use]
    pub fn of(reading: &Reading, own: bool) -> Self {
        let relays = own || reading.is_relays();
        Self {
            put_off: !relays && speaks_of_the_lane(reading.signal),
            unknown: reading.reason == Reason::UserUnknown || reading.action == Action::Suppress,
            blocks: !relays && reading.action == Action::Block,
        }
    }
}

/// Whether a deferral with this signal is the destination's opinion of the lane: a full mailbox or greylisting is not.
#[must_use]
pub fn speaks_of_the_lane(signal: Signal) -> bool {
    matches!(signal, Signal::Volume | Signal::Reputation | Signal::Unclassified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(signal: Signal, action: Action, reason: Reason, from_relay: bool) -> Reading {
        Reading { rule: None, reason, signal, action, from_relay, meaning: "".into() }
    }

    #[test]
    fn what_the_relay_says_of_itself_is_not_about_the_lane() {
        let slow = reading(Signal::Volume, Action::Throttle, Reason::Undefined, false);
        assert_eq!(Grade::of(&slow, false), Grade { put_off: true, ..Grade::default() });
        assert_eq!(Grade::of(&slow, true), Grade::default());
        let own = reading(Signal::Relay, Action::Throttle, Reason::Undefined, true);
        assert_eq!(Grade::of(&own, false), Grade::default());
        let block = reading(Signal::Reputation, Action::Block, Reason::Blocked, false);
        assert_eq!(Grade::of(&block, false), Grade { put_off: true, blocks: true, ..Grade::default() });
    }

    #[test]
    fn an_unknown_user_counts_whoever_says_so() {
        let unknown = reading(Signal::Recipient, Action::Suppress, Reason::UserUnknown, false);
        assert_eq!(Grade::of(&unknown, true), Grade { unknown: true, ..Grade::default() });
    }
}
