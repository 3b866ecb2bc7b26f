//! Plan revisions before they are applied, a plan from a later day on, and the journal of decisions.

use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::{Clock as _, PacedClock, SystemClock};
use hikagen::core::journal::Kind;
use hikagen::store::JournalFilter;
use jiff::ToSpan as _;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan, zone_at_noon};
use crate::support::sink::Sink;
use crate::support::worker::{Working, configuration};

/// A relay with a plan that was applied, and 30 of 40 messages handed over.
fn applied() -> (Sink, Project) {
    let sink = Sink::open();
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port)]);
    write_plan(&project, "plan.yaml", &[("default", 100, "100/s"), ("docomo", 100, "100/s")]);
    project.hikagen(&["plan", "diff"]).expect(0).says("no plan was applied yet");
    let campaign = write_campaign(&project, "spring", addresses("docomo.ne.jp", 30));
    project.hikagen(&["submit", &campaign]).expect(0);
    project.hikagen(&["run", "--until-idle"]).expect(0);
    (sink, project)
}

#[test]
fn a_plan_shows_what_it_changes_before_it_is_applied() {
    let (sink, project) = applied();
    let plan = project.read("plan.yaml");
    project.hikagen(&["plan", "diff"]).expect(0).says("Relay one: nothing changes");

    project.write(
        "plan.yaml",
        plan.replace("docomo: { curve: [100], rate: 100/s", "docomo: { curve: [20, 40], rate: 7/s"),
    );
    let shown = project.hikagen(&["plan", "diff"]).expect(0);
    shown
        .says("today: quota 100 -> 20; 30 spent, 0 left (before: 70)")
        .says("rate: 100/s -> 7/s")
        .says("in force since");
    let data = project.hikagen(&["plan", "diff", "--json", "--relay", "one"]).expect(0).json();
    let lane = &data[0]["lanes"][0];
    assert_eq!((&data[0]["changes"], &lane["buckets"][0]), (&true.into(), &"docomo".into()), "{data:#}");
    assert_eq!((lane["days"].as_array().unwrap().len(), &lane["days"][0]["after"]), (13, &40.into()), "{data:#}");

    // Showing it applies nothing; the next run does, and what was spent stays spent.
    project.hikagen(&["plan", "diff"]).expect(0).says("today: quota 100 -> 20");
    project.hikagen(&["run", "--until-idle"]).expect(0);
    project.hikagen(&["plan", "diff"]).expect(0).says("nothing changes");
    assert_eq!(sink.count(), 30);
    let lanes = project.hikagen(&["lane", "list", "--json"]).expect(0).json();
    let docomo = lanes.as_array().unwrap().iter().find(|lane| lane["lane"] == "one/docomo").unwrap();
    assert_eq!((&docomo["quota"], &docomo["spent"]), (&20.into(), &30.into()));
    let journal = project.hikagen(&["journal", "--kind", "plan-applied", "--long"]).expect(0);
    journal
        .says("no plan -> plan plan")
        .says("quotas of docomo changed")
        .says("curve: [100] -> [20, 40]; rate: 100/s -> 7/s");
}

#[test]
fn two_files_are_compared_without_any_configuration() {
    let project = Project::empty();
    write_plan(&project, "old.yaml", &[("default", 100, "1/s")]);
    write_plan(&project, "new.yaml", &[("default", 50, "1/s")]);
    project.hikagen(&["plan", "diff", "old.yaml", "new.yaml"]).expect(0).says("plan: old -> new").says("BEFORE");
    project.hikagen(&["plan", "diff", "old.yaml", "old.yaml"]).expect(0).says("nothing changes");
    project.hikagen(&["plan", "diff", "old.yaml", "none.yaml"]).expect(1).says("there is no such file");
    project.hikagen(&["plan", "diff", "old.yaml", "new.yaml", "--relay", "one"]).expect(2);
    project.write("broken.yaml", "plan: p\n");
    project.hikagen(&["plan", "diff", "old.yaml", "broken.yaml"]).expect(1).says("\"groups\" is missing");
}

