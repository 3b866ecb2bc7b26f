//! Reaching a relay: from which address, and what is said when it cannot be reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hikagen::config::settings::{RelaySettings, TlsMode};
use hikagen::core::reply::{Delivery, Stage};
use hikagen::relay::Relay;
use hikagen::relay::smtp::SmtpRelay;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::settings;

async fn fault(relay: RelaySettings) -> Delivery {
    let delivery = SmtpRelay::new(Arc::new(relay)).unwrap().connect().await.err().expect("a fault");
    assert!(!delivery.rcpt_written && !delivery.dot_begun);
    delivery
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_relay_that_is_down_refuses_the_connection() {
    let delivery = fault(settings::relay(free_port().await)).await;
    assert_eq!((delivery.stage, &*delivery.answer.to_string()), (Stage::Connect, "connection refused"));
}

#[tokio::test]
async fn a_relay_that_does_not_take_the_connection_runs_out_of_time() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Two connections fill a queue of one; further ones are left unanswered.
    let _queue = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let mut relay = settings::relay(address.port());
    relay.timeouts.connect = Duration::from_millis(60);
    let delivery = fault(relay).await;
    assert_eq!((delivery.stage, &*delivery.answer.to_string()), (Stage::Connect, "no answer in time"));
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_told() {
    let delivery = fault(RelaySettings { host: "x".repeat(300), ..settings::relay(25) }).await;
    assert_eq!(delivery.stage, Stage::Connect);
    assert!(delivery.answer.to_string().starts_with("name look-up failed: xxx"), "{delivery:?}");
}

#[tokio::test]
async fn the_connection_comes_from_the_source_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut relay = settings::relay(listener.local_addr().unwrap().port());
    relay.source_address = Some("127.0.0.9".parse().unwrap());
    let relay = SmtpRelay::new(Arc::new(relay)).unwrap();
    let server = async {
        let (tcp, from) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(tcp);
        stream.write_all(b"220 relay\r\n").await.unwrap();
        stream.read_line(&mut String::new()).await.unwrap();
        stream.write_all(b"250 relay\r\n").await.unwrap();
        (from.ip(), stream)
    };
    let ((from, _stream), connection) = tokio::join!(server, relay.connect());
    assert_eq!(from, "127.0.0.9".parse::<IpAddr>().unwrap());
    assert!(connection.is_ok());
}

#[tokio::test]
async fn a_source_address_of_another_machine_is_told() {
    let mut relay = settings::relay(free_port().await);
    relay.source_address = Some("192.0.2.1".parse().unwrap());
    let said = fault(relay).await.answer.to_string();
    assert!(said.contains("source_address 192.0.2.1") && said.contains("an address of this machine?"), "{said}");
}

#[tokio::test]
async fn a_source_address_of_the_other_kind_is_told() {
    let mut relay = settings::relay(free_port().await);
    relay.source_address = Some("::1".parse().unwrap());
    let said = fault(relay).await.answer.to_string();
    assert!(said.contains("no address of the kind of source_address ::1"), "{said}");
}

#[test]
fn a_name_that_ehlo_cannot_carry_is_refused_before_any_connection() {
    for evil in ["", "a b", "a\r\nMAIL FROM:<x>", "日本"] {
        let relay = RelaySettings { hello: Some(evil.into()), ..settings::relay(25) };
        let why = SmtpRelay::new(Arc::new(relay)).err().expect("a refusal");
        assert!(why.contains("set `hello`") && !why.contains('\r'), "{why}");
    }
}

#[test]
fn a_host_that_no_certificate_can_bear_is_refused_before_any_connection() {
    let relay = RelaySettings { host: "two words".into(), tls: TlsMode::Starttls, ..settings::relay(25) };
    let why = SmtpRelay::new(Arc::new(relay)).err().expect("a refusal");
    assert!(why.contains("\"two words\" is no host name"), "{why}");
}
