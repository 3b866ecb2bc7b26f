//! Owns the bytes of a connection: what lettre writes is collected and leaves in one piece when it starts to read; what the
//! server sends is cut into checked replies, of which lettre is handed one at a time.
//!
//! Invariants: no reply is read ahead into lettre, so nothing injected behind the answer to STARTTLS, and no reply nobody
//! asked for, can be taken for a later answer; the real reply is kept beside what lettre sees (it joins lines and drops text).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::faults;
use super::replies::{self, RawReply};
use crate::core::reply::Fault;

/// Capacity of the outgoing buffer that is kept between messages.
const OUTGOING_KEPT: usize = 1024 * 1024;

/// A connection in clear or in TLS.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Taken out for a handshake that has not come back.
    Gone,
}

impl Transport {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, into),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, into),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, from),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, from),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Plain(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// The two directions of a connection. Shared between lettre's stream and the session; never waited for, so a plain mutex.
pub(super) struct Wire {
    transport: Transport,
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that the transport took.
    written: usize,
    /// Bytes ever queued and ever taken by the transport: marks in them tell what may have left.
    queued: u64,
    sent: u64,
    incoming: Vec<u8>,
    handed: &'static [u8],
    reply: Option<RawReply>,
    /// The 421 that came unasked: the server's last words.
    farewell: Option<RawReply>,
    fault: Option<Fault>,
}

impl Wire {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            outgoing: Vec::new(),
            written: 0,
            queued: 0,
            sent: 0,
            incoming: Vec::new(),
            handed: &[],
            reply: None,
            farewell: None,
            fault: None,
        }
    }

    /// Appends to what leaves at the next read.
    pub(super) fn queue(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        let before = self.outgoing.len();
        append(&mut self.outgoing);
        self.queued += (self.outgoing.len() - before) as u64;
    }

    /// Bytes ever queued: a mark for [`Wire::may_have_left`].
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// Whether the byte behind `mark` may have left this machine.
    pub(super) fn may_have_left(&self, mark: u64) -> bool {
        self.sent > mark
    }

    /// The reply or fault that the last read ended with.
    pub(super) fn take_answer(&mut self) -> Option<Result<RawReply, Fault>> {
        self.reply.take().map(Ok).or_else(|| self.fault.clone().map(Err))
    }

    /// Writes what is queued. While the server does not take it, what it says is listened to: a server that refuses
    /// half-way answers and stops reading.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.written < self.outgoing.len() {
            let chunk = &self.outgoing[self.written..];
            match self.transport.poll_write(cx, chunk) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.broken(Fault::Closed))),
                Poll::Ready(Ok(n)) => {
                    self.written += n;
                    self.sent += n as u64;
                }
                Poll::Ready(Err(error)) => {
                    if matches!(self.transport, Transport::Tls(_)) {
                        // TLS may have sent records of this very write before it failed.
                        self.sent += chunk.len() as u64;
                    }
                    self.outgoing.clear();
                    self.written = 0;
                    return Poll::Ready(Err(self.broken(faults::of_io(&error))));
                }
                Poll::Pending => return self.poll_reply(cx),
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(OUTGOING_KEPT);
        self.written = 0;
        match self.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken(faults::of_io(&error)))),
            Poll::Pending => self.poll_reply(cx),
        }
    }

    /// Reads until a complete reply is there, and keeps it.
    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            match replies::take(&mut self.incoming) {
                Ok(Some(reply)) => {
                    self.handed = reply.canonical();
                    self.reply = Some(reply);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => ready!(self.poll_fill(cx))?,
                Err(why) => return Poll::Ready(Err(self.broken(Fault::Protocol(why)))),
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut space = [0_u8; 4096];
        let mut buffer = ReadBuf::new(&mut space);
        match ready!(self.transport.poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Poll::Ready(Err(self.broken(Fault::Closed))),
            Ok(()) => {
                self.incoming.extend_from_slice(buffer.filled());
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.broken(faults::of_io(&error)))),
        }
    }

    /// The reply that came before all was written, if one did.
    pub(super) fn take_early(&mut self) -> Option<RawReply> {
        self.handed = &[];
        self.reply.take()
    }

    /// Whether the server has been silent since its last reply. `Ready(Some)`: the reply or fault it came with instead.
    pub(super) fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Option<Result<RawReply, Fault>> {
        if let Some(farewell) = &self.farewell {
            return Some(Ok(farewell.clone()));
        }
        if let Some(fault) = &self.fault {
            return Some(Err(fault.clone()));
        }
        if self.incoming.is_empty() {
            match self.poll_fill(cx) {
                Poll::Pending => return None,
                Poll::Ready(Err(fault)) => return Some(Err(fault)),
                Poll::Ready(Ok(())) => {}
            }
        }
        let shown = replies::excerpt(&self.incoming);
        if let Ok(Some(reply)) = replies::take(&mut self.incoming)
            && reply.code == 421
        {
            self.farewell = Some(reply.clone());
            return Some(Ok(reply));
        }
        Some(Err(self.broken(Fault::Protocol(format!("words that nobody asked for: {shown}")))))
    }

    /// Keeps what broke the connection; what goes wrong after it is only its echo.
    fn broken(&mut self, fault: Fault) -> Fault {
        self.fault.get_or_insert(fault).clone()
    }

    /// Takes the connection out to be wrapped in TLS.
    ///
    /// # Errors
    /// When bytes in clear came behind the answer to STARTTLS (CVE-2011-0411 and its kin).
    pub(super) fn take_plain(&mut self) -> Result<TcpStream, Fault> {
        if !self.incoming.is_empty() {
            let shown = replies::excerpt(&self.incoming);
            let why = format!("bytes in clear injected behind the answer to STARTTLS: {shown}");
            return Err(self.broken(Fault::Protocol(why)));
        }
        match std::mem::replace(&mut self.transport, Transport::Gone) {
            Transport::Plain(tcp) => Ok(tcp),
            Transport::Tls(_) | Transport::Gone => Err(self.broken(Fault::Closed)),
        }
    }

    /// Puts the connection back, in TLS.
    pub(super) fn put_tls(&mut self, tls: Box<TlsStream<TcpStream>>) {
        self.transport = Transport::Tls(tls);
    }

    /// Ends our direction; in TLS with close_notify.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.poll_shutdown(cx).map(|_| ())
    }
}

