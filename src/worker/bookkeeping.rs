//! Owns what goes to the store and comes from it: looks, claims, settles, needs, plan days; and whether anything can still leave.
//!
//! Invariants: one look, one claim and one settle at a time; after a failed settle nothing is claimed until one succeeds; a new
//! plan day is stored before anything is claimed from it; composing is beside the connections' tasks, in the order of the claim.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Shared;
use super::events::{EventKind, Subject};
use super::line::{Word, Words};
use super::outbox::Ready;
use super::outcome;
use super::relay_loop::{Done, FreshPause, Owner};
use super::view::View;
use crate::compose::{Composer, Identity, Recipient};
use crate::core::campaign::{CampaignId, Class};
use crate::core::lane::{Held, PauseCause};
use crate::core::moment::Moment;
use crate::core::names::BucketName;
use crate::core::schedule::LaneWant;
use crate::core::units::{grouped, show_span};
use crate::relay::Outgoing;
use crate::store::{Claim, ClaimOrder, LaneClaim, Outlook, Rolled, Settled, Settlement, StoreError, Want};

/// Settlements of one transaction.
const SETTLE_MOST: usize = 2_000;
/// Settlements and claims are gathered for this part of a poll (10 ms): one commit, which costs the disk some tenths of a
/// millisecond whatever is in it, then serves many messages.
const GATHER: u32 = 20;
/// Settlements that are not kept waiting for more.
const SETTLE_ENOUGH: usize = 250;
/// Messages composed before others get their turn on a thread: about a millisecond, some more where they are signed.
const COMPOSED_AT_ONCE: usize = 16;
/// How long nothing is claimed after the store could not be written.
pub(super) const STORE_REST: Duration = Duration::from_secs(1);
/// A pause put in force here holds so many polls even where a look does not show it yet.
const FRESH_POLLS: u32 = 10;

/// Messages of a claim per bucket and campaign: how many were tried before, and how many never.
type Counted = BTreeMap<(BucketName, CampaignId), (u32, u32)>;

/// The store's answer to a claim.
pub(super) struct Taken {
    at: Moment,
    wants: Vec<LaneWant>,
    result: Result<Counted, StoreError>,
}

impl Owner {
    /// Begins a new plan day when it has come; what was decided is stored before anything else.
    pub(super) async fn begin_day(&mut self, now: Moment) {
        if self.store_rests.is_some_and(|until| now.up < until) {
            return;
        }
        if self.claiming.is_none() {
            if now.at >= self.schedule.day_ends()
                && let Err(error) = self.last_look(now).await
            {
                return self.store_failed(&error, now);
            }
            if let Some(rollover) = self.schedule.begin_day(now) {
                let pending = self.rollover.get_or_insert_default();
                pending.verdicts.extend(rollover.verdicts);
                pending.ledgers.extend(rollover.ledgers);
                // Yesterday's needs say nothing of today's quotas.
                (self.needs_at, self.knows_needs) = (None, None);
            }
            self.follow_plan(now).await;
        }
        self.gather_changes();
        let Some(rollover) = self.rollover.take() else { return };
        match self.shared.parts.store.roll(&self.lease, rollover.clone(), now.at).await {
            Ok(()) => {
                for verdict in &rollover.verdicts {
                    tracing::info!(
                        relay = %self.settings.name, lane = %verdict.bucket, day = %verdict.day,
                        verdict = verdict.kind.as_str(), before = verdict.before, after = verdict.after, "{}", verdict.because
                    );
                }
                if !rollover.verdicts.is_empty() {
                    self.announce();
                }
            }
            Err(error) => {
                self.rollover = Some(rollover);
                self.store_failed(&error, now);
            }
        }
    }

    fn store_failed(&mut self, error: &StoreError, now: Moment) {
        match error {
            StoreError::LeaseLost { .. } => {
                tracing::error!(relay = %self.settings.name, %error, "the lease is lost: nothing more leaves from here");
                self.lost = true;
            }
            _ => {
                if self.store_rests.is_none() {
                    let (shared, text) = (self.shared.clone(), error.to_string());
                    let subject = Subject::Relay(self.settings.name.clone());
                    self.tasks.spawn(async move {
                        shared.tell(EventKind::StoreUnavailable, subject, text).await;
                        Done::Nothing
                    });
                }
                self.store_rests = Some(now.up + STORE_REST);
            }
        }
    }

