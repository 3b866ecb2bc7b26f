//! Owns the answer about a campaign's seeds.

use jiff::Timestamp;
use serde::Serialize;

use super::words::at;
use crate::config::Config;
use crate::core::campaign::{CampaignId, MessageState};
use crate::core::names::BucketName;
use crate::store::{Store, StoreError};

/// A seed and what became of its mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeedState {
    /// `m123`
    pub message: String,
    /// Address.
    pub address: String,
    /// Where it waits or waited.
    pub bucket: BucketName,
    /// State.
    pub state: MessageState,
    /// When that state began, where known.
    pub since: Option<Timestamp>,
    /// Why it is in that state.
    pub because: Option<String>,
}

/// The seeds of a campaign, in the order in which they were taken in.
///
/// # Errors
/// When the store cannot be read.
pub async fn seeds(store: &dyn Store, campaign: CampaignId) -> Result<Vec<SeedState>, StoreError> {
    let rows = store.seeds_of(campaign).await?.into_iter();
    Ok(rows
        .map(|row| SeedState {
            message: row.id.to_string(),
            address: row.address,
            bucket: row.bucket,
            state: row.state,
            since: row.since,
            because: row.because,
        })
        .collect())
}

/// A line for each seed; empty where there is none.
#[must_use]
pub fn render_seeds(seeds: &[SeedState], config: &Config, indent: &str) -> String {
    let line = |seed: &SeedState| {
        let since = seed.since.map(|t| format!(" since {}", at(t, &config.timezone))).unwrap_or_default();
        let because = seed.because.as_ref().map(|b| format!(": {b}")).unwrap_or_default();
        let (address, state) = (&seed.address, seed.state.as_str());
        format!("{indent}seed {address} ({}, {}): {state}{since}{because}\n", seed.message, seed.bucket)
    };
    seeds.iter().map(line).collect()
}