#[test]
fn a_next_plan_is_shown_beforehand_and_in_force_from_its_day_on() {
    let (sink, project) = applied();
    write_plan(&project, "next.yaml", &[("default", 100, "100/s"), ("docomo", 300, "100/s")]);
    let zone = jiff::tz::TimeZone::get(&zone_at_noon()).unwrap();
    let today = SystemClock.now().to_zoned(zone).date();
    let with = |from: jiff::civil::Date| {
        let next = format!("next_plan: {{ plan: next.yaml, from: {from} }}");
        write_configuration(&project, &[RelayEntry::new("one", sink.port).with(&[&next])]);
    };
    with(today.checked_add(3.days()).unwrap());
    let later = project.hikagen(&["plan", "diff"]).expect(0);
    later.says("Relay one: nothing changes").says("from plan day").says("plan: plan -> next").says("100    300");
    project.hikagen(&["check"]).expect(0).says("next_plan").says("in force from");
    project.hikagen(&["run", "--until-idle"]).expect(0);
    let quota = |project: &Project| {
        let lanes = project.hikagen(&["lane", "list", "--json"]).expect(0).json();
        lanes.as_array().unwrap().iter().find(|lane| lane["lane"] == "one/docomo").unwrap()["quota"].as_u64()
    };
    assert_eq!(quota(&project), Some(100));

    with(today);
    project.hikagen(&["plan", "diff"]).expect(0).says("today: quota 100 -> 300; 30 spent, 270 left (before: 70)");
    project.hikagen(&["run", "--until-idle"]).expect(0);
    assert_eq!(quota(&project), Some(300));
    project.hikagen(&["journal", "--kind", "plan-applied"]).expect(0).says("plan plan -> plan next, from next.yaml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_follows_the_next_plan_at_midnight() {
    const SPEED: f64 = 60.0;
    let sink = Sink::open();
    let project = Project::empty();
    let next = "next_plan: { plan: next.yaml, from: 2030-01-02 }";
    write_configuration(&project, &[RelayEntry::new("one", sink.port).with(&[next, "answers: carrier"])]);
    for (name, quota) in [("plan", 10), ("next", 30)] {
        let text = format!(
            "plan: {name}\ntimezone: Etc/UTC\ndefaults: {{ window: \"00:00-24:00\", spread: asap, avoid: {{ minutes: [] }} }}\n\
             groups: {{ default: {{ curve: [{quota}] }} }}\n"
        );
        project.write(&format!("{name}.yaml"), text);
    }
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", 60));
    project.hikagen(&["submit", &campaign]).expect(0);
    let clock = Arc::new(PacedClock::new("2030-01-01T23:56:00Z".parse().unwrap(), SPEED));
    let working = Working::start(configuration(project.folder(), &[]), clock.clone(), SPEED);
    let both = async {
        while sink.count() < 40 {
            clock.sleep(Duration::from_secs(10)).await;
        }
        // More than the next plan allows would leave by now.
        clock.sleep(Duration::from_secs(120)).await;
    };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("40 messages on two plan days");
    let store = working.store.clone();
    working.end().await;
    assert_eq!(sink.count(), 40);
    let mut days: Vec<_> = store.ledgers(None, jiff::civil::date(2030, 1, 1)).await.unwrap();
    days.sort_by_key(|(_, ledger)| ledger.day);
    let figures: Vec<_> = days.iter().map(|(_, l)| (l.day.day(), l.quota, l.quota_peak, l.spent)).collect();
    assert_eq!(figures, [(1, 10, 10, 10), (2, 30, 30, 30)]);
    let applied = JournalFilter { kind: Some(Kind::PlanApplied), ..JournalFilter::default() };
    let entries: Vec<_> = store.journal(applied, 10).await.unwrap().into_iter().map(|(_, entry)| entry.after).collect();
    assert_eq!(entries, ["plan next, from next.yaml", "plan plan, from plan.yaml"]);
}

#[test]
fn the_journal_tells_who_decided_what_and_narrows_to_what_is_asked() {
    let (_sink, project) = applied();
    project.hikagen(&["lane", "pause", "one/docomo", "--reason", "complaints came in"]).expect(0);
    project.hikagen(&["lane", "resume", "one/docomo"]).expect(0);
    let all = project.hikagen(&["journal", "--json"]).expect(0).json();
    let kinds: Vec<_> = all.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["plan-applied", "paused", "resumed"], "in the order of time");
    for key in ["number", "at", "by", "kind", "about", "day", "before", "after", "because", "inputs"] {
        assert!(all[0].as_object().unwrap().contains_key(key), "{key}");
    }
    let lane = project.hikagen(&["journal", "--lane", "one/docomo"]).expect(0);
    lane.says("complaints came in").says("mail flows -> paused");
    assert!(!lane.out.contains("plan-applied"), "{}", lane.out);
    let last = project.hikagen(&["journal", "--limit", "1"]).expect(0);
    assert!(last.out.contains("resumed") && last.out.lines().count() == 2, "{}", last.out);
    project.hikagen(&["journal", "--since", "2100-01-01"]).expect(0).says("no decision like that");
    project.hikagen(&["journal", "--kind", "nonsense"]).expect(2).says("possible values: verdict, amended");
    project.hikagen(&["--store", "hikagen.db", "journal", "--relay", "one"]).expect(0).says("plan-applied");
}
