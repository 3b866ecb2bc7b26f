//! Owns the envelope of Amazon SNS: its form, what of it is signed, whose certificate counts, which topics are ours.
//!
//! Facts: docs.aws.amazon.com/sns/latest/dg, "Verifying the signatures of Amazon SNS messages" and "message delivery retries".
//! Invariants: no address is read from but one of SNS itself over https; of what is signed only the message may hold a line
//! break, so that one signed text cannot be divided in two ways.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Algorithm, Inside, KeyFrom, Opened, Parcel, Refusal, Why, certificate, copy_of, fresh, not_json, shown};
use crate::config::providers::SesSettings;

/// Most octets of a post: SNS carries messages of 256 KiB, which JSON in JSON may nearly double; the rest is the envelope.
pub(super) const OCTETS_MOST: usize = 576 * 1024;

/// How long after its publication a message is taken. SNS keeps the time of publication through all retries, which end after
/// 3,600 s at the latest; as much again is left for a slow queue.
const WINDOW: Duration = Duration::from_secs(2 * 3_600);

/// Longest field other than the message, octets.
const FIELD_MOST: usize = 4 * 1024;

/// A place on a host of SNS, to read over https.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// `sns.<region>.amazonaws.com`, or below `.com.cn`.
    pub host: String,
    /// Path and query, from the `/` on.
    pub target: String,
}

impl Place {
    /// Reads an address. `None`: it is not https, not of SNS itself, or names a port, a user or anything odd.
    fn read(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://")?;
        let (host, target) = rest.split_at(rest.find('/')?);
        let region = host.strip_prefix("sns.")?;
        let region = region.strip_suffix(".amazonaws.com").or_else(|| region.strip_suffix(".amazonaws.com.cn"))?;
        let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (3..=32).contains(&region.len()) && region.bytes().all(label);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?=&%+".contains(&b);
        (fits && target.len() <= 2_048 && target.bytes().all(plain))
            .then(|| Self { host: host.to_owned(), target: target.to_owned() })
    }

    /// The same, of a certificate: one file name that ends in `.pem`.
    fn of_certificate(url: &str) -> Option<Self> {
        let place = Self::read(url)?;
        let name = place.target.strip_prefix('/')?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let fits = name.len() <= 128 && name.ends_with(".pem") && name.bytes().all(plain);
        fits.then_some(place)
    }

    /// The same, where a subscription to `topic` is confirmed.
    fn of_confirmation(url: &str, topic: &str) -> Option<Self> {
        let place = Self::read(url)?;
        let query = place.target.strip_prefix("/?")?;
        let value = |name: &str| {
            let mut found = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| value).filter(|_| found.next().is_none())
        };
        let of_topic = value("TopicArn").is_some_and(|arn| arn.replace("%3A", ":").replace("%3a", ":") == topic);
        (value("Action") == Some("ConfirmSubscription") && of_topic).then_some(place)
    }
}

impl std::fmt::Display for Place {
    /// Without the query, which may hold a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}{}", self.host, self.target.split('?').next().unwrap_or(""))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Envelope {
    r#type: Option<String>,
    message_id: Option<String>,
    token: Option<String>,
    topic_arn: Option<String>,
    subject: Option<String>,
    message: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    timestamp: Option<String>,
    signature_version: Option<String>,
    signature: Option<String>,
    #[serde(rename = "SigningCertURL", alias = "SigningCertUrl")]
    signing_cert_url: Option<String>,
    // What SES itself says, when it comes without an envelope.
    #[serde(rename = "eventType")]
    event_type: Option<String>,
    #[serde(rename = "notificationType")]
    notification_type: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Notification,
    Subscription,
    Unsubscription,
}

