//! Owns the reasons for which mail comes back: finer than a signal, in the field's words.
//!
//! Invariant: only [`Reason::is_recipients`] reasons speak of the address or its mailbox; every other says nothing against it.

use serde::{Deserialize, Serialize};

use super::{Action, Signal};

/// Why mail was refused, deferred or sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no such address.
    UserUnknown,
    /// There is no such domain, or it takes no mail.
    HostUnknown,
    /// The address has moved; a new one may be named.
    HasMoved,
    /// The mailbox has no room.
    MailboxFull,
    /// The mailbox exists and is switched off, expired or idle for too long.
    Suspended,
    /// The recipient's own filter or settings.
    Filtered,
    /// The message is larger than the destination takes.
    MessageTooBig,
    /// Form or words of the message: headers, lines, encodings, links.
    Content,
    /// The destination takes it for spam.
    Spam,
    /// A virus, or an attachment that is not let in.
    Virus,
    /// The sending IP is on a list or not let in.
    Blocked,
    /// The sending IP or domain has too bad a name.
    BadReputation,
    /// Too much, too fast, too many connections or recipients.
    RateLimited,
    /// SPF, DKIM, DMARC, or the name of the sending IP.
    AuthFailure,
    /// The sender's address or domain is refused.
    SenderRejected,
    /// A rule of the destination that no other reason names.
    PolicyViolation,
    /// The relay does not send for this client or domain.
    NoRelaying,
    /// TLS or login between the hosts.
    SecurityError,
    /// Tried for too long.
    Expired,
    /// No route, no answer, a broken connection.
    NetworkError,
    /// The destination's (or the relay's) own trouble.
    SystemError,
    /// Its disk is full.
    SystemFull,
    /// The host takes no mail at all.
    NotAccept,
    /// A command or reply out of order.
    SyntaxError,
    /// A complaint, an auto-reply or a delivery: not a refusal.
    NotARefusal,
    /// Nothing says why.
    Undefined,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 26] = [
        Self::UserUnknown,
        Self::HostUnknown,
        Self::HasMoved,
        Self::MailboxFull,
        Self::Suspended,
        Self::Filtered,
        Self::MessageTooBig,
        Self::Content,
        Self::Spam,
        Self::Virus,
        Self::Blocked,
        Self::BadReputation,
        Self::RateLimited,
        Self::AuthFailure,
        Self::SenderRejected,
        Self::PolicyViolation,
        Self::NoRelaying,
        Self::SecurityError,
        Self::Expired,
        Self::NetworkError,
        Self::SystemError,
        Self::SystemFull,
        Self::NotAccept,
        Self::SyntaxError,
        Self::NotARefusal,
        Self::Undefined,
    ];

    /// The word used in rules, the store and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserUnknown => "user-unknown",
            Self::HostUnknown => "host-unknown",
            Self::HasMoved => "has-moved",
            Self::MailboxFull => "mailbox-full",
            Self::Suspended => "suspended",
            Self::Filtered => "filtered",
            Self::MessageTooBig => "message-too-big",
            Self::Content => "content",
            Self::Spam => "spam",
            Self::Virus => "virus",
            Self::Blocked => "blocked",
            Self::BadReputation => "bad-reputation",
            Self::RateLimited => "rate-limited",
            Self::AuthFailure => "auth-failure",
            Self::SenderRejected => "sender-rejected",
            Self::PolicyViolation => "policy-violation",
            Self::NoRelaying => "no-relaying",
            Self::SecurityError => "security-error",
            Self::Expired => "expired",
            Self::NetworkError => "network-error",
            Self::SystemError => "system-error",
            Self::SystemFull => "system-full",
            Self::NotAccept => "not-accept",
            Self::SyntaxError => "syntax-error",
            Self::NotARefusal => "not-a-refusal",
            Self::Undefined => "undefined",
        }
    }

    /// Whether the address or its mailbox is at fault.
    #[must_use]
    pub fn is_recipients(self) -> bool {
        matches!(
            self,
            Self::UserUnknown
                | Self::HostUnknown
                | Self::HasMoved
                | Self::MailboxFull
                | Self::Suspended
                | Self::Filtered
        )
    }

    /// The reason of a rule that names none: from whose fault it is, what is done, and its own words (lower case, the
    /// enhanced code among them). A recipient's
    /// fault is read as its filter or as nothing in particular where no word says more: no address is lost by that.
    #[must_use]
    pub fn implied(signal: Signal, action: Action, words: &str) -> Self {
        let any = |known: &[&str]| known.iter().any(|word| words.contains(word));
        match signal {
            Signal::Recipient if action == Action::Suppress => Self::UserUnknown,
            Signal::Recipient
                if any(&[
                    "full",
                    "quota",
                    "storage",
                    "too much mail data",
                    "exceeded the local limit",
                    "5.2.2",
                    "4.2.2",
                ]) =>
            {
                Self::MailboxFull
            }
            Signal::Recipient if any(&["disabled", "inactive", "suspend", "not active"]) => Self::Suspended,
            Signal::Recipient if any(&["too quickly", "at a rate"]) => Self::RateLimited,
            Signal::Recipient if any(&["greylist"]) => Self::PolicyViolation,
            Signal::Recipient if action == Action::Fail => Self::Filtered,
            Signal::Recipient => Self::Undefined,
            Signal::Content if any(&["size", "too big", "too large", "too long"]) => Self::MessageTooBig,
            Signal::Content if any(&["virus"]) => Self::Virus,
            Signal::Content if any(&["spam", "unsolicited"]) => Self::Spam,
            Signal::Content => Self::Content,
            Signal::Volume => Self::RateLimited,
            Signal::Reputation if any(&["reputation", "complaint"]) => Self::BadReputation,
            Signal::Reputation if action == Action::Fail => Self::PolicyViolation,
            Signal::Reputation => Self::Blocked,
            Signal::SenderSetup if any(&["tls"]) => Self::SecurityError,
            Signal::SenderSetup if any(&["does not exist", "domain not found", "from domain", "not verified"]) => {
                Self::SenderRejected
            }
            Signal::SenderSetup => Self::AuthFailure,
            Signal::Relay if any(&["credential", "authenti", "authoriz", "login", "password"]) => Self::SecurityError,
            Signal::Relay if matches!(action, Action::Throttle | Action::Block) => Self::RateLimited,
            Signal::Relay => Self::SystemError,
            Signal::Unclassified => Self::Undefined,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
