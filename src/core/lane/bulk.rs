//! Owns many releases of one lane at once, for virtual time that goes in steps: what [`Lane::take`] does one by one.
//!
//! Invariant: throttle and pace stand afterwards where as many single releases, each as soon as it was due, would have left
//! them; jitter moves single releases only and is left out.

use std::time::Duration;

use super::{Lane, pace};
use crate::core::campaign::Class;
use crate::core::moment::Moment;

impl Lane {
    /// Takes the tokens of `n` releases from `now` on. Says when the last one is due, time since boot.
    pub(in crate::core) fn take_many(&mut self, class: Class, n: u32, now: Moment) -> Duration {
        let mut last = now.up;
        if let Some(throttle) = &mut self.throttle {
            last = last.max(throttle.take_ahead(n, now.up));
        }
        if let Some(slow) = &mut self.slow {
            last = last.max(slow.take_ahead(n, now.up));
        }
        if self.is_paced(class) {
            let left = self.left() + self.unsent_total();
            let first = now.plus(self.pace.next_after(now.up).saturating_sub(now.up));
            let (open, total) = (self.hours.open_left(first.at), self.hours.total());
            let interval = pace::interval(open, left.saturating_sub(1), total, self.ledger.quota);
            last = last.max(self.pace.released_ahead(n, now.up, interval));
        }
        let unsent = &mut self.unsent[class as usize];
        *unsent = unsent.saturating_sub(n);
        if let Some(hour) = &mut self.hour {
            hour.prune(now.at);
        }
        last
    }
}
