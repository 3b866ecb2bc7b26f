//! The operator's hand on a lane's course: hold, go on, set the warm-up day, lift; with a reason, in the journal, and seen by `why`.

use std::time::Duration;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration};
use crate::support::sink::{Manner, Sink};
use crate::support::until;

const SOON: Duration = Duration::from_secs(30);
const LANE: &str = "one/default";

/// A lane on day 1 of a curve of 3, 9 and 40, with mail for more.
fn project(port: u16) -> Project {
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", port)]);
    project.write(
        "plan.yaml",
        "plan: plan\ntimezone: UTC\ndefaults: { spread: asap }\ngroups:\n  default: { curve: [3, 9, 40], rate: 20/s }\n",
    );
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", 30));
    project.hikagen(&["submit", &campaign]).expect(0);
    project
}

fn why(project: &Project, words: &str) -> String {
    until(words, SOON, || {
        let said = project.hikagen(&["why", LANE]).expect(0).out;
        said.contains(words).then_some(said)
    })
}

#[test]
fn an_operator_steers_a_lane_and_the_journal_keeps_who_and_why() {
    let sink = Sink::with(Manner::default());
    let project = project(sink.port);
    let worker = project.start("run", &["run"]);
    until("the quota of day 1", SOON, || (sink.count() >= 3).then_some(()));
    let said = project.hikagen(&["lane", "set-day", LANE, "2", "--reason", "warm from another house"]).expect(0).out;
    assert!(said.contains("warm-up day 2") && !said.contains("no worker"), "{said}");
    until("the quota of day 2", SOON, || (sink.count() >= 9).then_some(()));
    why(&project, "warm-up day 2, 9 of 9 spent");
    project.hikagen(&["lane", "hold", LANE, "--reason", "a sales week"]).expect(0);
    let held = why(&project, "is held on warm-up day 2: a sales week");
    assert!(held.contains("lane go-on one/default"), "what ends it? {held}");
    project.hikagen(&["lane", "go-on", LANE, "--reason", "the week is over"]).expect(0);
    until("it goes on", SOON, || (!project.hikagen(&["lane", "list"]).expect(0).out.contains("is held")).then_some(()));
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    assert_eq!(sink.count(), 9, "never over the day that was set");
    let journal = project.hikagen(&["journal", "--lane", LANE]).expect(0).out;
    for words in ["day-set", "warm from another house", "held", "a sales week", "hold-lifted", "the week is over"] {
        assert!(journal.contains(words), "{words}? {journal}");
    }
    project.hikagen(&["audit"]).expect(0);
}

#[test]
fn what_is_ordered_without_a_worker_is_done_when_one_starts() {
    let sink = Sink::with(Manner::default());
    let project = project(sink.port);
    let said = project.hikagen(&["lane", "set-day", LANE, "3", "--reason", "as it was before"]).expect(0).out;
    assert!(said.contains("no worker runs"), "{said}");
    let worker = project.start("run", &["run"]);
    until("all thirty leave on day 3", SOON, || (sink.count() >= 30).then_some(()));
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
}

#[test]
fn wrong_orders_are_refused_with_what_to_write() {
    let sink = Sink::with(Manner::default());
    let project = project(sink.port);
    let near = project.hikagen(&["lane", "hold", "one/defualt", "--reason", "x"]).expect(1);
    assert!(near.err.contains("did you mean \"one/default\""), "{}", near.err);
    project.hikagen(&["lane", "set-day", LANE, "0", "--reason", "x"]).expect(2);
    project.hikagen(&["lane", "hold", LANE]).expect(2);
    let blank = project.hikagen(&["lane", "lift", LANE, "--reason", "  "]).expect(2);
    assert!(blank.err.contains("tomorrow"), "{}", blank.err);
}
