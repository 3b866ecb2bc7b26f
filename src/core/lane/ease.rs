//! Owns the slowing down within the day: down at once by a factor, up again step by step.
//!
//! Invariants: between floor and ceiling; at most one change in an interval; a share of the answers counts only over a sample, a
//! reply that asks to slow down needs none; without answers nothing climbs.

use jiff::Timestamp;

use super::{Grade, Ramp};
use crate::core::plan::Throttling;
use crate::core::reply::{Action, Reading};
use crate::core::units::Share;

/// What an answer means for the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing against it.
    Good,
    /// A deferral that speaks of the lane.
    PutOff,
    /// A reply that asks to slow down.
    AsksToSlow,
}

impl Heard {
    /// What an answer about a lane's mail means. `None`: it was accepted, or reported delivered; `own`: the relay's answers are its
    /// own, not the destination's.
    #[must_use]
    pub fn of(answer: Option<&Reading>, own: bool) -> Self {
        match answer.filter(|reading| Grade::of(reading, own).put_off) {
            Some(reading) if reading.action == Action::Throttle => Self::AsksToSlow,
            Some(_) => Self::PutOff,
            None => Self::Good,
        }
    }
}

/// A lane's place between floor and ceiling.
#[derive(Debug, Clone)]
pub struct Ease {
    /// Thousandths of the plan's pace.
    share: u32,
    changed: Option<Timestamp>,
    answers: u32,
    put_off: u32,
}

impl Default for Ease {
    fn default() -> Self {
        Self::new(Ramp::WHOLE)
    }
}

impl Ease {
    /// Goes on from where an earlier process left the lane.
    #[must_use]
    pub fn new(share: u32) -> Self {
        Self { share: share.clamp(1, Ramp::WHOLE), changed: None, answers: 0, put_off: 0 }
    }

    /// Thousandths of the plan's pace.
    #[must_use]
    pub fn share(&self) -> u32 {
        self.share
    }

    /// Counts an answer; the new share where it changes. `sample`: answers before their share counts.
    pub fn answered(&mut self, heard: Heard, terms: &Throttling, sample: u32, now: Timestamp) -> Option<u32> {
        let ceiling = thousandths(terms.ceiling).clamp(1, Ramp::WHOLE);
        let floor = thousandths(terms.floor).clamp(1, ceiling);
        let sample = sample.max(1);
        if self.answers >= sample.saturating_mul(2) {
            (self.answers, self.put_off) = (self.answers / 2, self.put_off / 2);
        }
        self.answers += 1;
        self.put_off += u32::from(heard != Heard::Good);
        // A time of day that was set back must not hold the lane down.
        let rested = self.changed.is_none_or(|at| now < at || now >= at.checked_add(terms.interval).unwrap_or(at));
        if !rested {
            return None;
        }
        let enough = self.answers >= sample;
        let bad = u64::from(self.put_off) * 1_000 > u64::from(thousandths(terms.deferrals)) * u64::from(self.answers);
        let share = if heard == Heard::AsksToSlow || (enough && bad) {
            (self.share * thousandths(terms.down).min(Ramp::WHOLE) / Ramp::WHOLE).clamp(floor, ceiling)
        } else if enough && !bad {
            (self.share + thousandths(terms.up).max(1)).clamp(floor, ceiling)
        } else {
            return None;
        };
        if share == self.share {
            return None;
        }
        (self.share, self.changed, self.answers, self.put_off) = (share, Some(now), 0, 0);
        Some(share)
    }

    /// The operator lifts it.
    pub fn lift(&mut self) {
        *self = Self::default();
    }
}

fn thousandths(share: Share) -> u32 {
    u32::try_from(share.of(u64::from(Ramp::WHOLE))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(seconds).expect("small")).expect("in range")
    }

    #[test]
    fn a_reply_that_asks_to_slow_down_halves_at_once_and_once_in_an_interval() {
        let (mut ease, terms) = (Ease::default(), Throttling::default());
        assert_eq!(ease.answered(Heard::AsksToSlow, &terms, 20, at(0)), Some(500));
        assert_eq!(ease.answered(Heard::AsksToSlow, &terms, 20, at(299)), None);
        assert_eq!(ease.answered(Heard::AsksToSlow, &terms, 20, at(300)), Some(250));
    }

    #[test]
    fn it_climbs_by_a_tenth_an_interval_after_enough_good_answers() {
        let (mut ease, terms) = (Ease::new(500), Throttling::default());
        let mut seen = Vec::new();
        for second in 0..3_600 {
            seen.extend(ease.answered(Heard::Good, &terms, 20, at(second)).map(|share| (second, share)));
        }
        assert_eq!(seen, [(19, 600), (319, 700), (619, 800), (919, 900), (1_219, 1_000)]);
    }

    #[test]
    fn single_deferrals_below_the_share_change_nothing_and_many_do() {
        let (mut ease, terms) = (Ease::default(), Throttling::default());
        for n in 0..1_000_u64 {
            let heard = if n % 20 == 0 { Heard::PutOff } else { Heard::Good };
            assert_eq!(ease.answered(heard, &terms, 20, at(n)), None);
        }
        let slowed = (0..40).find_map(|n| ease.answered(Heard::PutOff, &terms, 20, at(2_000 + n)));
        assert_eq!(slowed, Some(500));
    }

    proptest! {
        #[test]
        fn it_stays_between_floor_and_ceiling_and_changes_once_an_interval(
            answers in prop::collection::vec((0u8..3, 0u64..200), 1..400),
        ) {
            let terms = Throttling { ceiling: Share::percent(80), ..Throttling::default() };
            let (mut ease, mut now, mut last) = (Ease::default(), 0, None::<u64>);
            for (kind, step) in answers {
                now += step;
                let heard = [Heard::Good, Heard::PutOff, Heard::AsksToSlow][usize::from(kind)];
                if let Some(share) = ease.answered(heard, &terms, 5, at(now)) {
                    prop_assert!((100..=800).contains(&share));
                    prop_assert!(last.is_none_or(|last| now - last >= 300));
                    last = Some(now);
                }
            }
        }
    }
}
