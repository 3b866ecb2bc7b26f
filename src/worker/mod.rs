//! The long-lived half: owns relays, asks the core what may leave, hands it over, records what became of it.
//!
//! Invariants: unable to record means not allowed to send; one task owns a relay with all its lanes, and no relay waits for
//! another; what is in the air when the worker ends is settled, or found uncertain by the next owner.

mod bookkeeping;
mod care;
mod course;
pub mod events;
mod hand_over;
mod hearing;
mod housekeeping;
mod line;
mod moments;
mod outbox;
pub(crate) mod outcome;
mod plans;
mod relay_loop;
pub(crate) mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::SharedClock;
use crate::compose::Composer;
use crate::config::{Config, RelaySettings};
use crate::core::campaign::{CampaignId, RevisionId};
use crate::core::journal::Entry;
use crate::core::names::RelayName;
use crate::relay::Relay;
use crate::store::{Store, StoreError};

use events::{Event, EventKind, EventRunner, Subject};
use relay_loop::RelayTask;

/// Makes the connection side of a relay. The error says what of its settings cannot be used.
pub type RelayMaker = Arc<dyn Fn(&Arc<RelaySettings>) -> Result<Arc<dyn Relay>, String> + Send + Sync>;

/// Makes the composer of a stored revision's content (JSON of `compose::Content`).
pub type ComposerMaker = Arc<dyn Fn(&str) -> Result<Arc<dyn Composer>, String> + Send + Sync>;

/// What a worker is made of.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: SharedClock,
    /// Connections.
    pub relays: RelayMaker,
    /// Messages.
    pub composers: ComposerMaker,
    /// Who is asking for leases: host, process.
    pub owner: String,
    /// Folder whose free space is watched; `None`: not watched.
    pub disk: Option<std::path::PathBuf>,
    /// How often to look and how far ahead to claim.
    pub pacing: Pacing,
}

/// How often the worker looks, in its clock's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Orders and the backlog.
    pub poll: Duration,
    /// How far ahead quota is spent.
    pub ahead: Duration,
    /// How often a relay writes down its needs; they are good for three times as long.
    pub needs: Duration,
    /// How long a connection may be idle: servers and firewalls forget sooner or later.
    pub idle: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            ahead: crate::core::schedule::AHEAD,
            needs: Duration::from_secs(10),
            idle: Duration::from_secs(60),
        }
    }
}

impl Pacing {
    /// For a clock that runs `speed` times as fast as the machine's: the same pauses in real time.
    #[must_use]
    pub fn at_speed(speed: f64) -> Self {
        let speed = speed.max(1.0);
        let normal = Self::default();
        Self {
            poll: normal.poll.mul_f64(speed),
            ahead: normal.ahead.mul_f64(speed),
            needs: normal.needs.mul_f64(speed),
            idle: normal.idle.mul_f64(speed),
        }
    }
}

/// What can be told to a running worker.
#[derive(Debug, Clone)]
pub enum Control {
    /// Put this configuration in force.
    Reload(Arc<Config>),
    /// Finish what is in the air, within the configuration's bound, and end.
    Drain,
}

/// Why a worker could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A relay's settings cannot be used.
    #[error("relay {relay}: {why}")]
    Relay {
        /// The relay.
        relay: RelayName,
        /// Why.
        why: String,
    },
}

/// What all tasks of a worker share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) composers: Mutex<HashMap<RevisionId, Arc<dyn Composer>>>,
    events: Mutex<EventRunner>,
    pub(crate) disk_low: AtomicBool,
    /// When the next message that waits for its retry is due, seconds since the epoch; `u64::MAX`: none.
    pub(crate) next_due: AtomicU64,
    pub(crate) moments: moments::Moments,
    /// Nothing of other campaigns is looked at.
    pub(crate) only: Option<CampaignId>,
}

