//! Owns what every command needs: configuration, store, clock, runtime, a place to print, and how it ends.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use crate::clock::{SharedClock, SystemClock};
use crate::config::problem::{Severity, render};
use crate::config::{Config, LogFormat, config_file};
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

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The configuration's file.
    pub(crate) config_path: PathBuf,
    /// JSON is wanted.
    pub(crate) json: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// The machine's clock.
    pub(crate) clock: SharedClock,
}

impl Context {
    pub(crate) fn new(config_path: PathBuf, json: bool, verbose: u8) -> Self {
        Self { config_path, json, verbose, clock: Arc::new(SystemClock) }
    }

    /// Starts the log of a command that does one thing and ends.
    pub(crate) fn start_log(&self) {
        telemetry::start(LogFormat::Text, self.verbose, false);
    }

    /// Reads the configuration; its problems, all of them, are the failure's text.
    pub(crate) fn load_config(&self) -> Result<Config, Failure> {
        let path = &self.config_path;
        if !path.exists() {
            return Err(Failure::refused(format!(
                "there is no configuration {}\n  `hikagen init` writes one to start from, `--config FILE` names another, `hikagen demo` needs none",
                path.display()
            )));
        }
        let read = config_file::load(path);
        read.value.ok_or_else(|| {
            let problems: Vec<_> = read.problems.into_iter().filter(|p| p.severity == Severity::Problem).collect();
            let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
            Failure::refused(format!("{} is refused\n\n{}", path.display(), render(&problems, coloured).trim_end()))
        })
    }

    /// Opens the store of `config`; makes it where there is none yet.
    pub(crate) fn open_store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        Ok(Arc::new(SqliteStore::open(&config.store)?))
    }

    /// Opens the store of `config` to answer a question: one that is not there yet has no answers.
    pub(crate) fn open_existing_store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        let path = &config.store;
        if !path.exists() {
            return Err(Failure::refused(format!(
                "there is no store {} yet: `hikagen submit` or `hikagen run` makes it",
                path.display()
            )));
        }
        Ok(Arc::new(SqliteStore::open_existing(path)?))
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
