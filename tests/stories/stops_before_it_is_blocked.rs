//! A list of unknown users against a carrier that blocks whoever shows it too many, over real SMTP: with the budget of its plan the
//! lane stops first and names campaign and list; without it the carrier blocks it.

use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::SystemClock;
use hikagen::config::groups_file::Destinations;
use hikagen::core::names::BucketName;
use hikagen::core::units::Share;
use hikagen::sim::{Manners, Tolerance};
use hikagen::simulator::{Options, Simulator};

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, without_budget, write_campaign, write_configuration, write_plan};
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Yahoo! JAPAN knows four in five of the list, and blocks whoever it sees with more unknown users than a tenth.
async fn carrier() -> Simulator {
    let mut manners = Manners::default();
    let strict = Tolerance {
        rate: "1000/s".parse().unwrap(),
        depth: 10_000.try_into().unwrap(),
        sessions: 400.try_into().unwrap(),
        messages_per_session: 10_000.try_into().unwrap(),
        unknown_users: Share::percent(10),
        unknown: Some(Share::percent(20)),
        ..manners.tolerance(&[])
    };
    manners.own.insert(BucketName::new("yahoo-jp").unwrap(), strict);
    let (listen, groups) = ("127.0.0.1:0".parse().unwrap(), Arc::new(Destinations::shipped().groups));
    Simulator::start(Options { listen, groups, manners, login: None }, Arc::new(SystemClock)).await.unwrap()
}

/// What `why` and the journal say of the lane once it stands still.
fn stands_still(port: u16, budget: bool) -> (String, String) {
    let project = Project::empty();
    write_plan(&project, "plan.yaml", &[("yahoo-jp", 400, "20/s"), ("default", 10, "1/s")]);
    if !budget {
        without_budget(&project);
    }
    write_configuration(&project, &[RelayEntry::new("one", port).with(&["answers: carrier"])]);
    write_campaign(&project, "autumn", addresses("yahoo.co.jp", 400));
    project.hikagen(&["submit", "autumn.yaml"]).expect(0);
    let worker = project.start("run", &["run"]);
    let why = until("the lane stands still", PATIENCE, || {
        let said = project.hikagen(&["why", "one/yahoo-jp"]).expect(0).out;
        (said.contains("is stopped since") || said.contains("block")).then_some(said)
    });
    worker.signal("TERM");
    worker.wait(PATIENCE).expect(0);
    let store = project.path("hikagen.db");
    let journal = rusqlite::Connection::open(store).unwrap();
    let entries: Vec<String> = journal
        .prepare("SELECT kind || ' ' || because FROM journal ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    (why, entries.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_floods_unknown_users_stops_before_the_carrier_blocks_it() {
    let (first, second) = (carrier().await, carrier().await);
    let (with, without) = (first.addr().port(), second.addr().port());
    let [with, without] =
        tokio::task::spawn_blocking(move || [stands_still(with, true), stands_still(without, false)]).await.unwrap();
    let (why, journal) = with;
    assert!(why.contains("is stopped since") && !why.contains("block"), "{why}");
    assert!(why.contains("unknown users") && why.contains("budget of 3%"), "{why}");
    assert!(why.contains("from campaign autumn") && why.contains("autumn.csv"), "who is to clean what? {why}");
    assert!(journal.contains("paused") && journal.contains("unknown users"), "{journal}");
    let (why, journal) = without;
    assert!(why.contains("block"), "the carrier did not mind: {why}\n{journal}");
}
