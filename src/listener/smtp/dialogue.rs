//! Owns one session: states, replies, bounds.
//!
//! Invariants: replies leave in order, and when nothing more is waiting to be read (pipelining); a mail's end is answered only after
//! it was taken; every wait has an end; a client that breaks the rules too often, or keeps a session for too long without a mail,
//! is thrown out; no word of a client is repeated to it.

use std::io;
use std::time::Duration;

use smtp_proto::{Error, Request};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use super::framing::{Line, Undotter, read_line};
use super::places::Ours;
use super::spool::{Lost, Spool};
use super::{Desk, Mail, Protocol, Taken};

/// Recipients of one mail (RFC 5321 4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// Errors without a mail between them, after which a client is thrown out.
const ERRORS_MAX: u32 = 20;
/// Commands without a mail between them: room for a refused list of recipients.
const COMMANDS_MAX: u32 = 500;
/// How often over its bound a mail that is refused for its size is read on.
const PASSED_OVER: usize = 10;

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
}

/// A mail whose sender was taken.
struct Envelope {
    from: String,
    recipients: Vec<(String, Ours)>,
    /// The chunks that came (BDAT).
    chunks: Option<Spool>,
}

struct Dialogue<'a, S> {
    stream: BufReader<S>,
    desk: &'a Desk,
    protocol: Protocol,
    stop: &'a CancellationToken,
    out: Vec<u8>,
    greeted: bool,
    envelope: Option<Envelope>,
    errors: u32,
    commands: u32,
    /// When the session must end, by the clock's elapsed time.
    until: Duration,
}

/// Talks until the client leaves, breaks a bound, or is thrown out.
pub(super) async fn serve<S>(stream: S, desk: &Desk, protocol: Protocol, stop: &CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut talk = Dialogue {
        stream: BufReader::new(stream),
        desk,
        protocol,
        stop,
        out: Vec::new(),
        greeted: false,
        envelope: None,
        errors: 0,
        commands: 0,
        until: desk.hands.clock.elapsed().saturating_add(desk.bounds.session),
    };
    let spoken = if protocol == Protocol::Lmtp { "LMTP" } else { "ESMTP" };
    talk.say(&format!("220 {} {spoken} Hikagen takes what comes back", desk.hands.name()));
    let mut line = Vec::new();
    while talk.turn(&mut line).await? == Then::GoOn {}
    talk.flush().await
}

/// What came in time.
enum Waited<T> {
    Came(T),
    TooLate,
    Stopped,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Dialogue<'_, S> {
    /// One command and its answer.
    async fn turn(&mut self, line: &mut Vec<u8>) -> io::Result<Then> {
        if self.stream.buffer().is_empty() {
            self.flush().await?;
        }
        let patience = self.patience(self.desk.bounds.command);
        let waited = tokio::select! {
            biased;
            () = self.stop.cancelled() => Waited::Stopped,
            // Who is always heard in time is not heard for ever.
            () = std::future::ready(()), if patience.is_zero() => Waited::TooLate,
            read = read_line(&mut self.stream, line) => Waited::Came(read?),
            () = self.desk.hands.clock.sleep(patience) => Waited::TooLate,
        };
        let then = match waited {
            Waited::Stopped => self.throw_out("421 4.3.2 Shutting down, come again later"),
            Waited::TooLate => self.throw_out("421 4.4.2 Waited for too long"),
            Waited::Came(Line::End) => Then::Close,
            Waited::Came(Line::TooLong) => self.complain("500 5.5.2 Line too long"),
            Waited::Came(Line::Malformed) => self.complain("500 5.5.2 Lines of text end with CR LF"),
            Waited::Came(Line::Whole) => self.command(line).await?,
        };
        self.commands += 1;
        if then == Then::GoOn && (self.errors >= ERRORS_MAX || self.commands >= COMMANDS_MAX) {
            return Ok(self.throw_out("421 4.7.0 Too many commands without a mail"));
        }
        Ok(then)
    }

    async fn command(&mut self, line: &[u8]) -> io::Result<Then> {
        let then = match Request::parse(&mut line.iter()) {
            Ok(request) => return self.request(request).await,
            // Phones of docomo and au have senders that no grammar knows (`a..b@`); who answers is not asked here.
            Err(Error::InvalidSenderAddress) => match irregular_sender(line) {
                Some((sender, size)) => self.mail(sender, size),
                None => self.complain("501 5.1.7 Bad sender address"),
            },
            Err(Error::InvalidRecipientAddress) => self.complain("501 5.1.3 Bad recipient address"),
            Err(Error::UnknownCommand) => self.complain("500 5.5.1 Command unknown"),
            Err(Error::InvalidParameter { .. }) => self.complain("501 5.5.4 Bad parameter"),
            Err(Error::UnsupportedParameter { .. }) => self.complain("555 5.5.4 Parameter unknown"),
            Err(_) => self.complain("501 5.5.2 Syntax error"),
        };
        Ok(then)
    }

