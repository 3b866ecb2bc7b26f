//! Owns the decisions for one relay: all its lanes under the relay account's own limits.
//!
//! Invariants: a claim never passes a quota or a rolling cap, and all limits are computed first, then charged together;
//! nothing is released outside hours, over a rate, or while paused; one lane's trouble never holds another.

mod because;
mod bulk;
mod effects;
mod follow;
mod gate;
mod reports;
mod share;
mod steer;
#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
mod tests;
mod wants;
mod within;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

pub use because::{Because, Hold};
pub use bulk::{Answers, Taken};
pub use effects::{Break, Breaks, Effect, effect};
pub use gate::{Day, Judgement, judge, next_day};
pub use reports::HeardEffect;
pub use share::{CampaignWant, Line, Shares};
pub use steer::{Change, Course};
pub use wants::{Backlog, LaneWant, PoolLines};
pub use within::{Counted, Spent};

use steer::Judged;

use crate::core::campaign::{CampaignId, Class};
use crate::core::lane::{Held, Lane, Ledger, PauseCause, Rolling, Throttle, Verdict, calendar};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, RelayName};
use crate::core::plan::{LanePlan, Plan};
use crate::core::reply::{Reading, Stage};
use crate::core::units::Rate;

/// Quota is spent at claim, ahead, for at most this much of the present pace.
pub const AHEAD: Duration = Duration::from_secs(1);

/// What a relay's decisions rest on.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The relay.
    pub relay: RelayName,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// The plan that follows, from this plan day on.
    pub next: Option<(Date, Arc<Plan>)>,
    /// Warm-up day of a lane that is first seen.
    pub first_day: u32,
    /// Nothing leaves before this plan day.
    pub started: Option<Date>,
    /// The account's pace.
    pub rate: Option<Rate>,
    /// Depth of its bucket.
    pub burst: Option<NonZeroU32>,
    /// The account's cap in any 60 minutes.
    pub per_hour: Option<NonZeroU32>,
    /// The account's cap in any 24 hours.
    pub per_day: Option<NonZeroU32>,
    /// Connections at once.
    pub connections: u32,
    /// The relay's in-band answers are its own.
    pub answers_own: bool,
    /// Who tells how destinations answer this relay's mail; empty: nobody, and its lanes go blind.
    pub ears: Vec<String>,
    /// How far ahead to claim ([`AHEAD`]; longer only where a clock runs faster than the machine's).
    pub ahead: Duration,
}

/// A new plan day: what was decided about the old one, and the new ledgers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollover {
    /// One per lane with a ledger, one more for a gap.
    pub verdicts: Vec<Verdict>,
    /// The lanes' new plan day.
    pub ledgers: Vec<Ledger>,
}

/// The decisions for one relay.
#[derive(Debug)]
pub struct Schedule {
    terms: Terms,
    today: Date,
    bounds: (Timestamp, Timestamp),
    lanes: BTreeMap<BucketName, Lane>,
    throttle: Option<Throttle>,
    hour: Option<Rolling>,
    day: Option<Rolling>,
    /// Pauses of the relay or of everything.
    held: Vec<Held>,
    /// Whether the clock is believed; false: nothing is claimed or released.
    trusted: bool,
    /// Whether a share of each quota is kept for transactional mail.
    keeps_for_transactional: bool,
    lane_breaks: BTreeMap<BucketName, Breaks>,
    relay_breaks: Breaks,
    /// The last judged days of each lane, newest last.
    judged: BTreeMap<BucketName, VecDeque<Judged>>,
    /// What is to be stored.
    changes: Vec<Change>,
    turn: usize,
}

/// What an earlier owner left behind beside the ledgers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Past<'a> {
    /// Spending of the last 24 hours.
    pub cells: &'a [(BucketName, Timestamp, u32)],
    /// Blocks of the last 7 days.
    pub blocks: &'a [(BucketName, Timestamp)],
    /// Lanes that are stopped until the operator resumes them: since when, and why.
    pub stops: &'a [(BucketName, Timestamp, String)],
}

