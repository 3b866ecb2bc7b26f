//! Owns what every command needs: configuration, store, clock, runtime, a place to print, and how it ends.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::clock::{SharedClock, SystemClock};
use crate::config::bare::{Remembered, bare_config, store_named};
use crate::config::problem::{Severity, SourceFile, render};
use crate::config::{Config, LogFormat, config_file};
use crate::core::names::{BucketName, RelayName};
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use crate::telemetry;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, nothing to complain about.
    Done,
    /// 1: refused, or problems found.
    Refused,
    /// 2: the command line makes no sense.
    Usage,
    /// 75: not now; the same command may do later.
    Later,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Later => 75,
        })
    }
}

/// Why a command could not be done: words for the operator (what came, what was expected, what to do) and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the command ends.
    pub(crate) exit: Exit,
    /// In words, without a full stop; may have several lines. Empty: everything was said.
    pub(crate) text: String,
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// Exit 1.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, text: text.into() }
    }

    /// Exit 2.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, text: text.into() }
    }

    /// Exit 75.
    pub(crate) fn later(text: impl Into<String>) -> Self {
        Self { exit: Exit::Later, text: text.into() }
    }

    /// Tells standard error.
    pub(crate) fn print(&self) {
        if !self.text.is_empty() {
            // Nothing can be told to a terminal that is gone.
            let _ = writeln!(std::io::stderr().lock(), "hikagen: {}", self.text);
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) | StoreError::LeaseLost { .. } => Self::later(error.to_string()),
            StoreError::Corrupt(_) | StoreError::Refused(_) => Self::refused(error.to_string()),
        }
    }
}

/// What an order to stop or to let go may name. Where the configuration cannot be read these are more than `config` has: a
/// relay is stopped however little is left of its plan, and a lane of the operator's own groups, too.
#[derive(Debug)]
pub(crate) struct Stoppable {
    /// The configuration, or what the store remembers of it.
    pub(crate) config: Config,
    /// Every relay that is known.
    pub(crate) relays: BTreeSet<RelayName>,
    /// Every bucket that is known.
    pub(crate) buckets: BTreeSet<BucketName>,
}

impl Stoppable {
    fn of(config: Config, remembered: &Remembered) -> Self {
        let relays = config.relays.keys().chain(remembered.relays.iter().map(|(name, _)| name)).cloned().collect();
        let mut buckets: BTreeSet<BucketName> = config.groups.buckets().into_keys().collect();
        buckets.extend(remembered.buckets.iter().cloned());
        Self { config, relays, buckets }
    }
}

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The configuration's file.
    pub(crate) config_path: PathBuf,
    /// The store to look into without a configuration.
    pub(crate) store: Option<PathBuf>,
    /// JSON is wanted.
    pub(crate) json: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// The machine's clock.
    pub(crate) clock: SharedClock,
}

impl Context {
    pub(crate) fn new(config_path: PathBuf, json: bool, verbose: u8) -> Self {
        Self { config_path, store: None, json, verbose, clock: Arc::new(SystemClock) }
    }

    /// With a store to look into without a configuration.
    pub(crate) fn looking_into(self, store: Option<PathBuf>) -> Self {
        Self { store, ..self }
    }

    /// Starts the log of a command that does one thing and ends.
    pub(crate) fn start_log(&self) {
        telemetry::start(LogFormat::Text, self.verbose, false);
    }

    /// Reads the configuration; its problems, all of them, are the failure's text. Refused with `--store`, which stands for
    /// having none.
    pub(crate) fn load_config(&self) -> Result<Config, Failure> {
        if self.store.is_some() {
            return Err(Failure::usage(NEEDS_CONFIGURATION));
        }
        let path = &self.config_path;
        if !path.exists() {
            return Err(Failure::refused(format!(
                "there is no configuration {}\n  `hikagen init` writes one to start from, `--config FILE` names another, `hikagen demo` needs none\n  \
                 `--store FILE` looks into a store without one",
                path.display()
            )));
        }
        let read = config_file::load(path);
        read.value.map(|config| config.in_force_at(self.clock.now())).ok_or_else(|| {
            let problems: Vec<_> = read.problems.into_iter().filter(|p| p.severity == Severity::Problem).collect();
            let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
            Failure::refused(format!("{} is refused\n\n{}", path.display(), render(&problems, coloured).trim_end()))
        })
    }

    /// The configuration, for a command that looks; with `--store` what the store itself remembers of it.
    pub(crate) fn config_to_look(&self) -> Result<Config, Failure> {
        if let Some(store) = &self.store {
            let (config, remembered) = self.config_of_store(store)?;
            for (relay, _) in remembered.relays.iter().filter(|(relay, _)| !config.relays.contains_key(relay)) {
                self.remark(&format!("relay {relay} is left out: the store has no plan of it that can be read"));
            }
            return Ok(config);
        }
        self.load_config().map_err(|failure| Failure {
            text: format!("{}\n\nwithout it: `--store FILE` answers from the store alone", failure.text),
            ..failure
        })
    }

