//! Owns what Amazon SES says through SNS: notifications of an identity, events of a configuration set.
//!
//! Facts: docs.aws.amazon.com/ses/latest/dg, "Contents of event data that Amazon SES publishes to Amazon SNS" and "Amazon SNS
//! notification contents". A bounce of any type is published when SES has given up. What SES refuses by its own lists bears
//! a code that is SES's, not a destination's: it is left out.

use jiff::Timestamp;
use serde_json::Value;

use super::said::{Clues, address, bounded, evidence, own_words, reply, text};
use super::{Contents, Opened, Parcel, Provider, Refusal, Why, not_json, shown, sns};
use crate::config::providers::ProviderSettings;
use crate::core::feedback::{Diagnostic, Fate, Heard, Way};
use crate::core::reply::{Enhanced, Stage};

/// Amazon SES.
pub(super) const PROVIDER: Provider =
    Provider { name: NAME, octets_most: sns::OCTETS_MOST, configured: |settings| settings.ses.is_some(), open, read };

const NAME: &str = "ses";

/// Most recipients of an event; SES takes 50 of a message.
const RECIPIENTS_MOST: usize = 200;
/// Most headers that are looked through.
const HEADERS_MOST: usize = 500;

fn open(parcel: &Parcel<'_>, settings: &ProviderSettings, now: Timestamp) -> Result<Opened, Refusal> {
    let settings = settings.ses.as_ref();
    sns::open(parcel, settings.ok_or_else(|| Refusal::new(Why::Foreign, "feedback.ses is not configured"))?, now)
}

fn read(message: &str) -> Result<Contents, Refusal> {
    // What SES writes when a topic is set up for an identity.
    if message.starts_with("Successfully validated SNS topic") {
        return Ok(Contents { passed_over: 1, ..Contents::default() });
    }
    let event: Value = serde_json::from_str(message).map_err(|error| not_json(&error))?;
    let kind = match text(&event, "eventType") {
        "" => text(&event, "notificationType"),
        kind => kind,
    };
    let mut contents = Contents::default();
    let said = match kind {
        "Bounce" => bounces(&event),
        "Complaint" => complaints(&event),
        "Delivery" => deliveries(&event),
        "DeliveryDelay" => delays(&event),
        "Reject" => of_all(&event, kind, "reject", "Amazon SES refused it", text(&event["reject"], "reason")),
        "Rendering Failure" => of_all(
            &event,
            kind,
            "failure",
            "Amazon SES could not make it from its template",
            text(&event["failure"], "errorMessage"),
        ),
        "Subscription" => subscriptions(&event),
        "Send" | "Open" | "Click" | "AmazonSnsSubscriptionSucceeded" => Vec::new(),
        "" => {
            return Err(Refusal::unreadable(
                "expected an event of Amazon SES, got JSON without eventType and notificationType",
            ));
        }
        other => return Err(Refusal::unreadable(format!("the event {} of Amazon SES is not known", shown(other)))),
    };
    if said.is_empty() {
        contents.passed_over = 1;
    }
    let clues = clues(&event["mail"]);
    for (at, one) in said.into_iter().enumerate() {
        match address(one.recipient) {
            Some(recipient) => contents.heard.push(one.heard(&event, kind, recipient, &clues)),
            None => contents.odd(format!("recipient {}: expected an address, got {}", at + 1, shown(one.recipient))),
        }
    }
    if contents.heard.is_empty() && contents.odd_count > 0 {
        return Err(Refusal::unreadable(format!("the event names no recipient: {}", contents.odd.join("; "))));
    }
    Ok(contents)
}

/// What is said of one recipient.
struct Said<'a> {
    recipient: &'a str,
    fate: Fate,
    said: Diagnostic,
    stage: Option<Stage>,
    remote: Option<&'a str>,
    /// The part of the event that tells of it.
    part: &'a Value,
    lines: Vec<(&'static str, &'a str)>,
}

impl Said<'_> {
    fn heard(self, event: &Value, kind: &str, recipient: String, clues: &[String]) -> Heard {
        let mail = &event["mail"];
        let at = text(self.part, "timestamp");
        // The same event comes over two topics where both an identity and a configuration set publish it: the id is SES's own.
        let own = match text(self.part, "feedbackId") {
            "" => format!("{} {kind} {at}", text(mail, "messageId")),
            id => id.to_owned(),
        };
        let mut lines = vec![("event", kind)];
        lines.extend(self.lines);
        lines.extend([("feedbackId", text(self.part, "feedbackId")), ("messageId", text(mail, "messageId"))]);
        Heard {
            way: Way::provider(NAME),
            id: format!("{} {recipient}", bounded(&own, 200)),
            at: at.parse().ok(),
            fate: self.fate,
            said: self.said,
            stage: self.stage,
            remote: self.remote.filter(|remote| !remote.is_empty()).map(|remote| bounded(remote, 255)),
            clues: clues.to_vec(),
            recipient: Some(recipient),
            evidence: evidence(&lines),
        }
    }
}

