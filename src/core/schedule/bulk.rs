//! Owns deciding in steps of virtual time: a step's claims and releases as counts, with the same limits and the same sharing as
//! one by one. The forecast runs on it.
//!
//! Invariants: what a step takes is what the worker could release within it; a step ends where hours, caps or the plan day
//! change ([`Schedule::changes`]); everything taken is released and answered within its step.

use std::time::Duration;

use jiff::Timestamp;

use super::wants::Reach;
use super::{Backlog, Effect, LaneWant, Schedule};
use crate::core::campaign::{CampaignId, Class};
use crate::core::lane::{EaseHeard, Rolling};
use crate::core::moment::Moment;
use crate::core::names::BucketName;

/// What is left of a claim in a step: campaign, its weight, messages, retries among them.
pub type Taken = (CampaignId, u32, u32, u32);

/// How messages of one step were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Accepted.
    pub accepted: u32,
    /// Deferred, in a way that speaks of the lane.
    pub put_off: u32,
    /// Refused for good.
    pub bounced: u32,
    /// Of these: unknown users.
    pub unknown: u32,
    /// Messages that the lane had not tried before on this plan day.
    pub new_today: u32,
    /// Messages that it had put off on this plan day before.
    pub again: u32,
}

/// Answers of one step that the pace is decided by.
const ENOUGH: u64 = 1_000;

/// Good answers and deferrals as they come where both are spread evenly.
fn interleaved(good: u32, put_off: u32) -> impl Iterator<Item = EaseHeard> {
    let (all, put_off) = (u64::from(good) + u64::from(put_off), u64::from(put_off));
    // The pace changes once in a step at most, and by the last answers: more of the same mix says nothing new.
    (0..all.min(ENOUGH)).map(move |n| {
        let is_next = (n + 1) * put_off / all > n * put_off / all;
        if is_next { EaseHeard::PutOff } else { EaseHeard::Good }
    })
}

impl Schedule {
    /// Takes how messages of one step were answered: what the day shows, how fast the lane goes on, and whether it stops. What
    /// the relay alone answers says nothing of the destination, and what nobody tells is not known.
    pub fn answered_in_step(&mut self, bucket: &BucketName, answers: Answers, now: Moment) -> Effect {
        let (own, deaf) = (self.terms.answers_own, self.terms.ears.is_empty());
        let Some(lane) = self.lanes.get_mut(bucket) else { return Effect::None };
        let told = |n: u32, hidden: bool| if hidden { 0 } else { n };
        lane.ledger.accepted = lane.ledger.accepted.saturating_add(answers.accepted);
        lane.ledger.bounced = lane.ledger.bounced.saturating_add(answers.bounced);
        let mut showing = lane.ledger.showing;
        showing.tried = showing.tried.saturating_add(answers.new_today);
        showing.accepted = showing.accepted.saturating_add(answers.accepted);
        let put_off = showing.put_off.saturating_add(told(answers.put_off, own));
        showing.put_off = put_off.saturating_sub(answers.again);
        showing.bounced = showing.bounced.saturating_add(told(answers.bounced, deaf));
        showing.unknown = showing.unknown.saturating_add(told(answers.unknown, deaf));
        let day = lane.ledger.day;
        if !own {
            let good = answers.accepted.saturating_add(answers.bounced);
            for heard in interleaved(good, answers.put_off) {
                self.ease(bucket, heard, None, now);
            }
        }
        let effect = self.showed(bucket, day, showing, now.at);
        self.changes.clear();
        effect
    }

    /// How far ahead the next decisions go: the length of the step, zero to ask what may leave at once.
    pub fn look_ahead(&mut self, step: Duration) {
        self.terms.ahead = step;
    }

    /// What the account's rolling caps leave now; `None`: it has none.
    #[must_use]
    pub fn caps_leave(&self, now: Moment) -> Option<u32> {
        [&self.hour, &self.day].into_iter().flatten().map(|cap| cap.available(now.at)).min()
    }

    /// What leaves within the step that [`Schedule::look_ahead`] named, where a connection carries `each` messages in that time.
    #[must_use]
    pub fn wants_in_step(&self, backlog: &Backlog, each: u32, now: Moment) -> Vec<LaneWant> {
        let carried = self.terms.connections.saturating_mul(each);
        let account = self.throttle.as_ref().map_or(u32::MAX, |t| t.available_until(now.up, now.up + self.terms.ahead));
        self.wants_within(backlog, Reach { air: carried.min(account), step: Some(each) }, now)
    }

    /// Claims and releases messages of one campaign within the step. Says when the last of them leaves.
    pub fn leave_in_step(&mut self, bucket: &BucketName, class: Class, taken: Taken, now: Moment) -> Moment {
        self.claimed(bucket, class, taken, now);
        let n = taken.2;
        let mut last = now.up;
        if let Some(throttle) = &mut self.throttle {
            last = last.max(throttle.take_ahead(n, now.up));
        }
        if let Some(lane) = self.lanes.get_mut(bucket) {
            last = last.max(lane.take_many(class, n, now));
        }
        for cap in [&mut self.hour, &mut self.day].into_iter().flatten() {
            cap.prune(now.at);
        }
        now.plus(last.saturating_sub(now.up).min(self.terms.ahead))
    }

    /// Times after `now` at which what may leave changes by itself: hours that open or close, rolling caps that free again, the
    /// end of the plan day.
    #[must_use]
    pub fn changes(&self, now: Moment) -> Option<Timestamp> {
        let full = |cap: &Rolling| (cap.available(now.at) == 0).then(|| cap.ready_at(now.at));
        let caps = [&self.hour, &self.day].into_iter().flatten().filter_map(full);
        let lanes = self.lanes.values().flat_map(|lane| {
            let edge = |class| {
                let hours = lane.hours(class);
                hours.closes(now.at).or_else(|| hours.next_open(now.at))
            };
            let freed = lane.hour.as_ref().and_then(full);
            [edge(Class::Bulk), edge(Class::Transactional), freed].into_iter().flatten()
        });
        caps.chain(lanes).chain([self.bounds.1]).filter(|at| *at > now.at).min()
    }
}
