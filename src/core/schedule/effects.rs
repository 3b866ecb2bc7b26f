//! Owns what an answer does beyond its own message: pause the lane, pause the relay, stop the campaign.
//!
//! Invariants: the relay's own trouble never pauses a lane, a lane's never the relay; where the relay's answers are its own
//! (`answers: own`), nothing in-band pauses a lane; answers of one burst count once.

use std::time::Duration;

use jiff::Timestamp;

use super::Spent;
use crate::core::lane::{PauseCause, doubling};
use crate::core::reply::{Action, Reading, Stage};

/// First pause of a lane or relay that was told to slow down; doubles while it goes on.
const SLOW_FIRST: Duration = Duration::from_secs(60);
/// First pause of a relay that cannot be reached.
const UNREACHED_FIRST: Duration = Duration::from_secs(5);
/// Longest pause of a relay that cannot be reached or asks to slow down.
const RELAY_MOST: Duration = Duration::from_secs(30 * 60);
/// First pause of a relay that refuses the login or says its quota is used up.
const REFUSED_FIRST: Duration = Duration::from_secs(15 * 60);
/// Longest pause after a block.
const BLOCK_MOST: Duration = Duration::from_secs(24 * 3_600);
/// Blocks of a lane within 7 days that stop it.
const BLOCKS_TO_STOP: u32 = 3;
/// How long a block is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);

/// What an answer does beyond its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The lane pauses.
    PauseLane(Break),
    /// The relay pauses with all its lanes.
    PauseRelay(Break),
    /// The campaign is paused until the operator resumes it: the sender's set-up is at fault.
    StopCampaign,
    /// The lane pauses until the operator resumes it: its budget of unknown users is used up.
    StopLane(Spent),
}

/// A pause to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Cause.
    pub cause: PauseCause,
    /// Until when; `None`: until the operator resumes.
    pub until: Option<Timestamp>,
    /// How often within 7 days, this time included.
    pub times: u32,
}

/// Pauses that a lane or a relay had.
#[derive(Debug, Clone, Default)]
pub struct Breaks {
    blocks: Vec<Timestamp>,
    slowed: u32,
    until: Option<Timestamp>,
    /// Until when what went wrong was answered with a pause, whoever ended that pause since.
    answered: Option<Timestamp>,
}

impl Breaks {
    /// Remembers blocks of the last 7 days.
    #[must_use]
    pub fn remembered(blocks: Vec<Timestamp>) -> Self {
        Self { blocks, ..Self::default() }
    }

    /// Something was accepted: the next slowing down starts small again.
    pub fn went_well(&mut self) {
        self.slowed = 0;
    }

    /// The operator resumed: a new answer counts at once.
    pub fn resumed(&mut self) {
        self.until = None;
    }

    /// Whether what a report says of `at` belongs to what was answered with a pause already, though that pause may have been
    /// ended since, or the program started anew.
    pub(super) fn covers(&self, at: Timestamp, action: Action, cooldown: Duration) -> bool {
        let times = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let last = self.blocks.iter().max().filter(|_| action == Action::Block);
        let end = last.map(|last| last.checked_add(doubling(cooldown, times, BLOCK_MOST)).unwrap_or(Timestamp::MAX));
        self.is_running(at) || self.answered.max(end).is_some_and(|end| end > at)
    }

