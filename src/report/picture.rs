//! Owns the picture that answers are drawn from: store and configuration at one moment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;

use crate::config::{Config, RelaySettings};
use crate::core::lane::Ledger;
use crate::core::lane::calendar::{Hours, next_opening, plan_day};
use crate::core::names::{BucketName, LaneKey, RelayName};
use crate::core::plan::LanePlan;
use crate::store::{CampaignRow, Outlook, OwnerRow, Pause, Scope, Store, StoreError};

/// Store and configuration at one moment.
#[derive(Debug, Clone)]
pub struct Picture<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The moment.
    pub now: Timestamp,
    /// Campaigns, waiting mail, pauses.
    pub outlook: Outlook,
    /// Who owns which relay.
    pub owners: Vec<OwnerRow>,
    /// Newest ledger of each lane.
    ledgers: BTreeMap<LaneKey, Ledger>,
}

/// Mail that waits where a lane may take it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// Never tried.
    pub fresh: u64,
    /// Tried before and due.
    pub retries: u64,
    /// Tried before and due later.
    pub later: u64,
}

impl Waiting {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.fresh + self.retries + self.later
    }
}

/// A lane's plan day as far as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Today {
    /// The plan day.
    pub day: Date,
    /// The ledger; of an untouched day when the lane's owner has not begun it yet.
    pub ledger: Ledger,
    /// The lane's owner has begun this plan day.
    pub begun: bool,
}

impl<'a> Picture<'a> {
    /// Takes the picture.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn take(store: &dyn Store, config: &'a Config, now: Timestamp) -> Result<Self, StoreError> {
        let outlook = store.outlook(now).await?;
        let owners = store.owners().await?;
        let mut ledgers: BTreeMap<LaneKey, Ledger> = BTreeMap::new();
        for (relay, ledger) in store.ledgers(None, Date::MIN).await? {
            let key = LaneKey { relay, bucket: ledger.bucket.clone() };
            if ledgers.get(&key).is_none_or(|known| known.day < ledger.day) {
                ledgers.insert(key, ledger);
            }
        }
        Ok(Self { config, now, outlook, owners, ledgers })
    }

    /// A relay's settings.
    #[must_use]
    pub fn relay(&self, name: &RelayName) -> Option<&'a RelaySettings> {
        self.config.relays.get(name).map(|settings| &**settings)
    }

    /// Every lane that the configuration allows for: each relay with each bucket.
    #[must_use]
    pub fn all_lanes(&self) -> BTreeSet<LaneKey> {
        let buckets: Vec<BucketName> = self.config.groups.buckets().into_keys().collect();
        let lanes =
            self.config.relays.keys().flat_map(|relay| {
                buckets.iter().map(|bucket| LaneKey { relay: relay.clone(), bucket: bucket.clone() })
            });
        lanes.collect()
    }

    /// Whether a lane has anything to show: a ledger, waiting mail or a pause of its own.
    #[must_use]
    pub fn is_in_use(&self, lane: &LaneKey) -> bool {
        let paused = self.outlook.pauses.iter().any(|p| p.scope == Scope::Lane(lane.clone()));
        paused || self.ledgers.contains_key(lane) || self.waiting(lane).total() > 0
    }

    /// What the lane has spent of which quota today.
    #[must_use]
    pub fn today(&self, lane: &LaneKey, settings: &RelaySettings) -> Today {
        let plan = &settings.plan;
        let day = plan_day(&plan.timezone, plan.day_starts, self.now);
        let known = self.ledgers.get(lane);
        match known {
            Some(ledger) if ledger.day >= day => Today { day: ledger.day, ledger: ledger.clone(), begun: true },
            _ => {
                let warmup_day = known.map_or(settings.warmup.day, |ledger| ledger.warmup_day);
                let quota = plan.lane(&lane.bucket).curve.value.quota(warmup_day);
                Today { day, ledger: Ledger::new(lane.bucket.clone(), day, warmup_day, quota), begun: false }
            }
        }
    }

    /// Mail that the lane may take: of campaigns whose pool has its relay.
    #[must_use]
    pub fn waiting(&self, lane: &LaneKey) -> Waiting {
        let mut sum = Waiting::default();
        for row in self.outlook.waiting.iter().filter(|row| row.bucket == lane.bucket) {
            let campaign = self.outlook.campaigns.iter().find(|c| c.id == row.campaign);
            if campaign.is_some_and(|c| self.relays_of(c).contains(&lane.relay)) {
                sum.fresh += row.fresh;
                sum.retries += row.retries;
                sum.later += row.later;
            }
        }
        sum
    }

    /// The relays that may carry a campaign, in order of need.
    #[must_use]
    pub fn relays_of(&self, campaign: &CampaignRow) -> &'a [RelayName] {
        self.config.pools.get(&campaign.pool).map_or(&[], Vec::as_slice)
    }

    /// Pauses that hold a lane: everything's, its relay's and its own.
    pub fn pauses_on<'b>(&'b self, lane: &'b LaneKey) -> impl Iterator<Item = &'b Pause> {
        self.outlook.pauses.iter().filter(move |pause| match &pause.scope {
            Scope::All => true,
            Scope::Relay(relay) => *relay == lane.relay,
            Scope::Lane(key) => key == lane,
        })
    }

    /// A lane's hours on its plan day.
    #[must_use]
    pub fn hours(&self, settings: &RelaySettings, lane: &LanePlan, day: Date) -> Hours {
        let plan = &settings.plan;
        Hours::of(&plan.timezone, plan.day_starts, &lane.window.value, Some(&lane.avoid.value), day)
    }

    /// The first moment from `after` on at which a lane's hours are open.
    #[must_use]
    pub fn opening(&self, settings: &RelaySettings, lane: &LanePlan, after: Timestamp) -> Option<Timestamp> {
        let plan = &settings.plan;
        next_opening(&plan.timezone, plan.day_starts, &lane.window.value, Some(&lane.avoid.value), after)
    }
}
