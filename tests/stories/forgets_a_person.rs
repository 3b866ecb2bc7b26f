//! A person wishes to be forgotten: nothing of them is found any more, in any answer or in the file, and no list brings them back.

use std::path::Path;
use std::time::Duration;

use hikagen::core::campaign::MessageState;
use serde_json::Value;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::Sink;
use crate::support::{insight, until};

const PATIENCE: Duration = Duration::from_secs(60);
const PERSON: &str = "hanako.yamada@docomo.ne.jp";
/// So that pages of the file are filled, divided and moved before anybody is forgotten.
const CROWD: usize = 600;

/// A campaign of a crowd, with the person in its midst, as their mailing list writes them.
fn submit(project: &Project, name: &str, person: &str) {
    let mut list = addresses("docomo.ne.jp", CROWD);
    list.insert(CROWD / 2, person.to_owned());
    let file = write_campaign(project, name, list);
    project.hikagen(&["submit", &file]).expect(0);
}

/// Sends until so many of a campaign are with the relay.
fn send(project: &Project, campaign: &str, accepted: usize) {
    let store = project.path("hikagen.db");
    let worker = project.start("run", &["run"]);
    until("all is sent", PATIENCE, || {
        (insight::count(&store, campaign, MessageState::Accepted) == accepted).then_some(())
    });
    worker.signal("TERM");
    worker.wait(PATIENCE).expect(0);
}

/// Whether a file of the store has the address still, in whatever case.
fn has(file: &Path, address: &str) -> bool {
    let bytes = std::fs::read(file).unwrap_or_default().to_ascii_lowercase();
    bytes.windows(address.len()).any(|window| window == address.as_bytes())
}

fn listed(project: &Project, campaign: &str) -> Vec<String> {
    let rows =
        project.hikagen(&["message", "list", "--campaign", campaign, "--limit", "10000", "--json"]).expect(0).json();
    let text = |row: &Value| row["address"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(text).collect()
}

fn project(sink: &Sink) -> Project {
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port)]);
    write_plan(&project, "plan.yaml", &[("docomo", 10_000, "1000/s"), ("default", 10, "1/s")]);
    project
}

#[test]
fn nothing_of_a_person_is_found_any_more_and_no_list_brings_them_back() {
    let sink = Sink::open();
    let project = project(&sink);
    submit(&project, "spring", "Hanako.Yamada@docomo.ne.jp");
    project.hikagen(&["suppress", "add", "somebody@docomo.ne.jp"]).expect(0);
    send(&project, "spring", CROWD + 1);
    // And what waits to be sent.
    submit(&project, "summer", PERSON);
    project.hikagen(&["why", PERSON]).expect(0).says("summer");
    assert!(listed(&project, "spring").iter().any(|address| address.eq_ignore_ascii_case(PERSON)));
    let store = project.path("hikagen.db");
    let files = ["hikagen.db", "hikagen.db-wal"].map(|name| project.path(name));
    assert!(files.iter().any(|file| has(file, PERSON)));

    let told = project.hikagen(&["forget", PERSON, "--yes"]).expect(0);
    told.says("is forgotten: 2 messages emptied (1 of them waited and are cancelled)");

    for file in &files {
        assert!(!has(file, PERSON), "{} has the address still", file.display());
    }
    let why = project.hikagen(&["why", PERSON]);
    assert!(!format!("{}{}", why.out, why.err).contains("spring"), "{}{}", why.out, why.err);
    for campaign in ["spring", "summer"] {
        let all = listed(&project, campaign);
        assert_eq!(all.len(), CROWD + 1, "the counts stay");
        assert!(!all.iter().any(|address| address.to_lowercase().contains("hanako")), "{campaign}");
        assert_eq!(all.iter().filter(|address| address.starts_with("sha256:")).count(), 1);
        let shown = project.hikagen(&["campaign", "export", campaign]).expect(0);
        assert!(!shown.out.to_lowercase().contains("hanako"));
    }
    assert_eq!(insight::count(&store, "spring", MessageState::Accepted), CROWD + 1);
    assert_eq!(insight::count(&store, "summer", MessageState::Cancelled), 1);
    project.hikagen(&["store", "check"]).expect(0);
    // A second wish finds nothing, and says so.
    project.hikagen(&["forget", PERSON, "--yes"]).expect(0).says("0 messages emptied");

    // However a later list writes the address.
    submit(&project, "autumn", "HANAKO.YAMADA@DOCOMO.NE.JP");
    assert_eq!(insight::count(&store, "autumn", MessageState::Suppressed), 1);
    send(&project, "autumn", CROWD);
    let arrived = sink.arrivals().iter().filter(|arrival| arrival.to[0].eq_ignore_ascii_case(PERSON)).count();
    assert_eq!(arrived, 1, "only what had left before");
}

#[test]
fn a_wish_that_cannot_be_read_or_is_not_confirmed_changes_nothing() {
    let sink = Sink::open();
    let project = project(&sink);
    project.hikagen(&["forget", PERSON, "--yes"]).expect(1).says("hikagen.db");
    submit(&project, "spring", PERSON);
    project.hikagen(&["forget"]).expect(2).says("ADDRESS");
    project.hikagen(&["forget", "no address", "--yes"]).expect(1).says("no address");
    project.hikagen(&["forget", "hanako.yamada", "--yes"]).expect(1).says("hanako.yamada");
    // Without a terminal nobody can be asked.
    project.hikagen(&["forget", PERSON]).expect(2).says("--yes");
    assert_eq!(insight::count(&project.path("hikagen.db"), "spring", MessageState::Queued), CROWD + 1);
    project.hikagen(&["why", PERSON]).expect(0).says("spring");
    project.hikagen(&["forget", "nobody@docomo.ne.jp", "--yes"]).expect(0).says("0 messages emptied");
}

/// A store that has grown has copies of rows in room that it gave up: `forget` tells of them, and a compaction wipes them.
#[test]
fn a_copy_in_the_free_room_of_the_file_is_told_and_wiped() {
    let sink = Sink::open();
    let project = project(&sink);
    let mut dice: u64 = 7;
    let mut people: Vec<String> = (0..6_000)
        .map(|n| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let length = 4 + usize::try_from(dice >> 60).unwrap();
            format!("{}.{n}@docomo.ne.jp", &format!("{:0>20}", dice >> 3)[..length])
        })
        .collect();
    for campaign in ["spring", "summer"] {
        let file = write_campaign(&project, campaign, people.clone());
        project.hikagen(&["submit", &file]).expect(0);
        people.rotate_left(1_234);
        people.reverse();
    }
    let file = project.path("hikagen.db");
    let forgotten: Vec<&String> = people.iter().step_by(300).collect();
    for person in &forgotten {
        let answer = project.hikagen(&["forget", person, "--yes", "--json"]).expect(0);
        let left = has(&file, person);
        assert_eq!(answer.json()["removed"]["copy_left"], left, "{person}");
        assert_eq!(answer.err.contains("store compact"), left, "{person}: {}", answer.err);
    }
    project.hikagen(&["store", "compact"]).expect(0);
    for person in &forgotten {
        assert!(!has(&file, person), "{person}");
    }
}
