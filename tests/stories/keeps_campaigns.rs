//! A campaign from its file to its end, as its operator meets it.

use serde_json::json;

use crate::support::program::Project;
use crate::support::python;
use crate::support::scene::{RelayEntry, write_configuration, write_plan};
use crate::support::sink::Sink;

#[test]
fn the_examples_are_submitted_as_written_and_again_without_doubling() {
    let project = Project::of_examples();
    let report = project.hikagen(&["submit", "campaign.yaml", "--json"]).expect(0).json();
    assert_eq!((&report["done"], &report["added"], &report["rejected"]), (&json!("created"), &json!(6), &json!(0)));
    assert_eq!(report["encoding"], "UTF-8");
    assert_eq!(report["columns"], json!(["email", "name", "city", "score"]));
    assert_eq!(report["start"], "2026-11-24T00:00:00Z");
    let again = project.hikagen(&["submit", "campaign.yaml", "--json"]).expect(0).json();
    assert_eq!((&again["done"], &again["added"], &again["known"]), (&json!("resubmitted"), &json!(0), &json!(6)));
    let list = project.hikagen(&["campaign", "list", "--json"]).expect(0).json();
    assert_eq!((list[0]["messages"].as_u64(), &list[0]["states"]), (Some(6), &json!({"queued": 6})));
}

#[test]
fn a_dry_run_counts_shows_the_first_day_and_one_mail_and_stores_nothing() {
    let project = Project::of_examples();
    let dry = project.hikagen(&["submit", "campaign.yaml", "--dry-run"]).expect(0);
    dry.says("would be taken").says("first day, 20").says("tokyo-new/docomo").says("山田 花子 様へ");
    let dry = project.hikagen(&["submit", "campaign.yaml", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&dry["done"], &dry["recipients"]), (&json!("checked"), &json!(6)));
    assert_eq!(dry["preview"]["recipient"], "hanako@docomo.ne.jp");
    assert_eq!(project.hikagen(&["campaign", "list", "--json"]).expect(0).json(), json!([]));
}

#[test]
fn refused_rows_go_to_a_file_and_the_rest_is_taken() {
    let project = Project::of_examples();
    project.write("recipients.csv", "email,name,city\nhanako@docomo.ne.jp,花子,横浜\nnobody,x,y\n");
    let run = project.hikagen(&["submit", "campaign.yaml"]).expect(0);
    run.says("1 refused").says("line 3: nobody: an address is local@domain").says("recipients.rejects.csv");
    assert!(project.read("recipients.rejects.csv").contains("3,nobody,address,"));
    project.write("recipients.csv", "email,name,city\nhanako@docomo.ne.jp,花子,横浜\n");
    project.hikagen(&["submit", "campaign.yaml"]).expect(0);
    assert!(!project.path("recipients.rejects.csv").exists());
}

#[test]
fn what_cannot_be_sent_is_refused_in_words_before_anything_is_stored() {
    let project = Project::of_examples();
    project.write("newsletter.txt", "{{ name }} 様\n{{ ctiy }}\n");
    let run = project.hikagen(&["submit", "campaign.yaml"]).expect(1);
    run.says("newsletter.txt:2: {{ ctiy }}").says("did you mean \"city\"?");
    std::fs::remove_file(project.path("newsletter.html")).unwrap();
    project.hikagen(&["submit", "campaign.yaml"]).expect(1).says("newsletter.html is not there");
    project.write("newsletter.html", b"<p>\x8e\x9b</p>");
    project.hikagen(&["submit", "campaign.yaml"]).expect(1).says("newsletter.html:1: a template is UTF-8");
    assert_eq!(project.hikagen(&["submit", "nowhere.yaml"]).code, Some(1));
}

