//! Owns the token bucket: governor's GCRA with time as an argument.
//!
//! Invariants: in any time T at most `burst + rate x T` tokens are taken; a new bucket is empty, so a restart never grants a
//! fresh burst; the instant that `ready_at` names is exact: refused at every moment before, granted at it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::core::units::Rate;

/// The one number of a GCRA cell: the theoretical arrival time, nanoseconds since boot.
#[derive(Debug, Clone, Default)]
struct Cell(Arc<AtomicU64>);

impl StateStore for Cell {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = f(Some(Nanos::new(self.0.load(Ordering::Relaxed))))?;
        self.0.store(next.into(), Ordering::Relaxed);
        Ok(outcome)
    }
}

/// The time given by the caller. It says 0 once, while governor reads its start, so that all values are absolute.
#[derive(Debug, Clone, Default)]
struct GivenTime {
    now: Arc<AtomicU64>,
    started: Arc<AtomicBool>,
}

impl GovernorClock for GivenTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        if self.started.swap(true, Ordering::Relaxed) {
            Nanos::new(self.now.load(Ordering::Relaxed))
        } else {
            Nanos::new(0)
        }
    }
}

/// A token bucket. Times are the time since boot.
#[derive(Debug)]
pub struct Throttle {
    rate: Rate,
    burst: NonZeroU32,
    cell: Cell,
    time: GivenTime,
    limiter: RateLimiter<NotKeyed, Cell, GivenTime, NoOpMiddleware<Nanos>>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

impl Throttle {
    /// An empty bucket of `burst` tokens (default: [`Rate::default_burst`]) that fills at `rate`.
    #[must_use]
    pub fn new(rate: Rate, burst: Option<NonZeroU32>, now: Duration) -> Self {
        // governor multiplies period and burst in 64-bit nanoseconds and wraps silently: a burst is held to one day's worth.
        let day = Duration::from_secs(86_400).as_nanos() / rate.interval().as_nanos().max(1);
        let most = NonZeroU32::new(u32::try_from(day).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let burst = burst.unwrap_or_else(|| rate.default_burst()).min(most);
        let (cell, time) = (Cell::default(), GivenTime::default());
        let empty = nanos(now).saturating_add(nanos(rate.interval()).saturating_mul(u64::from(burst.get())));
        cell.0.store(empty, Ordering::Relaxed);
        let quota = Quota::with_period(rate.interval()).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let limiter = RateLimiter::new(quota.allow_burst(burst), cell.clone(), time.clone());
        Self { rate, burst, cell, time, limiter }
    }

    /// The rate it fills at.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Its depth.
    #[must_use]
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// How many tokens could be taken at `now`.
    #[must_use]
    pub fn available(&self, now: Duration) -> u32 {
        let interval = nanos(self.rate.interval());
        let tolerance = interval * u64::from(self.burst.get() - 1);
        let (tat, now) = (self.cell.0.load(Ordering::Relaxed), nanos(now));
        let whole = match (now + tolerance).checked_sub(tat.max(now)) {
            Some(slack) => slack / interval + 1,
            None => 0,
        };
        u32::try_from(whole).unwrap_or(u32::MAX).min(self.burst.get())
    }

    /// When the next token can be taken (in the past or `now` when there is one).
    #[must_use]
    pub fn ready_at(&self) -> Duration {
        let tolerance = nanos(self.rate.interval()) * u64::from(self.burst.get() - 1);
        Duration::from_nanos(self.cell.0.load(Ordering::Relaxed).saturating_sub(tolerance))
    }

    /// How many tokens could be taken from `now` until `then`, each as soon as it is there.
    #[must_use]
    pub fn available_until(&self, now: Duration, then: Duration) -> u32 {
        let first = self.available(now);
        let interval = nanos(self.rate.interval());
        // The token behind those that are there: not a whole interval from now, where it has begun to fill.
        let taken =
            self.cell.0.load(Ordering::Relaxed).max(nanos(now)).saturating_add(interval.saturating_mul(first.into()));
        let tolerance = interval.saturating_mul(u64::from(self.burst.get() - 1));
        let next = Duration::from_nanos(taken.saturating_sub(tolerance));
        let steps = then.checked_sub(next).map_or(0, |span| span.as_nanos() / u128::from(interval.max(1)) + 1);
        first.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    /// Takes `n` tokens from `now` on, each as soon as it is there, and says when the last is taken.
    pub fn take_ahead(&mut self, n: u32, now: Duration) -> Duration {
        let interval = nanos(self.rate.interval());
        let taken =
            self.cell.0.load(Ordering::Relaxed).max(nanos(now)).saturating_add(interval.saturating_mul(n.into()));
        self.cell.0.store(taken, Ordering::Relaxed);
        let tolerance = interval.saturating_mul(self.burst.get().into());
        Duration::from_nanos(taken.saturating_sub(tolerance)).max(now)
    }

    /// Takes a token; false (and nothing changes) when there is none at `now`.
    pub fn take(&mut self, now: Duration) -> bool {
        self.time.now.store(nanos(now), Ordering::Relaxed);
        self.limiter.check().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn throttle(rate: &str, burst: u32, now: Duration) -> Throttle {
        Throttle::new(rate.parse().expect("rate"), NonZeroU32::new(burst), now)
    }

    #[test]
    fn a_new_bucket_is_empty_and_fills_at_its_rate() {
        let start = Duration::from_secs(1_000);
        let mut bucket = throttle("10/s", 3, start);
        assert!(!bucket.take(start));
        assert_eq!(bucket.ready_at(), start + Duration::from_millis(100));
        assert_eq!(bucket.available(start + Duration::from_secs(60)), 3);
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(199)));
    }

    #[test]
    fn a_token_that_has_begun_to_fill_comes_before_a_whole_interval() {
        let start = Duration::from_secs(7);
        let bucket = throttle("4/s", 6, start);
        // One is there since 7.25 s; then come 7.5, 7.75 and 8 s.
        let now = start + Duration::from_nanos(359_793_928);
        assert_eq!(bucket.available(now), 1);
        assert_eq!(bucket.available_until(now, start + Duration::from_secs(1)), 4);
    }

    #[test]
    fn a_burst_of_more_than_a_day_is_held_to_a_day() {
        let mut bucket = throttle("1/day", 1_000_000, Duration::ZERO);
        let later = Duration::from_secs(40 * 86_400);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 1);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_burst_plus_rate_times_its_length(
            count in 1u32..2_000, burst in 1u32..50, steps in prop::collection::vec(0u64..200_000_000, 1..200),
        ) {
            let rate = Rate::new(NonZeroU32::new(count).expect("above zero"), Duration::from_secs(1)).expect("rate");
            let mut now = Duration::from_secs(5);
            let mut bucket = Throttle::new(rate, NonZeroU32::new(burst), now);
            let mut taken = Vec::new();
            for step in steps {
                now += Duration::from_nanos(step);
                prop_assert_eq!(bucket.available(now) > 0, bucket.ready_at() <= now);
                let free = bucket.available(now);
                let got = u32::try_from((0..60).take_while(|_| bucket.take(now)).count()).expect("small");
                prop_assert_eq!(got, free.min(60));
                taken.extend(std::iter::repeat_n(now, got as usize));
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let most = f64::from(burst) + rate.per_second() * (*to - *from).as_secs_f64();
                    prop_assert!((j - i + 1) as f64 <= most + 1e-6);
                }
            }
        }

