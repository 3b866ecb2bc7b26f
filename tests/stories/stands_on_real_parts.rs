//! The parts that the other stories stand on are what they claim to be.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::certificates::Authority;
use crate::support::postfix::{Entry, Postfix};
use crate::support::program::Project;
use crate::support::sink::Sink;
use crate::support::{python, until};

/// Hands one message to a server by Python's `smtplib`, which is not ours.
const CLIENT: &str = r#"
import smtplib, ssl, sys
kind, port, ca, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=ca)
if kind == "implicit":
    server = smtplib.SMTP_SSL("127.0.0.1", port, context=context)
else:
    server = smtplib.SMTP("127.0.0.1", port)
    server.starttls(context=context)
    server.login("apikey", password)
server.ehlo()
server.mail("bounce+t@m.example.jp")
print(server.rcpt('"taro..x"@docomo.ne.jp'))
print(server.data(b"Message-ID: <1@m.example.jp>\r\nSubject: a\r\n\r\n.dot\r\n"))
server.quit()
"#;

fn hand_over(kind: &str, port: u16, ca: &std::path::Path, password: &str) -> (bool, String) {
    let output = Command::new("python3")
        .args(["-c", CLIENT, kind, &port.to_string(), ca.to_str().unwrap(), password])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn both_postfixes_hand_a_quoted_local_part_to_the_sink_and_let_no_stranger_in() {
    let project = Project::empty();
    let authority = Authority::new();
    let ca = authority.write(project.folder());
    let sink = Sink::open();
    let login = Entry::StarttlsAndLogin { user: "apikey", password: "a secret" };
    let starttls = Postfix::start(&login, &authority.server(), sink.port);
    let implicit = Postfix::start(&Entry::ImplicitTls, &authority.server(), sink.port);

    let (done, said) = hand_over("starttls", starttls.port, &ca, "a secret");
    assert!(done, "{said}\n{}", starttls.log());
    let (done, said) = hand_over("implicit", implicit.port, &ca, "");
    assert!(done, "{said}\n{}", implicit.log());
    let (done, said) = hand_over("starttls", starttls.port, &ca, "wrong");
    assert!(!done && said.contains("SMTPAuthenticationError"), "{said}");

    until("both messages", Duration::from_secs(20), || (sink.count() == 2).then_some(()));
    for arrival in sink.arrivals() {
        assert_eq!(arrival.to, ["\"taro..x\"@docomo.ne.jp"]);
        assert_eq!(arrival.from, "bounce+t@m.example.jp");
        assert_eq!(arrival.message_id, "<1@m.example.jp>");
        let read = &python::read(&[arrival.bytes])[0];
        assert_eq!(read.text.as_deref(), Some(".dot\n"));
        assert_eq!(read.headers["subject"], "a");
    }
}

#[test]
fn the_sink_answers_as_it_is_told() {
    let answers = |command: &str| command.starts_with("RCPT").then(|| "450 4.2.0 later".to_owned());
    let sink =
        Sink::with(crate::support::sink::Manner { answers: Some(std::sync::Arc::new(answers)), ..Default::default() });
    let mut stream = TcpStream::connect(("127.0.0.1", sink.port)).unwrap();
    stream.write_all(b"HELO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nQUIT\r\n").unwrap();
    let said: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    assert_eq!(said, ["220 sink.example ESMTP", "250 2.0.0 ok", "250 2.1.0 ok", "450 4.2.0 later", "221 2.0.0 bye"],);
    assert_eq!((sink.count(), sink.opened()), (0, 1));
}
