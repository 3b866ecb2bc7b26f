//! TLS towards a relay: who is trusted, what is refused, and in which words.

use std::path::Path;
use std::sync::Arc;

use hikagen::config::settings::{RelaySettings, TlsMode};
use hikagen::core::reply::{Delivery, Stage};
use hikagen::relay::smtp::SmtpRelay;
use hikagen::relay::{Outgoing, Relay};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ServerSessionMemoryCache;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion, crypto::ring, version};

use crate::support::certificates::{Authority, ServerCertificate};
use crate::support::settings;

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

fn acceptor(server: &ServerCertificate, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.session_storage = ServerSessionMemoryCache::new(32);
    TlsAcceptor::from(Arc::new(config))
}

/// What a server saw of one connection.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    in_clear: Vec<String>,
    in_tls: Vec<String>,
    resumed: bool,
}

/// Serves one connection: STARTTLS or implicit TLS, with login, taking one message after the other.
async fn serve(listener: &TcpListener, acceptor: &TlsAcceptor, mode: TlsMode, shut_up: bool) -> Seen {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut seen = Seen::default();
    if mode == TlsMode::Starttls {
        seen.in_clear = in_clear(&mut tcp).await;
    }
    let Ok(tls) = acceptor.accept(tcp).await else { return seen };
    seen.resumed = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    if shut_up {
        // Gone without close_notify.
        return seen;
    }
    let mut stream = BufReader::new(tls);
    if mode == TlsMode::Implicit {
        stream.write_all(b"220 relay.example\r\n").await.unwrap();
    }
    let mut in_message = false;
    while let Some(line) = heard(&mut stream).await {
        let reply: &[u8] = match line.split(' ').next().unwrap() {
            "." if in_message => {
                in_message = false;
                b"250 2.0.0 taken\r\n"
            }
            _ if in_message => b"",
            "EHLO" => b"250-relay.example\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n",
            "AUTH" => b"235 2.7.0 welcome\r\n",
            "DATA" => {
                in_message = true;
                b"354 go on\r\n"
            }
            // No farewell, no close_notify: as some relays do.
            "QUIT" => {
                seen.in_tls.push(line);
                return seen;
            }
            _ => b"250 2.1.0 ok\r\n",
        };
        stream.write_all(reply).await.unwrap();
        stream.flush().await.unwrap();
        seen.in_tls.push(line);
    }
    seen
}

async fn in_clear(tcp: &mut TcpStream) -> Vec<String> {
    let mut stream = BufReader::new(tcp);
    let mut lines = Vec::new();
    stream.write_all(b"220 relay.example\r\n").await.unwrap();
    while let Some(line) = heard(&mut stream).await {
        let reply: &[u8] = match line.as_str() {
            "STARTTLS" => b"220 2.0.0 ready\r\n",
            // A login that is forged into the offers in clear must not be believed nor used.
            _ => b"250-relay.example\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n",
        };
        stream.write_all(reply).await.unwrap();
        lines.push(line);
        if lines.last().unwrap() == "STARTTLS" {
            break;
        }
    }
    lines
}

