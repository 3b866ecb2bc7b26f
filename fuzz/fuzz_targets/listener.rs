//! Owns the fuzzing of the SMTP and LMTP dialogue: any octets are commands and mails or are refused; every mail that is taken has
//! recipients of our own and fits the bounds, and nothing that the listener says was written by its client.
#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use hikagen::clock::PacedClock;
use hikagen::compose::Tokens;
use hikagen::config::Config;
use hikagen::config::config_file::load_with;
use hikagen::core::campaign::MessageId;
use hikagen::listener::smtp::{Bounds, Desk, Hands, Mail, Protocol, Taken, Taking};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const FILE: &str = "
store: hikagen.db
timezone: Asia/Tokyo
relays:
  first:
    host: 127.0.0.1
    port: 2525
    tls: none
    domain: m.example.jp
    plan: steady
    envelope_from: \"bounce+{token}@m.example.jp\"
pools:
  news: [first]
";

const MAIL_MOST: usize = 4_000;

static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hikagen.yaml");
    std::fs::write(&path, FILE).expect("written");
    Arc::new(load_with(&path, &|_| None).0.value.expect("a configuration"))
});
static TOKENS: LazyLock<Arc<Tokens>> = LazyLock::new(|| Arc::new(Tokens::new(&[7; 32])));
static MAILS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime"),
    );
}

async fn talk(bytes: &[u8], protocol: Protocol) -> Vec<u8> {
    let clock = Arc::new(PacedClock::new(jiff::Timestamp::UNIX_EPOCH, 1.0));
    let taking: Taking = Arc::new(|mail: Mail| {
        assert!(!mail.recipients.is_empty() && mail.recipients.len() <= 100 && mail.bytes.len() <= MAIL_MOST);
        let octets = MAILS.fetch_add(1, Ordering::Relaxed) + mail.bytes.len();
        Box::pin(async move { if octets % 7 == 0 { Taken::Later } else { Taken::Done } })
    });
    let hands = Hands::new(Arc::new(|| CONFIG.clone()), TOKENS.clone(), clock, taking);
    let desk = Desk::new(hands, Bounds { mail: MAIL_MOST, spool: 100_000, ..Bounds::default() });
    let mut said = Vec::new();
    let _ = desk.talk(tokio::io::join(bytes, &mut said), protocol, &CancellationToken::new()).await;
    said
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let protocol = if first.is_ascii_uppercase() { Protocol::Smtp } else { Protocol::Lmtp };
    // A right token, which nobody finds by trying, stands for its short name.
    let text = TOKENS.token(MessageId(1));
    let mut wire = Vec::with_capacity(rest.len());
    for &octet in rest {
        if octet == 0xff { wire.extend_from_slice(text.as_bytes()) } else { wire.push(octet) }
    }
    let said = RUNTIME.with_borrow(|runtime| runtime.block_on(talk(&wire, protocol)));
    let said = String::from_utf8(said).expect("text");
    assert!(said.starts_with("220 m.example.jp ") && said.ends_with("\r\n"), "{said:?}");
    for line in said.lines() {
        let (code, rest) = line.split_at(3);
        assert!(code.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with([' ', '-']), "{line:?}");
        assert!(line.len() < 100, "{line:?}");
    }
});
