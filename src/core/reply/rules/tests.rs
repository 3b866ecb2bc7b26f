//! Tests of the reading of replies. That the shipped rules hold against the replies seen in the field is tested where
//! they are read, in `config`.

use proptest::prelude::*;

use super::*;
use crate::core::reply::Reply;

fn rule(id: &str, provider: Provider, text: Option<&str>, action: Action) -> Rule {
    Rule {
        id: id.into(),
        provider,
        stage: None,
        code: Some(550),
        enhanced: None,
        text: text.map(TextPattern::new),
        fault: None,
        reason: Reason::Undefined,
        signal: Signal::Recipient,
        action,
        meaning: "".into(),
        source: "".into(),
    }
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("a name")
}

fn delivery(stage: Stage, code: u16, text: &str) -> Delivery {
    let answer = Answer::Reply(Reply { code, enhanced: None, text: text.to_owned() });
    Delivery { stage, answer, rcpt_written: stage >= Stage::Rcpt, dot_begun: stage == Stage::Body }
}

fn fault(stage: Stage, fault: Fault) -> Delivery {
    Delivery {
        stage,
        answer: Answer::Fault(fault),
        rcpt_written: stage >= Stage::Rcpt,
        dot_begun: stage == Stage::Body,
    }
}

#[test]
fn a_pattern_fits_anywhere_without_case_and_its_placeholders_stand_for_anything() {
    let fits = |pattern: &str, text: &str| TextPattern::new(pattern).fits(&plain_text(text));
    assert!(fits("Mail from {ip} not allowed", "4.7.0 MAIL  FROM 192.0.2.1 not\n4.7.0 allowed, sorry"));
    assert!(fits("<{addr}>: User unknown", "5.1.1 <a@b.jp>: user unknown in table"));
    assert!(!fits("<{addr}>: User unknown", ": User unknown"));
    assert!(fits("^busy", "4.4.5 Busy now") && !fits("^busy", "too busy"));
    assert!(!fits("one{...}two", "two one"));
    assert!(TextPattern::new("{x}").is_empty() && !TextPattern::new("x").is_empty());
}

#[test]
fn a_longer_text_is_tried_before_a_shorter_and_a_group_before_anybody() {
    let docomo = || Provider::Group(group("docomo"));
    let rules = Rules::new(vec![
        rule("any", Provider::Generic, Some("unknown user in the whole wide world"), Action::Retry),
        rule("short", docomo(), Some("unknown"), Action::Fail),
        rule("long", docomo(), Some("unknown user"), Action::Suppress),
        rule("bare", docomo(), None, Action::Retry),
    ]);
    let read = |text: &str, group: Option<&GroupName>| {
        rules.read(&delivery(Stage::Rcpt, 550, text), group).rule.map(|id| id.to_string())
    };
    assert_eq!(read("Unknown user x", Some(&group("docomo"))).as_deref(), Some("long"));
    assert_eq!(read("unknown", Some(&group("docomo"))).as_deref(), Some("short"));
    assert_eq!(read("no", Some(&group("docomo"))).as_deref(), Some("bare"));
    assert_eq!(read("no", Some(&group("au"))), None);
    assert_eq!(read("unknown user in the whole wide world", None).as_deref(), Some("any"));
}

#[test]
fn an_operators_rule_is_tried_first_and_replaces_one_under_the_same_id() {
    let shipped = Rules::new(vec![
        rule("a", Provider::Generic, Some("unknown user"), Action::Suppress),
        rule("b", Provider::Generic, Some("mailbox full"), Action::Retry),
    ]);
    let rules = shipped.overridden_by(vec![
        rule("b", Provider::Generic, Some("mailbox"), Action::Fail),
        rule("mine", Provider::Generic, Some("unknown"), Action::Fail),
    ]);
    assert_eq!(rules.all().len(), 3);
    let action = |text: &str| rules.read(&delivery(Stage::Rcpt, 550, text), None).action;
    assert_eq!((action("unknown user"), action("mailbox full")), (Action::Fail, Action::Fail));
}

#[test]
fn a_relays_own_patience_slows_the_relay_and_a_carriers_the_lane() {
    let rules = Rules::default();
    let docomo = group("docomo");
    for code in [421, 432, 454, 455] {
        let own = rules.read(&delivery(Stage::Rcpt, code, "slow down"), None);
        assert_eq!((own.action, own.from_relay), (Action::Throttle, true), "{code}");
    }
    let carrier = rules.read(&delivery(Stage::Rcpt, 421, "slow down"), Some(&docomo));
    assert_eq!((carrier.action, carrier.from_relay), (Action::Throttle, false));
    let mut bare = rule("r", Provider::Relay("x".into()), None, Action::Block);
    bare.code = Some(454);
    let rules = Rules::new(vec![bare]);
    assert_eq!(rules.read(&delivery(Stage::Rcpt, 454, ""), None).action, Action::Block);
    assert_eq!(rules.read(&delivery(Stage::Rcpt, 454, ""), Some(&docomo)).action, Action::Retry);
}