    async fn request(&mut self, request: Request<std::borrow::Cow<'_, str>>) -> io::Result<Then> {
        Ok(match request {
            Request::Ehlo { .. } if self.protocol == Protocol::Smtp => self.hello(true),
            Request::Helo { .. } if self.protocol == Protocol::Smtp => self.hello(false),
            Request::Lhlo { .. } if self.protocol == Protocol::Lmtp => self.hello(true),
            Request::Ehlo { .. } | Request::Helo { .. } => self.complain("500 5.5.1 This is LMTP: LHLO"),
            Request::Lhlo { .. } => self.complain("500 5.5.1 This is SMTP: EHLO"),
            Request::Mail { from } => self.mail(from.address.into_owned(), from.size),
            Request::Rcpt { to } => self.rcpt(&to.address),
            Request::Data => return self.data().await,
            Request::Bdat { chunk_size, is_last } => return self.chunk(chunk_size, is_last).await,
            Request::Rset => {
                self.envelope = None;
                self.say("250 2.0.0 Ok")
            }
            Request::Noop { .. } => self.say("250 2.0.0 Ok"),
            Request::Vrfy { .. } => self.say("252 2.5.2 Send some mail and see"),
            Request::Help { .. } => self.say("214 2.0.0 Bounces of mail from here are taken; nothing else is"),
            Request::Quit => self.throw_out("221 2.0.0 Bye"),
            Request::StartTls | Request::Auth { .. } => self.complain("502 5.5.1 Not offered here"),
            _ => self.complain("502 5.5.1 Command not implemented"),
        })
    }

    fn hello(&mut self, extended: bool) -> Then {
        self.envelope = None;
        self.greeted = true;
        let name = self.desk.hands.name();
        if !extended {
            return self.say(&format!("250 {name}"));
        }
        self.say(&format!("250-{name}"));
        self.say("250-PIPELINING");
        self.say(&format!("250-SIZE {}", self.desk.bounds.mail));
        for offered in ["250-8BITMIME", "250-SMTPUTF8", "250-CHUNKING"] {
            self.say(offered);
        }
        self.say("250 ENHANCEDSTATUSCODES")
    }

    fn mail(&mut self, from: String, size: usize) -> Then {
        if !self.greeted {
            return self.complain("503 5.5.1 Say hello first");
        }
        if self.envelope.is_some() {
            return self.complain("503 5.5.1 One mail at a time");
        }
        if size > self.desk.bounds.mail {
            return self.complain("552 5.3.4 Larger than this host takes");
        }
        self.envelope = Some(Envelope { from, recipients: Vec::new(), chunks: None });
        self.say("250 2.1.0 Ok")
    }

    fn rcpt(&mut self, address: &str) -> Then {
        let Some(envelope) = &mut self.envelope else { return self.complain("503 5.5.1 MAIL first") };
        if envelope.chunks.is_some() {
            return self.complain("503 5.5.1 The mail has begun");
        }
        if envelope.recipients.len() >= RECIPIENTS_MAX {
            return self.complain("452 4.5.3 Too many recipients");
        }
        match self.desk.hands.whose(address) {
            Some(ours) => {
                envelope.recipients.push((address.to_owned(), ours));
                self.say("250 2.1.5 Ok")
            }
            None => self.complain("550 5.1.1 No mail from here has this address"),
        }
    }

    async fn data(&mut self) -> io::Result<Then> {
        match &self.envelope {
            None => return Ok(self.complain("503 5.5.1 MAIL first")),
            Some(envelope) if envelope.recipients.is_empty() => {
                return Ok(self.complain("503 5.5.1 No recipient was taken"));
            }
            Some(envelope) if envelope.chunks.is_some() => {
                return Ok(self.complain("503 5.5.1 The mail has begun with BDAT"));
            }
            Some(_) => {}
        }
        self.say("354 End with a dot on a line of its own");
        self.flush().await?;
        let mut spool = self.spool();
        let mut undotter = Undotter::new();
        let end = self.desk.hands.clock.elapsed().saturating_add(self.desk.bounds.data);
        loop {
            let Some(()) = self.more(end).await? else { return Ok(Then::Close) };
            let wire = self.stream.buffer();
            let used = undotter.take(wire, |octets| spool.push(octets));
            let taken = used.unwrap_or(wire.len());
            self.stream.consume(taken);
            if used.is_some() {
                return Ok(self.finish(spool).await);
            }
            if self.is_endless(&spool) {
                return Ok(self.throw_out("552 5.3.4 Larger than this host takes"));
            }
        }
    }

