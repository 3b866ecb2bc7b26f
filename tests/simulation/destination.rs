//! Owns what destinations answer in a long world, and the relay in front of them: moods that drift, lists that turn out bad, and a
//! relay that is down for hours, in one way or another.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::SharedClock;
use hikagen::core::reply::{Answer, Delivery, Fault, Reply, Stage};
use hikagen::relay::{Connection, Outgoing, Relay};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::carrier::mix;
use crate::faulty::{Gate, Planted};
use crate::ramp::RampAsk;

/// How a destination feels on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Content,
    /// One message in four is deferred for as long as the day lasts.
    Unhappy,
    /// One message in fifteen.
    Displeased,
    /// It blocks whoever sends, once, in the middle of the day.
    Blocks,
    /// Every third address of the list is unknown.
    Flooded,
    /// Every thirtieth.
    Strayed,
}

/// The mood of a bucket on the n-th day (from 0): it drifts, and is content for long enough to recover.
pub(crate) fn mood(ask: &RampAsk, bucket: &str, day: i64) -> Mood {
    if ask.floods {
        match mix(ask.seed, &format!("list {bucket} {day}")) % 9 {
            0 | 1 => return Mood::Flooded,
            2 => return Mood::Strayed,
            _ => {}
        }
    }
    // What a relay answers for itself says nothing of the destination.
    if ask.calm || ask.own {
        return Mood::Content;
    }
    match mix(ask.seed, &format!("{bucket} {}", day / 2)) % 10 {
        0 | 1 => Mood::Unhappy,
        2 => Mood::Displeased,
        3 if day % 2 == 1 => Mood::Blocks,
        _ => Mood::Content,
    }
}

/// How a relay is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    /// Nobody listens.
    Refuses,
    /// It greets with 421.
    Turns,
    /// It takes a connection and falls silent.
    Silent,
    /// It says in its own words that it wants less, at MAIL or at RCPT.
    Throttles,
}

/// Hours in which the relay is down; times since the world began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) day: i64,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) how: Down,
}

impl Outage {
    fn on(seed: u64, day: i64) -> Option<Self> {
        let dice = |what: &str, n: u64| mix(seed, &format!("{what} {day}")) % n;
        let begins = day.unsigned_abs() * 24 + dice("down at", 9);
        let hour = |n: u64| Duration::from_secs(n * 3_600 + 300);
        let how = [Down::Refuses, Down::Turns, Down::Silent, Down::Throttles][dice("down how", 4) as usize];
        let outage = Self { day, from: hour(begins), until: hour(begins + 1 + dice("down for", 8)), how };
        (day > 1 && dice("down", 4) == 0).then_some(outage)
    }

    /// Those of a world.
    pub(crate) fn all(ask: &RampAsk) -> Vec<Self> {
        let days = if ask.outages { ask.days } else { 0 };
        (0..days).filter_map(|day| Self::on(ask.seed, day)).collect()
    }
}

/// A message whose recipient was named, as the relay and the destination saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    /// Since the world began, which nobody can set.
    pub(crate) up: Duration,
    pub(crate) bucket: String,
    pub(crate) recipient: String,
    pub(crate) code: u16,
    pub(crate) blocks: bool,
    /// The relay itself did not take it: the destination never heard of it.
    pub(crate) relays: bool,
}

pub(crate) fn bucket_of(recipient: &str) -> String {
    recipient.chars().take_while(char::is_ascii_alphabetic).collect()
}

/// All destinations of a world.
pub(crate) struct Destination {
    pub(crate) ask: RampAsk,
    pub(crate) zone: TimeZone,
    pub(crate) first: Date,
    pub(crate) clock: SharedClock,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) outages: Vec<Outage>,
}

fn reply(stage: Stage, code: u16, enhanced: &str, text: &str) -> Delivery {
    let answer = Answer::Reply(Reply { code, enhanced: enhanced.parse().ok(), text: text.to_owned() });
    Delivery { stage, answer, rcpt_written: stage >= Stage::Rcpt, dot_begun: stage == Stage::Body }
}

fn fault(stage: Stage, fault: Fault) -> Delivery {
    Delivery { stage, answer: Answer::Fault(fault), rcpt_written: stage >= Stage::Rcpt, dot_begun: false }
}

impl Destination {
    fn down(&self) -> Option<Down> {
        let up = self.clock.elapsed();
        self.outages.iter().find(|o| o.from <= up && up < o.until).map(|o| o.how)
    }

