//! Owns the settings of the worker's own listeners.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Network;

/// Where the worker listens for what comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenSettings {
    /// SMTP.
    pub smtp: Option<SocketAddr>,
    /// LMTP.
    pub lmtp: Option<Socket>,
    /// HTTP: unsubscribe links and providers' events.
    pub http: Option<SocketAddr>,
    /// Networks that may connect by SMTP and LMTP, beside loopback.
    pub allow: Vec<Network>,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Socket {
    /// Address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
