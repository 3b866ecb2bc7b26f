//! Owns the locks that say whether the owner of a relay is alive.
//!
//! Invariant: a lock is held as long as its owner lives and no longer: the system frees a dead process's file locks at once.
//! Lock files are never removed, since removing one that somebody is about to lock would give two owners.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::codec::Result;
use crate::core::names::RelayName;
use crate::store::StoreError;

/// Where locks are.
#[derive(Debug)]
enum Place {
    /// Files beside the store: `<store>.<relay>.lock`.
    Files(PathBuf),
    /// A set that the handles of one in-memory store share.
    Memory(Arc<Mutex<BTreeSet<RelayName>>>),
}

/// The locks that this handle holds.
#[derive(Debug)]
pub(super) struct Locks {
    place: Place,
    held: Mutex<BTreeMap<RelayName, Option<File>>>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The sets stay valid whatever panicked while holding them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Locks {
    pub(super) fn beside(store: &Path) -> Self {
        Self { place: Place::Files(store.to_owned()), held: Mutex::default() }
    }

    pub(super) fn in_memory() -> Self {
        Self { place: Place::Memory(Arc::default()), held: Mutex::default() }
    }

    /// Another handle on the same locks, holding none of them; `None` for files (open the store again).
    pub(super) fn another(&self) -> Option<Self> {
        match &self.place {
            Place::Files(_) => None,
            Place::Memory(set) => Some(Self { place: Place::Memory(set.clone()), held: Mutex::default() }),
        }
    }

    /// Takes a relay's lock; false when somebody has it.
    pub(super) fn take(&self, relay: &RelayName) -> Result<bool> {
        let mut held = open(&self.held);
        if held.contains_key(relay) {
            return Ok(false);
        }
        let lock = match &self.place {
            Place::Files(store) => {
                // Somebody may be looking whether the owner is alive, which takes the lock for a moment.
                let mut tries = 0;
                loop {
                    match try_lock(store, relay)? {
                        None if tries < 5 => std::thread::park_timeout(Duration::from_millis(1)),
                        None => return Ok(false),
                        file => break file,
                    }
                    tries += 1;
                }
            }
            Place::Memory(set) => {
                if !open(set).insert(relay.clone()) {
                    return Ok(false);
                }
                None
            }
        };
        held.insert(relay.clone(), lock);
        Ok(true)
    }

    /// Gives a relay's lock back; nothing happens when this handle does not hold it.
    pub(super) fn free(&self, relay: &RelayName) {
        let freed = open(&self.held).remove(relay);
        if let (Some(_), Place::Memory(set)) = (freed, &self.place) {
            open(set).remove(relay);
        }
    }

    /// Whether anybody holds a relay's lock.
    pub(super) fn is_taken(&self, relay: &RelayName) -> Result<bool> {
        if open(&self.held).contains_key(relay) {
            return Ok(true);
        }
        match &self.place {
            Place::Files(store) => Ok(lock_path(store, relay).exists() && try_lock(store, relay)?.is_none()),
            Place::Memory(set) => Ok(open(set).contains(relay)),
        }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *open(&self.held));
        if let Place::Memory(set) = &self.place {
            let mut set = open(set);
            for relay in held.keys() {
                set.remove(relay);
            }
        }
    }
}

fn lock_path(store: &Path, relay: &RelayName) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(format!(".{relay}.lock"));
    path.into()
}

fn try_lock(store: &Path, relay: &RelayName) -> Result<Option<File>> {
    let path = lock_path(store, relay);
    let failed =
        |error: std::io::Error| StoreError::Unavailable(format!("lock {} cannot be taken: {error}", path.display()));
    let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