#[test]
fn a_preview_is_the_mail_as_an_independent_reader_sees_it() {
    let project = Project::of_examples();
    let raw = project.hikagen(&["campaign", "preview", "campaign.yaml", "--row", "3", "--raw"]).expect(0);
    let read = &python::read(&[raw.out.into_bytes()])[0];
    assert!(read.defects.is_empty(), "{:?}", read.defects);
    assert_eq!(read.headers["subject"], "佐藤 次郎 様へ 春のお知らせ");
    assert_eq!(read.headers["from"], "例市場 <news@m.example.jp>");
    assert_eq!(read.headers["x-pool"], "new");
    assert!(read.text.as_ref().unwrap().contains("大阪 の店舗"));
    assert!(read.html.as_ref().unwrap().contains("大阪 の店舗"));
    let run = project.hikagen(&["campaign", "preview", "campaign.yaml", "--row", "7"]).expect(1);
    run.says("has 6 rows; there is no row 7");
}

#[test]
fn a_campaign_is_paused_resumed_cancelled_and_exported() {
    let project = Project::of_examples();
    project.hikagen(&["submit", "campaign.yaml"]).expect(0);
    let name = "spring-sale-2026";
    project.hikagen(&["campaign", "pause", name, "--reason", "a wrong price"]).expect(0);
    project.hikagen(&["campaign", "show", name]).expect(0).says("paused (a wrong price)");
    project.hikagen(&["campaign", "resume", name]).expect(0);
    let csv = project.hikagen(&["campaign", "export", name, "--state", "waiting"]).expect(0).out;
    assert!(
        csv.starts_with("message,address,state,name,city,score,since,relay,attempts,bucket,last_answer\n"),
        "{csv}"
    );
    assert!(csv.contains("taro..x@docomo.ne.jp,queued,田中 太郎,川崎,40,"), "{csv}");
    project.hikagen(&["campaign", "export", name, "--out", "all.csv"]).expect(0).says("6 messages written");
    assert_eq!(project.read("all.csv").lines().count(), 7);
    let exported = project.hikagen(&["campaign", "export", name, "--json"]).expect(0).json();
    assert_eq!((exported.as_array().unwrap().len(), &exported[0]["columns"]["city"]), (6, &json!("横浜")));
    assert_eq!(project.hikagen(&["campaign", "export", name, "--state", "sent"]).expect(0).out.lines().count(), 1);
    project.hikagen(&["campaign", "export", name, "--state", "queue"]).expect(2).says("did you mean \"queued\"?");
    project.hikagen(&["campaign", "cancel", name]).expect(0).says("cancelled");
    project.hikagen(&["campaign", "resume", name]).expect(1);
    project.hikagen(&["submit", "campaign.yaml"]).expect(1).says("a name of its own");
    project.hikagen(&["campaign", "show", "spring-sale"]).expect(1).says("there is no campaign");
}

#[test]
fn the_suppression_list_is_kept_moved_and_obeyed() {
    let project = Project::of_examples();
    let added = project.hikagen(&["suppress", "add", "HANAKO@docomo.ne.jp", "--note", "asked", "--json"]).expect(0);
    assert_eq!(added.json(), json!({"added": 1, "known": 0}));
    let unsubscribe = ["suppress", "add", "shiro@gmail.com", "--reason", "unsubscribe"];
    project.hikagen(&unsubscribe).expect(2).says("--sender");
    project.hikagen(&[&unsubscribe[..], &["--sender", "M.example.jp"]].concat()).expect(0);
    project.hikagen(&["suppress", "add", "not an address"]).expect(1).says("not an address");
    let report = project.hikagen(&["submit", "campaign.yaml", "--json"]).expect(0).json();
    assert_eq!((report["added"].as_u64(), report["suppressed"].as_u64()), (Some(4), Some(2)));
    project.hikagen(&["suppress", "export", "--out", "held.csv"]).expect(0);
    assert!(project.read("held.csv").contains("shiro@gmail.com,unsubscribe,m.example.jp,"));
    let removed = ["suppress", "remove", "hanako@docomo.ne.jp", "shiro@gmail.com"];
    project.hikagen(&removed).expect(0).says("2 entries taken off");
    project.hikagen(&["suppress", "list"]).expect(0).says("nothing is held back");
    project.hikagen(&["suppress", "import", "held.csv"]).expect(0).says("2 held back");
    let list = project.hikagen(&["suppress", "list", "--json"]).expect(0).json();
    assert_eq!((&list[0]["email"], &list[0]["note"]), (&json!("hanako@docomo.ne.jp"), &json!("asked")));
    assert_eq!(list[1]["sender"], "m.example.jp");
    project.write("more.csv", "email,reason\na@b.jp,manual\nbad,\nc@d.jp,bored\n");
    let import = project.hikagen(&["suppress", "import", "more.csv"]).expect(1);
    import.says("1 held back").says("line 3: bad").says("reason \"bored\"");
}