    /// Looks at orders and backlog when it is time.
    pub(super) fn look(&mut self, now: Moment) {
        let poll = self.shared.parts.pacing.poll;
        if self.looking || self.looked_at.is_some_and(|at| now.up < at + poll) {
            return;
        }
        self.looking = true;
        self.looked_at = Some(now.up);
        let store = self.shared.parts.store.clone();
        self.tasks.spawn(async move { Done::Looked(store.outlook(now.at).await) });
    }

    pub(super) async fn looked(&mut self, result: Result<Outlook, StoreError>, now: Moment) {
        self.looking = false;
        let outlook = match result {
            Ok(outlook) => outlook,
            Err(error) => return self.store_failed(&error, now),
        };
        let outlook = match self.shared.only {
            Some(campaign) => only(outlook, campaign),
            None => outlook,
        };
        let mut view = View::of(&outlook, &self.settings.name, &self.config, now.at);
        self.schedule.keep_for_transactional(view.keeps_for_transactional);
        for (bucket, pools) in &view.backlog.lanes {
            self.schedule.see(bucket, now);
            let waiting: Vec<CampaignId> = pools.iter().flat_map(|p| &p.lines).map(|l| l.campaign).collect();
            self.schedule.join(bucket, &waiting);
        }
        let fresh_for = self.shared.parts.pacing.poll * FRESH_POLLS;
        self.fresh_pauses.retain(|fresh| fresh.recorded.get().is_none_or(|at| now.up < *at + fresh_for));
        for FreshPause { bucket, held, .. } in &self.fresh_pauses {
            match bucket {
                None => add_pause(&mut view.relay_held, held),
                Some(bucket) if !view.lanes_held.iter().any(|(b, h)| b == bucket && h.cause == held.cause) => {
                    view.lanes_held.push((bucket.clone(), held.clone()));
                }
                Some(_) => {}
            }
        }
        self.schedule.set_pauses(view.relay_held.clone(), &view.lanes_held);
        self.say_pauses(&view);
        self.view = view;
        self.sifted_at = None;
        self.looks = self.looks.saturating_add(1);
        if self.looks == 1 {
            self.announce();
        }
        self.note_empty_lanes(now).await;
    }

    /// Says which pauses began or ended since the last look; at the first look all of them, later the operator's (what this
    /// worker puts in force itself, it says then).
    fn say_pauses(&self, new: &View) {
        let relay = &self.settings.name;
        let said = |held: &&Held| self.looks == 0 || held.cause == PauseCause::Operator;
        let words = |held: &Held| {
            format!("paused until {} ({}): {}", self.end_in_words(held.until), held.cause.as_str(), held.reason)
        };
        for held in new.relay_held.iter().filter(said).filter(|held| !self.view.relay_held.contains(held)) {
            tracing::warn!(%relay, "{}", words(held));
        }
        for (bucket, held) in new.lanes_held.iter().filter(|(_, held)| said(&held)) {
            if !self.view.lanes_held.iter().any(|(b, old)| b == bucket && old == held) {
                tracing::warn!(%relay, lane = %bucket, "{}", words(held));
            }
        }
        for held in self.view.relay_held.iter().filter(said).filter(|held| !new.relay_held.contains(held)) {
            tracing::info!(%relay, "the pause has ended: {}", held.reason);
        }
        for (bucket, held) in self.view.lanes_held.iter().filter(|(_, held)| said(&held)) {
            if !new.lanes_held.iter().any(|(b, new)| b == bucket && new == held) {
                tracing::info!(%relay, lane = %bucket, "the pause has ended: {}", held.reason);
            }
        }
    }

