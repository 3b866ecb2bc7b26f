//! Owns how much of long work one transaction takes: what the last one took says how much the next may.
//!
//! Invariant: on any disk a transaction of long work is soon about [`STEP_TIME`] long, so that claims and settles never wait
//! much longer than that.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long one transaction of long work may take.
const STEP_TIME: Duration = Duration::from_millis(20);

/// How much (rows, pages) the next transaction of long work takes.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    size: u32,
    bounds: RangeInclusive<u32>,
}

impl Step {
    /// Begins with `first`; never takes more or less than `bounds`.
    pub(crate) fn new(first: u32, bounds: RangeInclusive<u32>) -> Self {
        Self { size: first, bounds }
    }

    /// How much the next transaction takes.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// One took `n` and so much time: the next takes as much as would have taken [`STEP_TIME`], at most twice as much as this.
    pub(crate) fn took(&mut self, n: u64, time: Duration) {
        // Little that took little time says nothing of how long much would have taken.
        if n == 0 || (n < u64::from(self.size) && time <= STEP_TIME) {
            return;
        }
        let fits = (u128::from(n) * STEP_TIME.as_nanos() / time.as_nanos().max(1)).min(2 * u128::from(n));
        self.size = u32::try_from(fits).unwrap_or(u32::MAX).clamp(*self.bounds.start(), *self.bounds.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_follows_the_time_the_last_one_took() {
        let after = |n: u64, ms: u64| {
            let mut step = Step::new(2_000, 100..=20_000);
            step.took(n, Duration::from_millis(ms));
            step.size()
        };
        assert_eq!((after(2_000, 40), after(2_000, 1), after(2_000, 0)), (1_000, 4_000, 4_000));
        assert_eq!((after(20_000, 1), after(2_000, 5_000)), (20_000, 100));
        assert_eq!((after(0, 5_000), after(3, 1), after(500, 100)), (2_000, 2_000, 100));
    }
}