impl Shared {
    /// Records an event, logs it and tells the operator's program.
    pub(crate) async fn tell(&self, kind: EventKind, subject: Subject, text: String) {
        let event = Event { at: self.parts.clock.now(), kind, subject, text, address: None };
        tracing::info!(event = event.kind.as_str(), subject = %event.subject, "{}", event.text);
        if let Err(error) = self.parts.store.record_event(event.row()).await {
            tracing::warn!(%error, "the event could not be recorded");
        }
        if let Ok(events) = self.events.lock() {
            events.tell(&event);
        }
    }

    /// Writes into the journal, which never holds up mail.
    pub(crate) async fn note(&self, entry: Entry) {
        if let Err(error) = self.parts.store.note(vec![entry]).await {
            tracing::warn!(%error, "the journal could not be written");
        }
    }

    /// The composer of a revision, compiled once.
    pub(crate) fn composer(&self, id: RevisionId, content: &str) -> Result<Arc<dyn Composer>, String> {
        if let Ok(cache) = self.composers.lock()
            && let Some(composer) = cache.get(&id)
        {
            return Ok(composer.clone());
        }
        let composer = (self.parts.composers)(content)?;
        if let Ok(mut cache) = self.composers.lock() {
            if cache.len() > 256 {
                cache.clear();
            }
            cache.insert(id, composer.clone());
        }
        Ok(composer)
    }
}

/// One relay's running task.
struct Running {
    settings: watch::Sender<Arc<RelaySettings>>,
    stop: watch::Sender<bool>,
    idle: watch::Receiver<bool>,
}

/// The worker.
struct Worker {
    shared: Arc<Shared>,
    config: watch::Sender<Arc<Config>>,
    running: BTreeMap<RelayName, Running>,
    tasks: JoinSet<RelayName>,
}

/// Runs until told to drain, or with `until_idle` until nothing more can leave in this plan day.
///
/// # Errors
/// When the store cannot be used or a relay's settings cannot; later trouble is handled and reported, not returned.
pub async fn run(
    parts: Parts,
    config: Arc<Config>,
    until_idle: bool,
    control: mpsc::Receiver<Control>,
) -> Result<(), WorkerError> {
    run_for(parts, config, until_idle, control, None).await
}

/// Runs for one campaign alone, until nothing more of it can leave in this plan day: everything else stays where it is.
///
/// # Errors
/// As [`run`].
pub async fn run_campaign(
    parts: Parts,
    config: Arc<Config>,
    campaign: CampaignId,
    control: mpsc::Receiver<Control>,
) -> Result<(), WorkerError> {
    run_for(parts, config, true, control, Some(campaign)).await
}

