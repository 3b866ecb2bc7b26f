//! Owns the course of a forecast: from one instant at which something can happen to the next, all relays together.
//!
//! Invariants: relays decide in the order of their pools, each after what the earlier ones took and need; a step ends where a window,
//! a cap, a campaign or a plan day changes; time in which nothing can leave is passed at once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

use super::answer::{CampaignForecast, Forecast, GroupForecast};
use super::outcomes::Outcomes;
use super::queue::{Handover, Queue};
use super::scene::Scene;
use crate::config::Config;
use crate::core::campaign::{CampaignId, CampaignState};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, LaneKey, RelayName};
use crate::core::retry::RetryTerms;
use crate::core::schedule::{Answers, CampaignWant, Effect, LaneWant, Past, Schedule};
use crate::store::{CampaignRow, Outlook, Pause, PauseCause, Scope};
use crate::worker::outcome::retry_terms;
use crate::worker::view::View;

mod diary;

use diary::Diary;

/// Longest step while mail leaves.
pub const STEP: Duration = Duration::from_secs(600);

/// Shortest step: whatever the limits say, time goes on.
const LEAST: Duration = Duration::from_secs(1);

/// Looks within one step.
const LOOKS: u32 = 4;

/// Steps come at the same times every day; lanes that take turns must not always meet the same of them.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Time since boot at which a forecast begins.
const BOOTED: Duration = Duration::from_secs(86_400);

/// One relay.
struct Player {
    schedule: Schedule,
    terms: RetryTerms,
    view: View,
    diary: Diary,
    /// Its needs, of buckets in which anything waits.
    needs: Vec<(BucketName, u32)>,
}

struct Course<'a> {
    config: &'a Config,
    outcomes: &'a Outcomes,
    step: Duration,
    players: Vec<Player>,
    outlook: Outlook,
    /// Places of rows by campaign and bucket.
    places: BTreeMap<(CampaignId, BucketName), usize>,
    queue: Queue,
    now: Moment,
    until: Timestamp,
    turns: u64,
    /// What had not ended at `finish_by`.
    late: BTreeMap<CampaignId, u64>,
}

/// What leaves from `from` on, for so many `days` (that of `from` included, in the configuration's zone), in steps of at most
/// `step` ([`STEP`]).
#[must_use]
pub fn forecast(scene: &Scene, outcomes: &Outcomes, from: Timestamp, days: u32, step: Duration) -> Forecast {
    let mut course = Course::new(scene, outcomes, from, days, step);
    while course.now.at < course.until && !course.queue.is_over() {
        course.turn();
    }
    let at_end = course.now;
    let mut all_days = Vec::new();
    for player in &mut course.players {
        player.diary.end(&player.schedule, &player.view, at_end);
        all_days.append(&mut player.diary.days);
    }
    Forecast { from, until: course.until, days: all_days, campaigns: course.campaigns() }
}

/// Relays in the order of their pools: what is early in one comes early.
fn in_pool_order(config: &Config) -> Vec<RelayName> {
    let place = |name: &RelayName| {
        let places = config.pools.values().filter_map(|relays| relays.iter().position(|r| r == name));
        places.max().unwrap_or(0)
    };
    let mut names: Vec<RelayName> = config.relays.keys().cloned().collect();
    names.sort_by_key(|name| (place(name), name.clone()));
    names
}

/// The end of the forecast's last day.
fn horizon(config: &Config, from: Timestamp, days: u32) -> Timestamp {
    let first = from.to_zoned(config.timezone.clone()).date();
    let last = first.checked_add(i64::from(days.max(1)).days()).unwrap_or(first);
    last.to_zoned(config.timezone.clone()).map_or(Timestamp::MAX, |end| end.timestamp()).max(from)
}

/// The campaign without what it says, which no decision looks at.
fn lean(campaign: &CampaignRow) -> CampaignRow {
    let mut lean = campaign.clone();
    (lean.from, lean.because) = (String::new(), None);
    (lean.current.content, lean.current.digest) = (String::new(), String::new());
    lean
}

