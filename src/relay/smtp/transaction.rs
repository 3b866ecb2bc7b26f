//! Owns a message's way over an open connection: MAIL, RCPT, DATA, message; the next one's envelope may leave behind it in the
//! same write (RFC 2920 3.1), so that a message costs one round trip.
//!
//! Invariants: only 250 to the end of data is acceptance; a reply is never taken for the answer to another command; a
//! connection whose delivery failed in the middle, was dropped, or was answered 421, takes no further message; what of the
//! envelope and the final dot may have left is told exactly.

use async_trait::async_trait;

use super::body;
use super::replies::RawReply;
use super::session::{Session, refusal};
use crate::config::settings::{RelaySettings, Timeouts};
use crate::core::reply::{Answer, Delivery, Enhanced, Fault, Reply, Stage};
use crate::relay::{Connection, Outgoing};

/// A connection to a relay that takes one message after the other.
pub(super) struct SmtpConnection {
    session: Session,
    pipelining: bool,
    timeouts: Timeouts,
    usable: bool,
    /// A refused transaction is still open on the server.
    reset_first: bool,
    /// Where the envelope that left behind the message before begins with RCPT.
    ahead: Option<u64>,
    rcpt_mark: Option<u64>,
    dot_mark: Option<u64>,
}

/// How a transaction goes on. `Err` in this file is a delivery after which the connection is out of step.
enum Offer {
    /// 354: the message may follow.
    Open,
    /// The delivery is over, the connection is in step.
    Refused(Delivery),
}

impl SmtpConnection {
    pub(super) fn new(session: Session, settings: &RelaySettings) -> Self {
        Self {
            pipelining: settings.pipelining && session.offered.pipelining,
            session,
            timeouts: settings.timeouts,
            usable: true,
            reset_first: false,
            ahead: None,
            rcpt_mark: None,
            dot_mark: None,
        }
    }

    /// `Ok`: the connection is in step with the server. `None`: it wants the message.
    async fn envelope(&mut self, mail: &Outgoing) -> Result<Option<Delivery>, Delivery> {
        if let Some(refused) = self.unwritable(mail) {
            return Ok(Some(refused));
        }
        let mut offer = match self.ahead.take() {
            Some(rcpt) => {
                self.rcpt_mark = Some(rcpt);
                let first = self.session.next().await;
                self.answers_to_envelope(first).await?
            }
            None => self.write_envelope(mail, &mail.recipient).await?,
        };
        if let (Offer::Refused(first), Some(alternative)) = (&offer, &mail.recipient_alternative)
            && is_malformed_recipient(first)
        {
            offer = self.write_envelope(mail, alternative).await?;
        }
        Ok(match offer {
            Offer::Open => None,
            Offer::Refused(delivery) => Some(delivery),
        })
    }

    async fn write_envelope(&mut self, mail: &Outgoing, recipient: &str) -> Result<Offer, Delivery> {
        self.session.listen(Stage::Mail).await.map_err(|early| self.ended(Stage::Mail, early.answer))?;
        if self.pipelining {
            self.offer_at_once(mail, recipient).await
        } else {
            self.offer_step_by_step(mail, recipient).await
        }
    }

    /// RFC 2920: one write, three replies (four after a refused transaction).
    async fn offer_at_once(&mut self, mail: &Outgoing, recipient: &str) -> Result<Offer, Delivery> {
        let reset = std::mem::take(&mut self.reset_first);
        let mut group = String::with_capacity(96 + mail.envelope_from.len() + recipient.len());
        if reset {
            group.push_str("RSET\r\n");
        }
        let rcpt = self.push_envelope(mail, recipient, &mut group);
        self.mark_rcpt(rcpt);
        let mut first = self.session.say(group).await;
        if reset {
            self.take(Stage::Mail, first, &[250])??;
            first = self.session.next().await;
        }
        self.answers_to_envelope(first).await
    }

