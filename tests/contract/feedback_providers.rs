//! Owns the promises about providers' events: what each says, and that nothing unsigned, stale, foreign or repeated is believed.
//!
//! The payloads of `tests/feedback/provider` are made after the providers' published forms; they are signed here with keys of the test's own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hikagen::clock::{Clock, PacedClock, SharedClock};
use hikagen::config::groups_file::Destinations;
use hikagen::config::providers::{ProviderSettings, SendGridSettings};
use hikagen::core::feedback::Heard;
use hikagen::feedback::provider::PROVIDERS;
use hikagen::listener::events::{Events, Settings, Take, routes};
use hikagen::listener::http::{Serving, serve};
use hikagen::listener::web::Web;
use hikagen::store::{Recorded, StoreError};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "aaaaaaaaaaaabc7qmnb3wzsk2xyl5pqe";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feedback/provider")
}

/// A line of the table: file, provider, recipient, fate, code, enhanced, reason, whether the address is at fault.
type Row = [String; 8];

fn table() -> Vec<Row> {
    let mut reader = csv::Reader::from_path(folder().join("expected.csv")).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect()
}

fn read(file: &str, provider: &str) -> Vec<Heard> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let provider = PROVIDERS.iter().find(|known| known.name == provider).unwrap();
    (provider.read)(&text).unwrap_or_else(|refusal| panic!("{file}: {refusal}")).heard
}

