//! Owns what a report from beyond the relay does to the address that it is about.
//!
//! Invariants: only an address's own fault suppresses it, never a policy refusal, never what may still arrive; a mailbox that is
//! full or switched off today may take mail tomorrow: it is counted.

use super::{Action, Reading, Reason};
use crate::core::feedback::Fate;

/// What a report does to its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    Nothing,
    /// There is no such address: it is suppressed at once.
    Unknown,
    /// Its mailbox is full or suspended: it is suppressed after some such reports without a delivery between them.
    Mailbox,
    /// It complained: it is suppressed at once.
    Complaint,
    /// It left the list: mail of that sending domain is held back.
    Unsubscribe,
}

impl Consequence {
    /// In words, as people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Unknown => "suppressed at once: unknown",
            Self::Mailbox => "counted against its mailbox",
            Self::Complaint => "suppressed at once: complaint",
            Self::Unsubscribe => "unsubscribed from the sending domain",
        }
    }
}

/// What a report of `fate`, read as `reading` where something was refused, does to its address.
#[must_use]
pub fn consequence(fate: Fate, reading: Option<&Reading>) -> Consequence {
    match (fate, reading) {
        (Fate::Complaint, _) => Consequence::Complaint,
        (Fate::Unsubscribed, _) => Consequence::Unsubscribe,
        (Fate::Refused, Some(reading)) => match (reading.reason, reading.action) {
            (Reason::MailboxFull | Reason::Suspended, _) => Consequence::Mailbox,
            (Reason::UserUnknown | Reason::HostUnknown | Reason::HasMoved, Action::Suppress) => Consequence::Unknown,
            _ => Consequence::Nothing,
        },
        (Fate::Refused | Fate::Delivered | Fate::Delayed | Fate::AutoReply, _) => Consequence::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::reply::Signal;

    fn of(fate: Fate, reason: Reason, action: Action) -> Consequence {
        let signal = if reason.is_recipients() { Signal::Recipient } else { Signal::Reputation };
        consequence(fate, Some(&Reading { rule: None, reason, signal, action, from_relay: false, meaning: "".into() }))
    }

    #[test]
    fn only_an_unknown_address_is_suppressed_for_a_refusal() {
        for reason in Reason::ALL {
            let unknown = matches!(reason, Reason::UserUnknown | Reason::HostUnknown | Reason::HasMoved);
            let mailbox = matches!(reason, Reason::MailboxFull | Reason::Suspended);
            for action in [Action::Suppress, Action::Fail, Action::Retry, Action::Throttle, Action::Block] {
                let expected = match (mailbox, unknown && action == Action::Suppress) {
                    (true, _) => Consequence::Mailbox,
                    (_, true) => Consequence::Unknown,
                    _ => Consequence::Nothing,
                };
                assert_eq!(of(Fate::Refused, reason, action), expected, "{} {}", reason.as_str(), action.as_str());
                assert_eq!(of(Fate::Delayed, reason, action), Consequence::Nothing, "it may still arrive");
                assert_eq!(of(Fate::Delivered, reason, action), Consequence::Nothing);
            }
        }
    }

    #[test]
    fn a_complaint_suppresses_and_leaving_a_list_is_of_that_list() {
        assert_eq!(consequence(Fate::Complaint, None), Consequence::Complaint);
        assert_eq!(consequence(Fate::Unsubscribed, None), Consequence::Unsubscribe);
        assert_eq!(consequence(Fate::AutoReply, None), Consequence::Nothing);
    }
}