fn items<'a>(part: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    part.get(key).and_then(Value::as_array).into_iter().flatten().take(RECIPIENTS_MOST)
}

fn bounces(event: &Value) -> Vec<Said<'_>> {
    let part = &event["bounce"];
    let (class, sub) = (text(part, "bounceType"), text(part, "bounceSubType"));
    let one = |one| {
        let (status, quoted) = (text(one, "status"), text(one, "diagnosticCode"));
        let unsaid = status.is_empty() && quoted.is_empty() && text(one, "action").is_empty();
        let (fate, said) = match (class, sub) {
            (_, "Suppressed" | "OnAccountSuppressionList") => (Fate::Refused, own_list(sub, quoted)),
            // SES takes an answer of a program (out of office) for this too; a real bounce brings a DSN's fields.
            ("Transient", "General") if unsaid => (Fate::AutoReply, Diagnostic::default()),
            _ => (Fate::Refused, with_reading(reply(quoted, status), class, sub)),
        };
        Said {
            recipient: text(one, "emailAddress"),
            fate,
            said,
            stage: None,
            remote: None,
            part,
            lines: vec![
                ("bounceType", class),
                ("bounceSubType", sub),
                ("action", text(one, "action")),
                ("status", status),
                ("diagnosticCode", quoted),
                ("reportingMTA", text(part, "reportingMTA")),
            ],
        }
    };
    items(part, "bouncedRecipients").map(one).collect()
}

/// Words for what SES did not send because of a list of its own.
fn own_list(sub: &str, quoted: &str) -> Diagnostic {
    let list = if sub == "Suppressed" { "its global suppression list" } else { "the account's suppression list" };
    own_words(&format!("Amazon SES did not send it: the address is on {list}. {quoted}"))
}

/// Where the report quotes no reply: SES's own reading, its words and the code of RFC 3463 that says the same.
fn with_reading(mut said: Diagnostic, class: &str, sub: &str) -> Diagnostic {
    if said.text.is_empty() {
        said.text = own_words(&format!("Amazon SES reads it as {class}, {sub}")).text;
    }
    if said.code.is_none() && said.enhanced.is_none() {
        said.enhanced = match (class, sub) {
            ("Permanent", "NoEmail") => Some(Enhanced(5, 1, 1)),
            ("Transient", "MailboxFull") => Some(Enhanced(4, 2, 2)),
            ("Transient", "MessageTooLarge") => Some(Enhanced(5, 3, 4)),
            ("Transient", "ContentRejected" | "AttachmentRejected") => Some(Enhanced(5, 6, 0)),
            ("Permanent", _) => Some(Enhanced(5, 0, 0)),
            ("Transient", _) => Some(Enhanced(4, 0, 0)),
            _ => None,
        };
    }
    said
}

fn complaints(event: &Value) -> Vec<Said<'_>> {
    let part = &event["complaint"];
    let (sub, kind) = (text(part, "complaintSubType"), text(part, "complaintFeedbackType"));
    let (fate, said) = match (sub, kind) {
        // Nothing was sent, so nobody complained of it: the list remembers an older complaint.
        ("OnAccountSuppressionList", _) => (Fate::Refused, own_list(sub, "")),
        // Registered types (RFC 5965 7.3, RFC 6430, RFC 6591) that are nobody's complaint.
        (_, "not-spam" | "auth-failure") => return Vec::new(),
        _ => (Fate::Complaint, Diagnostic { text: own_words(kind).text, ..Diagnostic::default() }),
    };
    let one = |one| Said {
        recipient: text(one, "emailAddress"),
        fate,
        said: said.clone(),
        stage: None,
        remote: None,
        part,
        lines: vec![
            ("complaintFeedbackType", kind),
            ("complaintSubType", sub),
            ("userAgent", text(part, "userAgent")),
            ("arrivalDate", text(part, "arrivalDate")),
        ],
    };
    items(part, "complainedRecipients").map(one).collect()
}

