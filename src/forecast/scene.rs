//! Owns what a forecast begins with: relays and what they remember, campaigns and what waits of them, pauses; from a store, or
//! made up where there is none.
//!
//! Invariant: a store is only read.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::Config;
use crate::config::bare::bare_config_of;
use crate::config::settings::Answers;
use crate::core::campaign::{CampaignId, CampaignState, Class, RevisionId};
use crate::core::names::{BucketName, CampaignName, PoolName, RelayName};
use crate::core::plan::{Groups, Plan};
use crate::store::{CampaignRow, Lease, Outlook, RelayMemory, Revision, Store, StoreError, WaitingRow};

/// Name of the relay and of the pool that are assumed for a plan by itself.
pub const ASSUMED: &str = "assumed";

/// What a forecast begins with.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Relays, pools, plans.
    pub config: Config,
    /// Campaigns, what waits, pauses.
    pub outlook: Outlook,
    /// Relays' ledgers and spending; a relay without an entry begins its warm-up.
    pub memories: BTreeMap<RelayName, RelayMemory>,
}

impl Scene {
    /// Nothing waits yet, and every relay begins as its configuration says.
    #[must_use]
    pub fn without_store(config: Config) -> Self {
        Self { config, outlook: Outlook::default(), memories: BTreeMap::new() }
    }

    /// What stands in a store.
    ///
    /// # Errors
    /// The store's.
    pub async fn of_store(config: Config, store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut memories = BTreeMap::new();
        for relay in config.relays.keys() {
            let nobody = Lease { relay: relay.clone(), token: 0 };
            memories.insert(relay.clone(), store.memory(&nobody, now).await?);
        }
        let outlook = store.outlook(now).await?;
        Ok(Self { config, outlook, memories })
    }

    /// Adds a campaign with mail that was never tried.
    pub fn add(&mut self, mut campaign: CampaignRow, waiting: impl IntoIterator<Item = (BucketName, u64)>) {
        let last = self.outlook.campaigns.iter().map(|c| c.id.0).max().unwrap_or(0);
        campaign.id = CampaignId(last + 1);
        let id = campaign.id;
        self.outlook.campaigns.push(campaign);
        let rows = waiting.into_iter().filter(|(_, n)| *n > 0);
        self.outlook.waiting.extend(rows.map(|(bucket, fresh)| WaitingRow {
            campaign: id,
            bucket,
            fresh,
            retries: 0,
            later: 0,
        }));
    }
}

/// A campaign that is in no store: running, of class bulk, without deadlines.
#[must_use]
pub fn made_up_campaign(name: CampaignName, pool: PoolName, start: Timestamp) -> CampaignRow {
    let current = Revision {
        content: String::new(),
        start,
        finish_by: None,
        not_after: None,
        class: Class::Bulk,
        weight: 100,
        digest: String::new(),
    };
    CampaignRow {
        id: CampaignId(0),
        name,
        pool,
        from: String::new(),
        state: CampaignState::Running,
        because: None,
        changed: start,
        created: start,
        revision: RevisionId(0),
        current,
        loads: 0,
    }
}

/// One relay under `plan`, with the limits of a relay that says nothing of its own, in a pool of its own. It passes on what
/// destinations answer.
///
/// # Panics
/// Never: [`ASSUMED`] is a name.
#[must_use]
pub fn assumed_config(plan: Plan, groups: Groups) -> Config {
    let name: RelayName = ASSUMED.parse().unwrap_or_else(|_| unreachable!("a name"));
    let pool: PoolName = ASSUMED.parse().unwrap_or_else(|_| unreachable!("a name"));
    let timezone = plan.timezone.clone();
    let mut config = bare_config_of(groups, [(name.clone(), plan)].into());
    for relay in config.relays.values_mut() {
        let relay = Arc::make_mut(relay);
        (relay.answers, relay.ears) = (Answers::Carrier, vec![ASSUMED.to_owned()]);
    }
    config.pools.insert(pool, vec![name]);
    config.timezone = timezone;
    config
}
