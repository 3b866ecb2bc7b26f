//! Owns what a relay is to the rest of the house: a place to open connections to, each of which takes one message at a time.
//!
//! Invariants: every network fault is a value (`Delivery`), never an error; a connection whose delivery was dropped half-way
//! is closed by dropping it and never used again.

pub mod smtp;

use async_trait::async_trait;

use crate::core::reply::Delivery;

/// One message ready for the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Envelope sender, ready for `MAIL FROM:<...>`; empty for the null sender.
    pub envelope_from: String,
    /// Envelope recipient, ready for `RCPT TO:<...>` (quoted where its group wants that).
    pub recipient: String,
    /// The same recipient in the other form, tried when the first is refused with 501 or 553 as malformed.
    pub recipient_alternative: Option<String>,
    /// RFC 5322 bytes, CRLF line ends, not dot-stuffed.
    pub bytes: Vec<u8>,
}

/// One relay.
#[async_trait]
pub trait Relay: Send + Sync {
    /// Opens a connection up to where MAIL may be written (greeting, EHLO, TLS, AUTH). The error holds the stage and what
    /// came (`rcpt_written` and `dot_begun` are false).
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery>;
}

/// An open connection to a relay.
#[async_trait]
pub trait Connection: Send {
    /// Hands over one message. Dropping the future leaves the connection unusable; drop it too.
    async fn deliver(&mut self, mail: &Outgoing) -> Delivery;
    /// Whether another message may be written: false after a fault, a 421, or bytes nobody asked for.
    fn is_usable(&self) -> bool;
    /// Says QUIT, within a short bound, and closes.
    async fn close(self: Box<Self>);
}