    /// A pause's end, after "until".
    pub(super) fn end_in_words(&self, until: Option<Timestamp>) -> String {
        until.map_or("the operator resumes it".to_owned(), |until| {
            until.to_zoned(self.config.timezone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        })
    }

    /// A lane whose backlog ran empty after enough of its quota: the plan day counts, also after a restart.
    async fn note_empty_lanes(&mut self, now: Moment) {
        if self.claiming.is_some() || self.rollover.is_some() {
            return;
        }
        let empty: Vec<BucketName> = self.schedule.lanes().keys().filter(|b| !self.view.waits(b)).cloned().collect();
        let changed: Vec<_> = empty.into_iter().filter_map(|bucket| self.schedule.emptied(&bucket)).collect();
        if !changed.is_empty() {
            self.rollover = Some(Rolled { ledgers: changed, ..Rolled::default() });
            self.begin_day(now).await;
        }
    }

    /// Says in plain words what this relay will do today.
    fn announce(&self) {
        let relay = &self.settings.name;
        let (name, day) = (&self.settings.plan.name, self.schedule.today());
        tracing::info!(%relay, plan = %name, %day, "relay {relay} follows plan {name}; plan day {day}");
        for (bucket, lane) in self.schedule.lanes() {
            let (ledger, hours) = (&lane.ledger, lane.hours(Class::Bulk));
            let rate =
                lane.plan.rate.as_ref().map_or("no rate of its own".to_owned(), |r| format!("at most {}", r.value));
            let now = self.shared.moments.now();
            let open = show_span(Duration::from_secs(hours.open_left(now.at).as_secs()));
            let waiting: u64 = self.view.backlog.lanes.get(bucket).map_or(0, |p| p.iter().map(|l| l.waiting()).sum());
            tracing::info!(
                %relay, lane = %bucket, warmup_day = ledger.warmup_day, quota = ledger.quota, spent = ledger.spent,
                "{bucket}: warm-up day {}, {} of {} left today, {rate}, spread {}, window open for {open} more; {} waiting",
                ledger.warmup_day, grouped(u64::from(lane.left())), grouped(u64::from(ledger.quota)),
                lane.plan.spread.value.as_str(), grouped(waiting)
            );
        }
    }

    /// Writes down what each lane can still send today, for later relays of its pools.
    pub(super) fn write_needs(&mut self, now: Moment) {
        let (every, poll) = (self.shared.parts.pacing.needs, self.shared.parts.pacing.poll);
        if self.looks == 0 || self.lost || self.needs_at.is_some_and(|at| now.up < at + poll) {
            return;
        }
        let at_rest = self.jobs.is_empty() && self.outbox.is_empty() && self.claiming.is_none();
        let due = self.needs_at.is_none_or(|at| now.up >= at + every);
        if !due && !at_rest {
            return;
        }
        let mut needs: BTreeMap<BucketName, u32> = BTreeMap::new();
        if self.may_send() {
            needs.extend(self.schedule.unseen_needs(now));
            needs.extend(self.schedule.needs(now));
        }
        // At rest, a need that has changed is written at once: a later relay waits for what this one leaves.
        if !due && needs == self.needs_said {
            return;
        }
        self.needs_at = Some(now.up);
        self.needs_said.clone_from(&needs);
        let (store, relay) = (self.shared.parts.store.clone(), self.settings.name.clone());
        let until = now.plus(every * 3).at;
        let needs: Vec<_> = needs.into_iter().collect();
        self.tasks.spawn(async move { Done::NeedsWritten(store.write_needs(&relay, needs, until).await) });
    }

    /// Part of a poll for which work on the store is gathered.
    fn gather(&self) -> Duration {
        self.shared.parts.pacing.poll / GATHER
    }

    /// Takes messages for the next second, their quota spent in the same transaction.
    pub(super) fn claim(&mut self, now: Moment) {
        let rests = self.store_rests.is_some_and(|until| now.up < until) || now.up < self.next_claim.0;
        let ready = self.knows_needs.is_some_and(|look| self.looks >= look);
        let busy = self.claiming.is_some() || self.rollover.is_some() || !self.to_settle_is_short();
        if busy || !self.may_send() || rests || !ready {
            return;
        }
        let wants = self.schedule.wants(&self.view.backlog, now);
        self.next_claim = (now.up + self.gather(), !wants.is_empty());
        if wants.is_empty() {
            return;
        }
        self.schedule.turn();
        let order = ClaimOrder {
            lease: self.lease.clone(),
            now: now.at,
            sender: self.settings.domain.clone(),
            lanes: wants.iter().map(lane_claim).collect(),
        };
        let workshop = Arc::new(Workshop {
            composers: self.contents(&wants),
            identity: self.settings.identity(),
            shared: self.shared.clone(),
            words: self.words.clone(),
        });
        let task = self.tasks.spawn(async move {
            match workshop.shared.parts.store.claim(order).await {
                Ok(claimed) => {
                    let result = Ok(counted(&claimed.claims));
                    drop(workshop.words.send(Word::Claimed(Taken { at: now, wants, result })));
                    workshop.compose(in_turn(claimed.claims)).await;
                }
                Err(error) => drop(workshop.words.send(Word::Claimed(Taken { at: now, wants, result: Err(error) }))),
            }
            Done::Composed
        });
        self.claiming = Some(task.id());
    }

    /// How long until a claim may be tried again that is worth waking for.
    pub(super) fn next_attempt(&self, now: Moment) -> Duration {
        let (at, worth) = self.next_claim;
        if worth && self.claiming.is_none() { at.saturating_sub(now.up) } else { Duration::MAX }
    }

    /// Nothing new is claimed while the store lags far behind with what was sent.
    fn to_settle_is_short(&self) -> bool {
        self.to_settle.len() < 4 * SETTLE_MOST
    }

    fn contents(&self, wants: &[LaneWant]) -> BTreeMap<CampaignId, Result<Arc<dyn Composer>, String>> {
        let campaigns = wants.iter().flat_map(|w| &w.wants).filter_map(|w| self.view.campaigns.get(&w.campaign));
        campaigns.map(|c| (c.id, self.shared.composer(c.revision, &c.current.content))).collect()
    }

    pub(super) fn claimed(&mut self, taken: Taken) {
        let now = self.shared.moments.now();
        let got = match taken.result {
            Ok(got) => got,
            Err(StoreError::Refused(why)) => {
                // The ledger says more than this task knows: it starts again from what is stored.
                tracing::error!(relay = %self.settings.name, %why, "the store refused a claim; the ledgers are read again");
                self.lost = true;
                return;
            }
            Err(error) => return self.store_failed(&error, now),
        };
        for want in &taken.wants {
            for campaign in &want.wants {
                let counts = got.get(&(want.bucket.clone(), campaign.campaign)).copied().unwrap_or_default();
                self.view.took(&want.bucket, campaign.campaign, (campaign.retries, campaign.fresh), counts);
            }
        }
        for ((bucket, campaign), (retries, fresh)) in got {
            let weight = self.view.campaigns.get(&campaign).map_or(1, |c| c.current.weight);
            let class = self.view.class(campaign);
            self.schedule.claimed(&bucket, class, (campaign, weight, retries + fresh, retries), taken.at);
        }
    }

    /// Claims whose messages could not be made bounce, and cost nothing.
    pub(super) fn not_composed(&mut self, failed: Vec<(Claim, String)>, now: Moment) {
        for (claim, why) in failed {
            tracing::warn!(relay = %self.settings.name, message = %claim.r.message, %why, "the message could not be composed");
            let same_day = claim.r.day == self.schedule.today();
            let refund = same_day.then_some((claim.r.day, claim.r.claimed_at));
            self.schedule.given_back(&claim.r.bucket, claim.r.class, claim.r.retry, refund);
            self.to_settle.push(outcome::not_composed(&claim, why, same_day, now.at));
        }
    }

    /// Records what became of claims, many at once.
    pub(super) fn settle(&mut self, now: Moment) {
        if self.to_settle.is_empty() {
            self.to_settle_since = None;
            return;
        }
        self.to_settle_since.get_or_insert(now.up);
        let rests = self.store_rests.is_some_and(|until| now.up < until);
        if self.settling || (rests && self.may_send()) || !self.next_settle(now).is_zero() {
            return;
        }
        self.settling = true;
        self.to_settle_since = None;
        let rest = self.to_settle.split_off(self.to_settle.len().min(SETTLE_MOST));
        let batch = std::mem::replace(&mut self.to_settle, rest);
        let (store, lease) = (self.shared.parts.store.clone(), self.lease.clone());
        self.tasks.spawn(async move {
            let result = store.settle(&lease, batch.clone()).await;
            Done::Settled(batch, result)
        });
    }

    /// How long until what waits to be recorded is recorded: at once when nothing follows it soon.
    pub(super) fn next_settle(&self, now: Moment) -> Duration {
        let Some(since) = self.to_settle_since.filter(|_| !self.settling) else { return Duration::MAX };
        let more_comes = !self.jobs.is_empty() && self.may_send() && self.to_settle.len() < SETTLE_ENOUGH;
        if more_comes { (since + self.gather()).saturating_sub(now.up) } else { Duration::ZERO }
    }

    pub(super) async fn settled(&mut self, batch: Vec<Settlement>, result: Result<Settled, StoreError>) {
        self.settling = false;
        match result {
            Ok(settled) => {
                if self.store_rests.take().is_some() {
                    tracing::info!(relay = %self.settings.name, "the store can be written again");
                }
                if settled.stale > 0 {
                    tracing::warn!(relay = %self.settings.name, stale = settled.stale, "settlements whose claims were gone");
                }
            }
            Err(error) => {
                let now = self.shared.moments.now();
                let newer = std::mem::replace(&mut self.to_settle, batch);
                self.to_settle.extend(newer);
                self.store_failed(&error, now);
                if !self.may_send() {
                    // Ending: one more try after a rest, so that a short fault does not leave claims behind.
                    self.shared.parts.clock.sleep(STORE_REST).await;
                }
            }
        }
    }

    /// Whether nothing more can leave in the plan day in which this owner began.
    pub(super) fn is_idle(&self) -> bool {
        let now = self.shared.moments.now();
        let quiet = self.jobs.is_empty() && self.outbox.is_empty() && self.to_settle.is_empty();
        if !quiet || self.claiming.is_some() || self.settling || self.looks < 3 || self.knows_needs.is_none() {
            return false;
        }
        if self.schedule.today() != self.first_day {
            return true;
        }
        let leaves = |bucket: &BucketName, class| self.schedule.leaves_today(bucket, class, now);
        let waits = self.view.backlog.lanes.iter().any(|(bucket, pools)| {
            Class::ALL.into_iter().any(|c| pools.iter().any(|p| p.is_open_to_us(c)) && leaves(bucket, c))
        });
        let ends = self.schedule.day_ends();
        let later = self.shared.due_before(ends) && self.view.later.iter().any(|b| leaves(b, Class::Bulk));
        let starts = self.view.next_start.is_some_and(|start| start < ends);
        !waits && !later && !starts
    }
}

fn add_pause(held: &mut Vec<Held>, pause: &Held) {
    if !held.iter().any(|h| h.cause == pause.cause) {
        held.push(pause.clone());
    }
}

fn lane_claim(want: &LaneWant) -> LaneClaim {
    LaneClaim {
        bucket: want.bucket.clone(),
        day: want.day,
        warmup_day: want.warmup_day,
        quota: want.quota,
        wants: want.wants.iter().map(|w| Want { campaign: w.campaign, retries: w.retries, fresh: w.fresh }).collect(),
    }
}

fn counted(claims: &[Claim]) -> Counted {
    let mut got = Counted::new();
    for claim in claims {
        let counts = got.entry((claim.r.bucket.clone(), claim.r.campaign)).or_default();
        if claim.r.retry { counts.0 += 1 } else { counts.1 += 1 }
    }
    got
}

/// Claims in the order in which they are composed: classes one after the other, within a class the lanes in turn, so that a few
/// messages of one lane do not wait for very many of another.
fn in_turn(claims: Vec<Claim>) -> Vec<Claim> {
    let mut seen: BTreeMap<(Class, BucketName), u32> = BTreeMap::new();
    let mut placed: Vec<((usize, u32), Claim)> = Vec::with_capacity(claims.len());
    for claim in claims {
        let n = seen.entry((claim.r.class, claim.r.bucket.clone())).or_default();
        *n += 1;
        placed.push(((claim.r.class as usize, *n), claim));
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, claim)| claim).collect()
}

