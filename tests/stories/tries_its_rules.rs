//! `rules`: an operator asks what a reply means, and which rules there are.

use crate::support::program::Project;

#[test]
fn a_reply_is_explained_with_its_rule_and_what_it_does() {
    let project = Project::of_examples();
    let ran = project
        .hikagen(&["rules", "test", "550 Unknown user a@docomo.ne.jp", "--group", "docomo", "--stage", "rcpt"])
        .expect(0);
    ran.says("docomo-unknown (group docomo)").says("smtp_notice").says("unknown user").says("user-unknown");
    ran.says("is suppressed: nothing is sent to it again").says("as a report from beyond the relay: the same");
    let full = project.hikagen(&["rules", "test", "5.2.2 mailbox full", "--group", "default"]).expect(0);
    full.says("an answer has a code").says("say-mailbox-full").says("suppressed after several such reports");
    let own =
        project.hikagen(&["rules", "test", "454 Throttling failure: Daily message quota exceeded", "--kind", "ses"]);
    own.expect(0).says("it is the relay that speaks").says("pauses with all its lanes");
}

#[test]
fn an_answer_and_a_report_are_told_apart() {
    let project = Project::empty();
    let ran = project.hikagen(&["rules", "test", "550 no such user", "--json"]).expect(0);
    ran.says("the shipped rules answer");
    let json = ran.json();
    assert_eq!(
        (&json["in_band"]["rule"], &json["in_band"]["signal"]),
        (&serde_json::Value::Null, &"unclassified".into())
    );
    assert_eq!((&json["report"]["rule"], &json["report"]["reason"]), (&"say-unknown".into(), &"user-unknown".into()));
    assert_eq!(json["report"]["does"]["address"], "is suppressed: nothing is sent to it again");
    let json = project.hikagen(&["rules", "test", "550 5.7.1 user unknown", "--report", "--json"]).expect(0).json();
    assert!(json["in_band"].is_null());
    assert_eq!(json["report"]["action"], "fail");
    let ran = project.hikagen(&[
        "rules",
        "test",
        "host mx.example said: 550 User unknown (in reply to RCPT TO command)",
        "--report",
    ]);
    ran.expect(0).says("say-unknown");
}

#[test]
fn a_wrong_name_is_refused_with_what_is_near() {
    let project = Project::of_examples();
    let refused = |more: &[&str], code: i32, words: &str| {
        let command: Vec<&str> = ["rules", "test", "550 no"].iter().chain(more).copied().collect();
        project.hikagen(&command).expect(code).says(words);
    };
    refused(&["--group", "docmo"], 1, "did you mean \"docomo\"?");
    refused(&["--kind", "sess"], 1, "did you mean \"ses\"?");
    refused(&["--relay", "tokyo-nwe"], 1, "did you mean \"tokyo-new\"?");
    refused(&["--stage", "rctp"], 2, "rcpt");
    project.hikagen(&["rules", "test", " "]).expect(2).says("expected a reply such as");
    project.hikagen(&["rules", "list", "--group", "docmo"]).expect(1).says("did you mean \"docomo\"?");
}

#[test]
fn the_rules_are_listed_in_the_order_in_which_they_are_tried() {
    let project = Project::empty();
    let listed = project.hikagen(&["rules", "list", "--group", "docomo", "--json"]).expect(0).json();
    let rules = listed.as_array().unwrap();
    let at = |id: &str| rules.iter().position(|rule| rule["rule"] == id).unwrap();
    assert!(at("docomo-unknown") < at("ses-rate") && at("ses-rate") < at("generic-unknown"));
    assert!(at("generic-unknown") < at("say-greylisted") && at("say-greylisted") < at("hint-unknown"));
    assert!(rules.iter().all(|rule| rule["rule"] != "au-unknown"));
    project.hikagen(&["rules", "list"]).expect(0).says("anybody, in reports");
}
