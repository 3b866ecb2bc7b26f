//! Owns how what the store tells becomes what the core decides on: backlog, pauses, classes.
//!
//! Invariant: a campaign's state, start and end are looked at here, before its mail is walked.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::Config;
use crate::core::campaign::{CampaignId, CampaignState, Class};
use crate::core::lane::{Held, calendar};
use crate::core::names::{BucketName, PoolName, RelayName};
use crate::core::schedule::{Backlog, Line, PoolLines};
use crate::store::{CampaignRow, Outlook, Scope};

/// A relay's view of the store's outlook.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) backlog: Backlog,
    pub(crate) campaigns: BTreeMap<CampaignId, CampaignRow>,
    pub(crate) relay_held: Vec<Held>,
    pub(crate) lanes_held: Vec<(BucketName, Held)>,
    pub(crate) keeps_for_transactional: bool,
    /// Buckets with mail that waits for its retry.
    pub(crate) later: Vec<BucketName>,
    /// A campaign of this relay's pools begins at this time, having mail that waits.
    pub(crate) next_start: Option<Timestamp>,
}

impl View {
    /// What concerns `relay`.
    pub(crate) fn of(outlook: &Outlook, relay: &RelayName, config: &Config, now: Timestamp) -> Self {
        let pools: Vec<&PoolName> =
            config.pools.iter().filter(|(_, relays)| relays.contains(relay)).map(|(p, _)| p).collect();
        let mut view = Self {
            keeps_for_transactional: outlook.transactional_pools.iter().any(|p| pools.contains(&p)),
            ..Self::default()
        };
        for pause in &outlook.pauses {
            let held = Held { cause: pause.cause, reason: pause.reason.clone(), until: pause.until };
            match &pause.scope {
                Scope::All => view.relay_held.push(held),
                Scope::Relay(name) if name == relay => view.relay_held.push(held),
                Scope::Lane(lane) if lane.relay == *relay => view.lanes_held.push((lane.bucket.clone(), held)),
                Scope::Relay(_) | Scope::Lane(_) => {}
            }
        }
        view.campaigns =
            outlook.campaigns.iter().filter(|c| pools.contains(&&c.pool)).map(|c| (c.id, c.clone())).collect();
        let mut by_pool: BTreeMap<(BucketName, PoolName), PoolLines> = BTreeMap::new();
        for row in &outlook.waiting {
            let Some(campaign) = view.campaigns.get(&row.campaign) else { continue };
            let open = campaign.state == CampaignState::Running;
            let waits = row.fresh + row.retries > 0;
            if open && waits && campaign.current.start > now {
                let next = view.next_start.unwrap_or(Timestamp::MAX).min(campaign.current.start);
                view.next_start = Some(next);
            }
            if open && row.later > 0 {
                view.later.push(row.bucket.clone());
            }
            let over = campaign.current.not_after.is_some_and(|end| end <= now);
            if !open || !waits || over || campaign.current.start > now {
                continue;
            }
            let (bucket, pool) = (row.bucket.clone(), campaign.pool.clone());
            let earlier = earlier_relays(config, &pool, relay);
            let lines = by_pool.entry((bucket.clone(), pool)).or_insert_with(|| PoolLines {
                needed_by_earlier: needed(outlook, earlier, &bucket),
                ..PoolLines::default()
            });
            lines.lines.push(Line {
                campaign: campaign.id,
                class: campaign.current.class,
                weight: campaign.current.weight,
                fresh: row.fresh,
                retries: row.retries,
            });
            lines.exempt.push(ends_before_opening(config, earlier, &bucket, campaign, now));
        }
        for ((bucket, _), lines) in by_pool {
            view.backlog.lanes.entry(bucket).or_default().push(lines);
        }
        view
    }

    /// Takes what a claim took off the backlog; a line that gave less than wanted is empty until the next look.
    pub(crate) fn took(&mut self, bucket: &BucketName, campaign: CampaignId, wanted: (u32, u32), got: (u32, u32)) {
        let lines = self.backlog.lanes.get_mut(bucket).into_iter().flatten().flat_map(|p| &mut p.lines);
        for line in lines.filter(|l| l.campaign == campaign) {
            line.retries = if got.0 < wanted.0 { 0 } else { line.retries.saturating_sub(u64::from(got.0)) };
            line.fresh = if got.1 < wanted.1 { 0 } else { line.fresh.saturating_sub(u64::from(got.1)) };
        }
    }

    /// Whether anything that may go now waits in a bucket.
    pub(crate) fn waits(&self, bucket: &BucketName) -> bool {
        self.backlog.lanes.get(bucket).is_some_and(|pools| pools.iter().any(|p| p.waiting() > 0))
    }

    /// The class of a campaign's mail.
    pub(crate) fn class(&self, campaign: CampaignId) -> Class {
        self.campaigns.get(&campaign).map_or(Class::Bulk, |c| c.current.class)
    }
}

fn earlier_relays<'a>(config: &'a Config, pool: &PoolName, relay: &RelayName) -> &'a [RelayName] {
    let relays = config.pools.get(pool).map_or(&[][..], Vec::as_slice);
    let place = relays.iter().position(|r| r == relay).unwrap_or(0);
    &relays[..place]
}

fn needed(outlook: &Outlook, earlier: &[RelayName], bucket: &BucketName) -> u64 {
    let of_earlier = outlook.needs.iter().filter(|(r, b, _)| b == bucket && earlier.contains(r));
    of_earlier.map(|(_, _, n)| u64::from(*n)).sum()
}

/// Whether the campaign's `not_after` falls before any earlier relay's lane opens next: then there is nothing to leave to them.
fn ends_before_opening(
    config: &Config,
    earlier: &[RelayName],
    bucket: &BucketName,
    campaign: &CampaignRow,
    now: Timestamp,
) -> bool {
    let Some(end) = campaign.current.not_after else { return false };
    !earlier.is_empty()
        && earlier.iter().filter_map(|name| config.relays.get(name)).all(|relay| {
            let (plan, lane) = (&relay.plan, relay.plan.lane(bucket));
            let opens = calendar::next_opening(
                &plan.timezone,
                plan.day_starts,
                &lane.window.value,
                Some(&lane.avoid.value),
                now,
            );
            opens.is_none_or(|opens| opens >= end)
        })
}
