//! Owns what goes wrong in a world: at the n-th outside call the process dies, before or after the call took effect, or
//! stalls. And the store that can be made to misbehave, to show that the checks would see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::SharedClock;
use hikagen::core::campaign::{CampaignId, CampaignState, MessageId, MessageState, RevisionId};
use hikagen::core::journal::Entry;
use hikagen::core::lane::{Ledger, Showing, Verdict, VerdictKind};
use hikagen::core::names::{BucketName, CampaignName, LaneKey, PoolName, RelayName};
use hikagen::core::reply::Signal;
use hikagen::core::schedule::Course;
use hikagen::store::*;
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::Notify;

/// What happens at the n-th call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    DiesBefore(u32),
    DiesAfter(u32),
    Stalls(u32, Duration),
}

/// Counts outside calls and lets trouble happen.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) calls: AtomicU32,
    /// The first call that was to write a lane's stop down; 0: there was none.
    pub(crate) first_stop: AtomicU32,
    trouble: Trouble,
    dead: AtomicBool,
    pub(crate) died: Notify,
    clock: SharedClock,
}

impl Gate {
    pub(crate) fn new(trouble: Trouble, clock: SharedClock) -> Arc<Self> {
        let (calls, first_stop) = (AtomicU32::new(0), AtomicU32::new(0));
        let (dead, died) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { calls, first_stop, trouble, dead, died, clock })
    }

    async fn end(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_one();
        std::future::pending::<()>().await;
    }

    /// Does `call`, unless the process dies here.
    pub(crate) async fn pass<T>(&self, call: impl Future<Output = T>) -> T {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.trouble {
            Trouble::DiesBefore(at) if at == n => self.end().await,
            Trouble::Stalls(at, span) if at == n => self.clock.sleep(span).await,
            _ => {}
        }
        let result = call.await;
        if self.dead.load(Ordering::SeqCst) || self.trouble == Trouble::DiesAfter(n) {
            self.end().await;
        }
        result
    }
}

/// A fault planted in the store, which the checks of a world must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// Quota is not remembered over a restart.
    ForgetsQuota,
    /// Settles are acknowledged and not written.
    DropsSettles,
    /// A claim is handed out twice.
    ClaimsTwice,
    /// Two workers own a relay at once: nobody looks at the lock.
    SharesLeases,
    /// The gate hears of no deferral.
    DeafToDeferrals,
    /// The gate hears of no block.
    DeafToBlocks,
    /// The gate hears of no message that was tried.
    DeafToAll,
    /// A plan day that advances is written two rungs up.
    ClimbsTwice,
    /// A day that repeats is written as an advance.
    AlwaysClimbs,
    /// What the relay wants less of is counted as the destination's word.
    BlamesTheLane,
    /// A message that a relay in trouble did not take is given up.
    GivesUp,
    /// A relay in trouble is never tried again.
    StaysDown,
    /// An unknown user is taken for any refusal.
    DeafToUnknowns,
    /// A lane's stop is remembered for a while only.
    ForgetsStops,
    /// The operator's hold is never heard of.
    ForgetsHolds,
    /// A warm-up day is set two rungs too high.
    SetsTooHigh,
    /// The operator's pause is never heard of.
    DeafToPauses,
    /// No pause can be written: trouble that a worker must cope with, no fault.
    RefusesPauses,
}

/// A store behind a gate.
pub(crate) struct Faulty {
    pub(crate) inner: SqliteStore,
    pub(crate) gate: Arc<Gate>,
    pub(crate) planted: Planted,
}

use hikagen::store::sqlite::SqliteStore;

type Result<T> = std::result::Result<T, StoreError>;

impl Faulty {
    fn shared_lease(&self, relay: &RelayName) -> Lease {
        // The token of whoever owns it: the newest.
        Lease { relay: relay.clone(), token: 1 }
    }
}

