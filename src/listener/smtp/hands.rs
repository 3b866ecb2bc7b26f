//! Owns what becomes of a mail that was read whole: its reports are recorded, durably, before its client hears 250.
//!
//! Invariants: a mail that is no report is taken all the same and told in the log: whoever bounced a bounce would make a loop;
//! only the store's own trouble is told to the client, so that it keeps the mail. A mail that leaves a list counts only when a
//! person's program sent it: not from the null sender, not by an answering machine.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use mail_parser::{HeaderValue, MessageParser};
use sha2::{Digest as _, Sha256};

use super::places::{Ours, whose};
use crate::clock::SharedClock;
use crate::compose::Tokens;
use crate::core::feedback::{Diagnostic, Fate, Heard, Way};
use crate::feedback::{Ear, InForce};

/// A mail with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The octets between DATA and its end, dots undone.
    pub bytes: Vec<u8>,
    /// Envelope sender; empty: the null sender.
    pub from: String,
    /// Envelope recipients, each of them our own.
    pub recipients: Vec<(String, Ours)>,
}

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// What it says is durable, or it says nothing.
    Done,
    /// It could not be recorded: its client must keep it.
    Later,
}

/// Takes a mail.
pub type Taking = Arc<dyn Fn(Mail) -> Pin<Box<dyn Future<Output = Taken> + Send>> + Send + Sync>;

/// Reads a mail that came to these recipients, or says why it reports nothing.
pub type Reading = fn(&[u8], &[&str]) -> Result<Vec<Heard>, String>;

/// Those who take mails, and know which are ours.
#[derive(Clone)]
pub struct Hands {
    pub(super) config: InForce,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: SharedClock,
    pub(super) taking: Taking,
}

impl fmt::Debug for Hands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hands")
    }
}

impl Hands {
    /// Hands that give every mail to `taking`.
    #[must_use]
    pub fn new(config: InForce, tokens: Arc<Tokens>, clock: SharedClock, taking: Taking) -> Self {
        Self { config, tokens, clock, taking }
    }

    /// Hands that read mails by `reading` and give what they say to `ear`.
    #[must_use]
    pub fn of(ear: Ear, reading: Reading, config: InForce, tokens: Arc<Tokens>, clock: SharedClock) -> Self {
        let taking: Taking = Arc::new(move |mail| {
            let ear = ear.clone();
            Box::pin(async move { hear(&ear, reading, mail).await })
        });
        Self::new(config, tokens, clock, taking)
    }

    pub(super) fn whose(&self, address: &str) -> Option<Ours> {
        whose(address, &(self.config)(), &self.tokens)
    }

    /// The name that the listener greets with: what the first relay says in EHLO.
    pub(super) fn name(&self) -> String {
        let config = (self.config)();
        let first = config.relays.values().next();
        first.map_or_else(|| "localhost".to_owned(), |relay| relay.hello.as_ref().unwrap_or(&relay.domain).clone())
    }
}

async fn hear(ear: &Ear, reading: Reading, mail: Mail) -> Taken {
    let octets = mail.bytes.len();
    // A large mail takes a while to read: not on a thread that others wait for.
    let heard = match tokio::task::spawn_blocking(move || read(&mail, reading)).await {
        Ok(Ok(heard)) => heard,
        Ok(Err(why)) => {
            tracing::warn!(octets, why, "a mail that reports nothing was taken and dropped");
            return Taken::Done;
        }
        Err(error) => {
            tracing::error!(octets, %error, "a mail could not be read and was dropped");
            return Taken::Done;
        }
    };
    match ear.take(heard).await {
        Ok(recorded) => {
            tracing::debug!(octets, ?recorded, "a mail was heard");
            Taken::Done
        }
        Err(error) => {
            tracing::error!(%error, "a mail could not be recorded; its sender keeps it");
            Taken::Later
        }
    }
}

/// What `mail` says.
fn read(mail: &Mail, reading: Reading) -> Result<Vec<Heard>, String> {
    let leaves: Vec<&str> = mail
        .recipients
        .iter()
        .filter_map(|(_, ours)| match ours {
            Ours::Leave(token) => Some(token.as_str()),
            Ours::Bounce => None,
        })
        .collect();
    let bounces: Vec<&str> =
        mail.recipients.iter().filter(|(_, ours)| *ours == Ours::Bounce).map(|(address, _)| address.as_str()).collect();
    let mut heard = Vec::new();
    let mut why = None;
    if !bounces.is_empty() {
        match reading(&mail.bytes, &bounces) {
            Ok(reports) => heard.extend(reports),
            Err(not) => why = Some(not),
        }
    }
    if !leaves.is_empty() {
        match machine(mail) {
            Some(because) => why = Some(because.to_owned()),
            None => heard.extend(leaves.into_iter().map(left)),
        }
    }
    match why {
        Some(why) if heard.is_empty() => Err(why),
        _ => Ok(heard),
    }
}

