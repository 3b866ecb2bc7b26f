//! Owns a connection up to where MAIL may be written: greeting, EHLO, TLS, login; then one question and answer at a time.
//!
//! Invariants: every answer is attributed to its stage; every wait has a time limit; nothing is written after words that
//! nobody asked for.

use std::fmt::Display;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Ehlo, Quit, Starttls};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use super::capabilities::Capabilities;
use super::replies::{self, RawReply};
use super::stream::{self, Transport, WireHandle};
use super::tls::TlsClient;
use super::token::Tokens;
use super::{faults, login, tcp};
use crate::config::settings::{RelaySettings, TlsMode};
use crate::core::reply::{Answer, Delivery, Fault, Stage};

/// How long a polite end may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// An open connection.
pub(super) struct Session {
    lettre: AsyncSmtpConnection,
    pub(super) wire: WireHandle,
    pub(super) offered: Capabilities,
    command: Duration,
}

impl Session {
    /// Opens a connection and logs in.
    pub(super) async fn open(
        settings: &RelaySettings,
        hello: &ClientId,
        tls: Option<&TlsClient>,
        tokens: Option<&Tokens>,
    ) -> Result<Self, Delivery> {
        let command = settings.timeouts.command;
        let at = |stage| move |fault| ended(stage, Answer::Fault(fault));
        let tcp = tcp::open(settings).await.map_err(at(Stage::Connect))?;
        let peer = tcp.peer_addr().map_err(|error| at(Stage::Connect)(faults::of_io(&error)))?;
        let transport = match (settings.tls, tls) {
            (TlsMode::Implicit, Some(tls)) => {
                let shaken = timeout(command, tls.handshake(tcp)).await.unwrap_or(Err(Fault::Timeout));
                Transport::Tls(shaken.map_err(at(Stage::Tls))?)
            }
            (TlsMode::None, _) if !peer.ip().to_canonical().is_loopback() => {
                let why = format!("`tls: none` is for loopback only, and {} is {}", settings.host, peer.ip());
                return Err(at(Stage::Connect)(Fault::Tls(why)));
            }
            _ => Transport::Plain(tcp),
        };
        let (wire, stream) = stream::pair(transport, peer);
        let greeting = first_reply(&wire, command).await.map_err(at(Stage::Greeting))?;
        expect(&[220], Stage::Greeting, greeting)?;
        // lettre reads the greeting once more, from us, then says EHLO.
        let hail = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello);
        let (lettre, answer) = match timeout(command, hail).await {
            Ok(Ok(lettre)) => (Some(lettre), wire.lock().take_answer()),
            Ok(Err(_)) => (None, wire.lock().take_answer()),
            Err(_) => (None, Some(Err(Fault::Timeout))),
        };
        let answer = answer.unwrap_or(Err(Fault::Closed)).map_err(at(Stage::Hello))?;
        let answer = expect(&[250], Stage::Hello, answer)?;
        let lettre = lettre.ok_or_else(|| at(Stage::Hello)(unread(&answer)))?;
        let mut session = Self { lettre, wire, offered: Capabilities::of(answer.lines()), command };
        if let (TlsMode::Starttls, Some(tls)) = (settings.tls, tls) {
            session.start_tls(tls, hello).await?;
        }
        if let Some(account) = &settings.auth {
            login::log_in(&mut session, settings, account, tokens).await?;
        }
        Ok(session)
    }

    async fn start_tls(&mut self, tls: &TlsClient, hello: &ClientId) -> Result<(), Delivery> {
        let at = |fault| ended(Stage::Tls, Answer::Fault(fault));
        if !self.offered.starttls {
            return Err(at(Fault::NotOffered("STARTTLS".into())));
        }
        let answer = self.ask(Stage::Tls, Starttls).await?;
        expect(&[220], Stage::Tls, answer)?;
        let tcp = self.wire.lock().take_plain().map_err(at)?;
        let shaken = timeout(self.command, tls.handshake(tcp)).await.unwrap_or(Err(Fault::Timeout)).map_err(at)?;
        self.wire.lock().put_tls(shaken);
        // What was offered in clear may have been forged: RFC 3207 4.2.
        let answer = self.ask(Stage::Hello, Ehlo::new(hello.clone())).await?;
        self.offered = Capabilities::of(expect(&[250], Stage::Hello, answer)?.lines());
        Ok(())
    }

    /// Writes `command` and reads its reply, unless the server spoke before it was asked.
    pub(super) async fn ask(&mut self, stage: Stage, command: impl Display) -> Result<RawReply, Delivery> {
        self.listen(stage).await?;
        self.say(command).await.map_err(|fault| ended(stage, Answer::Fault(fault)))
    }

    /// Looks for words that nobody asked for: 421 is told as the reply it is, all else as a fault.
    pub(super) async fn listen(&mut self, stage: Stage) -> Result<(), Delivery> {
        match poll_fn(|cx| Poll::Ready(self.wire.lock().poll_unasked(cx))).await {
            None => Ok(()),
            Some(Ok(reply)) => Err(ended(stage, Answer::Reply(reply.reply()))),
            Some(Err(fault)) => Err(ended(stage, Answer::Fault(fault))),
        }
    }

    /// Writes `command` (one or several, pipelined) and reads one reply.
    pub(super) async fn say(&mut self, command: impl Display) -> Result<RawReply, Fault> {
        let done = timeout(self.command, self.lettre.command(command)).await.is_ok();
        self.answer(done)
    }

    /// Writes what is queued and reads one reply.
    pub(super) async fn hear(&mut self, within: Duration) -> Result<RawReply, Fault> {
        let done = timeout(within, self.lettre.read_response()).await.is_ok();
        self.answer(done)
    }

    /// Reads the reply to the next of several pipelined commands.
    pub(super) async fn next(&mut self) -> Result<RawReply, Fault> {
        self.hear(self.command).await
    }

    /// What lettre returns is only whether it is done: a refusal is an error to it, with its lines joined.
    fn answer(&self, done: bool) -> Result<RawReply, Fault> {
        if done { self.wire.lock().take_answer().unwrap_or(Err(Fault::Closed)) } else { Err(Fault::Timeout) }
    }

    /// Writes what is queued. `Some`: the server answered before it had taken all.
    pub(super) async fn drain(&mut self, within: Duration) -> Result<Option<RawReply>, Fault> {
        let wire = &self.wire;
        match timeout(within, poll_fn(|cx| wire.lock().poll_drain(cx))).await {
            Ok(Ok(())) => Ok(wire.lock().take_early()),
            Err(_) => Err(Fault::Timeout),
            // The connection is broken; what the server said before it broke is still to be heard.
            Ok(Err(fault)) => match timeout(self.command, poll_fn(|cx| wire.lock().poll_reply(cx))).await {
                Ok(Ok(())) => Ok(wire.lock().take_early()),
                Ok(Err(_)) | Err(_) => Err(fault),
            },
        }
    }

    /// Whether the connection is open and silent, asked without waiting.
    pub(super) fn is_silent(&self) -> bool {
        self.wire.lock().poll_unasked(&mut Context::from_waker(Waker::noop())).is_none()
    }

    /// Says QUIT and closes.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            let _ = self.lettre.command(Quit).await;
            poll_fn(|cx| self.wire.lock().poll_shutdown(cx)).await;
        };
        // Every message is settled; nobody waits for a server that is slow to say farewell.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

