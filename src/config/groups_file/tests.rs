//! Tests of the shipped groups and rules, and of an operator's own laid over them.

use super::*;
use crate::core::reply::{Action, Answer, Delivery, Enhanced, Fault, Provider, Reply, Signal, Stage};

fn read(text: &str) -> Read<Destinations> {
    read_destinations(&SourceFile::new("my.yaml", text), Destinations::shipped())
}

fn problems(text: &str) -> Vec<String> {
    read(text).problems.iter().map(ToString::to_string).collect()
}

fn route(destinations: &Destinations, domain: &str) -> (String, bool) {
    let route = destinations.groups.route(domain);
    (route.group.name.to_string(), route.dead)
}

#[test]
fn the_shipped_files_have_all_groups_and_all_rules() {
    let shipped = Destinations::shipped();
    assert_eq!(shipped.groups.iter().count(), 24);
    let mut ids: Vec<_> = shipped.rules.all().iter().map(|r| r.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 185);
    assert!(shipped.rules.all().iter().all(|r| r.source.ends_with(')') && !r.meaning.is_empty()));
    let bucket = |group: &str| shipped.groups.get(&GroupName::new(group).unwrap()).unwrap().bucket.to_string();
    assert_eq!(
        (bucket("ymobile"), bucket("au-legacy"), bucket("gmail")),
        ("softbank".into(), "au".into(), "google".into())
    );
    assert_eq!(bucket("jp-isp-other"), "jp-isp-other");
}

#[test]
fn domains_find_their_group_by_name_pattern_and_suffix() {
    let shipped = Destinations::shipped();
    for (domain, group, dead) in [
        ("docomo.ne.jp", "docomo", false),
        ("sub.docomo.ne.jp", "default", false),
        ("ezweb.ne.jp", "au", false),
        ("t1.ezweb.ne.jp", "au", false),
        ("abc.ezweb.ne.jp", "default", false),
        ("x.biz.ezweb.ne.jp", "au", false),
        ("eza.ido.ne.jp", "au-legacy", true),
        ("dct.dion.ne.jp", "au-legacy", true),
        ("k3.dion.ne.jp", "kddi-isp", false),
        ("k.vodafone.ne.jp", "softbank", false),
        ("jp-q.ne.jp", "softbank", false),
        ("jp-z.ne.jp", "default", false),
        ("vertuclub.ne.jp", "softbank", true),
        ("wm.pdx.ne.jp", "ymobile", false),
        ("mb1.nifty.com", "nifty", false),
        ("kitty.jp", "nifty", false),
        ("aa2.so-net.ne.jp", "sonet", false),
        ("x.ocn.ne.jp", "ocn", false),
        ("example.co.jp", "default", false),
        ("yahoo.co.jp", "yahoo-jp", false),
        ("yahoo.com", "yahoo-inc", false),
    ] {
        assert_eq!(route(&shipped, domain), (group.to_owned(), dead), "{domain}");
    }
}

#[test]
fn limits_and_forms_are_read_with_their_units() {
    let shipped = Destinations::shipped();
    let group = |name: &str| shipped.groups.get(&GroupName::new(name).unwrap()).unwrap().clone();
    let docomo = group("docomo");
    assert_eq!(docomo.limits.rate.map(|r| r.to_string()).as_deref(), Some("1/s"));
    assert_eq!((docomo.limits.message_bytes_max, docomo.limits.line_bytes_max), (Some(3_000_000), Some(998)));
    assert_eq!(docomo.limits.cooldown, Some(std::time::Duration::from_secs(12 * 3_600)));
    assert_eq!((docomo.irregular, group("au").irregular), (AddressForm::Quoted, AddressForm::Quoted));
    assert_eq!(shipped.groups.iter().filter(|g| g.irregular != AddressForm::Refused).count(), 2);
    assert!(docomo.notes.iter().any(|n| n.starts_with("recipients per SMTP session: 100 (published")));
    assert_eq!(group("softbank").limits.header_bytes_max, Some(12_288));
}

/// One line of `tests/replies/seen.csv`: a reply as seen, and what it must mean.
struct Seen {
    rule: String,
    group: Option<GroupName>,
    delivery: Delivery,
    signal: String,
    action: String,
    reason: String,
}

