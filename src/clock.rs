//! Owns time: the only file that reads a clock or waits for one.
//!
//! Invariant: nothing else calls `Timestamp::now`, `Instant::now` or `tokio::time::sleep` to pass plan time
//! (`tests/house` holds it). Network timeouts are real time and belong to the adapter that waits.

#![allow(clippy::disallowed_methods, reason = "the one place where time is read")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Where `now` comes from.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day. May jump when somebody sets the clock.
    fn now(&self) -> Timestamp;
    /// Time since boot, suspended time included. Never goes backwards.
    fn elapsed(&self) -> Duration;
    /// Waits for `span` of this clock's time.
    async fn sleep(&self, span: Duration);
}

/// A clock that all parts of a program share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// A clock with a start and a speed, for the demonstration and the tests. It follows tokio's time, so under a paused tokio
/// clock it is virtual.
#[derive(Debug, Clone)]
pub struct PacedClock {
    start: Timestamp,
    origin: tokio::time::Instant,
    speed: f64,
}

impl PacedClock {
    /// Begins at `start` and runs `speed` times as fast as the machine's clock (above zero).
    #[must_use]
    pub fn new(start: Timestamp, speed: f64) -> Self {
        Self { start, origin: tokio::time::Instant::now(), speed: if speed > 0.0 { speed } else { 1.0 } }
    }
}

#[async_trait]
impl Clock for PacedClock {
    fn now(&self) -> Timestamp {
        self.start.checked_add(self.elapsed()).unwrap_or(Timestamp::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed().mul_f64(self.speed)
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span.div_f64(self.speed)).await;
    }
}