#[test]
fn a_message_is_shown_and_only_a_parked_one_is_settled() {
    let project = Project::of_examples();
    project.hikagen(&["submit", "campaign.yaml"]).expect(0);
    let message = project.hikagen(&["message", "show", "m5", "--json"]).expect(0).json();
    assert_eq!((&message["address"], &message["state"]), (&json!("taro..x@docomo.ne.jp"), &json!("queued")));
    assert_eq!((&message["columns"]["city"], &message["attempts"]), (&json!("川崎"), &json!([])));
    project.hikagen(&["message", "settle", "m5", "--accepted"]).expect(1).says("parked");
    project.hikagen(&["message", "settle", "m5"]).expect(2);
    project.hikagen(&["message", "show", "m99"]).expect(1).says("there is no message m99");
    project.hikagen(&["message", "show", "x"]).expect(2);
}

#[test]
fn a_test_mail_leaves_at_once_and_nothing_else_does() {
    let project = Project::of_examples();
    let sink = Sink::open();
    write_configuration(&project, &[RelayEntry::new("tokyo-new", sink.port)]);
    write_plan(&project, "plan.yaml", &[("docomo", 10, "100/s"), ("default", 10, "100/s")]);
    let campaign = project.read("campaign.yaml").replace("start: 2026-11-24 09:00", "start: 2020-01-01");
    project.write("campaign.yaml", campaign.replace("+12d", "+1d"));
    project.hikagen(&["submit", "campaign.yaml"]).expect(0);
    let test = ["campaign", "test", "campaign.yaml", "--to", "me@example.jp", "--row", "2"];
    project.hikagen(&test).expect(0).says("test to me@example.jp: accepted by tokyo-new");
    let arrivals = sink.arrivals();
    assert_eq!(arrivals.iter().map(|a| a.to.clone()).collect::<Vec<_>>(), [["me@example.jp"]]);
    let read = &python::read(&[arrivals[0].bytes.clone()])[0];
    assert_eq!(read.headers["subject"], "田中 太郎 様へ 春のお知らせ");
    let list = project.hikagen(&["campaign", "show", "spring-sale-2026", "--json"]).expect(0).json();
    assert_eq!(list["states"], json!({"queued": 6}));
    project.hikagen(&["campaign", "test", "campaign.yaml", "--to", "me"]).expect(1).says("--to me");
}

