//! Owns `run`: the long-lived worker with its signals and its service manager.
//!
//! SIGTERM and SIGINT drain and end; SIGHUP reads the files again, and a broken file leaves the old configuration in force.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::ways::{self, Ways};
use super::{Context, Exit, Failure, Outcome};
use crate::clock::SharedClock;
use crate::compose::{Composer, Content, Templates, Tokens};
use crate::config::{Config, LogFormat, RelaySettings};
use crate::core::names::RelayName;
use crate::core::reply::Delivery;
use crate::feedback::Ear;
use crate::relay::smtp::SmtpRelay;
use crate::relay::{Connection, Relay};
use crate::store::Store;
use crate::telemetry;
use crate::worker::events::{Event, EventKind, EventRunner, Subject};
use crate::worker::{self, Control, Pacing, Parts, WorkerError};

/// `run`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End when nothing more can leave in this plan day
    #[arg(long)]
    until_idle: bool,
    /// Form of the log [default: as configured]
    #[arg(long, value_enum, value_name = "FORM")]
    log: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

/// The configuration in force, which a reload replaces.
pub(super) type Slot = Arc<RwLock<Arc<Config>>>;

pub(super) fn current(slot: &Slot) -> Arc<Config> {
    slot.read().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let config = Arc::new(context.load_config()?);
    let format = match args.log {
        Some(Form::Text) => LogFormat::Text,
        Some(Form::Json) => LogFormat::Json,
        None if context.json => LogFormat::Json,
        None => config.worker.log,
    };
    telemetry::start(format, context.verbose, true);
    let store = context.open_store(&config)?;
    let tokens = Arc::new(open_tokens(&config)?);
    let (parts, slot) = parts_with(&config, tokens.clone(), store.clone(), context.clock.clone(), Pacing::default());
    let in_force = ways::in_force(&slot);
    let ear = Ear::new(store.clone(), tokens.clone(), context.clock.clone(), in_force.clone())
        .telling(ways::teller(in_force.clone(), store.clone()));
    let ways = Ways { ear, tokens, store: store.clone(), clock: context.clock.clone(), config: in_force };
    context.block_on(async {
        let (orders, control) = mpsc::channel(8);
        let (says, reloaded) = watch::channel(());
        let attendant = Attendant { context: context.clone(), store, slot, orders, says };
        let stop = CancellationToken::new();
        let listening = tokio::spawn(ways.keep(reloaded, stop.clone()));
        let attending = tokio::spawn(attendant.attend(Signals::catch()?));
        let watchdog = tokio::spawn(feed_watchdog(context.clone()));
        tell_systemd(&[NotifyState::Ready]);
        let ended = worker::run(parts, config, args.until_idle, control).await;
        tell_systemd(&[NotifyState::Stopping]);
        attending.abort();
        watchdog.abort();
        stop.cancel();
        if let Err(error) = listening.await {
            tracing::error!(%error, "what listens for reports broke down");
        }
        ended.map_err(self::ended)
    })?;
    Ok(Exit::Done)
}

/// What a worker for `config` is made of, and where its connections and messages look for the configuration in force.
pub(super) fn parts_of(
    config: &Arc<Config>,
    store: Arc<dyn Store>,
    clock: SharedClock,
    pacing: Pacing,
) -> Result<(Parts, Slot), Failure> {
    let tokens = Arc::new(open_tokens(config)?);
    Ok(parts_with(config, tokens, store, clock, pacing))
}

/// The same with the signing key at hand.
fn parts_with(
    config: &Arc<Config>,
    tokens: Arc<Tokens>,
    store: Arc<dyn Store>,
    clock: SharedClock,
    pacing: Pacing,
) -> (Parts, Slot) {
    let slot: Slot = Arc::new(RwLock::new(config.clone()));
    let parts = Parts {
        store,
        clock,
        relays: relay_maker(&slot),
        composers: composer_maker(&slot, tokens),
        owner: owner(),
        disk: Some(folder_of(&config.store).to_owned()),
        pacing,
    };
    (parts, slot)
}

/// How a worker that ended by itself is told of.
pub(super) fn ended(error: WorkerError) -> Failure {
    match error {
        WorkerError::Store(error) => error.into(),
        WorkerError::Relay { .. } => Failure::refused(error.to_string()),
    }
}

/// The signing key: as configured, or beside the store, where it is made at first run.
pub(crate) fn open_tokens(config: &Config) -> Result<Tokens, Failure> {
    use secrecy::ExposeSecret as _;
    let tokens = match &config.signing_key {
        Some(secret) => Tokens::from_text(secret.text.expose_secret(), &secret.place),
        None => Tokens::open(&Tokens::key_file(&config.store)),
    };
    tokens.map_err(|error| Failure::refused(error.to_string()))
}