async fn run_for(
    parts: Parts,
    config: Arc<Config>,
    until_idle: bool,
    mut control: mpsc::Receiver<Control>,
    only: Option<CampaignId>,
) -> Result<(), WorkerError> {
    let shared = Arc::new(Shared {
        moments: moments::Moments::new(parts.clock.clone(), parts.pacing.poll / 4),
        parts,
        composers: Mutex::new(HashMap::new()),
        events: Mutex::new(EventRunner::new(config.worker.on_event.clone())),
        disk_low: AtomicBool::new(false),
        next_due: AtomicU64::new(0),
        only,
    });
    begin(&shared).await?;
    let mut worker = Worker {
        shared: shared.clone(),
        config: watch::Sender::new(config.clone()),
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    for settings in config.relays.values() {
        worker.start(settings)?;
    }
    // Held in a set, so that a worker that is dropped takes its housekeeping with it.
    let mut keepers = JoinSet::new();
    keepers.spawn(housekeeping::run(shared.clone(), worker.config.subscribe()));
    if only.is_none() {
        keepers.spawn(care::run(shared.clone(), worker.config.subscribe()));
    }
    worker.attend(until_idle, &mut control).await;
    keepers.shutdown().await;
    // A poisoned lock's error would hold the guard over the wait.
    let events = shared.events.lock().ok().map(|events| events.clone());
    if let Some(events) = events {
        events.finish().await;
    }
    Ok(())
}

/// Looks whether the store is the one that was left: a restored backup starts paused.
async fn begin(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.parts.clock.now();
    if let Some(warning) = shared.parts.store.begin(now).await? {
        shared.tell(EventKind::RelayPaused, Subject::Worker, warning).await;
    }
    Ok(())
}

impl Worker {
    fn start(&mut self, settings: &Arc<RelaySettings>) -> Result<(), WorkerError> {
        let name = settings.name.clone();
        let relay =
            (self.shared.parts.relays)(settings).map_err(|why| WorkerError::Relay { relay: name.clone(), why })?;
        let (idle_says, idle) = watch::channel(false);
        let settings = watch::Sender::new(settings.clone());
        let stop = watch::Sender::new(false);
        let task = RelayTask::new(
            self.shared.clone(),
            relay,
            settings.subscribe(),
            self.config.subscribe(),
            stop.subscribe(),
            idle_says,
        );
        self.tasks.spawn({
            let name = name.clone();
            async move {
                task.run().await;
                name
            }
        });
        self.running.insert(name, Running { settings, stop, idle });
        Ok(())
    }

    async fn attend(&mut self, until_idle: bool, control: &mut mpsc::Receiver<Control>) {
        let clock = self.shared.parts.clock.clone();
        let poll = self.shared.parts.pacing.poll;
        let mut idle_for = 0;
        loop {
            tokio::select! {
                order = control.recv() => match order {
                    Some(Control::Reload(config)) => self.reload(config).await,
                    Some(Control::Drain) | None => break,
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended).await,
                () = clock.sleep(poll), if until_idle => {
                    let all = self.running.values().all(|r| *r.idle.borrow());
                    idle_for = if all { idle_for + 1 } else { 0 };
                    if idle_for >= 3 {
                        break;
                    }
                }
            }
            if self.running.is_empty() && until_idle {
                break;
            }
        }
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended).await;
        }
    }

    async fn ended(&mut self, ended: Result<RelayName, tokio::task::JoinError>) {
        match ended {
            Ok(name) => {
                self.running.remove(&name);
            }
            Err(error) => {
                // A panic in one relay's task halts that relay; its claims are uncertain for the next owner.
                let text = format!("a relay's task broke down and stays down until the next start: {error}");
                tracing::error!("{text}");
                self.shared.tell(EventKind::RelayPaused, Subject::Worker, text).await;
                let alive: Vec<RelayName> =
                    self.running.iter().filter(|(_, r)| !r.stop.is_closed()).map(|(n, _)| n.clone()).collect();
                self.running.retain(|name, _| alive.contains(name));
            }
        }
    }

    /// Puts a configuration in force: changed relays take their new settings and keep what was spent, new ones start, missing
    /// ones drain.
    async fn reload(&mut self, config: Arc<Config>) {
        if let Ok(mut events) = self.shared.events.lock() {
            *events = EventRunner::new(config.worker.on_event.clone());
        }
        if let Ok(mut cache) = self.shared.composers.lock() {
            cache.clear();
        }
        self.config.send_replace(config.clone());
        for (name, running) in &self.running {
            match config.relays.get(name) {
                Some(settings) => {
                    running.settings.send_replace(settings.clone());
                }
                None => {
                    running.stop.send_replace(true);
                }
            }
        }
        for (name, settings) in &config.relays {
            if !self.running.contains_key(name)
                && let Err(error) = self.start(settings)
            {
                tracing::error!(relay = %name, %error, "the relay cannot be started");
            }
        }
        let text = format!("{} is in force", config.path.display());
        self.shared.tell(EventKind::Reloaded, Subject::Worker, text).await;
    }
}

impl Shared {
    /// Whether a retry comes due before `end`.
    pub(crate) fn due_before(&self, end: jiff::Timestamp) -> bool {
        let next = self.next_due.load(Ordering::Relaxed);
        i64::try_from(next).is_ok_and(|next| next < end.as_second())
    }
}
