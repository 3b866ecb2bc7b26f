//! Owns one lane: ledger, throttle, pace, rolling hour, hours, pauses. It knows neither messages nor addresses.
//!
//! Invariant: `releasable` and `release` look at the same limits, and all limits are taken together or not at all.

mod bulk;
pub mod calendar;
mod ease;
pub mod holidays;
mod ledger;
mod pace;
mod pause;
mod rolling;
mod showing;
mod throttle;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub use calendar::Hours;
pub use ease::{Ease, Heard as EaseHeard};
pub use ledger::{Ledger, Ramp, Verdict, VerdictKind};
pub use pace::Pace;
pub use pause::{Held, PauseCause, doubling};
pub use rolling::{CELL, Rolling, cell_of};
pub use showing::{Grade, Showing, speaks_of_the_lane};
pub use throttle::Throttle;

use crate::core::campaign::Class;
use crate::core::moment::Moment;
use crate::core::plan::{LanePlan, Plan, Spread, WeekHours};
use crate::core::schedule::{Because, Hold};
use crate::core::units::Rate;

/// One lane of a relay.
#[derive(Debug)]
pub struct Lane {
    /// What the plan says.
    pub plan: Arc<LanePlan>,
    /// What was spent.
    pub ledger: Ledger,
    /// Pauses in force: the lane's own, its relay's, everybody's.
    pub held: Vec<Held>,
    /// Claimed and not yet released, by class ([`Class`] order).
    pub unsent: [u32; 3],
    /// Released and not yet answered, each with a connection of its own.
    pub sending: u32,
    /// Released behind one of the same lane, on its connection.
    pub behind: u32,
    pub(super) throttle: Option<Throttle>,
    /// A slower throttle, while the lane is eased.
    pub(super) slow: Option<Throttle>,
    pub(super) ease: Ease,
    pub(super) counted: crate::core::schedule::Counted,
    pub(super) hour: Option<Rolling>,
    pub(super) hours: Hours,
    pub(super) transactional: Hours,
    pub(super) pace: Pace,
    pub(super) shares: crate::core::schedule::Shares,
    /// Releases of the running and the last whole claiming distance (one second), for lanes that no rate binds.
    pub(super) tempo: (Duration, u32, u32),
}

impl Lane {
    /// A lane on its plan day. Throttle and pace start empty.
    #[must_use]
    pub fn new(plan: &Plan, terms: Arc<LanePlan>, ledger: Ledger, now: Moment) -> Self {
        let throttle =
            terms.rate.as_ref().map(|r| Throttle::new(r.value, terms.burst.as_ref().map(|b| b.value), now.up));
        let hour = terms.per_hour.as_ref().map(|n| Rolling::new(n.value.get(), Duration::from_secs(3_600)));
        let (hours, transactional) = hours_of(plan, &terms, ledger.day);
        Self {
            plan: terms,
            ease: Ease::new(ledger.ramp.eased),
            ledger,
            held: Vec::new(),
            unsent: [0; 3],
            sending: 0,
            behind: 0,
            throttle,
            slow: None,
            counted: crate::core::schedule::Counted::default(),
            hour,
            hours,
            transactional,
            pace: Pace::default(),
            shares: crate::core::schedule::Shares::default(),
            tempo: (now.up, 0, 0),
        }
    }

    /// The stop in force, if there is one.
    #[must_use]
    pub fn stop(&self) -> Option<&Held> {
        self.held.iter().find(|held| held.is_stop())
    }

    /// Begins a new plan day.
    pub fn begin_day(&mut self, plan: &Plan, ledger: Ledger) {
        (self.hours, self.transactional) = hours_of(plan, &self.plan, ledger.day);
        self.ledger = ledger;
        self.pace = Pace::default();
        self.counted = crate::core::schedule::Counted::default();
    }

