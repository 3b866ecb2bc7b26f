//! Owns the words for what comes back from beyond the relay: bounce mail, complaints, providers' events, a relay's log.
//!
//! Invariants: [`Heard`] holds facts only, as its source wrote them, all of them bounded; what they mean is decided by the reply
//! rules, and whose mail it was by the signed token. A report never moves a message out of its final state: what came
//! back is written beside it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reply::{Enhanced, Stage};

/// Longest text of a diagnostic that is kept, in characters.
pub const TEXT_MOST: usize = 1_000;

/// The way on which something was heard: `mail`, `log`, or a provider's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Way(pub Cow<'static, str>);

impl Way {
    /// Mail to the envelope sender: bounces, complaints.
    pub const MAIL: Self = Self(Cow::Borrowed("mail"));
    /// The log of a relay.
    pub const LOG: Self = Self(Cow::Borrowed("log"));

    /// The events of a provider.
    #[must_use]
    pub const fn provider(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The word used in the store and in output.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a message beyond the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The destination took it.
    Delivered,
    /// Not yet; the relay tries on.
    Delayed,
    /// The destination, or the relay on its behalf, gave it up.
    Refused,
    /// Its recipient complained of it.
    Complaint,
    /// Its recipient left the list.
    Unsubscribed,
    /// A program answered for its recipient (out of office): says nothing about the delivery.
    AutoReply,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Delayed, Self::Refused, Self::Complaint, Self::Unsubscribed, Self::AutoReply];

    /// The word used in the store and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Delayed => "delayed",
            Self::Refused => "refused",
            Self::Complaint => "complaint",
            Self::Unsubscribed => "unsubscribed",
            Self::AutoReply => "auto-reply",
        }
    }
}

/// What the destination (or the relay) said, as far as the report tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The SMTP reply code.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub enhanced: Option<Enhanced>,
    /// The words, without codes in front where these were told apart, lines joined by `\n`; at most [`TEXT_MOST`] characters.
    pub text: String,
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codes = [self.code.map(|c| c.to_string()), self.enhanced.map(|e| e.to_string())];
        let text = (!self.text.is_empty()).then(|| self.text.replace('\n', " / "));
        let said: Vec<String> = codes.into_iter().flatten().chain(text).collect();
        f.write_str(&said.join(" "))
    }
}

/// One thing that was heard about one recipient, as its source wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The way it came.
    pub way: Way,
    /// What makes a repeat of the same report the same: an event's own id, or a digest of what identifies it. Unique per way.
    pub id: String,
    /// When it happened, by the report; `None`: it does not say.
    pub at: Option<Timestamp>,
    /// What became of the message.
    pub fate: Fate,
    /// What was said.
    pub said: Diagnostic,
    /// At which stage of the transaction with the destination, where known.
    pub stage: Option<Stage>,
    /// The receiving host, where known.
    pub remote: Option<String>,
    /// Texts that may carry the message's token (envelope sender, Message-ID, a tag), the most trustworthy first. A token counts
    /// only when its signature is right.
    pub clues: Vec<String>,
    /// The recipient as the report names it: original before final, `local@domain`.
    pub recipient: Option<String>,
    /// For a person who asks why: the lines that decided, bounded to about 2,000 characters.
    pub evidence: String,
}