#[test]
fn a_mail_made_elsewhere_goes_out_with_a_list_of_json_lines_and_seeds_first() {
    let project = Project::of_examples();
    project
        .hikagen(&["check", "autumn.yaml"])
        .expect(0)
        .says("autumn.eml: Hikagen writes its own, or none, of these headers: Return-Path,");
    let dry = project.hikagen(&["submit", "autumn.yaml", "--dry-run"]).expect(0);
    dry.says("3 recipients and 2 seeds would be taken").says("seed qa@gmail.com: gmail").says("Message-ID\n");
    let report = project.hikagen(&["submit", "autumn.yaml", "--json"]).expect(0).json();
    assert_eq!((&report["added"], &report["seeds"][0]["address"]), (&json!(5), &json!("qa@example.jp")));
    assert_eq!(
        report["seeds"][1],
        json!({"address": "qa@gmail.com", "group": "gmail", "bucket": "google", "in_list": false})
    );
    let name = "autumn-fair-2026";
    let shown = project.hikagen(&["campaign", "show", name]).expect(0);
    shown.says("seed qa@example.jp (m1, default): queued").says("seed qa@gmail.com (m2, google): queued");
    let json = project.hikagen(&["campaign", "show", name, "--json"]).expect(0).json();
    assert_eq!((&json["seeds"][1]["message"], &json["seeds"][1]["state"]), (&json!("m2"), &json!("queued")));
    project
        .hikagen(&["why", "qa@gmail.com"])
        .expect(0)
        .says("m2 to seed qa@gmail.com (autumn-fair-2026, google) waits");
    project.hikagen(&["why", name]).expect(0).says("seed qa@example.jp (m1, default): queued");
    let why = project.hikagen(&["why", "umeko@gmail.com", "--json"]).expect(0).json();
    assert_eq!((&why["messages"][0]["seed"], &why["messages"][0]["before"]), (&json!(false), &json!(1)));
    let raw = project.hikagen(&["campaign", "preview", "autumn.yaml", "--row", "2", "--raw"]).expect(0);
    let read = &python::read(&[raw.out.into_bytes()])[0];
    assert!(read.defects.is_empty() && read.text.as_ref().unwrap().contains("大阪 の店舗"), "{read:?}");
    assert_eq!(read.headers["subject"], "佐藤 次郎 様へ 秋の味覚フェア");
    let again = project.hikagen(&["submit", "autumn.yaml", "--json"]).expect(0).json();
    assert_eq!((&again["done"], &again["added"], &again["known"]), (&json!("resubmitted"), &json!(0), &json!(5)));
    project.write("autumn.eml", project.read("autumn.eml").replace("autumn:example", "autumn:other"));
    project.hikagen(&["submit", "autumn.yaml"]).expect(1).says("its file changed since: headers");
}

#[test]
fn css_is_put_into_the_elements_once_and_problems_keep_their_lines() {
    let project = Project::of_examples();
    project.hikagen(&["submit", "winter.yaml"]).expect(0);
    let raw = project.hikagen(&["campaign", "preview", "winter.yaml", "--raw"]).expect(0);
    let html = python::read(&[raw.out.into_bytes()])[0].html.clone().unwrap();
    assert!(html.contains("<p style=\"color: #333333;margin: 0;\">山田 花子 様</p>"), "{html}");
    assert!(html.contains("@media (max-width: 600px) { .card { padding: 4px !important } }"), "{html}");
    project.write("winter.html", project.read("winter.html").replace("{{ city }} の", "{{ ctiy }} の"));
    let run = project.hikagen(&["submit", "winter.yaml", "--update"]).expect(1);
    run.says("winter.html:14: {{ ctiy }} is neither").says("did you mean \"city\"?");
    project.write("winter.html", project.read("winter.html").replace("{{ ctiy }} の", "{{ city の"));
    project.hikagen(&["submit", "winter.yaml"]).expect(1).says("winter.html:14: syntax error");
}

#[test]
fn what_was_submitted_is_sent_with_its_css_in_place_whatever_becomes_of_the_files() {
    let project = Project::of_examples();
    let sink = Sink::open();
    write_configuration(&project, &[RelayEntry::new("tokyo-new", sink.port)]);
    write_plan(&project, "plan.yaml", &[("docomo", 100, "100/s"), ("default", 100, "100/s")]);
    project.hikagen(&["submit", "winter.yaml"]).expect(0);
    for name in ["winter.html", "winter.yaml", "seeds.csv", "recipients.csv"] {
        std::fs::remove_file(project.path(name)).unwrap();
    }
    project.hikagen(&["run", "--until-idle"]).expect(0);
    let arrivals = sink.arrivals();
    assert_eq!(arrivals.len(), 8);
    let read = python::read(&arrivals.into_iter().map(|a| a.bytes).collect::<Vec<_>>());
    let styled = |mail: &python::Read| mail.html.as_ref().unwrap().contains("<p style=\"color: #333333;margin: 0;\">");
    assert!(read.iter().all(|mail| mail.defects.is_empty() && styled(mail)), "{read:?}");
    let subjects = |text: &str| read.iter().filter(|mail| mail.headers["subject"] == text).count();
    assert_eq!((subjects("山田 花子 様へ 冬の感謝祭"), subjects("検査 係 様へ 冬の感謝祭")), (2, 1));
}