/// Why a mail to an address that leaves a list was not sent by a person's program.
fn machine(mail: &Mail) -> Option<&'static str> {
    if mail.from.is_empty() {
        return Some("a bounce came to an address that leaves a list");
    }
    let message = MessageParser::new().parse_headers(&mail.bytes)?;
    let automatic = match message.header("Auto-Submitted") {
        Some(HeaderValue::Text(value)) => !value.trim().eq_ignore_ascii_case("no"),
        Some(_) => true,
        None => false,
    };
    automatic.then_some("an answering machine wrote to an address that leaves a list")
}

/// Somebody left the list by mail; a second mail of the same changes nothing.
fn left(token: &str) -> Heard {
    let token = token.to_ascii_lowercase();
    let digest = Sha256::digest(format!("left by mail {token}"));
    Heard {
        way: Way::MAIL,
        id: digest.iter().take(16).map(|b| format!("{b:02x}")).collect(),
        at: None,
        fate: Fate::Unsubscribed,
        said: Diagnostic::default(),
        stage: None,
        remote: None,
        clues: vec![token],
        recipient: None,
        evidence: "a mail to the address that leaves the list".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Abcdefghijklmnopqrstuvwxyz234567";

    /// Reads what says `report`.
    fn reading(bytes: &[u8], recipients: &[&str]) -> Result<Vec<Heard>, String> {
        assert_eq!(recipients, ["bounce@m.example.jp"]);
        if bytes.ends_with(b"report") { Ok(vec![left("a bounce")]) } else { Err("no report".to_owned()) }
    }

    fn mail(from: &str, text: &str, recipients: &[Ours]) -> Mail {
        let address = |ours: &Ours| match ours {
            Ours::Bounce => "bounce@m.example.jp".to_owned(),
            Ours::Leave(token) => format!("leave+{token}@m.example.jp"),
        };
        Mail {
            bytes: text.as_bytes().to_vec(),
            from: from.to_owned(),
            recipients: recipients.iter().map(|ours| (address(ours), ours.clone())).collect(),
        }
    }

    #[test]
    fn a_report_is_read_and_anything_else_says_why_not() {
        let bounce = [Ours::Bounce];
        assert_eq!(read(&mail("", "a report", &bounce), reading).map(|heard| heard.len()), Ok(1));
        assert_eq!(read(&mail("", "hello", &bounce), reading), Err("no report".to_owned()));
    }

    #[test]
    fn a_person_leaves_by_mail_once_and_no_machine_does() {
        let leave = [Ours::Leave(TOKEN.to_owned())];
        let person = mail("hanako@docomo.ne.jp", "Subject: leave\r\n\r\n", &leave);
        let heard = read(&person, reading).expect("heard");
        assert_eq!((heard[0].fate, heard[0].clues.as_slice()), (Fate::Unsubscribed, &[TOKEN.to_lowercase()][..]));
        let again = mail("x@y.jp", "Auto-Submitted: no\r\n\r\n", &[Ours::Leave(TOKEN.to_uppercase())]);
        assert_eq!(read(&again, reading).expect("heard")[0].id, heard[0].id);
        for machine in [
            mail("", "Subject: leave\r\n\r\n", &leave),
            mail("hanako@docomo.ne.jp", "Auto-Submitted: auto-replied\r\n\r\n", &leave),
            mail("hanako@docomo.ne.jp", "Auto-Submitted: auto-generated (vacation)\r\n\r\n", &leave),
        ] {
            assert!(read(&machine, reading).is_err(), "{machine:?}");
        }
    }

    #[test]
    fn what_is_heard_for_one_recipient_is_not_lost_for_another() {
        let both = [Ours::Bounce, Ours::Leave(TOKEN.to_owned())];
        let heard = read(&mail("a@b.jp", "Subject: x\r\n\r\nno news", &both), reading).expect("heard");
        assert_eq!(heard.len(), 1);
        assert_eq!(read(&mail("a@b.jp", "Subject: x\r\n\r\nreport", &both), reading).map(|heard| heard.len()), Ok(2));
    }
}
