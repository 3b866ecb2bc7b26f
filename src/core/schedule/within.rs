//! Owns what a lane learns within its plan day: how fast it goes, and when it has shown its destination enough unknown users.
//!
//! Invariants: only answers of the destination count, never the relay's own; a lane is never faster than its plan; the budget of
//! unknown users counts what is in the air, so that it stops before the share is passed and not after.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::steer::{Change, Decided};
use super::{Effect, Schedule};
use crate::core::journal::Kind;
use crate::core::lane::{EaseHeard, Grade, Lane, Ramp};
use crate::core::moment::Moment;
use crate::core::names::BucketName;
use crate::core::reply::{Action, Reading};
use crate::core::units::{Share, grouped};

/// A budget of unknown users that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Unknown users of this plan day.
    pub unknown: u32,
    /// Messages answered for good.
    pub answered: u32,
    /// The budget.
    pub limit: Share,
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = f64::from(self.unknown) * 100.0 / f64::from(self.answered.max(1));
        write!(
            f,
            "{} of {} answered are unknown users ({share:.1} %): more would pass the budget of {}",
            grouped(self.unknown.into()),
            grouped(self.answered.into()),
            self.limit
        )
    }
}

/// What a lane counted itself since its day began, or since the operator resumed it: the store's figures come a little later.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Messages answered for good.
    answered: u32,
    /// Unknown users among them.
    unknown: u32,
    /// What had been counted when the operator resumed.
    forgiven: (u32, u32),
}

impl Counted {
    /// What the store has.
    pub(super) fn of(lane: &Lane) -> Self {
        Self::default().caught_up(lane)
    }

    fn caught_up(mut self, lane: &Lane) -> Self {
        let shown = &lane.ledger.showing;
        // Each message once: what bounced beyond the relay was accepted by it.
        let answered = shown.accepted.saturating_add(lane.ledger.bounced);
        self.answered = self.answered.max(answered);
        self.unknown = self.unknown.max(shown.unknown);
        self
    }
}

impl Schedule {
    /// Counts an answer of the session: the pace follows at once, and the budget of unknown users may stop the lane.
    pub(super) fn learn(&mut self, bucket: &BucketName, answer: Option<&Reading>, now: Moment) -> Option<Effect> {
        let own = self.terms.answers_own;
        let grade = answer.map(|reading| Grade::of(reading, own)).unwrap_or_default();
        let lane = self.lanes.get_mut(bucket)?;
        let over = answer.is_none_or(|reading| matches!(reading.action, Action::Suppress | Action::Fail));
        lane.counted.answered = lane.counted.answered.saturating_add(u32::from(over));
        lane.counted.unknown = lane.counted.unknown.saturating_add(u32::from(grade.unknown));
        // What the relay says of itself is no answer of the destination.
        if !own && !answer.is_some_and(Reading::is_relays) {
            self.ease(bucket, EaseHeard::of(answer, own), answer, now);
        }
        if grade.unknown { self.over_budget(bucket) } else { None }
    }

    /// Lets an answer move the lane's pace.
    pub(super) fn ease(&mut self, bucket: &BucketName, heard: EaseHeard, answer: Option<&Reading>, now: Moment) {
        let Some(lane) = self.lanes.get_mut(bucket) else { return };
        let sample = lane.plan.throttling.sample.min((lane.ledger.quota / 10).max(1));
        let before = lane.ease.share();
        let plan = lane.plan.clone();
        let Some(after) = lane.ease.answered(heard, &plan.throttling, sample, now.at) else { return };
        let because = match answer {
            _ if after > before => "enough good answers".to_owned(),
            Some(reading) if heard == EaseHeard::AsksToSlow => reading.meaning.to_string(),
            _ => format!("more than {} of the last answers were deferrals", plan.throttling.deferrals),
        };
        let ramp = &mut lane.ledger.ramp;
        ramp.eased = after;
        if after < before {
            ramp.eased_because = Some(because.clone());
        } else if after >= Ramp::WHOLE {
            ramp.eased_because = None;
        }
        lane.brake(now.up);
        let kind = if after < before { Kind::Slowed } else { Kind::Quickened };
        let by = answer.and_then(|reading| reading.rule.as_deref()).filter(|_| after < before).unwrap_or("throttling");
        let inputs = [
            ("sample".to_owned(), sample.to_string()),
            ("interval".to_owned(), format!("{} s", plan.throttling.interval.as_secs())),
        ];
        let decided = Decided {
            kind,
            by: by.to_owned(),
            because,
            inputs: BTreeMap::from(inputs),
            before: pace_in_words(before),
            after: pace_in_words(after),
        };
        self.note(bucket, decided, now.at);
    }

