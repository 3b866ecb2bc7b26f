//! Owns the fuzzing of what providers post: any text, as events or as an envelope, to every provider, is read or refused; what is
//! heard is bounded, whoever wrote it.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use hikagen::config::providers::{ProviderSettings, SendGridSettings, SesSettings};
use hikagen::core::feedback::TEXT_MOST;
use hikagen::feedback::provider::{Contents, Inside, ODD_MOST, PROVIDERS, Parcel, Provider};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

static SETTINGS: LazyLock<ProviderSettings> = LazyLock::new(|| ProviderSettings {
    ses: Some(SesSettings {
        topics: vec!["arn:aws:sns:ap-northeast-1:123456789012:bounces".to_owned()],
        certificate: None,
    }),
    sendgrid: Some(SendGridSettings { public_key: vec![4; 65], stale_after: Duration::from_secs(600) }),
});

fn look_at(contents: &Contents) {
    assert!(contents.odd.len() <= ODD_MOST && contents.odd.len() <= contents.odd_count);
    for heard in &contents.heard {
        assert!(!heard.id.is_empty() && heard.id.len() <= 2_000, "{}", heard.id.len());
        assert!(heard.said.text.chars().count() <= TEXT_MOST);
        assert!(heard.evidence.chars().count() <= 4_000);
    }
}

/// The text as a post: first line and second line are the headers in which a provider signs, where it signs in headers.
fn open(provider: &Provider, text: &str) {
    let mut lines = text.lines();
    let (first, second) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let header = |name: &str| Some(if name.to_ascii_lowercase().ends_with("timestamp") { first } else { second });
    let now = Timestamp::new(1_795_000_000, 0).expect("a time");
    if let Ok(opened) = (provider.open)(&Parcel { header: &header, body: text.as_bytes() }, &SETTINGS, now) {
        let _ = opened.verify(&[vec![4; 65]]);
        match &opened.inside {
            Inside::Confirm { place, .. } => assert!(place.host.starts_with("sns.") && place.target.starts_with("/?")),
            Inside::Events(events) => drop((provider.read)(events).map(|contents| look_at(&contents))),
            Inside::Notice(_) => {}
        }
    }
}

fuzz_target!(|text: &str| {
    for provider in &PROVIDERS {
        if let Ok(contents) = (provider.read)(text) {
            look_at(&contents);
        }
        open(provider, text);
    }
});