/// The end of a connection that lettre holds.
pub(super) struct WireStream {
    wire: Arc<Mutex<Wire>>,
    peer: SocketAddr,
}

/// The end that the session holds.
pub(super) struct WireHandle(Arc<Mutex<Wire>>);

impl WireHandle {
    /// Nothing that holds the lock can leave the wire half-changed, so a poisoned one is as good.
    pub(super) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes both ends of a connection.
pub(super) fn pair(transport: Transport, peer: SocketAddr) -> (WireHandle, WireStream) {
    let wire = Arc::new(Mutex::new(Wire::new(transport)));
    (WireHandle(Arc::clone(&wire)), WireStream { wire, peer })
}

impl WireStream {
    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for WireStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WireStream({})", self.peer)
    }
}

impl AsyncTokioStream for WireStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

fn ended(fault: &Fault) -> io::Error {
    io::Error::other(fault.to_string())
}

impl AsyncRead for WireStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.lock();
        if wire.handed.is_empty() {
            // A failed write is not yet the answer: a server that says 421 and closes is to be heard.
            let _ = ready!(wire.poll_drain(cx));
            // A reply that is still to be taken is the answer. (lettre says QUIT of its own after a refused EHLO, and reads on.)
            if wire.reply.is_none() {
                ready!(wire.poll_reply(cx)).map_err(|fault| ended(&fault))?;
            }
        }
        let n = wire.handed.len().min(into.remaining());
        let (now, later) = wire.handed.split_at(n);
        into.put_slice(now);
        wire.handed = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().queue(|outgoing| outgoing.extend_from_slice(from));
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_shutdown(cx).map(Ok)
    }
}
