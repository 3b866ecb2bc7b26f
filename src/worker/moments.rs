//! Owns how the worker reads its clock: both times at one instant, so that what the release log says and what the throttle
//! counted agree.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::SharedClock;
use crate::core::moment::Moment;

/// Reads moments.
pub(crate) struct Moments {
    clock: SharedClock,
    /// Up to this the time of day is derived from the time since boot. The two are read one after the other, and a preempted
    /// reader would otherwise write a release into the log some milliseconds off the instant at which its token was taken.
    drift: Duration,
    anchor: Mutex<Option<(Timestamp, Duration)>>,
}

impl Moments {
    pub(crate) fn new(clock: SharedClock, drift: Duration) -> Self {
        Self { clock, drift, anchor: Mutex::new(None) }
    }

    /// Now, on both clocks.
    pub(crate) fn now(&self) -> Moment {
        let (at, up) = (self.clock.now(), self.clock.elapsed());
        let Ok(mut anchor) = self.anchor.lock() else { return Moment { at, up } };
        if let Some((anchor_at, anchor_up)) = *anchor
            && let Ok(derived) = anchor_at.checked_add(up.saturating_sub(anchor_up))
            && at.duration_since(derived).unsigned_abs() <= self.drift
        {
            return Moment { at: derived, up };
        }
        *anchor = Some((at, up));
        Moment { at, up }
    }
}
