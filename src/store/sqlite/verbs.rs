//! Owns which thread runs which verb.
//!
//! Invariant: what changes anything runs on the writer; what a decision reads on the reader; what people read on the
//! reports' reader, so that a long report never delays a claim.

use std::path::Path;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::codec::Result;
use super::heard::views;
use super::{
    SqliteStore, audit, backup, claim, course, fold, forget, heard, inspect, intake, lease, messages, orders, reports,
    settle, space, suppression, sweep,
};
use crate::core::campaign::{CampaignId, CampaignState, MessageId, MessageState, RevisionId};
use crate::core::journal::Entry;
use crate::core::lane::{Ledger, Verdict};
use crate::core::names::{BucketName, CampaignName, LaneKey, PoolName, RelayName};
use crate::store::{
    AnswerCount, AttemptRow, CameBack, CampaignRow, ClaimOrder, Claimed, Courses, Enqueued, EventRow, Fate, Fed,
    FoldOrder, Folded, FoldedRow, Forgotten, Health, JournalFilter, LaneOrder, Lease, MessageFilter, MessageRow,
    NewCampaign, NewMessage, Outlook, OwnerRow, Pause, PauseCause, PlanRevision, Recipient, Recorded, RecountRow,
    Recovered, RelayMemory, Release, Report, ReportRow, Revision, Rolled, Scope, Settled, Settlement, Space, Store,
    StoreError, Suppression, Swept, TallyRow, UnknownReply, UnknownsOf,
};

/// Messages looked at in one transaction of a prune: about 20 ms of work.
const PRUNE: i64 = 2_000;

#[async_trait]
impl Store for SqliteStore {
    async fn campaign(&self, name: &CampaignName) -> Result<Option<CampaignRow>> {
        let name = name.clone();
        self.read(move |db| intake::by_name(db, &name)).await
    }

    async fn create_campaign(&self, new: NewCampaign, now: Timestamp) -> Result<CampaignId> {
        self.write(move |db| intake::create(db, &new, now)).await
    }

    async fn revise_campaign(&self, id: CampaignId, revision: Revision, now: Timestamp) -> Result<RevisionId> {
        self.write(move |db| intake::revise(db, id, &revision, now)).await
    }

    async fn enqueue(
        &self,
        id: CampaignId,
        rows: Vec<NewMessage>,
        load: i64,
        mark: bool,
        now: Timestamp,
    ) -> Result<Enqueued> {
        self.write(move |db| intake::enqueue(db, id, &rows, load, mark, now)).await
    }

    async fn finish_intake(&self, id: CampaignId, load: i64, prune: bool, now: Timestamp) -> Result<u64> {
        let mut pruned = 0;
        let mut next = prune.then_some(0);
        while let Some(after) = next {
            let (n, more) = self.write(move |db| intake::prune(db, id, load, after, PRUNE, now)).await?;
            pruned += n;
            next = more;
        }
        self.write(move |db| intake::finish_intake(db, id, load, now)).await?;
        Ok(pruned)
    }

    async fn revision(&self, id: RevisionId) -> Result<Revision> {
        self.read(move |db| intake::revision(db, id)).await
    }

    async fn suppress(&self, entries: Vec<Suppression>, _now: Timestamp) -> Result<u64> {
        self.write(move |db| suppression::suppress(db, &entries)).await
    }

    async fn unsuppress(&self, key: &str) -> Result<u64> {
        let key = key.to_owned();
        self.write(move |db| suppression::unsuppress(db, &key)).await
    }

