//! Owns what to claim next: for each lane, how many messages of which campaigns, under all limits at once.
//!
//! Invariants: pure; transactional mail strictly first, then normal, then bulk; what an earlier relay of the pool still needs is
//! left to it; what is in the air stays within twice the connections or a second of the present pace.

use std::collections::BTreeMap;

use std::time::Duration;

use jiff::civil::Date;

use super::{CampaignWant, Hold, Line, Schedule};
use crate::core::campaign::{CampaignId, Class};
use crate::core::lane::{Lane, Ledger};
use crate::core::moment::Moment;
use crate::core::names::BucketName;
use crate::core::units::Share;

use super::Because;

/// Mail that waits for this relay.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    /// Per bucket, the lines of each pool.
    pub lanes: BTreeMap<BucketName, Vec<PoolLines>>,
}

/// A pool's mail in one bucket.
#[derive(Debug, Clone, Default)]
pub struct PoolLines {
    /// Campaigns that may send now.
    pub lines: Vec<Line>,
    /// What earlier relays of the pool can still send today.
    pub needed_by_earlier: u64,
    /// Campaigns (by position in `lines`) that need not wait for an earlier relay.
    pub exempt: Vec<bool>,
}

/// What one lane should claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneWant {
    /// The lane.
    pub bucket: BucketName,
    /// Its plan day.
    pub day: Date,
    /// Its warm-up day.
    pub warmup_day: u32,
    /// Its quota.
    pub quota: u32,
    /// From which campaigns, in this order.
    pub wants: Vec<CampaignWant>,
}

/// Share of a day's quota that retries may take while fresh mail waits.
const RETRIES_MOST: Share = Share::percent(20);
/// Share of a day's quota kept for transactional mail.
const KEPT: Share = Share::percent(2);
/// Messages of one claim: while they are composed no lane can claim, and a lane with a pace of its own must not wait for that.
const CLAIM_MOST: u32 = 1_000;
/// From this quota on at least one message is kept.
const KEPT_FROM: u32 = 20;

impl PoolLines {
    /// Everything that waits.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.lines.iter().map(|l| l.fresh + l.retries).sum()
    }

    /// Whether this relay may take any mail of `class`.
    #[must_use]
    pub fn is_open_to_us(&self, class: Class) -> bool {
        !self.open_to_us(class).is_empty()
    }

    /// Takes a campaign's mail out.
    pub fn clear_campaign(&mut self, campaign: CampaignId) {
        for line in self.lines.iter_mut().filter(|l| l.campaign == campaign) {
            (line.fresh, line.retries) = (0, 0);
        }
    }

    /// The lines of `class` that this relay may take from: cut to what earlier relays leave.
    fn open_to_us(&self, class: Class) -> Vec<Line> {
        let mut spare = self.waiting().saturating_sub(self.needed_by_earlier);
        let mut lines = Vec::new();
        for (i, line) in self.lines.iter().enumerate().filter(|(_, l)| l.class == class) {
            let mut line = line.clone();
            if class != Class::Transactional && !self.exempt.get(i).copied().unwrap_or(false) {
                line.retries = line.retries.min(spare);
                line.fresh = line.fresh.min(spare - line.retries);
                spare -= line.retries + line.fresh;
            }
            if line.retries + line.fresh > 0 {
                lines.push(line);
            }
        }
        lines
    }
}

/// How much one look may hand out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Messages in all.
    pub(super) air: u32,
    /// For a step of virtual time: what a connection carries in it.
    pub(super) step: Option<u32>,
}

/// What a tick has handed out so far.
struct Tick {
    account: u32,
    air: u32,
    step: Option<u32>,
    lanes: BTreeMap<BucketName, (u32, u32)>,
}

/// What one lane may take of one class.
struct Ask<'a> {
    bucket: &'a BucketName,
    lane: &'a Lane,
    lines: Vec<Line>,
    n: u32,
    /// Retries among them, at most.
    retries: u32,
    /// What it has in the air.
    held: u32,
}

impl Schedule {
    /// What to claim now.
    #[must_use]
    pub fn wants(&self, backlog: &Backlog, now: Moment) -> Vec<LaneWant> {
        self.wants_within(backlog, Reach { air: self.air_left().min(CLAIM_MOST), step: None }, now)
    }

