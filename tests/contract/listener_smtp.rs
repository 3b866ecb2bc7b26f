//! Owns the SMTP and LMTP listener as its clients see it: whose mail is taken, when it is answered, what bounds it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hikagen::clock::{PacedClock, SharedClock, SystemClock};
use hikagen::compose::Tokens;
use hikagen::config::{Config, Socket};
use hikagen::core::campaign::MessageId;
use hikagen::listener::smtp::{Bounds, Desk, Door, Hands, Mail, Ours, Protocol, Serving, Taken, Taking, serve, whose};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::support::worker::configuration;

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
  second:
    host: 127.0.0.1
    port: 2525
    tls: none
    domain: n.example.jp
    plan: steady
pools:
  news: [first, second]
";

fn tokens() -> Arc<Tokens> {
    Arc::new(Tokens::new(&[7; 32]))
}

fn bounce(message: i64) -> String {
    format!("bounce+{}@m.example.jp", tokens().token(MessageId(message)))
}

fn config() -> Arc<Config> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hikagen.yaml"), FILE).unwrap();
    Arc::new(configuration(folder.path(), &[]))
}

/// What was taken, and what is said of it.
#[derive(Clone, Default)]
struct Book {
    mails: Arc<Mutex<Vec<Mail>>>,
    fails: Arc<Mutex<bool>>,
    /// Where set, a mail is taken only when it is told to.
    gate: Option<(Arc<Notify>, watch::Sender<bool>)>,
}

impl Book {
    fn taking(&self) -> Taking {
        let book = self.clone();
        Arc::new(move |mail| {
            let book = book.clone();
            Box::pin(async move {
                if let Some((begun, open)) = &book.gate {
                    begun.notify_one();
                    open.subscribe().wait_for(|open| *open).await.unwrap();
                }
                if *book.fails.lock().unwrap() {
                    return Taken::Later;
                }
                book.mails.lock().unwrap().push(mail);
                Taken::Done
            })
        })
    }

    fn bodies(&self) -> Vec<String> {
        let mails = self.mails.lock().unwrap();
        mails.iter().map(|mail| String::from_utf8(mail.bytes.clone()).unwrap()).collect()
    }

    fn desk(&self, bounds: Bounds, clock: SharedClock) -> Desk {
        let config = config();
        Desk::new(Hands::new(Arc::new(move || config.clone()), tokens(), clock, self.taking()), bounds)
    }
}

async fn open(protocol: Protocol, book: &Book, bounds: Bounds) -> (Serving, CancellationToken) {
    let door = Door { protocol, place: Socket::Tcp("127.0.0.1:0".parse().unwrap()), allow: Vec::new() };
    let stop = CancellationToken::new();
    (serve(&door, book.desk(bounds, Arc::new(SystemClock)), stop.clone()).await.unwrap(), stop)
}

async fn connect(serving: &Serving) -> TcpStream {
    let Socket::Tcp(addr) = serving.place() else { panic!("not TCP") };
    TcpStream::connect(addr).await.unwrap()
}

/// Writes all of `input` at once and returns what came back until the listener closed.
async fn talk(serving: &Serving, input: &str) -> String {
    let mut stream = connect(serving).await;
    stream.write_all(input.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut output = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut output)).await;
    read.expect("the listener closes").unwrap();
    String::from_utf8(output).unwrap()
}

fn codes(output: &str) -> Vec<&str> {
    output.lines().filter(|l| l.as_bytes().get(3) == Some(&b' ')).map(|l| &l[..3]).collect()
}

