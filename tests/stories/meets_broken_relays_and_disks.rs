//! Broken worlds, with the real program: always a clear word, never a loss, and mail flows once the world is mended.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hikagen::core::campaign::MessageState;

use crate::support::certificates::Authority;
use crate::support::postfix::{Entry, Postfix};
use crate::support::program::{Project, Ran, binary};
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::{Manner, Sink};
use crate::support::{free_port, insight, until};

const MESSAGES: usize = 20;
const SOON: Duration = Duration::from_secs(30);
const LOGIN: &str = "auth: { user: apikey, password: { env: RELAY_PASSWORD } }";
const QUICK: &str = "timeouts: { connect: 1s, command: 1s, data: 1s, end_of_data: 1s }";

/// A project with one relay and a campaign of twenty messages.
fn project(relay: RelayEntry) -> Project {
    let project = Project::empty();
    configure(&project, relay);
    write_plan(&project, "plan.yaml", &[("default", 1000, "100/s")]);
    project
}

fn configure(project: &Project, relay: RelayEntry) {
    write_configuration(project, &[relay]);
}

fn submit(project: &Project) {
    let campaign = write_campaign(project, "spring", addresses("example.co.jp", MESSAGES));
    project.hikagen(&["submit", &campaign]).expect(0);
}

/// How many messages are in a state.
fn count(project: &Project, state: MessageState) -> usize {
    insight::count(&project.path("hikagen.db"), "spring", state)
}

/// Nothing has left, nothing is lost: every message waits.
fn all_wait(project: &Project) {
    let waiting = count(project, MessageState::Queued) + count(project, MessageState::Deferred);
    assert_eq!(waiting, MESSAGES);
}