macro_rules! pass {
    ($($(#[$m:meta])* fn $name:ident(&self $(, $arg:ident: $ty:ty)*) -> $out:ty;)*) => {
        #[async_trait]
        impl Store for Faulty {
            $(async fn $name(&self $(, $arg: $ty)*) -> Result<$out> {
                self.gate.pass(self.inner.$name($($arg),*)).await
            })*

            async fn acquire(&self, relay: &RelayName, owner: &str, retry_at: Timestamp, park: bool, now: Timestamp) -> Result<(Lease, Recovered)> {
                let result = self.gate.pass(self.inner.acquire(relay, owner, retry_at, park, now)).await;
                match result {
                    Err(StoreError::LeaseLost { .. }) if self.planted == Planted::SharesLeases => {
                        Ok((self.shared_lease(relay), Recovered::default()))
                    }
                    other => other,
                }
            }

            async fn memory(&self, lease: &Lease, now: Timestamp) -> Result<RelayMemory> {
                let mut memory = self.gate.pass(self.inner.memory(lease, now)).await?;
                if self.planted == Planted::ForgetsQuota {
                    for ledger in &mut memory.ledgers {
                        (ledger.spent, ledger.spent_retries) = (0, 0);
                    }
                }
                Ok(memory)
            }

            async fn courses(&self, relay: &RelayName, since: Date) -> Result<Courses> {
                let mut courses = self.gate.pass(self.inner.courses(relay, since)).await?;
                if self.planted == Planted::ForgetsHolds {
                    courses.orders.retain(|(_, order)| order.course != Course::Hold);
                }
                for (_, order) in &mut courses.orders {
                    if let (Planted::SetsTooHigh, Course::SetDay(day)) = (self.planted, &mut order.course) {
                        *day += 2;
                    }
                }
                for showing in courses.ledgers.iter_mut().map(|ledger| &mut ledger.showing) {
                    match self.planted {
                        Planted::DeafToDeferrals => showing.put_off = 0,
                        Planted::DeafToBlocks => showing.blocks = 0,
                        Planted::DeafToAll => *showing = Showing::default(),
                        _ => {}
                    }
                }
                Ok(courses)
            }

            async fn roll(&self, lease: &Lease, mut rolled: Rolled, now: Timestamp) -> Result<()> {
                for verdict in &rolled.verdicts {
                    let up = match self.planted {
                        Planted::ClimbsTwice if verdict.kind == VerdictKind::Advance => 1,
                        Planted::AlwaysClimbs if verdict.kind != VerdictKind::Advance => 1,
                        _ => 0,
                    };
                    for ledger in rolled.ledgers.iter_mut().filter(|ledger| ledger.bucket == verdict.bucket) {
                        ledger.warmup_day += up;
                    }
                }
                self.gate.pass(self.inner.roll(lease, rolled, now)).await
            }

            async fn claim(&self, mut order: ClaimOrder) -> Result<Claimed> {
                if self.planted == Planted::ForgetsQuota {
                    for lane in &mut order.lanes {
                        lane.quota += 1_000;
                    }
                }
                let mut claimed = self.gate.pass(self.inner.claim(order)).await?;
                if self.planted == Planted::ClaimsTwice {
                    let again = claimed.claims.first().cloned();
                    claimed.claims.extend(again);
                }
                Ok(claimed)
            }

            async fn pause(&self, mut pause: Pause) -> Result<()> {
                if matches!((&pause.scope, pause.cause), (Scope::Lane(_), PauseCause::Stop)) {
                    let call = self.gate.calls.load(Ordering::SeqCst);
                    let _ = self.gate.first_stop.compare_exchange(0, call, Ordering::SeqCst, Ordering::SeqCst);
                }
                match (self.planted, &pause.scope) {
                    (Planted::RefusesPauses, _) => return Err(StoreError::Unavailable("the disk is full".to_owned())),
                    (Planted::ForgetsStops, Scope::Lane(_)) if pause.cause == PauseCause::Stop => return Ok(()),
                    (Planted::StaysDown, Scope::Relay(_)) => pause.until = None,
                    _ => {}
                }
                self.gate.pass(self.inner.pause(pause)).await
            }

            async fn outlook(&self, now: Timestamp) -> Result<Outlook> {
                let mut outlook = self.gate.pass(self.inner.outlook(now)).await?;
                if self.planted == Planted::DeafToPauses {
                    outlook.pauses.retain(|pause| pause.cause != PauseCause::Operator);
                }
                Ok(outlook)
            }

            async fn settle(&self, lease: &Lease, mut settlements: Vec<Settlement>) -> Result<Settled> {
                let by_relay = |s: &Settlement| s.attempt.as_ref().is_some_and(|a| a.signal == Signal::Relay);
                for settlement in settlements.iter_mut().filter(|s| by_relay(s)) {
                    match self.planted {
                        Planted::BlamesTheLane => settlement.grade.put_off = true,
                        Planted::GivesUp => settlement.disposition = Disposition::Bounced(None),
                        _ => {}
                    }
                }
                if self.planted == Planted::DropsSettles && settlements.len() == 1 {
                    return Ok(Settled { done: 1, stale: 0 });
                }
                self.gate.pass(self.inner.settle(lease, settlements)).await
            }
        }
    };
}

pass! {
    fn campaign(&self, name: &CampaignName) -> Option<CampaignRow>;
    fn create_campaign(&self, new: NewCampaign, now: Timestamp) -> CampaignId;
    fn revise_campaign(&self, id: CampaignId, revision: Revision, now: Timestamp) -> RevisionId;
    fn enqueue(&self, id: CampaignId, rows: Vec<NewMessage>, load: i64, mark: bool, now: Timestamp) -> Enqueued;
    fn finish_intake(&self, id: CampaignId, load: i64, prune: bool, now: Timestamp) -> u64;
    fn revision(&self, id: RevisionId) -> Revision;
    fn suppress(&self, entries: Vec<Suppression>, now: Timestamp) -> u64;
    fn unsuppress(&self, key: &str) -> u64;
    fn suppressions(&self, key: Option<&str>, after: Option<&str>, limit: u32) -> Vec<Suppression>;
    fn order_campaign(&self, name: &CampaignName, state: CampaignState, because: &str, now: Timestamp) -> ();
    fn resume(&self, scope: &Scope, cause: Option<PauseCause>) -> u64;
    fn settle_parked(&self, ids: Vec<MessageId>, fate: Fate, now: Timestamp) -> Settled;
    fn backup(&self, to: &std::path::Path) -> ();
    fn begin(&self, now: Timestamp) -> Option<String>;
    fn inspect(&self) -> Vec<String>;
    fn quick_check(&self) -> Vec<String>;
    fn fold(&self, order: FoldOrder) -> Folded;
    fn foldable(&self, before: Timestamp) -> Vec<(CampaignName, u64)>;
    fn folded(&self, campaign: Option<CampaignId>) -> Vec<FoldedRow>;
    fn is_folded(&self, id: MessageId) -> bool;
    fn space(&self) -> Space;
    fn shrink(&self, pages: u32) -> Space;
    fn compact(&self) -> Space;
    fn messages_like(&self, filter: MessageFilter, after: Option<MessageId>, limit: u32) -> Vec<MessageRow>;
    fn release(&self, lease: &Lease) -> ();
    fn order_lane(&self, order: LaneOrder) -> ();
    fn unknowns(&self, lane: &LaneKey, day: Date) -> Vec<UnknownsOf>;
    fn note(&self, entries: Vec<Entry>) -> ();
    fn journal(&self, filter: JournalFilter, limit: u32) -> Vec<(i64, Entry)>;
    fn feed(&self, now: Timestamp, limit: u32) -> Fed;
    fn sweep(&self, now: Timestamp, limit: u32) -> Swept;
    fn write_needs(&self, relay: &RelayName, needs: Vec<(BucketName, u32)>, until: Timestamp) -> ();
    fn record_plan(&self, relay: &RelayName, plan: PlanRevision, now: Timestamp) -> bool;
    fn record_event(&self, event: EventRow) -> ();
    fn campaigns(&self) -> Vec<CampaignRow>;
    fn tally(&self, id: CampaignId) -> Vec<TallyRow>;
    fn ledgers(&self, relay: Option<&RelayName>, since: Date) -> Vec<(RelayName, Ledger)>;
    fn verdicts(&self, relay: Option<&RelayName>, since: Date) -> Vec<(RelayName, Verdict)>;
    fn owners(&self) -> Vec<OwnerRow>;
    fn message(&self, id: MessageId) -> Option<MessageRow>;
    fn messages_to(&self, key: &str) -> Vec<MessageRow>;
    fn seeds_of(&self, id: CampaignId) -> Vec<MessageRow>;
    fn messages_of(&self, id: CampaignId, states: &[MessageState], after: Option<MessageId>, limit: u32) -> Vec<MessageRow>;
    fn place_in_line(&self, id: MessageId) -> Option<u64>;
    fn attempts(&self, id: MessageId) -> Vec<AttemptRow>;
    fn lane_attempts(&self, relay: &RelayName, bucket: &BucketName, limit: u32) -> Vec<AttemptRow>;
    fn day_answers(&self, lane: &LaneKey, day: Date, limit: u32) -> Vec<AnswerCount>;
    fn recount(&self, since: Date) -> Vec<RecountRow>;
    fn releases(&self, relay: &RelayName, bucket: Option<&BucketName>, day: Date) -> Vec<Release>;
    fn events(&self, limit: u32) -> Vec<EventRow>;
    fn plan_history(&self, relay: &RelayName, limit: u32) -> Vec<(Timestamp, PlanRevision)>;
    fn pools_in_use(&self) -> Vec<PoolName>;
    fn record_reports(&self, reports: Vec<Report>, now: Timestamp) -> Recorded;
    fn reports_of(&self, relay: &RelayName, after: i64, limit: u32) -> Vec<ReportRow>;
    fn note_heard(&self, lease: &Lease, until: i64) -> ();
    fn reports_about(&self, message: MessageId) -> Vec<ReportRow>;
    fn reports_to(&self, key: &str) -> Vec<ReportRow>;
    fn reports(&self, campaign: Option<CampaignId>, lane: Option<&LaneKey>, limit: u32) -> Vec<ReportRow>;
    fn came_back(&self, id: CampaignId) -> Vec<CameBack>;
    fn health(&self, relay: Option<&RelayName>, since: Date) -> Vec<(LaneKey, Date, Health)>;
    fn unknown_replies(&self, limit: u32) -> Vec<UnknownReply>;
    fn recipients_of(&self, messages: Vec<MessageId>) -> Vec<Recipient>;
    fn forget(&self, key: &str, now: Timestamp) -> Forgotten;
}
