//! Owns the instant at which something is decided: time of day and time since boot, read together.
//!
//! Plan days, windows and rolling hours are counted on the time of day; throttles, paces and leases on the time since boot,
//! which nobody can set. `ClockWatch` tells when the two disagree, and then nothing is released.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Both clocks at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time of day.
    pub at: Timestamp,
    /// Time since boot.
    pub up: Duration,
}

impl Moment {
    /// This moment, `span` later on both clocks.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { at: self.at.checked_add(span).unwrap_or(Timestamp::MAX), up: self.up.saturating_add(span) }
    }

    /// How long it is from here to `until`; zero when that has passed.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Duration {
        Duration::try_from(until.duration_since(self.at)).unwrap_or(Duration::ZERO)
    }
}

/// Backwards jumps up to this are clamped: time stands still until the clock has caught up.
const BACKWARDS_CLAMPED: SignedDuration = SignedDuration::from_secs(5);
/// Forward jumps against the time since boot above this stop everything.
const FORWARDS_TAKEN: SignedDuration = SignedDuration::from_mins(5);
/// Both clocks must agree for so long before anything is released again.
const AGREEMENT: Duration = Duration::from_secs(60);

/// Watches the time of day against the time since boot.
#[derive(Debug, Clone, Default)]
pub struct ClockWatch {
    last: Option<Moment>,
    halted_since: Option<Duration>,
}

/// What [`ClockWatch::observe`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Decide with this moment (the time of day never goes backwards here).
    Yes(Moment),
    /// The time of day jumped: release nothing before this time since boot.
    No {
        /// When both clocks will have agreed for long enough.
        until: Duration,
    },
}

impl ClockWatch {
    /// Looks at both clocks.
    pub fn observe(&mut self, seen: Moment) -> Trust {
        let Some(last) = self.last else {
            self.last = Some(seen);
            return Trust::Yes(seen);
        };
        let passed = SignedDuration::try_from(seen.up.saturating_sub(last.up)).unwrap_or(SignedDuration::MAX);
        let drift = seen.at.duration_since(last.at).saturating_sub(passed);
        let small = drift >= -BACKWARDS_CLAMPED && drift <= FORWARDS_TAKEN;
        if !small {
            self.last = Some(seen);
            self.halted_since = Some(seen.up);
        } else {
            let at = if self.halted_since.is_some() { seen.at } else { seen.at.max(last.at) };
            // A clamped clock keeps its old mark, so that many small backward steps still add up to a jump.
            if seen.at >= last.at || self.halted_since.is_some() {
                self.last = Some(Moment { at, up: seen.up });
            }
        }
        match self.halted_since {
            Some(since) if seen.up < since + AGREEMENT => Trust::No { until: since + AGREEMENT },
            _ => {
                self.halted_since = None;
                let at = self.last.map_or(seen.at, |l| l.at).max(seen.at);
                Trust::Yes(Moment { at, up: seen.up })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: i64, up: u64) -> Moment {
        Moment { at: Timestamp::from_second(at).expect("in range"), up: Duration::from_secs(up) }
    }

    #[test]
    fn a_clock_that_runs_is_trusted() {
        let mut watch = ClockWatch::default();
        for s in 0..1_000 {
            assert_eq!(watch.observe(moment(1_000 + s * 60, 60 * u64::try_from(s).expect("small"))), {
                Trust::Yes(moment(1_000 + s * 60, 60 * u64::try_from(s).expect("small")))
            });
        }
    }

    #[test]
    fn a_small_step_back_stands_still_and_a_large_one_stops_everything() {
        let mut watch = ClockWatch::default();
        watch.observe(moment(1_000, 0));
        assert_eq!(watch.observe(moment(998, 1)), Trust::Yes(moment(1_000, 1)));
        assert_eq!(watch.observe(moment(1_001, 4)), Trust::Yes(moment(1_001, 4)));
        assert_eq!(watch.observe(moment(900, 5)), Trust::No { until: Duration::from_secs(65) });
        assert_eq!(watch.observe(moment(930, 35)), Trust::No { until: Duration::from_secs(65) });
        assert_eq!(watch.observe(moment(960, 65)), Trust::Yes(moment(960, 65)));
    }

    #[test]
    fn a_step_forward_of_more_than_five_minutes_waits_for_agreement() {
        let mut watch = ClockWatch::default();
        watch.observe(moment(1_000, 0));
        assert_eq!(watch.observe(moment(1_250, 1)), Trust::Yes(moment(1_250, 1)));
        assert_eq!(watch.observe(moment(9_000, 2)), Trust::No { until: Duration::from_secs(62) });
        assert_eq!(watch.observe(moment(9_010, 12)), Trust::No { until: Duration::from_secs(62) });
        assert_eq!(watch.observe(moment(1_300, 20)), Trust::No { until: Duration::from_secs(80) });
        assert_eq!(watch.observe(moment(1_360, 80)), Trust::Yes(moment(1_360, 80)));
    }

    #[test]
    fn many_small_steps_back_add_up_to_a_jump() {
        let mut watch = ClockWatch::default();
        watch.observe(moment(1_000, 0));
        assert_eq!(watch.observe(moment(997, 0)), Trust::Yes(moment(1_000, 0)));
        assert_eq!(watch.observe(moment(994, 0)), Trust::No { until: Duration::from_secs(60) });
    }
}
