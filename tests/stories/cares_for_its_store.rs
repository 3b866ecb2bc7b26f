//! The operator's care for the store: looking whether it is whole, folding what is over, settling many messages at once, and
//! stopping everything when the configuration cannot be read.

use std::process::Command;

use hikagen::clock::{Clock, SystemClock};
use hikagen::core::campaign::{CampaignState, MessageState};
use hikagen::core::reply::{Answer, Fault, Signal, Stage};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{Disposition, Store};
use serde_json::json;

use crate::prepared::{campaign, claim, settle, tokyo};
use crate::support::insight;
use crate::support::program::{Project, binary};

fn with_store(project: &Project, work: impl AsyncFnOnce(&dyn Store)) {
    let store = SqliteStore::open(&project.path("hikagen.db")).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work(&store));
}

/// Puts the end of everything that is over so many days back.
fn age(project: &Project, days: i64) {
    let by = days * 86_400_000_000;
    let back = format!("UPDATE campaign SET ended = ended - {by}; UPDATE final SET at = at - {by}");
    rusqlite::Connection::open(project.path("hikagen.db")).unwrap().execute_batch(&back).unwrap();
}

/// The examples with a campaign `old` of `n` that ended so many days ago, and an open one, `new`.
fn with_an_old_campaign(n: usize, days: i64) -> Project {
    let project = Project::of_examples();
    with_store(&project, async |store| {
        campaign(store, "old", "news", "docomo", n).await;
        let now = SystemClock.now().max(tokyo("08:00"));
        store.order_campaign(&"old".parse().unwrap(), CampaignState::Cancelled, "a wrong price", now).await.unwrap();
        store.sweep(now, 10_000).await.unwrap();
        campaign(store, "new", "news", "docomo", 2).await;
    });
    age(&project, days);
    project
}

#[test]
fn a_whole_store_is_told_from_one_that_is_not() {
    let project = with_an_old_campaign(3, 100);
    project.hikagen(&["store", "check"]).expect(0).says("hikagen.db: nothing is wrong");
    project.hikagen(&["store", "check", "--quick"]).expect(0).says("the structure of the file is sound");
    let sound = project.hikagen(&["store", "check", "--json"]).expect(0).json();
    assert_eq!((&sound["looked_at"], &sound["problems"]), (&json!("everything"), &json!([])));
    let plant = "DELETE FROM final WHERE message = 2; UPDATE counter SET n = 7 WHERE n = 2";
    rusqlite::Connection::open(project.path("hikagen.db")).unwrap().execute_batch(plant).unwrap();
    let broken = project.hikagen(&["store", "check"]).expect(1);
    broken.says("message m2 of campaign number 1 is nowhere").says("the counter of place").says("restore a backup");
    let broken = project.hikagen(&["store", "check", "--json"]).expect(1).json();
    assert!(broken["problems"].as_array().unwrap().len() >= 2);
    project.hikagen(&["store", "check", "--quick"]).expect(0);
}

#[test]
fn what_is_over_is_folded_by_hand_and_every_answer_says_so() {
    let project = with_an_old_campaign(300, 100);
    let before = project.hikagen(&["campaign", "list", "--json"]).expect(0).json();
    let status = project.hikagen(&["status", "--json"]).expect(0).json();
    project.hikagen(&["store", "prune", "--older-than", "101d"]).expect(0).says("nothing to fold");
    let dry = project.hikagen(&["store", "prune", "--dry-run"]).expect(0);
    dry.says("old").says("300 messages of campaigns that ended before").says("would be folded");
    assert_eq!(insight::messages(&project.path("hikagen.db"), "old", MessageState::Cancelled).len(), 300);
    let pruned = project.hikagen(&["store", "prune", "--json"]).expect(0).json();
    assert_eq!(
        (&pruned["messages"], &pruned["attempts"], &pruned["older_than"], &pruned["dry_run"]),
        (&json!(300), &json!(0), &json!("90d"), &json!(false))
    );
    assert_eq!(pruned["campaigns"], json!([{ "campaign": "old", "messages": 300 }]));
    assert_eq!((&pruned["shrinks"], &pruned["free"]), (&json!(true), &json!(0)));
    assert!(pruned["bytes"].as_u64() < pruned["bytes_before"].as_u64());
    project.hikagen(&["store", "prune"]).expect(0).says("nothing to fold");

    let after = project.hikagen(&["campaign", "list", "--json"]).expect(0).json();
    for (before, after) in before.as_array().unwrap().iter().zip(after.as_array().unwrap()) {
        for key in ["campaign", "state", "messages", "states", "buckets"] {
            assert_eq!(before[key], after[key], "{key}");
        }
    }
    assert_eq!((&after[1]["folded"], &after[0]["folded"]), (&json!(300), &json!(0)));
    let again = project.hikagen(&["status", "--json"]).expect(0).json();
    assert_eq!(status["campaigns"], again["campaigns"]);
    project.hikagen(&["campaign", "show", "old"]).expect(0).says("details of 300 of these were folded");
    project.hikagen(&["campaign", "export", "old"]).expect(0).says("300 more were folded into counts");
    project.hikagen(&["why", "old"]).expect(0).says("the details of 300 messages were folded");
    project.hikagen(&["why", "m7"]).expect(1).says("message m7 is over").says("folded");
    project.hikagen(&["message", "show", "m7"]).expect(1).says("folded");
    project.hikagen(&["why", "old7@docomo.example"]).expect(0).says("No campaign has").says("Of 300 older messages");
    project.hikagen(&["why", "new0@docomo.example"]).expect(0).says("new0@docomo.example").says("Of 300 older");
    project.hikagen(&["why", "m999"]).expect(1).says("there is no message m999");
    project.hikagen(&["audit"]).expect(0);
    project.hikagen(&["store", "check"]).expect(0);
}