    /// The answers to MAIL (`first`), RCPT and DATA, written at once.
    async fn answers_to_envelope(&mut self, first: Result<RawReply, Fault>) -> Result<Offer, Delivery> {
        let mailed = self.take(Stage::Mail, first, &[250])?;
        let rcpt = self.session.next().await;
        let rcpt = self.take_after(&mailed, Stage::Rcpt, rcpt, &[250, 251, 252])?;
        let (recipient_taken, envelope) = (rcpt.is_ok(), mailed.and(rcpt));
        let data = self.session.next().await;
        let data = self.take_after(&envelope, Stage::Data, data, &[354])?;
        match (envelope, data) {
            (Ok(()), Ok(())) => Ok(Offer::Open),
            (Err(refused), Err(_)) | (Ok(()), Err(refused)) => {
                self.reset_first = true;
                Ok(Offer::Refused(refused))
            }
            // A message to a recipient whose sender was refused: better no connection than an empty mail.
            (Err(refused), Ok(())) if recipient_taken => Err(refused),
            (Err(refused), Ok(())) => self.end_empty_message(refused).await,
        }
    }

    /// The server wants a message although it took no recipient (RFC 2920 3.1): it gets an empty one.
    async fn end_empty_message(&mut self, refused: Delivery) -> Result<Offer, Delivery> {
        self.session.wire.lock().queue(|out| out.extend_from_slice(body::FINAL_DOT));
        match self.session.hear(self.timeouts.command).await {
            Ok(answer) if answer.code != 421 => Ok(Offer::Refused(refused)),
            _ => Err(refused),
        }
    }

    async fn offer_step_by_step(&mut self, mail: &Outgoing, recipient: &str) -> Result<Offer, Delivery> {
        if std::mem::take(&mut self.reset_first) {
            let answer = self.session.say("RSET\r\n").await;
            self.take(Stage::Mail, answer, &[250])??;
            self.silence(Stage::Mail).await?;
        }
        let mut command = String::with_capacity(64 + mail.envelope_from.len());
        self.push_mail(mail, &mut command);
        let answer = self.session.say(&command).await;
        if let Err(refused) = self.take(Stage::Mail, answer, &[250])? {
            return Ok(Offer::Refused(refused));
        }
        self.silence(Stage::Rcpt).await?;
        command.clear();
        self.mark_rcpt(0);
        push_rcpt(recipient, &mut command);
        let answer = self.session.say(&command).await;
        if let Err(refused) = self.take(Stage::Rcpt, answer, &[250, 251, 252])? {
            self.reset_first = true;
            return Ok(Offer::Refused(refused));
        }
        self.silence(Stage::Data).await?;
        let answer = self.session.say("DATA\r\n").await;
        match self.take(Stage::Data, answer, &[354])? {
            Ok(()) => Ok(Offer::Open),
            Err(refused) => {
                self.reset_first = true;
                Ok(Offer::Refused(refused))
            }
        }
    }

    /// Writes the message, its final dot and the envelope of `next` in one piece, and waits for the answer to the message.
    async fn write_message(&mut self, bytes: &[u8], next: Option<&Outgoing>) -> Result<Delivery, Delivery> {
        self.silence(Stage::Data).await?;
        let next = next.filter(|next| self.pipelining && self.unwritable(next).is_none());
        let mut group = String::new();
        let rcpt = next.map(|next| self.push_envelope(next, &next.recipient, &mut group));
        let ends = {
            let mut wire = self.session.wire.lock();
            wire.queue(|out| body::stuff(bytes, out));
            self.dot_mark = Some(wire.queued());
            wire.queue(|out| out.extend_from_slice(body::FINAL_DOT));
            let ends = wire.queued();
            self.ahead = rcpt.map(|rcpt| ends + rcpt as u64);
            wire.queue(|out| out.extend_from_slice(group.as_bytes()));
            ends
        };
        let early = self.session.drain(self.timeouts.data).await;
        let answer = match early {
            Ok(None) => self.session.hear(self.timeouts.end_of_data).await,
            // All of the message was out, only the envelope behind it not yet: this is the answer that was waited for.
            Ok(Some(reply)) if self.session.wire.lock().may_have_left(ends - 1) => Ok(reply),
            Ok(Some(reply)) => return Err(self.ended(Stage::Body, early_answer(&reply))),
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(reply) if reply.code == 421 => Err(self.ended(Stage::Body, Answer::Reply(reply.reply()))),
            Ok(reply) if (300..400).contains(&reply.code) => Err(self.ended(Stage::Body, refusal(&reply, Stage::Body))),
            Ok(reply) => Ok(self.ended(Stage::Body, Answer::Reply(reply.reply()))),
            Err(fault) => Err(self.ended(Stage::Body, Answer::Fault(fault))),
        }
    }

