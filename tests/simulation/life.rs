//! Owns what all worlds are built of: plans and relays as a configuration, campaigns with their lists, a worker's life on the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hikagen::clock::SharedClock;
use hikagen::compose::{ComposeError, Composer, Identity, Recipient};
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::{Config, FeedbackSettings, ListenSettings, RelaySettings, RetrySettings, WorkerSettings};
use hikagen::core::campaign::{CampaignId, Class};
use hikagen::core::names::BucketName;
use hikagen::core::plan::Plan;
use hikagen::relay::{Outgoing, Relay};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{NewCampaign, NewMessage, Revision, Store};
use hikagen::worker::{self, Control, Pacing, Parts};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::faulty::Gate;
use crate::settings;

/// The destinations and rules that come with the program, read once.
fn shipped() -> &'static Destinations {
    static SHIPPED: LazyLock<Destinations> = LazyLock::new(Destinations::shipped);
    &SHIPPED
}

/// The plan that a text says, by the shipped destinations.
pub(crate) fn plan(text: &str) -> Arc<Plan> {
    let read = read_plan(text, "plan.yaml", &shipped().groups);
    Arc::new(read.value.unwrap_or_else(|| panic!("{:?}", read.problems)))
}

/// A relay under a plan, its retries after so many seconds within so many days.
pub(crate) fn relay(name: &str, plan: Arc<Plan>, after: &[u64], days: u64) -> RelaySettings {
    let retry = RetrySettings {
        after: after.iter().copied().map(Duration::from_secs).collect(),
        lifetime: Duration::from_secs(days * 86_400),
        uncertain: Duration::from_secs(900),
    };
    RelaySettings { name: name.parse().unwrap(), plan, retry, ..settings::relay(1) }
}

/// A configuration of these relays and pools, in the zone of the first plan.
pub(crate) fn config(relays: Vec<RelaySettings>, pools: &[(&str, &[&str])]) -> Config {
    let Destinations { groups, rules } = shipped();
    let pool = |(pool, relays): &(&str, &[&str])| {
        (pool.parse().unwrap(), relays.iter().map(|name| name.parse().unwrap()).collect())
    };
    Config {
        path: PathBuf::from("hikagen.yaml"),
        store: PathBuf::from("memory"),
        timezone: relays[0].plan.timezone.clone(),
        groups: Arc::new(groups.clone()),
        rules: Arc::new(rules.clone()),
        pools: pools.iter().map(pool).collect(),
        relays: relays.into_iter().map(|relay| (relay.name.clone(), Arc::new(relay))).collect::<BTreeMap<_, _>>(),
        worker: WorkerSettings { drain: Duration::from_secs(60), ..WorkerSettings::default() },
        listen: ListenSettings::default(),
        feedback: FeedbackSettings::default(),
        signing_key: None,
    }
}

/// A campaign of a world.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) pool: &'a str,
    pub(crate) class: Class,
    pub(crate) weight: u32,
    pub(crate) start: Timestamp,
}

impl<'a> Asked<'a> {
    /// Bulk mail to pool `news`, at once.
    pub(crate) fn bulk(name: &'a str, start: Timestamp) -> Self {
        Self { name, pool: "news", class: Class::Bulk, weight: 1, start }
    }
}

/// Submits a campaign; its list as bucket, address and score.
pub(crate) async fn submit(
    store: &SqliteStore,
    asked: Asked<'_>,
    list: Vec<(&str, String, i64)>,
    now: Timestamp,
) -> (CampaignId, usize) {
    let revision = Revision {
        content: "{}".into(),
        start: asked.start,
        finish_by: None,
        not_after: None,
        class: asked.class,
        weight: asked.weight,
        digest: asked.name.into(),
    };
    let (name, pool) = (asked.name.parse().unwrap(), asked.pool.parse().unwrap());
    let new = NewCampaign { name, pool, from: "news@m.example.jp".into(), revision };
    let id = store.create_campaign(new, now).await.unwrap();
    let row = |(bucket, address, score): (&str, String, i64)| NewMessage {
        key: address.clone(),
        address,
        bucket: BucketName::new(bucket).unwrap(),
        score,
        columns: "{}".into(),
        refused: None,
    };
    let rows: Vec<NewMessage> = list.into_iter().map(row).collect();
    let n = rows.len();
    store.enqueue(id, rows, 1, false, now).await.unwrap();
    store.finish_intake(id, 1, false, now).await.unwrap();
    (id, n)
}

struct PlainComposer;

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

/// Looks at the store are rare in worlds: virtual time passes no faster than a worker wakes.
pub(crate) const POLL: Duration = Duration::from_secs(300);

/// A worker of a world, behind a gate.
pub(crate) struct Life {
    task: tokio::task::JoinHandle<()>,
    control: mpsc::Sender<Control>,
    pub(crate) gate: Arc<Gate>,
}

impl Life {
    /// Begins one on `store`; `relays` makes a relay by its name.
    pub(crate) fn begin(
        store: Arc<dyn Store>,
        clock: &SharedClock,
        gate: Arc<Gate>,
        config: &Arc<Config>,
        relays: impl Fn(&str) -> Arc<dyn Relay> + Send + Sync + 'static,
    ) -> Self {
        let parts = Parts {
            store,
            clock: clock.clone(),
            relays: Arc::new(move |settings| Ok(relays(settings.name.as_str()))),
            composers: Arc::new(|_| Ok(Arc::new(PlainComposer) as Arc<dyn Composer>)),
            owner: "world".into(),
            disk: None,
            pacing: Pacing {
                poll: POLL,
                ahead: Duration::from_secs(1),
                needs: Duration::from_secs(600),
                ..Pacing::default()
            },
        };
        let (control, orders) = mpsc::channel(4);
        let config = config.clone();
        let task = tokio::spawn(async move { worker::run(parts, config, false, orders).await.unwrap() });
        Self { task, control, gate }
    }

    /// Puts another configuration in force.
    pub(crate) async fn reload(&self, config: &Arc<Config>) {
        self.control.send(Control::Reload(config.clone())).await.unwrap();
    }

    /// Kills it as SIGKILL would: nothing of it runs any more. Says how many messages were in the air.
    pub(crate) async fn kill(self, store: &SqliteStore) -> u64 {
        let in_the_air = store.owners().await.unwrap().iter().map(|owner| owner.in_the_air).sum();
        self.task.abort();
        let _ = self.task.await;
        // Tasks of tasks fall one after the other.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        in_the_air
    }

    /// Lets them drain.
    pub(crate) async fn end(lives: Vec<Self>, clock: &SharedClock) {
        for life in &lives {
            let _ = life.control.send(Control::Drain).await;
        }
        for life in lives {
            tokio::select! {
                _ = life.task => {}
                () = clock.sleep(Duration::from_secs(600)) => {}
            }
        }
    }
}