impl<'a> Course<'a> {
    fn new(scene: &'a Scene, outcomes: &'a Outcomes, from: Timestamp, days: u32, step: Duration) -> Self {
        let config = &scene.config;
        let now = Moment { at: from, up: BOOTED };
        let mut players = Vec::new();
        let mut first_retry: BTreeMap<RelayName, Duration> = BTreeMap::new();
        for name in in_pool_order(config) {
            let Some(settings) = config.relays.get(&name) else { continue };
            let memory = scene.memories.get(&name).cloned().unwrap_or_default();
            let past = Past { cells: &memory.cells, stops: &memory.stops(), ..Past::default() };
            let (mut schedule, _) = Schedule::open(settings.terms(), memory.ledgers, past, now);
            // Whoever is not stopped for it was resumed.
            for (bucket, _) in schedule.over_budgets() {
                schedule.forgive(&bucket);
            }
            let terms = retry_terms(settings);
            first_retry.insert(name.clone(), terms.after.first().copied().unwrap_or(step));
            players.push(Player { schedule, terms, view: View::default(), diary: Diary::new(name), needs: Vec::new() });
        }
        let mut outlook = scene.outlook.clone();
        outlook.campaigns = outlook.campaigns.iter().map(lean).collect();
        outlook.needs.clear();
        let pool_of = |id: CampaignId| scene.outlook.campaigns.iter().find(|c| c.id == id).map(|c| &c.pool);
        let later = |id| {
            let relays = pool_of(id).and_then(|pool| config.pools.get(pool));
            relays.and_then(|r| r.first()).and_then(|r| first_retry.get(r)).copied().unwrap_or(step)
        };
        let queue = Queue::of(&mut outlook.waiting, from, later);
        let places = outlook.waiting.iter().enumerate().map(|(i, r)| ((r.campaign, r.bucket.clone()), i)).collect();
        let until = horizon(config, from, days);
        Self { config, outcomes, step, players, outlook, places, queue, now, until, turns: 0, late: BTreeMap::new() }
    }

    /// Everything that happens at this instant, and on to the next.
    fn turn(&mut self) {
        let now = self.now;
        for player in &mut self.players {
            player.diary.begin_day(&mut player.schedule, &player.view, now);
        }
        self.queue.feed(&mut self.outlook.waiting, now.at);
        self.end_campaigns();
        let step = self.length();
        for i in 0..self.players.len() {
            self.need(i);
        }
        let mut left = false;
        for i in 0..self.players.len() {
            left |= self.decide(i, step);
        }
        // What this step used up may free again before its end.
        let next = if left { now.plus(step.min(self.length())) } else { now.plus(self.idle()) };
        for player in &mut self.players {
            player.diary.passed(&player.schedule, &player.view, now, next);
        }
        self.now = next;
    }

    /// Campaigns whose time is over; and what has not left when one should be done.
    fn end_campaigns(&mut self) {
        let now = self.now.at;
        let over: Vec<CampaignId> = self
            .outlook
            .campaigns
            .iter()
            .filter_map(|c| c.current.not_after.filter(|end| *end <= now).map(|_| c.id))
            .collect();
        if !over.is_empty() {
            self.queue.expire(&mut self.outlook.waiting, |id| over.contains(&id), now);
        }
        for campaign in &self.outlook.campaigns {
            if campaign.current.finish_by.is_some_and(|by| by <= now) && !self.late.contains_key(&campaign.id) {
                let open = self.open(campaign.id);
                self.late.insert(campaign.id, open);
            }
        }
    }

    fn open(&self, id: CampaignId) -> u64 {
        self.rows_of(id).map(|i| self.queue.rows[i].open).sum()
    }

