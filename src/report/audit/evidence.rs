//! Owns the material of an audit: attempts, times of release, and the plans that were in force when they left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::config::plan_file::read_plan;
use crate::config::{Config, RelaySettings};
use crate::core::journal::Kind;
use crate::core::lane::calendar::plan_day;
use crate::core::names::{BucketName, RelayName};
use crate::core::plan::Plan;
use crate::store::{JournalFilter, PlanRevision, RecountRow, Release, Store, StoreError};

/// Most revisions of one relay's plan that are looked back at.
const REVISIONS: u32 = 1_000;

/// A plan from the moment on at which it came into force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Since when.
    pub since: Timestamp,
    /// The plan; `None` when its text can no longer be read with today's destination groups.
    pub plan: Option<Arc<Plan>>,
}

/// One lane's plan day.
#[derive(Debug, Clone)]
pub struct DayEvidence {
    /// What the attempts add up to.
    pub row: RecountRow,
    /// When they left, ascending.
    pub releases: Vec<Release>,
}

/// Everything known about one relay.
#[derive(Debug, Clone)]
pub struct RelayEvidence {
    /// Its name.
    pub relay: RelayName,
    /// Its settings; `None` when the configuration no longer names it.
    pub settings: Option<Arc<RelaySettings>>,
    /// Its plans, oldest first. Empty: the one in `settings`, always.
    pub plans: Vec<InForce>,
    /// Lanes in order of bucket, then day.
    pub days: Vec<DayEvidence>,
    /// Plan days of lanes on which the operator set the warm-up day, or a late answer changed it: by the journal.
    pub steered: BTreeSet<(BucketName, Date)>,
}

impl RelayEvidence {
    /// The plans in force at some moment of `from..to`.
    #[must_use]
    pub fn plans_between(&self, from: Timestamp, to: Timestamp) -> Vec<Option<Arc<Plan>>> {
        if self.plans.is_empty() {
            return vec![self.settings.as_ref().map(|s| Arc::clone(&s.plan))];
        }
        let ends = self.plans.iter().skip(1).map(|p| p.since).chain([Timestamp::MAX]);
        let lived = self.plans.iter().zip(ends).filter(|(p, end)| p.since < to && *end > from);
        let found: Vec<_> = lived.map(|(p, _)| p.plan.clone()).collect();
        // Before the first stored revision there is no better witness than that revision.
        if found.is_empty() { self.plans.first().map(|p| p.plan.clone()).into_iter().collect() } else { found }
    }

    /// The day rows of each lane, in order.
    pub(super) fn lanes(&self) -> BTreeMap<&BucketName, Vec<&DayEvidence>> {
        let mut lanes: BTreeMap<&BucketName, Vec<&DayEvidence>> = BTreeMap::new();
        for day in &self.days {
            lanes.entry(&day.row.lane.bucket).or_default().push(day);
        }
        for days in lanes.values_mut() {
            days.sort_by_key(|d| d.row.day);
        }
        lanes
    }
}

/// Collects the evidence from `store`: plan days from `since` on. Plans of earlier days are read again from their stored text.
///
/// # Errors
/// When the store cannot be read.
pub async fn gather(store: &dyn Store, config: &Config, since: Date) -> Result<Vec<RelayEvidence>, StoreError> {
    let mut relays: BTreeMap<RelayName, Vec<DayEvidence>> =
        config.relays.keys().map(|name| (name.clone(), Vec::new())).collect();
    for row in store.recount(since).await? {
        let releases = store.releases(&row.lane.relay, Some(&row.lane.bucket), row.day).await?;
        relays.entry(row.lane.relay.clone()).or_default().push(DayEvidence { row, releases });
    }
    let mut evidence = Vec::new();
    for (relay, days) in relays {
        let settings = config.relays.get(&relay).cloned();
        let mut plans = Vec::new();
        for (since, revision) in store.plan_history(&relay, REVISIONS).await?.into_iter().rev() {
            let read = |revision: &PlanRevision| {
                read_plan(&revision.text, revision.name.as_str(), &config.groups).value.map(Arc::new)
            };
            let same = settings.as_ref().filter(|s| *s.plan.text == revision.text).map(|s| Arc::clone(&s.plan));
            plans.push(InForce { since, plan: same.or_else(|| read(&revision)) });
        }
        let steered = steered(store, &relay, settings.as_deref()).await?;
        evidence.push(RelayEvidence { relay, settings, plans, days, steered });
    }
    Ok(evidence)
}

/// Entries of the journal of one kind that are looked at.
const STEERED_MOST: u32 = 10_000;

async fn steered(
    store: &dyn Store,
    relay: &RelayName,
    settings: Option<&RelaySettings>,
) -> Result<BTreeSet<(BucketName, Date)>, StoreError> {
    let mut steered = BTreeSet::new();
    for kind in [Kind::DaySet, Kind::Amended] {
        let filter = JournalFilter { relay: Some(relay.clone()), kind: Some(kind), ..JournalFilter::default() };
        for (_, entry) in store.journal(filter, STEERED_MOST).await? {
            let Some(bucket) = entry.bucket else { continue };
            // The day on which it was changed, by the plan's own clock.
            let day = settings.map(|s| plan_day(&s.plan.timezone, s.plan.day_starts, entry.at)).or(entry.day);
            steered.extend(day.map(|day| (bucket, day)));
        }
    }
    Ok(steered)
}
