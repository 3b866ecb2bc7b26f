//! Owns the certificates that providers' messages name: read once from the provider itself, then kept.
//!
//! Invariants: one reading at a time, few a minute, and a place that failed is left alone for a while, so that nobody makes
//! this machine knock at a provider's door by what he posts; few are kept.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::web::Web;
use crate::config::providers::{PEM_MOST, certificates_of};
use crate::feedback::provider::Place;

/// Most certificates that are kept: a provider has one per region and changes it about once a year.
const KEPT_MOST: usize = 32;
/// Most readings within [`SPAN`].
const READINGS_MOST: usize = 20;
const SPAN: Duration = Duration::from_secs(60);
/// How long a place that failed is left alone.
const REST: Duration = Duration::from_secs(20);

/// The certificates.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<(Place, Vec<u8>)>,
    failed: VecDeque<(Place, Duration, String)>,
    readings: VecDeque<Duration>,
}

impl Certificates {
    /// The certificate at `place` (DER). `now` is time since boot.
    ///
    /// # Errors
    /// In words: it cannot be read now; later it may be.
    pub(super) async fn at(&self, place: &Place, web: &Web, now: Duration) -> Result<Vec<u8>, String> {
        if let Some(known) = self.known(place, now) {
            return known;
        }
        let _turn = self.turn.lock().await;
        // Somebody else may have read it while we waited.
        if let Some(known) = self.known(place, now) {
            return known;
        }
        self.admit(now)?;
        let read = web.read(place, PEM_MOST).await;
        let ders = read.and_then(|pem| certificates_of(&pem).map_err(|why| format!("{place}: {why}")));
        let found = ders.map(|ders| ders.into_iter().next().unwrap_or_default());
        let mut state = self.state();
        match &found {
            Ok(der) => state.kept.push_back((place.clone(), der.clone())),
            Err(why) => state.failed.push_back((place.clone(), now, why.clone())),
        }
        if state.kept.len() > KEPT_MOST {
            state.kept.pop_front();
        }
        if state.failed.len() > KEPT_MOST {
            state.failed.pop_front();
        }
        found
    }

    fn known(&self, place: &Place, now: Duration) -> Option<Result<Vec<u8>, String>> {
        let mut state = self.state();
        state.failed.retain(|(_, at, _)| now < *at + REST);
        let kept = state.kept.iter().find(|(known, _)| known == place).map(|(_, der)| Ok(der.clone()));
        kept.or_else(|| state.failed.iter().find(|(known, ..)| known == place).map(|(.., why)| Err(why.clone())))
    }

    fn admit(&self, now: Duration) -> Result<(), String> {
        let mut state = self.state();
        state.readings.retain(|at| now < *at + SPAN);
        if state.readings.len() >= READINGS_MOST {
            return Err(format!("{READINGS_MOST} certificates were asked for within {} s: too many", SPAN.as_secs()));
        }
        state.readings.push_back(now);
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