    /// Appends MAIL, RCPT and DATA; says how far in RCPT begins.
    fn push_envelope(&self, mail: &Outgoing, recipient: &str, group: &mut String) -> usize {
        self.push_mail(mail, group);
        let rcpt = group.len();
        push_rcpt(recipient, group);
        group.push_str("DATA\r\n");
        rcpt
    }

    fn push_mail(&self, mail: &Outgoing, out: &mut String) {
        out.push_str("MAIL FROM:<");
        out.push_str(&mail.envelope_from);
        out.push('>');
        if self.session.offered.size {
            out.push_str(" SIZE=");
            out.push_str(&mail.bytes.len().to_string());
        }
        if self.session.offered.eight_bit && !mail.bytes.is_ascii() {
            out.push_str(" BODY=8BITMIME");
        }
        out.push_str("\r\n");
    }

    /// Notes that RCPT begins `ahead` bytes behind what is queued.
    fn mark_rcpt(&mut self, ahead: usize) {
        let mark = self.session.wire.lock().queued() + ahead as u64;
        self.rcpt_mark.get_or_insert(mark);
    }

    async fn silence(&mut self, stage: Stage) -> Result<(), Delivery> {
        self.session.listen(stage).await.map_err(|early| self.ended(stage, early.answer))
    }

    /// Sorts an answer: wanted (`Ok(Ok)`), a refusal that leaves the connection in step (`Ok(Err)`), anything else (`Err`).
    fn take(
        &self,
        stage: Stage,
        answer: Result<RawReply, Fault>,
        wanted: &[u16],
    ) -> Result<Result<(), Delivery>, Delivery> {
        match answer {
            Ok(reply) if wanted.contains(&reply.code) => Ok(Ok(())),
            Ok(reply) => {
                let delivery = self.ended(stage, refusal(&reply, stage));
                if reply.code >= 400 && reply.code != 421 { Ok(Err(delivery)) } else { Err(delivery) }
            }
            Err(fault) => Err(self.ended(stage, Answer::Fault(fault))),
        }
    }

    /// As [`Self::take`]; but when an earlier command was refused, that refusal is what is told.
    fn take_after(
        &self,
        earlier: &Result<(), Delivery>,
        stage: Stage,
        answer: Result<RawReply, Fault>,
        wanted: &[u16],
    ) -> Result<Result<(), Delivery>, Delivery> {
        self.take(stage, answer, wanted).map_err(|this| earlier.as_ref().err().cloned().unwrap_or(this))
    }

    fn ended(&self, stage: Stage, answer: Answer) -> Delivery {
        let wire = self.session.wire.lock();
        let left = |mark: Option<u64>| mark.is_some_and(|mark| wire.may_have_left(mark));
        Delivery { stage, answer, rcpt_written: left(self.rcpt_mark), dot_begun: left(self.dot_mark) }
    }

    /// Addresses come checked; were one not, it must not write a command of its own.
    fn unwritable(&self, mail: &Outgoing) -> Option<Delivery> {
        let refuse = |stage, address: &str| {
            let text = format!("\"{}\" cannot be written in an SMTP command; it was not sent", address.escape_debug());
            Some(self.ended(stage, Answer::Reply(Reply { code: 553, enhanced: Some(Enhanced(5, 1, 3)), text })))
        };
        if !is_writable(&mail.envelope_from) {
            return refuse(Stage::Mail, &mail.envelope_from);
        }
        let forms = std::iter::once(&mail.recipient).chain(&mail.recipient_alternative);
        forms.into_iter().find(|form| form.is_empty() || !is_writable(form)).and_then(|form| refuse(Stage::Rcpt, form))
    }
}

#[async_trait]
impl Connection for SmtpConnection {
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery> {
        (self.rcpt_mark, self.dot_mark) = (None, None);
        // Stays false when this future is dropped: whatever answers next would answer this message.
        if !std::mem::replace(&mut self.usable, false) {
            self.rcpt_mark = self.ahead.take();
            return Some(self.ended(Stage::Mail, Answer::Fault(Fault::Closed)));
        }
        match self.envelope(mail).await {
            Ok(delivery) => {
                self.usable = true;
                delivery
            }
            Err(delivery) => Some(delivery),
        }
    }