#[test]
fn how_long_is_kept_is_never_guessed() {
    let project = with_an_old_campaign(3, 100);
    let configuration = project.read("hikagen.yaml");
    project.write("hikagen.yaml", format!("{configuration}\nretention: forever\n"));
    project.hikagen(&["store", "prune"]).expect(2).says("`retention` is forever: give --older-than");
    project.hikagen(&["store", "prune", "--store", "hikagen.db"]).expect(2).says("give --older-than");
    project.hikagen(&["store", "prune", "--older-than", "soon"]).expect(2);
    project.hikagen(&["check"]).expect(0).says("retention forever");
    for short in ["1ms", "23h59m"] {
        let refused = project.hikagen(&["store", "prune", "--yes", "--older-than", short]).expect(2);
        refused.says(&format!("--older-than {short}: expected 1d or longer"));
    }
    let prune = |more: &[&str]| project.hikagen(&[&["store", "prune", "--older-than", "30d"], more].concat());
    prune(&[]).expect(2).says("3 messages").says("(`retention` is forever)").says("--yes answers yes");
    project.write("hikagen.yaml", format!("{configuration}\nretention: 31d\n"));
    prune(&[]).expect(2).says("old").says("3 messages").says("(`retention` is 31d)").says("--yes answers yes");
    prune(&["--store", "hikagen.db"]).expect(2).says("3 messages").says("--yes answers yes");
    prune(&["--dry-run"]).expect(0).says("3 messages");
    assert_eq!(insight::messages(&project.path("hikagen.db"), "old", MessageState::Cancelled).len(), 3);
    prune(&["--store", "hikagen.db", "--yes"]).expect(0).says("3 messages");
    prune(&[]).expect(0).says("nothing to fold");
}

