//! Owns small worlds of one question each: relays that say one thing to all mail, for some hours.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{PacedClock, SharedClock};
use hikagen::config::{Answers, RelaySettings};
use hikagen::core::reply::{Answer, Delivery, Reply, Stage};
use hikagen::relay::{Connection, Outgoing, Relay};
use hikagen::store::sqlite::SqliteStore;

use crate::faulty::{Faulty, Gate, Planted, Trouble};
use crate::life::{Asked, Life, config, plan, relay, submit};

/// A message that a relay was offered.
struct Offer {
    recipient: String,
    relay: String,
}

/// A relay that says this to every message.
#[derive(Clone)]
struct Always {
    name: String,
    says: (u16, &'static str),
    seen: Arc<Mutex<Vec<Offer>>>,
}

impl Always {
    fn said(&self, stage: Stage) -> Delivery {
        let (code, text) = self.says;
        let answer = Answer::Reply(Reply { code, enhanced: None, text: text.to_owned() });
        Delivery { stage, answer, rcpt_written: true, dot_begun: stage == Stage::Body }
    }
}

#[async_trait]
impl Relay for Always {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Connection for Always {
    async fn offer(&mut self, mail: &Outgoing) -> Option<Delivery> {
        self.seen.lock().unwrap().push(Offer { recipient: mail.recipient.clone(), relay: self.name.clone() });
        (self.says.0 >= 400).then(|| self.said(Stage::Rcpt))
    }

    async fn hand_over(&mut self, _: &Outgoing, _: Option<&Outgoing>) -> Delivery {
        self.said(Stage::Body)
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn is_usable(&self) -> bool {
        true
    }

    async fn close(self: Box<Self>) {}
}

/// Relays by name and daily quota, the pool's order; campaigns of ten messages by name and start.
struct Small<'a> {
    relays: &'a [(&'a str, u32)],
    campaigns: &'a [(&'a str, &'a str)],
    rate: &'a str,
    says: (u16, &'static str),
    planted: Planted,
}

impl Small<'_> {
    /// Lives eight hours from 20:00; what the relays were offered.
    async fn live(self) -> Vec<Offer> {
        let at = |time: &str| time.parse::<jiff::Zoned>().unwrap().timestamp();
        let begin = at("2026-11-24T20:00:00[Asia/Tokyo]");
        let clock: SharedClock = Arc::new(PacedClock::new(begin, 1.0));
        let relays = self.relays.iter().map(|(name, quota)| {
            let text = format!(
                "plan: {name}\ntimezone: Asia/Tokyo\ndefaults: {{ window: \"00:00-24:00\", spread: asap, rate: {} }}\ngroups:\n  \
                 default: {{ curve: [{quota}] }}\n",
                self.rate
            );
            RelaySettings { answers: Answers::Carrier, ..relay(name, plan(&text), &[600], 3) }
        });
        let names: Vec<&str> = self.relays.iter().map(|(name, _)| *name).collect();
        let config = Arc::new(config(relays.collect(), &[("news", &names)]));
        let store = SqliteStore::in_memory();
        for (name, start) in self.campaigns {
            let list = (0..10).map(|n| ("docomo", format!("{name}.{n}@docomo.ne.jp"), 0)).collect();
            submit(&store, Asked::bulk(name, at(start)), list, clock.now()).await;
        }
        let gate = Gate::new(Trouble::None, clock.clone());
        let inner = store.another_handle().unwrap();
        let own = Arc::new(Faulty { inner, gate: gate.clone(), planted: self.planted });
        let seen: Arc<Mutex<Vec<Offer>>> = Arc::default();
        let (says, of_relays) = (self.says, seen.clone());
        let life = Life::begin(own, &clock, gate, &config, move |name| {
            Arc::new(Always { name: name.to_owned(), says, seen: of_relays.clone() })
        });
        clock.sleep(Duration::from_secs(8 * 3_600)).await;
        Life::end(vec![life], &clock).await;
        std::mem::take(&mut *seen.lock().unwrap())
    }
}

/// The cold relay has ten a day: it uses up its first day, and on the second, which begins with ten messages more, it takes those.
/// Says what the warm one took, of whom nothing was needed.
pub(crate) async fn taken_by_the_warm_relay() -> Vec<String> {
    let small = Small {
        relays: &[("cold", 10), ("warm", 1_000)],
        campaigns: &[("first", "2026-11-24T20:00:00[Asia/Tokyo]"), ("second", "2026-11-25T00:00:00[Asia/Tokyo]")],
        rate: "1/s",
        says: (250, "2.0.0 queued"),
        planted: Planted::Nothing,
    };
    let seen = small.live().await;
    assert_eq!(seen.len(), 20);
    seen.into_iter().filter(|offer| offer.relay == "warm").map(|offer| offer.recipient).collect()
}

/// A destination blocks, and the store can write no pause. Says how often it was tried in eight hours.
pub(crate) async fn offered_behind_a_block_that_cannot_be_recorded() -> usize {
    let small = Small {
        relays: &[("cold", 1_000)],
        campaigns: &[("first", "2026-11-24T20:00:00[Asia/Tokyo]")],
        rate: "1/min",
        says: (421, "Service not available, closing transmission channel"),
        planted: Planted::RefusesPauses,
    };
    small.live().await.len()
}
