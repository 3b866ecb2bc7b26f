//! Owns the embedded store: one SQLite file, one writing thread with group commit, two reading threads.
//!
//! Invariants: the writer owns the only writing connection of this process; a verb is durable when it returns; `now` is always
//! an argument. In memory every verb runs at once on the caller's thread, so that a paused clock stays exact.

mod audit;
mod backup;
mod claim;
mod codec;
mod counters;
mod course;
mod engine;
mod errors;
mod fold;
mod forget;
mod heard;
mod inspect;
mod intake;
mod lease;
mod locks;
mod messages;
mod names;
mod open;
mod orders;
mod reports;
mod settle;
mod space;
mod suppression;
mod sweep;
mod verbs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use codec::Result;
use engine::{Db, Worker};
use locks::Locks;
use open::Purpose;

use super::StoreError;

/// Hardships for tests: what a full disk or a read-only file looks like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The file grows to at most so many pages (of 4,096 bytes); beyond that the disk counts as full.
    pub max_pages: Option<u32>,
    /// The file is opened for reading only.
    pub read_only: bool,
}

/// The SQLite store. See the module's page.
#[derive(Debug)]
pub struct SqliteStore {
    engine: Engine,
    locks: Locks,
    /// `None` in memory.
    path: Option<PathBuf>,
    /// When a worker of this handle last moved the generation on; `None` without a worker.
    moved_on: Mutex<Option<Timestamp>>,
}

#[derive(Debug)]
enum Engine {
    Inline(Arc<Mutex<Db>>),
    Threads {
        writer: Worker,
        /// What decisions read.
        reader: Worker,
        /// What people read: may take long.
        reports: Worker,
    },
}

impl SqliteStore {
    /// Opens the store at `path`; creates the file when it is missing and brings an older one up to date.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be written or its folder is missing; `Corrupt` when it is not a Hikagen store, is
    /// damaged or was made by a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_limited(path, Limits::default())
    }

    /// Opens the store at `path`, which must exist.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and `Unavailable` when there is no such file.
    pub fn open_existing(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(StoreError::Unavailable(format!(
                "{} does not exist; check `store` in the configuration, or create it with `submit` or `run`",
                path.display()
            )));
        }
        Self::threads(path, Limits::default())
    }

    /// As [`SqliteStore::open`], under hardships. For tests.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_limited(path: &Path, limits: Limits) -> Result<Self> {
        open::create(path)?;
        Self::threads(path, limits)
    }

    /// A store in memory that runs every verb at once on the caller's thread.
    ///
    /// # Panics
    /// When there is no memory for an empty store.
    #[must_use]
    pub fn in_memory() -> Self {
        let db = Db::new(open::in_memory().expect("the built-in schema is valid and an empty store fits into memory"));
        Self {
            engine: Engine::Inline(Arc::new(Mutex::new(db))),
            locks: Locks::in_memory(),
            path: None,
            moved_on: Mutex::default(),
        }
    }

    /// Another handle on a store in memory, as a second process would have: the same data, own locks. Dropping a handle frees
    /// its locks, as the system does for a dead process. `None` for a store in a file: open that again.
    #[must_use]
    pub fn another_handle(&self) -> Option<Self> {
        match &self.engine {
            Engine::Inline(db) => Some(Self {
                engine: Engine::Inline(db.clone()),
                locks: self.locks.another()?,
                path: None,
                moved_on: Mutex::default(),
            }),
            Engine::Threads { .. } => None,
        }
    }

    fn threads(path: &Path, limits: Limits) -> Result<Self> {
        // The writer first: it migrates, and a reader needs what it makes.
        let db = |purpose| open::connect(path, purpose, limits).map(Db::new);
        let writer = Worker::writer(db(Purpose::Write)?)?;
        let reader = Worker::reader("store-reader", db(Purpose::Read)?)?;
        let reports = Worker::reader("store-reports", db(Purpose::Read)?)?;
        let engine = Engine::Threads { writer, reader, reports };
        Ok(Self { engine, locks: Locks::beside(path), path: Some(path.to_owned()), moved_on: Mutex::default() })
    }

    /// Moves the generation on when a worker of this handle has not done so for a while: a copy of the file that is older
    /// than that is noticed when it is put back.
    async fn age(&self, now: Timestamp) -> Result<()> {
        const EVERY: SignedDuration = SignedDuration::from_mins(10);
        let Some(path) = &self.path else { return Ok(()) };
        {
            let mut moved_on = self.moved_on.lock().unwrap_or_else(PoisonError::into_inner);
            match *moved_on {
                Some(last) if now.duration_since(last).abs() >= EVERY => *moved_on = Some(now),
                _ => return Ok(()),
            }
        }
        let number = self.write(backup::move_on).await?;
        backup::write_number(path, number)
    }

    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&mut Db) -> Result<T> + Send + 'static) -> Result<T> {
        match &self.engine {
            Engine::Inline(db) => db.lock().unwrap_or_else(PoisonError::into_inner).write(work),
            Engine::Threads { writer, .. } => writer.call(work).await,
        }
    }

    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&mut Db) -> Result<T> + Send + 'static) -> Result<T> {
        match &self.engine {
            Engine::Inline(db) => db.lock().unwrap_or_else(PoisonError::into_inner).read(work),
            Engine::Threads { reader, .. } => reader.call(work).await,
        }
    }

    async fn report<T: Send + 'static>(&self, work: impl FnOnce(&mut Db) -> Result<T> + Send + 'static) -> Result<T> {
        match &self.engine {
            Engine::Inline(db) => db.lock().unwrap_or_else(PoisonError::into_inner).read(work),
            Engine::Threads { reports, .. } => reports.call(work).await,
        }
    }
}