#[tokio::test]
async fn a_pipelined_bounce_is_taken_by_smtp() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let to = bounce(42);
    let output = talk(
        &serving,
        &format!(
            "EHLO mx.example.jp\r\nMAIL FROM:<> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=abc SMTPUTF8\r\n\
             RCPT TO:<{to}> NOTIFY=NEVER ORCPT=rfc822;{to}\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nNOOP\r\nQUIT\r\n"
        ),
    )
    .await;
    assert_eq!(codes(&output), ["220", "250", "250", "250", "354", "250", "250", "221"], "{output}");
    for word in ["PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"] {
        assert!(output.contains(word), "{output}");
    }
    for word in ["AUTH", "STARTTLS"] {
        assert!(!output.contains(word), "{output}");
    }
    let mails = book.mails.lock().unwrap();
    let mail = Mail {
        bytes: b"Subject: x\r\n\r\n.dot\r\n".to_vec(),
        from: String::new(),
        recipients: vec![(to, Ours::Bounce)],
    };
    assert_eq!(*mails, [mail]);
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Lmtp, &book, Bounds::default()).await;
    let (one, two) = (bounce(1), bounce(2));
    let output = talk(
        &serving,
        &format!(
            "EHLO a\r\nLHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{one}>\r\nRCPT TO:<nobody@m.example.jp>\r\nRCPT TO:<{two}>\r\n\
             DATA\r\nhello\r\n.\r\nQUIT\r\n"
        ),
    )
    .await;
    let expected = ["220", "500", "250", "250", "250", "550", "250", "354", "250", "250", "221"];
    assert_eq!(codes(&output), expected, "{output}");
    assert_eq!(book.mails.lock().unwrap()[0].recipients.len(), 2);
}

#[tokio::test]
async fn only_our_own_addresses_are_taken() {
    let config = config();
    let token = tokens().token(MessageId(9));
    let forged = Tokens::new(&[8; 32]).token(MessageId(9));
    for (address, expected) in [
        (format!("bounce+{token}@m.example.jp"), Some(Ours::Bounce)),
        (format!("BOUNCE+{}@M.Example.JP", token.to_uppercase()), Some(Ours::Bounce)),
        ("bounce@m.example.jp".to_owned(), Some(Ours::Bounce)),
        (format!("leave+{token}@m.example.jp"), Some(Ours::Leave(token.clone()))),
        (format!("leave-{token}@n.example.jp"), Some(Ours::Leave(token.clone()))),
        (format!("bounce+{forged}@m.example.jp"), None),
        (format!("leave+{forged}@m.example.jp"), None),
        (format!("bounce+{}@m.example.jp", &token[1..]), None),
        (format!("bounce+{token}@other.example.jp"), None),
        (format!("bounce+{token}%other.example.jp@m.example.jp.evil.example"), None),
        ("bounce@n.example.jp".to_owned(), None),
        ("postmaster@m.example.jp".to_owned(), None),
        ("somebody@gmail.com".to_owned(), None),
        ("bounce".to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(whose(&address, &config, &tokens()), expected, "{address}");
    }
}

#[tokio::test]
async fn a_forged_token_is_an_unknown_user_and_nothing_is_relayed() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let forged = Tokens::new(&[8; 32]).token(MessageId(1));
    let output = talk(
        &serving,
        &format!(
            "EHLO a\r\nMAIL FROM:<a@gmail.com>\r\nRCPT TO:<bounce+{forged}@m.example.jp>\r\nRCPT TO:<b@gmail.com>\r\n\
             RCPT TO:<@m.example.jp:b@gmail.com>\r\nRCPT TO:<>\r\nDATA\r\nQUIT\r\n"
        ),
    )
    .await;
    assert!(output.contains("550 5.1.1 "), "{output}");
    let refused = codes(&output);
    assert!(refused[3..8].iter().all(|code| code.starts_with('5')), "{output}");
    assert!(book.bodies().is_empty());
}

#[tokio::test]
async fn nothing_can_be_smuggled_behind_another_end() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let to = bounce(1);
    let evil = format!("MAIL FROM:<evil@example.com>\r\nRCPT TO:<{to}>\r\nDATA\r\nevil\r\n");
    let ends = ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\n\0.\r\n"];
    for end in ends {
        let output = talk(
            &serving,
            &format!("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{to}>\r\nDATA\r\nhello{end}{evil}\r\n.\r\nQUIT\r\n"),
        )
        .await;
        assert_eq!(codes(&output), ["220", "250", "250", "250", "354", "250", "221"], "{end:?}: {output}");
    }
    let bodies = book.bodies();
    assert_eq!(bodies.len(), ends.len());
    assert!(bodies.iter().all(|body| body.contains("MAIL FROM:<evil@example.com>")));
}