    /// What to claim, within `reach`.
    pub(super) fn wants_within(&self, backlog: &Backlog, reach: Reach, now: Moment) -> Vec<LaneWant> {
        if self.is_held(now) || now.at >= self.bounds.1 {
            return Vec::new();
        }
        let Reach { air, step } = reach;
        let mut tick = Tick { account: self.account_left(now), air, step, lanes: BTreeMap::new() };
        let mut wants: BTreeMap<BucketName, LaneWant> = BTreeMap::new();
        let order: Vec<&BucketName> = backlog.lanes.keys().filter(|b| self.lanes.contains_key(*b)).collect();
        for class in Class::ALL {
            let turned = (0..order.len()).map(|i| order[(i + self.turn) % order.len()]);
            let mut asks: Vec<Ask<'_>> =
                turned.filter_map(|bucket| self.ask(bucket, class, &backlog.lanes[bucket], now, &tick)).collect();
            // The modest first, and none more than its even share of the air, what it has there already included: neither a
            // lane that could take everything nor one whose mail takes long leaves the others without. Where the account has
            // not one for each, whoever had least of this plan day goes first (by turns where they are even): the modest would
            // always be the same ones, and turns alone give the share of whoever cannot take any just now to its neighbour.
            let few = if tick.step.is_some() { tick.account.min(tick.air) } else { tick.account };
            if usize::try_from(few).is_ok_and(|left| left >= asks.len()) {
                asks.sort_by_key(|ask| (ask.held.saturating_add(ask.n), ask.lane.ledger.spent));
            } else {
                asks.sort_by_key(|ask| ask.lane.ledger.spent);
            }
            let mut after = u32::try_from(asks.len()).unwrap_or(u32::MAX);
            let mut shared = asks.iter().fold(tick.air, |sum, ask| sum.saturating_add(ask.held));
            for ask in asks {
                let even = shared.div_ceil(after.max(1)).saturating_sub(ask.held);
                let share = even.min(tick.air).min(tick.account.div_ceil(after.max(1)));
                after = after.saturating_sub(1);
                let got = self.answer(&ask, share, &mut tick);
                shared = shared.saturating_sub(ask.held + got.iter().map(|w| w.fresh + w.retries).sum::<u32>());
                if !got.is_empty() {
                    let entry = wants.entry(ask.bucket.clone()).or_insert_with(|| LaneWant {
                        bucket: ask.bucket.clone(),
                        day: ask.lane.ledger.day,
                        warmup_day: ask.lane.ledger.warmup_day,
                        quota: ask.lane.ledger.quota,
                        wants: Vec::new(),
                    });
                    entry.wants.extend(got);
                }
            }
        }
        wants.into_values().collect()
    }

