//! THE PATH for one relay: look, decide, claim, compose, release, hand over, settle.
//!
//! Invariants: one task owns the relay with all its lanes, so its limits are plain numbers; nothing here waits for a network or
//! the store: what takes time runs beside the loop and comes back as `Done`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::Shared;
use super::course::{Watch, rolled};
use super::events::{EventKind, Subject};
use super::hearing::Hearing;
use super::line::{Word, Words};
use super::outbox::{Connections, Open, Outbox};
use super::plans::record_plan;
use super::view::View;
use crate::config::{Config, RelaySettings};
use crate::core::lane::Held;
use crate::core::moment::{ClockWatch, Moment, Trust};
use crate::core::names::BucketName;
use crate::core::reply::Delivery;
use crate::core::retry::RetryTerms;
use crate::core::schedule::{Past, Rollover, Schedule, Terms};
use crate::relay::{Connection, Relay};
use crate::store::{
    Claim, Courses, Lease, Outlook, PauseCause, ReportRow, Rolled, Scope, Settled, Settlement, StoreError,
};

/// How often a lease that another worker holds is asked for again.
const LEASE_RETRY: Duration = Duration::from_secs(5);

/// The task of one relay.
pub(crate) struct RelayTask {
    shared: Arc<Shared>,
    relay: Arc<dyn Relay>,
    settings: watch::Receiver<Arc<RelaySettings>>,
    config: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<bool>,
    idle: watch::Sender<bool>,
}

/// What came back from beside the loop.
pub(super) enum Done {
    Looked(Result<Outlook, StoreError>),
    /// Everything of a claim was composed, or nothing was claimed.
    Composed,
    Settled(Vec<Settlement>, Result<Settled, StoreError>),
    /// A connection has nothing to send behind its last message.
    Free(Open),
    Opened(Result<Box<dyn Connection>, Delivery>),
    NeedsWritten(Result<(), StoreError>),
    /// How plan days were answered, and orders.
    Courses(Result<Courses, StoreError>),
    /// What came back about mail of this relay.
    Heard(Result<Vec<ReportRow>, StoreError>),
    Nothing,
}

/// A message on its way.
pub(super) struct Job {
    pub(super) claim: Claim,
    pub(super) released_at: Timestamp,
    /// Messages that its connection carried before it.
    pub(super) messages_before: u32,
    /// Time since boot at which its connection was opened.
    pub(super) opened: Duration,
}

/// A pause that this owner put in force: it holds here until the store has it, and until a look must have seen it there.
#[derive(Debug)]
pub(super) struct FreshPause {
    /// The lane's; `None`: the relay's.
    pub(super) bucket: Option<BucketName>,
    pub(super) held: Held,
    /// When the store had it, time since boot.
    pub(super) recorded: Arc<OnceLock<Duration>>,
}

/// A relay that is ours.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) relay: Arc<dyn Relay>,
    pub(super) settings: Arc<RelaySettings>,
    pub(super) config: Arc<Config>,
    pub(super) lease: Lease,
    pub(super) schedule: Schedule,
    pub(super) terms: RetryTerms,
    pub(super) view: View,
    pub(super) outbox: Outbox,
    pub(super) connections: Connections,
    pub(super) tasks: JoinSet<Done>,
    /// Messages on their way by the task that serves their connection, oldest first: at most two, never none.
    pub(super) jobs: HashMap<Id, VecDeque<Job>>,
    pub(super) words: Words,
    pub(super) heard: mpsc::UnboundedReceiver<Word>,
    pub(super) to_settle: Vec<Settlement>,
    /// When the oldest of them came, time since boot.
    pub(super) to_settle_since: Option<Duration>,
    pub(super) settling: bool,
    /// The task that claims and composes.
    pub(super) claiming: Option<Id>,
    /// No new claim before this time since boot; whether to wake for it.
    pub(super) next_claim: (Duration, bool),
    /// When the outbox was last looked through for what should go back, time since boot; `None`: look again at once.
    pub(super) sifted_at: Option<Duration>,
    pub(super) looking: bool,
    pub(super) looks: u32,
    pub(super) looked_at: Option<Duration>,
    pub(super) needs_at: Option<Duration>,
    /// The look from which on it is known what the pool's relays can still send today: the first that begins after this one's own
    /// needs of the day were written.
    pub(super) knows_needs: Option<u32>,
    /// The needs last written down.
    pub(super) needs_said: BTreeMap<BucketName, u32>,
    pub(super) rollover: Option<Rolled>,
    /// No new claim before this time since boot: the store could not be written.
    pub(super) store_rests: Option<Duration>,
    /// Pauses put in force here that a look may not have seen yet.
    pub(super) fresh_pauses: Vec<FreshPause>,
    pub(super) first_day: Date,
    pub(super) hearing: Hearing,
    pub(super) course: Watch,
    pub(super) lost: bool,
    draining: Option<Duration>,
    clock_watch: ClockWatch,
    clock_trusted: bool,
}

