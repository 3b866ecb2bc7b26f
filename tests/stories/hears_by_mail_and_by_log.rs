//! A relay that says 250 to everything and learns the carriers' answers later: a real Postfix in front of the carrier simulator.
//! What comes back as mail and through its log ends up as direct answers of the same carriers would have made it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::SystemClock;
use hikagen::config::groups_file::Destinations;
use hikagen::core::campaign::MessageState;
use hikagen::core::names::BucketName;
use hikagen::core::units::Share;
use hikagen::sim::{Manners, Tolerance};
use hikagen::simulator::{Options, Simulator};

use crate::support::certificates::Authority;
use crate::support::postfix::Postfix;
use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, without_budget, write_campaign, write_configuration, write_plan};
use crate::support::{free_port, insight, until};

/// Messages to each group.
const EACH: usize = 80;
/// Long enough for two real servers and a worker beside other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// Carriers that bear any pace; docomo and Gmail do not mind unknown users, Yahoo! JAPAN does.
async fn carriers() -> Simulator {
    let mut manners = Manners { unknown: Some(Share::percent(10)), ..Manners::default() };
    let groups = Arc::new(Destinations::shipped().groups);
    let patient = Tolerance {
        rate: "1000/s".parse().unwrap(),
        depth: 10_000.try_into().unwrap(),
        sessions: 400.try_into().unwrap(),
        messages_per_session: 10_000.try_into().unwrap(),
        unknown_users: Share::percent(100),
        ..manners.tolerance(&[])
    };
    let strict = Tolerance { unknown_users: Share::percent(5), unknown: Some(Share::percent(40)), ..patient.clone() };
    for (bucket, tolerance) in [("docomo", &patient), ("google", &patient), ("yahoo-jp", &strict)] {
        manners.own.insert(BucketName::new(bucket).unwrap(), tolerance.clone());
    }
    let listen = "127.0.0.1:0".parse().unwrap();
    Simulator::start(Options { listen, groups, manners, login: None }, Arc::new(SystemClock)).await.unwrap()
}

/// A project with one relay at `port`, whose certificate `authority` signed, and the list.
fn project(port: u16, authority: Option<&Authority>, more: &[&str], ears: &str) -> Project {
    let project = Project::empty();
    if let Some(authority) = authority {
        authority.write(project.folder());
    }
    write_plan(
        &project,
        "plan.yaml",
        &[("docomo", 1_000, "40/s"), ("gmail", 1_000, "40/s"), ("yahoo-jp", 1_000, "20/s"), ("default", 10, "1/s")],
    );
    // The carriers are to judge here, not the plan.
    without_budget(&project);
    let relay = RelayEntry::new("one", port).with(more).with(&["envelope_from: \"bounce+{token}@m.example.jp\""]);
    write_configuration(&project, &[relay]);
    let mut text = project.read("hikagen.yaml");
    text.push_str(ears);
    project.write("hikagen.yaml", text);
    let list = ["docomo.ne.jp", "gmail.com", "yahoo.co.jp"].into_iter().flat_map(|domain| addresses(domain, EACH));
    write_campaign(&project, "spring", list);
    project.hikagen(&["check"]).expect(0);
    project.hikagen(&["submit", "spring.yaml"]).expect(0);
    project
}

/// What a world ended as.
#[derive(Debug, PartialEq, Eq)]
struct World {
    /// Suppressed for an unknown user, those of the lane that was stopped half-way aside.
    unknown: BTreeSet<String>,
    /// Refused users by lane, that lane aside.
    refused: BTreeMap<String, u64>,
    /// Whether Yahoo! JAPAN's lane stands still for a block.
    blocked: bool,
}

fn unknown(project: &Project) -> BTreeSet<String> {
    let list = project.hikagen(&["suppress", "export"]).expect(0).out;
    let rows = list.lines().filter(|line| line.contains("unknown"));
    rows.filter_map(|line| line.split(',').next()).filter(|a| !a.ends_with("yahoo.co.jp")).map(str::to_owned).collect()
}

fn is_blocked(project: &Project) -> bool {
    let shown = project.hikagen(&["why", "one/yahoo-jp"]).expect(0).out;
    shown.contains("block")
}

