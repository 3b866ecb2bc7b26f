//! Owns the watching of what others write: logs of relays, and mailboxes to which bounces come.
//!
//! Invariants: nothing heard is passed over (a store that cannot take it is waited for, and what is read waits with it); a place is
//! written down only after what lies before it was taken, so that after a crash some is heard again, which changes nothing;
//! trouble with one source is told once and stops no other.

mod file;
mod journal;
mod log;
pub mod maildir;
pub mod mbox;
mod places;
mod rotated;
mod trouble;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::task::JoinSet;

use self::maildir::ReadMail;
use self::places::Places;
use self::trouble::Trouble;
use super::{Ear, InForce};
use crate::clock::SharedClock;
use crate::config::{Config, LogPlace};
use crate::core::feedback::Heard;
use crate::store::{Recorded, StoreError};

/// Between two looks at a source that had nothing new.
const LOOK: Duration = Duration::from_secs(1);
/// After a step of reading much at once, so many times as long as it took is left to others.
const REST: u32 = 5;
/// Longest wait for a store that cannot take what was heard, and for a program that ends again and again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes what was heard, durably.
type Take = Arc<dyn Fn(Vec<Heard>) -> Pin<Box<dyn Future<Output = Result<Recorded, StoreError>> + Send>> + Send + Sync>;

/// The file beside the store in which it is kept how far each log was read: `<store>.heard.json`.
#[must_use]
pub fn places_file(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".heard.json");
    path.into()
}

/// What every watcher needs.
#[derive(Clone)]
struct Desk {
    take: Take,
    clock: SharedClock,
    places: Arc<Places>,
    zone: TimeZone,
}

impl Desk {
    /// Leaves the machine and the store to those who send, after a step that began then: a log of a whole day is caught up with at
    /// a thousand reports a second or two, which is still far more than a relay writes.
    async fn rest(&self, began: Duration) {
        let took = self.clock.elapsed().saturating_sub(began);
        self.clock.sleep((took * REST).min(LOOK)).await;
    }

    /// Hands over what was heard; comes back when it is durable, however long that takes.
    async fn hand_over(&self, heard: Vec<Heard>, from: &str) {
        if heard.is_empty() {
            return;
        }
        let mut trouble = Trouble::new(format!("what was heard from {from} cannot be recorded"));
        let mut wait = LOOK;
        loop {
            match (self.take)(heard.clone()).await {
                Ok(recorded) => {
                    trouble.over("it is recorded again");
                    tracing::debug!(from, ?recorded, "heard");
                    return;
                }
                Err(error) => trouble.is(&error.to_string()),
            }
            self.clock.sleep(wait).await;
            wait = (wait * 2).min(PATIENCE);
        }
    }
}

/// Watches all sources of the configuration in force, and after a reload those of the new one, until it is aborted, which is safe
/// at any time. `read` reads a mail.
pub async fn run(ear: Ear, config: InForce, clock: SharedClock, read: ReadMail) {
    loop {
        let now = config();
        // Dropped with this future, it takes the watchers with it.
        let mut watchers = start(&ear, &now, &clock, read);
        let is_same = |new: &Config| new.feedback == now.feedback && new.timezone == now.timezone;
        while is_same(&config()) {
            clock.sleep(LOOK).await;
        }
        tracing::info!("the logs and mailboxes that are watched have changed");
        watchers.shutdown().await;
    }
}

/// Begins to watch all sources of `config`; they end when the set is dropped.
fn start(ear: &Ear, config: &Config, clock: &SharedClock, read: ReadMail) -> JoinSet<()> {
    let settings = &config.feedback;
    let ear = ear.clone();
    let take: Take = Arc::new(move |heard| {
        let ear = ear.clone();
        Box::pin(async move { ear.take(heard).await })
    });
    let mut watchers = JoinSet::new();
    if settings.logs.is_empty() && settings.mailboxes.is_empty() {
        return watchers;
    }
    let places = Arc::new(Places::open(&places_file(&config.store)));
    let desk = Desk { take, clock: clock.clone(), places, zone: config.timezone.clone() };
    let mut watched: Vec<&LogPlace> = Vec::new();
    for log in &settings.logs {
        // Two relays (two pools of one host) may share a log.
        if watched.contains(&&log.place) {
            continue;
        }
        watched.push(&log.place);
        let (desk, relay) = (desk.clone(), log.relay.clone());
        match &log.place {
            LogPlace::File(path) => watchers.spawn(log::follow(desk, relay, path.clone())),
            LogPlace::Journal(unit) => {
                watchers.spawn(journal::follow(desk, relay, unit.clone(), journal::PROGRAM.into()))
            }
        };
    }
    for mailbox in &settings.mailboxes {
        watchers.spawn(maildir::watch(desk.clone(), mailbox.clone(), read));
    }
    watchers
}

#[cfg(test)]
mod tests;
