//! Owns what receiving systems say when they do not take a mail, and where in the dialogue they say it.
//!
//! Every text is one that the provider published or that was seen in a bounce (`plans/replies.yaml` has the sources); where
//! nobody knows the words, Postfix's stand in. A test holds that the shipped rules read each as it is meant.

use crate::core::names::GroupName;
use crate::core::reply::{Answer, Enhanced, Fault, Reply};

/// Why a receiving system does not take a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Objection {
    /// Nobody has this address.
    Unknown,
    /// The mailbox is full.
    Full,
    /// Too many messages for the time.
    Pace,
    /// Too many sessions at once.
    Sessions,
    /// Too many messages on one session.
    SessionLength,
    /// Too large a share of unknown users: the sender does not know its list.
    UnknownShare,
}

impl Objection {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Full, Self::Pace, Self::Sessions, Self::SessionLength, Self::UnknownShare];

    /// Whether it will be no different later.
    #[must_use]
    pub fn is_final(self) -> bool {
        self == Self::Unknown
    }
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// A reply; or a reset where the carrier resets the connection instead of answering.
    pub answer: Answer,
    /// Only after the message's final dot.
    pub late: bool,
    /// The answer with its placeholders, to count by.
    pub pattern: &'static str,
}

/// One line of the table: `code enhanced text`, `-` without enhanced code; `RESET` alone.
#[derive(Debug, Clone, Copy)]
struct Line {
    text: &'static str,
    late: bool,
}

const fn early(text: &'static str) -> Option<Line> {
    Some(Line { text, late: false })
}

const fn late(text: &'static str) -> Option<Line> {
    Some(Line { text, late: true })
}

/// What `group` says to `objection` about a mail from `ip` to `address`. `None`: it takes the mail all the same.
#[must_use]
pub fn say(group: &GroupName, objection: Objection, address: &str, ip: &str) -> Option<Said> {
    let line = line(group.as_str(), objection)?;
    let said = |answer| Said { answer, late: line.late, pattern: line.text };
    if line.text == RESET {
        return Some(said(Answer::Fault(Fault::Reset)));
    }
    let mut words = line.text.splitn(3, ' ');
    let code = words.next().and_then(|w| w.parse().ok())?;
    let enhanced: Option<Enhanced> = words.next().and_then(|w| w.parse().ok());
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let text = words.next().unwrap_or("").replace("{addr}", address).replace("{ip}", ip).replace("{domain}", domain);
    Some(said(Answer::Reply(Reply { code, enhanced, text })))
}

/// Pattern of a reset connection.
const RESET: &str = "RESET";

const DOCOMO_BLOCK: Option<Line> = early("421 - Service not available, closing transmission channel");
const MICROSOFT_UNKNOWN: Option<Line> =
    early("550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)");

