//! Owns one SMTP session: states, replies, bounds.
//!
//! Invariants: only CRLF ends a line and only `CRLF . CRLF` a message; every line, message and session is bounded; replies
//! leave when nothing more is waiting to be read (pipelining), and always in order.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::syntax::{Verb, verb};
use super::{Shared, lock};
use crate::core::reply::{Answer, Reply};
use crate::sim::Said;

/// Octets of a message, as EHLO says.
const SIZE_MAX: u64 = 20 * 1024 * 1024;
/// Octets of a command line or of a line of a message.
const LINE_MAX: u64 = 4_096;
/// How long a silent sender is kept.
const IDLE: Duration = Duration::from_secs(300);
/// Errors after which the session is closed.
const ERRORS_MAX: u32 = 20;

/// Whether the session goes on.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
    Reset,
}

struct Dialogue<'a> {
    stream: BufReader<TcpStream>,
    number: u64,
    shared: &'a Shared,
    out: Vec<u8>,
    greeted: bool,
    logged_in: bool,
    mail: bool,
    rcpt: bool,
    errors: u32,
}

/// Talks until the sender leaves, breaks a bound, or is thrown out. `room`: whether there is any for this session.
pub(super) async fn serve(stream: TcpStream, number: u64, shared: &Shared, room: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut talk = Dialogue {
        stream: BufReader::new(stream),
        number,
        shared,
        out: Vec::new(),
        greeted: false,
        logged_in: shared.login.is_none(),
        mail: false,
        rcpt: false,
        errors: 0,
    };
    if !room {
        talk.say("421 4.3.2 Too many sessions");
        return talk.flush().await;
    }
    talk.say("220 simulator.hikagen.test ESMTP Hikagen carrier simulator");
    loop {
        if talk.stream.buffer().is_empty() {
            talk.flush().await?;
        }
        let Some(line) = talk.line().await? else { return Ok(()) };
        let then = talk.command(&line).await?;
        match then {
            Then::GoOn if talk.errors < ERRORS_MAX => {}
            Then::GoOn => {
                talk.say("421 4.7.0 Too many errors");
                return talk.flush().await;
            }
            Then::Close => return talk.flush().await,
            Then::Reset => {
                talk.flush().await?;
                return talk.stream.get_ref().set_zero_linger();
            }
        }
    }
}