    /// Whether one more unknown user would pass the budget of a lane that is not stopped yet.
    pub(super) fn over_budget(&self, bucket: &BucketName) -> Option<Effect> {
        let lane = self.lanes.get(bucket).filter(|lane| lane.stop().is_none())?;
        let counted = lane.counted.caught_up(lane);
        let unknown = counted.unknown.saturating_sub(counted.forgiven.1);
        let answered = counted.answered.saturating_sub(counted.forgiven.0).max(unknown);
        let gate = &lane.plan.gate;
        if unknown < gate.step_back_from {
            return None;
        }
        let limit = lane.plan.unknown_budget.value;
        let air = lane.in_the_air();
        // Those in the air are as bad as the others, as far as anybody can tell.
        let expected = u64::from(air) * u64::from(unknown) / u64::from(answered.max(1));
        let most = limit.fraction() * f64::from(answered.saturating_add(air).max(gate.sample_of(lane.ledger.quota)));
        #[expect(clippy::cast_precision_loss, reason = "counts of messages in the air")]
        let would_be = f64::from(unknown) + expected as f64 + 1.0;
        (would_be > most).then_some(Effect::StopLane(Spent { unknown, answered, limit }))
    }

    /// Lanes whose budget of unknown users is used up by what the store remembers: each is stopped, was resumed by the operator since,
    /// or its process died before it could write the stop down.
    #[must_use]
    pub fn over_budgets(&self) -> Vec<(BucketName, Spent)> {
        let over = |bucket: &BucketName| match self.over_budget(bucket) {
            Some(Effect::StopLane(spent)) => Some((bucket.clone(), spent)),
            _ => None,
        };
        self.lanes.keys().filter_map(over).collect()
    }

    /// The operator resumed a lane: its budget of unknown users begins anew.
    pub fn forgive(&mut self, bucket: &BucketName) {
        if let Some(lane) = self.lanes.get_mut(bucket) {
            let counted = lane.counted.caught_up(lane);
            lane.counted = Counted { forgiven: (counted.answered, counted.unknown), ..counted };
        }
    }

    pub(super) fn note(&mut self, bucket: &BucketName, decided: Decided, at: Timestamp) {
        let Some(lane) = self.lanes.get(bucket) else { return };
        let entry = decided.entry(self.terms.relay.clone(), bucket.clone(), lane.ledger.day, at);
        self.changes.push(Change { ledger: lane.ledger.clone(), verdict: None, entry });
    }
}

/// A share of the pace, in words.
pub(super) fn pace_in_words(share: u32) -> String {
    format!("{} % of the plan's pace", share / 10)
}

#[cfg(test)]
mod tests {
    use super::super::Past;
    use super::super::tests::{bucket, lane, morning, open, plan, terms};
    use super::*;
    use crate::core::lane::{Held, Ledger, PauseCause, Showing, VerdictKind};
    use crate::core::plan::Spread;
    use crate::core::reply::{Reason, Signal, Stage};

    fn schedule() -> Schedule {
        let plan = plan(vec![("docomo", lane(100, None, Spread::Asap, (0, 1_440)))]);
        open(terms(plan), &["docomo"], morning(0))
    }