fn seen() -> Vec<Seen> {
    let mut reader = csv::Reader::from_reader(include_str!("../../../tests/replies/seen.csv").as_bytes());
    let mut all = Vec::new();
    for row in reader.records().map(Result::unwrap) {
        let stage = ["connect", "greeting", "hello", "tls", "auth", "mail", "rcpt", "data", "body"]
            .iter()
            .position(|s| *s == &row[2])
            .unwrap();
        use Stage::*;
        let stage = [Connect, Greeting, Hello, Tls, Auth, Mail, Rcpt, Data, Body][stage];
        let (low, high) = row[4].split_once('-').unwrap_or((&row[4], ""));
        let low: Option<Enhanced> = low.parse().ok();
        let high = low.map(|e| Enhanced(e.0, e.1, high.parse().unwrap_or(e.2)));
        for enhanced in if low == high { vec![low] } else { vec![low, high] } {
            let answer = match &row[3] {
                "reset" => Answer::Fault(Fault::Reset),
                code => Answer::Reply(Reply { code: code.parse().unwrap(), enhanced, text: row[5].to_owned() }),
            };
            all.push(Seen {
                rule: row[0].to_owned(),
                group: (!row[1].is_empty()).then(|| GroupName::new(&row[1]).unwrap()),
                delivery: Delivery {
                    stage,
                    answer,
                    rcpt_written: stage >= Stage::Rcpt,
                    dot_begun: stage == Stage::Body,
                },
                signal: row[6].to_owned(),
                action: row[7].to_owned(),
                reason: row[8].to_owned(),
            });
        }
    }
    all
}

#[test]
fn every_reply_seen_in_the_field_is_read_as_the_rules_say() {
    let rules = Destinations::shipped().rules;
    assert!(seen().len() >= 182);
    for one in seen() {
        let reading = rules.read(&one.delivery, one.group.as_ref());
        let told = (reading.signal.as_str(), reading.action.as_str(), reading.reason.as_str());
        let meant = (one.signal.as_str(), one.action.as_str(), one.reason.as_str());
        assert_eq!(told, meant, "{}: {:?}", one.rule, one.delivery);
        assert!(reading.rule.is_some(), "{}: no rule fired", one.rule);
    }
}

#[test]
fn a_groups_rule_never_fires_where_only_the_relay_speaks() {
    let rules = Destinations::shipped().rules;
    let of_groups: Vec<_> =
        rules.all().iter().filter(|r| matches!(r.provider, Provider::Group(_))).map(|r| r.id.clone()).collect();
    for one in seen().into_iter().filter(|one| one.group.is_some()) {
        let reading = rules.read(&one.delivery, None);
        assert!(reading.rule.is_none_or(|id| !of_groups.contains(&id)), "{}", one.rule);
    }
}

fn reply(stage: Stage, text: &str) -> Delivery {
    let (code, text) = text.split_once(' ').unwrap_or((text, ""));
    let enhanced = text.split(' ').next().and_then(|e| e.parse().ok());
    let answer = Answer::Reply(Reply { code: code.parse().unwrap(), enhanced, text: text.to_owned() });
    Delivery { stage, answer, rcpt_written: true, dot_begun: stage == Stage::Body }
}

#[test]
fn the_lessons_of_the_field_hold() {
    let rules = Destinations::shipped().rules;
    let action = |group: &str, stage: Stage, text: &str| {
        rules.read(&reply(stage, text), Some(&GroupName::new(group).unwrap())).action
    };
    assert_eq!(action("docomo", Stage::Rcpt, "550 Unknown user a@docomo.ne.jp"), Action::Suppress);
    assert_eq!(action("docomo", Stage::Body, "550 Unknown user a@docomo.ne.jp"), Action::Fail);
    assert_eq!(action("au", Stage::Rcpt, "550 <a@ezweb.ne.jp>: User unknown"), Action::Suppress);
    assert_eq!(action("au", Stage::Body, "550 : User unknown"), Action::Fail);
    assert_eq!(action("au", Stage::Body, "550 <a@ezweb.ne.jp>: User unknown"), Action::Fail);
    assert_eq!(action("ymobile", Stage::Rcpt, "550 Invalid recipient: <a@ymobile.ne.jp>"), Action::Suppress);
    assert_eq!(
        action("yahoo-jp", Stage::Mail, "553 Mail from 192.0.2.1 not allowed - VS98-IP0 deferred"),
        Action::Block
    );
    for code in ["4.7.26", "4.7.27", "4.7.29", "4.7.30", "4.7.32"] {
        assert_eq!(action("gmail", Stage::Body, &format!("421 {code} whatever it says")), Action::StopCampaign);
    }
    let long = "421 4.7.0 [192.0.2.1 15] Our system has detected that this message is\n4.7.0 suspicious due to the very low\n4.7.0 reputation of the sending IP address.";
    assert_eq!(action("gmail", Stage::Body, long), Action::Block);
    assert_eq!(action("docomo", Stage::Rcpt, "552 Too many recipients"), Action::Throttle);
}