/// What messages are made with: late, from the revision in force.
struct Workshop {
    shared: Arc<Shared>,
    composers: BTreeMap<CampaignId, Result<Arc<dyn Composer>, String>>,
    identity: Identity,
    words: Words,
}

impl Workshop {
    /// Makes the messages in the order of their claims, some at a time, so that the first leave while the last are made. One of
    /// the machine's threads is left to the connections; a relay that signs needs the others.
    async fn compose(self: Arc<Self>, mut claims: Vec<Claim>) {
        let threads = tokio::runtime::Handle::current().metrics().num_workers().saturating_sub(1).max(1);
        let mut making = VecDeque::new();
        claims.reverse();
        loop {
            while making.len() < threads && !claims.is_empty() {
                let batch: Vec<Claim> = (0..COMPOSED_AT_ONCE).map_while(|_| claims.pop()).collect();
                let workshop = self.clone();
                making.push_back(tokio::spawn(async move { workshop.make_all(batch) }));
            }
            let Some(next) = making.pop_front() else { return };
            match next.await {
                Ok((ready, failed)) => tell(&self.words, ready, failed),
                // Its claims are known to the store alone; the panic is the composing task's own.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }

    fn make_all(&self, claims: Vec<Claim>) -> (Vec<Ready>, Vec<(Claim, String)>) {
        let (mut ready, mut failed) = (Vec::with_capacity(claims.len()), Vec::new());
        let now = self.shared.moments.now();
        for claim in claims {
            match self.make(&claim, now.at) {
                Ok(mail) => ready.push(Ready { claim, mail, since: now.up }),
                Err(why) => failed.push((claim, why)),
            }
        }
        (ready, failed)
    }

    fn make(&self, claim: &Claim, now: Timestamp) -> Result<Outgoing, String> {
        match self.composers.get(&claim.r.campaign) {
            Some(Ok(composer)) => {
                let recipient =
                    Recipient { message: claim.r.message, address: &claim.address, columns: &claim.columns };
                composer.compose(recipient, &self.identity, now).map_err(|e| e.to_string())
            }
            Some(Err(why)) => Err(why.clone()),
            None => Err("its campaign is not known".to_owned()),
        }
    }
}

fn tell(words: &Words, ready: Vec<Ready>, failed: Vec<(Claim, String)>) {
    drop(words.send(Word::Composed(ready)));
    if !failed.is_empty() {
        drop(words.send(Word::NotComposed(failed)));
    }
}

/// The outlook with one campaign alone.
fn only(mut outlook: Outlook, campaign: CampaignId) -> Outlook {
    outlook.campaigns.retain(|row| row.id == campaign);
    outlook.waiting.retain(|row| row.campaign == campaign);
    outlook
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::campaign::MessageId;
    use crate::store::ClaimRef;

    fn claim(bucket: &str, class: Class, message: i64) -> Claim {
        let r = ClaimRef {
            message: MessageId(message),
            token: 1,
            campaign: CampaignId(1),
            bucket: BucketName::new(bucket).expect("a name"),
            class,
            day: jiff::civil::date(2026, 3, 2),
            warmup_day: 1,
            claimed_at: Timestamp::UNIX_EPOCH,
            retry: false,
        };
        let (address, columns) = ("a@example.jp".to_owned(), "{}".to_owned());
        Claim { r, address, columns, attempts: 0, first_attempt: None, was_uncertain: false }
    }

    #[test]
    fn a_few_messages_of_one_lane_are_not_composed_behind_many_of_another() {
        let mut claims: Vec<Claim> = (1..=5).map(|n| claim("au", Class::Bulk, n)).collect();
        claims.extend([claim("docomo", Class::Bulk, 6), claim("docomo", Class::Bulk, 7)]);
        claims.push(claim("docomo", Class::Transactional, 8));
        let order: Vec<i64> = in_turn(claims).iter().map(|claim| claim.r.message.0).collect();
        assert_eq!(order, [8, 1, 6, 2, 7, 3, 4, 5]);
    }
}