    /// The effects of so many unknown users, one after the other.
    fn unknown_users(schedule: &mut Schedule, n: u32) -> Vec<Effect> {
        let unknown = Reading {
            rule: None,
            reason: Reason::UserUnknown,
            signal: Signal::Recipient,
            action: Action::Suppress,
            from_relay: false,
            meaning: "".into(),
        };
        let answer = |_| schedule.answered(&bucket("docomo"), false, Some((&unknown, Stage::Rcpt)), None, morning(1));
        (0..n).map(answer).collect()
    }

    fn stops(effects: &[Effect]) -> Option<usize> {
        effects.iter().position(|effect| matches!(effect, Effect::StopLane(_)))
    }

    #[test]
    fn the_end_of_a_stop_begins_the_budget_anew_and_that_of_any_other_pause_does_not() {
        for (cause, more) in [(PauseCause::Stop, 4), (PauseCause::Throttle, 0), (PauseCause::Operator, 0)] {
            let mut schedule = schedule();
            assert_eq!(stops(&unknown_users(&mut schedule, 4)), None);
            let held = Held { cause, reason: "for a while".into(), until: None };
            schedule.set_pauses(Vec::new(), &[(bucket("docomo"), held)]);
            schedule.set_pauses(Vec::new(), &[]);
            assert_eq!(stops(&unknown_users(&mut schedule, 5)), Some(more), "{cause:?}");
        }
    }

    #[test]
    fn a_lane_that_is_stopped_is_not_stopped_once_more() {
        let plan = plan(vec![("docomo", lane(100, None, Spread::Asap, (0, 1_440)))]);
        let mut schedule = open(terms(plan), &["docomo"], morning(0));
        let docomo = bucket("docomo");
        let unknown = |n| Showing { unknown: n, ..Showing::default() };
        let (day, at) = (schedule.today(), morning(0).at);
        let Effect::StopLane(spent) = schedule.showed(&docomo, day, unknown(5), at) else { panic!("it stops") };
        schedule.pause(Some(&docomo), Held { cause: PauseCause::Stop, reason: spent.to_string(), until: None });
        assert_eq!(schedule.showed(&docomo, day, unknown(6), at), Effect::None, "what was in the air comes back");
        schedule.set_pauses(Vec::new(), &[]);
        assert_eq!(schedule.showed(&docomo, day, unknown(7), at), Effect::None, "resumed: the budget begins anew");
        assert!(matches!(schedule.showed(&docomo, day, unknown(11), at), Effect::StopLane(_)));
    }

    #[test]
    fn a_day_at_whose_end_a_lane_was_stopped_is_judged_so_by_the_next_process() {
        let plan = plan(vec![("docomo", lane(100, None, Spread::Asap, (0, 1_440)))]);
        let today = schedule().today();
        let mut ledger = Ledger::new(bucket("docomo"), today.yesterday().unwrap(), 3, 100);
        ledger.spent = 20;
        let hour = std::time::Duration::from_secs(3_600);
        for (hours_ago, kind) in [(20, VerdictKind::Stop), (2, VerdictKind::Hold)] {
            let stops = [(bucket("docomo"), morning(0).at - hour * hours_ago, "unknown users".to_owned())];
            let past = Past { stops: &stops, ..Past::default() };
            let (_, rollover) = Schedule::open(terms(plan.clone()), vec![ledger.clone()], past, morning(0));
            assert_eq!(rollover.verdicts[0].kind, kind, "stopped {hours_ago} hours ago: {:?}", rollover.verdicts);
        }
    }

    #[test]
    fn a_budget_that_was_used_up_before_the_start_is_seen_until_it_is_forgiven() {
        let plan = plan(vec![("docomo", lane(100, None, Spread::Asap, (0, 1_440)))]);
        let mut ledger = Ledger::new(bucket("docomo"), schedule().today(), 1, 100);
        ledger.showing.unknown = 5;
        let (mut schedule, _) = Schedule::open(terms(plan), vec![ledger], Past::default(), morning(0));
        assert_eq!(
            schedule.over_budgets().first().map(|(lane, spent)| (lane.as_str(), spent.unknown)),
            Some(("docomo", 5))
        );
        schedule.forgive(&bucket("docomo"));
        assert_eq!(schedule.over_budgets(), []);
    }
}
