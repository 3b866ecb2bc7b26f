//! Owns what one attempt showed (stage, reply or fault) and what it means (signal, action).
//!
//! Invariants: classification is total (every delivery gets a reading); it goes by provider, stage, code and
//! text, never by code alone; only a reading whose action is `Suppress` may put an address on the suppression list.

mod consequence;
mod pattern;
mod quoted;
mod reason;
mod report;
mod rules;
mod status;
mod vocabulary;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use consequence::{Consequence, consequence};
pub use pattern::TextPattern;
pub use reason::Reason;
pub use rules::{FaultKind, Provider, Rule, Rules};
pub use vocabulary::speaks_of_a_mailbox;

/// How far an SMTP transaction had come when it was answered. Ordered as in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// TCP connection (and name look-up).
    Connect,
    /// The server's first line.
    Greeting,
    /// EHLO.
    Hello,
    /// STARTTLS and the handshake.
    Tls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// The DATA command.
    Data,
    /// The message and its final dot ("end of data").
    Body,
}

impl Stage {
    /// Every stage, as in time.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Greeting,
        Self::Hello,
        Self::Tls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Body,
    ];

    /// The word used in rules, logs and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Hello => "hello",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
        }
    }
}

/// An enhanced status code (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl std::str::FromStr for Enhanced {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut next = || parts.next().filter(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
        let (class, subject, detail) = (next().ok_or(())?, next().ok_or(())?, next().ok_or(())?);
        let class: u8 = class.parse().map_err(|_| ())?;
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return Err(());
        }
        Ok(Self(class, subject.parse().map_err(|_| ())?, detail.parse().map_err(|_| ())?))
    }
}

/// One SMTP reply. `text` holds the lines without codes, joined by `\n`, control characters removed,
/// at most 1,000 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// The enhanced status code, when the reply carried one.
    pub enhanced: Option<Enhanced>,
    /// The words of the server.
    pub text: String,
}

impl Reply {
    /// Whether the code begins with 2 or 3.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// Whether the code begins with 4.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text.replace('\n', " / ")) }
    }
}

/// What went wrong when no reply came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The name of the relay could not be looked up.
    Resolve(String),
    /// TCP: connection refused.
    Refused,
    /// TCP: no route, network or host unreachable.
    Unreachable(String),
    /// The connection was reset.
    Reset,
    /// The connection was closed by the server before it answered.
    Closed,
    /// No answer within the step's time limit.
    Timeout,
    /// The TLS handshake failed or the certificate was not accepted.
    Tls(String),
    /// The server offers no STARTTLS, or no AUTH mechanism we have: never downgraded.
    NotOffered(String),
    /// There is no access token to log in with.
    Token(String),
    /// What came was not SMTP: malformed, endless, out of order.
    Protocol(String),
    /// Any other input or output error.
    Io(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "name look-up failed: {why}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Reset => f.write_str("connection reset"),
            Self::Closed => f.write_str("connection closed without an answer"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::NotOffered(what) => write!(f, "the relay does not offer {what}"),
            Self::Token(why) => write!(f, "no access token: {why}"),
            Self::Protocol(why) => write!(f, "not SMTP: {why}"),
            Self::Io(why) => f.write_str(why),
        }
    }
}

/// A reply, or what came instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The server spoke.
    Reply(Reply),
    /// It did not.
    Fault(Fault),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => reply.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

/// What one attempt showed: facts only, no opinion.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delivery {
    /// Where the deciding answer came.
    pub stage: Stage,
    /// The deciding answer.
    pub answer: Answer,
    /// Whether RCPT was written: from then on the attempt counts against quota.
    pub rcpt_written: bool,
    /// Whether the final dot was begun: from then on a fault leaves the message uncertain.
    pub dot_begun: bool,
}

impl Delivery {
    /// The relay took the message: 250 to the end of data.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.stage == Stage::Body && matches!(&self.answer, Answer::Reply(reply) if reply.code == 250)
    }

    /// Lost after the final dot was begun and before its reply.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.dot_begun && matches!(self.answer, Answer::Fault(_))
    }
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// The address or its mailbox.
    Recipient,
    /// This mail.
    Content,
    /// Too much, too fast.
    Volume,
    /// The sending IP or domain is not trusted.
    Reputation,
    /// SPF, DKIM, DMARC, PTR, sender domain.
    SenderSetup,
    /// The relay itself: its limits, its login, its service.
    Relay,
    /// No rule knows this reply.
    Unclassified,
}

impl Signal {
    /// The word used in rules, the store and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Content => "content",
            Self::Volume => "volume",
            Self::Reputation => "reputation",
            Self::SenderSetup => "sender-setup",
            Self::Relay => "relay",
            Self::Unclassified => "unclassified",
        }
    }
}

/// What a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The message bounces and its address is never tried again.
    Suppress,
    /// The message bounces; the address stays.
    Fail,
    /// The message is tried again later.
    Retry,
    /// Too fast: tried again later, and the lane (or the relay, where the relay speaks) slows down.
    Throttle,
    /// Not now: tried again later, and the lane (or the relay) pauses for the cooldown.
    Block,
    /// The sender's set-up is at fault: tried again later, and the campaign is paused until the operator resumes it.
    StopCampaign,
}

impl Action {
    /// The word used in rules, the store and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suppress => "suppress",
            Self::Fail => "fail",
            Self::Retry => "retry",
            Self::Throttle => "throttle",
            Self::Block => "block",
            Self::StopCampaign => "stop-campaign",
        }
    }
}

/// What a delivery means: the rule that fired, whose fault it is, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Id of the rule that fired; `None` for the built-in reading of codes and faults.
    pub rule: Option<std::sync::Arc<str>>,
    /// Why, in the field's words.
    pub reason: Reason,
    /// Whose fault.
    pub signal: Signal,
    /// What to do with message, lane, relay, campaign.
    pub action: Action,
    /// Whether it is the relay that speaks (its limits, its login) rather than the destination.
    pub from_relay: bool,
    /// In words.
    pub meaning: std::sync::Arc<str>,
}

impl Reading {
    /// Whether it is about the relay rather than a lane.
    #[must_use]
    pub fn is_relays(&self) -> bool {
        self.from_relay || self.signal == Signal::Relay
    }
}