async fn first_reply(wire: &WireHandle, within: Duration) -> Result<RawReply, Fault> {
    let read = timeout(within, poll_fn(|cx| wire.lock().poll_reply(cx))).await;
    read.unwrap_or(Err(Fault::Timeout))?;
    wire.lock().take_answer().unwrap_or(Err(Fault::Closed))
}

fn unread(answer: &RawReply) -> Fault {
    Fault::Protocol(format!("the answer to EHLO was not understood: {}", answer.reply()))
}

/// A delivery that ended before any recipient was written.
pub(super) fn ended(stage: Stage, answer: Answer) -> Delivery {
    Delivery { stage, answer, rcpt_written: false, dot_begun: false }
}

/// Lets a reply with one of `codes` pass; a refusal ends the delivery, any other code is out of place.
pub(super) fn expect(codes: &[u16], stage: Stage, answer: RawReply) -> Result<RawReply, Delivery> {
    if codes.contains(&answer.code) {
        return Ok(answer);
    }
    Err(ended(stage, refusal(&answer, stage)))
}

/// A reply that is not the one hoped for: the refusal it is, or out of place.
pub(super) fn refusal(answer: &RawReply, stage: Stage) -> Answer {
    let reply = answer.reply();
    if answer.code >= 400 {
        return Answer::Reply(reply);
    }
    let shown = replies::excerpt(reply.to_string().as_bytes());
    Answer::Fault(Fault::Protocol(format!("a reply out of place at {}: {shown}", stage.as_str())))
}
