//! Owns SendGrid's Event Webhook: a signed array of events.
//!
//! Facts: twilio.com/docs/sendgrid/for-developers/tracking-events, "Event Webhook Reference" and "Security Features".
//! SendGrid tries a post again after every answer but 2xx, for up to 24 h; an event's `sg_event_id` stays the same. So an odd
//! event is left out and told of, and never holds back those beside it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::said::{Clues, address, bounded, evidence, own_words, reply, text};
use super::{
    Algorithm, Contents, Inside, KeyFrom, Opened, Parcel, Provider, Refusal, Why, copy_of, fresh, not_json, shown,
};
use crate::config::providers::ProviderSettings;
use crate::core::feedback::{Diagnostic, Fate, Heard, Way};
use crate::core::reply::Stage;

/// SendGrid.
pub(super) const PROVIDER: Provider =
    Provider { name: NAME, octets_most: 1024 * 1024, configured: |settings| settings.sendgrid.is_some(), open, read };

const NAME: &str = "sendgrid";

/// Header with the signature.
pub const SIGNATURE: &str = "X-Twilio-Email-Event-Webhook-Signature";
/// Header with the time of signing, seconds since 1970.
pub const TIMESTAMP: &str = "X-Twilio-Email-Event-Webhook-Timestamp";

/// Most events of a post; one has about 300 octets.
const EVENTS_MOST: usize = 20_000;

/// Fields of an event that are SendGrid's own; any other is an argument that the sender gave the message.
const OWN: [&str; 26] = [
    "email",
    "timestamp",
    "event",
    "smtp-id",
    "sg_event_id",
    "sg_message_id",
    "sg_template_id",
    "sg_template_name",
    "sg_content_type",
    "sg_machine_open",
    "category",
    "response",
    "attempt",
    "reason",
    "status",
    "type",
    "bounce_classification",
    "ip",
    "tls",
    "cert_err",
    "useragent",
    "url",
    "url_offset",
    "asm_group_id",
    "newsletter",
    "send_at",
];

fn open(parcel: &Parcel<'_>, settings: &ProviderSettings, now: Timestamp) -> Result<Opened, Refusal> {
    let settings = settings.sendgrid.as_ref();
    let settings = settings.ok_or_else(|| Refusal::new(Why::Foreign, "feedback.sendgrid is not configured"))?;
    let (Some(signature), Some(made)) = ((parcel.header)(SIGNATURE), (parcel.header)(TIMESTAMP)) else {
        let words = format!("expected the headers {SIGNATURE} and {TIMESTAMP}; switch the Signed Event Webhook on");
        return Err(Refusal::new(Why::Unsigned, words));
    };
    let signature = STANDARD.decode(signature.trim());
    let signature = signature.map_err(|_| Refusal::new(Why::Forged, "its signature is not base64"))?;
    let seconds: Option<i64> = made.trim().parse().ok();
    let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| {
        Refusal::new(Why::Stale, format!("expected seconds since 1970 in {TIMESTAMP}, got {}", shown(made)))
    })?;
    let window = settings.stale_after;
    fresh(at, now, window, "; feedback.sendgrid.stale_after sets that")?;
    let body = std::str::from_utf8(parcel.body).map_err(|_| Refusal::unreadable("expected JSON in UTF-8"))?;
    let mut signed = made.as_bytes().to_vec();
    signed.extend_from_slice(parcel.body);
    Ok(Opened {
        key: KeyFrom::Here(vec![settings.public_key.clone()]),
        algorithm: Algorithm::EcdsaP256Sha256,
        // Of what is signed, not of the signature: that can be written in a second way.
        copy_of: copy_of(&[NAME.as_bytes(), &signed]),
        signed,
        signature,
        window: window.max(Duration::from_secs(1)),
        inside: Inside::Events(body.to_owned()),
    })
}