/// The world is mended: everything leaves, once.
fn all_leave(project: &Project, sink: &Sink) {
    project.hikagen(&["resume", "--relay", "one"]).expect(0);
    let ran = project.start("after", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!(count(project, MessageState::Accepted), MESSAGES, "{}", ran.out);
    until("all messages at the sink", SOON, || (sink.count() >= MESSAGES).then_some(()));
    assert_eq!(sink.count(), MESSAGES);
    project.hikagen(&["audit"]).expect(0);
}

/// Runs the worker until it says `word`, then ends it in order.
fn run_until_it_says(project: &Project, word: &str) -> Ran {
    let worker = project.start("run", &["run"]);
    worker.until_it_says(word, SOON);
    worker.signal("TERM");
    worker.wait(SOON).expect(0)
}

#[test]
fn a_wrong_password_stops_the_relay_with_a_word_and_loses_nothing() {
    let authority = Authority::new();
    let sink = Sink::open();
    let login = Entry::StarttlsAndLogin { user: "apikey", password: "right" };
    let postfix = Postfix::start(&login, &authority.server(), sink.port);
    let relay = RelayEntry::new("one", postfix.port).with(&["tls: starttls", "ca: ca.pem", LOGIN]);
    let mut project = project(relay);
    authority.write(project.folder());
    project.set("RELAY_PASSWORD", "wrong");
    submit(&project);
    run_until_it_says(&project, "535");
    all_wait(&project);
    project.hikagen(&["why", "one/default"]).expect(0).says("login");
    project.set("RELAY_PASSWORD", "right");
    all_leave(&project, &sink);
}

#[test]
fn an_expired_certificate_is_named_and_nothing_is_handed_over() {
    let authority = Authority::new();
    let sink = Sink::open();
    let postfix = Postfix::start(&Entry::ImplicitTls, &authority.expired(), sink.port);
    let relay = |port| RelayEntry::new("one", port).with(&["tls: implicit", "ca: ca.pem"]);
    let project = project(relay(postfix.port));
    authority.write(project.folder());
    submit(&project);
    run_until_it_says(&project, "expired");
    all_wait(&project);
    let mended = Postfix::start(&Entry::ImplicitTls, &authority.server(), sink.port);
    configure(&project, relay(mended.port));
    all_leave(&project, &sink);
}

#[test]
fn a_certificate_of_another_host_or_of_a_stranger_is_refused() {
    let authority = Authority::new();
    let sink = Sink::open();
    for certificate in [authority.for_another_host(), Authority::new().server()] {
        let postfix = Postfix::start(&Entry::ImplicitTls, &certificate, sink.port);
        let project = project(RelayEntry::new("one", postfix.port).with(&["tls: implicit", "ca: ca.pem"]));
        authority.write(project.folder());
        submit(&project);
        run_until_it_says(&project, "certificate");
        all_wait(&project);
        assert_eq!(sink.count(), 0);
    }
}

#[test]
fn a_relay_that_is_down_is_named_and_the_mail_waits_for_it() {
    let port = free_port();
    let project = project(RelayEntry::new("one", port));
    submit(&project);
    run_until_it_says(&project, "refused");
    all_wait(&project);
    let sink = Sink::on(port, Manner::default());
    all_leave(&project, &sink);
}

#[test]
fn a_relay_that_accepts_and_never_answers_is_given_up_in_bounded_time() {
    let port = free_port();
    let silent = Sink::on(port, Manner { silent: true, ..Manner::default() });
    let project = project(RelayEntry::new("one", port).with(&[QUICK]));
    submit(&project);
    run_until_it_says(&project, "no answer in time");
    all_wait(&project);
    drop(silent);
    let sink = Sink::on(port, Manner::default());
    all_leave(&project, &sink);
}

#[test]
fn an_answer_that_never_comes_after_the_final_dot_is_retried_once_and_then_left_to_the_operator() {
    let mute = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&mute);
    let sink = Sink::with(Manner {
        answers: Some(Arc::new(move |command: &str| {
            while command == "." && seen.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            None
        })),
        ..Manner::default()
    });
    let project = project(RelayEntry::new("one", sink.port).with(&[QUICK]));
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", 2));
    project.hikagen(&["submit", &campaign]).expect(0);
    let worker = project.start("run", &["run"]);
    until("both uncertain", SOON, || (count(&project, MessageState::Deferred) == 2).then_some(()));
    // A lost connection makes the relay pause for a minute; the operator does not want to wait.
    worker.until_it_says("paused until", SOON);
    // Each lost connection pauses it once more, and one message may have waited behind the other on the same connection.
    until("both parked", SOON, || {
        project.hikagen(&["resume", "--relay", "one"]).expect(0);
        (count(&project, MessageState::Parked) == 2).then_some(())
    });
    worker.signal("TERM");
    worker.wait(SOON).expect(0);

    project.hikagen(&["why", "user0@example.co.jp"]).expect(0).says("settle");
    let parked = insight::messages(&project.path("hikagen.db"), "spring", MessageState::Parked);
    let ids: Vec<String> = parked.iter().map(|message| message.id.to_string()).collect();
    assert_eq!(ids.len(), 2);
    project.hikagen(&["message", "settle", &ids[0], "--accepted"]).expect(0);
    project.hikagen(&["message", "settle", &ids[1], "--retry"]).expect(0);
    mute.store(false, Ordering::SeqCst);
    project.hikagen(&["resume", "--relay", "one"]).expect(0);
    project.start("after", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!(count(&project, MessageState::Accepted), 2);
    project.hikagen(&["audit"]).expect(0);
}

#[test]
fn a_full_disk_stops_the_sending_with_a_word_and_loses_nothing() {
    let sink = Sink::with(Manner::default());
    let project = project(RelayEntry::new("one", sink.port));
    let list = addresses("example.co.jp", 500);
    let campaign = write_campaign(&project, "spring", list.clone());
    project.hikagen(&["submit", &campaign]).expect(0);
    // A limit on the size of files stands in for the disk: the store's log of changes may not grow past 400 KiB.
    let mut worker = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 800; exec \"$0\" run 2>&1", binary()])
        .current_dir(project.folder())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(worker.stdout.take().unwrap()).lines().map(Result::unwrap);
    let word = said.find(|line| line.contains("the store cannot be written"));
    assert!(word.is_some(), "it ended without a word on the store");
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(sink.count() < list.len(), "the disk was large enough");

    let in_the_air = insight::in_the_air(&project.path("hikagen.db"));
    project.hikagen(&["resume", "--relay", "one"]).expect(0);
    project.start("after", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!(count(&project, MessageState::Accepted), 500);
    let arrived: BTreeSet<String> = sink.arrivals().into_iter().flat_map(|arrival| arrival.to).collect();
    assert_eq!(arrived.len(), list.len());
    assert!(sink.count() - list.len() <= in_the_air, "{} arrivals, {in_the_air} in the air", sink.count());
    project.hikagen(&["audit"]).expect(0);
}

#[test]
fn a_disk_below_its_floor_holds_everything_and_says_so() {
    let sink = Sink::with(Manner::default());
    let project = project(RelayEntry::new("one", sink.port));
    submit(&project);
    let mended = project.read("hikagen.yaml");
    project.write("hikagen.yaml", mended.replace("disk_floor: 1MiB", "disk_floor: 1_000_000GB"));
    run_until_it_says(&project, "disk");
    all_wait(&project);
    project.write("hikagen.yaml", mended);
    all_leave(&project, &sink);
}

#[test]
fn a_read_only_database_is_refused_with_a_word() {
    let sink = Sink::with(Manner::default());
    let project = project(RelayEntry::new("one", sink.port));
    submit(&project);
    // Root may write anywhere, so the worker runs as nobody, from a copy that nobody can reach.
    let copy = project.path("hikagen");
    // Another process copies: a file that this one has open for writing could be inherited by a child, and then not be run.
    assert!(Command::new("cp").arg(binary()).arg(&copy).status().unwrap().success());
    for (path, mode) in
        [(copy.clone(), 0o755), (project.folder().to_owned(), 0o755), (project.path("hikagen.db"), 0o644)]
    {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let output = Command::new(&copy).arg("run").current_dir(project.folder()).uid(65_534).gid(65_534).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("cannot be written"), "{said}");
    all_wait(&project);
    all_leave(&project, &sink);
}
