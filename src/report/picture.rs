//! Owns the picture that answers are drawn from: store and configuration at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::config::{Config, RelaySettings};
use crate::core::campaign::Class;
use crate::core::lane::calendar::{Hours, next_opening, plan_day};
use crate::core::lane::{Held, Ledger};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, LaneKey, PoolName, RelayName};
use crate::core::plan::LanePlan;
use crate::core::schedule::{self as core_schedule, Past, Schedule};
use crate::store::{CampaignRow, Lease, Outlook, OwnerRow, Pause, RelayMemory, Scope, Store, StoreError, WaitingRow};

/// Throttles and paces live in the worker's memory. A report takes them as rested: after this long since boot.
const RESTED: Duration = Duration::from_secs(24 * 3_600);

/// Store and configuration at one moment.
#[derive(Debug)]
pub struct Picture<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The moment.
    pub now: Timestamp,
    /// Campaigns, waiting mail, pauses.
    pub outlook: Outlook,
    /// Who owns which relay.
    pub owners: Vec<OwnerRow>,
    /// The deciding core of each relay, as its owner would open it at this moment.
    schedules: BTreeMap<RelayName, Schedule>,
    /// Lanes with a ledger, and the plan day that it is of.
    begun: BTreeMap<LaneKey, Date>,
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
    fn add(&mut self, row: &WaitingRow) {
        self.fresh += row.fresh;
        self.retries += row.retries;
        self.later += row.later;
    }

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
        let mut picture = Self { config, now, outlook, owners, schedules: BTreeMap::new(), begun: BTreeMap::new() };
        for settings in config.relays.values() {
            let nobody = Lease { relay: settings.name.clone(), token: 0 };
            let memory = store.memory(&nobody, now).await?;
            picture.open(settings, memory);
        }
        Ok(picture)
    }

    /// Opens a relay's schedule as its owner would.
    fn open(&mut self, settings: &RelaySettings, memory: RelayMemory) {
        for ledger in &memory.ledgers {
            let key = LaneKey { relay: settings.name.clone(), bucket: ledger.bucket.clone() };
            self.begun.insert(key, ledger.day);
        }
        let booted = Moment { at: self.now, up: Duration::ZERO };
        let past = Past { cells: &memory.cells, stops: &memory.stops(), ..Past::default() };
        let (mut schedule, _) = Schedule::open(settings.terms(), memory.ledgers, past, booted);
        for bucket in self.config.groups.buckets().keys() {
            schedule.see(bucket, booted);
        }
        let held = |p: &Pause| Held { cause: p.cause, reason: p.reason.clone(), until: p.until };
        let (mut relay, mut lanes) = (Vec::new(), Vec::new());
        for pause in &self.outlook.pauses {
            match &pause.scope {
                Scope::All => relay.push(held(pause)),
                Scope::Relay(name) if *name == settings.name => relay.push(held(pause)),
                Scope::Lane(key) if key.relay == settings.name => lanes.push((key.bucket.clone(), held(pause))),
                Scope::Relay(_) | Scope::Lane(_) => {}
            }
        }
        schedule.set_pauses(relay, &lanes);
        let pools = self.config.pools.iter().filter(|(_, relays)| relays.contains(&settings.name));
        let keeps = pools.into_iter().any(|(pool, _)| self.outlook.transactional_pools.contains(pool));
        schedule.keep_for_transactional(keeps);
        self.schedules.insert(settings.name.clone(), schedule);
    }

    /// The deciding core of a relay.
    #[must_use]
    pub fn schedule(&self, relay: &RelayName) -> Option<&Schedule> {
        self.schedules.get(relay)
    }

    /// What holds `class` on a lane, asked of the core.
    #[must_use]
    pub fn explain(&self, lane: &LaneKey, class: Class) -> Vec<core_schedule::Hold> {
        let rested = Moment { at: self.now, up: RESTED };
        self.schedule(&lane.relay).map_or_else(Vec::new, |s| s.explain(&lane.bucket, class, rested))
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
        paused || self.begun.contains_key(lane) || self.waiting(lane).total() > 0
    }

    /// What the lane has spent of which quota today; a plan day that its owner has not begun yet is shown as it will begin.
    #[must_use]
    pub fn today(&self, lane: &LaneKey, settings: &RelaySettings) -> Today {
        let plan = &settings.plan;
        let known = self.schedule(&lane.relay).and_then(|s| s.lanes().get(&lane.bucket)).map(|l| l.ledger.clone());
        let ledger = known.unwrap_or_else(|| {
            let day = plan_day(&plan.timezone, plan.day_starts, self.now);
            let quota = plan.lane(&lane.bucket).curve.value.quota(settings.warmup.day);
            Ledger::new(lane.bucket.clone(), day, settings.warmup.day, quota)
        });
        Today { day: ledger.day, begun: self.begun.get(lane) == Some(&ledger.day), ledger }
    }

    /// Mail that the lane may take: of campaigns whose pool has its relay.
    #[must_use]
    pub fn waiting(&self, lane: &LaneKey) -> Waiting {
        let mut sum = Waiting::default();
        for row in self.outlook.waiting.iter().filter(|row| row.bucket == lane.bucket) {
            let campaign = self.outlook.campaigns.iter().find(|c| c.id == row.campaign);
            if campaign.is_some_and(|c| self.relays_of(c).contains(&lane.relay)) {
                sum.add(row);
            }
        }
        sum
    }

    /// Mail of all campaigns of a pool that waits in a bucket.
    #[must_use]
    pub fn waiting_in_pool(&self, pool: &PoolName, bucket: &BucketName) -> Waiting {
        let mut sum = Waiting::default();
        for row in self.outlook.waiting.iter().filter(|row| row.bucket == *bucket) {
            if self.outlook.campaigns.iter().any(|c| c.id == row.campaign && c.pool == *pool) {
                sum.add(row);
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
