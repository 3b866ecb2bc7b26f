//! Owns a look into the store of a project, beside the worker or after it: what the figures of a story are compared with.

use std::collections::BTreeMap;
use std::path::Path;

use hikagen::clock::{Clock, SystemClock};
use hikagen::core::campaign::MessageState;
use hikagen::core::names::{CampaignName, LaneKey};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{Fate, MessageRow, Store};

/// Messages of a campaign per state; states without any are left out. Empty where there is no such campaign yet.
pub fn states(store: &Path, campaign: &str) -> BTreeMap<MessageState, usize> {
    look(store, async |store| tally(store, campaign).await)
}

/// The same, of a store that is open.
pub async fn tally(store: &dyn Store, campaign: &str) -> BTreeMap<MessageState, usize> {
    let mut states = BTreeMap::new();
    if let Some(row) = store.campaign(&CampaignName::new(campaign).unwrap()).await.unwrap() {
        for row in store.tally(row.id).await.unwrap() {
            *states.entry(row.state).or_insert(0) += usize::try_from(row.n).unwrap();
        }
    }
    states
}

/// How many messages of a campaign are in a state.
pub fn count(store: &Path, campaign: &str, state: MessageState) -> usize {
    states(store, campaign).get(&state).copied().unwrap_or(0)
}

/// The messages of a campaign that are in a state, in list order.
pub fn messages(store: &Path, campaign: &str, state: MessageState) -> Vec<MessageRow> {
    look(store, async |store| {
        let row = store.campaign(&CampaignName::new(campaign).unwrap()).await.unwrap().unwrap();
        store.messages_of(row.id, &[state], None, 1_000_000).await.unwrap()
    })
}

/// Puts parked messages back into line, as `message settle --as retry` does.
pub fn retry_parked(store: &Path, messages: &[MessageRow]) {
    look(store, async |store| {
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        let settled = store.settle_parked(ids, Fate::Retry, SystemClock.now()).await.unwrap();
        assert_eq!(settled.stale, 0, "not parked");
    });
}

/// Claimed and not settled, of all relays.
pub fn in_the_air(store: &Path) -> usize {
    look(store, async |store| {
        store.owners().await.unwrap().iter().map(|owner| usize::try_from(owner.in_the_air).unwrap()).sum()
    })
}

/// The release log of a lane over the last two days: microseconds, ascending.
pub fn releases(store: &Path, lane: &str) -> Vec<i64> {
    let lane: LaneKey = lane.parse().unwrap();
    look(store, async |store| {
        let today = SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let mut times = Vec::new();
        for day in [today.yesterday().unwrap(), today, today.tomorrow().unwrap()] {
            let releases = store.releases(&lane.relay, Some(&lane.bucket), day).await.unwrap();
            times.extend(releases.iter().map(|release| release.at));
        }
        assert!(times.is_sorted(), "releases are told in order");
        times
    })
}

fn look<T>(path: &Path, ask: impl AsyncFnOnce(&dyn Store) -> T) -> T {
    let store = SqliteStore::open_existing(path).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(ask(&store))
}
