//! Tests of the shipped rules on reports from beyond the relay. `tests/replies/reports.csv` holds one report a line: what was said,
//! through which kind of relay and for which group, and what it must mean.

use proptest::prelude::*;

use crate::config::groups_file::{Destinations, read_destinations};
use crate::config::problem::SourceFile;
use crate::core::feedback::Diagnostic;
use crate::core::names::GroupName;
use crate::core::reply::{Action, Enhanced, Provider, Reason, Rule, Rules, Signal, Stage};

fn rules() -> Rules {
    Destinations::shipped().rules
}

fn group(name: &str) -> Option<GroupName> {
    (!name.is_empty()).then(|| GroupName::new(name).unwrap())
}

#[test]
fn every_report_of_the_table_is_read_as_it_says() {
    let rules = rules();
    let mut reader = csv::Reader::from_reader(include_str!("../../../tests/replies/reports.csv").as_bytes());
    let (mut wrong, mut lines) = (Vec::new(), 0);
    for row in reader.records().map(Result::unwrap) {
        lines += 1;
        let kind = Some(&row[0]).filter(|kind| !kind.is_empty());
        let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == &row[2]);
        let said = Diagnostic { code: row[3].parse().ok(), enhanced: row[4].parse().ok(), text: row[5].to_owned() };
        let group = group(&row[1]);
        let reading = rules.read_report(kind, &said, stage, group.as_ref());
        let at_fault = if reading.reason.is_recipients() { "yes" } else { "no" };
        let told = (at_fault, reading.reason.as_str(), reading.action.as_str());
        if told != (&row[6], &row[7], &row[8]) {
            wrong.push(format!(
                "{:?} {said}: {told:?} by {:?}, not {:?} {:?}",
                row[1].to_owned(),
                reading.rule,
                &row[7],
                &row[8]
            ));
        }
    }
    assert!(lines >= 150, "{lines}");
    assert!(wrong.is_empty(), "{} of {lines}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_shipped_rule_has_a_reason_that_agrees_with_whose_fault_it_is() {
    let rules = rules();
    let all = || rules.all().iter().chain(rules.of_reports());
    // What cannot be told: a mailbox for which something is withheld for now.
    let undefined: Vec<_> = all().filter(|r| r.reason == Reason::Undefined).map(|r| r.id.to_string()).collect();
    assert_eq!(undefined, ["au-limited-later"]);
    for rule in all() {
        assert!(!rule.source.is_empty(), "{} has no source", rule.id);
        assert!(!rule.reason.is_recipients() || rule.signal == Signal::Recipient, "{}: {}", rule.id, rule.reason);
        assert!(rule.action != Action::Suppress || rule.reason.is_recipients(), "{}: {}", rule.id, rule.reason);
    }
    for rule in rules.of_reports() {
        assert!(rule.provider == Provider::Generic && rule.text.is_some(), "{}", rule.id);
        // A relay's own trouble is told by rules of relays alone: it would pause the relay.
        let pauses = matches!(rule.action, Action::Throttle | Action::Block | Action::StopCampaign);
        assert!(rule.signal != Signal::Relay || !pauses, "{}", rule.id);
        assert!(rule.action != Action::StopCampaign, "{}: one host's word stops a campaign", rule.id);
    }
}

#[test]
fn a_rule_of_ones_own_comes_before_the_phrases_and_may_replace_one() {
    let text = "replies:\n  mine: { when: { code: 550, text: [no such user, gone fishing] }, then: { signal: recipient, action: fail, reason: suspended } }\n  \
                say-mailbox-full: { when: { text: schublade voll }, then: { signal: recipient, action: fail } }\n";
    let read = read_destinations(&SourceFile::new("own.yaml", text), Destinations::shipped());
    let rules = read.value.expect("no problems").rules;
    let reading = |text: &str| {
        let said = Diagnostic { code: Some(550), enhanced: None, text: text.to_owned() };
        let reading = rules.read_report(None, &said, None, None);
        (reading.rule.map(|id| id.to_string()).unwrap_or_default(), reading.reason)
    };
    assert_eq!(reading("No such user here"), ("mine".to_owned(), Reason::Suspended));
    assert_eq!(reading("gone fishing"), ("mine".to_owned(), Reason::Suspended));
    assert_eq!(reading("Schublade voll"), ("say-mailbox-full".to_owned(), Reason::Filtered));
    assert_ne!(reading("mailbox full").0, "say-mailbox-full");
}