    /// What the destination says; whether that blocks.
    fn answer(&self, recipient: &str, at: Timestamp, earlier: &[Seen]) -> (Delivery, bool) {
        let bucket = bucket_of(recipient);
        let day = at.to_zoned(self.zone.clone()).date();
        let nth = i64::from(self.first.until(day).unwrap().get_days());
        let today = earlier.iter().filter(|s| s.bucket == bucket && s.at.to_zoned(self.zone.clone()).date() == day);
        let blocked_already = earlier.iter().any(|s| s.blocks && s.bucket == bucket);
        let dice = mix(self.ask.seed, &format!("{recipient} {day}"));
        let later = || reply(Stage::Rcpt, 451, "", "zz9 please come back another time");
        let unknown = || reply(Stage::Rcpt, 550, "5.1.1", "5.1.1 Unknown user");
        match mood(&self.ask, &bucket, nth) {
            Mood::Unhappy if dice.is_multiple_of(4) => (later(), false),
            Mood::Displeased if dice.is_multiple_of(15) => (later(), false),
            Mood::Flooded if dice.is_multiple_of(3) => (unknown(), false),
            Mood::Strayed if dice.is_multiple_of(30) => (unknown(), false),
            Mood::Blocks if !blocked_already && today.count() >= 6 => match bucket.as_str() {
                "docomo" => (reply(Stage::Rcpt, 421, "", "Service not available, closing transmission channel"), true),
                _ => (reply(Stage::Rcpt, 421, "4.7.0", "4.7.0 very low reputation of the sending IP address"), true),
            },
            _ => (reply(Stage::Body, 250, "", "2.0.0 queued"), false),
        }
    }

    /// What the relay says while it throttles.
    fn throttles(&self, recipient: &str) -> Delivery {
        let at = self.clock.now();
        match mix(self.ask.seed, &format!("{recipient} {at}")) % 4 {
            0 => reply(Stage::Mail, 432, "4.3.2", "4.3.2 Concurrent connections limit exceeded. Visit the portal"),
            1 => reply(Stage::Mail, 454, "", "Throttling failure: Maximum sending rate exceeded."),
            2 => reply(Stage::Rcpt, 454, "", "Throttling failure: Maximum sending rate exceeded."),
            _ => {
                let text = "4.4.2 Message submission rate for this client has exceeded the configured limit";
                reply(Stage::Rcpt, 421, "4.4.2", text)
            }
        }
    }
}

/// The relay in front of the destinations.
pub(crate) struct Door(pub(crate) Arc<Destination>);

#[async_trait]
impl Relay for Door {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        let here = &self.0;
        let down = here.gate.pass(async { here.down() }).await;
        match down {
            Some(Down::Refuses) => return Err(fault(Stage::Connect, Fault::Refused)),
            Some(Down::Turns) => return Err(reply(Stage::Greeting, 421, "", "4.3.2 System not accepting messages")),
            Some(Down::Silent) => {
                here.clock.sleep(Duration::from_secs(300)).await;
                return Err(fault(Stage::Greeting, Fault::Timeout));
            }
            Some(Down::Throttles) | None => {}
        }
        Ok(Box::new(Line { here: here.clone(), carried: 0, wanted: None, is_open: true }))
    }
}

struct Line {
    here: Arc<Destination>,
    carried: u32,
    wanted: Option<Delivery>,
    is_open: bool,
}

impl Line {
    /// What comes of a message on this line; what was seen of it is written down.
    fn meet(&mut self, recipient: &str) -> Delivery {
        let here = self.here.clone();
        let mut seen = here.seen.lock().unwrap();
        let at = here.clock.now();
        let (delivery, blocks, relays) = match here.down() {
            Some(Down::Throttles) => (here.throttles(recipient), false, true),
            // What was open before is gone; a connection that never carried anything stands.
            Some(how) if self.carried > 0 => {
                self.is_open = false;
                let silent = how == Down::Silent && here.ask.own;
                let lost = if silent { fault(Stage::Rcpt, Fault::Timeout) } else { fault(Stage::Mail, Fault::Closed) };
                (lost, false, true)
            }
            _ => {
                let (delivery, blocks) = here.answer(recipient, at, &seen);
                (delivery, blocks, false)
            }
        };
        self.carried += 1;
        if delivery.rcpt_written {
            let code = match &delivery.answer {
                Answer::Reply(reply) => reply.code,
                Answer::Fault(_) => 0,
            };
            let (bucket, recipient) = (bucket_of(recipient), recipient.to_owned());
            seen.push(Seen { at, up: here.clock.elapsed(), bucket, recipient, code, blocks, relays });
        }
        delivery
    }
}

#[async_trait]
impl Connection for Line {
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery> {
        let gate = self.here.gate.clone();
        let mut delivery = gate.pass(async { self.meet(&mail.recipient) }).await;
        if self.here.ask.planted == Planted::DeafToUnknowns
            && let Answer::Reply(reply) = &mut delivery.answer
            && reply.code == 550
        {
            (reply.enhanced, reply.text) = (None, "zz9 no".to_owned());
        }
        if delivery.stage < Stage::Body {
            return Some(delivery);
        }
        self.wanted = Some(delivery);
        None
    }

    async fn hand_over(&mut self, _: &Outgoing, _: Option<&Outgoing>) -> Delivery {
        self.here.gate.pass(async {}).await;
        self.wanted.take().expect("a message is handed over when it was offered and wanted")
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn is_usable(&self) -> bool {
        self.is_open
    }

    async fn close(self: Box<Self>) {}
}
