//! Owns what an enhanced status code alone says (RFC 3463 and the IANA registry of its extensions), and what a bare code does.
//!
//! Invariants: nothing of subject 7 (policy) suppresses an address; a code that means several things in the field is
//! [`Weight::Vague`], so that words come before it.

use super::{Action, Enhanced, Reason, Signal, Stage};

/// How much a code says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// One thing.
    Plain,
    /// Several: any word tells more.
    Vague,
}

/// What a code says: why, whose fault, what to do.
pub(super) type Meaning = (Reason, Signal, Action);

/// Whose fault it is and what is done where a reason is known and no rule says more. Temporary refusals are tried again.
pub(super) fn usual(reason: Reason) -> Meaning {
    use Reason as R;
    let (signal, action) = match reason {
        R::UserUnknown | R::HasMoved => (Signal::Recipient, Action::Suppress),
        R::HostUnknown | R::Suspended | R::Filtered => (Signal::Recipient, Action::Fail),
        R::MailboxFull => (Signal::Recipient, Action::Retry),
        R::MessageTooBig | R::Content | R::Spam | R::Virus => (Signal::Content, Action::Fail),
        R::Blocked | R::BadReputation => (Signal::Reputation, Action::Block),
        R::PolicyViolation => (Signal::Reputation, Action::Fail),
        R::RateLimited | R::NetworkError => (Signal::Volume, Action::Throttle),
        R::Expired => (Signal::Volume, Action::Retry),
        // What one host says, perhaps behind a forward, stops no campaign.
        R::AuthFailure | R::SenderRejected | R::SecurityError => (Signal::SenderSetup, Action::Fail),
        R::NoRelaying | R::SyntaxError => (Signal::Relay, Action::Fail),
        R::SystemError | R::SystemFull | R::NotAccept => (Signal::Relay, Action::Retry),
        R::NotARefusal | R::Undefined => (Signal::Unclassified, Action::Fail),
    };
    (reason, signal, action)
}

/// What `code` says by itself; `None`: nothing.
pub(super) fn meaning(code: Enhanced) -> Option<(Meaning, Weight)> {
    use Reason as R;
    let Enhanced(_, subject, detail) = code;
    let plain = |reason| Some((usual(reason), Weight::Plain));
    let kept = |reason| Some(((reason, Signal::Recipient, Action::Fail), Weight::Plain));
    let vague = |reason| Some((usual(reason), Weight::Vague));
    match (subject, detail) {
        // An address that is unknown, or that some system on the way could not write.
        (1, 0) => Some(((R::UserUnknown, Signal::Recipient, Action::Fail), Weight::Vague)),
        (1, 1) => plain(R::UserUnknown),
        (1, 2) => plain(R::HostUnknown),
        (1, 3 | 4) => kept(R::UserUnknown),
        (1, 6) => plain(R::HasMoved),
        (1, 7 | 8) => plain(R::SenderRejected),
        // A null MX (RFC 7505); Exchange Online says it of an unknown address.
        (1, 10) => Some(((R::HostUnknown, Signal::Recipient, Action::Suppress), Weight::Plain)),
        (1, 90) => plain(R::RateLimited),
        (2, 0) => vague(R::Filtered),
        (2, 1) => Some((usual(R::Suspended), Weight::Vague)),
        (2, 2) => plain(R::MailboxFull),
        (2, 3) => plain(R::MessageTooBig),
        // Exchange Online: one recipient gets mail too fast.
        (2, 121 | 122) => Some(((R::RateLimited, Signal::Recipient, Action::Retry), Weight::Plain)),
        (3, 0) => vague(R::SystemError),
        (3, 1) => plain(R::SystemFull),
        (3, 2) => vague(R::NotAccept),
        (3, 3 | 5) => plain(R::SystemError),
        (3, 4) => plain(R::MessageTooBig),
        (4, 4 | 310) if code.0 == 5 => vague(R::HostUnknown),
        (4, 3) => plain(R::SystemError),
        (4, 5) => plain(R::RateLimited),
        (4, 7 | 300) => vague(R::Expired),
        (4, _) => vague(R::NetworkError),
        (5, 3) => plain(R::RateLimited),
        // For now, a host's own trouble rather than a command that it will not know later either.
        (5, _) if code.0 == 4 => vague(R::SystemError),
        (5, 0) => vague(R::SyntaxError),
        (5, _) => plain(R::SyntaxError),
        (6, _) => plain(R::Content),
        (7, detail) => policy(detail),
        _ => None,
    }
}