#[test]
fn a_relays_own_words_are_heard_only_from_its_kind() {
    let rules = rules();
    let said = |code, text: &str| Diagnostic { code: Some(code), enhanced: None, text: text.to_owned() };
    let quota = said(454, "Throttling failure: Daily message quota exceeded");
    let own = rules.read_report(Some("ses"), &quota, None, group("gmail").as_ref());
    assert_eq!((own.rule.as_deref(), own.from_relay), (Some("ses-daily-quota"), true));
    let other = rules.read_report(Some("sendgrid"), &quota, None, group("gmail").as_ref());
    assert!(!other.from_relay && other.reason == Reason::RateLimited, "{other:?}");
    // The carrier's Postfix speaks the words of the relay's: a bare code is never believed to be the relay's.
    let bare = Diagnostic { enhanced: Some(Enhanced(4, 7, 1)), ..said(450, "x") };
    assert!(!rules.read_report(Some("postfix"), &bare, Some(Stage::Mail), None).from_relay);
}

/// Words of phrases, of groups' rules, and codes, as a host might put them together.
fn pieces() -> impl Strategy<Value = String> {
    let rules = rules();
    let own = [
        "5.7.1",
        "4.7.0",
        "550 5.7.1",
        "550",
        "5.1.1",
        "550 5.1.1",
        "452 4.2.2",
        "smtp;",
        "said:",
        "<a@b.example>:",
        "(in reply to RCPT TO command)",
    ];
    let words = rules.all().iter().chain(rules.of_reports()).filter_map(|r| r.text.as_ref()).map(ToString::to_string);
    let words: Vec<String> = words.chain(own.map(str::to_owned)).collect();
    prop::collection::vec(prop::sample::select(words), 0..5).prop_map(|words| words.join(" "))
}

fn suppresses_by_right(rule: Option<&Rule>) -> bool {
    rule.is_some_and(|rule| {
        matches!(rule.provider, Provider::Group(_) | Provider::Relay(_)) && rule.signal == Signal::Recipient
    })
}

proptest! {
    #[test]
    fn a_policy_refusal_suppresses_only_by_a_destinations_own_rule(
        text in pieces(), code in prop::option::of(400_u16..600), detail in 0_u16..1000, class in 4_u8..6, inside in any::<bool>(),
        at in prop::option::of(prop::sample::select(Stage::ALL.to_vec())),
        name in prop::sample::select(vec!["", "docomo", "gmail", "outlook", "jp-isp-other"]),
    ) {
        let rules = rules();
        let policy = Enhanced(class, 7, detail);
        let (enhanced, text) = if inside { (None, format!("{text} {policy} {text}")) } else { (Some(policy), text) };
        let said = Diagnostic { code, enhanced, text };
        let group = group(name);
        let reading = rules.read_report(None, &said, at, group.as_ref());
        if reading.action == Action::Suppress {
            prop_assert!(suppresses_by_right(rules.rule_of_report(None, &said, at, group.as_ref())), "{said}: {reading:?}");
        }
    }

    #[test]
    fn nothing_said_before_a_recipient_was_named_suppresses_and_every_report_has_a_reading(
        text in prop_oneof![pieces(), "\\PC{0,120}"], code in prop::option::of(0_u16..1000),
        enhanced in prop::option::of((any::<u8>(), any::<u16>(), any::<u16>())),
        at in prop::sample::select(Stage::ALL[..6].to_vec()),
    ) {
        let rules = rules();
        let said = Diagnostic { code, enhanced: enhanced.map(|(a, b, c)| Enhanced(a, b, c)), text };
        let reading = rules.read_report(None, &said, Some(at), None);
        let null_mx = reading.reason == Reason::HostUnknown && at != Stage::Mail;
        prop_assert!(reading.action != Action::Suppress || null_mx, "{said}: {reading:?}");
        prop_assert_eq!(reading.reason.is_recipients() && reading.signal != Signal::Recipient && reading.rule.is_some(), false);
    }
}