/// What the core decides on, from the settings.
fn terms_of(settings: &RelaySettings, ahead: Duration) -> Terms {
    Terms { ahead, ..settings.terms() }
}

impl RelayTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        relay: Arc<dyn Relay>,
        settings: watch::Receiver<Arc<RelaySettings>>,
        config: watch::Receiver<Arc<Config>>,
        stop: watch::Receiver<bool>,
        idle: watch::Sender<bool>,
    ) -> Self {
        Self { shared, relay, settings, config, stop, idle }
    }

    /// Owns the relay whenever nobody else does, until told to stop.
    pub(crate) async fn run(mut self) {
        let mut said = String::new();
        while !*self.stop.borrow() {
            match self.acquire().await {
                Ok(mut owner) => {
                    said.clear();
                    self.own(&mut owner).await;
                    if let Err(error) = self.shared.parts.store.release(&owner.lease).await {
                        tracing::warn!(relay = %owner.lease.relay, %error, "the lease could not be given back");
                    }
                }
                Err(error) => {
                    if error.to_string() != said {
                        said = error.to_string();
                        tracing::warn!(%error, "waiting for the relay");
                    }
                    // Another worker's relay: this one has nothing to do with it today.
                    self.idle.send_replace(matches!(error, StoreError::LeaseLost { .. }));
                }
            }
            // Also after a lease that was lost: whatever took it would take it again at once.
            if !*self.stop.borrow() {
                let clock = self.shared.parts.clock.clone();
                tokio::select! {
                    () = clock.sleep(LEASE_RETRY) => {}
                    _ = self.stop.changed() => {}
                }
            }
        }
    }

    async fn acquire(&mut self) -> Result<Owner, StoreError> {
        let settings = self.settings.borrow_and_update().clone();
        let (store, parts) = (&self.shared.parts.store, &self.shared.parts);
        let now = self.shared.moments.now();
        let retry_at = now.at.checked_add(settings.retry.uncertain).unwrap_or(Timestamp::MAX);
        let terms = super::outcome::retry_terms(&settings);
        let (lease, recovered) = store.acquire(&settings.name, &parts.owner, retry_at, terms.park, now.at).await?;
        if recovered.retried + recovered.parked > 0 {
            let text = format!(
                "the last owner of {} ended with messages in the air: {} wait to be tried once more, {} are parked for the operator",
                settings.name, recovered.retried, recovered.parked
            );
            self.shared.tell(EventKind::Uncertain, Subject::Relay(settings.name.clone()), text).await;
        }
        let groups = self.config.borrow().groups.clone();
        record_plan(&**store, &settings, &groups, &parts.owner, now.at).await?;
        let memory = store.memory(&lease, now.at).await?;
        let stops = memory.stops();
        let past = Past { cells: &memory.cells, blocks: &memory.blocks(), stops: &stops };
        let core_terms = terms_of(&settings, parts.pacing.ahead);
        let (mut schedule, rollover) = Schedule::open(core_terms, memory.ledgers, past, now);
        schedule.recall(memory.judged);
        let (words, heard) = mpsc::unbounded_channel();
        let mut owner = Owner {
            shared: self.shared.clone(),
            relay: self.relay.clone(),
            config: self.config.borrow().clone(),
            settings,
            lease,
            first_day: schedule.today(),
            hearing: Hearing::after(memory.heard),
            schedule,
            terms,
            view: View::default(),
            outbox: Outbox::default(),
            connections: Connections::default(),
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            words,
            heard,
            to_settle: Vec::new(),
            to_settle_since: None,
            settling: false,
            claiming: None,
            next_claim: (Duration::ZERO, false),
            sifted_at: None,
            looking: false,
            looks: 0,
            looked_at: None,
            needs_at: None,
            knows_needs: None,
            needs_said: BTreeMap::new(),
            rollover: (rollover != Rollover::default()).then(|| rolled(rollover)),
            course: Watch::default(),
            store_rests: None,
            fresh_pauses: Vec::new(),
            lost: false,
            draining: None,
            clock_watch: ClockWatch::default(),
            clock_trusted: true,
        };
        let stopped: Vec<BucketName> = stops.into_iter().map(|(bucket, ..)| bucket).collect();
        owner.heed_budgets(&stopped, now).await?;
        Ok(owner)
    }

    async fn own(&mut self, owner: &mut Owner) {
        let clock = self.shared.parts.clock.clone();
        loop {
            if self.settings.has_changed().unwrap_or(false) {
                let settings = self.settings.borrow_and_update().clone();
                let config = self.config.borrow().clone();
                self.reload(owner, settings, config).await;
            }
            if *self.stop.borrow() {
                owner.drain();
            }
            let wake = owner.turn().await;
            self.idle.send_if_modified(|idle| std::mem::replace(idle, owner.is_idle()) != owner.is_idle());
            if owner.is_done() {
                break;
            }
            tokio::select! {
                Some(word) = owner.heard.recv() => owner.hear(word),
                Some(done) = owner.tasks.join_next_with_id() => owner.handle(done).await,
                () = clock.sleep(wake) => {}
                _ = self.stop.changed() => {}
                // Waiting marks them as seen; the next turn looks whether they have changed.
                _ = self.settings.changed() => self.settings.mark_changed(),
            }
            owner.hear_all();
            while let Some(done) = owner.tasks.try_join_next_with_id() {
                owner.handle(done).await;
            }
        }
        owner.close_all().await;
    }

    /// Puts changed settings in force; a login or a certificate that was mended is tried at once.
    async fn reload(&mut self, owner: &mut Owner, settings: Arc<RelaySettings>, config: Arc<Config>) {
        match (self.shared.parts.relays)(&settings) {
            Ok(relay) => {
                self.relay = relay.clone();
                owner.relay = relay;
            }
            Err(why) => {
                tracing::error!(relay = %settings.name, %why, "the relay's new settings cannot be used; the old ones stay");
                return;
            }
        }
        let now = self.shared.moments.now();
        owner.schedule.apply(terms_of(&settings, self.shared.parts.pacing.ahead), now);
        owner.terms = super::outcome::retry_terms(&settings);
        owner.close_idle();
        owner.fresh_pauses.retain(|fresh| fresh.bucket.is_some());
        let scope = Scope::Relay(settings.name.clone());
        let store = &self.shared.parts.store;
        for cause in [PauseCause::Fault, PauseCause::Throttle] {
            if let Err(error) = store.resume(&scope, Some(cause)).await {
                tracing::warn!(%error, "the relay's pause could not be lifted");
            }
        }
        let by = &self.shared.parts.owner;
        if let Err(error) = record_plan(&**store, &settings, &config.groups, by, now.at).await {
            tracing::warn!(%error, "the plan's revision could not be recorded");
        }
        (owner.settings, owner.config) = (settings, config);
        owner.looked_at = None;
    }
}

