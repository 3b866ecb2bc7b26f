//! Owns the world of one midnight: what waits for the new plan day goes first through the relay that still needs it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hikagen::clock::{PacedClock, SharedClock};
use hikagen::core::reply::{Answer, Delivery, Reply, Stage};
use hikagen::relay::{Connection, Outgoing, Relay};
use hikagen::store::sqlite::SqliteStore;

use crate::faulty::{Gate, Trouble};
use crate::life::{Asked, Life, config, plan, relay, submit};

/// Recipient, and the relay that took it.
type Taken = Arc<Mutex<Vec<(String, String)>>>;

/// A relay that takes everything.
struct Willing {
    name: String,
    taken: Taken,
}

struct Line(String, Taken);

#[async_trait]
impl Relay for Willing {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        Ok(Box::new(Line(self.name.clone(), self.taken.clone())))
    }
}

#[async_trait]
impl Connection for Line {
    async fn offer(&mut self, _: &Outgoing) -> Option<Delivery> {
        None
    }

    async fn hand_over(&mut self, mail: &Outgoing, _: Option<&Outgoing>) -> Delivery {
        self.1.lock().unwrap().push((mail.recipient.clone(), self.0.clone()));
        let answer = Answer::Reply(Reply { code: 250, enhanced: None, text: "2.0.0 queued".to_owned() });
        Delivery { stage: Stage::Body, answer, rcpt_written: true, dot_begun: true }
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn is_usable(&self) -> bool {
        true
    }

    async fn close(self: Box<Self>) {}
}

/// The cold relay has ten a day: it uses up its first day, and on the second, which begins with ten messages more, it takes those.
/// Says what the warm one took, of whom nothing was needed.
pub(crate) async fn taken_by_the_warm_relay() -> Vec<String> {
    let begin: jiff::Zoned = "2026-11-24T20:00:00[Asia/Tokyo]".parse().unwrap();
    let midnight: jiff::Zoned = "2026-11-25T00:00:00[Asia/Tokyo]".parse().unwrap();
    let clock: SharedClock = Arc::new(PacedClock::new(begin.timestamp(), 1.0));
    let of = |name: &str, quota: u32| {
        let text = format!(
            "plan: {name}\ntimezone: Asia/Tokyo\ndefaults: {{ window: \"00:00-24:00\", spread: asap, rate: 1/s }}\ngroups:\n  \
             default: {{ curve: [{quota}] }}\n"
        );
        relay(name, plan(&text), &[600], 3)
    };
    let config = Arc::new(config(vec![of("cold", 10), of("warm", 1_000)], &[("news", &["cold", "warm"])]));
    let store = SqliteStore::in_memory();
    let list = |name: &'static str| (0..10).map(|n| ("docomo", format!("{name}.{n}@docomo.ne.jp"), 0)).collect();
    submit(&store, Asked::bulk("first", begin.timestamp()), list("first"), clock.now()).await;
    submit(&store, Asked::bulk("second", midnight.timestamp()), list("second"), clock.now()).await;
    let taken = Taken::default();
    let of_relays = taken.clone();
    let gate = Gate::new(Trouble::None, clock.clone());
    let own = Arc::new(store.another_handle().unwrap());
    let life = Life::begin(own, &clock, gate, &config, move |name| {
        Arc::new(Willing { name: name.to_owned(), taken: of_relays.clone() })
    });
    clock.sleep(Duration::from_secs(8 * 3_600)).await;
    Life::end(vec![life], &clock).await;
    let taken = std::mem::take(&mut *taken.lock().unwrap());
    assert_eq!(taken.len(), 20, "{taken:?}");
    taken.into_iter().filter(|(_, relay)| relay == "warm").map(|(recipient, _)| recipient).collect()
}