    fn is_running(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    fn slow(&mut self, first: Duration, most: Duration, cause: PauseCause, now: Timestamp) -> Option<Break> {
        if self.is_running(now) {
            return None;
        }
        self.slowed += 1;
        let until = now.checked_add(doubling(first, self.slowed, most)).unwrap_or(Timestamp::MAX);
        (self.until, self.answered) = (Some(until), Some(until));
        Some(Break { cause, until: Some(until), times: self.slowed })
    }

    fn block(&mut self, cooldown: Duration, now: Timestamp) -> Option<Break> {
        if self.is_running(now) {
            return None;
        }
        self.blocks.retain(|at| at.checked_add(REMEMBERED).unwrap_or(Timestamp::MAX) > now);
        self.blocks.push(now);
        let times = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let until = now.checked_add(doubling(cooldown, times, BLOCK_MOST)).unwrap_or(Timestamp::MAX);
        self.answered = Some(until);
        if times >= BLOCKS_TO_STOP {
            self.until = Some(Timestamp::MAX);
            return Some(Break { cause: PauseCause::Stop, until: None, times });
        }
        self.until = Some(until);
        Some(Break { cause: PauseCause::Block, until: Some(until), times })
    }
}

/// What `reading` does. `own`: the relay's in-band answers are its own; `cooldown`: of the lane.
pub fn effect(
    reading: &Reading,
    stage: Stage,
    own: bool,
    cooldown: Duration,
    (lane, relay): (&mut Breaks, &mut Breaks),
    now: Timestamp,
) -> Effect {
    let of_relay = own || reading.is_relays();
    let pause = match (reading.action, of_relay) {
        (Action::StopCampaign, _) => return Effect::StopCampaign,
        (Action::Throttle, true) => {
            let first = if stage < Stage::Mail { UNREACHED_FIRST } else { SLOW_FIRST };
            relay.slow(first, RELAY_MOST, PauseCause::Throttle, now).map(Effect::PauseRelay)
        }
        (Action::Block, true) => relay.slow(REFUSED_FIRST, BLOCK_MOST, PauseCause::Fault, now).map(Effect::PauseRelay),
        (Action::Throttle, false) => {
            lane.slow(SLOW_FIRST, cooldown.max(SLOW_FIRST), PauseCause::Throttle, now).map(Effect::PauseLane)
        }
        (Action::Block, false) => lane.block(cooldown, now).map(Effect::PauseLane),
        (Action::Suppress | Action::Fail | Action::Retry, _) => None,
    };
    pause.unwrap_or(Effect::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::reply::{Reason, Signal};

    fn reading(signal: Signal, action: Action, from_relay: bool) -> Reading {
        Reading { rule: None, reason: Reason::Undefined, signal, action, from_relay, meaning: "".into() }
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).expect("in range")
    }

    #[test]
    fn a_block_pauses_the_lane_for_the_cooldown_doubling_and_the_third_stops_it() {
        let (mut lane, mut relay) = (Breaks::default(), Breaks::default());
        let block = reading(Signal::Reputation, Action::Block, false);
        let mut at_hour = |hour| {
            effect(&block, Stage::Body, false, Duration::from_secs(12 * 3_600), (&mut lane, &mut relay), at(hour))
        };
        let pause = |until, times| Effect::PauseLane(Break { cause: PauseCause::Block, until: Some(until), times });
        assert_eq!(at_hour(0), pause(at(12), 1));
        assert_eq!(at_hour(1), Effect::None, "an answer of the same burst counts once");
        assert_eq!(at_hour(12), pause(at(36), 2));
        assert_eq!(at_hour(40), Effect::PauseLane(Break { cause: PauseCause::Stop, until: None, times: 3 }));
    }

    #[test]
    fn blocks_are_forgotten_after_a_week() {
        let (mut lane, mut relay) = (Breaks::remembered(vec![at(0), at(12)]), Breaks::default());
        let block = reading(Signal::Reputation, Action::Block, false);
        let later = effect(&block, Stage::Body, false, Duration::from_secs(3_600), (&mut lane, &mut relay), at(24 * 8));
        assert_eq!(later, Effect::PauseLane(Break { cause: PauseCause::Block, until: Some(at(24 * 8 + 1)), times: 1 }));
    }

    #[test]
    fn where_answers_are_the_relays_own_only_the_relay_pauses() {
        let (mut lane, mut relay) = (Breaks::default(), Breaks::default());
        let slow = reading(Signal::Volume, Action::Throttle, false);
        let seen = effect(&slow, Stage::Rcpt, true, SLOW_FIRST, (&mut lane, &mut relay), at(0));
        assert!(matches!(seen, Effect::PauseRelay(Break { cause: PauseCause::Throttle, .. })));
        let stop = reading(Signal::SenderSetup, Action::StopCampaign, false);
        assert_eq!(effect(&stop, Stage::Body, true, SLOW_FIRST, (&mut lane, &mut relay), at(0)), Effect::StopCampaign);
    }
}