fn read(body: &str) -> Result<Contents, Refusal> {
    let events: Value = serde_json::from_str(body).map_err(|error| not_json(&error))?;
    let Value::Array(events) = events else {
        return Err(Refusal::unreadable("expected a JSON array of events"));
    };
    if events.len() > EVENTS_MOST {
        return Err(Refusal::unreadable(format!("expected at most {EVENTS_MOST} events, got {}", events.len())));
    }
    let mut contents = Contents::default();
    for (at, event) in events.iter().enumerate() {
        match one(event) {
            Ok(Some(heard)) => contents.heard.push(heard),
            Ok(None) => contents.passed_over += 1,
            Err(what) => contents.odd(format!("event {}: {what}", at + 1)),
        }
    }
    if contents.odd_count > 0 && contents.odd_count == events.len() {
        return Err(Refusal::unreadable(format!("no event can be read: {}", contents.odd.join("; "))));
    }
    Ok(contents)
}

/// One event; `None`: it says nothing about what became of a message.
fn one(event: &Value) -> Result<Option<Heard>, String> {
    if !event.is_object() {
        return Err("expected a map".to_owned());
    }
    let name = text(event, "event");
    let reason = text(event, "reason");
    let status = text(event, "status");
    let (fate, said, stage) = match name {
        "delivered" => (Fate::Delivered, reply(text(event, "response"), status), Some(Stage::Body)),
        "deferred" => (Fate::Delayed, reply(first(&[text(event, "response"), reason]), status), None),
        // Of the types, "bounce" is for good and "blocked" for now: in both SendGrid tries no longer, and why is in the words.
        "bounce" => (Fate::Refused, reply(reason, status), None),
        // SendGrid's own refusal: the code that it gives beside it is not the destination's.
        "dropped" => (Fate::Refused, own_words(&format!("SendGrid did not send it: {reason}")), None),
        "spamreport" => (Fate::Complaint, Diagnostic::default(), None),
        "unsubscribe" | "group_unsubscribe" => (Fate::Unsubscribed, Diagnostic::default(), None),
        "processed" | "open" | "click" | "group_resubscribe" | "account_status_change" => return Ok(None),
        "" => return Err("it has no \"event\"".to_owned()),
        other => return Err(format!("the event {} is not known", shown(other))),
    };
    let recipient = address(text(event, "email"));
    let recipient =
        recipient.ok_or_else(|| format!("expected an address in \"email\", got {}", shown(text(event, "email"))))?;
    let seconds = event.get("timestamp").and_then(|t| t.as_i64().or_else(|| t.as_str()?.trim().parse().ok()));
    let clues = clues(event);
    Ok(Some(Heard {
        way: Way::provider(NAME),
        id: id(event),
        at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        fate,
        said,
        stage,
        remote: None,
        clues,
        recipient: Some(recipient),
        evidence: evidence(&[
            ("event", name),
            ("type", text(event, "type")),
            ("reason", reason),
            ("response", text(event, "response")),
            ("status", status),
            ("bounce_classification", text(event, "bounce_classification")),
            ("attempt", text(event, "attempt")),
            ("ip", text(event, "ip")),
            ("sg_event_id", text(event, "sg_event_id")),
            ("sg_message_id", text(event, "sg_message_id")),
        ]),
    }))
}

fn first<'a>(texts: &[&'a str]) -> &'a str {
    texts.iter().copied().find(|text| !text.is_empty()).unwrap_or("")
}

/// SendGrid's own id; the digest of the event where it has none.
fn id(event: &Value) -> String {
    match text(event, "sg_event_id") {
        "" => {
            let digest = digest(&SHA256, event.to_string().as_bytes());
            digest.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect()
        }
        id => bounded(id, 200),
    }
}

/// The message's own Message-ID, then what the sender attached to it.
fn clues(event: &Value) -> Vec<String> {
    let mut clues = Clues::default();
    clues.add(text(event, "smtp-id"));
    for (name, value) in event.as_object().into_iter().flatten() {
        if let (false, Some(value)) = (OWN.contains(&name.as_str()), value.as_str()) {
            clues.add(value);
        }
    }
    clues.0
}
