//! A real Postfix as the relay, carriers behind it: what they answer is heard through its log, and comes to the same as over a
//! relay that passes the carriers' answers through (`answers: carrier`) to the same carriers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use hikagen::clock::{SharedClock, SystemClock};
use hikagen::compose::Tokens;
use hikagen::config::groups_file::Destinations;
use hikagen::config::{Config, config_file};
use hikagen::core::names::BucketName;
use hikagen::core::units::Share;
use hikagen::feedback::{Ear, InForce, follow};
use hikagen::sim::{Manners, Tolerance};
use hikagen::simulator::{Options, Simulator};
use hikagen::store::Store;
use tokio::task::JoinHandle;

use crate::support::certificates::Authority;
use crate::support::postfix::{Entry, Postfix};
use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, without_budget, write_campaign, write_configuration, write_plan};
use crate::support::worker::Working;

const LIMIT: Duration = Duration::from_secs(120);
const ENVELOPE: &str = "envelope_from: \"bounce+{token}@m.example.jp\"";

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// Carriers on loopback, the same every time.
async fn carriers(own: BTreeMap<BucketName, Tolerance>) -> Simulator {
    let manners =
        Manners { unknown: Some(Share::percent(30)), bears: Share::percent(10_000), own, ..Manners::default() };
    let groups = Arc::new(Destinations::shipped().groups);
    let options = Options { listen: ([127, 0, 0, 1], 0).into(), groups, manners, login: None };
    Simulator::start(options, clock()).await.unwrap()
}

/// A project that sends to these addresses through one relay. `more` ends the configuration.
fn project(relay: RelayEntry, more: &str, addresses: &[String], authority: &Authority) -> Project {
    let project = Project::empty();
    authority.write(project.folder());
    write_plan(&project, "plan.yaml", &[("default", 1_000, "50/s")]);
    without_budget(&project);
    write_configuration(&project, &[relay]);
    project.write("hikagen.yaml", project.read("hikagen.yaml") + more);
    let file = write_campaign(&project, "spring", addresses.to_vec());
    project.hikagen(&["submit", &file]).expect(0);
    project
}

fn load(folder: &Path) -> Config {
    let read = config_file::load(&folder.join("hikagen.yaml"));
    read.value.unwrap_or_else(|| panic!("{:?}", read.problems))
}

/// Watches what the configuration says, into the worker's store.
fn listen(config: &Config, store: Arc<dyn Store>) -> JoinHandle<()> {
    let tokens = Arc::new(Tokens::open(&Tokens::key_file(&config.store)).unwrap());
    let slot = Arc::new(RwLock::new(Arc::new(config.clone())));
    let in_force: InForce = Arc::new(move || slot.read().unwrap().clone());
    let ear = Ear::new(store, tokens, clock(), in_force.clone());
    tokio::spawn(follow::run(ear, in_force, clock(), |_| None))
}

/// Suppressed addresses, and what is paused for which cause.
async fn known(store: &dyn Store) -> (Vec<String>, Vec<String>) {
    let suppressed = store.suppressions(None, None, 1_000).await.unwrap();
    let pauses = store.outlook(clock().now()).await.unwrap().pauses;
    let pauses = pauses.into_iter().map(|pause| format!("{:?} {:?}", pause.scope, pause.cause));
    (suppressed.into_iter().map(|one| one.key).collect(), pauses.collect())
}