fn deliveries<'a>(event: &'a Value) -> Vec<Said<'a>> {
    let part = &event["delivery"];
    let one = |recipient: &'a Value| Said {
        recipient: recipient.as_str().unwrap_or("").trim(),
        fate: Fate::Delivered,
        said: reply(text(part, "smtpResponse"), ""),
        stage: Some(Stage::Body),
        remote: Some(text(part, "remoteMtaIp")),
        part,
        lines: vec![
            ("smtpResponse", text(part, "smtpResponse")),
            ("remoteMtaIp", text(part, "remoteMtaIp")),
            ("reportingMTA", text(part, "reportingMTA")),
        ],
    };
    items(part, "recipients").map(one).collect()
}

fn delays(event: &Value) -> Vec<Said<'_>> {
    let part = &event["deliveryDelay"];
    let kind = text(part, "delayType");
    let one = |one| {
        let (status, quoted) = (text(one, "status"), text(one, "diagnosticCode"));
        let mut said = reply(quoted, status);
        if said.text.is_empty() {
            said.text = own_words(&format!("Amazon SES reads it as a delay, {kind}")).text;
        }
        if said.code.is_none() && said.enhanced.is_none() && kind == "MailboxFull" {
            said.enhanced = Some(Enhanced(4, 2, 2));
        }
        Said {
            recipient: text(one, "emailAddress"),
            fate: Fate::Delayed,
            said,
            stage: None,
            remote: None,
            part,
            lines: vec![
                ("delayType", kind),
                ("status", status),
                ("diagnosticCode", quoted),
                ("expirationTime", text(part, "expirationTime")),
                ("reportingMTA", text(part, "reportingMTA")),
            ],
        }
    };
    items(part, "delayedRecipients").map(one).collect()
}

/// What SES did to the whole message before any destination saw it.
fn of_all<'a>(event: &'a Value, kind: &'a str, part: &str, what: &str, why: &'a str) -> Vec<Said<'a>> {
    let part = &event[part];
    let one = |recipient: &'a Value| Said {
        recipient: recipient.as_str().unwrap_or("").trim(),
        fate: Fate::Refused,
        said: own_words(&format!("{what}: {why}")),
        stage: None,
        remote: None,
        part,
        lines: vec![("reason", why), ("kind", kind)],
    };
    items(&event["mail"], "destination").map(one).collect()
}

/// A recipient who left through SES's own page: all of the list, or a topic that he was on.
fn subscriptions<'a>(event: &'a Value) -> Vec<Said<'a>> {
    let part = &event["subscription"];
    let (new, old) = (&part["newTopicPreferences"], &part["oldTopicPreferences"]);
    let all = |preferences: &Value| preferences.get("unsubscribeAll").and_then(Value::as_bool).unwrap_or(false);
    let out = |preferences: &'_ Value| -> Vec<String> {
        let left =
            items(preferences, "topicSubscriptionStatus").filter(|topic| text(topic, "subscriptionStatus") == "OptOut");
        left.map(|topic| text(topic, "topicName").to_owned()).collect()
    };
    let before = out(old);
    let left = (all(new) && !all(old)) || out(new).iter().any(|topic| !before.contains(topic));
    if !left {
        return Vec::new();
    }
    let one = |recipient: &'a Value| Said {
        recipient: recipient.as_str().unwrap_or("").trim(),
        fate: Fate::Unsubscribed,
        said: Diagnostic::default(),
        stage: None,
        remote: None,
        part,
        lines: vec![("contactList", text(part, "contactList")), ("source", text(part, "source"))],
    };
    items(&event["mail"], "destination").map(one).collect()
}

/// Envelope sender, Message-ID, then headers and tags that the sender gave the message.
fn clues(mail: &Value) -> Vec<String> {
    let mut clues = Clues::default();
    clues.add(text(mail, "source"));
    clues.add(text(&mail["commonHeaders"], "messageId"));
    let headers = || mail.get("headers").and_then(Value::as_array).into_iter().flatten().take(HEADERS_MOST);
    for wanted in [&["message-id"][..], &["list-unsubscribe", "return-path"]] {
        for header in headers().filter(|header| wanted.contains(&text(header, "name").to_ascii_lowercase().as_str())) {
            clues.add(text(header, "value"));
        }
    }
    for header in headers().filter(|header| text(header, "name").to_ascii_lowercase().starts_with("x-")) {
        clues.add(text(header, "value"));
    }
    for (name, values) in mail.get("tags").and_then(Value::as_object).into_iter().flatten() {
        if !name.starts_with("ses:") {
            values
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .take(8)
                .for_each(|value| clues.add(value));
        }
    }
    clues.0
}
