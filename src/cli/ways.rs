//! Owns the ways on which a running worker hears from beyond the relay: what it watches, and where it listens.
//!
//! Invariants: a way that cannot be opened is told and stops nothing else; a reload that changes where to listen opens the new places
//! after the old ones were given up; nothing that was told to a client as taken is dropped at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::compose::Tokens;
use crate::config::{Config, ListenSettings};
use crate::core::feedback::Heard;
use crate::feedback::{Ear, InForce, Left, Told, follow, mail};
use crate::listener::smtp::{self, Serving};
use crate::listener::{events, http, unsubscribe};
use crate::store::Store;
use crate::worker::events::{Event, EventKind, EventRunner, Subject};

/// Longest wait at the end, and at a reload, for what is in hand.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every way needs.
#[derive(Clone)]
pub(super) struct Ways {
    /// Takes what is heard.
    pub(super) ear: Ear,
    /// Tells whose mail it is.
    pub(super) tokens: Arc<Tokens>,
    /// Knows whom a token belongs to.
    pub(super) store: Arc<dyn Store>,
    /// The clock.
    pub(super) clock: SharedClock,
    /// The configuration in force.
    pub(super) config: InForce,
}

impl Ways {
    /// Opens all ways, and keeps them as the configuration in force says, until `stop`: `reloaded` tells that it may have changed.
    pub(super) async fn keep(self, mut reloaded: watch::Receiver<()>, stop: CancellationToken) {
        let mut watchers = JoinSet::new();
        watchers.spawn(follow::run(self.ear.clone(), self.config.clone(), self.clock.clone(), reported));
        loop {
            let listen = (self.config)().listen.clone();
            let closed = CancellationToken::new();
            let serving = self.open(&listen, &closed).await;
            let web = self.open_web(&listen, &closed).await;
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    changed = reloaded.changed() => match changed {
                        Ok(()) if (self.config)().listen == listen => {}
                        Ok(()) => break,
                        // Whoever reloads is gone; what is open stays so until the end.
                        Err(_) => {
                            stop.cancelled().await;
                            break;
                        }
                    },
                }
            }
            closed.cancel();
            self.finish(&serving, web).await;
            if stop.is_cancelled() {
                return;
            }
        }
    }

    async fn open(&self, listen: &ListenSettings, closed: &CancellationToken) -> Vec<Serving> {
        let hands = smtp::Hands::of(
            self.ear.clone(),
            |bytes, envelope| mail::read_for(bytes, envelope).map_err(|why| why.to_string()),
            self.config.clone(),
            self.tokens.clone(),
            self.clock.clone(),
        );
        let desk = smtp::Desk::new(hands, smtp::Bounds::default());
        let mut serving = Vec::new();
        for door in smtp::doors(listen) {
            match smtp::serve(&door, desk.clone(), closed.clone()).await {
                Ok(one) => serving.push(one),
                Err(why) => tracing::error!("what comes back there is not heard: {why}"),
            }
        }
        serving
    }

    async fn open_web(&self, listen: &ListenSettings, closed: &CancellationToken) -> Option<http::Serving> {
        let desk = unsubscribe::Desk::new(self.ear.clone(), self.tokens.clone(), self.store.clone());
        let events = events::Events::new(self.ear.clone(), self.clock.clone(), self.config.clone());
        let routes = unsubscribe::routes(desk).merge(events::routes(events));
        match http::serve(listen.http?, routes, closed.clone()).await {
            Ok(serving) => Some(serving),
            Err(why) => {
                tracing::error!("nobody can leave by a link meanwhile: {why}");
                None
            }
        }
    }

    async fn finish(&self, serving: &[Serving], web: Option<http::Serving>) {
        let all = async {
            for one in serving {
                one.ended().await;
            }
            if let Some(web) = web {
                web.ended().await;
            }
        };
        tokio::select! {
            () = all => {}
            () = self.clock.sleep(PATIENCE) => tracing::warn!("a client that still had mail in hand was left"),
        }
    }
}

/// A mail as a watched mailbox reads it: what is no report stays there for people.
fn reported(bytes: &[u8]) -> Option<Vec<Heard>> {
    mail::read(bytes).ok().filter(|heard| !heard.is_empty())
}

/// The configuration in force, as a way asks for it.
pub(super) fn in_force(slot: &super::run::Slot) -> InForce {
    let slot = slot.clone();
    Arc::new(move || -> Arc<Config> { super::run::current(&slot) })
}

/// Tells the operator's program of everybody who leaves, and keeps an event without the address.
pub(super) fn teller(config: InForce, store: Arc<dyn Store>) -> Told {
    let running = Mutex::new((None, EventRunner::new(None)));
    Arc::new(move |left: Left| {
        let command = (config)().worker.on_event.clone();
        let subject = left.campaign.map_or(Subject::Worker, Subject::Campaign);
        let event = Event { at: left.at, kind: EventKind::Left, subject, text: left.text, address: Some(left.address) };
        let (store, row) = (store.clone(), event.row());
        tokio::spawn(async move {
            if let Err(error) = store.record_event(row).await {
                tracing::warn!(%error, "the event could not be recorded");
            }
        });
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.0 != command {
            *running = (command.clone(), EventRunner::new(command));
        }
        running.1.tell(&event);
    })
}
