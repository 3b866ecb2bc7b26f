//! Owns a world: two relays under a plan, a campaign, virtual time over some plan days, trouble at one outside call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hikagen::clock::{PacedClock, SharedClock};
use hikagen::compose::{ComposeError, Composer, Identity, Recipient};
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::{Config, FeedbackSettings, RelaySettings, RetrySettings, WorkerSettings};
use hikagen::core::campaign::{CampaignId, Class, MessageState};
use hikagen::core::names::{BucketName, CampaignName, PoolName, RelayName};
use hikagen::core::plan::Plan;
use hikagen::relay::{Outgoing, Relay};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{NewCampaign, NewMessage, Revision, Store};
use hikagen::worker::{self, Control, Pacing, Parts};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::carrier::{Carrier, Ledger, Mood, mix};
use crate::faulty::{Faulty, Gate, Planted, Trouble};
use crate::settings;

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

pub(crate) struct PlainComposer;

impl Composer for PlainComposer {
    fn compose(&self, recipient: Recipient<'_>, _: &Identity, _: Timestamp) -> Result<Outgoing, ComposeError> {
        Ok(Outgoing {
            envelope_from: "news@m.example.jp".into(),
            recipient: recipient.address.into(),
            recipient_alternative: None,
            bytes: format!("X-Message: {}\r\n\r\nhello\r\n", recipient.message).into_bytes(),
        })
    }
}

fn config(seed: u64) -> (Arc<Config>, Arc<Plan>) {
    let Destinations { groups, rules } = Destinations::shipped();
    let read = read_plan(&plan_text(seed), "plan.yaml", &groups);
    let plan = Arc::new(read.value.unwrap_or_else(|| panic!("{:?}", read.problems)));
    let relay = |name: &str| {
        let retry = RetrySettings {
            after: vec![Duration::from_secs(600), Duration::from_secs(1_800)],
            lifetime: Duration::from_secs(4 * 86_400),
            uncertain: Duration::from_secs(900),
        };
        let name: RelayName = name.parse().unwrap();
        (name.clone(), Arc::new(RelaySettings { name, plan: plan.clone(), retry, ..settings::relay(1) }))
    };
    let relays: BTreeMap<_, _> = [relay("cold"), relay("warm")].into();
    let pool: PoolName = "news".parse().unwrap();
    let config = Config {
        path: PathBuf::from("hikagen.yaml"),
        store: PathBuf::from("memory"),
        timezone: plan.timezone.clone(),
        groups: Arc::new(groups),
        rules: Arc::new(rules),
        pools: [(pool, relays.keys().cloned().collect())].into(),
        relays,
        worker: WorkerSettings { drain: Duration::from_secs(60), ..WorkerSettings::default() },
        listen: hikagen::config::ListenSettings::default(),
        feedback: FeedbackSettings::default(),
        signing_key: None,
    };
    (Arc::new(config), plan)
}

async fn submit(store: &SqliteStore, seed: u64, now: Timestamp) -> (CampaignId, usize) {
    let name: CampaignName = "spring".parse().unwrap();
    let revision = Revision {
        content: "{}".into(),
        start: now,
        finish_by: None,
        not_after: None,
        class: Class::Bulk,
        weight: 1,
        digest: "one".into(),
    };
    let new = NewCampaign { name, pool: "news".parse().unwrap(), from: "news@m.example.jp".into(), revision };
    let id = store.create_campaign(new, now).await.unwrap();
    let mut rows = Vec::new();
    for (bucket, domain, many) in [
        ("docomo", "docomo.ne.jp", 23),
        ("au", "ezweb.ne.jp", 25),
        ("google", "gmail.com", 26),
        ("default", "example.jp", 21),
    ] {
        for n in 0..many + mix(seed, bucket) % 9 {
            let address = format!("{bucket}{n}@{domain}");
            rows.push(NewMessage {
                key: address.clone(),
                address,
                bucket: BucketName::new(bucket).unwrap(),
                score: i64::try_from(mix(seed, domain) % 100).unwrap(),
                columns: "{}".into(),
                refused: None,
            });
        }
    }
    let n = rows.len();
    store.enqueue(id, rows, 1, false, now).await.unwrap();
    store.finish_intake(id, 1, false, now).await.unwrap();
    (id, n)
}

/// A worker of a world: its own handle on the store, behind a gate.
struct Life {
    task: tokio::task::JoinHandle<()>,
    control: mpsc::Sender<Control>,
    gate: Arc<Gate>,
}

fn begin_life(world: &World, config: &Arc<Config>, trouble: Trouble) -> Life {
    let gate = Gate::new(trouble, world.clock.clone());
    let inner = world.store.another_handle().unwrap();
    let store = Arc::new(Faulty { inner, gate: gate.clone(), planted: world.ask.planted });
    let (seen, clock, line, seed, mood) =
        (world.seen.clone(), world.clock.clone(), gate.clone(), world.ask.seed, world.ask.mood);
    let parts = Parts {
        store,
        clock: world.clock.clone(),
        relays: Arc::new(move |settings| {
            let (name, clock) = (settings.name.to_string(), clock.clone());
            let relay = Carrier { name, seed, clock, seen: seen.clone(), gate: line.clone(), mood };
            Ok(Arc::new(relay) as Arc<dyn Relay>)
        }),
        composers: Arc::new(|_| Ok(Arc::new(PlainComposer) as Arc<dyn Composer>)),
        owner: "world".into(),
        disk: None,
        pacing: Pacing {
            poll: Duration::from_secs(300),
            ahead: Duration::from_secs(1),
            needs: Duration::from_secs(600),
            ..Pacing::default()
        },
    };
    let (control, orders) = mpsc::channel(4);
    let config = config.clone();
    let task = tokio::spawn(async move {
        worker::run(parts, config, false, orders).await.unwrap();
    });
    Life { task, control, gate }
}

impl World {
    async fn in_the_air_now(&self) -> u64 {
        self.store.owners().await.unwrap().iter().map(|o| o.in_the_air).sum()
    }

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

    /// Kills a life as SIGKILL would: nothing of it runs any more.
    async fn kill(&mut self, life: Life) {
        self.in_the_air += self.in_the_air_now().await;
        life.task.abort();
        let _ = life.task.await;
        // Tasks of tasks fall one after the other.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
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
                world.kill(life).await;
                lives.insert(0, begin_life(&world, &config, Trouble::None));
            }
            () = clock.sleep(Duration::from_secs(600)) => {
                if std::mem::take(&mut restart) {
                    let life = lives.remove(0);
                    world.kill(life).await;
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
    for life in &lives {
        let _ = life.control.send(Control::Drain).await;
    }
    for life in lives {
        tokio::select! {
            _ = life.task => {}
            () = clock.sleep(Duration::from_secs(600)) => {}
        }
    }
    world
}
