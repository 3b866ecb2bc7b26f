//! Owns the answer to "what leaves on the first day": today's quota of each lane against the list, as the plan and the ledgers stand.
//!
//! It looks at quota and hours only; mail of other campaigns that waits in the same buckets goes out of the same quota, so what
//! is told is the most that can leave.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::GroupCount;
use crate::config::{Config, RelaySettings};
use crate::core::campaign::Class;
use crate::core::lane::Ledger;
use crate::core::lane::calendar::{Hours, plan_day};
use crate::core::names::{BucketName, PoolName, RelayName};
use crate::core::plan::WeekHours;
use crate::core::schedule::{Day, next_day};

/// A lane on the first day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneFirstDay {
    /// Relay.
    pub relay: RelayName,
    /// Bucket.
    pub bucket: BucketName,
    /// Plan day.
    pub day: Date,
    /// Warm-up day.
    pub warmup_day: u32,
    /// Quota of that day.
    pub quota: u32,
    /// Of it spent already.
    pub spent: u32,
    /// Most of this list that can leave.
    pub leaves: u64,
    /// When the lane opens first on that day; `None`: not at all.
    pub opens: Option<Timestamp>,
}

/// What the lanes of `pool` can take of a list on the plan day of `at`, in the pool's order.
pub(super) fn first_day(
    config: &Config,
    pool: &PoolName,
    class: Class,
    groups: &[GroupCount],
    ledgers: &[(RelayName, Ledger)],
    at: Timestamp,
) -> Vec<LaneFirstDay> {
    let mut waiting: BTreeMap<&BucketName, u64> = BTreeMap::new();
    for group in groups {
        *waiting.entry(&group.bucket).or_default() += group.recipients - group.dead;
    }
    let relays = config.pools.get(pool).into_iter().flatten().filter_map(|name| config.relays.get(name));
    let mut lanes = Vec::new();
    for relay in relays {
        for (bucket, left) in waiting.iter_mut().filter(|(_, left)| **left > 0) {
            let lane = lane_first_day(relay, bucket, class, *left, ledgers, at);
            *left -= lane.leaves;
            lanes.push(lane);
        }
    }
    lanes
}

fn lane_first_day(
    relay: &RelaySettings,
    bucket: &BucketName,
    class: Class,
    waiting: u64,
    ledgers: &[(RelayName, Ledger)],
    at: Timestamp,
) -> LaneFirstDay {
    let plan = &relay.plan;
    let terms = plan.lane(bucket);
    let day = plan_day(&plan.timezone, plan.day_starts, at);
    let own = ledgers.iter().filter(|(name, ledger)| *name == relay.name && ledger.bucket == *bucket);
    let ledger = match own.map(|(_, ledger)| ledger).max_by_key(|ledger| ledger.day) {
        Some(ledger) if ledger.day < day => {
            let judged = Day { ledger, ears: &relay.ears, stopped: None };
            next_day(judged, &terms.gate, &terms.curve.value, day).1
        }
        Some(ledger) => ledger.clone(),
        None => Ledger::new(bucket.clone(), day, relay.warmup.day, terms.curve.value.quota(relay.warmup.day)),
    };
    let always = WeekHours::always();
    let (hours, avoid) = match class {
        Class::Transactional => (terms.transactional.as_ref().map_or(&always, |hours| &hours.value), None),
        Class::Normal | Class::Bulk => (&terms.window.value, Some(&terms.avoid.value)),
    };
    let hours = Hours::of(&plan.timezone, plan.day_starts, hours, avoid, day);
    let opens = hours.segments().find(|(_, closes)| *closes > at).map(|(opens, _)| opens.max(at));
    let opens = opens.filter(|_| relay.warmup.started.is_none_or(|started| started <= day));
    let quota = u64::from(ledger.quota.saturating_sub(ledger.spent));
    LaneFirstDay {
        relay: relay.name.clone(),
        bucket: bucket.clone(),
        day,
        warmup_day: ledger.warmup_day,
        quota: ledger.quota,
        spent: ledger.spent,
        leaves: if opens.is_some() { waiting.min(quota) } else { 0 },
        opens,
    }
}