impl Dialogue<'_> {
    fn say(&mut self, reply: &str) {
        self.out.extend_from_slice(reply.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn complain(&mut self, reply: &str) {
        self.errors += 1;
        self.say(reply);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&self.out).await?;
        self.out.clear();
        self.stream.get_mut().flush().await
    }

    /// A line without its CRLF; `None` at the end of the connection, of patience, or of a bound.
    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        match self.read_line(&mut line).await? {
            Line::Whole => {
                line.truncate(line.len().saturating_sub(2));
                Ok(Some(String::from_utf8_lossy(&line).into_owned()))
            }
            Line::Bare => Ok(Some("bare line feed".to_owned())),
            Line::TooLong => {
                self.say("500 5.5.2 Line too long");
                self.flush().await?;
                Ok(None)
            }
            Line::End => Ok(None),
        }
    }

    /// Reads up to and with the next line feed into `line`.
    async fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let mut bounded = (&mut self.stream).take(LINE_MAX);
        let Ok(read) = timeout(IDLE, bounded.read_until(b'\n', line)).await else {
            self.say("421 4.4.2 Timeout waiting for command");
            self.flush().await?;
            return Ok(Line::End);
        };
        Ok(match read? {
            0 => Line::End,
            _ if line.ends_with(b"\r\n") => Line::Whole,
            _ if line.ends_with(b"\n") => Line::Bare,
            n if n as u64 == LINE_MAX => Line::TooLong,
            _ => Line::End,
        })
    }

    async fn command(&mut self, line: &str) -> io::Result<Then> {
        let verb = match verb(line) {
            Ok(verb) => verb,
            Err(reply) => {
                self.complain(reply);
                return Ok(Then::GoOn);
            }
        };
        match verb {
            Verb::Ehlo => self.hello(true),
            Verb::Helo => self.hello(false),
            Verb::Auth(mechanism, initial) => self.login(&mechanism, initial).await?,
            Verb::Mail(size) => self.mail(size),
            Verb::Rcpt(address) => return Ok(self.rcpt(&address)),
            Verb::Data => return self.data().await,
            Verb::Rset => {
                self.forget();
                self.say("250 2.0.0 Ok");
            }
            Verb::Noop => self.say("250 2.0.0 Ok"),
            Verb::Vrfy => self.say("252 2.5.2 Send some mail and see"),
            Verb::Quit => {
                self.say("221 2.0.0 Bye");
                return Ok(Then::Close);
            }
        }
        Ok(Then::GoOn)
    }

    fn hello(&mut self, extended: bool) {
        self.forget();
        self.greeted = true;
        if !extended {
            return self.say("250 simulator.hikagen.test");
        }
        self.say("250-simulator.hikagen.test");
        self.say("250-PIPELINING");
        self.say(&format!("250-SIZE {SIZE_MAX}"));
        if self.shared.login.is_some() {
            self.say("250-AUTH PLAIN LOGIN");
        }
        self.say("250-8BITMIME");
        self.say("250 ENHANCEDSTATUSCODES");
    }

    async fn login(&mut self, mechanism: &str, initial: Option<String>) -> io::Result<()> {
        let Some((user, password)) = &self.shared.login else {
            self.complain("503 5.5.1 No login is wanted");
            return Ok(());
        };
        let decoded = |text: &str| STANDARD.decode(text).ok().and_then(|b| String::from_utf8(b).ok());
        let fits = match mechanism {
            "PLAIN" => {
                let answer = match initial {
                    Some(initial) => Some(initial),
                    None => self.ask("334 ").await?,
                };
                let wanted = format!("\0{user}\0{password}");
                answer.and_then(|a| decoded(&a)).is_some_and(|a| a == wanted || a == format!("{user}{wanted}"))
            }
            "LOGIN" => {
                let name = match initial {
                    Some(initial) => Some(initial),
                    None => self.ask("334 VXNlcm5hbWU6").await?,
                };
                let word = self.ask("334 UGFzc3dvcmQ6").await?;
                name.and_then(|n| decoded(&n)).as_ref() == Some(user)
                    && word.and_then(|w| decoded(&w)).as_ref() == Some(password)
            }
            _ => {
                self.complain("504 5.5.4 PLAIN or LOGIN");
                return Ok(());
            }
        };
        if fits {
            self.logged_in = true;
            self.say("235 2.7.0 Welcome");
        } else {
            self.complain("535 5.7.8 Authentication credentials invalid");
        }
        Ok(())
    }

    async fn ask(&mut self, challenge: &str) -> io::Result<Option<String>> {
        self.say(challenge);
        self.flush().await?;
        self.line().await
    }

    fn mail(&mut self, size: Option<u64>) {
        if !self.greeted {
            self.complain("503 5.5.1 EHLO first");
        } else if !self.logged_in {
            self.complain("530 5.7.0 Authentication required");
        } else if self.mail {
            self.complain("503 5.5.1 One message at a time");
        } else if size.is_some_and(|s| s > SIZE_MAX) {
            self.say("552 5.3.4 Message size exceeds fixed limit");
        } else {
            self.mail = true;
            self.say("250 2.1.0 Ok");
        }
    }

    fn rcpt(&mut self, address: &str) -> Then {
        if !self.mail {
            self.complain("503 5.5.1 MAIL first");
            return Then::GoOn;
        }
        if self.rcpt {
            // The answer to the final dot can only speak for one recipient.
            self.say("452 4.5.3 One recipient at a time");
            return Then::GoOn;
        }
        let now = self.shared.clock.now();
        let said = lock(&self.shared.carriers).rcpt(self.number, address, now);
        match said {
            Some(said) => self.pass_on(&said),
            None => {
                self.rcpt = true;
                self.say("250 2.1.5 Ok");
                Then::GoOn
            }
        }
    }

    async fn data(&mut self) -> io::Result<Then> {
        if !self.mail {
            self.complain("503 5.5.1 MAIL first");
            return Ok(Then::GoOn);
        }
        if !self.rcpt {
            self.say("554 5.5.1 Error: no valid recipients");
            return Ok(Then::GoOn);
        }
        self.say("354 End with a dot on a line of its own");
        self.flush().await?;
        let Some(size) = self.body().await? else { return Ok(Then::Close) };
        if size > SIZE_MAX {
            self.forget();
            self.say("552 5.3.4 Message size exceeds fixed limit");
            return Ok(Then::GoOn);
        }
        let now = self.shared.clock.now();
        let said = lock(&self.shared.carriers).body(self.number, now);
        (self.mail, self.rcpt) = (false, false);
        Ok(match said {
            Some(said) => self.pass_on(&said),
            None => {
                self.say("250 2.0.0 Ok: taken");
                Then::GoOn
            }
        })
    }

    /// Reads a message up to its final dot; its size, or `None` when the connection ended first.
    async fn body(&mut self) -> io::Result<Option<u64>> {
        let (mut size, mut line, mut at_line_start) = (0_u64, Vec::new(), true);
        loop {
            let kind = self.read_line(&mut line).await?;
            match kind {
                Line::End => return Ok(None),
                Line::Whole if at_line_start && line == b".\r\n" => return Ok(Some(size)),
                _ => {}
            }
            at_line_start = kind == Line::Whole;
            size = size.saturating_add(line.len() as u64);
        }
    }

    /// A carrier's answer, as it is.
    fn pass_on(&mut self, said: &Said) -> Then {
        match &said.answer {
            Answer::Reply(reply) => {
                self.say(&on_the_wire(reply));
                // 421 announces that the channel is closed.
                if reply.code == 421 { Then::Close } else { Then::GoOn }
            }
            Answer::Fault(_) => Then::Reset,
        }
    }

    fn forget(&mut self) {
        (self.mail, self.rcpt) = (false, false);
        lock(&self.shared.carriers).drop_transaction(self.number);
    }
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    Bare,
    TooLong,
    End,
}