#[test]
fn every_event_is_read_as_it_was_meant() {
    let shipped = Destinations::shipped();
    let mut wrong = Vec::new();
    for [file, provider, recipient, fate, code, enhanced, reason, at_fault] in table() {
        let heard = read(&file, &provider);
        if fate.is_empty() {
            assert!(heard.is_empty(), "{file}: {heard:?}");
            continue;
        }
        assert_eq!(heard.len(), 1, "{file}: {heard:?}");
        let one = &heard[0];
        let said = &one.said;
        let seen = [
            one.recipient.clone().unwrap_or_default(),
            one.fate.as_str().to_owned(),
            said.code.map(|code| code.to_string()).unwrap_or_default(),
            said.enhanced.map(|enhanced| enhanced.to_string()).unwrap_or_default(),
        ];
        if seen != [recipient.clone(), fate, code, enhanced] {
            wrong.push(format!("{file}: {seen:?}: {said:?}"));
        }
        assert!(one.clues.iter().any(|clue| clue.contains(TOKEN)), "{file}: {:?}", one.clues);
        assert!(one.at.is_some() || file.contains("reject"), "{file}: it says when");
        if !reason.is_empty() {
            let domain = recipient.rsplit_once('@').unwrap().1;
            let group = shipped.groups.route(domain).group.name.clone();
            let reading = shipped.rules.read_report(Some(&provider), said, one.stage, Some(&group));
            let fault = if reading.reason.is_recipients() { "yes" } else { "no" };
            if (reading.reason.as_str(), fault) != (reason.as_str(), at_fault.as_str()) {
                wrong.push(format!("{file}: {} ({fault}), not {reason}: {said:?}", reading.reason.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server that takes SendGrid's events, and what it took.
struct Desk {
    serving: Serving,
    taken: Arc<Mutex<Vec<Heard>>>,
    fails: Arc<Mutex<bool>>,
    key: EcdsaKeyPair,
    clock: Arc<PacedClock>,
    closed: CancellationToken,
}

impl Desk {
    async fn open() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let public_key = key.public_key().as_ref().to_vec();
        let settings: Settings = Arc::new(move || ProviderSettings {
            sendgrid: Some(SendGridSettings { public_key: public_key.clone(), stale_after: Duration::from_secs(600) }),
            ..ProviderSettings::default()
        });
        let (taken, fails): (Arc<Mutex<Vec<Heard>>>, Arc<Mutex<bool>>) = Default::default();
        let take: Take = {
            let (taken, fails) = (taken.clone(), fails.clone());
            Arc::new(move |heard| {
                let (taken, fails) = (taken.clone(), fails.clone());
                Box::pin(async move {
                    if *fails.lock().unwrap() {
                        return Err(StoreError::Unavailable("the disk is full".to_owned()));
                    }
                    let new = heard.len() as u64;
                    taken.lock().unwrap().extend(heard);
                    Ok(Recorded { new, ..Recorded::default() })
                })
            })
        };
        let clock = Arc::new(PacedClock::new("2026-11-24T01:05:00Z".parse().unwrap(), 1.0));
        let shared: SharedClock = clock.clone();
        let closed = CancellationToken::new();
        let events = Events::with(take, shared, settings, Web::default());
        let serving = serve("127.0.0.1:0".parse().unwrap(), routes(events), closed.clone()).await.unwrap();
        Self { serving, taken, fails, key, clock, closed }
    }

    fn signed(&self, body: &[u8], age: i64) -> (String, String) {
        let made = (self.clock.now().as_second() - age).to_string();
        let content = [made.as_bytes(), body].concat();
        let signature = self.key.sign(&SystemRandom::new(), &content).unwrap();
        (made, STANDARD.encode(signature))
    }

    async fn post(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> (u16, String) {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.serving.addr).await.unwrap();
        stream.write_all(&[request.as_bytes(), b"\r\n", body].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        (text.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0), text)
    }

    async fn post_signed(&self, body: &[u8], (made, signature): &(String, String)) -> (u16, String) {
        let headers = [
            ("X-Twilio-Email-Event-Webhook-Signature", signature.as_str()),
            ("X-Twilio-Email-Event-Webhook-Timestamp", made.as_str()),
        ];
        self.post("/events/sendgrid", body, &headers).await
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

#[tokio::test]
async fn what_is_signed_is_taken_once_and_nothing_else_is() {
    let desk = Desk::open().await;
    let body = std::fs::read(folder().join("sendgrid-bounce.json")).unwrap();
    let signed = desk.signed(&body, 5);
    assert_eq!(desk.post("/events/sendgrid", &body, &[]).await.0, 401, "unsigned");
    let changed = String::from_utf8(body.clone()).unwrap().replace("r@softbank", "x@softbank");
    assert_eq!(desk.post_signed(changed.as_bytes(), &signed).await.0, 403, "over other content");
    assert_eq!(desk.post_signed(&body, &desk.signed(&body, 3_600)).await.0, 403, "stale");
    assert_eq!(desk.post_signed(&body, &(signed.0.clone(), "bm9uc2Vuc2U=".to_owned())).await.0, 403, "forged");
    assert_eq!(desk.post("/events/ses", b"{}", &[]).await.0, 404, "not configured");
    assert_eq!(desk.taken(), 0);
    // What the provider tries again after a 503 is taken.
    *desk.fails.lock().unwrap() = true;
    let (status, answer) = desk.post_signed(&body, &signed).await;
    assert_eq!(status, 503);
    assert!(answer.to_lowercase().contains("retry-after"), "{answer}");
    *desk.fails.lock().unwrap() = false;
    assert_eq!(desk.post_signed(&body, &signed).await.0, 200);
    assert_eq!(desk.taken(), 1);
    assert_eq!(desk.post_signed(&body, &signed).await.0, 409, "a copy of what was taken");
    assert_eq!(desk.taken(), 1);
    let odd = b"[not json";
    assert_eq!(desk.post_signed(odd, &desk.signed(odd, 0)).await.0, 400);
    let huge = vec![b' '; 2 << 20];
    let (status, _) = desk.post_signed(&huge, &desk.signed(&huge, 0)).await;
    assert_eq!(status, 413);
    desk.closed.cancel();
    desk.serving.ended().await;
}

/// A small generator of its own, so that a failure can be told again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

#[test]
fn broken_events_are_answered() {
    let mut dice = Dice(11);
    for [file, provider, ..] in table() {
        let whole = std::fs::read_to_string(folder().join(&file)).unwrap();
        let provider = PROVIDERS.iter().find(|known| known.name == provider).unwrap();
        for _ in 0..200 {
            let mut broken: Vec<char> = whole.chars().collect();
            for _ in 0..=dice.roll(4) {
                let at = dice.roll(broken.len());
                match dice.roll(3) {
                    0 => broken.truncate(at),
                    1 => broken[at] = ['"', '{', '[', '0', 'x', '\u{3042}'][dice.roll(6)],
                    _ => drop(broken.remove(at)),
                }
                if broken.is_empty() {
                    broken.push('[');
                }
            }
            // Whatever comes of it, it is an answer.
            let _ = (provider.read)(&broken.iter().collect::<String>());
        }
        let deep = "[".repeat(100_000);
        assert!((provider.read)(&deep).is_err());
    }
}
