//! Owns what a relay is to the rest of the house: a place to open connections to, each of which takes one message after the
//! other, at most two in the air.
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
    /// Offers a message: its envelope is written, unless it left behind the message before, and answered. `None`: the relay
    /// wants the message, which [`Connection::hand_over`] must now bring; else what became of it. Dropping the future leaves
    /// the connection unusable; drop it too.
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery>;
    /// Hands over the message that was offered and wanted. The envelope of `next` leaves in the same write, which saves a
    /// round trip; `next` must then be what is offered next. Dropping the future leaves the connection unusable.
    async fn hand_over(&mut self, mail: &Outgoing, next: Option<&Outgoing>) -> Delivery;
    /// Whether the relay takes an envelope behind a message (RFC 2920). Where it does not, `next` makes no difference.
    fn pipelines(&self) -> bool;
    /// Whether another message may be written: false after a fault, a 421, or bytes nobody asked for.
    fn is_usable(&self) -> bool;
    /// Says QUIT, within a short bound, and closes.
    async fn close(self: Box<Self>);

    /// Offers and hands over one message, with none behind it.
    async fn deliver(&mut self, mail: &Outgoing) -> Delivery {
        match self.offer(mail).await {
            Some(delivery) => delivery,
            None => self.hand_over(mail, None).await,
        }
    }
}