impl Owner {
    /// One turn: everything that can be done now. Says how long until the next one at the latest.
    async fn turn(&mut self) -> Duration {
        let now = self.observe().await;
        self.begin_day(now).await;
        self.look(now);
        self.listen(now);
        self.watch_course(now);
        self.write_needs(now);
        self.give_back(now);
        let wake = self.release(now);
        self.open_connections(now);
        self.claim(now);
        self.settle(now);
        let poll = self.shared.parts.pacing.poll;
        let wake = wake.min(self.next_settle(now)).min(self.next_attempt(now));
        let quiet = self.outbox.is_empty() && self.jobs.is_empty() && self.claiming.is_none() && self.may_send();
        let next = if quiet { self.schedule.next_claim(&self.view.backlog, now) } else { None };
        // What could be claimed now and was not waits for something that no time of its own announces: look again in a while.
        let next = next.map(|next| if next.is_zero() { self.shared.parts.pacing.ahead } else { next });
        let wake = next.map_or(wake, |next| wake.min(next.max(Duration::from_millis(1))));
        wake.clamp(Duration::from_micros(500), poll)
    }

    /// Reads the clocks and says whether they can be believed.
    async fn observe(&mut self) -> Moment {
        let seen = self.shared.moments.now();
        let (now, trusted) = match self.clock_watch.observe(seen) {
            Trust::Yes(now) => (now, true),
            Trust::No { .. } => (seen, false),
        };
        if self.clock_trusted && !trusted {
            let text = "the time of day jumped: nothing leaves until it has agreed with the time since boot for 60 s";
            let subject = Subject::Relay(self.settings.name.clone());
            self.shared.tell(EventKind::ClockJumped, subject, text.to_owned()).await;
        }
        self.clock_trusted = trusted;
        self.schedule.trust(trusted && !self.shared.disk_low.load(Ordering::Relaxed));
        now
    }

    /// Nothing new leaves any more; what is in the air is waited for.
    pub(super) fn drain(&mut self) {
        if self.draining.is_none() {
            let bound = self.shared.parts.clock.elapsed() + self.config.worker.drain;
            self.draining = Some(bound);
            self.sifted_at = None;
            tracing::info!(relay = %self.settings.name, in_the_air = self.on_their_way(), "draining");
        }
    }