    /// The configuration, for an order that stops or lets go. Where it cannot be read, the store that it names will do: who
    /// wants to stop has no time to mend files.
    pub(crate) fn config_to_stop(&self) -> Result<Stoppable, Failure> {
        if let Some(store) = &self.store {
            return self.stoppable_in(store);
        }
        let failure = match self.load_config() {
            Ok(config) => return Ok(Stoppable::of(config, &Remembered::default())),
            Err(failure) => failure,
        };
        let named =
            SourceFile::open(&self.config_path).ok().and_then(|file| store_named(&self.config_path, &file.text));
        let Some(store) = named.filter(|store| store.exists()) else { return Err(failure) };
        self.remark(&format!(
            "{} is refused (`hikagen check` says why); the order goes to the store that it names, {}",
            self.config_path.display(),
            store.display()
        ));
        self.stoppable_in(&store)
    }

    fn stoppable_in(&self, path: &Path) -> Result<Stoppable, Failure> {
        let (config, remembered) = self.config_of_store(path)?;
        Ok(Stoppable::of(config, &remembered))
    }

    /// What a store remembers of its configuration, and all that it remembers.
    fn config_of_store(&self, path: &Path) -> Result<(Config, Remembered), Failure> {
        let store = open_existing(path)?;
        let remembered = self.block_on(remembered(&*store, self.clock.now()))?;
        let config = bare_config(path, &remembered);
        let zone = config.timezone.iana_name().unwrap_or("UTC");
        self.remark(&format!(
            "no configuration was read: hosts and limits are unknown, any relay may be in a pool, times are in {zone}"
        ));
        Ok((config, remembered))
    }

    /// Opens the store of `config`; makes it where there is none yet, unless it was named by `--store`.
    pub(crate) fn open_store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        if self.store.is_some() {
            return open_existing(&config.store);
        }
        Ok(Arc::new(SqliteStore::open(&config.store)?))
    }

    /// Opens the store of `config` to answer a question: one that is not there yet has no answers.
    pub(crate) fn open_existing_store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        open_existing(&config.store)
    }

    /// Runs `work` to its end on a runtime of its own.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::later(format!("no threads to work with: {error}")))?;
        runtime.block_on(work)
    }

    /// Prints `text` and a line end, or where `--json` was given `data` as JSON.
    pub(crate) fn answer(&self, data: &impl Serialize, text: &str) -> Result<(), Failure> {
        if self.json { self.print_json(data) } else { self.print(text) }
    }

    /// Whether what is printed may have colours: a terminal, and nobody asked for none (https://no-color.org).
    pub(crate) fn colour(&self) -> bool {
        !self.json && std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal()
    }

    /// Prints `text`, with a line end if it has none.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        written(write!(out, "{text}{end}").and_then(|()| out.flush()))
    }

    /// Prints `data` as JSON, keys in the order of its fields.
    pub(crate) fn print_json(&self, data: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(data)
            .map_err(|error| Failure::refused(format!("the answer cannot be written as JSON: {error}")))?;
        self.print(&text)
    }

    /// Tells standard error something beside the answer.
    pub(crate) fn remark(&self, text: &str) {
        // Nothing can be told to a terminal that is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// What a command that cannot do without says to `--store`.
pub(crate) const NEEDS_CONFIGURATION: &str =
    "--store answers questions and stops things without a configuration; this command needs one (`--config FILE`)";

fn open_existing(path: &Path) -> Result<Arc<dyn Store>, Failure> {
    if !path.exists() {
        return Err(Failure::refused(format!(
            "there is no store {} yet: `hikagen submit` or `hikagen run` makes it",
            path.display()
        )));
    }
    Ok(Arc::new(SqliteStore::open_existing(path)?))
}

/// How far back ledgers tell of relays.
const LEDGERS: SignedDuration = SignedDuration::from_hours(24 * 400);

/// Relays with a ledger of the last 400 days or an owner, the buckets of these ledgers, and the pools of open campaigns.
async fn remembered(store: &dyn Store, now: Timestamp) -> Result<Remembered, Failure> {
    let since = now.checked_sub(LEDGERS).unwrap_or(Timestamp::MIN).to_zoned(TimeZone::UTC).date();
    let (mut names, mut buckets) = (BTreeSet::new(), BTreeSet::new());
    for (relay, ledger) in store.ledgers(None, since).await? {
        names.insert(relay);
        buckets.insert(ledger.bucket);
    }
    names.extend(store.owners().await?.into_iter().map(|owner| owner.relay));
    let mut remembered = Remembered { relays: Vec::new(), buckets, pools: store.pools_in_use().await? };
    for relay in names {
        let plan = store.plan_history(&relay, 1).await?.into_iter().next();
        remembered.relays.push((relay, plan.map(|(_, plan)| (plan.name.to_string(), plan.text))));
    }
    Ok(remembered)
}

/// Asks on the terminal; without one nobody can answer.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} There is no terminal to answer at: --yes answers yes")));
    }
    let mut out = std::io::stderr().lock();
    // Without a terminal to ask at, the answer below is no.
    let _ = write!(out, "{question} [y/N] ").and_then(|()| out.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::refused("nothing was changed")),
    }
}

/// A reader that went away (`hikagen status | head`) has all it wanted.
fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(Failure { exit: Exit::Done, text: String::new() })
        }
        Err(error) => Err(Failure::later(format!("standard output: {error}"))),
    }
}
