//! Owns the doors: TCP addresses and Unix sockets, and who is let in.
//!
//! Invariants: loopback is let in, others only from the networks that are named; the socket of a listener that lives is never taken
//! away, one that a dead listener left is; a Unix socket is for its owner and group (mode 0660).

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{Network, Socket};

/// What is spoken behind a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: an answer for each recipient.
    Lmtp,
}

impl Protocol {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}

/// What to open, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// What is spoken.
    pub protocol: Protocol,
    /// Where.
    pub place: Socket,
    /// Networks that are let in beside loopback.
    pub allow: Vec<Network>,
}

/// An open door.
pub(super) struct Listening {
    kind: Kind,
    place: Socket,
    allow: Vec<Network>,
    /// Device and inode of our socket: another's at the same path is not ours to remove.
    node: Option<(u64, u64)>,
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who came.
pub(super) enum Accepted {
    Guest(Stream),
    /// From nowhere that is let in.
    Stranger(Stream, IpAddr),
}

impl Listening {
    /// Opens `door`.
    ///
    /// # Errors
    /// In words: why it cannot be.
    pub(super) async fn open(door: &Door) -> Result<Self, String> {
        let key = door.protocol.as_str();
        let fail = |error: io::Error| format!("`listen.{key}`: {} cannot be listened on: {error}", door.place);
        let allow = door.allow.clone();
        match &door.place {
            Socket::Tcp(addr) => {
                let listener = TcpListener::bind(addr).await.map_err(fail)?;
                let place = Socket::Tcp(listener.local_addr().map_err(fail)?);
                Ok(Self { kind: Kind::Tcp(listener), place, allow, node: None })
            }
            Socket::Unix(path) => {
                let listener = bind_unix(path).map_err(fail)?;
                let node = std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()));
                Ok(Self { kind: Kind::Unix(listener), place: door.place.clone(), allow, node })
            }
        }
    }

    pub(super) fn place(&self) -> &Socket {
        &self.place
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Unix(listener) => Ok(Accepted::Guest(Stream::Unix(listener.accept().await?.0))),
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let ip = peer.ip().to_canonical();
                let known = ip.is_loopback() || self.allow.iter().any(|network| network.contains(ip));
                stream.set_nodelay(true)?;
                Ok(if known {
                    Accepted::Guest(Stream::Tcp(stream))
                } else {
                    Accepted::Stranger(Stream::Tcp(stream), ip)
                })
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let (Socket::Unix(path), Some(node)) = (&self.place, self.node)
            && std::fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == node)
        {
            // One that stays is taken for a dead listener's by the next.
            std::fs::remove_file(path).ok();
        }
    }
}

/// Binds `path`, whatever a dead listener left there.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there")),
        },
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Says one line to who cannot be served, as far as the system takes it at once, and hangs up.
pub(super) fn turn_away(stream: Stream, line: &[u8]) {
    // A client that does not hear it finds the connection closed, which means the same.
    let _ = match stream {
        Stream::Tcp(stream) => stream.into_std().and_then(|mut stream| stream.write(line)),
        Stream::Unix(stream) => stream.into_std().and_then(|mut stream| stream.write(line)),
    };
}

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
