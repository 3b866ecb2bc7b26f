//! Owns a world: two relays under a plan, a campaign, virtual time over some plan days, trouble at one outside call.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hikagen::clock::{PacedClock, SharedClock};
use hikagen::config::Config;
use hikagen::core::campaign::{CampaignId, MessageState};
use hikagen::core::plan::Plan;
use hikagen::store::Store;
use hikagen::store::sqlite::SqliteStore;
use jiff::Timestamp;

use crate::carrier::{Carrier, Ledger, Mood, mix};
use crate::faulty::{Faulty, Gate, Planted, Trouble};
use crate::life::{self, Asked, Life};

/// What is asked of a world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) seed: u64,
    pub(crate) trouble: Trouble,
    pub(crate) planted: Planted,
    pub(crate) mood: Mood,
    /// A restart in the middle of the first plan day, as a reboot would.
    pub(crate) restart: bool,
}

impl Ask {
    pub(crate) fn new(seed: u64, trouble: Trouble) -> Self {
        Self { seed, trouble, planted: Planted::Nothing, mood: Mood::Honest, restart: false }
    }
}

/// What came of it.
pub(crate) struct World {
    pub(crate) ask: Ask,
    pub(crate) calls: u32,
    pub(crate) plan: Arc<Plan>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: SharedClock,
    pub(crate) store: SqliteStore,
    pub(crate) campaign: CampaignId,
    pub(crate) submitted: usize,
    pub(crate) seen: Arc<Mutex<Ledger>>,
    /// Messages in the air when workers died, summed.
    pub(crate) in_the_air: u64,
    pub(crate) finished: bool,
}

pub(crate) const BEGIN: &str = "2026-11-24T07:55:00+09:00[Asia/Tokyo]";
/// Virtual time after which a world must be over. One with a planted fault need not come to its end.
fn end(ask: Ask) -> Duration {
    let planted = ask.planted != Planted::Nothing || ask.mood != Mood::Honest;
    Duration::from_secs(if planted { 30 * 3_600 } else { 5 * 86_400 })
}

fn plan_text(seed: u64) -> String {
    let pick = |what: &str, of: &[&str]| of[usize::try_from(mix(seed, what) % of.len() as u64).unwrap()].to_owned();
    format!(
        "plan: world\ntimezone: Asia/Tokyo\ndefaults:\n  window: \"08:00-09:30\"\n  spread: {}\n  jitter: 20%\n  rate: {}\ngroups:\n  \
         docomo: {{ curve: [{}], cooldown: 30m }}\n  au: {{ curve: {{ start: 9, grow: 1.5, up_to: 60 }}, rate: 2/s, avoid: {{ minutes: [\"00-02\"] }} }}\n  \
         gmail: {{ curve: [20, 30, 40], per_hour: {} }}\n  default: {{ curve: [15, 20, 25, 30] }}\n",
        pick("spread", &["even", "asap"]),
        pick("rate", &["1/s", "20/min", "5/s"]),
        pick("curve", &["7, 11, 17, 25", "12, 18, 27", "5, 8, 12, 18, 27"]),
        pick("hour", &["12", "15", "100"]),
    )
}

fn config(seed: u64) -> (Arc<Config>, Arc<Plan>) {
    let plan = life::plan(&plan_text(seed));
    let relays = ["cold", "warm"].map(|name| life::relay(name, plan.clone(), &[600, 1_800], 4));
    (Arc::new(life::config(relays.into(), &[("news", &["cold", "warm"])])), plan)
}

async fn submit(store: &SqliteStore, seed: u64, now: Timestamp) -> (CampaignId, usize) {
    let mut list = Vec::new();
    for (bucket, domain, many) in [
        ("docomo", "docomo.ne.jp", 23),
        ("au", "ezweb.ne.jp", 25),
        ("google", "gmail.com", 26),
        ("default", "example.jp", 21),
    ] {
        let score = i64::try_from(mix(seed, domain) % 100).unwrap();
        list.extend((0..many + mix(seed, bucket) % 9).map(|n| (bucket, format!("{bucket}{n}@{domain}"), score)));
    }
    life::submit(store, Asked::bulk("spring", now), list, now).await
}

fn begin_life(world: &World, config: &Arc<Config>, trouble: Trouble) -> Life {
    let gate = Gate::new(trouble, world.clock.clone());
    let inner = world.store.another_handle().unwrap();
    let store = Arc::new(Faulty { inner, gate: gate.clone(), planted: world.ask.planted });
    let (seen, clock, line, seed, mood) =
        (world.seen.clone(), world.clock.clone(), gate.clone(), world.ask.seed, world.ask.mood);
    Life::begin(store, &world.clock, gate, config, move |name| {
        let (name, clock) = (name.to_owned(), clock.clone());
        Arc::new(Carrier { name, seed, clock, seen: seen.clone(), gate: line.clone(), mood })
    })
}

impl World {
    pub(crate) async fn states(&self) -> BTreeMap<MessageState, u64> {
        let mut states = BTreeMap::new();
        for row in self.store.tally(self.campaign).await.unwrap() {
            *states.entry(row.state).or_default() += row.n;
        }
        states
    }

    async fn is_over(&self) -> bool {
        let waits = |s: MessageState| !s.is_final() && s != MessageState::Parked;
        self.states().await.iter().all(|(state, n)| *n == 0 || !waits(*state))
    }
}

/// Lives through a world.
pub(crate) async fn live(ask: Ask) -> World {
    let begin: jiff::Zoned = BEGIN.parse().unwrap();
    let clock: SharedClock = Arc::new(PacedClock::new(begin.timestamp(), 1.0));
    let (config, plan) = config(ask.seed);
    let store = SqliteStore::in_memory();
    let (campaign, submitted) = submit(&store, ask.seed, clock.now()).await;
    let mut world = World {
        ask,
        calls: 0,
        plan,
        config: config.clone(),
        clock: clock.clone(),
        store,
        campaign,
        submitted,
        seen: Arc::default(),
        in_the_air: 0,
        finished: false,
    };
    let mut lives = vec![begin_life(&world, &config, ask.trouble)];
    if matches!(ask.trouble, Trouble::Stalls(..)) || ask.planted == Planted::SharesLeases {
        lives.push(begin_life(&world, &config, Trouble::None));
    }
    let mut restart = ask.restart;
    while clock.elapsed() < end(ask) {
        let gate = lives[0].gate.clone();
        tokio::select! {
            () = gate.died.notified() => {
                let life = lives.remove(0);
                world.in_the_air += life.kill(&world.store).await;
                lives.insert(0, begin_life(&world, &config, Trouble::None));
            }
            () = clock.sleep(Duration::from_secs(600)) => {
                if std::mem::take(&mut restart) {
                    let life = lives.remove(0);
                    world.in_the_air += life.kill(&world.store).await;
                    lives.insert(0, begin_life(&world, &config, Trouble::None));
                }
                if world.is_over().await {
                    world.finished = true;
                    break;
                }
            }
        }
    }
    world.calls = lives[0].gate.calls.load(Ordering::SeqCst);
    Life::end(lives, &clock).await;
    world
}
