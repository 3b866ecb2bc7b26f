//! Owns the promises about envelopes of Amazon SNS: only what its key signed, lately, for a topic of ours, is taken, and once; no
//! place is read from but SNS itself.
//!
//! Messages are signed by openssl, over the text that docs.aws.amazon.com/sns/latest/dg ("Verifying the signatures of Amazon SNS
//! messages") describes, with an RSA key of the test's own; SNS itself is an HTTPS server on loopback.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hikagen::clock::{Clock as _, PacedClock};
use hikagen::config::config_file::load_with;
use hikagen::core::feedback::Heard;
use hikagen::listener::events::{Events, Settings, Take, routes};
use hikagen::listener::http::{Serving, serve};
use hikagen::listener::web::Web;
use hikagen::store::Recorded;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};
use tokio_util::sync::CancellationToken;

use crate::support::certificates::{Authority, of_rsa};
use crate::support::dkim;

const HOST: &str = "sns.ap-northeast-1.amazonaws.com";
const TOPIC: &str = "arn:aws:sns:ap-northeast-1:123456789012:bounces";
const OTHER_TOPIC: &str = "arn:aws:sns:ap-northeast-1:123456789012:complaints";
const CERTIFICATE: &str = "/SimpleNotificationService-0123456789abcdef.pem";