/// Opens an envelope.
pub(super) fn open(parcel: &Parcel<'_>, settings: &SesSettings, now: Timestamp) -> Result<Opened, Refusal> {
    let envelope: Envelope = serde_json::from_slice(parcel.body).map_err(|error| not_json(&error))?;
    let kind = kind(&envelope)?;
    let topic = field("TopicArn", envelope.topic_arn.as_deref())?;
    if !settings.topics.iter().any(|known| known == topic) {
        return Err(Refusal::new(
            Why::Foreign,
            format!("the topic {} is not known here; if it is yours, add it to feedback.ses.topics", shown(topic)),
        ));
    }
    let signature = envelope.signature.as_deref().filter(|text| !text.is_empty());
    let signature = signature.ok_or_else(|| Refusal::new(Why::Unsigned, "it bears no Signature"))?;
    let signature = STANDARD.decode(signature).map_err(|_| Refusal::new(Why::Forged, "its Signature is not base64"))?;
    let algorithm = match envelope.signature_version.as_deref() {
        Some("1") => Algorithm::RsaSha1,
        Some("2") => Algorithm::RsaSha256,
        other => {
            let words = format!("expected SignatureVersion 1 or 2, got {}", other.map_or("none".to_owned(), shown));
            return Err(Refusal::new(Why::Forged, words));
        }
    };
    let made = field("Timestamp", envelope.timestamp.as_deref())?;
    let at: Timestamp = made.parse().map_err(|_| {
        Refusal::unreadable(format!("expected a Timestamp such as 2026-11-26T09:00:00.000Z, got {}", shown(made)))
    })?;
    fresh(at, now, WINDOW, " (SNS itself tries no longer than an hour)")?;
    let key = key(&envelope, settings, now)?;
    let message_id = field("MessageId", envelope.message_id.as_deref())?;
    let signed = signed(&envelope, kind)?;
    Ok(Opened {
        key,
        algorithm,
        signed,
        signature,
        copy_of: copy_of(&[b"sns", topic.as_bytes(), message_id.as_bytes()]),
        window: WINDOW,
        inside: inside(envelope.message.unwrap_or_default(), envelope.subscribe_url.as_deref(), kind, topic)?,
    })
}

fn kind(envelope: &Envelope) -> Result<Kind, Refusal> {
    match envelope.r#type.as_deref() {
        Some("Notification") => Ok(Kind::Notification),
        Some("SubscriptionConfirmation") => Ok(Kind::Subscription),
        Some("UnsubscribeConfirmation") => Ok(Kind::Unsubscription),
        Some(other) => Err(Refusal::unreadable(format!(
            "expected the Type Notification, SubscriptionConfirmation or UnsubscribeConfirmation, got {}",
            shown(other)
        ))),
        None if envelope.event_type.is_some() || envelope.notification_type.is_some() => Err(Refusal::new(
            Why::Unsigned,
            "it came without the envelope of SNS, so nothing says who sent it; switch raw message delivery off in the \
             subscription",
        )),
        None => Err(Refusal::unreadable("expected an envelope of Amazon SNS, got JSON without a Type")),
    }
}

fn key(envelope: &Envelope, settings: &SesSettings, now: Timestamp) -> Result<KeyFrom, Refusal> {
    if let Some(pinned) = &settings.certificate {
        let keys: Vec<Result<Vec<u8>, Refusal>> = pinned.ders.iter().map(|der| certificate::key(der, now)).collect();
        if keys.iter().all(Result::is_err)
            && let Some(Err(why)) = keys.into_iter().next_back()
        {
            let words = format!("{} ({}); renew that file", why.words, pinned.path.display());
            return Err(Refusal { words, ..why });
        }
        let keys = pinned.ders.iter().filter_map(|der| certificate::key(der, now).ok()).collect();
        return Ok(KeyFrom::Here(keys));
    }
    let url = field("SigningCertURL", envelope.signing_cert_url.as_deref())?;
    Place::of_certificate(url).map(KeyFrom::Certificate).ok_or_else(|| {
        let words = "expected a SigningCertURL such as https://sns.ap-northeast-1.amazonaws.com/NAME.pem";
        Refusal::new(Why::Forged, format!("{words}, got {}", shown(url)))
    })
}