#[tokio::test]
async fn malformed_commands_are_refused_bounded_and_never_repeated() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let to = bounce(1);
    let output = talk(
        &serving,
        &format!(
            "MAIL FROM:<>\r\nEHLO a\r\nRCPT TO:<{to}>\r\nDATA\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\nNOOP\n\
             NOOP\rQUIT\r\nRCPT TO:<{to}\0>\r\nXCLIENT evil\r\nSTARTTLS\r\nAUTH PLAIN AGEAYg==\r\nVRFY root\r\n\
             EXPN all\r\nMAIL FROM:<a..b@docomo.ne.jp> SIZE=20000000\r\nRSET\r\nMAIL FROM:<a..b@docomo.ne.jp>\r\nQUIT\r\n"
        ),
    )
    .await;
    let expected = [
        "220", "503", "250", "503", "503", "250", "503", "503", "500", "500", "500", "500", "502", "502", "252", "502",
        "503", "250", "250", "221",
    ];
    assert_eq!(codes(&output), expected, "{output}");
    assert!(!output.contains("evil") && !output.contains("root"), "{output}");
    let long = format!("EHLO a\r\nNOOP {}\r\nQUIT\r\n", "x".repeat(1_000));
    assert_eq!(codes(&talk(&serving, &long).await), ["220", "250", "500", "221"]);
    let output = talk(&serving, &"NONSENSE\r\n".repeat(20)).await;
    assert!(output.ends_with("421 4.7.0 Too many commands without a mail\r\n"), "{output}");
    let output = talk(&serving, &format!("EHLO a\r\n{}", "NOOP\r\n".repeat(499))).await;
    assert!(output.ends_with("421 4.7.0 Too many commands without a mail\r\n"), "{output}");
    let many = format!("EHLO a\r\nMAIL FROM:<>\r\n{}QUIT\r\n", format!("RCPT TO:<{to}>\r\n").repeat(101));
    assert_eq!(talk(&serving, &many).await.matches("452 4.5.3").count(), 1);
    assert!(book.bodies().is_empty());
}

#[tokio::test]
async fn a_large_mail_is_refused_and_the_session_goes_on() {
    let book = Book::default();
    let bounds = Bounds { mail: 1_000, ..Bounds::default() };
    let (serving, _stop) = open(Protocol::Lmtp, &book, bounds).await;
    let to = bounce(1);
    let begin = format!("MAIL FROM:<>\r\nRCPT TO:<{to}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
    let large = "x".repeat(1_000);
    let output = talk(
        &serving,
        &format!(
            "LHLO a\r\nMAIL FROM:<> SIZE=1001\r\n{begin}{large}\r\n.\r\n{begin}small\r\n.\r\nMAIL FROM:<>\r\n\
             RCPT TO:<{to}>\r\nBDAT 900\r\n{}BDAT 101 LAST\r\n{}QUIT\r\n",
            &large[..900],
            &large[..101]
        ),
    )
    .await;
    let refused = "552 5.3.4 Larger than this host takes\r\n";
    assert_eq!(output.matches(refused).count(), 4, "{output}");
    assert_eq!(book.bodies(), ["small\r\n"]);
    // One that never ends is cut off.
    let output = talk(&serving, &format!("LHLO a\r\n{begin}{}", large.repeat(11))).await;
    assert!(output.ends_with(refused), "{output}");
}

#[tokio::test]
async fn chunks_are_put_together_and_never_taken_for_commands() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let to = bounce(1);
    let output = talk(
        &serving,
        &format!(
            "EHLO a\r\nBDAT 6\r\nQUIT\r\nMAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\nRCPT TO:<{to}>\r\nBDAT 6\r\nQUIT\r\n\
             DATA\r\nRCPT TO:<{to}>\r\nBDAT 3\r\n.\r\nBDAT 0 LAST\r\nBDAT x\r\nQUIT\r\n"
        ),
    )
    .await;
    let expected = ["220", "250", "503", "250", "503", "250", "250", "250", "503", "503", "250", "250", "501", "221"];
    assert_eq!(codes(&output), expected, "{output}");
    assert_eq!(book.bodies(), ["QUIT\r\n.\r\n"]);
}