const CONFIG: &str = "
store: hikagen.db
timezone: Asia/Tokyo
relays:
  first: { host: 127.0.0.1, port: 2525, tls: none, domain: m.example.jp, plan: steady, envelope_from: \"bounce+{token}@m.example.jp\" }
pools:
  news: [first]
feedback:
";

type Envelope = Map<String, Value>;

/// SNS: what it answers by path and query, and what it was asked.
struct Sns {
    address: std::net::SocketAddr,
    answers: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Sns {
    /// With a certificate of `authority` for the host `name`.
    async fn open(authority: &Authority, name: &str) -> Self {
        let server = authority.for_host(name);
        let certificate = CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sns = Self { address: listener.local_addr().unwrap(), answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (sns.answers.clone(), sns.asked.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(stream) = tls.accept(tcp).await else { continue };
                let mut stream = BufReader::new(stream);
                let (mut head, mut line) = (String::new(), String::new());
                while line != "\r\n" && stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
                    head.push_str(&line);
                    if line != "\r\n" {
                        line.clear();
                    }
                }
                let target = head.split(' ').nth(1).unwrap().to_owned();
                assert!(
                    head.starts_with("GET ") && head.to_lowercase().contains(&format!("\r\nhost: {HOST}\r\n")),
                    "{head}"
                );
                let none = || "404 Not Found\r\n".to_owned();
                let answer = answers.lock().unwrap().get(&target).cloned().unwrap_or_else(none);
                asked.lock().unwrap().push(target);
                let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        sns
    }

    fn answers(&self, target: &str, status: &str, body: &str) {
        let answer = format!("{status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        self.answers.lock().unwrap().insert(target.to_owned(), answer);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The listener, with a key of SNS.
struct Desk {
    serving: Serving,
    taken: Arc<Mutex<Vec<Heard>>>,
    clock: Arc<PacedClock>,
    key: String,
    folder: tempfile::TempDir,
    closed: CancellationToken,
}

impl Desk {
    /// Certificates are read from `sns`; without one, they come from the file that the configuration names.
    async fn open(sns: Option<(&Sns, &Authority)>) -> Self {
        let key = dkim::rsa(2048).private;
        let certificate = of_rsa(&key, 2040);
        Self::with(sns, key, &certificate).await
    }

    async fn with(sns: Option<(&Sns, &Authority)>, key: String, certificate: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pinned = if sns.is_none() { ", certificate: sns.pem" } else { "" };
        let text = format!("{CONFIG}  ses: {{ topics: [\"{TOPIC}\", \"{OTHER_TOPIC}\"]{pinned} }}\n");
        let path = folder.path().join("hikagen.yaml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("sns.pem"), certificate).unwrap();
        std::fs::write(folder.path().join("sns.key"), &key).unwrap();
        let (read, _) = load_with(&path, &|_| None);
        let providers = read.value.unwrap_or_else(|| panic!("{:?}", read.problems)).feedback.providers.clone();
        let web = match sns {
            Some((sns, authority)) => Web::towards(sns.address, &authority.write(folder.path())),
            None => Web::default(),
        };
        let taken: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let take: Take = {
            let taken = taken.clone();
            Arc::new(move |heard| {
                let new = heard.len() as u64;
                taken.lock().unwrap().extend(heard);
                Box::pin(async move { Ok(Recorded { new, ..Recorded::default() }) })
            })
        };
        let settings: Settings = Arc::new(move || providers.clone());
        let clock = Arc::new(PacedClock::new("2026-11-24T01:05:00Z".parse().unwrap(), 1.0));
        let closed = CancellationToken::new();
        let events = Events::with(take, clock.clone(), settings, web);
        let serving = serve("127.0.0.1:0".parse().unwrap(), routes(events), closed.clone()).await.unwrap();
        Self { serving, taken, clock, key, folder, closed }
    }

    /// An envelope without a signature, made so many seconds ago.
    fn envelope(&self, kind: &str, id: &str, age: i64) -> Envelope {
        let made = self.clock.now() - SignedDuration::from_secs(age);
        let event = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/feedback/provider/ses-unknown.json");
        let mut envelope = json!({
            "Type": kind, "MessageId": id, "TopicArn": TOPIC, "Timestamp": made.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            "SigningCertURL": format!("https://{HOST}{CERTIFICATE}"),
        });
        if kind == "Notification" {
            envelope["Subject"] = json!("Amazon SES Email Event Notification");
            envelope["Message"] = json!(std::fs::read_to_string(event).unwrap());
            envelope["UnsubscribeURL"] = json!(format!("https://{HOST}/?Action=Unsubscribe"));
        } else {
            envelope["Token"] = json!("2336412f37");
            envelope["SubscribeURL"] = json!(format!("https://{HOST}{}", confirmation(TOPIC)));
            envelope["Message"] =
                json!("You have chosen to subscribe to the topic.\nTo confirm, visit the SubscribeURL.");
        }
        let Value::Object(envelope) = envelope else { unreachable!() };
        envelope
    }

    /// Signs as SNS does.
    fn sign(&self, envelope: &mut Envelope, version: u8) {
        let names: &[&str] = match envelope["Type"].as_str().unwrap() {
            "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
            _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
        };
        let mut text = String::new();
        for name in names {
            if let Some(Value::String(value)) = envelope.get(*name) {
                text.push_str(&format!("{name}\n{value}\n"));
            }
        }
        let file = self.folder.path().join("sns.key");
        let digest = if version == 1 { "-sha1" } else { "-sha256" };
        let signature = dkim::openssl(&["dgst", digest, "-sign", file.to_str().unwrap()], text.as_bytes());
        envelope.insert("Signature".to_owned(), json!(STANDARD.encode(signature)));
        envelope.insert("SignatureVersion".to_owned(), json!(version.to_string()));
    }

    fn signed(&self, kind: &str, id: &str, age: i64) -> Envelope {
        let mut envelope = self.envelope(kind, id, age);
        self.sign(&mut envelope, 2);
        envelope
    }

    /// The same, with one field changed before it is signed.
    fn signed_with(&self, kind: &str, name: &str, value: Value) -> Envelope {
        let mut envelope = self.envelope(kind, &format!("{name} {value}"), 5);
        envelope.insert(name.to_owned(), value);
        self.sign(&mut envelope, 2);
        envelope
    }

    async fn post(&self, envelope: &Envelope) -> (u16, String) {
        let body = serde_json::to_vec(envelope).unwrap();
        let head = format!(
            "POST /events/ses HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain; charset=UTF-8\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.serving.addr).await.unwrap();
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0), answer)
    }

    async fn answers(&self, envelope: &Envelope, expected: u16, what: &str) {
        let (status, answer) = self.post(envelope).await;
        assert_eq!(status, expected, "{what}: {answer}");
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    async fn close(self) {
        self.closed.cancel();
        self.serving.ended().await;
    }
}

fn confirmation(topic: &str) -> String {
    format!("/?Action=ConfirmSubscription&TopicArn={topic}&Token=2336412f37")
}

fn changed(envelope: &Envelope, name: &str, value: Option<Value>) -> Envelope {
    let mut envelope = envelope.clone();
    match value {
        Some(value) => drop(envelope.insert(name.to_owned(), value)),
        None => drop(envelope.remove(name)),
    }
    envelope
}

#[tokio::test]
async fn a_notification_is_taken_when_its_signature_holds_and_once() {
    let desk = Desk::open(None).await;
    for version in [1, 2] {
        for subject in [true, false] {
            let mut right = desk.envelope("Notification", &format!("n{version}{subject}"), 5);
            if !subject {
                right.remove("Subject");
            }
            desk.sign(&mut right, version);
            let before = desk.taken();
            desk.answers(&right, 200, &format!("version {version}, subject {subject}")).await;
            assert_eq!(desk.taken(), before + 1);
            desk.answers(&right, 409, "a copy").await;
            // What is not signed may differ, and it is a copy all the same.
            desk.answers(&changed(&right, "UnsubscribeURL", None), 409, "a copy").await;
            assert_eq!(desk.taken(), before + 1, "a repeat changes nothing");
        }
    }
    let heard = desk.taken.lock().unwrap()[0].clone();
    assert_eq!(heard.recipient.as_deref(), Some("hanako@docomo.ne.jp"));
    desk.close().await;
}

#[tokio::test]
async fn a_notification_that_was_changed_or_is_not_signed_or_is_stale_is_refused() {
    let desk = Desk::open(None).await;
    let right = desk.signed("Notification", "n1", 5);
    let message = right["Message"].as_str().unwrap().replace("hanako@", "taro@");
    let later = desk.envelope("Notification", "n1", 1)["Timestamp"].clone();
    for (name, value, status) in [
        ("Message", Some(json!(message)), 403),
        ("MessageId", Some(json!("n2")), 403),
        ("Subject", Some(json!("Another")), 403),
        ("Subject", None, 403),
        ("Timestamp", Some(later), 403),
        ("TopicArn", Some(json!(OTHER_TOPIC)), 403),
        ("TopicArn", Some(json!(format!("{TOPIC}-of-another"))), 403),
        ("SignatureVersion", Some(json!("1")), 403),
        ("SignatureVersion", Some(json!("3")), 403),
        ("SignatureVersion", None, 403),
        ("Signature", Some(json!("bm9uc2Vuc2U=")), 403),
        ("Signature", Some(json!("no base64")), 403),
        ("Signature", Some(json!("")), 401),
        ("Signature", None, 401),
        ("Message", None, 400),
        ("Timestamp", None, 400),
        ("Type", Some(json!("Other")), 400),
        ("Type", None, 400),
    ] {
        desk.answers(&changed(&right, name, value.clone()), status, &format!("{name} {value:?}")).await;
    }
    // Subject and message run into each other in the signed text where a field may hold a line break.
    let divided = changed(&changed(&right, "Subject", None), "MessageId", Some(json!("n1\nSubject\nAnother")));
    desk.answers(&divided, 400, "a field of two lines").await;
    desk.answers(&desk.signed("Notification", "n3", 3 * 3_600), 403, "stale").await;
    desk.answers(&desk.signed("Notification", "n4", -3_600), 403, "made in the future").await;
    let other = Desk::open(None).await;
    desk.answers(&other.signed("Notification", "n5", 5), 403, "by another key").await;
    assert_eq!(desk.taken(), 0);
    desk.answers(&right, 200, "the right one, after all that").await;
    assert_eq!(desk.taken(), 1);
    desk.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_certificate_that_ended_verifies_nothing() {
    let key = dkim::rsa(2048).private;
    let ended = of_rsa(&key, 2025);
    let desk = Desk::with(None, key, &ended).await;
    let (status, answer) = desk.post(&desk.signed("Notification", "n1", 5)).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains("was valid until 2025-12-31") && answer.contains("renew that file"), "{answer}");
    desk.close().await;
}

#[tokio::test]
async fn a_certificate_is_read_from_sns_itself_alone_and_once() {
    let authority = Authority::new();
    let sns = Sns::open(&authority, HOST).await;
    let desk = Desk::open(Some((&sns, &authority))).await;
    for url in [
        format!("http://{HOST}{CERTIFICATE}"),
        format!("https://{HOST}.example.jp{CERTIFICATE}"),
        format!("https://{HOST}:443{CERTIFICATE}"),
        format!("https://example.jp{CERTIFICATE}"),
        format!("https://sns.ap-northeast-1.amazonaws.com.example.jp{CERTIFICATE}"),
        format!("https://bucket.s3.amazonaws.com{CERTIFICATE}"),
        format!("https://{HOST}/folder{CERTIFICATE}"),
        format!("https://x@{HOST}{CERTIFICATE}"),
        String::new(),
    ] {
        let envelope = changed(&desk.signed("Notification", "n1", 5), "SigningCertURL", Some(json!(url)));
        desk.answers(&envelope, 403, &url).await;
    }
    desk.answers(&changed(&desk.signed("Notification", "n1", 5), "SigningCertURL", None), 400, "no address").await;
    assert_eq!((desk.taken(), sns.asked()), (0, vec![]), "nothing was read from anywhere");
    sns.answers(CERTIFICATE, "200 OK", &of_rsa(&desk.key, 2040));
    for id in ["n2", "n3"] {
        desk.answers(&desk.signed("Notification", id, 5), 200, id).await;
    }
    let other = Desk::open(None).await;
    desk.answers(&other.signed("Notification", "n4", 5), 403, "by another key").await;
    assert_eq!((desk.taken(), sns.asked()), (2, vec![CERTIFICATE.to_owned()]), "read once, then kept");
    desk.close().await;
    other.close().await;
}

/// Somebody who takes the name of SNS in the DNS does not have its certificate.
#[tokio::test]
async fn a_host_that_cannot_show_the_certificate_of_sns_is_not_believed() {
    let authority = Authority::new();
    let sns = Sns::open(&authority, "sns.example.jp").await;
    let desk = Desk::open(Some((&sns, &authority))).await;
    sns.answers(CERTIFICATE, "200 OK", &of_rsa(&desk.key, 2040));
    let (status, answer) = desk.post(&desk.signed("Notification", "n1", 5)).await;
    assert_eq!(status, 503, "SNS tries again: {answer}");
    assert!(answer.contains("TLS:") && answer.contains("feedback.ses.certificate"), "{answer}");
    assert_eq!((desk.taken(), sns.asked()), (0, vec![]));
    desk.close().await;
}

#[tokio::test]
async fn a_subscription_is_confirmed_by_one_visit_to_sns() {
    let authority = Authority::new();
    let sns = Sns::open(&authority, HOST).await;
    let desk = Desk::open(Some((&sns, &authority))).await;
    sns.answers(CERTIFICATE, "200 OK", &of_rsa(&desk.key, 2040));
    let right = desk.signed("SubscriptionConfirmation", "s1", 5);
    // Nothing is visited that was not signed, whoever asks.
    desk.answers(&changed(&right, "Signature", None), 401, "unsigned").await;
    desk.answers(&changed(&right, "Token", Some(json!("another"))), 403, "changed").await;
    for url in [
        format!("http://{HOST}{}", confirmation(TOPIC)),
        format!("https://example.jp{}", confirmation(TOPIC)),
        format!("https://{HOST}.example.jp{}", confirmation(TOPIC)),
        format!("https://{HOST}{}", confirmation(OTHER_TOPIC)),
        format!("https://{HOST}/?Action=Unsubscribe&TopicArn={TOPIC}"),
        format!("https://{HOST}/other{}", confirmation(TOPIC)),
    ] {
        desk.answers(&desk.signed_with("SubscriptionConfirmation", "SubscribeURL", json!(url)), 403, &url).await;
    }
    assert!(sns.asked().iter().all(|target| target == CERTIFICATE), "{:?}", sns.asked());
    let visits = || sns.asked().iter().filter(|target| **target == confirmation(TOPIC)).count();
    sns.answers(&confirmation(TOPIC), "500 Internal Server Error", "");
    desk.answers(&right, 503, "SNS is to try again").await;
    sns.answers(&confirmation(TOPIC), "302 Found\r\nLocation: https://example.jp/", "");
    desk.answers(&right, 503, "no redirect is followed").await;
    assert_eq!(visits(), 2);
    sns.answers(&confirmation(TOPIC), "200 OK", "<ConfirmSubscriptionResponse/>");
    desk.answers(&right, 200, "confirmed").await;
    assert_eq!(visits(), 3);
    desk.answers(&right, 409, "a copy").await;
    assert_eq!((visits(), desk.taken()), (3, 0), "a repeat visits nothing");
    let ended = desk.signed("UnsubscribeConfirmation", "u1", 5);
    desk.answers(&ended, 200, "noted, and not undone").await;
    assert_eq!(visits(), 3);
    desk.close().await;
}