/// Compiles a stored revision with the destination groups in force.
fn composer_maker(slot: &Slot, tokens: Arc<Tokens>) -> worker::ComposerMaker {
    let slot = slot.clone();
    Arc::new(move |content: &str| {
        let content: Content = serde_json::from_str(content).map_err(|e| format!("the stored content: {e}"))?;
        let groups = current(&slot).groups.clone();
        match Templates::compile(&content, groups, tokens.clone()) {
            Ok(templates) => Ok(Arc::new(templates) as Arc<dyn Composer>),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    })
}

fn relay_maker(slot: &Slot) -> worker::RelayMaker {
    let slot = slot.clone();
    Arc::new(move |settings: &Arc<RelaySettings>| {
        let made = (settings.clone(), Arc::new(SmtpRelay::new(settings.clone())?));
        let relay = Following { name: settings.name.clone(), slot: slot.clone(), made: Mutex::new(made) };
        Ok(Arc::new(relay) as Arc<dyn Relay>)
    })
}

/// A relay that connects by the settings in force: after a reload its next connection has the new host, login or certificates.
struct Following {
    name: RelayName,
    slot: Slot,
    made: Mutex<(Arc<RelaySettings>, Arc<SmtpRelay>)>,
}

impl Following {
    fn newest(&self) -> Arc<SmtpRelay> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = current(&self.slot).relays.get(&self.name)
            && !Arc::ptr_eq(settings, &made.0)
        {
            match SmtpRelay::new(settings.clone()) {
                Ok(relay) => *made = (settings.clone(), Arc::new(relay)),
                Err(why) => tracing::error!(relay = %self.name, "the old settings stay in force: {why}"),
            }
        }
        made.1.clone()
    }
}

#[async_trait]
impl Relay for Following {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        self.newest().connect().await
    }
}

/// Who asks for leases: `host-a, process 4711`.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "this machine" } else { host.trim() };
    format!("{host}, process {}", std::process::id())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The signals that a worker obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|error| Failure::later(format!("signals cannot be caught: {error}")));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }
}

/// Turns signals into orders for the worker.
struct Attendant {
    context: Context,
    store: Arc<dyn Store>,
    slot: Slot,
    orders: mpsc::Sender<Control>,
    /// Tells the ways of a reload.
    says: watch::Sender<()>,
}

impl Attendant {
    async fn attend(self, mut signals: Signals) {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => self.drain("SIGTERM").await,
                _ = signals.interrupt.recv() => self.drain("SIGINT").await,
                _ = signals.hang_up.recv() => self.reload().await,
            }
        }
    }

    async fn drain(&self, signal: &str) {
        let bound = current(&self.slot).worker.drain;
        tracing::info!("{signal}: nothing new is claimed; waiting at most {bound:?} for what is in the air");
        tell_systemd(&[NotifyState::Stopping]);
        // A worker that is gone needs no order.
        let _ = self.orders.send(Control::Drain).await;
    }

    async fn reload(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell_systemd(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "no monotonic time"),
        }
        let context = self.context.clone();
        let old = current(&self.slot);
        let read = tokio::task::spawn_blocking(move || {
            let new = context.load_config()?;
            check_reload(&old, &new).map(|()| new)
        });
        match read.await {
            Ok(Ok(new)) => {
                let new = Arc::new(new);
                *self.slot.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
                let _ = self.orders.send(Control::Reload(new)).await;
                self.says.send_replace(());
            }
            Ok(Err(failure)) => self.refuse(&failure.text).await,
            Err(error) => self.refuse(&error.to_string()).await,
        }
        tell_systemd(&[NotifyState::Ready]);
    }

    async fn refuse(&self, why: &str) {
        tracing::error!("SIGHUP: the changed files are refused, the old ones stay in force\n{why}");
        let kind = EventKind::ReloadRefused;
        let event =
            Event { at: self.context.clock.now(), kind, subject: Subject::Worker, text: why.to_owned(), address: None };
        if let Err(error) = self.store.record_event(event.row()).await {
            tracing::warn!(%error, "the event could not be recorded");
        }
        EventRunner::new(current(&self.slot).worker.on_event.clone()).tell(&event);
    }
}

/// What a running worker cannot take, beside broken files.
fn check_reload(old: &Config, new: &Config) -> Result<(), Failure> {
    if new.store != old.store {
        let (old, new) = (old.store.display(), new.store.display());
        return Err(Failure::refused(format!(
            "the store cannot change from {old} to {new} while a worker runs: restart it"
        )));
    }
    for settings in new.relays.values() {
        SmtpRelay::new(settings.clone()).map_err(Failure::refused)?;
    }
    Ok(())
}

/// Tells the service manager; without one this does nothing.
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// Shows the service manager, where it wants that, that the worker's threads still turn.
async fn feed_watchdog(context: Context) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell_systemd(&[NotifyState::Watchdog]);
        context.clock.sleep(limit / 2).await;
    }
}