#[test]
fn no_rule_suppresses_for_a_policy_code_alone() {
    for rule in Destinations::shipped().rules.all().iter().filter(|r| r.action == Action::Suppress) {
        assert_eq!(rule.signal, Signal::Recipient, "{}", rule.id);
        assert!(rule.text.is_some() || rule.enhanced.is_some_and(|(e, _)| e.1 != 7), "{}", rule.id);
    }
}

#[test]
fn a_file_of_ones_own_changes_what_it_names_and_keeps_the_rest() {
    let read = read(
        "groups:\n  docomo: { limits: { rate: 2/s } }\n  shop: { domains: [kitty.jp, 例え.jp], bucket: nifty }\n\
         replies:\n  mine: { when: { group: shop, code: 550 }, then: { signal: recipient, action: fail } }\n  \
         docomo-unknown: { when: { group: docomo, text: unknown user }, then: { signal: recipient, action: fail } }\n",
    );
    let own = read.value.expect("no problems");
    let docomo = own.groups.get(&GroupName::new("docomo").unwrap()).unwrap();
    assert_eq!(docomo.limits.rate.map(|r| r.to_string()).as_deref(), Some("2/s"));
    assert_eq!(docomo.limits.messages_per_connection.map(|n| n.get()), Some(20));
    assert_eq!(route(&own, "kitty.jp").0, "shop");
    assert_eq!(route(&own, "xn--r8jz45g.jp").0, "shop");
    let docomo = GroupName::new("docomo").unwrap();
    let answer = own.rules.read(&reply(Stage::Rcpt, "550 Unknown user x"), Some(&docomo));
    assert_eq!((answer.rule.as_deref(), answer.action), (Some("docomo-unknown"), Action::Fail));
}

#[test]
fn what_is_wrong_in_a_file_of_ones_own_is_reported_all_at_once() {
    let found = problems(
        "groups:\n  Docomo: {}\n  shop: { domains: [a b.jp, x.jp, x.jp], suffixes: [shop.jp], patterns: ['(a'], kind: carier, limits: { rat: 1/s } }\n\
         replies:\n  a: { when: {}, then: { signal: recipient, action: suppress } }\n  \
         b: { when: { group: docmo, code: 950 }, then: { signal: content, action: fail } }\n  \
         c: { when: { enhanced: 5.7.1 }, then: { signal: recipient, action: suppress } }\n  \
         d: { when: { text: '{x}', fault: reset }, then: { signal: recipient } }\n  \
         e: { when: { text: '{x}' }, then: { signal: content, action: suppress } }\nreply: {}\n",
    );
    for words in [
        "\"Docomo\" is not a name",
        "expected a domain such as example.jp, got \"a b.jp\"",
        "\"x.jp\" is listed twice",
        "begins with a dot",
        "not a regular expression",
        "carier",
        "unknown key \"rat\"",
        "expected code, enhanced, text or fault",
        "there is no group \"docmo\"",
        "expected a reply code from 200 to 599, got \"950\"",
        "a policy code (x.7.x) without words",
        "a fault comes instead of a reply",
        "\"action\" is missing",
        "which fits any",
        "unknown key \"reply\"",
    ] {
        assert!(found.iter().any(|p| p.contains(words)), "{words} is not in {found:#?}");
    }
}

#[test]
fn the_end_that_every_fitting_domain_has_is_found_where_it_is_plain() {
    for (expression, end) in [
        (r"[a-z0-9]{2}\.ezweb\.ne\.jp", ".ezweb.ne.jp"),
        (r"(mb|sp)[a-z0-9]*\.nifty\.com", ".nifty.com"),
        (r"shop\.jp", "shop.jp"),
        (r"a\.jp|b\.jp", ""),
        (r"(a\.jp|b\.jp)", ""),
        (r"a\d", ""),
        (r"a\.j?", ""),
        (r"x.jp", "jp"),
        (r"[(]a|b\.jp", ""),
        ("", ""),
    ] {
        assert_eq!(super::literal_end(expression), end, "{expression}");
    }
}
