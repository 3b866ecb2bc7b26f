//! `run` as a service: ready, reload, watchdog, end; and the orders that reach it through the store.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::program::{Project, Running};
use crate::support::until;

const SOON: Duration = Duration::from_secs(20);

/// A service manager's socket, and the variable that names it.
fn manager(project: &mut Project) -> UnixDatagram {
    let path = project.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    project.set("NOTIFY_SOCKET", path.to_str().unwrap());
    socket
}

/// Reads until something is said that begins with `words`.
#[track_caller]
fn hear(socket: &UnixDatagram, words: &str) -> String {
    let mut buffer = [0; 4_096];
    let mut heard = Vec::new();
    loop {
        let n = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{words} was not said ({e}) but {heard:?}"));
        let said = String::from_utf8_lossy(&buffer[..n]).into_owned();
        if said.starts_with(words) {
            return said;
        }
        heard.push(said);
    }
}

fn worker(project: &Project) -> Running {
    project.start("run", &["run"])
}

#[test]
fn it_says_when_it_is_ready_when_it_reloads_that_it_lives_and_when_it_ends() {
    let mut project = Project::of_examples();
    let socket = manager(&mut project);
    project.set("WATCHDOG_USEC", "200000");
    let running = worker(&project);
    hear(&socket, "READY=1");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "WATCHDOG=1");
    running.signal("HUP");
    assert!(hear(&socket, "RELOADING=1").contains("MONOTONIC_USEC="));
    hear(&socket, "READY=1");
    running.until_it_says("hikagen.yaml is in force", SOON);
    running.signal("TERM");
    hear(&socket, "STOPPING=1");
    running.wait(SOON).expect(0);
}

#[test]
fn a_broken_file_is_refused_with_all_its_problems_and_the_old_one_stays_in_force() {
    let mut project = Project::of_examples();
    let socket = manager(&mut project);
    let told = project.path("told.json");
    let shown = told.display();
    let more = format!("on_event: [/bin/sh, -c, 'cat >> {shown}']\n");
    let good = project.read("plan.yaml");
    project.write("hikagen.yaml", project.read("hikagen.yaml") + &more);
    let running = worker(&project);
    hear(&socket, "READY=1");
    project.write("plan.yaml", good.replace("rate: 60/min", "rate: 0/min").replace("scale: 80%", "scael: 80%"));
    running.signal("HUP");
    running.until_it_says("are refused, the old ones stay in force", SOON);
    for words in ["0/min", "scael", "2 problems"] {
        running.until_it_says(words, SOON);
    }
    let text = until("the event", SOON, || std::fs::read_to_string(&told).ok().filter(|t| t.ends_with('\n')));
    let event = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let event = event.into_iter().find(|e| e["kind"] == "reload-refused").unwrap();
    assert!(event["text"].as_str().unwrap().contains("scael"), "{event}");
    project.write("plan.yaml", good);
    project.hikagen(&["status"]).expect(0).says("reload-refused").says("worker ");
    running.signal("HUP");
    running.until_it_says("hikagen.yaml is in force", SOON);
    running.signal("TERM");
    running.wait(SOON).expect(0);
}

#[test]
fn the_store_cannot_be_changed_under_a_running_worker() {
    let mut project = Project::of_examples();
    let socket = manager(&mut project);
    let running = worker(&project);
    hear(&socket, "READY=1");
    project.write("hikagen.yaml", project.read("hikagen.yaml").replace("store: hikagen.db", "store: other.db"));
    running.signal("HUP");
    running.until_it_says("the store cannot change from", SOON);
    running.signal("INT");
    running.wait(SOON).expect(0);
    assert!(!project.path("other.db").exists());
}

#[test]
fn with_nothing_to_do_it_ends_when_asked_to() {
    let project = Project::of_examples();
    let log = project.hikagen(&["run", "--until-idle", "--log", "json"]).expect(0);
    for line in log.err.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(object["level"].is_string() && object["timestamp"].is_string(), "{line}");
    }
    assert!(log.err.contains("tokyo-new") && log.out.is_empty(), "{log:?}");
}