    /// A chunk of a mail (RFC 3030). It is read whatever the answer is, so that its octets are never taken for commands.
    async fn chunk(&mut self, size: usize, last: bool) -> io::Result<Then> {
        let mut envelope = self.envelope.take();
        let mut spool = envelope.as_mut().and_then(|e| e.chunks.take()).unwrap_or_else(|| self.spool());
        let end = self.desk.hands.clock.elapsed().saturating_add(self.desk.bounds.data);
        let mut left = size;
        while left > 0 {
            let Some(()) = self.more(end).await? else { return Ok(Then::Close) };
            let wire = self.stream.buffer();
            let piece = wire.len().min(left);
            spool.push(&wire[..piece]);
            self.stream.consume(piece);
            left -= piece;
            if self.is_endless(&spool) {
                return Ok(self.throw_out("552 5.3.4 Larger than this host takes"));
            }
        }
        let Some(mut envelope) = envelope.filter(|e| !e.recipients.is_empty()) else {
            return Ok(self.complain("503 5.5.1 No recipient was taken"));
        };
        if last {
            self.envelope = Some(envelope);
            return Ok(self.finish(spool).await);
        }
        let then = match spool.lost() {
            None => self.say("250 2.0.0 Ok"),
            Some(lost) => self.complain(refusal(lost)),
        };
        envelope.chunks = Some(spool);
        self.envelope = Some(envelope);
        Ok(then)
    }

    /// Gives the mail to who takes it, and answers: once, or in LMTP for each recipient.
    async fn finish(&mut self, mut spool: Spool) -> Then {
        let Some(Envelope { from, recipients, .. }) = self.envelope.take() else {
            return self.complain("503 5.5.1 MAIL first");
        };
        let answers = if self.protocol == Protocol::Lmtp { recipients.len() } else { 1 };
        let answer = match spool.lost() {
            Some(lost) => {
                self.errors += 1;
                refusal(lost)
            }
            None => {
                let mail = Mail { bytes: spool.bytes(), from, recipients };
                match (self.desk.hands.taking)(mail).await {
                    Taken::Done => {
                        (self.errors, self.commands) = (0, 0);
                        "250 2.0.0 Ok"
                    }
                    Taken::Later => "451 4.3.0 It cannot be kept now, come again later",
                }
            }
        };
        for _ in 0..answers {
            self.say(answer);
        }
        Then::GoOn
    }

    fn spool(&self) -> Spool {
        Spool::new(self.desk.room.clone(), self.desk.bounds.mail)
    }

    fn is_endless(&self, spool: &Spool) -> bool {
        spool.came() > self.desk.bounds.mail.saturating_mul(PASSED_OVER)
    }

    /// Waits for octets of a mail until `end`; `None`: the connection or the patience ended. A stop is not listened to: what is in
    /// hand is finished.
    async fn more(&mut self, end: Duration) -> io::Result<Option<()>> {
        let patience = self.patience(end.saturating_sub(self.desk.hands.clock.elapsed()));
        let waited = tokio::select! {
            biased;
            () = std::future::ready(()), if patience.is_zero() => Waited::TooLate,
            read = self.stream.fill_buf() => Waited::Came(read?.is_empty()),
            () = self.desk.hands.clock.sleep(patience) => Waited::TooLate,
        };
        Ok(match waited {
            Waited::Came(false) => Some(()),
            Waited::Came(true) | Waited::Stopped => None,
            Waited::TooLate => {
                self.throw_out("421 4.4.2 Waited for too long");
                None
            }
        })
    }

    /// How long to wait, at most `span`, so that the session ends in time.
    fn patience(&self, span: Duration) -> Duration {
        span.min(self.until.saturating_sub(self.desk.hands.clock.elapsed()))
    }

    fn say(&mut self, reply: &str) -> Then {
        self.out.extend_from_slice(reply.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        Then::GoOn
    }

    fn complain(&mut self, reply: &str) -> Then {
        self.errors += 1;
        self.say(reply)
    }

    fn throw_out(&mut self, reply: &str) -> Then {
        self.say(reply);
        Then::Close
    }

    async fn flush(&mut self) -> io::Result<()> {
        let patience = self.desk.bounds.command;
        let writing = async {
            self.stream.get_mut().write_all(&self.out).await?;
            self.stream.get_mut().flush().await
        };
        tokio::select! {
            biased;
            written = writing => written?,
            // Who does not read its answers is not waited for.
            () = self.desk.hands.clock.sleep(patience) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.out.clear();
        Ok(())
    }
}

/// Sender and declared size of a MAIL command whose address is none: the same is read without it.
fn irregular_sender(line: &[u8]) -> Option<(String, usize)> {
    let open = line.iter().position(|b| *b == b'<')?;
    let close = open + line[open..].iter().position(|b| *b == b'>')?;
    let sender = std::str::from_utf8(&line[open + 1..close]).ok()?;
    let null = [&line[..=open], &line[close..]].concat();
    match Request::parse(&mut null.iter()) {
        Ok(Request::Mail { from }) => Some((sender.to_owned(), from.size)),
        _ => None,
    }
}

fn refusal(lost: Lost) -> &'static str {
    match lost {
        Lost::TooLarge => "552 5.3.4 Larger than this host takes",
        Lost::NoRoom => "452 4.3.1 No room for it now, come again later",
    }
}