        #[test]
        fn many_at_once_leave_the_bucket_as_many_one_by_one(
            count in 1u32..500, burst in 1u32..20, wait in 0u64..9_000_000_000, n in 1u32..60, span in 0u64..9_000_000_000,
        ) {
            let rate = Rate::new(NonZeroU32::new(count).expect("above zero"), Duration::from_secs(1)).expect("rate");
            let start = Duration::from_secs(7);
            let now = start + Duration::from_nanos(wait);
            let fresh = || Throttle::new(rate, NonZeroU32::new(burst), start);
            let (mut single, mut many) = (fresh(), fresh());
            let (mut at, mut within) = (now, 0);
            let until = now + Duration::from_nanos(span);
            for _ in 0..n {
                at = at.max(single.ready_at());
                prop_assert!(single.take(at));
                within += u32::from(at <= until);
            }
            prop_assert_eq!(many.available_until(now, until).min(n), within);
            prop_assert_eq!(many.take_ahead(n, now), at);
            prop_assert_eq!(many.ready_at(), single.ready_at());
        }

        #[test]
        fn the_instant_named_is_exact(count in 1u32..500, burst in 1u32..5, wait in 0u64..3_000_000_000) {
            let rate = Rate::new(NonZeroU32::new(count).expect("above zero"), Duration::from_secs(1)).expect("rate");
            let start = Duration::from_secs(7);
            let mut bucket = Throttle::new(rate, NonZeroU32::new(burst), start);
            let mut now = start + Duration::from_nanos(wait);
            while bucket.take(now) {}
            let ready = bucket.ready_at();
            prop_assert!(ready > now);
            prop_assert!(!bucket.take(ready - Duration::from_nanos(1)));
            now = ready;
            prop_assert!(bucket.take(now));
        }
    }
}
