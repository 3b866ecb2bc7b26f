//! Owns what a report from beyond the relay does to lanes and relays: the same as a carrier's answer in the session, later.
//!
//! Invariants: its time is that of the report, so a pause that would be over by now holds nothing up and is only remembered; a
//! report never counts a block twice, and never again what an operator has resumed since.

use jiff::Timestamp;

use super::effects::{Effect, REMEMBERED, effect};
use super::{HOUR, Schedule};
use crate::core::lane::{EaseHeard, PauseCause};
use crate::core::moment::Moment;
use crate::core::names::BucketName;
use crate::core::reply::{Action, Reading, Stage};

/// What a report does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardEffect {
    /// As for an answer in the session.
    pub effect: Effect,
    /// Its pause is over already: it is written down, because blocks of the last 7 days count, and holds nothing.
    pub over: bool,
}

impl HeardEffect {
    const NONE: Self = Self { effect: Effect::None, over: false };
}

impl Schedule {
    /// A carrier's answer of `at` was heard in a report about mail of a lane. `answer`: what was refused or delayed, and where;
    /// `None`: it was delivered.
    pub fn heard(
        &mut self,
        bucket: &BucketName,
        answer: Option<(&Reading, Stage)>,
        at: Timestamp,
        moment: Moment,
    ) -> HeardEffect {
        let now = moment.at;
        let at = at.min(now);
        if at.checked_add(REMEMBERED).unwrap_or(Timestamp::MAX) <= now {
            return HeardEffect::NONE;
        }
        let speaks = answer.is_none_or(|(reading, _)| !reading.is_relays());
        // An answer of another day says nothing of today's pace.
        if speaks && at >= self.bounds.0 {
            let reading = answer.map(|(reading, _)| reading);
            self.ease(bucket, EaseHeard::of(reading, false), reading, moment);
        }
        let cooldown = self.lanes.get(bucket).map_or(HOUR, |lane| lane.plan.cooldown.value);
        let lane = self.lane_breaks.entry(bucket.clone()).or_default();
        let Some((reading, stage)) = answer else {
            // What was delivered before the carrier asked to slow down says nothing of what came after.
            if !lane.covers(at, Action::Throttle, cooldown) {
                lane.went_well();
            }
            return HeardEffect::NONE;
        };
        let pauses = matches!(reading.action, Action::Throttle | Action::Block);
        let speaks = if reading.is_relays() { &self.relay_breaks } else { &*lane };
        if pauses && speaks.covers(at, reading.action, cooldown) {
            return HeardEffect::NONE;
        }
        let effect = effect(reading, stage, false, cooldown, (lane, &mut self.relay_breaks), at);
        let (Effect::PauseLane(pause) | Effect::PauseRelay(pause)) = &effect else {
            return HeardEffect { effect, over: false };
        };
        let over = pause.until.is_some_and(|until| until <= now);
        if over && pause.cause != PauseCause::Block {
            return HeardEffect::NONE;
        }
        HeardEffect { effect, over }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::effects::{Break, Breaks};
    use super::super::tests::{bucket, schedule_at};
    use super::*;
    use crate::core::reply::{Reason, Signal};

    const HOURS: i64 = 3_600;

    fn reading(signal: Signal, action: Action, from_relay: bool) -> Reading {
        Reading { rule: None, reason: Reason::Blocked, signal, action, from_relay, meaning: "".into() }
    }

    fn block() -> Reading {
        reading(Signal::Reputation, Action::Block, false)
    }

    /// A schedule of a relay whose own answers never pause a lane, and its present.
    fn relay() -> (Schedule, Timestamp) {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().expect("a time");
        (schedule_at(now), now)
    }

    fn ago(now: Timestamp, seconds: i64) -> Timestamp {
        now.checked_sub(jiff::SignedDuration::from_secs(seconds)).expect("in range")
    }

    fn hear(schedule: &mut Schedule, reading: &Reading, at: Timestamp, now: Timestamp) -> HeardEffect {
        schedule.heard(&bucket("docomo"), Some((reading, Stage::Body)), at, moment(now))
    }

    fn moment(at: Timestamp) -> Moment {
        Moment { at, up: Duration::from_secs(2_000) }
    }

    fn cooldown(schedule: &Schedule) -> Duration {
        schedule.lanes().get(&bucket("docomo")).map_or(HOUR, |lane| lane.plan.cooldown.value)
    }

    #[test]
    fn a_block_beyond_the_relay_pauses_the_lane_from_the_time_of_the_report() {
        let (mut schedule, now) = relay();
        let until = ago(now, 60).checked_add(cooldown(&schedule)).ok();
        let pause = Break { cause: PauseCause::Block, until, times: 1 };
        let expected = HeardEffect { effect: Effect::PauseLane(pause), over: false };
        assert_eq!(hear(&mut schedule, &block(), ago(now, 60), now), expected);
        assert_eq!(hear(&mut schedule, &block(), ago(now, 30), now), HeardEffect::NONE, "the burst counts once");
        assert_eq!(hear(&mut schedule, &block(), ago(now, 90), now), HeardEffect::NONE, "in whatever order it comes");
    }

    #[test]
    fn it_pauses_exactly_as_the_same_answer_of_a_carrier_in_the_session() {
        let (mut schedule, now) = relay();
        let (mut lane, mut nobody) = (Breaks::default(), Breaks::default());
        let cooldown = cooldown(&schedule);
        for reading in [block(), reading(Signal::Volume, Action::Throttle, false)] {
            let in_session = effect(&reading, Stage::Body, false, cooldown, (&mut lane, &mut nobody), now);
            assert_eq!(hear(&mut schedule, &reading, now, now).effect, in_session);
        }
    }

    #[test]
    fn a_pause_that_would_be_over_is_only_remembered() {
        let (mut schedule, now) = relay();
        let first = hear(&mut schedule, &block(), ago(now, 6 * 24 * HOURS), now);
        assert!(first.over && matches!(first.effect, Effect::PauseLane(Break { times: 1, .. })));
        let second = hear(&mut schedule, &block(), ago(now, 3 * 24 * HOURS), now);
        assert!(matches!(second.effect, Effect::PauseLane(Break { times: 2, .. })));
        let third = hear(&mut schedule, &block(), now, now);
        assert!(matches!(third.effect, Effect::PauseLane(Break { cause: PauseCause::Stop, times: 3, .. })));
        let slow = reading(Signal::Volume, Action::Throttle, false);
        let (mut schedule, now) = relay();
        assert_eq!(hear(&mut schedule, &slow, ago(now, 2 * HOURS), now), HeardEffect::NONE);
    }

    #[test]
    fn what_is_older_than_a_week_does_nothing() {
        let (mut schedule, now) = relay();
        assert_eq!(hear(&mut schedule, &block(), ago(now, 8 * 24 * HOURS), now), HeardEffect::NONE);
        let setup = reading(Signal::SenderSetup, Action::StopCampaign, false);
        assert_eq!(hear(&mut schedule, &setup, ago(now, 8 * 24 * HOURS), now), HeardEffect::NONE);
        assert_eq!(hear(&mut schedule, &setup, now, now).effect, Effect::StopCampaign);
    }

    #[test]
    fn what_an_operator_resumed_is_not_paused_again_by_the_rest_of_its_burst() {
        let (mut schedule, now) = relay();
        assert_ne!(hear(&mut schedule, &block(), ago(now, 600), now), HeardEffect::NONE);
        schedule.lane_breaks.entry(bucket("docomo")).or_default().resumed();
        assert_eq!(hear(&mut schedule, &block(), ago(now, 590), now), HeardEffect::NONE);
    }

    #[test]
    fn a_relay_that_speaks_in_a_report_pauses_itself() {
        let (mut schedule, now) = relay();
        let own = reading(Signal::Relay, Action::Throttle, true);
        assert!(matches!(hear(&mut schedule, &own, now, now).effect, Effect::PauseRelay(_)));
    }

    #[test]
    fn a_delivery_lets_the_next_slowing_down_start_small_again() {
        let (mut schedule, now) = relay();
        let slow = reading(Signal::Volume, Action::Throttle, false);
        hear(&mut schedule, &slow, ago(now, 600), now);
        schedule.heard(&bucket("docomo"), None, ago(now, 300), moment(now));
        let again = hear(&mut schedule, &slow, now, now);
        assert!(matches!(again.effect, Effect::PauseLane(Break { times: 1, .. })));
    }
}
