//! Owns what is done beside the sending: retries that come due, expiry, cancelled and finished campaigns, the disk.
//!
//! Invariant: each step is bounded, so that it never holds the store from those who send.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::Shared;
use super::events::{EventKind, Subject, free_bytes};
use crate::config::Config;
use crate::store::StoreError;

/// Messages that one step may move.
const STEP: u32 = 2_000;
/// Steps between two looks at the disk.
const DISK_EVERY: u32 = 25;

/// Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, config: watch::Receiver<Arc<Config>>) {
    let clock = shared.parts.clock.clone();
    let mut steps = 0_u32;
    let mut trouble = false;
    loop {
        if steps.is_multiple_of(DISK_EVERY) {
            let floor = config.borrow().worker.disk_floor;
            look_at_disk(&shared, floor).await;
        }
        steps = steps.wrapping_add(1);
        let more = match step(&shared).await {
            Ok(more) => {
                trouble = false;
                more
            }
            Err(error) => {
                if !trouble {
                    shared.tell(EventKind::StoreUnavailable, Subject::Worker, error.to_string()).await;
                }
                trouble = true;
                false
            }
        };
        if !more {
            clock.sleep(shared.parts.pacing.poll).await;
        }
    }
}

async fn step(shared: &Shared) -> Result<bool, StoreError> {
    let store = &shared.parts.store;
    let fed = store.feed(shared.parts.clock.now(), STEP).await?;
    let next = fed.next.map_or(u64::MAX, |next| u64::try_from(next.as_second()).unwrap_or(0));
    shared.next_due.store(next, Ordering::Relaxed);
    let swept = store.sweep(shared.parts.clock.now(), STEP).await?;
    for campaign in swept.finished {
        let text = format!("every message of {campaign} is in a final state");
        shared.tell(EventKind::CampaignEnded, Subject::Campaign(campaign), text).await;
    }
    Ok(swept.more || fed.moved >= u64::from(STEP))
}

/// Unable to record means not allowed to send: below the floor nothing is claimed or released.
async fn look_at_disk(shared: &Shared, floor: u64) {
    let Some(folder) = &shared.parts.disk else { return };
    match free_bytes(folder) {
        Ok(free) => {
            let low = free < floor;
            if low && !shared.disk_low.swap(low, Ordering::Relaxed) {
                let text = format!(
                    "{} MB free at {}, less than the floor of {} MB: nothing leaves until there is room",
                    free / 1_000_000,
                    folder.display(),
                    floor / 1_000_000
                );
                shared.tell(EventKind::DiskLow, Subject::Worker, text).await;
            }
            shared.disk_low.store(low, Ordering::Relaxed);
        }
        Err(error) => tracing::warn!(%error, folder = %folder.display(), "the free space cannot be read"),
    }
}