#[test]
fn a_cut_connection_slows_the_lane_only_where_the_carrier_can_be_heard() {
    let mut reset = rule("au-reset", Provider::Group(group("au")), None, Action::Block);
    (reset.code, reset.fault) = (None, Some(FaultKind::Reset));
    let rules = Rules::new(vec![reset]);
    let read = |stage, f, g: Option<&str>| {
        let reading = rules.read(&fault(stage, f), g.map(group).as_ref());
        (reading.action, reading.from_relay)
    };
    assert_eq!(read(Stage::Rcpt, Fault::Reset, Some("au")), (Action::Block, false));
    assert_eq!(read(Stage::Rcpt, Fault::Closed, Some("au")), (Action::Throttle, false));
    assert_eq!(read(Stage::Rcpt, Fault::Timeout, Some("docomo")), (Action::Throttle, false));
    for (stage, f, g) in [
        (Stage::Rcpt, Fault::Reset, None),
        (Stage::Connect, Fault::Refused, Some("au")),
        (Stage::Greeting, Fault::Closed, Some("docomo")),
        (Stage::Body, Fault::Timeout, None),
    ] {
        assert_eq!(read(stage, f, g), (Action::Throttle, true));
    }
    assert_eq!(read(Stage::Tls, Fault::Tls("expired".to_owned()), Some("au")), (Action::Block, true));
    assert_eq!(read(Stage::Hello, Fault::NotOffered("STARTTLS".to_owned()), None), (Action::Block, true));
    assert_eq!(read(Stage::Auth, Fault::Token("its program failed".to_owned()), Some("au")), (Action::Throttle, true));
}

#[test]
fn at_mail_a_relay_that_speaks_alone_is_at_fault_itself_and_nobody_is_suppressed() {
    let mut content = rule("size", Provider::Generic, Some("too big"), Action::Fail);
    content.signal = Signal::Content;
    let mut named = rule("named", Provider::Generic, Some("not this one"), Action::Fail);
    named.stage = Some(Stage::Mail);
    let mut setup = rule("setup", Provider::Generic, Some("no spf"), Action::StopCampaign);
    setup.signal = Signal::SenderSetup;
    let rules = Rules::new(vec![
        rule("unknown", Provider::Generic, Some("unknown user"), Action::Suppress),
        rule("policy", Provider::Generic, Some("policy"), Action::Fail),
        content,
        named,
        setup,
    ]);
    let docomo = group("docomo");
    let read = |stage, text: &str, group: Option<&GroupName>| {
        let reading = rules.read(&delivery(stage, 550, text), group);
        (reading.signal, reading.action, reading.from_relay)
    };
    let relay = (Signal::Relay, Action::Block, true);
    for (text, own, carrier) in [
        ("account disabled", relay, (Signal::Unclassified, Action::Fail, false)),
        ("unknown user", relay, (Signal::Unclassified, Action::Fail, false)),
        ("policy", relay, (Signal::Recipient, Action::Fail, false)),
        ("too big", (Signal::Content, Action::Fail, false), (Signal::Content, Action::Fail, false)),
        ("not this one", (Signal::Recipient, Action::Fail, false), (Signal::Recipient, Action::Fail, false)),
        (
            "no spf",
            (Signal::SenderSetup, Action::StopCampaign, false),
            (Signal::SenderSetup, Action::StopCampaign, false),
        ),
    ] {
        assert_eq!(read(Stage::Mail, text, None), own, "{text}");
        assert_eq!(read(Stage::Mail, text, Some(&docomo)), carrier, "{text}");
    }
    for (text, action) in
        [("account disabled", Action::Fail), ("unknown user", Action::Suppress), ("policy", Action::Fail)]
    {
        assert_eq!(read(Stage::Rcpt, text, None).1, action, "{text}");
    }
}

fn stages() -> impl Strategy<Value = Stage> {
    use Stage::*;
    prop::sample::select(vec![Connect, Greeting, Hello, Tls, Auth, Mail, Rcpt, Data, Body])
}

proptest! {
    #[test]
    fn every_delivery_gets_a_reading_and_nothing_unknown_suppresses(
        stage in stages(), code in 0_u16..1000, enhanced in prop::option::of((any::<u8>(), any::<u16>(), any::<u16>())),
        text in "\\PC{0,80}", pattern in "\\PC{0,20}", known in any::<bool>(),
    ) {
        let docomo = group("docomo");
        let rules = Rules::new(vec![rule("x", Provider::Group(docomo.clone()), Some(&pattern), Action::Retry)]);
        let enhanced = enhanced.map(|(a, b, c)| Enhanced(a, b, c));
        let answer = Answer::Reply(Reply { code, enhanced, text });
        let delivery = Delivery { stage, answer, rcpt_written: false, dot_begun: false };
        let reading = rules.read(&delivery, known.then_some(&docomo));
        prop_assert!(reading.action != Action::Suppress);
        prop_assert!(reading.rule.is_none() || (known && code == 550));
    }
}
