//! A paused, throttled or dead lane, or a slow relay, does not slow another: the same run with and without it.

use std::sync::Arc;
use std::time::Duration;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::{Manner, Sink};
use crate::support::{dawdle, insight, until};
use crate::{alone, used};

const RATE: usize = 100;
const MESSAGES: usize = 500;

/// What goes on beside the lane that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The relay refuses the other lane's mail for now, each and every one.
    Throttled,
    /// An operator has paused the other lane.
    Paused,
    /// Another relay, with a campaign of its own, takes connections and never answers.
    DeadRelay,
    /// The other lane's mail takes a second each.
    Slow,
}

/// The share of its rate that lane `one/default` uses while it has mail.
fn share(beside: Beside) -> f64 {
    let sink = Sink::with(Manner {
        answers: Some(Arc::new(move |command: &str| {
            let docomo = command.starts_with("RCPT") && command.contains("docomo");
            if docomo && beside == Beside::Slow {
                dawdle(Duration::from_secs(1));
            }
            (docomo && beside == Beside::Throttled).then(|| "451 4.3.0 try again later".to_owned())
        })),
        ..Manner::default()
    });
    let dead = Sink::with(Manner { silent: true, ..Manner::default() });
    let project = Project::empty();
    let one = RelayEntry::new("one", sink.port).connections(8).with(&["answers: carrier"]);
    let other = RelayEntry::new("other", dead.port).with(&["timeouts: { connect: 1s, command: 2s }"]);
    write_configuration(&project, &[one, other]);
    write_plan(&project, "plan.yaml", &[("docomo", 100_000, "50/s"), ("default", 100_000, &format!("{RATE}/s"))]);
    // docomo comes first; a carrier's lane gets two connections, as a shipped plan would have it.
    project.write("plan.yaml", project.read("plan.yaml").replacen("connections: 100", "connections: 2", 1));
    let mut list = addresses("example.co.jp", MESSAGES);
    if beside == Beside::DeadRelay {
        let campaign = write_campaign(&project, "elsewhere", addresses("example.co.jp", MESSAGES));
        project.write(&campaign, project.read(&campaign).replace("pool: news", "pool: other"));
        project.hikagen(&["submit", &campaign]).expect(0);
    } else if beside != Beside::Nothing {
        list.extend(addresses("docomo.ne.jp", MESSAGES));
    }
    let campaign = write_campaign(&project, "spring", list);
    project.write(&campaign, project.read(&campaign).replace("pool: news", "pool: one"));
    project.hikagen(&["submit", &campaign]).expect(0);
    if beside == Beside::Paused {
        project.hikagen(&["lane", "pause", "one/docomo", "--reason", "test"]).expect(0);
    }
    let worker = project.start("run", &["run"]);
    until("the lane's mail", Duration::from_secs(60), || {
        let arrived = sink.arrivals().iter().filter(|a| a.to[0].ends_with("example.co.jp")).count();
        (arrived == MESSAGES).then_some(())
    });
    worker.signal("TERM");
    worker.wait(Duration::from_secs(60)).expect(0);
    let times = insight::releases(&project.path("hikagen.db"), "one/default");
    assert_eq!(times.len(), MESSAGES);
    used(&times, RATE)
}

#[test]
fn a_lane_keeps_its_pace_whatever_happens_to_another() {
    let _alone = alone();
    for beside in [Beside::Nothing, Beside::Throttled, Beside::Paused, Beside::DeadRelay, Beside::Slow] {
        let mut shares = Vec::new();
        for _ in 0..2 {
            shares.push(share(beside));
            if shares[shares.len() - 1] >= 0.99 {
                break;
            }
        }
        eprintln!("beside {beside:?}: used {shares:?} of the rate");
        assert!(shares.iter().any(|share| *share >= 0.99), "{beside:?}: {shares:?}");
    }
}