#[test]
fn at_a_terminal_a_fold_is_asked_for_and_without_one_only_what_the_worker_would_keep() {
    let project = with_an_old_campaign(3, 100);
    let (code, shown) = at_a_terminal(&project, "n", &["store", "prune"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("old") && shown.contains("3 messages of campaigns that ended before"), "{shown}");
    assert!(shown.contains("for good (`retention` is 90d). Go on? [y/N]"), "{shown}");
    assert_eq!(insight::messages(&project.path("hikagen.db"), "old", MessageState::Cancelled).len(), 3);
    let (code, shown) = at_a_terminal(&project, "y", &["store", "prune", "--older-than", "30d"]);
    assert!(code == Some(0) && shown.contains("were folded into counts"), "{shown}");
    let project = with_an_old_campaign(3, 100);
    project.hikagen(&["store", "prune"]).expect(0).says("3 messages");
}

#[test]
fn a_file_of_an_earlier_version_is_written_anew_only_while_no_worker_runs() {
    let project = Project::of_examples();
    let conn = rusqlite::Connection::open(project.path("hikagen.db")).unwrap();
    conn.execute_batch(include_str!("../contract/store/version_1.sql")).unwrap();
    drop(conn);
    project.hikagen(&["store", "check"]).expect(0);
    age(&project, 2);
    let old = project.hikagen(&["store", "prune", "--older-than", "1d", "--yes"]).expect(0);
    old.says("12 messages").says("`hikagen store compact`");
    with_store(&project, async |store| {
        let relay = "tokyo-new".parse().unwrap();
        store.acquire(&relay, "somebody", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
        project.hikagen(&["store", "compact"]).expect(75).says("a worker runs");
    });
    let compact = project.hikagen(&["store", "compact", "--json"]).expect(0).json();
    assert!(compact["bytes"].as_u64().unwrap() > 0);
    let pruned = project.hikagen(&["store", "prune", "--json"]).expect(0).json();
    assert_eq!((&pruned["shrinks"], &pruned["bytes"]), (&json!(true), &compact["bytes"]));
    project.hikagen(&["store", "check"]).expect(0);
}

#[test]
fn a_store_of_a_later_version_is_left_alone_with_a_clear_word() {
    let project = with_an_old_campaign(1, 1);
    rusqlite::Connection::open(project.path("hikagen.db")).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    for command in [&["status"][..], &["run"], &["store", "check"], &["status", "--store", "hikagen.db"]] {
        project.hikagen(command).expect(1).says("newer version of Hikagen").says("use that version");
    }
}

/// The examples with five messages of `spring` parked at tokyo-new and two of `summer` at tokyo-warm; one of `spring` waits
/// for its one retry.
fn with_parked_messages() -> Project {
    let project = Project::of_examples();
    with_store(&project, async |store| {
        for (name, relay, n) in [("spring", "tokyo-new", 6), ("summer", "tokyo-warm", 2)] {
            let id = campaign(store, name, "news", "docomo", n).await;
            let relay = relay.parse().unwrap();
            let (lease, _) = store.acquire(&relay, "x", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
            let many = u32::try_from(n).unwrap();
            for (i, claim) in claim(store, &lease, (id, "docomo"), many, 100, tokyo("09:00")).await.iter().enumerate() {
                let told = (Stage::Body, Answer::Fault(Fault::Reset), Signal::Unclassified, None);
                let due = tokyo("09:30");
                let disposition = if i == 5 { Disposition::Uncertain { due } } else { Disposition::Parked };
                settle(store, &lease, claim, tokyo("09:01"), told, disposition).await;
            }
            store.release(&lease).await.unwrap();
        }
    });
    project
}

#[test]
fn parked_messages_are_listed_and_settled_many_at_once() {
    let project = with_parked_messages();
    let list = |arguments: &[&str]| {
        let all = [&["message", "list", "--json"], arguments].concat();
        let json = project.hikagen(&all).expect(0).json();
        json.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&["--parked"]), ["m1", "m2", "m3", "m4", "m5", "m7", "m8"]);
    assert_eq!(list(&["--uncertain"]).len(), 8);
    assert_eq!(list(&["--uncertain", "--state", "deferred"]), ["m6"]);
    assert_eq!(list(&["--parked", "--campaign", "summer"]), ["m7", "m8"]);
    assert_eq!(list(&["--relay", "tokyo-warm"]), ["m7", "m8"]);
    assert_eq!(list(&["--campaign", "spring", "--limit", "2"]), ["m1", "m2"]);
    let first = &project.hikagen(&["message", "list", "--parked", "--json"]).expect(0).json()[0];
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    let expected =
        ["message", "address", "campaign", "bucket", "state", "since", "due", "relay", "attempts", "because"];
    assert_eq!(keys, expected);
    assert_eq!(
        (&first["state"], &first["attempts"], &first["relay"]),
        (&json!("parked"), &json!(1), &json!("tokyo-new"))
    );
    let parked = project.hikagen(&["message", "list", "--parked"]).expect(0);
    parked.says("spring0@docomo.example").says("the relay's answer to the message never came");
    project.hikagen(&["message", "list", "--parked", "--limit", "2"]).expect(0).says("more than 2");
    project.hikagen(&["message", "list"]).expect(2);
    project.hikagen(&["message", "list", "--campaign", "sprng"]).expect(1).says("did you mean \"spring\"?");
    project.hikagen(&["message", "list", "--relay", "tokyo-nwe"]).expect(1).says("did you mean \"tokyo-new\"?");

    let settle = ["message", "settle", "--campaign", "spring", "--as"];
    let with = |more: &[&'static str]| [&settle[..], more].concat();
    project.hikagen(&with(&["accepted"])).expect(2).says("5 parked messages will be accepted").says("--yes");
    project.hikagen(&with(&["accepted", "--dry-run"])).expect(0).says("5 parked messages would be accepted");
    assert_eq!(list(&["--parked"]).len(), 7, "nothing was changed yet");
    let done = project.hikagen(&with(&["bounced", "--relay", "tokyo-new", "--yes", "--json"])).expect(0).json();
    assert_eq!(done, json!({"parked": 5, "settled": 5, "left_alone": 0, "state": "bounced", "dry_run": false}));
    project.hikagen(&with(&["accepted", "--yes"])).expect(0).says("no such message is parked");
    project.hikagen(&["suppress", "list"]).expect(0).says("nothing is held back");
    project
        .hikagen(&["message", "settle", "--state", "parked", "--retry", "--yes"])
        .expect(0)
        .says("2 messages: queued");
    assert_eq!(list(&["--parked"]), Vec::<String>::new());
    let store = project.path("hikagen.db");
    assert_eq!(insight::count(&store, "spring", MessageState::Bounced), 5);
    assert_eq!(insight::count(&store, "summer", MessageState::Deferred), 2);
    for usage in [
        &["message", "settle", "--as", "accepted"][..],
        &["message", "settle", "m1", "--campaign", "spring", "--accepted"],
        &["message", "settle", "--campaign", "spring", "--accepted", "--as", "retry"],
        &["message", "settle", "--campaign", "spring"],
        &["message", "settle", "--state", "queued", "--retry"],
    ] {
        project.hikagen(usage).expect(2);
    }
    project.hikagen(&["store", "check"]).expect(0);
}

/// Runs a command at a terminal of its own, types the answer, and prints what was shown.
const AT_A_TERMINAL: &str = "
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
os.write(terminal, (sys.argv[1] + '\\n').encode())
shown = b''
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

/// How a command ended and what it showed when somebody typed an answer.
fn at_a_terminal(project: &Project, answer: &str, command: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new("python3")
        .args(["-c", AT_A_TERMINAL, answer, binary()])
        .args(command)
        .current_dir(project.folder())
        .output()
        .unwrap();
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn at_a_terminal_the_operator_is_asked_once_and_only_yes_is_yes() {
    let project = with_parked_messages();
    let answered = |answer: &str| {
        at_a_terminal(&project, answer, &["message", "settle", "--campaign", "spring", "--as", "accepted"])
    };
    for no in ["", "n", "yess"] {
        let (code, shown) = answered(no);
        assert_eq!(code, Some(1), "{no:?}: {shown}");
        assert!(shown.contains("5 parked messages will be accepted: never sent again. Go on? [y/N]"), "{shown}");
        assert!(shown.contains("nothing was changed"), "{shown}");
    }
    let (code, shown) = answered("y");
    assert!(code == Some(0) && shown.contains("5 messages: accepted"), "{shown}");
    assert_eq!(insight::count(&project.path("hikagen.db"), "spring", MessageState::Accepted), 5);
}

#[test]
fn with_a_broken_configuration_everything_can_still_be_stopped_and_seen() {
    let project = with_parked_messages();
    let broken = project.read("hikagen.yaml").replace("host:", "hsot:") + "relays: [\n\t{\n";
    project.write("hikagen.yaml", broken);
    project.hikagen(&["status"]).expect(1).says("hikagen.yaml is refused").says("`--store FILE` answers");
    let paused = project.hikagen(&["pause", "--all", "--reason", "prices are wrong"]).expect(0);
    paused.says("everything: paused until resumed").says("the order goes to the store that it names, hikagen.db");

    let ask = |command: &[&str]| project.hikagen(&[command, &["--store", "hikagen.db"]].concat());
    ask(&["status"]).expect(0).says("prices are wrong").says("spring").says("no configuration was read");
    ask(&["why", "spring"]).expect(0).says("5 parked");
    ask(&["why", "m1"]).expect(0).says("is parked");
    ask(&["campaign", "list"]).expect(0).says("summer");
    ask(&["campaign", "show", "spring"]).expect(0).says("parked");
    ask(&["campaign", "export", "spring"]).expect(0).says("spring0@docomo.example");
    ask(&["message", "list", "--parked"]).expect(0).says("m8");
    ask(&["message", "show", "m1"]).expect(0).says("spring0@docomo.example");
    ask(&["lane", "list"]).expect(0);
    ask(&["audit"]).expect(0);
    ask(&["suppress", "list"]).expect(0).says("nothing is held back");
    ask(&["store", "check"]).expect(0);
    ask(&["resume", "--all"]).expect(0).says("everything: resumed");
    ask(&["pause", "--all", "--reason", "again", "--for", "2h"]).expect(0);
    project.hikagen(&["resume", "--all"]).expect(0).says("everything: resumed");

    for command in [&["run"][..], &["submit", "campaign.yaml"], &["check"], &["plan", "show", "plan.yaml"], &["init"]] {
        ask(command).expect(2).says("this command needs one");
    }
    let missing = project.hikagen(&["pause", "--all", "--reason", "x", "--store", "nothing.db"]).expect(1);
    missing.says("there is no store nothing.db");
    assert!(!project.path("nothing.db").exists(), "a slip of the pen makes no store");
    project.write("hikagen.yaml", "store: elsewhere.db\nnonsense\n");
    project.hikagen(&["pause", "--all", "--reason", "x"]).expect(1).says("hikagen.yaml is refused");
}

#[test]
fn a_store_remembers_its_relays_under_their_last_plan() {
    let project = with_parked_messages();
    with_store(&project, async |store| {
        let text = project.read("plan.yaml");
        let plan = hikagen::store::PlanRevision { name: "spring".parse().unwrap(), text, by: "test".to_owned() };
        store.record_plan(&"tokyo-new".parse().unwrap(), plan, tokyo("08:00")).await.unwrap();
    });
    project.write("hikagen.yaml", "store: hikagen.db\nrelays: nonsense\n");
    let status = project.hikagen(&["status", "--store", "hikagen.db"]).expect(0);
    status.says("Relay tokyo-new (unknown:0, plan spring)").says("tokyo-new/docomo").says("times are in Asia/Tokyo");
    status.says("relay tokyo-warm is left out");
    let pause = ["pause", "--relay", "tokyo-new", "--reason", "x"];
    project.hikagen(&pause).expect(0).says("relay tokyo-new: paused");
    project.hikagen(&["lane", "pause", "tokyo-new/docomo", "--reason", "x"]).expect(0).says("lane tokyo-new/docomo");
    project.hikagen(&["lane", "resume", "tokyo-new/docomo"]).expect(0).says("still in force: relay tokyo-new");
}

/// The operator's own groups are in the configuration alone, so that a plan that names one cannot be read without it.
#[test]
fn a_relay_and_a_lane_of_the_operators_own_groups_can_be_stopped_without_a_configuration() {
    let project = with_parked_messages();
    with_store(&project, async |store| {
        let relay = "tokyo-new".parse().unwrap();
        let text = "plan: own\ntimezone: Asia/Tokyo\ngroups: { customers: { curve: [7] }, default: { curve: [7] } }\n";
        let plan =
            hikagen::store::PlanRevision { name: "own".parse().unwrap(), text: text.to_owned(), by: "test".to_owned() };
        store.record_plan(&relay, plan, tokyo("08:00")).await.unwrap();
        let id = campaign(store, "autumn", "news", "customers", 1).await;
        let (lease, _) = store.acquire(&relay, "x", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
        assert_eq!(claim(store, &lease, (id, "customers"), 1, 10, tokyo("09:00")).await.len(), 1);
        store.release(&lease).await.unwrap();
    });
    project.write("hikagen.yaml", "store: hikagen.db\nrelays: nonsense\n");
    let pause = |what: &[&str]| project.hikagen(&[what, &["--reason", "x"]].concat());
    pause(&["pause", "--relay", "tokyo-new"]).expect(0).says("relay tokyo-new: paused");
    pause(&["pause", "--relay", "tokyo-new", "--store", "hikagen.db"]).expect(0).says("relay tokyo-new: paused");
    pause(&["lane", "pause", "tokyo-new/customers"]).expect(0).says("lane tokyo-new/customers: paused");
    pause(&["lane", "pause", "tokyo-new/docomo", "--store", "hikagen.db"]).expect(0).says("tokyo-new/docomo: paused");
    pause(&["pause", "--relay", "tokyo-old"]).expect(1).says("there is tokyo-new, tokyo-warm");
    pause(&["lane", "pause", "tokyo-new/customer"]).expect(1).says("did you mean \"tokyo-new/customers\"?");
    project.hikagen(&["resume", "--relay", "tokyo-new"]).expect(0).says("relay tokyo-new: resumed");
    project.hikagen(&["lane", "resume", "tokyo-new/customers"]).expect(0).says("lane tokyo-new/customers: resumed");
    let status = project.hikagen(&["status", "--store", "hikagen.db"]).expect(0);
    status.says("relay tokyo-new is left out: the store has no plan of it that can be read");

    pause(&["campaign", "pause", "spring"]).expect(0).says("campaign spring: paused");
    project.hikagen(&["campaign", "resume", "spring"]).expect(0).says("campaign spring: running");
    project.hikagen(&["campaign", "cancel", "spring"]).expect(0).says("campaign spring: cancelled");
    project.hikagen(&["campaign", "show", "spring"]).expect(1).says("hikagen.yaml is refused");
}