    async fn suppressions(&self, key: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<Suppression>> {
        let (key, after) = (key.map(str::to_owned), after.map(str::to_owned));
        self.report(move |db| suppression::list(db, key.as_deref(), after.as_deref(), limit)).await
    }

    async fn order_campaign(
        &self,
        name: &CampaignName,
        state: CampaignState,
        because: &str,
        now: Timestamp,
    ) -> Result<()> {
        let (name, because) = (name.clone(), because.to_owned());
        self.write(move |db| orders::order_campaign(db, &name, state, &because, now)).await
    }

    async fn pause(&self, pause: Pause) -> Result<()> {
        self.write(move |db| orders::pause(&db.conn, &pause)).await
    }

    async fn resume(&self, scope: &Scope, cause: Option<PauseCause>) -> Result<u64> {
        let scope = scope.clone();
        self.write(move |db| orders::resume(db, &scope, cause)).await
    }

    async fn settle_parked(&self, ids: Vec<MessageId>, fate: Fate, now: Timestamp) -> Result<Settled> {
        self.write(move |db| orders::settle_parked(db, &ids, fate, now)).await
    }

    async fn backup(&self, to: &Path) -> Result<()> {
        let to = to.to_owned();
        self.report(move |db| backup::backup(db, &to)).await
    }

    async fn begin(&self, now: Timestamp) -> Result<Option<String>> {
        let Some(path) = &self.path else { return Ok(None) };
        let beside = backup::number_beside(path)?;
        let (number, warning) = self.write(move |db| backup::begin(db, beside, now)).await?;
        // The store first: should this write fail, the store is ahead, which means nothing.
        backup::write_number(path, number)?;
        *self.moved_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(warning)
    }

    async fn acquire(
        &self,
        relay: &RelayName,
        owner: &str,
        retry_at: Timestamp,
        park: bool,
        now: Timestamp,
    ) -> Result<(Lease, Recovered)> {
        if !self.locks.take(relay)? {
            let name = relay.clone();
            let holder = self.read(move |db| lease::holder(db, &name)).await?;
            return Err(StoreError::LeaseLost { relay: relay.clone(), holder });
        }
        let (name, owner) = (relay.clone(), owner.to_owned());
        let acquired = self.write(move |db| lease::acquire(db, &name, &owner, retry_at, park, now)).await;
        if acquired.is_err() {
            self.locks.free(relay);
        }
        acquired
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let held = lease.clone();
        self.write(move |db| lease::release(db, &held)).await?;
        self.locks.free(&lease.relay);
        Ok(())
    }

    async fn memory(&self, lease: &Lease, now: Timestamp) -> Result<RelayMemory> {
        let lease = lease.clone();
        self.read(move |db| lease::memory(db, &lease, now)).await
    }

    async fn outlook(&self, now: Timestamp) -> Result<Outlook> {
        self.read(move |db| reports::outlook(db, now)).await
    }

    async fn claim(&self, order: ClaimOrder) -> Result<Claimed> {
        self.write(move |db| claim::claim(db, &order)).await
    }

    async fn settle(&self, lease: &Lease, settlements: Vec<Settlement>) -> Result<Settled> {
        let lease = lease.clone();
        self.write(move |db| settle::settle(db, &lease, &settlements)).await
    }

    async fn roll(&self, lease: &Lease, rolled: Rolled, now: Timestamp) -> Result<()> {
        let lease = lease.clone();
        self.write(move |db| course::roll(db, &lease, &rolled, now)).await
    }

    async fn courses(&self, relay: &RelayName, since: Date) -> Result<Courses> {
        let relay = relay.clone();
        self.read(move |db| course::courses(db, &relay, since)).await
    }

    async fn order_lane(&self, order: LaneOrder) -> Result<()> {
        self.write(move |db| course::order_lane(db, &order)).await
    }

    async fn unknowns(&self, lane: &LaneKey, day: Date) -> Result<Vec<UnknownsOf>> {
        let lane = lane.clone();
        self.report(move |db| course::unknowns(db, &lane, day)).await
    }

    async fn note(&self, entries: Vec<Entry>) -> Result<()> {
        self.write(move |db| course::note(db, &entries)).await
    }

    async fn journal(&self, filter: JournalFilter, limit: u32) -> Result<Vec<(i64, Entry)>> {
        self.report(move |db| course::journal(db, &filter, limit)).await
    }

    async fn feed(&self, now: Timestamp, limit: u32) -> Result<Fed> {
        self.write(move |db| sweep::feed(db, now, limit)).await
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<Swept> {
        let swept = self.write(move |db| sweep::sweep(db, now, limit)).await?;
        self.age(now).await?;
        Ok(swept)
    }

    async fn write_needs(&self, relay: &RelayName, needs: Vec<(BucketName, u32)>, until: Timestamp) -> Result<()> {
        let relay = relay.clone();
        self.write(move |db| lease::write_needs(db, &relay, &needs, until)).await
    }

    async fn record_plan(&self, relay: &RelayName, plan: PlanRevision, now: Timestamp) -> Result<bool> {
        let relay = relay.clone();
        self.write(move |db| lease::record_plan(db, &relay, &plan, now)).await
    }

    async fn record_event(&self, event: EventRow) -> Result<()> {
        self.write(move |db| orders::record_event(db, &event)).await
    }

    async fn campaigns(&self) -> Result<Vec<CampaignRow>> {
        self.report(reports::campaigns).await
    }

    async fn tally(&self, id: CampaignId) -> Result<Vec<TallyRow>> {
        self.report(move |db| reports::tally(db, id)).await
    }

    async fn ledgers(&self, relay: Option<&RelayName>, since: Date) -> Result<Vec<(RelayName, Ledger)>> {
        let relay = relay.cloned();
        self.report(move |db| reports::ledgers(db, relay.as_ref(), since)).await
    }

    async fn verdicts(&self, relay: Option<&RelayName>, since: Date) -> Result<Vec<(RelayName, Verdict)>> {
        let relay = relay.cloned();
        self.report(move |db| reports::verdicts(db, relay.as_ref(), since)).await
    }

    async fn owners(&self) -> Result<Vec<OwnerRow>> {
        let mut owners = self.report(reports::owners).await?;
        for owner in &mut owners {
            owner.alive = self.locks.is_taken(&owner.relay)?;
        }
        Ok(owners)
    }

    async fn message(&self, id: MessageId) -> Result<Option<MessageRow>> {
        self.report(move |db| messages::message(db, id)).await
    }

    async fn messages_to(&self, key: &str) -> Result<Vec<MessageRow>> {
        let key = key.to_owned();
        self.report(move |db| messages::messages_to(db, &key)).await
    }

    async fn messages_of(
        &self,
        id: CampaignId,
        states: &[MessageState],
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<MessageRow>> {
        let states = states.to_vec();
        self.report(move |db| messages::messages_of(db, id, &states, after, limit)).await
    }

    async fn messages_like(
        &self,
        filter: MessageFilter,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<MessageRow>> {
        self.report(move |db| messages::messages_like(db, &filter, after, limit)).await
    }

    async fn seeds_of(&self, id: CampaignId) -> Result<Vec<MessageRow>> {
        self.report(move |db| messages::seeds_of(db, id)).await
    }

    async fn place_in_line(&self, id: MessageId) -> Result<Option<u64>> {
        self.report(move |db| messages::place_in_line(db, id)).await
    }

    async fn attempts(&self, id: MessageId) -> Result<Vec<AttemptRow>> {
        self.report(move |db| messages::attempts(db, id)).await
    }

    async fn lane_attempts(&self, relay: &RelayName, bucket: &BucketName, limit: u32) -> Result<Vec<AttemptRow>> {
        let (relay, bucket) = (relay.clone(), bucket.clone());
        self.report(move |db| messages::lane_attempts(db, &relay, &bucket, limit)).await
    }

    async fn day_answers(&self, lane: &LaneKey, day: Date, limit: u32) -> Result<Vec<AnswerCount>> {
        let lane = lane.clone();
        self.report(move |db| messages::day_answers(db, &lane, day, limit)).await
    }

    async fn recount(&self, since: Date) -> Result<Vec<RecountRow>> {
        self.report(move |db| audit::recount(db, since)).await
    }

    async fn releases(&self, relay: &RelayName, bucket: Option<&BucketName>, day: Date) -> Result<Vec<Release>> {
        let (relay, bucket) = (relay.clone(), bucket.cloned());
        self.report(move |db| audit::releases(db, &relay, bucket.as_ref(), day)).await
    }

    async fn events(&self, limit: u32) -> Result<Vec<EventRow>> {
        self.report(move |db| reports::events(db, limit)).await
    }

    async fn plan_history(&self, relay: &RelayName, limit: u32) -> Result<Vec<(Timestamp, PlanRevision)>> {
        let relay = relay.clone();
        self.report(move |db| reports::plan_history(db, &relay, limit)).await
    }

    async fn pools_in_use(&self) -> Result<Vec<PoolName>> {
        self.report(reports::pools_in_use).await
    }

    async fn record_reports(&self, reports: Vec<Report>, now: Timestamp) -> Result<Recorded> {
        self.write(move |db| heard::record(db, &reports, now)).await
    }

    async fn reports_of(&self, relay: &RelayName, after: i64, limit: u32) -> Result<Vec<ReportRow>> {
        let relay = relay.clone();
        self.read(move |db| views::reports_of(db, &relay, after, limit)).await
    }

    async fn note_heard(&self, lease: &Lease, until: i64) -> Result<()> {
        let lease = lease.clone();
        self.write(move |db| heard::note_heard(db, &lease, until)).await
    }

    async fn reports_about(&self, message: MessageId) -> Result<Vec<ReportRow>> {
        self.report(move |db| views::reports_about(db, message)).await
    }

    async fn reports_to(&self, key: &str) -> Result<Vec<ReportRow>> {
        let key = key.to_owned();
        self.report(move |db| views::reports_to(db, &key)).await
    }

    async fn reports(
        &self,
        campaign: Option<CampaignId>,
        lane: Option<&LaneKey>,
        limit: u32,
    ) -> Result<Vec<ReportRow>> {
        let lane = lane.cloned();
        self.report(move |db| views::reports(db, campaign, lane.as_ref(), limit)).await
    }

    async fn came_back(&self, id: CampaignId) -> Result<Vec<CameBack>> {
        self.report(move |db| views::came_back(db, id)).await
    }

    async fn health(&self, relay: Option<&RelayName>, since: Date) -> Result<Vec<(LaneKey, Date, Health)>> {
        let relay = relay.cloned();
        self.report(move |db| views::health(db, relay.as_ref(), since)).await
    }

    async fn unknown_replies(&self, limit: u32) -> Result<Vec<UnknownReply>> {
        self.report(move |db| views::unknown_replies(db, limit)).await
    }

    async fn recipients_of(&self, messages: Vec<MessageId>) -> Result<Vec<Recipient>> {
        self.report(move |db| views::recipients_of(db, &messages)).await
    }

    async fn forget(&self, key: &str, now: Timestamp) -> Result<Forgotten> {
        let key = key.to_owned();
        let of = key.clone();
        let mut forgotten = self.write(move |db| forget::forget(db, &of, now)).await?;
        if let Some(path) = self.path.clone() {
            let looked = tokio::task::spawn_blocking(move || {
                forget::empty_the_log(&path)?;
                forget::has_a_copy(&path, &key)
            });
            let looked = looked.await;
            forgotten.copy_left =
                looked.map_err(|error| StoreError::Unavailable(format!("the log could not be emptied: {error}")))??;
        }
        Ok(forgotten)
    }

    async fn fold(&self, order: FoldOrder) -> Result<Folded> {
        let before = order.before;
        // Looked for by a reader: mostly there is nothing to fold, and then no writer waits.
        let Some(campaign) = self.report(move |db| fold::next_campaign(db, before)).await? else {
            return Ok(Folded::default());
        };
        self.write(move |db| fold::fold(db, campaign, &order)).await
    }

    async fn foldable(&self, before: Timestamp) -> Result<Vec<(CampaignName, u64)>> {
        self.report(move |db| fold::foldable(db, before)).await
    }

    async fn folded(&self, campaign: Option<CampaignId>) -> Result<Vec<FoldedRow>> {
        self.report(move |db| fold::folded(db, campaign)).await
    }

    async fn is_folded(&self, id: MessageId) -> Result<bool> {
        self.report(move |db| fold::is_folded(db, id)).await
    }

    async fn space(&self) -> Result<Space> {
        self.report(space::space).await
    }

    async fn shrink(&self, pages: u32) -> Result<Space> {
        self.write(move |db| space::shrink(db, pages)).await
    }

    async fn compact(&self) -> Result<Space> {
        let Some(path) = self.path.clone() else { return self.space().await };
        let compacted = tokio::task::spawn_blocking(move || space::compact(&path)).await;
        compacted.map_err(|error| StoreError::Unavailable(format!("the file could not be written anew: {error}")))?
    }

    async fn inspect(&self) -> Result<Vec<String>> {
        self.report(inspect::inspect).await
    }

    async fn quick_check(&self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for table in self.report(inspect::tables).await? {
            problems.extend(self.report(move |db| inspect::quick_check(db, &table)).await?);
        }
        Ok(problems)
    }
}
