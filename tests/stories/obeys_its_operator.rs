//! Signals, pauses, resubmissions, cancelling: the operator's hand on a running worker.

use std::collections::BTreeSet;
use std::time::Duration;

use hikagen::clock::{Clock, SystemClock};
use hikagen::core::campaign::MessageState;

use crate::support::program::{Project, Running};
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::{Manner, Sink};
use crate::support::{insight, until};

const SOON: Duration = Duration::from_secs(30);

/// A project with one relay, one lane at this rate, and so many messages waiting.
fn project(sink: &Sink, rate: &str, messages: usize) -> Project {
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port)]);
    write_plan(&project, "plan.yaml", &[("default", 100_000, rate)]);
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", messages));
    project.hikagen(&["submit", &campaign]).expect(0);
    project
}

fn count(project: &Project, state: MessageState) -> usize {
    insight::count(&project.path("hikagen.db"), "spring", state)
}

fn until_arrived(sink: &Sink, n: usize) {
    until(&format!("{n} messages"), SOON, || (sink.count() >= n).then_some(()));
}

fn start(project: &Project) -> Running {
    project.start("run", &["run"])
}

#[test]
fn a_term_signal_drains_what_is_in_the_air_and_leaves_the_rest_waiting() {
    let sink = Sink::with(Manner { delay: Duration::from_millis(300), ..Manner::default() });
    let project = project(&sink, "100/s", 2_000);
    let worker = start(&project);
    until_arrived(&sink, 10);
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    let accepted = count(&project, MessageState::Accepted);
    assert_eq!(accepted, sink.count(), "what arrived was settled");
    assert_eq!(count(&project, MessageState::Queued), 2_000 - accepted);
    assert_eq!(
        count(&project, MessageState::Claimed) + count(&project, MessageState::Deferred),
        0,
        "nothing is left in the air"
    );
}

#[test]
fn a_broken_file_is_refused_on_reload_and_the_old_plan_stays() {
    let sink = Sink::with(Manner::default());
    let project = project(&sink, "50/s", 2_000);
    let worker = start(&project);
    until_arrived(&sink, 10);
    let plan = project.read("plan.yaml");
    project.write("plan.yaml", plan.replace("curve", "crve"));
    worker.signal("HUP");
    worker.until_it_says("crve", SOON);
    let before = sink.count();
    until_arrived(&sink, before + 50);
    project.write("plan.yaml", plan.replace("50/s", "500/s"));
    worker.signal("HUP");
    until_arrived(&sink, 2_000);
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    assert_eq!(count(&project, MessageState::Accepted), 2_000);
    project.hikagen(&["audit"]).expect(0);
}

#[test]
fn a_pause_of_everything_holds_within_a_second_and_over_a_restart() {
    let sink = Sink::with(Manner::default());
    let project = project(&sink, "100/s", 3_000);
    let worker = start(&project);
    until_arrived(&sink, 100);
    let ordered = SystemClock.now();
    project.hikagen(&["pause", "--all", "--reason", "complaints"]).expect(0);
    worker.until_it_says("complaints", SOON);
    project.hikagen(&["why", "one/default"]).expect(0).says("complaints");
    worker.kill();

    let restarted = project.start("restarted", &["run"]);
    restarted.until_it_says("complaints", SOON);
    restarted.signal("TERM");
    restarted.wait(SOON).expect(0);
    let last = *insight::releases(&project.path("hikagen.db"), "one/default").last().unwrap();
    assert!(last < ordered.as_microsecond() + 1_000_000, "left {} us after the order", last - ordered.as_microsecond());

    project.hikagen(&["resume", "--all"]).expect(0);
    let before = sink.count();
    let resumed = start(&project);
    until_arrived(&sink, before + 100);
    resumed.signal("TERM");
    resumed.wait(SOON).expect(0);
}

#[test]
fn submitting_twice_sends_once() {
    let sink = Sink::with(Manner::default());
    // Slow enough that the campaign is not over when the second list comes in.
    let project = project(&sink, "40/s", 300);
    let worker = start(&project);
    until_arrived(&sink, 20);
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", 320));
    project.hikagen(&["submit", &campaign]).expect(0);
    until_arrived(&sink, 320);
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    let to: BTreeSet<String> = sink.arrivals().into_iter().flat_map(|arrival| arrival.to).collect();
    assert_eq!((to.len(), sink.count()), (320, 320));
    assert_eq!(count(&project, MessageState::Accepted), 320);
}

#[test]
fn cancelling_half_way_stops_and_exports_what_was_sent_and_what_was_not() {
    let sink = Sink::with(Manner::default());
    let project = project(&sink, "100/s", 1_000);
    let worker = start(&project);
    until_arrived(&sink, 50);
    project.hikagen(&["campaign", "cancel", "spring"]).expect(0);
    until("the campaign's end", SOON, || {
        (count(&project, MessageState::Cancelled) + count(&project, MessageState::Accepted) == 1_000).then_some(())
    });
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    project.hikagen(&["campaign", "export", "spring", "--state", "sent", "--out", "sent.csv"]).expect(0);
    project.hikagen(&["campaign", "export", "spring", "--state", "unsent", "--out", "unsent.csv"]).expect(0);
    let addresses = |file: &str| -> BTreeSet<String> {
        let text = project.read(file);
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let column = lines.next().unwrap().iter().position(|name| *name == "address").expect("a column \"address\"");
        lines.map(|line| line[column].to_owned()).collect()
    };
    let (sent, unsent) = (addresses("sent.csv"), addresses("unsent.csv"));
    let arrived: BTreeSet<String> = sink.arrivals().into_iter().flat_map(|arrival| arrival.to).collect();
    assert_eq!(sent, arrived);
    assert_eq!(sent.len() + unsent.len(), 1_000);
    assert!(sent.is_disjoint(&unsent));
}

#[test]
fn a_submit_that_was_killed_is_finished_by_submitting_again() {
    let sink = Sink::with(Manner::default());
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port)]);
    write_plan(&project, "plan.yaml", &[("default", 1_000_000, "1000/s")]);
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", 100_000));
    let submitting = project.start("submit", &["submit", &campaign]);
    until("a part of the list in the store", SOON, || {
        (project.path("hikagen.db").exists() && count(&project, MessageState::Queued) > 0).then_some(())
    });
    submitting.kill();
    let status = project.hikagen(&["status", "--json"]).expect(0).json();
    assert_eq!(status["campaigns"][0]["state"], "loading", "it was killed too late to tell anything");
    let worker = start(&project);
    project.hikagen(&["submit", &campaign]).expect(0);
    // One look: the worker moves messages between two.
    assert_eq!(insight::states(&project.path("hikagen.db"), "spring").values().sum::<usize>(), 100_000);
    until_arrived(&sink, 500);
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    let to: BTreeSet<String> = sink.arrivals().into_iter().flat_map(|arrival| arrival.to).collect();
    assert_eq!(to.len(), sink.count());
}
