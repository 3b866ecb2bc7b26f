//! A real Postfix accepts a message, is refused by the destination, and hands its bounce over to the worker's own listener, by
//! SMTP and by LMTP.

use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::SystemClock;
use hikagen::compose::Tokens;
use hikagen::config::settings::TlsMode;
use hikagen::config::{ListenSettings, Socket};
use hikagen::core::campaign::MessageId;
use hikagen::listener::smtp::{Bounds, Desk, Hands, Mail, Taken, Taking, serve_all};
use hikagen::relay::smtp::SmtpRelay;
use hikagen::relay::{Outgoing, Relay as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::prepared::config_with;
use crate::support::certificates::Authority;
use crate::support::postfix::Postfix;
use crate::support::program::Project;
use crate::support::settings::relay;
use crate::support::sink::{Manner, Sink};

/// Hands one message to `postfix` as the mail of message 42.
async fn hand_over(postfix: &Postfix, ca: std::path::PathBuf, envelope_from: &str) {
    let settings = hikagen::config::RelaySettings { tls: TlsMode::Implicit, ca: Some(ca), ..relay(postfix.port) };
    let mut connection = SmtpRelay::new(Arc::new(settings)).unwrap().connect().await.unwrap();
    let mail = Outgoing {
        envelope_from: envelope_from.to_owned(),
        recipient: "nobody@docomo.ne.jp".to_owned(),
        recipient_alternative: None,
        bytes: b"From: a@m.example.jp\r\nMessage-ID: <42@m.example.jp>\r\nSubject: a\r\n\r\nhello\r\n".to_vec(),
    };
    let delivery = connection.deliver(&mail).await;
    assert!(delivery.is_accepted(), "{delivery:?}");
    connection.close().await;
}

async fn comes_back(lmtp: bool) {
    let project = Project::empty();
    let authority = Authority::new();
    let ca = authority.write(project.folder());
    let answers = |command: &str| command.starts_with("RCPT").then(|| "550 5.1.1 Unknown user".to_owned());
    let sink = Sink::with(Manner { answers: Some(Arc::new(answers)), ..Manner::default() });

    let (tokens, (taken, mut mails)) = (Arc::new(Tokens::new(&[7; 32])), mpsc::unbounded_channel::<Mail>());
    let config = Arc::new(config_with(|relay| relay.envelope_from = Some("bounce+{token}@m.example.jp".to_owned())));
    let taking: Taking = Arc::new(move |mail| {
        taken.send(mail).unwrap();
        Box::pin(std::future::ready(Taken::Done))
    });
    let hands = Hands::new(Arc::new(move || config.clone()), tokens.clone(), Arc::new(SystemClock), taking);
    let any = "127.0.0.1:0".parse().unwrap();
    let listen = ListenSettings {
        smtp: (!lmtp).then_some(any),
        lmtp: lmtp.then_some(Socket::Tcp(any)),
        ..ListenSettings::default()
    };
    let stop = CancellationToken::new();
    let (serving, failed) = serve_all(&listen, &Desk::new(hands, Bounds::default()), &stop).await;
    assert_eq!(failed, Vec::<String>::new());
    let Socket::Tcp(addr) = serving[0].place() else { panic!("not TCP") };
    let transport = if lmtp { format!("lmtp:inet:{addr}") } else { format!("smtp:[127.0.0.1]:{}", addr.port()) };

    let postfix = Postfix::start_returning(&authority.server(), sink.port, "m.example.jp", &transport);
    let envelope_from = format!("bounce+{}@m.example.jp", tokens.token(MessageId(42)));
    hand_over(&postfix, ca, &envelope_from).await;
    let came = tokio::time::timeout(Duration::from_secs(30), mails.recv()).await;
    let mail = came.unwrap_or_else(|_| panic!("no bounce came\n{}", postfix.log())).unwrap();
    assert_eq!(mail.from, "");
    assert_eq!(mail.recipients.iter().map(|(address, _)| address.as_str()).collect::<Vec<_>>(), [envelope_from]);
    let text = String::from_utf8(mail.bytes).unwrap();
    for word in ["multipart/report", "nobody@docomo.ne.jp", "5.1.1", "<42@m.example.jp>"] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    stop.cancel();
    for one in serving {
        one.ended().await;
    }
}

#[tokio::test]
async fn a_bounce_of_postfix_comes_back_by_smtp() {
    comes_back(false).await;
}

#[tokio::test]
async fn a_bounce_of_postfix_comes_back_by_lmtp() {
    comes_back(true).await;
}