impl Enhanced {
    /// Whether the code alone says one thing, so that words which say only that it failed add nothing.
    #[must_use]
    pub fn is_plain(self) -> bool {
        meaning(self).is_some_and(|(_, weight)| weight == Weight::Plain)
    }
}

/// Subject 7: security and policy, with the details that Microsoft added.
fn policy(detail: u16) -> Option<(Meaning, Weight)> {
    use Reason as R;
    let (reason, weight) = match detail {
        0..=2 => (R::PolicyViolation, Weight::Vague),
        // The mailbox's account, as some say it when mail is put in; of a sender's login it is heard before any recipient.
        13 => return Some((usual(R::Suspended), Weight::Plain)),
        3..=6 | 8..=12 | 14 | 30 | 139 => (R::SecurityError, Weight::Plain),
        7 | 20..=26 | 29 | 509 | 515 => (R::AuthFailure, Weight::Plain),
        // The mailbox or its domain changed hands (RFC 7293).
        17 | 18 => return Some(((R::HasMoved, Signal::Recipient, Action::Fail), Weight::Plain)),
        27 | 501..=503 => (R::SenderRejected, Weight::Plain),
        28 | 232 | 233 | 500 | 652 | 705 => (R::RateLimited, Weight::Plain),
        // The recipient, or the group that it is, takes mail from some only.
        124 | 129 | 133..=136 => return Some((usual(R::Filtered), Weight::Plain)),
        511 | 606..=649 => (R::Blocked, Weight::Plain),
        650 | 651 | 708 => (R::BadReputation, Weight::Plain),
        _ => (R::PolicyViolation, Weight::Vague),
    };
    Some((usual(reason), weight))
}

/// What a bare reply code of a report says (RFC 5321 4.2.2, RFC 7504 for 521 and 556), and the stage.
pub(super) fn of_code(code: Option<u16>, stage: Option<Stage>) -> Meaning {
    use Reason as R;
    let unclassified = |reason, action| (reason, Signal::Unclassified, action);
    match (code, stage) {
        (Some(421), _) => usual(R::RateLimited),
        (Some(521), _) => usual(R::NotAccept),
        (Some(525), _) => usual(R::Suspended),
        (Some(530 | 534 | 535 | 538), _) => usual(R::SecurityError),
        (Some(552), _) => usual(R::MailboxFull),
        (Some(556), _) => usual(R::HostUnknown),
        (Some(500..=504), _) => usual(R::SyntaxError),
        (Some(500..=599), Some(Stage::Mail)) => usual(R::SenderRejected),
        (Some(400..=499), _) => unclassified(R::Undefined, Action::Retry),
        _ => unclassified(R::Undefined, Action::Fail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_policy_code_suppresses_and_every_usual_meaning_agrees_with_its_reason() {
        for class in [4, 5] {
            for subject in 0..9 {
                for detail in 0..1000 {
                    if let Some(((reason, signal, action), _)) = meaning(Enhanced(class, subject, detail)) {
                        assert!(subject != 7 || action != Action::Suppress, "{subject}.{detail}");
                        assert!(!reason.is_recipients() || signal == Signal::Recipient, "{subject}.{detail}");
                        assert!(action != Action::Suppress || reason.is_recipients(), "{subject}.{detail}");
                    }
                }
            }
        }
        for reason in Reason::ALL {
            assert_eq!(reason.is_recipients(), usual(reason).1 == Signal::Recipient, "{reason:?}");
        }
    }
}