#[tokio::test]
async fn a_mail_that_cannot_be_recorded_stays_with_its_sender() {
    let book = Book::default();
    *book.fails.lock().unwrap() = true;
    let (serving, _stop) = open(Protocol::Lmtp, &book, Bounds::default()).await;
    let mail = format!("LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n", bounce(1));
    let output = talk(&serving, &mail).await;
    assert_eq!(codes(&output), ["220", "250", "250", "250", "354", "451", "221"], "{output}");
    *book.fails.lock().unwrap() = false;
    assert_eq!(codes(&talk(&serving, &mail).await), ["220", "250", "250", "250", "354", "250", "221"]);
    assert_eq!(book.bodies(), ["hello\r\n"]);
}

#[tokio::test]
async fn memory_is_bounded_over_all_connections() {
    let open_gate = watch::Sender::new(false);
    let begun = Arc::new(Notify::new());
    let book = Book { gate: Some((begun.clone(), open_gate.clone())), ..Book::default() };
    let bounds = Bounds { spool: 100_000, ..Bounds::default() };
    let (serving, _stop) = open(Protocol::Smtp, &book, bounds).await;
    let mail = format!("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n", bounce(1));
    let mut first = connect(&serving).await;
    first.write_all(mail.as_bytes()).await.unwrap();
    begun.notified().await;
    let second = talk(&serving, &mail).await;
    assert!(second.contains("452 4.3.1 "), "{second}");
    open_gate.send_replace(true);
    assert!(rest(&mut first).await.contains("250 2.0.0 Ok\r\n221"));
    assert!(talk(&serving, &mail).await.contains("250 2.0.0 Ok\r\n221"));
}

