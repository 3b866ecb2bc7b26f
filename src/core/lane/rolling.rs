//! Owns the rolling cap: at most n messages in any 60 minutes (or 24 hours), counted in cells.
//!
//! Invariant: the count never misses a message of the window; it may hold one for up to a cell's length too long, so the cap
//! is never passed. A GCRA would let almost twice a volume pass, so it never stands for one.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// Length of a cell: a rolling hour counted in cells is at most this much too strict.
pub const CELL: Duration = Duration::from_secs(15);

/// A cap over a rolling window.
#[derive(Debug, Clone)]
pub struct Rolling {
    limit: u32,
    window: Duration,
    /// Start of the cell, messages; ascending.
    cells: VecDeque<(Timestamp, u32)>,
    total: u64,
}

/// The cell that `at` falls into.
#[must_use]
pub fn cell_of(at: Timestamp) -> Timestamp {
    let seconds = at.as_second();
    let length = i64::try_from(CELL.as_secs()).unwrap_or(15);
    Timestamp::from_second(seconds - seconds.rem_euclid(length)).unwrap_or(at)
}

impl Rolling {
    /// At most `limit` in any `window`.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, cells: VecDeque::new(), total: 0 }
    }

    /// The cap.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Changes the cap; what was counted stays.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Counts `n` in the cell of `at` (stored spending is counted the same way, cell by cell, in any order).
    pub fn add(&mut self, at: Timestamp, n: u32) {
        let cell = cell_of(at);
        let place = self.cells.partition_point(|(start, _)| *start < cell);
        match self.cells.get_mut(place) {
            Some((start, count)) if *start == cell => *count += n,
            _ => self.cells.insert(place, (cell, n)),
        }
        self.total += u64::from(n);
    }

    /// Takes `n` back out of the cell of `at`.
    pub fn give_back(&mut self, at: Timestamp, n: u32) {
        let cell = cell_of(at);
        if let Some((_, count)) = self.cells.iter_mut().find(|(start, _)| *start == cell) {
            let n = n.min(*count);
            *count -= n;
            self.total -= u64::from(n);
        }
    }

    fn leaves(&self, cell: Timestamp) -> Timestamp {
        cell.checked_add(CELL + self.window).unwrap_or(Timestamp::MAX)
    }

    /// Forgets what has left the window.
    pub fn prune(&mut self, now: Timestamp) {
        while let Some((start, count)) = self.cells.front().copied()
            && self.leaves(start) <= now
        {
            self.total -= u64::from(count);
            self.cells.pop_front();
        }
    }

    #[cfg(test)]
    pub(crate) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// How many may go at `now`.
    #[must_use]
    pub fn available(&self, now: Timestamp) -> u32 {
        let gone: u64 = self.cells.iter().take_while(|(s, _)| self.leaves(*s) <= now).map(|(_, n)| u64::from(*n)).sum();
        let left = u64::from(self.limit).saturating_sub(self.total - gone);
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// When at least one may go again; `now` when one may.
    #[must_use]
    pub fn ready_at(&self, now: Timestamp) -> Timestamp {
        let mut left = self.total;
        for (start, count) in &self.cells {
            if left < u64::from(self.limit) {
                return now;
            }
            left -= u64::from(*count);
            if left < u64::from(self.limit) {
                return self.leaves(*start).max(now);
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn what_was_given_back_is_free_again_and_old_cells_leave() {
        let mut hour = Rolling::new(10, Duration::from_secs(3_600));
        hour.add(at(3), 10);
        assert_eq!((hour.available(at(3)), hour.ready_at(at(3))), (0, at(3_615)));
        hour.give_back(at(3), 4);
        assert_eq!(hour.available(at(4)), 4);
        assert_eq!(hour.available(at(3_614)), 4);
        hour.prune(at(3_615));
        assert_eq!(hour.available(at(3_615)), 10);
    }

    proptest! {
        #[test]
        fn no_rolling_hour_holds_more_than_the_cap(limit in 1u32..50, steps in prop::collection::vec(1i64..900, 1..300)) {
            let mut hour = Rolling::new(limit, Duration::from_secs(3_600));
            let (mut now, mut sent) = (0, Vec::new());
            for step in steps {
                now += step;
                hour.prune(at(now));
                let free = hour.available(at(now));
                prop_assert_eq!(free > 0, hour.ready_at(at(now)) <= at(now));
                if free > 0 {
                    let n = free.div_ceil(2);
                    hour.add(at(now), n);
                    sent.push((now, n));
                }
                let inside: u32 = sent.iter().filter(|(t, _)| *t > now - 3_600).map(|(_, n)| n).sum();
                prop_assert!(inside <= limit);
            }
        }
    }
}