    /// Whether new mail may be claimed and released.
    pub(super) fn may_send(&self) -> bool {
        self.draining.is_none() && !self.lost
    }

    fn is_done(&mut self) -> bool {
        if self.may_send() {
            return false;
        }
        if let Some(bound) = self.draining
            && self.shared.parts.clock.elapsed() >= bound
            && !self.jobs.is_empty()
        {
            tracing::warn!(relay = %self.settings.name, messages = self.on_their_way(), "the bound of the drain is over: what is in the air is uncertain");
            self.tasks.abort_all();
            self.jobs.clear();
            return true;
        }
        let quiet = self.jobs.is_empty() && self.outbox.is_empty() && self.claiming.is_none() && !self.settling;
        // A store that cannot be written must not hold the end up for ever: what it still calls claimed is found uncertain.
        let over = self.draining.is_some_and(|bound| self.shared.parts.clock.elapsed() >= bound);
        (quiet && self.to_settle.is_empty()) || (over && self.jobs.is_empty())
    }

    /// Messages that left and have no outcome yet.
    fn on_their_way(&self) -> usize {
        self.jobs.values().map(VecDeque::len).sum()
    }

    fn hear_all(&mut self) {
        while let Ok(word) = self.heard.try_recv() {
            self.hear(word);
        }
    }

    fn hear(&mut self, word: Word) {
        let now = self.shared.moments.now();
        match word {
            Word::Delivered(id, delivery) => {
                if let Some((job, took_over)) = self.oldest_job(id) {
                    self.came_back(job, took_over, delivery, now);
                }
            }
            // A connection that is gone asks in vain: what was released for it would be lost.
            Word::Asks(id, answer) if !answer.is_closed() => {
                let next = self.next_behind(id, now);
                drop(answer.send(next));
            }
            Word::Asks(..) => {}
            Word::Claimed(taken) => self.claimed(taken),
            Word::Composed(ready) => ready.into_iter().for_each(|ready| self.outbox.push(ready)),
            Word::NotComposed(failed) => self.not_composed(failed, now),
        }
    }

    /// Takes the oldest message of a connection; whether the one behind it is of the same lane, and so has the connection now.
    fn oldest_job(&mut self, id: Id) -> Option<(Job, bool)> {
        let jobs = self.jobs.get_mut(&id)?;
        let job = jobs.pop_front()?;
        let took_over = jobs.front().is_some_and(|next| next.claim.r.bucket == job.claim.r.bucket);
        if jobs.is_empty() {
            self.jobs.remove(&id);
        }
        Some((job, took_over))
    }

    /// Takes what came back from beside the loop.
    async fn handle(&mut self, done: Result<(Id, Done), JoinError>) {
        let now = self.shared.moments.now();
        match done {
            Ok((_, Done::Looked(result))) => self.looked(result, now).await,
            Ok((_, Done::Composed)) => {
                self.hear_all();
                self.claiming = None;
            }
            Ok((_, Done::Settled(batch, result))) => self.settled(batch, result).await,
            Ok((_, Done::Free(open))) => self.freed(open, now),
            Ok((_, Done::Opened(result))) => self.opened(result, now),
            Ok((_, Done::NeedsWritten(result))) => match result {
                Ok(()) => {
                    self.knows_needs.get_or_insert(self.looks + 1 + u32::from(self.looking));
                }
                Err(error) => {
                    self.knows_needs = None;
                    tracing::debug!(%error, "needs could not be written");
                }
            },
            Ok((_, Done::Heard(result))) => self.heard_back(result, now),
            Ok((_, Done::Courses(result))) => self.course_seen(result, now),
            Ok((_, Done::Nothing)) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => self.broke_down(&error, now),
        }
    }

    /// A task ended in a panic: what it had in hand is uncertain.
    fn broke_down(&mut self, error: &JoinError, now: Moment) {
        tracing::error!(relay = %self.settings.name, %error, "a task broke down");
        self.hear_all();
        if self.claiming == Some(error.id()) {
            // What it claimed is known to the store alone: this task starts again from there.
            self.lost = true;
            self.claiming = None;
        }
        if self.jobs.contains_key(&error.id()) {
            self.connections.busy = self.connections.busy.saturating_sub(1);
        }
        while let Some((job, took_over)) = self.oldest_job(error.id()) {
            self.came_back(job, took_over, super::outcome::broken_down(), now);
        }
    }

    async fn close_all(&mut self) {
        let closing = self.connections.take_idle();
        for open in closing {
            open.connection.close().await;
        }
    }
}
