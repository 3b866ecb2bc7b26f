//! Owns events of a provider that somebody has in a file: as posted, or as SNS, a queue or a bucket wrapped them.
//!
//! Invariant: signatures are not asked for; this is for the hands of whoever may write the store anyway, never for a socket.

use serde_json::Value;

use super::{Contents, Provider, Refusal, sendgrid, ses};
use crate::feedback::import::ReadEvents;

/// Wrappings around an event: SNS in a queue's body is two.
const WRAPPINGS_MOST: usize = 4;

/// The readers, by the provider's name.
#[must_use]
pub fn by_hand() -> Vec<(&'static str, ReadEvents)> {
    vec![
        (sendgrid::PROVIDER.name, |text| told(&sendgrid::PROVIDER, text)),
        (ses::PROVIDER.name, |text| told(&ses::PROVIDER, &unwrapped(text))),
    ]
}

fn told(provider: &Provider, text: &str) -> Result<(Vec<crate::core::feedback::Heard>, Vec<String>), String> {
    let read: Result<Contents, Refusal> = (provider.read)(text);
    let contents = read.map_err(|refusal| refusal.to_string())?;
    let mut odd = contents.odd;
    let more = contents.odd_count.saturating_sub(odd.len());
    if more > 0 {
        odd.push(format!("{more} more events cannot be read"));
    }
    Ok((contents.heard, odd))
}

/// The event inside what SNS (`Message`) and SQS (`Body`) put around it.
fn unwrapped(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..WRAPPINGS_MOST {
        let inner = serde_json::from_str::<Value>(&text).ok().and_then(|value| {
            let within = ["Message", "Body"].into_iter().find_map(|key| value.get(key).and_then(Value::as_str));
            within.map(str::to_owned)
        });
        match inner {
            Some(inner) => text = inner,
            None => break,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_found_in_all_that_was_put_around_it() {
        let event = json!({ "eventType": "Delivery" }).to_string();
        let notification = json!({ "Type": "Notification", "Message": event }).to_string();
        let queued = json!({ "MessageId": "1", "Body": notification }).to_string();
        for text in [&event, &notification, &queued] {
            assert_eq!(unwrapped(text), event);
        }
        assert_eq!(unwrapped("no JSON"), "no JSON");
    }

    #[test]
    fn an_event_without_a_signature_is_read_and_an_odd_one_is_told() {
        let readers = by_hand();
        let (_, read) = readers.iter().find(|(name, _)| *name == "ses").expect("known");
        let bounce = json!({
            "eventType": "Bounce",
            "bounce": { "bounceType": "Permanent", "bounceSubType": "General", "feedbackId": "f1",
                "timestamp": "2026-11-26T08:00:00.000Z",
                "bouncedRecipients": [{ "emailAddress": "a@docomo.ne.jp", "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 Unknown user" }] },
            "mail": { "messageId": "0100", "source": "bounce@m.example.jp", "timestamp": "2026-11-26T07:59:00.000Z",
                "destination": ["a@docomo.ne.jp"] }
        });
        let (heard, odd) = read(&json!({ "Message": bounce.to_string() }).to_string()).expect("read");
        assert_eq!((heard.len(), odd.len()), (1, 0), "{odd:?}");
        assert!(read("nonsense").is_err());
    }
}
