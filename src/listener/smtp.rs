//! Owns the SMTP and LMTP listener: bounces, complaints and mails that leave a list, handed over by a relay or an MX.
//!
//! Invariants: nothing is ever forwarded: only addresses that this program put on its own mail are taken, from
//! loopback or an allowed network; a mail is answered 250 only when what it says is durable; connections, lines, recipients,
//! octets and time are bounded. STARTTLS and AUTH are not offered: between hosts that share no private network an MX in front
//! does both. What is in hand at the end is finished, the others hear 421 and come again.

mod dialogue;
mod framing;
mod hands;
mod places;
mod socket;
mod spool;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ListenSettings, Socket};

pub use hands::{Hands, Mail, Reading, Taken, Taking};
pub use places::{Ours, whose};
use socket::{Accepted, Listening};
pub use socket::{Door, Protocol};
use spool::Room;

/// What bounds the listeners, all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; one more hears 421.
    pub connections: usize,
    /// Largest mail, octets; announced as SIZE.
    pub mail: usize,
    /// Octets of mails in memory over all connections; a mail that finds no room hears 452.
    pub spool: usize,
    /// From the greeting or a reply to the end of the next command line.
    pub command: Duration,
    /// From 354 to the end of the mail.
    pub data: Duration,
    /// The whole session.
    pub session: Duration,
}

impl Default for Bounds {
    /// 64 connections, mails of 10 MB, 64 MB in memory, 5 minutes for a command and 10 for a mail (RFC 5321 4.5.3.2), an hour.
    fn default() -> Self {
        Self {
            connections: 64,
            mail: 10_000_000,
            spool: 64_000_000,
            command: Duration::from_secs(300),
            data: Duration::from_secs(600),
            session: Duration::from_secs(3_600),
        }
    }
}

/// A listener at work.
#[derive(Debug)]
pub struct Serving {
    place: Socket,
    tracker: TaskTracker,
}

impl Serving {
    /// Where it listens; the port that the system chose, where 0 was asked for.
    #[must_use]
    pub fn place(&self) -> &Socket {
        &self.place
    }

    /// Waits, after its stop, until what was in hand is finished. The caller bounds the wait.
    pub async fn ended(&self) {
        self.tracker.wait().await;
    }
}

/// What the listeners of one worker share.
#[derive(Debug, Clone)]
pub struct Desk {
    hands: Hands,
    bounds: Bounds,
    room: Arc<Room>,
    connections: Arc<AtomicUsize>,
}

impl Desk {
    /// A desk where `hands` take mails within `bounds`.
    #[must_use]
    pub fn new(hands: Hands, bounds: Bounds) -> Self {
        let room = Arc::new(Room::new(bounds.spool));
        Self { hands, bounds, room, connections: Arc::default() }
    }

    /// Talks with one client until it leaves, breaks a bound, or is thrown out.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn talk<S>(&self, stream: S, protocol: Protocol, stop: &CancellationToken) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        dialogue::serve(stream, self, protocol, stop).await
    }

    /// A place at the desk; `None`: all are taken.
    fn seat(&self) -> Option<Seat> {
        let connections = self.connections.clone();
        let taken = connections.fetch_add(1, Ordering::AcqRel);
        let seat = Seat { connections };
        (taken < self.bounds.connections).then_some(seat)
    }
}

/// One connection's place, free again when dropped.
struct Seat {
    connections: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The doors that `listen` asks for.
#[must_use]
pub fn doors(listen: &ListenSettings) -> Vec<Door> {
    let door = |protocol, place| Door { protocol, place, allow: listen.allow.clone() };
    let smtp = listen.smtp.map(|addr| door(Protocol::Smtp, Socket::Tcp(addr)));
    let lmtp = listen.lmtp.clone().map(|place| door(Protocol::Lmtp, place));
    smtp.into_iter().chain(lmtp).collect()
}

/// Opens `door` and serves it until `stop`. Must be called on a tokio runtime.
///
/// # Errors
/// In words for the operator: the address or path cannot be listened on.
pub async fn serve(door: &Door, desk: Desk, stop: CancellationToken) -> Result<Serving, String> {
    let listening = Listening::open(door).await?;
    let place = listening.place().clone();
    let tracker = TaskTracker::new();
    tracker.spawn(accept(listening, door.protocol, desk, stop, tracker.clone()));
    tracker.close();
    tracing::info!(protocol = door.protocol.as_str(), %place, "listening for what comes back");
    Ok(Serving { place, tracker })
}

/// Opens and serves every door that `listen` asks for: those at work, and in words why others are not.
pub async fn serve_all(listen: &ListenSettings, desk: &Desk, stop: &CancellationToken) -> (Vec<Serving>, Vec<String>) {
    let (mut serving, mut failed) = (Vec::new(), Vec::new());
    for door in doors(listen) {
        match serve(&door, desk.clone(), stop.clone()).await {
            Ok(one) => serving.push(one),
            Err(why) => failed.push(why),
        }
    }
    (serving, failed)
}

async fn accept(listening: Listening, protocol: Protocol, desk: Desk, stop: CancellationToken, tracker: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listening.accept() => accepted,
        };
        match accepted {
            Ok(Accepted::Stranger(stream, peer)) => {
                tracing::warn!(%peer, "refused: neither loopback nor in `allow`");
                socket::turn_away(stream, b"554 5.7.1 This host is not let in\r\n");
            }
            Ok(Accepted::Guest(stream)) => match desk.seat() {
                None => socket::turn_away(stream, b"421 4.3.2 Too many connections, come again later\r\n"),
                Some(seat) => {
                    let (desk, stop) = (desk.clone(), stop.clone());
                    tracker.spawn(async move {
                        if let Err(error) = desk.talk(stream, protocol, &stop).await {
                            tracing::debug!(%error, "a connection broke");
                        }
                        drop(seat);
                    });
                }
            },
            Err(error) => {
                // Out of file descriptors: a connection must end before another can begin.
                tracing::warn!(%error, "no connection can be taken");
                tokio::select! { () = stop.cancelled() => break, () = desk.hands.clock.sleep(PAUSE) => {} }
            }
        }
    }
}

/// Wait before the next try, when the system has no connection to give.
const PAUSE: Duration = Duration::from_millis(200);