    /// What a lane may take for `class` by its own limits; `None`: nothing.
    fn ask<'a>(
        &'a self,
        bucket: &'a BucketName,
        class: Class,
        pools: &[PoolLines],
        now: Moment,
        tick: &Tick,
    ) -> Option<Ask<'a>> {
        let lane = self.lanes.get(bucket)?;
        let lines: Vec<Line> = pools.iter().flat_map(|p| p.open_to_us(class)).collect();
        if lines.is_empty() {
            return None;
        }
        let (taken, taken_retries) = tick.lanes.get(bucket).copied().unwrap_or_default();
        let most = tick.step.map(|each| self.connections(lane).saturating_mul(each));
        let unbounded = most.unwrap_or(self.terms.connections * 2);
        let releasable = lane.releasable(class, now, self.terms.ahead, unbounded).min(most.unwrap_or(u32::MAX));
        let mut n = releasable.saturating_sub(lane.unsent_total() + taken);
        n = n.min(self.quota_left(lane, class, now).saturating_sub(taken));
        if let Some(hour) = &lane.hour {
            n = n.min(hour.available(now.at).saturating_sub(taken));
        }
        let fresh_waits = pools.iter().any(|p| p.lines.iter().any(|l| l.fresh > 0));
        let retries = if fresh_waits { retries_left(lane).saturating_sub(taken_retries) } else { u32::MAX };
        // What `divide` can give: a lane that can take nothing reserves nothing.
        let fresh: u64 = lines.iter().map(|l| l.fresh).sum();
        let again: u64 = lines.iter().map(|l| l.retries).sum();
        n = n.min(u32::try_from(fresh.saturating_add(again.min(u64::from(retries)))).unwrap_or(u32::MAX));
        let held = lane.in_the_air().saturating_add(taken);
        (n > 0).then_some(Ask { bucket, lane, lines, n, retries, held })
    }

    /// Divides what a lane gets, at most `share`, between the campaigns.
    fn answer(&self, ask: &Ask<'_>, share: u32, tick: &mut Tick) -> Vec<CampaignWant> {
        let n = ask.n.min(share);
        if n == 0 {
            return Vec::new();
        }
        let refs: Vec<&Line> = ask.lines.iter().collect();
        let wants = ask.lane.shares.divide(&refs, n, ask.retries);
        let got: u32 = wants.iter().map(|w| w.fresh + w.retries).sum();
        tick.account -= got;
        tick.air -= got;
        let (taken, taken_retries) = tick.lanes.entry(ask.bucket.clone()).or_default();
        *taken += got;
        *taken_retries += wants.iter().map(|w| w.retries).sum::<u32>();
        wants
    }

    /// Turns the order in which lanes are served, so that none is always first.
    pub fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1) % 4_096;
    }

    /// What the account's rolling caps allow now.
    fn account_left(&self, now: Moment) -> u32 {
        let caps = [&self.hour, &self.day];
        caps.into_iter().flatten().map(|cap| cap.available(now.at)).min().unwrap_or(u32::MAX)
    }

    /// Messages in the air: claimed and not settled, as far as this relay's task knows.
    #[must_use]
    pub fn in_the_air(&self) -> u32 {
        self.lanes.values().map(Lane::in_the_air).sum()
    }

    fn air_left(&self) -> u32 {
        let pace: u32 = self.lanes.values().map(|lane| lane.tempo.1.max(lane.tempo.2)).sum();
        let most = pace.max(self.terms.connections.saturating_mul(2));
        let most = self.throttle.as_ref().map_or(most, |t| most.max(t.burst().get()));
        most.saturating_sub(self.in_the_air())
    }

    /// Quota that `class` may claim.
    fn quota_left(&self, lane: &Lane, class: Class, now: Moment) -> u32 {
        let kept = if class == Class::Transactional { 0 } else { self.kept(lane, now) };
        lane.left().saturating_sub(kept)
    }

    /// Quota kept for transactional mail: 2 %, at least 1 from a quota of 20 on; it shrinks to nothing over the last open hour.
    fn kept(&self, lane: &Lane, now: Moment) -> u32 {
        if !self.keeps_for_transactional || lane.ledger.quota < KEPT_FROM {
            return 0;
        }
        let share = u32::try_from(KEPT.of(u64::from(lane.ledger.quota))).unwrap_or(u32::MAX).max(1);
        let kept = share.saturating_sub(lane.ledger.spent_transactional);
        let open = lane.hours.open_left(now.at).as_secs().min(3_600);
        u32::try_from(u64::from(kept) * open / 3_600).unwrap_or(kept)
    }

    /// What each lane can still send today: what the relay's owner writes down for later relays of its pools.
    #[must_use]
    pub fn needs(&self, now: Moment) -> Vec<(BucketName, u32)> {
        let stopped = self.relay_holds(now).iter().any(|h| {
            !matches!(h.because, Because::RelayThrottled { .. })
                && h.lasts.is_none_or(|l| now.plus(l).at >= self.bounds.1)
        });
        let mut account = self.account_left(now);
        let mut needs = Vec::new();
        for (bucket, lane) in &self.lanes {
            let open = lane.hours.open_left(now.at);
            let paused = lane.held.iter().any(|h| h.until.is_none_or(|until| until >= self.bounds.1));
            let mut n = if stopped || paused || open.is_zero() { 0 } else { self.quota_left(lane, Class::Bulk, now) };
            if let Some(throttle) = &lane.throttle {
                let steps = open.as_nanos() / throttle.rate().interval().as_nanos().max(1);
                n = n.min(u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(throttle.burst().get()));
            }
            if let Some(slow) = &lane.slow {
                let steps = open.as_nanos() / slow.rate().interval().as_nanos().max(1);
                n = n.min(u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1));
            }
            if lane.is_paced(Class::Bulk) {
                let fastest = lane.hours.total() / lane.ledger.quota.max(1) / 2;
                let steps = open.as_nanos() / fastest.as_nanos().max(1);
                n = n.min(u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1));
            }
            n = n.min(account);
            account -= n;
            needs.push((bucket.clone(), n));
        }
        needs
    }

    /// The same for buckets that the plan knows and no mail has waited for yet: the quota of the first day.
    #[must_use]
    pub fn unseen_needs(&self, now: Moment) -> Vec<(BucketName, u32)> {
        if self.is_held(now) {
            return Vec::new();
        }
        let plan = &self.terms.plan;
        let unseen = plan.lanes.iter().filter(|(bucket, _)| !self.lanes.contains_key(*bucket));
        unseen.map(|(bucket, lane)| (bucket.clone(), lane.curve.value.quota(self.terms.first_day))).collect()
    }

    /// How long until something of the backlog could be claimed; `None`: not before something else changes.
    #[must_use]
    pub fn next_claim(&self, backlog: &Backlog, now: Moment) -> Option<Duration> {
        let waits = backlog.lanes.iter().flat_map(|(bucket, pools)| {
            let open = |class| pools.iter().any(|p| p.is_open_to_us(class));
            Class::ALL.into_iter().filter(move |class| open(*class)).map(move |class| (bucket, class))
        });
        let soonest = waits.filter_map(|(bucket, class)| match self.explain(bucket, class, now).first() {
            Some(hold) => hold.lasts,
            None => Some(Duration::ZERO),
        });
        soonest.min().map(|wait| wait.saturating_sub(self.terms.ahead))
    }

    /// Whether the relay as a whole may send nothing now.
    #[must_use]
    pub fn is_held(&self, now: Moment) -> bool {
        self.relay_holds(now).iter().any(|h| !matches!(h.because, Because::RelayThrottled { .. }))
    }

    /// Whether `class` may still leave a lane before the plan day ends.
    #[must_use]
    pub fn leaves_today(&self, bucket: &BucketName, class: Class, now: Moment) -> bool {
        let left = now.until(self.bounds.1);
        self.lanes.contains_key(bucket)
            && self.explain(bucket, class, now).iter().all(|h| match h.because {
                Because::Busy { .. } | Because::ClockWrong => true,
                _ => h.lasts.is_some_and(|lasts| lasts < left),
            })
    }

    /// Notes that nothing waits for a lane; returns the ledger when it changed and should be stored.
    pub fn emptied(&mut self, bucket: &BucketName) -> Option<Ledger> {
        let lane = self.lanes.get_mut(bucket)?;
        let share = lane.plan.gate.emptied;
        let enough = u64::from(lane.ledger.spent) >= share.of(u64::from(lane.ledger.quota)).max(1);
        let news = enough && !lane.ledger.emptied && lane.unsent_total() == 0;
        lane.ledger.emptied |= news;
        news.then(|| lane.ledger.clone())
    }

    /// Retries that a lane may still claim today while fresh mail waits.
    #[must_use]
    pub fn retries_left(&self, bucket: &BucketName) -> u32 {
        self.lanes.get(bucket).map_or(0, retries_left)
    }

    /// Everything that holds `class` on a lane now, the one that binds first; empty when mail may leave.
    #[must_use]
    pub fn explain(&self, bucket: &BucketName, class: Class, now: Moment) -> Vec<Hold> {
        let mut holds = self.relay_holds(now);
        let day = Some(now.until(self.bounds.1));
        for (cap, because) in [
            (&self.hour, Because::RelayHourFull { cap: self.hour.as_ref().map_or(0, |c| c.limit()) }),
            (&self.day, Because::RelayDayFull { cap: self.day.as_ref().map_or(0, |c| c.limit()) }),
        ] {
            if let Some(cap) = cap.as_ref().filter(|c| c.available(now.at) == 0) {
                holds.push(Hold { because, lasts: Some(now.until(cap.ready_at(now.at))) });
            }
        }
        if let Some(lane) = self.lanes.get(bucket) {
            holds.extend(lane.holds(class, now));
            let ledger = &lane.ledger;
            if lane.left() == 0 {
                let (spent, quota, warmup_day) = (ledger.spent, ledger.quota, ledger.warmup_day);
                holds.push(Hold { because: Because::QuotaSpent { spent, quota, warmup_day }, lasts: day });
            } else if self.quota_left(lane, class, now) == 0 {
                holds.push(Hold { because: Because::KeptForTransactional { kept: lane.left() }, lasts: day });
            }
            if let Some(hour) = lane.hour.as_ref().filter(|h| h.available(now.at) == 0) {
                let lasts = Some(now.until(hour.ready_at(now.at)));
                holds.push(Hold { because: Because::HourFull { cap: hour.limit() }, lasts });
            }
            let connections = self.connections(lane);
            if lane.sending >= connections {
                holds.push(Hold { because: Because::Busy { connections }, lasts: None });
            }
        }
        holds.sort_by_key(|h| std::cmp::Reverse(h.lasts.unwrap_or(Duration::MAX)));
        holds
    }
}

/// Retries that a lane may still claim today while fresh mail waits.
fn retries_left(lane: &Lane) -> u32 {
    let most = u32::try_from(RETRIES_MOST.of(u64::from(lane.ledger.quota))).unwrap_or(u32::MAX).max(1);
    most.saturating_sub(lane.ledger.spent_retries)
}
