//! Owns what carriers are taken to answer: shares of attempts, per bucket or for all.
//!
//! Invariant: shares of many small numbers add up to the share of their sum, less than one message off.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::names::BucketName;

/// A share in millionths.
const WHOLE: u64 = 1_000_000;

/// What becomes of attempts, as shares from 0 to 1. What is neither deferred nor bounced is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OutcomeShares {
    /// Attempts that are deferred: tried again after the relay's `retry.after`, spending anew.
    pub deferrals: f64,
    /// Attempts refused for good, unknown users among them.
    pub bounces: f64,
    /// Attempts refused because the user is unknown; where above `bounces`, that many bounce.
    pub unknown: f64,
}

/// The outcome model of a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// For every bucket that has none of its own.
    pub all: OutcomeShares,
    /// Buckets with shares of their own.
    pub buckets: BTreeMap<BucketName, OutcomeShares>,
    /// How long a message occupies its connection.
    pub takes: Duration,
}

impl Default for Outcomes {
    /// All well, half a second a message.
    fn default() -> Self {
        Self { all: OutcomeShares::default(), buckets: BTreeMap::new(), takes: Duration::from_millis(500) }
    }
}

impl Outcomes {
    /// The shares of a bucket.
    #[must_use]
    pub fn of(&self, bucket: &BucketName) -> OutcomeShares {
        self.buckets.get(bucket).copied().unwrap_or(self.all)
    }
}

/// What `n` attempts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fates {
    pub(super) accepted: u64,
    pub(super) deferred: u64,
    pub(super) bounced: u64,
    /// Of `bounced`.
    pub(super) unknown: u64,
}

/// Takes shares of numbers one after the other; what does not make a whole message is carried over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Divider {
    carried: [u64; 3],
}

impl Divider {
    /// Begins at a half, so that the sum is rounded and not cut.
    pub(super) fn new() -> Self {
        Self { carried: [WHOLE / 2; 3] }
    }

    /// What becomes of the next `n` attempts.
    pub(super) fn divide(&mut self, n: u64, shares: OutcomeShares) -> Fates {
        let mut take = |which: usize, share: f64, most: u64| {
            let sum = self.carried[which] + n * millionths(share);
            let got = (sum / WHOLE).min(most);
            self.carried[which] = sum - got * WHOLE;
            got
        };
        let deferred = take(0, shares.deferrals, n);
        let bounced = take(1, shares.bounces.max(shares.unknown), n - deferred);
        let unknown = take(2, shares.unknown, bounced);
        Fates { accepted: n - deferred - bounced, deferred, bounced, unknown }
    }
}

fn millionths(share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 before")]
    let share = (share.clamp(0.0, 1.0) * 1e6).round() as u64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_small_numbers_add_up() {
        let shares = OutcomeShares { deferrals: 0.03, bounces: 0.01, unknown: 0.005 };
        for step in [1, 7, 100] {
            let (mut divider, mut sum) = (Divider::new(), Fates::default());
            for _ in 0..(7_000 / step) {
                let fates = divider.divide(step, shares);
                sum.accepted += fates.accepted;
                sum.deferred += fates.deferred;
                sum.bounced += fates.bounced;
                sum.unknown += fates.unknown;
            }
            assert_eq!(sum, Fates { accepted: 6_720, deferred: 210, bounced: 70, unknown: 35 }, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_deferred_cannot_bounce_too() {
        let shares = OutcomeShares { deferrals: 1.0, bounces: 1.0, unknown: 1.0 };
        assert_eq!(Divider::new().divide(10, shares), Fates { deferred: 10, ..Fates::default() });
    }
}