#[test]
fn a_list_as_spreadsheets_write_unicode_text_is_taken() {
    let project = Project::of_examples();
    let list = format!("\u{feff}{}", project.read("recipients.csv").replace(',', "\t"));
    project.write("recipients.csv", list.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    let report = project.hikagen(&["submit", "campaign.yaml", "--json"]).expect(0).json();
    assert_eq!((&report["encoding"], &report["added"]), (&json!("UTF-16LE"), &json!(6)));
    project.write("held.jsonl", "{\"email\":\"x@y.jp\"}\n{\"email\":\"bad\"}\n[]\n");
    let import = project.hikagen(&["suppress", "import", "held.jsonl"]).expect(1);
    import.says("1 held back").says("line 2: bad").says("line 3: : expected a JSON object");
}

#[test]
fn seeds_spend_the_first_of_the_quota_and_the_list_waits() {
    let project = Project::of_examples();
    let sink = Sink::open();
    write_configuration(&project, &[RelayEntry::new("tokyo-new", sink.port)]);
    write_plan(&project, "plan.yaml", &[("docomo", 2, "100/s"), ("default", 2, "100/s")]);
    let seeds = "seeds:\n  - qa@docomo.ne.jp\n  - { email: taro@docomo.ne.jp, name: 検査 係 }\npool";
    let autumn = project.read("autumn.yaml");
    let (before, after) = (autumn.split("seeds:").next().unwrap(), autumn.split("\npool").nth(1).unwrap());
    project.write("autumn.yaml", format!("{before}{seeds}{after}"));
    let rows = ["hanako", "taro", "ichiro"].map(|who| {
        let email = format!("{who}@docomo.ne.jp");
        json!({"email": email, "name": who, "shop": {"city": "横浜"}, "vip": true, "number": 7, "score": 1000})
            .to_string()
    });
    project.write("autumn.jsonl", rows.join("\n"));
    project.hikagen(&["submit", "autumn.yaml"]).expect(0).says("2 recipients and 2 seeds").says("in the list too");
    project.hikagen(&["run", "--until-idle"]).expect(0);
    let mut arrivals = sink.arrivals();
    arrivals.sort_by(|a, b| a.to.cmp(&b.to));
    assert_eq!(arrivals.iter().map(|a| a.to.join(" ")).collect::<Vec<_>>(), ["qa@docomo.ne.jp", "taro@docomo.ne.jp"]);
    let read = python::read(&[arrivals[0].bytes.clone(), arrivals[1].bytes.clone()]);
    assert_eq!(read[0].headers["subject"], "hanako 様へ 秋の味覚フェア");
    assert_eq!(read[1].headers["subject"], "検査 係 様へ 秋の味覚フェア");
    assert!(read.iter().all(|mail| mail.defects.is_empty() && mail.content_type == "multipart/mixed"), "{read:?}");
    assert!(String::from_utf8_lossy(&arrivals[0].bytes).contains("\r\nContent-ID: <leaf@example.jp>\r\n"));
    let shown = project.hikagen(&["campaign", "show", "autumn-fair-2026", "--json"]).expect(0).json();
    assert_eq!(
        (&shown["states"], &shown["seeds"][1]["state"]),
        (&json!({"accepted": 2, "queued": 2}), &json!("accepted"))
    );
}