async fn heard(stream: &mut (impl AsyncRead + AsyncWrite + AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(n) if n > 0 => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

struct World {
    folder: tempfile::TempDir,
    authority: Authority,
    listener: TcpListener,
}

impl World {
    async fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    fn settings(&self, tls: TlsMode) -> RelaySettings {
        let mut relay = settings::relay(self.listener.local_addr().unwrap().port());
        relay.tls = tls;
        relay.ca = Some(self.authority.write(self.folder.path()));
        relay.auth = Some(settings::login("user", "secret"));
        relay
    }
}

fn mail() -> Outgoing {
    Outgoing {
        envelope_from: "news@sender.example".into(),
        recipient: "taro@example.jp".into(),
        recipient_alternative: None,
        bytes: b"Subject: one\r\n\r\nhello\r\n".to_vec(),
    }
}

async fn delivers(tls: TlsMode, versions: &[&'static SupportedProtocolVersion], host: &str) -> Seen {
    let world = World::new().await;
    let acceptor = acceptor(&world.authority.server(), versions);
    let relay = SmtpRelay::new(Arc::new(RelaySettings { host: host.into(), ..world.settings(tls) })).unwrap();
    let server = serve(&world.listener, &acceptor, tls, false);
    let client = async {
        let mut connection = relay.connect().await.unwrap_or_else(|delivery| panic!("{delivery:?}"));
        for _ in 0..2 {
            let delivery = connection.deliver(&mail()).await;
            assert!(delivery.is_accepted(), "{delivery:?}");
            assert!(connection.is_usable());
        }
        connection.close().await;
    };
    tokio::join!(server, client).0
}

const IN_TLS: [&str; 16] = [
    "EHLO sender.example",
    "AUTH PLAIN AHVzZXIAc2VjcmV0",
    "MAIL FROM:<news@sender.example>",
    "RCPT TO:<taro@example.jp>",
    "DATA",
    "Subject: one",
    "",
    "hello",
    ".",
    "MAIL FROM:<news@sender.example>",
    "RCPT TO:<taro@example.jp>",
    "DATA",
    "Subject: one",
    "",
    "hello",
    ".",
];

#[tokio::test]
async fn starttls_hides_everything_but_the_first_hello() {
    let seen = delivers(TlsMode::Starttls, BOTH, "127.0.0.1").await;
    assert_eq!(seen.in_clear, ["EHLO sender.example", "STARTTLS"]);
    assert_eq!(seen.in_tls, [&IN_TLS[..], &["QUIT"]].concat());
}

#[tokio::test]
async fn implicit_tls_hides_everything() {
    let seen = delivers(TlsMode::Implicit, BOTH, "127.0.0.1").await;
    assert!(seen.in_clear.is_empty());
    assert_eq!(seen.in_tls, [&IN_TLS[..], &["QUIT"]].concat());
}

#[tokio::test]
async fn tls_1_2_will_do() {
    let seen = delivers(TlsMode::Starttls, &[&version::TLS12], "localhost").await;
    assert_eq!(seen.in_tls.len(), IN_TLS.len() + 1);
}

#[tokio::test]
async fn a_second_connection_resumes_the_tls_session() {
    let world = World::new().await;
    let acceptor = acceptor(&world.authority.server(), BOTH);
    let relay = SmtpRelay::new(Arc::new(world.settings(TlsMode::Implicit))).unwrap();
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let server = serve(&world.listener, &acceptor, TlsMode::Implicit, false);
        let client = async { relay.connect().await.unwrap_or_else(|delivery| panic!("{delivery:?}")).close().await };
        resumed.push(tokio::join!(server, client).0.resumed);
    }
    assert_eq!(resumed, [false, true]);
}

async fn refused(
    server: impl FnOnce(&Authority) -> ServerCertificate,
    change: impl FnOnce(&mut RelaySettings),
) -> Delivery {
    let world = World::new().await;
    let acceptor = acceptor(&server(&world.authority), BOTH);
    let mut settings = world.settings(TlsMode::Starttls);
    change(&mut settings);
    let relay = SmtpRelay::new(Arc::new(settings)).unwrap();
    let (seen, delivery) = tokio::join!(serve(&world.listener, &acceptor, TlsMode::Starttls, false), relay.connect());
    assert_eq!(seen.in_tls, Vec::<String>::new(), "something was said to a server that is not trusted");
    let delivery = delivery.err().expect("a refusal");
    assert_eq!((delivery.stage, delivery.rcpt_written), (Stage::Tls, false));
    delivery
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_said_so() {
    let delivery = refused(Authority::expired, |_| {}).await;
    assert_eq!(
        delivery.answer.to_string(),
        "TLS: the relay's certificate has expired; its owner must renew it (or this machine's clock is wrong)"
    );
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_and_its_names_are_told() {
    let delivery = refused(Authority::for_another_host, |_| {}).await;
    let said = delivery.answer.to_string();
    assert!(said.contains("is not for 127.0.0.1 but for") && said.contains("relay.example"), "{said}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_and_the_way_out_is_told() {
    let self_signed = |_: &Authority| {
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        ServerCertificate { certificate: pair.cert.pem(), key: pair.signing_key.serialize_pem() }
    };
    let delivery = refused(self_signed, |_| {}).await;
    let said = delivery.answer.to_string();
    assert!(said.contains("an authority that this machine does not trust") && said.contains("set `ca`"), "{said}");
}

#[tokio::test]
async fn an_authority_of_the_same_name_with_another_key_is_refused() {
    let delivery = refused(|_| Authority::new().server(), |_| {}).await;
    assert!(delivery.answer.to_string().contains("not signed by the authority that it names"), "{delivery:?}");
}

#[tokio::test]
async fn a_private_authority_is_not_trusted_unless_it_is_named() {
    let Ok(system) = SmtpRelay::new(Arc::new(RelaySettings { tls: TlsMode::Implicit, ..settings::relay(1) })) else {
        // A machine without any authority says so at once, which is as good.
        return;
    };
    drop(system);
    let delivery = refused(Authority::server, |settings| settings.ca = None).await;
    assert!(delivery.answer.to_string().contains("set `ca`"), "{delivery:?}");
}

#[tokio::test]
async fn a_server_that_leaves_after_the_handshake_is_a_closed_connection() {
    let world = World::new().await;
    let acceptor = acceptor(&world.authority.server(), BOTH);
    let relay = SmtpRelay::new(Arc::new(world.settings(TlsMode::Implicit))).unwrap();
    let (_, delivery) = tokio::join!(serve(&world.listener, &acceptor, TlsMode::Implicit, true), relay.connect());
    let delivery = delivery.err().expect("a fault");
    assert_eq!(delivery.stage, Stage::Greeting);
    assert!(["connection reset", "connection closed without an answer"].contains(&&*delivery.answer.to_string()));
}

#[tokio::test]
async fn versions_in_common_are_needed_and_the_refusal_is_told() {
    let world = World::new().await;
    let relay = SmtpRelay::new(Arc::new(world.settings(TlsMode::Implicit))).unwrap();
    let refuse = async {
        let (mut tcp, _) = world.listener.accept().await.unwrap();
        // A fatal alert, protocol_version, as a server of TLS 1.0 sends it.
        tcp.write_all(&[21, 3, 1, 0, 2, 2, 70]).await.unwrap();
        tcp
    };
    let (_tcp, delivery) = tokio::join!(refuse, relay.connect());
    let said = delivery.err().expect("a fault").answer.to_string();
    assert_eq!(said, "TLS: the relay refused the handshake (ProtocolVersion)");
}

#[test]
fn an_unusable_authority_file_is_told_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let with = |path: &Path| {
        let settings = RelaySettings { tls: TlsMode::Starttls, ca: Some(path.into()), ..settings::relay(1) };
        SmtpRelay::new(Arc::new(settings)).err().expect("a refusal")
    };
    let missing = with(&folder.path().join("missing.pem"));
    assert!(missing.starts_with("relay test: ca: ") && missing.contains("missing.pem"), "{missing}");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing here\n").unwrap();
    assert!(with(&empty).contains("found none"), "{}", with(&empty));
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").unwrap();
    assert!(with(&broken).contains("expected a PEM file"), "{}", with(&broken));
}
