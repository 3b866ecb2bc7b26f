//! Owns the translation of input and output errors into faults.

use std::io::{Error, ErrorKind};

use tokio_rustls::rustls;

use super::tls;
use crate::core::reply::Fault;

/// What an error of an open connection means.
pub(super) fn of_io(error: &Error) -> Fault {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Fault::Tls(tls::in_words(tls, None));
    }
    match error.kind() {
        // A write into a connection that was reset before comes back as a broken pipe.
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Fault::Reset,
        ErrorKind::UnexpectedEof | ErrorKind::NotConnected => Fault::Closed,
        ErrorKind::ConnectionRefused => Fault::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Fault::Unreachable(error.to_string())
        }
        ErrorKind::TimedOut => Fault::Timeout,
        _ => Fault::Io(error.to_string()),
    }
}