/// A claim is released or given back within this time.
pub const CLAIM_LAG: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Schedule {
    /// Starts from what the store remembers: the newest ledger of each lane, and its past. Lanes whose ledger is of an earlier plan day
    /// are judged at once.
    #[must_use]
    pub fn open(mut terms: Terms, ledgers: Vec<Ledger>, past: Past<'_>, now: Moment) -> (Self, Rollover) {
        let judging = terms.plan.clone();
        terms.come_to(now.at);
        let plan = terms.plan.clone();
        let today = calendar::plan_day(&plan.timezone, plan.day_starts, now.at);
        let mut schedule = Self {
            today,
            bounds: calendar::day_bounds(&plan.timezone, plan.day_starts, today),
            lanes: BTreeMap::new(),
            throttle: terms.rate.map(|rate| Throttle::new(rate, terms.burst, now.up)),
            hour: terms.per_hour.map(|n| Rolling::new(n.get(), HOUR)),
            day: terms.per_day.map(|n| Rolling::new(n.get(), DAY)),
            held: Vec::new(),
            trusted: true,
            keeps_for_transactional: false,
            lane_breaks: BTreeMap::new(),
            relay_breaks: Breaks::default(),
            judged: BTreeMap::new(),
            changes: Vec::new(),
            turn: 0,
            terms,
        };
        let mut rollover = Rollover::default();
        for ledger in ledgers {
            let lane_plan = plan.lane(&ledger.bucket).clone();
            let ledger = if ledger.day < today {
                let began_by = |since| calendar::plan_day(&judging.timezone, judging.day_starts, since) <= ledger.day;
                let stop = past.stops.iter().find(|(bucket, since, _)| *bucket == ledger.bucket && began_by(*since));
                let stopped = stop.map(|(.., reason)| reason.as_str());
                schedule.end_day(&ledger, judging.lane(&ledger.bucket), stopped, &mut rollover)
            } else {
                let quota = ledger.quota_by(&lane_plan.curve.value);
                Ledger { quota, quota_peak: ledger.quota_peak.max(quota), ..ledger }
            };
            let mut lane = Lane::new(&plan, lane_plan, ledger, now);
            lane.brake(now.up);
            lane.counted = Counted::of(&lane);
            schedule.lanes.insert(lane.ledger.bucket.clone(), lane);
        }
        for (bucket, at, n) in past.cells {
            // Stored by the time of the claim; the release may have come a little later.
            schedule.count_caps(bucket, at.checked_add(CLAIM_LAG).unwrap_or(*at), *n);
        }
        for bucket in schedule.lanes.keys() {
            let own = past.blocks.iter().filter(|(b, _)| b == bucket).map(|(_, at)| *at).collect();
            schedule.lane_breaks.insert(bucket.clone(), Breaks::remembered(own));
        }
        (schedule, rollover)
    }

    /// The terms in force.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The plan day.
    #[must_use]
    pub fn today(&self) -> Date {
        self.today
    }

    /// When the plan day began.
    #[must_use]
    pub fn day_begins(&self) -> Timestamp {
        self.bounds.0
    }

    /// When the plan day ends.
    #[must_use]
    pub fn day_ends(&self) -> Timestamp {
        self.bounds.1
    }

    /// The lanes seen so far.
    #[must_use]
    pub fn lanes(&self) -> &BTreeMap<BucketName, Lane> {
        &self.lanes
    }

    /// Takes edited terms: what was spent stays, buckets of changed rates start empty.
    pub fn apply(&mut self, terms: Terms, now: Moment) {
        if (terms.rate, terms.burst) != (self.terms.rate, self.terms.burst) {
            self.throttle = terms.rate.map(|rate| Throttle::new(rate, terms.burst, now.up));
        }
        for (cap, limit, window) in [(&mut self.hour, terms.per_hour, HOUR), (&mut self.day, terms.per_day, DAY)] {
            match (cap.as_mut(), limit) {
                (Some(cap), Some(limit)) => cap.set_limit(limit.get()),
                (_, limit) => *cap = limit.map(|n| Rolling::new(n.get(), window)),
            }
        }
        self.terms = terms;
        self.put_in_force(now);
    }

    /// Makes sure that a bucket with waiting mail has a lane.
    pub fn see(&mut self, bucket: &BucketName, now: Moment) {
        if !self.lanes.contains_key(bucket) {
            let plan = self.terms.plan.clone();
            let lane_plan = plan.lane(bucket).clone();
            let quota = lane_plan.curve.value.quota(self.terms.first_day);
            let ledger = Ledger::new(bucket.clone(), self.today, self.terms.first_day, quota);
            self.lanes.insert(bucket.clone(), Lane::new(&plan, lane_plan, ledger, now));
            self.lane_breaks.entry(bucket.clone()).or_default();
        }
    }

    /// Takes the campaigns whose mail waits for a lane now: they share it from here on.
    pub fn join(&mut self, bucket: &BucketName, waiting: &[CampaignId]) {
        if let Some(lane) = self.lanes.get_mut(bucket) {
            lane.shares.join(waiting);
        }
    }

    /// Begins a new plan day when it has come. The caller stores the rollover before anything is claimed from it.
    pub fn begin_day(&mut self, now: Moment) -> Option<Rollover> {
        if !self.turn_day(now) {
            return None;
        }
        let plan = self.terms.plan.clone();
        let mut rollover = Rollover::default();
        let buckets: Vec<BucketName> = self.lanes.keys().cloned().collect();
        for bucket in buckets {
            let Some(lane) = self.lanes.get(&bucket) else { continue };
            let stopped = lane.stop().map(|held| held.reason.clone());
            let (ledger, terms) = (lane.ledger.clone(), lane.plan.clone());
            let next = self.end_day(&ledger, &terms, stopped.as_deref(), &mut rollover);
            if let Some(lane) = self.lanes.get_mut(&bucket) {
                lane.begin_day(&plan, next);
                if !Arc::ptr_eq(&lane.plan, plan.lane(&bucket)) {
                    lane.apply(&plan, plan.lane(&bucket).clone(), now);
                }
                lane.brake(now.up);
            }
        }
        Some(rollover)
    }

    /// Judges a ledger's plan day, and gives the ledger of today.
    fn end_day(&mut self, ledger: &Ledger, terms: &LanePlan, stopped: Option<&str>, rollover: &mut Rollover) -> Ledger {
        let day = Day { ledger, ears: &self.terms.ears, stopped };
        // The day is judged by the plan that it ran under; the next one is measured by the plan in force.
        let curve = &self.terms.plan.lane(&ledger.bucket).curve.value;
        let (verdicts, next) = next_day(day, &terms.gate, curve, self.today);
        if let Some(verdict) = verdicts.iter().find(|verdict| verdict.day == ledger.day && ledger.spent > 0) {
            self.remember(Judged { ledger: ledger.clone(), verdict: verdict.clone() });
        }
        rollover.verdicts.extend(verdicts);
        rollover.ledgers.push(next.clone());
        next
    }

    /// Takes the pauses in force: of everything or the relay, and of its lanes.
    pub fn set_pauses(&mut self, relay: Vec<Held>, lanes: &[(BucketName, Held)]) {
        if self.held.iter().any(|h| h.cause != PauseCause::Operator) && relay.is_empty() {
            self.relay_breaks.resumed();
        }
        self.held = relay;
        let mut resumed = Vec::new();
        for (bucket, lane) in &mut self.lanes {
            let held: Vec<Held> = lanes.iter().filter(|(b, _)| b == bucket).map(|(_, h)| h.clone()).collect();
            if held.is_empty() && !lane.held.is_empty() {
                self.lane_breaks.entry(bucket.clone()).or_default().resumed();
            }
            // A pause that ends by itself is nobody's word that the list is clean by now.
            if lane.stop().is_some() && !held.iter().any(Held::is_stop) {
                resumed.push(bucket.clone());
            }
            lane.held = held;
        }
        for bucket in resumed {
            self.forgive(&bucket);
        }
    }

    /// Puts a pause in force at once, before the store has it.
    pub fn pause(&mut self, bucket: Option<&BucketName>, held: Held) {
        match bucket {
            None => self.held.push(held),
            Some(bucket) => {
                if let Some(lane) = self.lanes.get_mut(bucket) {
                    lane.held.push(held);
                }
            }
        }
    }

    /// Whether the clock is believed.
    pub fn trust(&mut self, trusted: bool) {
        self.trusted = trusted;
    }

    /// Whether a pool of this relay had transactional mail within 7 days.
    pub fn keep_for_transactional(&mut self, keep: bool) {
        self.keeps_for_transactional = keep;
    }

    /// Charges a claim: quota, rolling caps, shares. `taken`: campaign, its weight, messages, retries among them.
    pub fn claimed(&mut self, bucket: &BucketName, class: Class, taken: (CampaignId, u32, u32, u32), now: Moment) {
        let (campaign, weight, n, retries) = taken;
        self.prune_caps(bucket, now.at);
        self.count_caps(bucket, now.at, n);
        let Some(lane) = self.lanes.get_mut(bucket) else { return };
        lane.ledger.spent += n;
        lane.ledger.spent_retries += retries;
        if class == Class::Transactional {
            lane.ledger.spent_transactional += n;
        }
        lane.unsent[class as usize] += n;
        lane.shares.count(campaign, weight, n);
        assert!(
            lane.ledger.spent <= lane.ledger.quota_peak,
            "spent {} of {} on lane {}/{bucket}: quota is never passed",
            lane.ledger.spent,
            lane.ledger.quota_peak,
            self.terms.relay
        );
    }

    /// Gives a claim back: it left the queue of unsent mail. With `refund`, quota and caps get it back too.
    pub fn given_back(&mut self, bucket: &BucketName, class: Class, retry: bool, refund: Option<(Date, Timestamp)>) {
        if let Some(lane) = self.lanes.get_mut(bucket) {
            lane.unsent[class as usize] = lane.unsent[class as usize].saturating_sub(1);
        }
        self.refund(bucket, class, retry, refund);
    }

    /// Gives quota and caps back for a claim of `day` made at `at`.
    fn refund(&mut self, bucket: &BucketName, class: Class, retry: bool, refund: Option<(Date, Timestamp)>) {
        let Some((day, at)) = refund else { return };
        for cap in self.caps(bucket) {
            cap.give_back(at, 1);
        }
        let Some(lane) = self.lanes.get_mut(bucket) else { return };
        if lane.ledger.day == day {
            lane.ledger.spent = lane.ledger.spent.saturating_sub(1);
            lane.ledger.spent_retries = lane.ledger.spent_retries.saturating_sub(u32::from(retry));
            let transactional = u32::from(class == Class::Transactional);
            lane.ledger.spent_transactional = lane.ledger.spent_transactional.saturating_sub(transactional);
        }
    }

    /// The rolling caps that count a lane's mail: the relay account's, and the lane's own.
    fn caps(&mut self, bucket: &BucketName) -> impl Iterator<Item = &mut Rolling> {
        let of_lane = self.lanes.get_mut(bucket).and_then(|lane| lane.hour.as_mut());
        [self.hour.as_mut(), self.day.as_mut(), of_lane].into_iter().flatten()
    }

    fn count_caps(&mut self, bucket: &BucketName, at: Timestamp, n: u32) {
        for cap in self.caps(bucket) {
            cap.add(at, n);
        }
    }

    /// A worker that runs for months holds no more cells than a window has.
    fn prune_caps(&mut self, bucket: &BucketName, now: Timestamp) {
        for cap in self.caps(bucket) {
            cap.prune(now);
        }
    }

    /// Takes the tokens for one release of `class` on a lane: all of them, or none and the reason. The rolling caps, charged
    /// at the claim (`claimed_at`), count the message from its release on. `behind`: it leaves behind a message of the same
    /// lane, on that one's connection.
    ///
    /// # Errors
    /// What holds it, and for how long.
    pub fn release(
        &mut self,
        bucket: &BucketName,
        class: Class,
        claimed_at: Timestamp,
        behind: bool,
        now: Moment,
    ) -> Result<(), Hold> {
        if let Some(hold) = self.first_hold(bucket, class, behind, now) {
            return Err(hold);
        }
        let nothing = || Hold { because: Because::NothingWaits, lasts: None };
        let salt = u64::from(self.today.day_of_year().unsigned_abs()) ^ (bucket.as_str().len() as u64) << 32;
        let lane = self.lanes.get_mut(bucket).ok_or_else(nothing)?;
        if !lane.take(class, now, salt, self.terms.ahead) {
            return Err(Hold { because: Because::Paced, lasts: Some(Duration::from_millis(1)) });
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.take(now.up);
        }
        lane.unsent[class as usize] = lane.unsent[class as usize].saturating_sub(1);
        if behind {
            lane.behind += 1
        } else {
            lane.sending += 1
        }
        for cap in self.caps(bucket) {
            cap.give_back(claimed_at, 1);
            cap.add(now.at, 1);
        }
        Ok(())
    }

    /// Whether one of `class` could be released on a lane now, on a connection of its own.
    #[must_use]
    pub fn may_release(&self, bucket: &BucketName, class: Class, now: Moment) -> bool {
        self.first_hold(bucket, class, false, now).is_none()
    }

    fn first_hold(&self, bucket: &BucketName, class: Class, behind: bool, now: Moment) -> Option<Hold> {
        let relay = self.relay_holds(now);
        let lane = self.lanes.get(bucket)?;
        let mut holds = relay;
        holds.extend(lane.holds(class, now));
        let connections = self.connections(lane);
        if holds.is_empty() && !behind && lane.sending >= connections {
            holds.push(Hold { because: Because::Busy { connections }, lasts: None });
        }
        // The reason that lasts longest is the one that binds; one without an end outlasts all.
        holds.into_iter().max_by_key(|h| h.lasts.unwrap_or(Duration::MAX))
    }

    /// Connections that a lane may use: its own limit, and never the relay's last one, so that a lane whose
    /// destination hangs leaves a way for the others.
    fn connections(&self, lane: &Lane) -> u32 {
        let of_relay =
            if self.lanes.len() > 1 { self.terms.connections.saturating_sub(1).max(1) } else { self.terms.connections };
        lane.plan.connections.as_ref().map_or(of_relay, |c| c.value.get().min(of_relay))
    }

    /// What holds the whole relay.
    fn relay_holds(&self, now: Moment) -> Vec<Hold> {
        let mut holds = Vec::new();
        if !self.trusted {
            holds.push(Hold { because: Because::ClockWrong, lasts: None });
        }
        if now.at < self.bounds.0 {
            holds.push(Hold { because: Because::DayAhead { day: self.today }, lasts: Some(now.until(self.bounds.0)) });
        }
        if let Some(started) = self.terms.started.filter(|s| self.today < *s) {
            let plan = &self.terms.plan;
            let (begins, _) = calendar::day_bounds(&plan.timezone, plan.day_starts, started);
            holds.push(Hold { because: Because::NotStarted { started }, lasts: Some(now.until(begins)) });
        }
        for held in &self.held {
            let lasts = held.until.map(|until| now.until(until));
            if lasts != Some(Duration::ZERO) {
                holds.push(Hold { because: Because::Paused(held.clone()), lasts });
            }
        }
        if let Some(throttle) = &self.throttle
            && throttle.ready_at() > now.up
        {
            let because = Because::RelayThrottled { rate: throttle.rate() };
            holds.push(Hold { because, lasts: Some(throttle.ready_at() - now.up) });
        }
        holds
    }

    /// An attempt came back. Counts it, and says what its answer does beyond its message. `took_over`: one that was released
    /// `behind` it has the connection now.
    pub fn answered(
        &mut self,
        bucket: &BucketName,
        took_over: bool,
        answer: Option<(&Reading, Stage)>,
        refund: Option<(Class, bool, Date, Timestamp)>,
        now: Moment,
    ) -> Effect {
        if let Some(lane) = self.lanes.get_mut(bucket) {
            let count = if took_over { &mut lane.behind } else { &mut lane.sending };
            *count = count.saturating_sub(1);
        }
        if let Some((class, retry, day, at)) = refund {
            self.refund(bucket, class, retry, Some((day, at)));
        }
        // What never came as far as a recipient was no answer about one.
        let over_budget =
            if refund.is_none() { self.learn(bucket, answer.map(|(reading, _)| reading), now) } else { None };
        let Some((reading, stage)) = answer else {
            self.relay_breaks.went_well();
            if let Some(breaks) = self.lane_breaks.get_mut(bucket) {
                breaks.went_well();
            }
            return Effect::None;
        };
        let cooldown = self.lanes.get(bucket).map_or(HOUR, |lane| lane.plan.cooldown.value);
        let own = self.terms.answers_own;
        let lane = self.lane_breaks.entry(bucket.clone()).or_default();
        let effect = effect(reading, stage, own, cooldown, (lane, &mut self.relay_breaks), now.at);
        over_budget.filter(|_| effect == Effect::None).unwrap_or(effect)
    }

    /// A connection could not be opened.
    pub fn not_connected(&mut self, reading: &Reading, stage: Stage, now: Timestamp) -> Effect {
        let mut nobody = Breaks::default();
        effect(reading, stage, true, HOUR, (&mut nobody, &mut self.relay_breaks), now)
    }
}
