//! Owns the bytes of a message: templates, headers, tokens.
//!
//! Invariants: composing is late, from the stored revision; the same message always has the same Message-ID and token; nothing
//! from a list can end a header or a command.

mod css;
mod dkim;
mod eml;
mod header_names;
mod mailbox;
mod message;
mod outline;
mod part;
mod template;
mod token;

use std::num::NonZeroU32;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::campaign::MessageId;
use crate::relay::Outgoing;

pub use css::{CssProblem, Inlined, inline_css};
pub use dkim::{Alignment, BadKey, Signer, SigningKey, alignment};
pub use eml::{Eml, read_eml};
pub use header_names::{LINE_MAX, check_header_name, is_header_name, is_own_header};
pub use mailbox::{Mailbox, NotASender, ascii_domain};
pub use message::{Shown, Templates};
pub use part::{Part, Transfer};
pub use template::{BUILT_IN, Places, check_syntax};
pub use token::{KeyError, TOKEN_LETTERS, Tokens};

/// What a campaign says: stored as JSON in its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Campaign name.
    pub campaign: String,
    /// `"例市場 <news@m.example.jp>"`
    pub from: String,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// Template.
    pub subject: String,
    /// Template of the text part.
    pub text: Option<String>,
    /// Template of the HTML part.
    pub html: Option<String>,
    /// Parts of a mail made elsewhere, in place of text and html.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Part>,
    /// Further headers: name and template.
    pub headers: Vec<(String, String)>,
    /// Unsubscribe URL (template, `{token}` too) and whether one click is enough (RFC 8058).
    pub unsubscribe: Option<Unsubscribe>,
    /// The list that its recipients came from, for people: not part of what is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// How to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// `https://example.jp/u/{token}`; columns as `{{ name }}`.
    pub url: Option<String>,
    /// `mailto:` address.
    pub mailto: Option<String>,
    /// List-Unsubscribe-Post is added.
    pub one_click: bool,
}

/// Who sends: what a relay puts on the message.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Sending domain: the variable `domain`. (A Message-ID takes the domain of the campaign's `from`, so that it stays the same
    /// whichever relay carries the message.)
    pub domain: String,
    /// Envelope sender with `{token}`; `None`: the campaign's address.
    pub envelope_from: Option<String>,
    /// Headers of the relay.
    pub headers: Vec<(String, String)>,
    /// Signs its messages.
    pub dkim: Option<Arc<Signer>>,
    /// Largest message that it takes, octets.
    pub message_bytes: Option<NonZeroU32>,
}

/// One recipient.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// Message number.
    pub message: MessageId,
    /// `local@domain`
    pub address: &'a str,
    /// JSON object of texts.
    pub columns: &'a str,
}

/// Why a message could not be made: what, where, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ComposeError(pub String);

/// Makes the messages of one revision. Compiled once, used for every recipient.
pub trait Composer: Send + Sync {
    /// The message for `recipient` as `identity`, dated `date`.
    ///
    /// # Errors
    /// When a template fails on this row, or the result breaks a limit of the recipient's group.
    fn compose(&self, recipient: Recipient<'_>, identity: &Identity, date: Timestamp)
    -> Result<Outgoing, ComposeError>;
}