/// Waits until it is as expected.
async fn until_known(store: &dyn Store, is_so: impl Fn(&(Vec<String>, Vec<String>)) -> bool, log: impl Fn() -> String) {
    let waits = async {
        while !is_so(&known(store).await) {
            clock().sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(LIMIT, waits).await.is_err() {
        panic!("{:?}\n{}", known(store).await, log());
    }
}

/// The relay as Postfix, with the end of its configuration.
fn through(postfix: &Postfix) -> (RelayEntry, String) {
    let relay = RelayEntry::new("tokyo", postfix.port).with(&["tls: implicit", "ca: ca.pem", ENVELOPE, "answers: own"]);
    (relay, format!("feedback:\n  logs:\n    - {{ relay: tokyo, file: {} }}\n", postfix.log_file().display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_users_behind_postfix_are_suppressed_as_if_the_carriers_had_answered_themselves() {
    let domains = ["docomo.ne.jp", "ezweb.ne.jp", "softbank.ne.jp", "yahoo.co.jp", "gmail.com", "example.co.jp"];
    let all: Vec<String> = domains.iter().flat_map(|domain| addresses(domain, 8)).collect();

    let authority = Authority::new();
    let direct = carriers(BTreeMap::new()).await;
    let relay = RelayEntry::new("tokyo", direct.addr().port()).with(&[ENVELOPE, "answers: carrier"]);
    let project = project(relay, "", &all, &authority);
    let working = Working::start(load(project.folder()), clock(), 1.0);
    let over = async |working: &Working| {
        let outlook = working.store.outlook(clock().now()).await.unwrap();
        outlook.campaigns.is_empty()
    };
    while !over(&working).await {
        clock().sleep(Duration::from_millis(50)).await;
    }
    let (expected, _) = known(&*working.store).await;
    working.end().await;
    assert!((5..30).contains(&expected.len()), "{expected:?}");

    let behind = carriers(BTreeMap::new()).await;
    let postfix = Postfix::start(&Entry::ImplicitTls, &authority.server(), behind.addr().port());
    let (relay, more) = through(&postfix);
    let project = self::project(relay, &more, &all, &authority);
    let config = load(project.folder());
    let working = Working::start(config.clone(), clock(), 1.0);
    let ears = listen(&config, working.store.clone());
    until_known(&*working.store, |(suppressed, _)| *suppressed == expected, || postfix.log()).await;
    ears.abort();
    let health = working.store.health(None, jiff::civil::Date::MIN).await.unwrap();
    let unknown: u64 = health.iter().map(|(_, _, health)| health.unknown).sum();
    assert_eq!(usize::try_from(unknown).unwrap(), expected.len(), "{health:?}");
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_behind_postfix_pauses_the_lane_as_if_the_carrier_had_answered_itself() {
    let all = addresses("docomo.ne.jp", 30);
    let groups = Destinations::shipped().groups;
    let docomo: BucketName = "docomo".parse().unwrap();
    let (_, members) = groups.buckets().into_iter().find(|(bucket, _)| *bucket == docomo).unwrap();
    let patient = Manners::default().tolerance(&members.iter().map(|group| &**group).collect::<Vec<_>>());
    let impatient =
        Tolerance { rate: "1/min".parse().unwrap(), depth: NonZeroU32::new(5).unwrap(), unknown: None, ..patient };
    let own = BTreeMap::from([(docomo, impatient)]);

    let authority = Authority::new();
    let direct = carriers(own.clone()).await;
    let relay = RelayEntry::new("tokyo", direct.addr().port()).with(&[ENVELOPE, "answers: carrier"]);
    let project = project(relay, "", &all, &authority);
    let working = Working::start(load(project.folder()), clock(), 1.0);
    until_known(&*working.store, |(_, pauses)| !pauses.is_empty(), String::new).await;
    let (suppressed, expected) = known(&*working.store).await;
    working.end().await;
    assert!(suppressed.is_empty() && expected.len() == 1 && expected[0].contains("docomo"), "{expected:?}");

    let behind = carriers(own).await;
    let postfix = Postfix::start(&Entry::ImplicitTls, &authority.server(), behind.addr().port());
    let (relay, more) = through(&postfix);
    let project = self::project(relay, &more, &all, &authority);
    let config = load(project.folder());
    let working = Working::start(config.clone(), clock(), 1.0);
    let ears = listen(&config, working.store.clone());
    until_known(&*working.store, |known| *known == (Vec::new(), expected.clone()), || postfix.log()).await;
    ears.abort();
    working.end().await;
}