    /// Puts the share of the pace in force that the ledger tells: a throttle of its own below the plan's rate, or below the mean pace
    /// of the day where that is slower, or below what left lately where nothing else bounds the lane.
    pub(super) fn brake(&mut self, now: Duration) {
        let share = self.ledger.ramp.eased;
        if share >= Ramp::WHOLE {
            self.slow = None;
            return;
        }
        let mean = self.hours.total() / self.ledger.quota.max(1);
        let interval = match (&self.throttle, self.is_paced(Class::Bulk)) {
            (Some(throttle), true) => throttle.rate().interval().max(mean),
            (Some(throttle), false) => throttle.rate().interval(),
            (None, true) => mean,
            (None, false) => match self.tempo.1.max(self.tempo.2) {
                0 => mean,
                n => Duration::from_secs(1) / n,
            },
        };
        let interval =
            (interval * Ramp::WHOLE / share.max(1)).clamp(Duration::from_micros(10), Duration::from_secs(86_400));
        self.slow =
            Rate::new(NonZeroU32::MIN, interval).ok().map(|rate| Throttle::new(rate, Some(NonZeroU32::MIN), now));
    }

    /// Gives the lane the quota of its warm-up day; what was spent stays.
    pub(super) fn requota(&mut self) {
        self.ledger.quota = self.ledger.quota_by(&self.plan.curve.value);
        self.ledger.quota_peak = self.ledger.quota_peak.max(self.ledger.quota);
    }

    /// Takes an edited plan; what was spent stays.
    pub fn apply(&mut self, plan: &Plan, terms: Arc<LanePlan>, now: Moment) {
        if terms.rate.as_ref().map(|r| r.value) != self.throttle.as_ref().map(Throttle::rate)
            || terms.burst.as_ref().map(|b| b.value) != self.plan.burst.as_ref().map(|b| b.value)
        {
            self.throttle =
                terms.rate.as_ref().map(|r| Throttle::new(r.value, terms.burst.as_ref().map(|b| b.value), now.up));
        }
        if let (Some(hour), Some(cap)) = (&mut self.hour, &terms.per_hour) {
            hour.set_limit(cap.value.get());
        } else {
            self.hour = terms.per_hour.as_ref().map(|n| Rolling::new(n.value.get(), Duration::from_secs(3_600)));
        }
        (self.hours, self.transactional) = hours_of(plan, &terms, self.ledger.day);
        self.plan = terms;
        self.requota();
        self.brake(now.up);
    }

    /// The hours that bind `class`.
    #[must_use]
    pub fn hours(&self, class: Class) -> &Hours {
        if class == Class::Transactional { &self.transactional } else { &self.hours }
    }