fn line(group: &str, objection: Objection) -> Option<Line> {
    use Objection::{Full, Pace, SessionLength, Sessions, Unknown, UnknownShare};
    match (group, objection) {
        ("docomo", Unknown) => early("550 - Unknown user {addr}"),
        ("docomo", Full) => late("552 - Too much mail data {addr}"),
        ("docomo", Pace | Sessions | UnknownShare) => DOCOMO_BLOCK,
        ("docomo", SessionLength) => None,

        ("au", Unknown) => early("550 - <{addr}>: User unknown"),
        ("au", Pace | Sessions | UnknownShare) => early(RESET),
        // au and SoftBank tell of a full mailbox later, if at all.
        ("au" | "softbank" | "ymobile", Full | SessionLength) => None,

        ("softbank" | "ymobile", Unknown) => early("550 - Invalid recipient: <{addr}>"),
        ("softbank" | "ymobile", Pace | Sessions | UnknownShare) => early("421 -"),

        ("yahoo-jp", Unknown) => late(
            "554 - delivery error: dd This user doesn't have a yahoo.co.jp account ({addr}) [-5] - mta.mail.yahoo.co.jp",
        ),
        ("yahoo-jp", Pace | Sessions) => {
            early("421 - [TSS04] Messages from {ip} temporarily deferred due to unexpected volume or user complaints")
        }
        ("yahoo-jp", UnknownShare) => early("553 - Mail from {ip} not allowed - VS98-IP0 deferred"),
        ("yahoo-jp", Full | SessionLength) => None,

        ("jcom", Unknown) => early("550 - Invalid recipient: {addr}"),
        ("jcom", SessionLength) => early("421 - #4.x.2 Too many messages for this session"),

        ("gmail", Unknown) => early("550 5.1.1 The email account that you tried to reach does not exist."),
        ("gmail", Full) => early("452 4.2.2 The recipient's inbox is out of storage space."),
        ("gmail", Pace | UnknownShare) => {
            early("421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP address")
        }
        ("gmail", Sessions) => early("421 4.7.0 Try again later, closing connection."),

        ("outlook" | "microsoft365", Unknown) => MICROSOFT_UNKNOWN,
        ("outlook" | "microsoft365", Full) => early("552 5.2.2 Mailbox full"),
        ("outlook" | "microsoft365", Pace | UnknownShare) => early(
            "451 4.7.650 The mail server [{ip}] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S775)",
        ),
        ("outlook" | "microsoft365", Sessions) => {
            early("451 4.7.652 The mail server [{ip}] has exceeded the maximum number of connections. (S3115)")
        }

        ("icloud", Unknown) => early("550 5.1.1 <{addr}>: user does not exist"),
        ("icloud", Full) => early("552 5.2.2 <{addr}>: user is over quota"),
        ("icloud", Pace) => early(
            "421 4.7.1 Messages to {addr} deferred due to excessive volume. Try again later - https://support.apple.com/en-us/HT204137",
        ),
        ("icloud", Sessions) => early("451 - [BS02] Temporary server error. Please try again later."),
        ("icloud", UnknownShare) => early("421 - [HCM1] Your mail from {ip} was deferred."),

        ("yahoo-inc", Unknown) => late("554 - delivery error: dd This user doesn't have a {domain} account ({addr})"),
        ("yahoo-inc", Pace | Sessions | UnknownShare) => early(
            "421 4.7.0 [TSS04] Messages from {ip} temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
        ),
        ("yahoo-inc", SessionLength) => early("421 - Max message per connection reached, closing transmission channel"),

        (_, Unknown) => early("550 5.1.1 <{addr}>: Recipient address rejected: User unknown in virtual alias table"),
        (_, Full) => early("452 4.2.2 <{addr}>: Recipient address rejected: mailbox is full"),
        ("ocn", Pace | Sessions | UnknownShare) => early("450 4.7.1 Error: too much mail from {ip}"),
        (_, Pace | Sessions | UnknownShare) => early("421 4.7.0 Error: too many connections from {ip}"),
        (_, SessionLength) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::groups_file::Destinations;
    use crate::core::reply::{Action, Delivery, Stage};

    #[test]
    fn every_line_of_the_table_is_a_reply_or_a_reset() {
        for group in
            ["docomo", "au", "softbank", "yahoo-jp", "jcom", "gmail", "outlook", "icloud", "yahoo-inc", "default"]
        {
            let name = GroupName::new(group).expect("a name");
            for objection in Objection::ALL {
                let Some(written) = line(group, objection) else { continue };
                let said = say(&name, objection, "taro@example.jp", "127.0.0.1").expect(written.text);
                match said.answer {
                    Answer::Reply(reply) => {
                        assert!((400..600).contains(&reply.code), "{reply}");
                        assert!(!reply.text.contains(['{', '}']), "{reply}");
                        if let Some(enhanced) = reply.enhanced {
                            assert_eq!(u16::from(enhanced.0), reply.code / 100, "{reply}");
                        }
                    }
                    Answer::Fault(fault) => assert_eq!((group, fault), ("au", Fault::Reset)),
                }
            }
        }
    }

    #[test]
    fn the_shipped_rules_read_every_word_as_it_is_meant() {
        let shipped = Destinations::shipped();
        let mut wrong = Vec::new();
        for group in shipped.groups.iter() {
            for objection in Objection::ALL {
                let Some(said) = say(&group.name, objection, "taro@example.jp", "127.0.0.1") else { continue };
                let stage = if said.late { Stage::Body } else { Stage::Rcpt };
                let delivery = Delivery { stage, answer: said.answer, rcpt_written: true, dot_begun: said.late };
                let reading = shipped.rules.read(&delivery, Some(&group.name));
                let right = match objection {
                    Objection::Unknown => reading.action == Action::Suppress,
                    Objection::Full => reading.action == Action::Retry,
                    _ => matches!(reading.action, Action::Throttle | Action::Block),
                };
                if !right || reading.from_relay {
                    wrong.push(format!("{} {objection:?}: {}: {reading:?}", group.name, delivery.answer));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn carriers_speak_with_their_own_words() {
        let words = |group: &str, objection| {
            let said = say(&GroupName::new(group).expect("a name"), objection, "a@b.jp", "127.0.0.1").expect("words");
            (said.answer.to_string(), said.late)
        };
        assert_eq!(words("docomo", Objection::Unknown), ("550 Unknown user a@b.jp".to_owned(), false));
        assert_eq!(words("docomo", Objection::Full), ("552 Too much mail data a@b.jp".to_owned(), true));
        assert_eq!(words("au", Objection::Pace), ("connection reset".to_owned(), false));
        assert_eq!(words("softbank", Objection::Pace), ("421".to_owned(), false));
        assert_eq!(
            words("yahoo-jp", Objection::UnknownShare),
            ("553 Mail from 127.0.0.1 not allowed - VS98-IP0 deferred".to_owned(), false)
        );
    }
}