/// Carriers that the relay passes on in-band.
fn direct(simulator: &Simulator) -> World {
    let project = project(simulator.addr().port(), None, &["answers: carrier"], "");
    let worker = project.start("run", &["run"]);
    let store = project.path("hikagen.db");
    let done = |bucket: &str| {
        let rows = insight::messages(&store, "spring", MessageState::Queued);
        rows.iter().all(|row| row.bucket.as_str() != bucket)
    };
    until("docomo and Gmail are done, Yahoo! JAPAN is blocked", PATIENCE, || {
        (done("docomo") && done("google") && insight::in_the_air(&store) == 0 && is_blocked(&project)).then_some(())
    });
    worker.signal("TERM");
    worker.wait(PATIENCE).expect(0);
    let mut refused = BTreeMap::new();
    for row in insight::messages(&store, "spring", MessageState::Bounced) {
        *refused.entry(row.bucket.to_string()).or_insert(0) += 1;
    }
    refused.remove("yahoo-jp");
    World { unknown: unknown(&project), refused, blocked: true }
}

/// The same carriers behind a Postfix whose answers are its own.
fn behind_postfix(simulator: &Simulator, by_log: bool) -> World {
    let authority = Authority::new();
    let mailbox = tempfile::Builder::new().prefix("mailbox-").tempdir().unwrap();
    let lmtp = free_port();
    let sink = simulator.addr().port();
    let postfix = if by_log {
        Postfix::start_keeping(&authority.server(), sink, "m.example.jp", mailbox.path())
    } else {
        Postfix::start_returning(&authority.server(), sink, "m.example.jp", &format!("lmtp:inet:127.0.0.1:{lmtp}"))
    };
    let mut ears = String::new();
    if by_log {
        // Both tell of the same bounces: each counts once.
        let (log, mailbox) = (postfix.log_file(), mailbox.path().join("mailbox"));
        let _ = write!(
            ears,
            "feedback:\n  logs: [{{ relay: one, file: \"{}\" }}]\n  mailboxes: [\"{}\"]\n",
            log.display(),
            mailbox.display()
        );
    } else {
        let _ = writeln!(ears, "listen: {{ lmtp: \"127.0.0.1:{lmtp}\" }}");
    }
    let project = project(postfix.port, Some(&authority), &["tls: implicit", "ca: ca.pem"], &ears);
    let worker = project.start("run", &["run"]);
    until("every refused user is known", PATIENCE, || {
        let told = unknown(&project).len() >= 4 && postfix_is_empty(&postfix) && is_blocked(&project);
        told.then_some(())
    });
    worker.signal("TERM");
    worker.wait(PATIENCE).expect(0);
    let shown = project.hikagen(&["campaign", "show", "spring", "--json"]).expect(0).json();
    let mut refused = BTreeMap::new();
    for row in shown["reported"].as_array().unwrap() {
        if row["fate"] == "refused" && row["bucket"] != "yahoo-jp" {
            *refused.entry(row["bucket"].as_str().unwrap().to_owned()).or_insert(0) += row["n"].as_u64().unwrap();
        }
    }
    World { unknown: unknown(&project), refused, blocked: is_blocked(&project) }
}

/// Whether it has handed on or given back all that it took.
fn postfix_is_empty(postfix: &Postfix) -> bool {
    let log = postfix.log();
    let taken = log.matches(": message-id=").count();
    taken > 0 && taken == log.matches(": removed").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn bounces_by_mail_and_by_log_end_up_as_direct_answers_would_have() {
    let worlds = tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Handle::current();
        let fresh = || runtime.block_on(carriers());
        let first = fresh();
        let direct = direct(&first);
        let (second, third) = (fresh(), fresh());
        (direct, behind_postfix(&second, true), behind_postfix(&third, false))
    });
    let (direct, by_log, by_lmtp) = worlds.await.unwrap();
    assert!(direct.unknown.len() >= 4, "the carriers know everybody: {direct:?}");
    assert_eq!(by_log, direct, "by the log and a Maildir");
    assert_eq!(by_lmtp, direct, "over LMTP");
}