    fn rows_of(&self, id: CampaignId) -> impl Iterator<Item = usize> + '_ {
        self.outlook.waiting.iter().enumerate().filter(move |(_, row)| row.campaign == id).map(|(i, _)| i)
    }

    /// Times that campaigns name, still to come.
    fn campaign_times(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let times = |c: &CampaignRow| [Some(c.current.start), c.current.finish_by, c.current.not_after];
        self.outlook.campaigns.iter().flat_map(times).flatten().filter(|at| *at > self.now.at)
    }

    /// How long this step may be.
    fn length(&self) -> Duration {
        let changes = self.players.iter().filter_map(|p| p.schedule.changes(self.now));
        let soonest = changes.chain(self.campaign_times()).chain([self.until]).min();
        soonest.map_or(self.step, |at| self.now.until(at)).clamp(LEAST, self.step)
    }

    /// Writes down what a relay can still send today, as far as it matters to another.
    fn need(&mut self, i: usize) {
        if self.config.pools.values().all(|relays| relays.len() < 2) {
            return;
        }
        let player = &mut self.players[i];
        let mut needs: BTreeMap<BucketName, u32> = BTreeMap::new();
        needs.extend(player.schedule.unseen_needs(self.now));
        needs.extend(player.schedule.needs(self.now));
        needs.retain(|bucket, n| *n > 0 && self.outlook.waiting.iter().any(|row| row.bucket == *bucket));
        player.needs = needs.into_iter().collect();
        self.outlook.needs.clear();
        for player in &self.players {
            let relay = &player.diary.relay;
            self.outlook.needs.extend(player.needs.iter().map(|(bucket, n)| (relay.clone(), bucket.clone(), *n)));
        }
    }

    /// One relay's step. Whether anything left.
    fn decide(&mut self, i: usize, step: Duration) -> bool {
        let now = self.now;
        let player = &mut self.players[i];
        let view = View::of(&self.outlook, &player.diary.relay, self.config, now.at);
        let schedule = &mut player.schedule;
        schedule.keep_for_transactional(view.keeps_for_transactional);
        for (bucket, pools) in &view.backlog.lanes {
            schedule.see(bucket, now);
            let waiting: Vec<CampaignId> = pools.iter().flat_map(|p| &p.lines).map(|l| l.campaign).collect();
            schedule.join(bucket, &waiting);
        }
        schedule.set_pauses(view.relay_held.clone(), &view.lanes_held);
        player.view = view;
        // Where the account's caps leave less than is asked for, the fast lanes take more of it than the slow ones: that is seen
        // from close by only.
        let short = player.schedule.caps_leave(now).is_some_and(|free| free > 0 && self.wants(i, step, now).0 >= free);
        let mut left = false;
        let (mut at, mut length) = (now, if short { LEAST } else { step });
        while at.up < now.up + step {
            length = length.min(now.up + step - at.up);
            left |= self.leave_within(i, length, at);
            (at, length) = (at.plus(length), length * 4);
            if short && self.players[i].schedule.caps_leave(at) == Some(0) {
                break;
            }
        }
        let player = &mut self.players[i];
        let lanes = player.schedule.lanes().keys();
        let empty: Vec<BucketName> = lanes.filter(|bucket| !player.view.waits(bucket)).cloned().collect();
        for bucket in empty {
            player.schedule.emptied(&bucket);
        }
        if left {
            self.need(i);
        }
        left
    }

    /// What a relay takes within `length` from `at` on: messages in all, and of which lanes.
    fn wants(&mut self, i: usize, length: Duration, at: Moment) -> (u32, Vec<LaneWant>) {
        let each = u32::try_from(length.as_nanos().div_ceil(self.takes().as_nanos())).unwrap_or(u32::MAX);
        let player = &mut self.players[i];
        // A step is half open, as hours are.
        player.schedule.look_ahead(length.saturating_sub(Duration::from_nanos(1)));
        let wants = player.schedule.wants_in_step(&player.view.backlog, each, at);
        let all = wants.iter().flat_map(|want| &want.wants).map(|taken| taken.fresh + taken.retries).sum();
        (all, wants)
    }

    /// Takes what leaves within `length`. Whether there was anything.
    fn leave_within(&mut self, i: usize, length: Duration, at: Moment) -> bool {
        let mut left = false;
        // What leaves late in a step catches up before its end, as it does at the worker's next look.
        for _ in 0..LOOKS {
            let (all, wants) = self.wants(i, length, at);
            if all == 0 {
                break;
            }
            self.turns = self.turns.wrapping_add(1);
            for _ in 0..1 + (self.turns.wrapping_mul(SPREAD) >> 62) {
                self.players[i].schedule.turn();
            }
            left = true;
            for want in wants {
                for taken in want.wants {
                    self.leave(i, &want.bucket, &taken, at);
                }
            }
        }
        left
    }

    fn takes(&self) -> Duration {
        self.outcomes.takes.max(Duration::from_millis(1))
    }

    /// What one lane takes from one campaign in this step.
    fn leave(&mut self, i: usize, bucket: &BucketName, taken: &CampaignWant, now: Moment) {
        let takes = self.takes();
        let Some(place) = self.places.get(&(taken.campaign, bucket.clone())).copied() else { return };
        let player = &mut self.players[i];
        let campaign = player.view.campaigns.get(&taken.campaign);
        let (class, weight) = (player.view.class(taken.campaign), campaign.map_or(1, |c| c.current.weight));
        let (fresh, retries) = (taken.fresh, taken.retries);
        let claim = (taken.campaign, weight, fresh + retries, retries);
        let last = player.schedule.leave_in_step(bucket, class, claim, now);
        let handover = Handover {
            fresh: fresh.into(),
            retries: retries.into(),
            by: (i, player.schedule.today()),
            shares: self.outcomes.of(bucket),
            terms: &player.terms,
            at: last.plus(takes).at,
        };
        let counted = self.queue.hand_over(place, &mut self.outlook.waiting[place], handover);
        player.diary.count(bucket, (fresh + retries, retries), counted);
        let some = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let answers = Answers {
            accepted: some(counted.fates.accepted),
            put_off: some(counted.fates.deferred),
            bounced: some(counted.fates.bounced),
            unknown: some(counted.fates.unknown),
            new_today: some(counted.new_today),
            again: some(counted.again),
        };
        if let Effect::StopLane(spent) = player.schedule.answered_in_step(bucket, answers, now) {
            let lane = LaneKey { relay: player.diary.relay.clone(), bucket: bucket.clone() };
            self.outlook.pauses.push(Pause {
                scope: Scope::Lane(lane),
                cause: PauseCause::Stop,
                reason: spent.to_string(),
                since: now.at,
                until: None,
                times: 1,
            });
        }
        player.view.took(bucket, taken.campaign, (retries, fresh), (retries, fresh));
    }

    /// How long nothing can leave.
    fn idle(&mut self) -> Duration {
        let (now, step) = (self.now, self.step);
        let mut wait = now.until(self.until);
        for player in &mut self.players {
            wait = wait.min(now.until(player.schedule.day_ends()));
            player.schedule.look_ahead(Duration::ZERO);
            // What could leave now and did not waits for something that no time announces.
            let next = player.schedule.next_claim(&player.view.backlog, now);
            wait = next.map_or(wait, |next| wait.min(if next.is_zero() { step } else { next }));
        }
        for at in self.campaign_times().chain(self.queue.next_due()) {
            wait = wait.min(now.until(at));
        }
        wait.max(LEAST)
    }

    fn campaigns(&self) -> Vec<CampaignForecast> {
        self.outlook.campaigns.iter().filter(|c| c.state != CampaignState::Loading).map(|c| self.course_of(c)).collect()
    }

    fn course_of(&self, campaign: &CampaignRow) -> CampaignForecast {
        let groups: Vec<GroupForecast> = self
            .rows_of(campaign.id)
            .map(|i| {
                let row = &self.queue.rows[i];
                GroupForecast {
                    bucket: self.outlook.waiting[i].bucket.clone(),
                    waiting: row.began_with,
                    accepted: row.accepted,
                    bounced: row.bounced,
                    expired: row.expired,
                    remaining: row.open,
                    ends: row.ended.filter(|_| row.open == 0),
                }
            })
            .collect();
        let sum = |of: fn(&GroupForecast) -> u64| groups.iter().map(of).sum();
        let remaining: u64 = sum(|g| g.remaining);
        let ends = if remaining > 0 { None } else { groups.iter().filter_map(|g| g.ends).max() };
        let by = campaign.current.finish_by.filter(|by| *by <= self.until || remaining == 0);
        let late = by.map(|_| self.late.get(&campaign.id).copied().unwrap_or(remaining));
        CampaignForecast {
            campaign: campaign.name.clone(),
            state: campaign.state,
            class: campaign.current.class,
            start: campaign.current.start,
            finish_by: campaign.current.finish_by,
            not_after: campaign.current.not_after,
            waiting: sum(|g| g.waiting),
            accepted: sum(|g| g.accepted),
            bounced: sum(|g| g.bounced),
            expired: sum(|g| g.expired),
            remaining,
            ends,
            remaining_at_finish_by: late,
            groups,
        }
    }
}