    async fn hand_over(&mut self, mail: &Outgoing, next: Option<&Outgoing>) -> Delivery {
        if !std::mem::replace(&mut self.usable, false) {
            return self.ended(Stage::Body, Answer::Fault(Fault::Closed));
        }
        match self.write_message(&mail.bytes, next).await {
            Ok(delivery) => {
                self.usable = true;
                delivery
            }
            Err(delivery) => delivery,
        }
    }

    fn pipelines(&self) -> bool {
        self.pipelining
    }

    fn is_usable(&self) -> bool {
        self.usable && self.session.is_silent()
    }

    async fn close(self: Box<Self>) {
        // A connection out of step is dropped: a farewell would wait behind what it still has to say.
        if self.usable {
            self.session.close().await;
        }
    }
}

fn push_rcpt(recipient: &str, out: &mut String) {
    out.push_str("RCPT TO:<");
    out.push_str(recipient);
    out.push_str(">\r\n");
}

/// Printable ASCII; a blank or an angle bracket only within a quoted local part.
fn is_writable(address: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in address.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'<' | b'>' if !quoted => return false,
            _ => {}
        }
        if !(b' '..=b'~').contains(&byte) {
            return false;
        }
    }
    !quoted
}

/// Whether the server could not read the recipient: then the other form may do.
fn is_malformed_recipient(delivery: &Delivery) -> bool {
    const WORDS: [&str; 7] =
        ["syntax", "malformed", "invalid address", "illegal", "bad address", "address format", "quoted"];
    match (delivery.stage, &delivery.answer) {
        (Stage::Rcpt, Answer::Reply(reply)) if reply.code == 501 => true,
        (Stage::Rcpt, Answer::Reply(reply)) if reply.code == 553 => {
            let text = reply.text.to_lowercase();
            reply.enhanced == Some(Enhanced(5, 1, 3)) || WORDS.iter().any(|word| text.contains(word))
        }
        _ => false,
    }
}

/// An answer that came while the message was still being written.
fn early_answer(reply: &RawReply) -> Answer {
    if reply.code >= 400 {
        return Answer::Reply(reply.reply());
    }
    Answer::Fault(Fault::Protocol(format!("{} before the message was written", reply.reply())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage, code: u16, enhanced: Option<Enhanced>, text: &str) -> Delivery {
        let reply = Reply { code, enhanced, text: text.into() };
        Delivery { stage, answer: Answer::Reply(reply), rcpt_written: true, dot_begun: false }
    }

    #[test]
    fn only_a_refusal_of_the_form_calls_for_the_other_form() {
        let rcpt = |code, enhanced, text| is_malformed_recipient(&refused(Stage::Rcpt, code, enhanced, text));
        assert!(rcpt(501, None, "what?"));
        assert!(rcpt(553, Some(Enhanced(5, 1, 3)), "no"));
        assert!(rcpt(553, None, "Malformed address"));
        assert!(!rcpt(553, Some(Enhanced(5, 7, 1)), "sorry, that domain is not in my list; for more information ask"));
        assert!(!rcpt(553, None, "over quota"));
        assert!(!rcpt(550, Some(Enhanced(5, 1, 3)), "no"));
        assert!(!is_malformed_recipient(&refused(Stage::Mail, 501, None, "bad sender address syntax")));
    }

    #[test]
    fn an_address_cannot_write_a_command() {
        for fine in ["a@b.jp", "a..b@docomo.ne.jp", "\"a b\"@b.jp", "\"a>\\\" <\"@b.jp", "x@[127.0.0.1]", ""] {
            assert!(is_writable(fine), "{fine}");
        }
        for evil in
            ["a@b>\r\nRCPT TO:<x", "a b@c", "a@b> SIZE=1", "a\n@b", "\"a@b", "a\0@b", "\u{3042}@b", "\"\r\"@b", "<a@b>"]
        {
            assert!(!is_writable(evil), "{evil:?}");
        }
    }
}