    /// Quota not yet claimed.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.ledger.quota.saturating_sub(self.ledger.spent)
    }

    /// All claimed and not yet released.
    #[must_use]
    pub fn unsent_total(&self) -> u32 {
        self.unsent.iter().sum()
    }

    /// All claimed and not yet settled.
    #[must_use]
    pub fn in_the_air(&self) -> u32 {
        self.unsent_total() + self.sending + self.behind
    }

    /// What holds `class` back right now, apart from quota and the rolling caps (which a claim has paid already).
    #[must_use]
    pub fn holds(&self, class: Class, now: Moment) -> Vec<Hold> {
        let mut holds = Vec::new();
        for held in &self.held {
            let lasts = held.until.map(|until| now.until(until));
            if lasts != Some(Duration::ZERO) {
                holds.push(Hold { because: Because::Paused(held.clone()), lasts });
            }
        }
        let hours = self.hours(class);
        if !hours.is_open(now.at) {
            let lasts = hours.next_open(now.at).map(|open| now.until(open));
            holds.push(Hold { because: Because::WindowClosed, lasts });
        }
        if let Some(throttle) = &self.throttle
            && throttle.ready_at() > now.up
        {
            let lasts = Some(throttle.ready_at() - now.up);
            holds.push(Hold { because: Because::Throttled { rate: throttle.rate() }, lasts });
        }
        if let Some(slow) = &self.slow
            && slow.ready_at() > now.up
        {
            let because = Because::Eased { share: self.ledger.ramp.eased, rate: slow.rate() };
            holds.push(Hold { because, lasts: Some(slow.ready_at() - now.up) });
        }
        if self.is_paced(class)
            && let Some(wait) = self.pace.wait(now.up)
        {
            holds.push(Hold { because: Because::Paced, lasts: Some(wait) });
        }
        holds
    }

    /// Whether `class` is spread over the window.
    #[must_use]
    pub fn is_paced(&self, class: Class) -> bool {
        class != Class::Transactional && self.plan.spread.value == Spread::Even
    }

    /// Whether it has a rate or a pace that bounds how far ahead to claim.
    #[must_use]
    pub fn is_bounded(&self, class: Class) -> bool {
        self.throttle.is_some() || self.slow.is_some() || self.is_paced(class)
    }

    /// Takes one release's tokens. Call only when [`Lane::holds`] is empty; false when the throttle refuses all the same.
    pub(super) fn take(&mut self, class: Class, now: Moment, salt: u64, ahead: Duration) -> bool {
        if let Some(throttle) = &mut self.throttle
            && !throttle.take(now.up)
        {
            return false;
        }
        if let Some(slow) = &mut self.slow {
            slow.take(now.up);
        }
        if self.is_paced(class) {
            let left = self.left() + self.unsent_total();
            let (open, total) = (self.hours.open_left(now.at), self.hours.total());
            let jitter = self.plan.jitter.as_ref().map_or(0.0, |j| j.value.fraction().min(1.0));
            self.pace.released(
                now.up,
                pace::interval(open, left.saturating_sub(1), total, self.ledger.quota),
                jitter,
                salt,
            );
        }
        if now.up.saturating_sub(self.tempo.0) >= ahead {
            self.tempo = (now.up, 0, self.tempo.1);
        }
        self.tempo.1 += 1;
        true
    }

    /// How many of `class` could be released until `ahead` from now, by pauses, hours, rate and pace; `unbounded` where none
    /// of them says.
    #[must_use]
    pub fn releasable(&self, class: Class, now: Moment, ahead: Duration, unbounded: u32) -> u32 {
        let horizon = now.plus(ahead);
        if self.held.iter().any(|h| h.until.is_none_or(|until| until > horizon.at)) {
            return 0;
        }
        let hours = self.hours(class);
        if !hours.is_open(now.at) && hours.next_open(now.at).is_none_or(|open| open > horizon.at) {
            return 0;
        }
        let within = |ready: Duration, interval: Duration| -> u32 {
            match horizon.up.checked_sub(ready.max(now.up)) {
                None => 0,
                Some(span) => {
                    let steps = span.as_nanos() / interval.as_nanos().max(1);
                    u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1)
                }
            }
        };
        let mut most = u32::MAX;
        if let Some(throttle) = &self.throttle {
            most = throttle.available(now.up).max(1) - 1;
            most = most.saturating_add(within(throttle.ready_at(), throttle.rate().interval()));
        }
        if let Some(slow) = &self.slow {
            let own =
                (slow.available(now.up).max(1) - 1).saturating_add(within(slow.ready_at(), slow.rate().interval()));
            most = most.min(own);
        }
        if self.is_paced(class) {
            let left = self.left() + self.unsent_total();
            let interval = pace::interval(self.hours.open_left(now.at), left, self.hours.total(), self.ledger.quota);
            most = most.min(within(self.pace.ready_at(), interval));
        }
        if most == u32::MAX { unbounded.max(self.tempo.1.max(self.tempo.2)) } else { most }
    }
}

fn hours_of(plan: &Plan, terms: &LanePlan, day: jiff::civil::Date) -> (Hours, Hours) {
    let of = |hours: &WeekHours, avoid| Hours::of(&plan.timezone, plan.day_starts, hours, avoid, day);
    let always = WeekHours::always();
    let transactional = terms.transactional.as_ref().map_or(&always, |t| &t.value);
    (of(&terms.window.value, Some(&terms.avoid.value)), of(transactional, None))
}
