//! Owns the carrier simulator: a real SMTP server on loopback that answers for all destination groups, as a relay that passes
//! the carriers' replies on (`answers: carrier`).
//!
//! Invariants: it listens on loopback only and keeps no mail; what it answers comes from `sim::Carriers` under the clock it
//! was given; its counts are its own and owe nothing to the sender.

mod dialogue;
mod syntax;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::core::names::GroupName;
use crate::core::plan::Groups;
use crate::sim::{Carriers, Counts, Manners};

/// Sessions at once; one more is refused at the greeting.
const SESSIONS_MAX: usize = 500;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; loopback only, port 0 for any free one.
    pub listen: SocketAddr,
    /// Destination groups.
    pub groups: Arc<Groups>,
    /// How their systems behave.
    pub manners: Manners,
    /// User and password that AUTH wants; `None`: no login.
    pub login: Option<(String, String)>,
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    carriers: Arc<Mutex<Carriers>>,
    stop: CancellationToken,
    sessions: TaskTracker,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    carriers: Arc<Mutex<Carriers>>,
    clock: SharedClock,
    login: Option<(String, String)>,
}

impl Simulator {
    /// Listens; must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the address is not loopback, or cannot be listened on.
    pub async fn start(options: Options, clock: SharedClock) -> io::Result<Self> {
        only_loopback(options.listen)?;
        Self::serve(TcpListener::bind(options.listen).await?, options, clock)
    }

    /// Answers on `listener`, whatever `options.listen` says, so that its port may be known before the clock runs.
    ///
    /// # Errors
    /// When the listener has no loopback address.
    pub fn serve(listener: TcpListener, options: Options, clock: SharedClock) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        only_loopback(addr)?;
        let carriers = Arc::new(Mutex::new(Carriers::new(options.groups, &options.manners)));
        let shared = Arc::new(Shared { carriers: carriers.clone(), clock, login: options.login });
        let (stop, sessions) = (CancellationToken::new(), TaskTracker::new());
        tokio::spawn(accept(listener, shared, stop.clone(), sessions.clone()));
        Ok(Self { addr, carriers, stop, sessions })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What became of the messages so far, by destination group.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<GroupName, Counts> {
        lock(&self.carriers).counts()
    }

    /// Closes all sessions and returns the last counts.
    pub async fn stop(self) -> BTreeMap<GroupName, Counts> {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
        self.counts()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn only_loopback(addr: SocketAddr) -> io::Result<()> {
    if addr.ip().is_loopback() {
        return Ok(());
    }
    let why = format!("the simulator listens on loopback only, not on {addr}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, sessions: TaskTracker) {
    let mut number = 0_u64;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                number += 1;
                let (shared, stop) = (shared.clone(), stop.clone());
                let room = sessions.len() < SESSIONS_MAX;
                sessions.spawn(async move {
                    let talk = dialogue::serve(stream, number, &shared, room);
                    // A session that ends by a fault ends all the same: its sender is told by the closed connection.
                    tokio::select! { _ = talk => {}, () = stop.cancelled() => {} }
                    lock(&shared.carriers).close(number);
                });
            }
            // Out of file descriptors: sessions must end before another can begin.
            Err(_) => _ = timeout(Duration::from_millis(100), stop.cancelled()).await,
        }
    }
}

/// Counts stay true after a panic elsewhere: each change is complete in itself.
fn lock(carriers: &Mutex<Carriers>) -> std::sync::MutexGuard<'_, Carriers> {
    carriers.lock().unwrap_or_else(PoisonError::into_inner)
}