/// The text that is signed.
fn signed(envelope: &Envelope, kind: Kind) -> Result<Vec<u8>, Refusal> {
    let message = envelope.message.as_deref().ok_or_else(|| Refusal::unreadable("it has no Message"))?;
    let (id, at, topic) = (&envelope.message_id, &envelope.timestamp, &envelope.topic_arn);
    let mut parts: Vec<(&str, &str)> = vec![("Message", message), ("MessageId", field("MessageId", id.as_deref())?)];
    if kind == Kind::Notification {
        if envelope.subject.is_some() {
            parts.push(("Subject", field("Subject", envelope.subject.as_deref())?));
        }
        parts.push(("Timestamp", field("Timestamp", at.as_deref())?));
    } else {
        parts.push(("SubscribeURL", field("SubscribeURL", envelope.subscribe_url.as_deref())?));
        parts.push(("Timestamp", field("Timestamp", at.as_deref())?));
        parts.push(("Token", field("Token", envelope.token.as_deref())?));
    }
    parts.push(("TopicArn", field("TopicArn", topic.as_deref())?));
    parts.push(("Type", field("Type", envelope.r#type.as_deref())?));
    let mut text = String::new();
    for (name, value) in parts {
        text.push_str(name);
        text.push('\n');
        text.push_str(value);
        text.push('\n');
    }
    Ok(text.into_bytes())
}

fn inside(message: String, url: Option<&str>, kind: Kind, topic: &str) -> Result<Inside, Refusal> {
    match kind {
        Kind::Notification => Ok(Inside::Events(message)),
        Kind::Subscription => {
            let url = field("SubscribeURL", url)?;
            let place = Place::of_confirmation(url, topic).ok_or_else(|| {
                let words = "expected a SubscribeURL of SNS that confirms a subscription to this topic";
                Refusal::new(Why::Forged, format!("{words}, got {}", shown(url.split('?').next().unwrap_or(""))))
            })?;
            Ok(Inside::Confirm { topic: topic.to_owned(), place })
        }
        Kind::Unsubscription => Ok(Inside::Notice(format!(
            "the subscription of this machine to {topic} was ended: no event of it comes any more; subscribe it again in the \
             console of SNS if that was not meant"
        ))),
    }
}

/// A field of one line.
fn field<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Refusal> {
    let value = value.ok_or_else(|| Refusal::unreadable(format!("it has no {name}")))?;
    if value.len() > FIELD_MOST || value.chars().any(char::is_control) {
        return Err(Refusal::unreadable(format!("expected a {name} of one line, got {}", shown(value))));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_sns_itself_are_read_from() {
        for url in [
            "https://sns.ap-northeast-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0123456789abcdef.pem",
        ] {
            assert!(Place::of_certificate(url).is_some(), "{url}");
        }
        for url in [
            "http://sns.ap-northeast-1.amazonaws.com/x.pem",
            "https://sns.ap-northeast-1.amazonaws.com.example.jp/x.pem",
            "https://sns.ap-northeast-1.amazonaws.com:8443/x.pem",
            "https://user@sns.ap-northeast-1.amazonaws.com/x.pem",
            "https://sns.ap-northeast-1.amazonaws.com\\@example.jp/x.pem",
            "https://example.jp/sns.ap-northeast-1.amazonaws.com/x.pem",
            "https://sns.example.jp/x.pem",
            "https://snsxap-northeast-1.amazonaws.com/x.pem",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns.AP-northeast-1.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://s3.amazonaws.com/x.pem",
            "https://sns.ap-northeast-1.amazonaws.com",
            "https://sns.ap-northeast-1.amazonaws.com/",
            "https://sns.ap-northeast-1.amazonaws.com/x.pem?y",
            "https://sns.ap-northeast-1.amazonaws.com/a/../x.pem",
            "https://sns.ap-northeast-1.amazonaws.com/x.PEM",
            "https://sns.ap-northeast-1.amazonaws.com/あ.pem",
            "",
        ] {
            assert_eq!(Place::of_certificate(url), None, "{url}");
        }
    }

    #[test]
    fn a_subscription_is_confirmed_for_its_own_topic_alone() {
        let topic = "arn:aws:sns:ap-northeast-1:123456789012:bounces";
        let url = |query: &str| format!("https://sns.ap-northeast-1.amazonaws.com/?{query}");
        let place =
            Place::of_confirmation(&url(&format!("Action=ConfirmSubscription&TopicArn={topic}&Token=ab")), topic);
        assert_eq!(place.unwrap().to_string(), "https://sns.ap-northeast-1.amazonaws.com/");
        let coded = topic.replace(':', "%3A");
        assert!(
            Place::of_confirmation(&url(&format!("Action=ConfirmSubscription&TopicArn={coded}&Token=a")), topic)
                .is_some()
        );
        for query in [
            format!("Action=Unsubscribe&TopicArn={topic}"),
            format!("Action=ConfirmSubscription&TopicArn={topic}2"),
            format!("Action=ConfirmSubscription&Action=Publish&TopicArn={topic}"),
            format!("Action=ConfirmSubscription&TopicArn={topic}&TopicArn=x"),
            format!("TopicArn={topic}"),
            String::new(),
        ] {
            assert_eq!(Place::of_confirmation(&url(&query), topic), None, "{query}");
        }
    }
}
