//! Owns the even spread: when the next release of a plan day is due, so that the quota fills the window.
//!
//! Invariants: the interval is open time left over quota left (not backlog), so a small campaign ends early; it is never
//! shorter than half the day's mean; jitter moves a release inside its own interval and comes from a hash, never from chance.

use std::time::Duration;

/// How far a release may be late without the next one moving too: timers wake a millisecond late, and a tick may take some more.
const SLACK: Duration = Duration::from_millis(50);

/// Where the next release stands. Times are the time since boot.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Even place of the next release.
    next: Duration,
    /// Where jitter put it.
    due: Duration,
    count: u64,
}

/// The time between two releases: `open` time left for `left` releases still to come, but no shorter than half the mean of
/// a day with `total` open time and `quota` messages. One interval stays free at the end, so that the last release comes before closing.
#[must_use]
pub(super) fn interval(open: Duration, left: u32, total: Duration, quota: u32) -> Duration {
    let even = open / left.saturating_add(1).max(1);
    let fastest = total / quota.max(1) / 2;
    even.max(fastest)
}

impl Pace {
    /// When the next release is due.
    #[must_use]
    pub fn ready_at(&self) -> Duration {
        self.due
    }

    /// How long until then; `None` when it is due.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        self.due.checked_sub(now).filter(|w| !w.is_zero())
    }

    /// One was released; the next follows after `interval`, moved by up to `jitter` (0 to 1) of half an interval either way.
    pub fn released(&mut self, now: Duration, interval: Duration, jitter: f64, salt: u64) {
        // On time: the next even place follows the last one, wherever jitter had moved the release. Late: it follows the release.
        let late = now.saturating_sub(self.due);
        let place = if late > SLACK.min(interval / 2) { now } else { self.next };
        self.next = place + interval;
        self.count += 1;
        let unit = hash(salt ^ self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let moved = interval.mul_f64(jitter.clamp(0.0, 1.0) * unit);
        // The last release of a day has two intervals until closing: held under both, it never waits for a closed window.
        let latest = now + interval.mul_f64(1.75);
        self.next = self.next.min(latest);
        let earlier = interval.mul_f64(jitter.clamp(0.0, 1.0) / 2.0);
        self.due = (self.next + moved).saturating_sub(earlier).clamp(now, latest);
    }
}

impl Pace {
    /// When the next release comes that is not before `now`: where it is late, at once.
    #[must_use]
    pub fn next_after(&self, now: Duration) -> Duration {
        if now.saturating_sub(self.due) > SLACK { now } else { self.next.max(now) }
    }

    /// `n` were released, each as soon as it was due, from `now` on, one `interval` after the other and without jitter. Says when
    /// the last was due.
    pub fn released_ahead(&mut self, n: u32, now: Duration, interval: Duration) -> Duration {
        let last = self.next_after(now) + interval * n.saturating_sub(1);
        self.next = last + interval;
        self.due = self.next;
        self.count += u64::from(n);
        last
    }
}

/// SplitMix64, as a number from 0 to 1.
fn hash(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
    f64::from(top) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_begun_late_runs_at_most_twice_as_fast() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(interval(hour * 13, 779, hour * 13, 780), Duration::from_secs(60));
        assert_eq!(interval(hour, 779, hour * 13, 780), Duration::from_secs(30));
        assert_eq!(interval(hour * 2, 1, hour * 13, 780), hour);
    }

    proptest! {
        #[test]
        fn a_day_is_used_up_evenly_and_before_it_closes(quota in 1u32..3_000, jitter in 0.0f64..1.0, late in 0u64..20) {
            let total = Duration::from_secs(13 * 3_600);
            let start = Duration::from_secs(500);
            let (mut pace, mut now, mut left) = (Pace::default(), start, quota);
            let mut by_hour = [0u32; 13];
            while left > 0 {
                now = now.max(pace.ready_at()) + Duration::from_millis(late);
                prop_assert!(now < start + total, "{left} of {quota} left at closing");
                by_hour[usize::try_from((now - start).as_secs() / 3_600).expect("small")] += 1;
                left -= 1;
                pace.released(now, interval(start + total - now, left, total, quota), jitter, 7);
            }
            let mean = f64::from(quota) / 13.0;
            for count in by_hour {
                prop_assert!(f64::from(count) <= mean * 2.0 + 2.0);
            }
        }
    }
}
