//! Owns the relay of a world: it answers by a hash of the message, remembers everything, and can break off a transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::SharedClock;
use hikagen::core::reply::{Answer, Delivery, Fault, Reply, Stage};
use hikagen::relay::{Connection, Outgoing, Relay};
use jiff::Timestamp;

use crate::faulty::Gate;

/// One message as the relay saw it.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) at: Timestamp,
    pub(crate) relay: String,
    pub(crate) recipient: String,
    pub(crate) accepted: bool,
    /// The relay took it, and its answer was lost on the way.
    pub(crate) answer_lost: bool,
}

/// What all relays of a world saw.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) arrivals: Vec<Arrival>,
    tries: BTreeMap<String, u32>,
}

/// A planted fault of the relay side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Honest,
    /// Every answer belongs to the message before.
    ShiftedByOne,
}

pub(crate) struct Carrier {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) clock: SharedClock,
    pub(crate) seen: Arc<Mutex<Ledger>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) mood: Mood,
}

pub(crate) fn mix(seed: u64, text: &str) -> u64 {
    let mut z = seed ^ 0x51_7C_C1_B7_27_22_0A_95;
    for byte in text.bytes() {
        z = (z ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        z ^= z >> 29;
    }
    z.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (z >> 17)
}

#[async_trait]
impl Relay for Carrier {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        self.gate.pass(async {}).await;
        self.clock.sleep(Duration::from_millis(200)).await;
        Ok(Box::new(Line {
            name: self.name.clone(),
            seed: self.seed,
            clock: self.clock.clone(),
            seen: self.seen.clone(),
            gate: self.gate.clone(),
            mood: self.mood,
            usable: true,
            last: accepted(),
            ahead: None,
            wanted: None,
        }))
    }
}

struct Line {
    name: String,
    seed: u64,
    clock: SharedClock,
    seen: Arc<Mutex<Ledger>>,
    gate: Arc<Gate>,
    mood: Mood,
    usable: bool,
    last: Delivery,
    /// When the envelope of the next message left behind this one.
    ahead: Option<Timestamp>,
    /// The answer to the message that was offered and wanted.
    wanted: Option<Delivery>,
}

fn reply(stage: Stage, code: u16, text: &str) -> Delivery {
    let answer = Answer::Reply(Reply { code, enhanced: None, text: text.to_owned() });
    Delivery { stage, answer, rcpt_written: true, dot_begun: stage == Stage::Body }
}

fn accepted() -> Delivery {
    reply(Stage::Body, 250, "2.0.0 queued")
}

fn lost(stage: Stage, dot_begun: bool) -> Delivery {
    Delivery { stage, answer: Answer::Fault(Fault::Reset), rcpt_written: stage >= Stage::Rcpt, dot_begun }
}

impl Line {
    /// What this relay makes of a message on its n-th try: the answer, and whether it took the message.
    fn judge(&self, recipient: &str, tries: u32) -> (Delivery, bool) {
        match (mix(self.seed, recipient) % 100, tries) {
            (0..=4, _) => (reply(Stage::Rcpt, 550, "5.1.1 Unknown user"), false),
            (5..=12, 1) => (reply(Stage::Rcpt, 451, "4.2.0 try again later"), false),
            (13..=16, 1) => (lost(Stage::Mail, false), false),
            (17..=19, 1) => (lost(Stage::Body, true), true),
            (20..=21, 1) => (lost(Stage::Body, true), false),
            (22, 1..=2) => (lost(Stage::Body, true), true),
            _ => (accepted(), true),
        }
    }
}

#[async_trait]
impl Connection for Line {
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery> {
        if !std::mem::replace(&mut self.usable, false) {
            return Some(Delivery { rcpt_written: self.ahead.take().is_some(), ..lost(Stage::Mail, false) });
        }
        // Where the envelope left behind the message before, it was on the wire since then.
        let at = self.ahead.take().unwrap_or_else(|| self.clock.now());
        let gate = self.gate.clone();
        let delivery = gate
            .pass(async {
                let wait = mix(self.seed, &mail.recipient) % 2_500;
                self.clock.sleep(Duration::from_millis(wait)).await;
                let mut seen = self.seen.lock().unwrap();
                let tries = seen.tries.entry(mail.recipient.clone()).or_default();
                *tries += 1;
                let (delivery, took) = self.judge(&mail.recipient, *tries);
                if delivery.rcpt_written {
                    let answer_lost = took && !delivery.is_accepted();
                    let (relay, recipient) = (self.name.clone(), mail.recipient.clone());
                    seen.arrivals.push(Arrival { at, relay, recipient, accepted: took, answer_lost });
                }
                delivery
            })
            .await;
        self.usable = matches!(delivery.answer, Answer::Reply(_));
        let delivery = match self.mood {
            Mood::Honest => delivery,
            Mood::ShiftedByOne => std::mem::replace(&mut self.last, delivery),
        };
        if delivery.stage < Stage::Body {
            return Some(delivery);
        }
        self.wanted = Some(delivery);
        None
    }

    async fn hand_over(&mut self, _: &Outgoing, next: Option<&Outgoing>) -> Delivery {
        self.ahead = next.map(|_| self.clock.now());
        let gate = self.gate.clone();
        gate.pass(async { self.clock.sleep(Duration::from_millis(50)).await }).await;
        self.wanted.take().expect("a message is handed over when it was offered and wanted")
    }

    fn pipelines(&self) -> bool {
        true
    }

    fn is_usable(&self) -> bool {
        self.usable
    }

    async fn close(self: Box<Self>) {}
}