fn on_the_wire(reply: &Reply) -> String {
    let enhanced = reply.enhanced.map(|e| format!("{e} ")).unwrap_or_default();
    format!("{} {enhanced}{}", reply.code, reply.text)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use crate::clock::SystemClock;
    use crate::core::names::{BucketName, GroupName};
    use crate::core::plan::{AddressForm, Group, GroupKind, GroupStatus, Groups, Limits};
    use crate::core::units::Share;
    use crate::sim::{Manners, Tolerance};
    use crate::simulator::{Options, Simulator};

    fn groups() -> Arc<Groups> {
        let group = |name: &str| Group {
            name: GroupName::new(name).expect("a name"),
            bucket: BucketName::new(name).expect("a name"),
            title: name.to_owned(),
            kind: GroupKind::Carrier,
            status: GroupStatus::Active,
            confidence: String::new(),
            limits: Limits::default(),
            irregular: AddressForm::Quoted,
            notes: Vec::new(),
        };
        let mut groups = Groups::new(group("default"));
        for (name, domain) in [("docomo", "docomo.ne.jp"), ("au", "ezweb.ne.jp")] {
            let group = group(name);
            groups.add_domain(domain, &group.name);
            groups.add_group(group);
        }
        Arc::new(groups)
    }

    fn options() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            groups: groups(),
            manners: Manners { unknown: None, ..Manners::default() },
            login: None,
        }
    }

    async fn start(options: Options) -> Simulator {
        Simulator::start(options, Arc::new(SystemClock)).await.expect("loopback")
    }

    /// Writes all of `input` at once and returns what came back until the server closed, or how reading failed.
    async fn talk(simulator: &Simulator, input: &str) -> Result<String, std::io::ErrorKind> {
        let mut stream = TcpStream::connect(simulator.addr()).await.expect("a connection");
        stream.write_all(input.as_bytes()).await.expect("written");
        let mut output = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut output)).await;
        read.expect("the server closes").map_err(|e| e.kind())?;
        Ok(String::from_utf8(output).expect("text"))
    }

    fn codes(output: &str) -> Vec<&str> {
        output.lines().filter(|l| l.as_bytes().get(3) == Some(&b' ')).map(|l| &l[..3]).collect()
    }

    #[tokio::test]
    async fn a_pipelined_message_is_taken_and_counted() {
        let simulator = start(options()).await;
        let output = talk(
            &simulator,
            "EHLO a\r\nMAIL FROM:<b@m.example.jp> SIZE=10\r\nRCPT TO:<\"a..b\"@docomo.ne.jp>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n",
        )
        .await
        .expect("closed in order");
        assert_eq!(codes(&output), ["220", "250", "250", "250", "354", "250", "221"], "{output}");
        for word in ["PIPELINING", "SIZE 20971520", "8BITMIME", "ENHANCEDSTATUSCODES"] {
            assert!(output.contains(word), "{output}");
        }
        let counts = simulator.stop().await;
        assert_eq!(counts[&GroupName::new("docomo").expect("a name")].accepted, 1);
    }

    #[tokio::test]
    async fn only_crlf_dot_crlf_ends_a_message() {
        let simulator = start(options()).await;
        let smuggled = "hello\n.\nMAIL FROM:<evil@example.jp>\r\n.\nQUIT\n.\r\nstill the message\r\n.\r\nQUIT\r\n";
        let output =
            talk(&simulator, &format!("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@docomo.ne.jp>\r\nDATA\r\n{smuggled}"))
                .await
                .expect("closed in order");
        assert_eq!(codes(&output), ["220", "250", "250", "250", "354", "250", "221"], "{output}");
    }

    #[tokio::test]
    async fn commands_out_of_order_and_nonsense_are_refused_and_bounded() {
        let simulator = start(options()).await;
        let output = talk(
            &simulator,
            "MAIL FROM:<>\r\nEHLO a\r\nRCPT TO:<a@docomo.ne.jp>\r\nDATA\r\nMAIL FROM:<>\r\nDATA\r\nNOOP\nQUIT\r\n",
        )
        .await
        .expect("closed in order");
        assert_eq!(codes(&output), ["220", "503", "250", "503", "503", "250", "554", "500", "221"], "{output}");
        let output = talk(&simulator, &"NONSENSE\r\n".repeat(20)).await.expect("closed in order");
        assert!(output.ends_with("421 4.7.0 Too many errors\r\n"), "{output}");
        let output = talk(&simulator, &"x".repeat(4_096)).await.expect("closed in order");
        assert!(output.ends_with("500 5.5.2 Line too long\r\n"), "{output}");
    }

    #[tokio::test]
    async fn carriers_speak_through_the_relay() {
        let mut options = options();
        options.manners.unknown = Some(Share::percent(100));
        let simulator = start(options).await;
        let output = talk(&simulator, "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@docomo.ne.jp>\r\nDATA\r\nRSET\r\nQUIT\r\n")
            .await
            .expect("closed in order");
        assert!(output.contains("\r\n550 Unknown user a@docomo.ne.jp\r\n554 "), "{output}");
    }

    #[tokio::test]
    async fn au_resets_the_connection_of_who_is_too_fast() {
        let mut options = options();
        let strict = Tolerance { depth: NonZeroU32::MIN, ..options.manners.tolerance(&[]) };
        options.manners.own.insert(BucketName::new("au").expect("a name"), strict);
        let simulator = start(options).await;
        let first =
            talk(&simulator, "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@ezweb.ne.jp>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n").await;
        assert!(first.is_ok());
        let second = talk(&simulator, "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@ezweb.ne.jp>\r\nDATA\r\n").await;
        assert_eq!(second, Err(std::io::ErrorKind::ConnectionReset));
        let counts = simulator.stop().await;
        let au = &counts[&GroupName::new("au").expect("a name")];
        assert_eq!((au.accepted, au.reset), (1, 1));
    }

    #[tokio::test]
    async fn a_login_is_wanted_where_one_is_set() {
        let mut options = options();
        options.login = Some(("user".to_owned(), "secret".to_owned()));
        let simulator = start(options).await;
        let output = talk(
            &simulator,
            "EHLO a\r\nMAIL FROM:<>\r\nAUTH PLAIN AHVzZXIAd3Jvbmc=\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\nMAIL FROM:<>\r\nQUIT\r\n",
        )
        .await
        .expect("closed in order");
        assert_eq!(codes(&output), ["220", "250", "530", "535", "235", "250", "221"], "{output}");
        let output =
            talk(&simulator, "EHLO a\r\nAUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\nQUIT\r\n").await.expect("closed");
        assert_eq!(codes(&output), ["220", "250", "334", "334", "235", "221"], "{output}");
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        let mut options = options();
        options.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        assert!(Simulator::start(options, Arc::new(SystemClock)).await.is_err());
    }
}
