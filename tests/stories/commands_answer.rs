//! The operators' commands as a process: exit codes, `--json`, and a clear word for every wrong input.

use hikagen::store::sqlite::SqliteStore;

use crate::prepared::campaign;
use crate::support::program::Project;

/// The examples with a store in which a campaign waits.
pub(crate) fn submitted() -> Project {
    let project = Project::of_examples();
    let store = SqliteStore::open(&project.path("hikagen.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(campaign(&store, "spring-sale-2026", "news", "docomo", 10));
    project
}

#[test]
fn without_a_configuration_every_command_says_what_to_do() {
    let project = Project::empty();
    for command in [&["status"][..], &["audit"], &["why", "x"], &["lane", "list"], &["run"], &["resume", "--all"]] {
        let ran = project.hikagen(command).expect(1);
        ran.says("there is no configuration hikagen.yaml").says("hikagen init").says("hikagen demo");
    }
}

#[test]
fn init_writes_files_that_work_and_overwrites_none() {
    let project = Project::empty();
    project.hikagen(&["init"]).expect(0).says("wrote hikagen.yaml, plan.yaml, campaign.yaml");
    project.hikagen(&["init"]).expect(1).says("has hikagen.yaml, plan.yaml").says("nothing was written");
    let json = project.hikagen(&["init", "new/folder", "--json"]).expect(0).json();
    assert_eq!(json["files"].as_array().unwrap().len(), 11);
    for (file, schema) in [("hikagen.yaml", "config"), ("plan.yaml", "plan"), ("campaign.yaml", "campaign")] {
        let text = project.read(&format!("new/folder/{file}"));
        let named = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        assert_eq!(named, Some(&*format!("schema/{schema}.json")), "{file}");
        let schema = project.read(&format!("new/folder/{}", named.unwrap()));
        assert!(schema.contains("http://json-schema.org/draft-07/schema#"), "{schema}");
    }
    assert!(project.path("new/folder/newsletter.html").exists());
    project.hikagen(&["status"]).expect(1).says("there is no store").says("hikagen submit");
}

#[test]
fn nonsense_on_the_command_line_is_exit_code_2() {
    let project = Project::of_examples();
    for command in [
        &["nonsense"][..],
        &["pause", "--all"],
        &["pause", "--reason", "x"],
        &["pause", "--all", "--relay", "tokyo-new", "--reason", "x"],
        &["pause", "--all", "--reason", "x", "--for", "soon"],
        &["pause", "--all", "--reason", " "],
        &["audit", "--since", "yesterday"],
        &["run", "--log", "xml"],
        &["why"],
        &["lane"],
    ] {
        let ran = project.hikagen(command).expect(2);
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{command:?}: {ran:?}");
    }
    project.hikagen(&["--help"]).expect(0).says("Usage: hikagen");
    project.hikagen(&["--version"]).expect(0).says("hikagen 0.");
}

#[test]
fn everything_pauses_with_a_reason_and_resumes() {
    let project = submitted();
    let paused = project.hikagen(&["pause", "--all", "--reason", "prices are wrong", "--json"]).expect(0).json();
    assert_eq!((&paused["paused"], &paused["reason"]), (&"everything".into(), &"prices are wrong".into()));
    assert!(paused["until"].is_null());
    project
        .hikagen(&["status"])
        .expect(0)
        .says("everything is paused by an operator")
        .says("until `hikagen resume --all`");
    project.hikagen(&["why", "spring-sale-2026"]).expect(0).says("prices are wrong");
    let status = project.hikagen(&["status", "--json"]).expect(0).json();
    assert_eq!(status["pauses"][0]["reason"], "prices are wrong");
    let lane = project.hikagen(&["lane", "resume", "tokyo-new/docomo"]).expect(0);
    lane.says("lane tokyo-new/docomo: was not paused").says("still in force: everything is paused");
    assert_eq!(project.hikagen(&["resume", "--all", "--json"]).expect(0).json()["ended"], 1);
    project.hikagen(&["resume", "--all"]).expect(0).says("everything: was not paused");
}

#[test]
fn relays_and_lanes_pause_for_a_time() {
    let project = submitted();
    project
        .hikagen(&["pause", "--relay", "tokyo-warm", "--reason", "new IP", "--for", "2h"])
        .expect(0)
        .says("paused until 2");
    project.hikagen(&["lane", "pause", "tokyo-new/au", "--reason", "asked by au"]).expect(0).says("until resumed");
    let status = project.hikagen(&["status"]).expect(0);
    status.says("relay tokyo-warm is paused by an operator").says("tokyo-new/au").says("paused, until resumed");
    project.hikagen(&["why", "tokyo-new/au"]).expect(0).says("asked by au; until `hikagen lane resume tokyo-new/au`");
    project.hikagen(&["lane", "resume", "tokyo-new/au"]).expect(0).says("lane tokyo-new/au: resumed");
    project.hikagen(&["resume", "--relay", "tokyo-warm"]).expect(0).says("relay tokyo-warm: resumed");
}

#[test]
fn unknown_names_are_refused_with_what_is_near() {
    let project = submitted();
    let near = [
        (&["lane", "pause", "tokyo-new/docmo", "--reason", "x"][..], "did you mean \"tokyo-new/docomo\"?"),
        (&["lane", "resume", "docomo"], "a lane is relay/bucket"),
        (&["pause", "--relay", "tokyo-nwe", "--reason", "x"], "did you mean \"tokyo-new\"?"),
        (&["why", "spring-sael-2026"], "did you mean \"spring-sale-2026\"?"),
        (&["why", "m424242"], "there is no message m424242"),
        (&["why", "not@an@address"], "not@an@address: "),
    ];
    for (command, words) in near {
        project.hikagen(command).expect(1).says(words);
    }
}

#[test]
fn a_fresh_campaign_is_explained_listed_and_audited() {
    let project = submitted();
    project.hikagen(&["why", "spring-sale-2026"]).expect(0).says("no worker runs for relay tokyo-new");
    let lanes = project.hikagen(&["lane", "list", "--json"]).expect(0).json();
    assert!(lanes.as_array().unwrap().iter().any(|lane| lane["lane"] == "tokyo-new/docomo"));
    let every = project.hikagen(&["lane", "list", "--all", "--json"]).expect(0).json();
    assert!(every.as_array().unwrap().len() > lanes.as_array().unwrap().len());
    project.hikagen(&["audit"]).expect(0).says("Every promise was kept");
    assert!(
        project.hikagen(&["audit", "--since", "2026-01-01", "--json"]).expect(0).json()["violations"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_backup_is_a_store_and_overwrites_nothing() {
    let project = submitted();
    project.hikagen(&["store", "backup", "copy.db"]).expect(0).says("was copied to copy.db");
    project.hikagen(&["store", "backup", "copy.db"]).expect(1).says("copy.db");
    assert!(project.path("copy.db").metadata().unwrap().len() > 0);
}