#[tokio::test]
async fn connections_are_bounded_and_free_again() {
    let book = Book::default();
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let (serving, _stop) = open(Protocol::Smtp, &book, bounds).await;
    let mut first = connect(&serving).await;
    let mut greeting = [0; 3];
    first.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220");
    let mut second = connect(&serving).await;
    assert!(rest(&mut second).await.starts_with("421 4.3.2 "));
    first.write_all(b"QUIT\r\n").await.unwrap();
    rest(&mut first).await;
    // The place is free a moment after the connection ended.
    for _ in 0..1_000 {
        let mut third = connect(&serving).await;
        third.write_all(b"QUIT\r\n").await.unwrap();
        if rest(&mut third).await.starts_with("220") {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("no connection was free again");
}

#[tokio::test]
async fn at_its_end_what_is_in_hand_is_finished_and_others_come_again() {
    let open_gate = watch::Sender::new(false);
    let begun = Arc::new(Notify::new());
    let book = Book { gate: Some((begun.clone(), open_gate.clone())), ..Book::default() };
    let (serving, stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let mut idle = connect(&serving).await;
    let mut busy = connect(&serving).await;
    let mail = format!("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\nhello\r\n.\r\n", bounce(1));
    busy.write_all(mail.as_bytes()).await.unwrap();
    begun.notified().await;
    stop.cancel();
    assert!(rest(&mut idle).await.ends_with("421 4.3.2 Shutting down, come again later\r\n"));
    open_gate.send_replace(true);
    let output = rest(&mut busy).await;
    assert!(output.ends_with("250 2.0.0 Ok\r\n421 4.3.2 Shutting down, come again later\r\n"), "{output}");
    serving.ended().await;
    let Socket::Tcp(addr) = serving.place() else { panic!("not TCP") };
    assert!(TcpStream::connect(addr).await.is_err());
    assert_eq!(book.bodies(), ["hello\r\n"]);
}

/// A session over a pipe, on a clock that runs by itself whenever everybody waits.
async fn slow(write: impl AsyncFn(&mut DuplexStream), bounds: Bounds) -> (String, Duration) {
    let clock: SharedClock = Arc::new(PacedClock::new("2026-11-24T00:00:00Z".parse().unwrap(), 1.0));
    let book = Book::default();
    let desk = book.desk(bounds, clock.clone());
    let (mut client, server) = tokio::io::duplex(512);
    let stop = CancellationToken::new();
    let session = tokio::spawn(async move { desk.talk(server, Protocol::Smtp, &stop).await });
    let writing = async {
        write(&mut client).await;
        let mut output = Vec::new();
        client.read_to_end(&mut output).await.unwrap();
        String::from_utf8(output).unwrap()
    };
    let output = writing.await;
    let _ = session.await.unwrap();
    (output, clock.elapsed())
}

/// Writes `text` an octet a minute until the listener hangs up.
async fn drip(client: &mut DuplexStream, text: &str) {
    for octet in text.as_bytes() {
        tokio::time::advance(Duration::from_secs(60)).await;
        if client.write_all(&[*octet]).await.is_err() {
            return;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_hears_421() {
    let (output, took) = slow(async |_| {}, Bounds::default()).await;
    assert!(output.ends_with("421 4.4.2 Waited for too long\r\n"), "{output}");
    assert_eq!(took.as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_a_command_or_a_mail_is_not_waited_for() {
    let (output, took) = slow(async |client| drip(client, &"x".repeat(100)).await, Bounds::default()).await;
    assert!(output.ends_with("421 4.4.2 Waited for too long\r\n"), "{output}");
    assert!(took < Duration::from_secs(6_200), "{took:?}");
    let begin = format!("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\n", bounce(1));
    let dripping = async |client: &mut DuplexStream| {
        client.write_all(begin.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        while !answers.ends_with(b"own\r\n") {
            answers.push(client.read_u8().await.unwrap());
        }
        drip(client, &"y".repeat(20)).await;
    };
    let (output, _) = slow(dripping, Bounds::default()).await;
    assert_eq!(output, "421 4.4.2 Waited for too long\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_and_who_reads_no_answers_is_not_waited_for() {
    let noops = async |client: &mut DuplexStream| {
        // Each in time for a command, the whole not in time for a session.
        for _ in 0..30 {
            tokio::time::advance(Duration::from_secs(200)).await;
            if client.write_all(b"NOOP\r\n").await.is_err() {
                return;
            }
            let mut answer = [0; 512];
            if client.read(&mut answer).await.is_ok_and(|n| answer[..n].starts_with(b"421 4.4.2 ")) {
                return;
            }
        }
    };
    let (_, took) = slow(noops, Bounds::default()).await;
    assert!((3_600..3_900).contains(&took.as_secs()), "{took:?}");
    // Its pipe is full of answers that it does not read.
    let deaf = async |client: &mut DuplexStream| {
        while client.write_all(b"NOOP\r\n").await.is_ok() {}
    };
    let (_, took) = slow(deaf, Bounds::default()).await;
    assert!(took < Duration::from_secs(1_000), "{took:?}");
}

fn unix(path: &Path) -> Door {
    Door { protocol: Protocol::Lmtp, place: Socket::Unix(path.to_owned()), allow: Vec::new() }
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner_and_group_and_never_taken_from_who_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("lmtp.sock");
    let book = Book::default();
    let desk = || book.desk(Bounds::default(), Arc::new(SystemClock));
    // What a listener leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let stop = CancellationToken::new();
    let serving = serve(&unix(&path), desk(), stop.clone()).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"LHLO a\r\nQUIT\r\n").await.unwrap();
    let mut output = String::new();
    stream.read_to_string(&mut output).await.unwrap();
    assert_eq!(codes(&output), ["220", "250", "221"], "{output}");
    let why = serve(&unix(&path), desk(), CancellationToken::new()).await.unwrap_err();
    assert!(why.contains("another program listens there"), "{why}");
    stop.cancel();
    serving.ended().await;
    assert!(!path.exists());
    std::fs::write(&path, "a file of somebody's").unwrap();
    let why = serve(&unix(&path), desk(), CancellationToken::new()).await.unwrap_err();
    assert!(why.contains("a file that is no socket is there"), "{why}");
    assert!(path.exists());
}

#[tokio::test]
async fn a_taken_port_is_told_at_once_and_strangers_are_turned_away() {
    let book = Book::default();
    let (serving, _stop) = open(Protocol::Smtp, &book, Bounds::default()).await;
    let door = Door { protocol: Protocol::Smtp, place: serving.place().clone(), allow: Vec::new() };
    let desk = book.desk(Bounds::default(), Arc::new(SystemClock));
    let why = serve(&door, desk, CancellationToken::new()).await.unwrap_err();
    assert!(why.starts_with("`listen.smtp`: 127.0.0.1:") && why.contains("in use"), "{why}");
}
