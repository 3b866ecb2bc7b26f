//! Owns who tells how destinations answer a relay's mail: its ears. A verdict names them, and a lane without any goes blind.

use super::settings::{Answers, FeedbackSettings, ListenSettings, RelaySettings};

/// The ears of a relay, in words.
#[must_use]
pub fn ears(relay: &RelaySettings, feedback: &FeedbackSettings, listen: &ListenSettings) -> Vec<String> {
    let mut ears = Vec::new();
    let mut add = |there: bool, words: &str| {
        if there {
            ears.push(words.to_owned());
        }
    };
    add(relay.answers == Answers::Carrier, "the session");
    // Without a token in the envelope sender a bounce cannot be trusted to be about our mail.
    let comes = !feedback.mailboxes.is_empty() || listen.smtp.is_some() || listen.lmtp.is_some();
    add(comes && relay.envelope_from.is_some(), "bounce mail");
    add(feedback.logs.iter().any(|log| log.relay == relay.name), "the relay's log");
    let kind = relay.known.as_ref().map(|known| known.preset.kind.as_str());
    add(feedback.providers.ses.is_some() && kind == Some("ses"), "SES events");
    add(feedback.providers.sendgrid.is_some() && kind == Some("sendgrid"), "SendGrid events");
    ears
}
