//! Tests of the known relays: each is whole, fills in what it says, and its own words slow or pause the relay, never a lane.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::config::config_file::load_with;
use crate::config::groups_file::Destinations;
use crate::config::in_force::relay_in_force;
use crate::config::settings::{Config, Proof, RelaySettings, TlsMode};
use crate::core::names::GroupName;
use crate::core::reply::{Action, Answer, Delivery, Provider, Reply, Stage};
use crate::core::schedule::{Breaks, Effect, effect};

/// Kind; what must be written beside `domain`, `plan` and the secret; then host, port and protection as they come out.
const ALL: [(&str, &str, &str, u16, TlsMode); 16] = [
    ("exchange-online", "auth: { user: u, token: { env: S } }", "smtp.office365.com", 587, TlsMode::Starttls),
    ("acs", "auth: { user: u, password: { env: S } }", "smtp.azurecomm.net", 587, TlsMode::Starttls),
    (
        "ses",
        "region: ap-northeast-1\n    auth: { user: u, password: { env: S } }",
        "email-smtp.ap-northeast-1.amazonaws.com",
        587,
        TlsMode::Starttls,
    ),
    ("sendgrid", "auth: { password: { env: S } }", "smtp.sendgrid.net", 587, TlsMode::Starttls),
    ("google-workspace", "", "smtp-relay.gmail.com", 587, TlsMode::Starttls),
    ("gmail", "auth: { user: u, token: { env: S } }", "smtp.gmail.com", 587, TlsMode::Starttls),
    ("mailgun", "auth: { user: u, password: { env: S } }", "smtp.mailgun.org", 587, TlsMode::Starttls),
    ("smtp2go", "auth: { user: u, password: { env: S } }", "mail.smtp2go.com", 2525, TlsMode::Starttls),
    (
        "oci",
        "region: ap-tokyo-1\n    auth: { user: u, password: { env: S } }",
        "smtp.email.ap-tokyo-1.oci.oraclecloud.com",
        587,
        TlsMode::Starttls,
    ),
    ("postmark", "auth: { user: u, password: { env: S } }", "smtp-broadcasts.postmarkapp.com", 587, TlsMode::Starttls),
    ("resend", "auth: { password: { env: S } }", "smtp.resend.com", 587, TlsMode::Starttls),
    ("nifcloud", "host: h.example\n    auth: { user: u, password: { env: S } }", "h.example", 587, TlsMode::Starttls),
    ("iijmio", "host: h.example\n    auth: { user: u, password: { env: S } }", "h.example", 587, TlsMode::Starttls),
    ("baremail", "host: h.example\n    auth: { user: u, password: { env: S } }", "h.example", 587, TlsMode::Starttls),
    ("postfix", "host: h.example", "h.example", 587, TlsMode::Starttls),
    ("generic", "host: h.example", "h.example", 587, TlsMode::Starttls),
];

/// 32 octets, as an Ed25519 key.
const SEED: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";

fn read(entry: &str) -> (Option<Config>, String, Option<crate::config::config_file::Written>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hikagen.yaml");
    let text = format!(
        "store: h.db\ntimezone: Asia/Tokyo\nrelays:\n  a:\n    domain: m.example.jp\n    plan: steady\n    {entry}\npools: {{ news: [a] }}\n"
    );
    std::fs::write(&path, text).unwrap();
    let env = |name: &str| match name {
        "S" => Some("s3cret".to_owned()),
        "KEY" => Some(SEED.to_owned()),
        _ => None,
    };
    let (read, written) = load_with(&path, &env);
    (read.value, read.problems.iter().map(|p| p.render(false)).collect(), written)
}

#[track_caller]
fn relay(entry: &str) -> RelaySettings {
    let (config, shown, _) = read(entry);
    (**config.unwrap_or_else(|| panic!("{shown}")).relays.values().next().unwrap()).clone()
}

#[test]
fn every_preset_is_whole_and_names_its_documents() {
    let read = read_presets(&shipped_file());
    assert!(read.problems.is_empty(), "{}", read.problems.iter().map(|p| p.render(false)).collect::<String>());
    assert_eq!(kinds().collect::<BTreeSet<_>>(), ALL.iter().map(|(kind, ..)| *kind).collect());
    for preset in presets() {
        for entry in &preset.settings {
            assert!(preset.source(&entry.key).is_some(), "{}: {}", preset.kind, entry.key);
        }
        for source in preset.sources.values() {
            let sure = ["published", "widely reported", "inferred", "unknown"];
            assert!(sure.iter().any(|word| source.ends_with(&format!(" ({word})"))), "{}: {source}", preset.kind);
        }
        assert!(!preset.sources.is_empty() && !preset.title.is_empty(), "{}", preset.kind);
    }
}

#[test]
fn a_kind_a_name_and_secrets_are_enough() {
    for (kind, more, host, port, tls) in ALL {
        let relay = relay(&format!("kind: {kind}\n    {more}"));
        assert_eq!((relay.host.as_str(), relay.port, relay.tls), (host, port, tls), "{kind}");
        assert_eq!(relay.kind(), Some(kind));
        let by_token = matches!(&relay.auth, Some(login) if matches!(login.proof, Proof::Token(_)));
        assert_eq!(by_token, ["exchange-online", "gmail"].contains(&kind), "{kind}");
        if preset(kind).unwrap().needs_login {
            let (config, shown, _) = read(&format!("kind: {kind}\n    region: us\n    host: h.example"));
            assert!(config.is_none() && shown.contains("takes nobody without a login"), "{kind}: {shown}");
        }
    }
    let sendgrid = relay("kind: sendgrid\n    auth: { password: { env: S } }");
    assert_eq!(sendgrid.auth.unwrap().user, "apikey");
    let exchange = relay("kind: exchange-online\n    auth: { user: u, token: { env: S } }").limits;
    assert_eq!(exchange.rate.map(|rate| rate.to_string()).as_deref(), Some("29/min"));
    let counts = [exchange.burst, exchange.per_day, exchange.connections].map(|n| n.map_or(0, |n| n.get()));
    assert_eq!(counts, [1, 10_000, 3]);
    let acs = relay("kind: acs\n    auth: { user: u, password: { env: S } }").limits;
    assert_eq!([acs.per_hour, acs.message_bytes].map(|n| n.map_or(0, |n| n.get())), [100, 10_485_760]);
}

#[test]
fn what_is_written_wins_and_what_follows_from_it_follows() {
    let exchange =
        "kind: exchange-online\n    auth: { user: u, password: { env: S } }\n    limits: { rate: 1/s, per_day: 500 }";
    let exchange = relay(exchange);
    assert!(matches!(exchange.auth.unwrap().proof, Proof::Password(..)), "who gives a password chose it");
    let limits = exchange.limits;
    assert_eq!(limits.rate.map(|rate| rate.to_string()).as_deref(), Some("1/s"));
    assert_eq!((limits.burst, limits.per_day.map(|n| n.get())), (None, Some(500)), "a burst belongs to its rate");
    assert_eq!(limits.connections.map(|n| n.get()), Some(3));
    for (written, port, tls) in [
        ("tls: implicit", 465, TlsMode::Implicit),
        ("port: 8465", 8465, TlsMode::Implicit),
        ("port: 8025", 8025, TlsMode::Starttls),
        ("port: 443", 443, TlsMode::Implicit),
        ("port: 9999", 9999, TlsMode::Starttls),
        ("port: 465\n    tls: starttls", 465, TlsMode::Starttls),
    ] {
        let relay = relay(&format!("kind: smtp2go\n    auth: {{ user: u, password: {{ env: S }} }}\n    {written}"));
        assert_eq!((relay.port, relay.tls), (port, tls), "{written}");
    }
    let login = "auth: { user: u, password: { env: S } }";
    for (written, host) in [
        ("kind: mailgun\n    region: eu", "smtp.eu.mailgun.org"),
        ("kind: mailgun\n    host: in.example", "in.example"),
        ("kind: ses\n    host: vpce.example", "vpce.example"),
        ("kind: ses\n    region: xx-new-9", "email-smtp.xx-new-9.amazonaws.com"),
    ] {
        assert_eq!(relay(&format!("{written}\n    {login}")).host, host, "{written}");
    }
}

#[test]
fn what_a_preset_cannot_know_is_asked_for_and_odd_ports_are_pointed_out() {
    let login = "auth: { user: u, password: { env: S } }\n    envelope_from: \"b+{token}@m.example.jp\"";
    for (written, words) in [
        (
            "kind: ses\n    region: us-east-1",
            "a: limits.rate and limits.per_day depend on the account and are not written",
        ),
        ("kind: ses\n    region: us-east-1\n    limits: { rate: 14/s }", "a: limits.per_day depend on the account"),
        ("kind: mailgun\n    port: 465\n    tls: starttls", "mailgun takes 465 with `tls: implicit`, not starttls"),
        ("kind: mailgun\n    port: 26", "26 is not a port of mailgun that is known here"),
        ("kind: mailgun\n    region: eu\n    host: in.example", "a: `region` has no effect beside `host`"),
    ] {
        let (config, shown, _) = read(&format!("{written}\n    {login}"));
        assert!(config.is_some() && shown.contains(words), "{words} is not in {shown}");
    }
    for written in [
        "kind: mailgun\n    port: 2525",
        "kind: ses\n    region: us-east-1\n    limits: { rate: 14/s, per_day: 50_000 }",
    ] {
        let (_, shown, _) = read(&format!("{written}\n    {login}"));
        assert_eq!(shown, "", "{written}");
    }
}

#[test]
fn what_a_relay_rewrites_is_not_signed_before_it() {
    let signed = |kind: &str| {
        let auth = "region: us-east-1\n    host: h.example\n    auth: { user: u, password: { env: S } }";
        let relay = relay(&format!("kind: {kind}\n    {auth}\n    dkim: {{ selector: S1, key: {{ env: KEY }} }}"));
        let signer = relay.dkim.unwrap();
        assert_eq!(
            (signer.domain(), signer.selector(), signer.key().algorithm()),
            ("m.example.jp", "s1", "ed25519-sha256")
        );
        signer.headers().contains(&"message-id".to_owned()) && signer.headers().contains(&"date".to_owned())
    };
    assert!(!signed("ses") && signed("postfix"));
    let (_, shown, _) = read("host: h.example\n    dkim: { selector: s1, key: { env: S } }");
    assert!(shown.contains("the DKIM key in env S cannot be used") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn each_value_shows_the_document_or_the_line_that_says_it() {
    let (config, _, written) =
        read("kind: ses\n    region: ap-northeast-3\n    port: 465\n    auth: { user: u, password: { env: S } }");
    let (config, written) = (config.unwrap(), written.unwrap());
    let all = relay_in_force(config.relays.values().next().unwrap(), &written);
    let shown = |key: &str| {
        let found = all.iter().find(|one| one.key == key).unwrap_or_else(|| panic!("{key}"));
        format!("{} ({})", found.value, found.source)
    };
    assert_eq!(shown("kind"), "ses, Amazon SES (line 7)");
    assert_eq!(shown("port"), "465 (line 9)");
    let document = "preset ses: docs.aws.amazon.com/ses/latest/dg/smtp-connect.html (published)";
    assert_eq!(shown("host"), format!("email-smtp.ap-northeast-3.amazonaws.com ({document})"));
    assert_eq!(shown("tls"), format!("implicit ({document})"));
    assert_eq!(shown("auth.user"), "u (line 10)");
    assert_eq!(shown("auth.password"), "(env S, hidden) (line 10)");
    assert_eq!(shown("limits.connections"), "4 (built in)");
}

fn reply(stage: Stage, text: &str) -> Delivery {
    let (code, text) = text.split_once(' ').unwrap();
    let enhanced = text.split(' ').next().and_then(|first| first.parse().ok());
    let answer = Answer::Reply(Reply { code: code.parse().unwrap(), enhanced, text: text.to_owned() });
    Delivery { stage, answer, rcpt_written: stage >= Stage::Rcpt, dot_begun: stage == Stage::Body }
}

/// The words that the relays' documents quote, and what they must do.
const WORDS: [(&str, Stage, &str, Action); 26] = [
    (
        "exchange-online",
        Stage::Body,
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
        Action::Throttle,
    ),
    (
        "exchange-online",
        Stage::Greeting,
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.",
        Action::Throttle,
    ),
    (
        "exchange-online",
        Stage::Body,
        "550 5.7.233 Your message can't be sent because your tenant exceeded",
        Action::Block,
    ),
    ("exchange-online", Stage::Body, "550 5.7.232 Your message can't be sent because your trial tenant", Action::Block),
    ("exchange-online", Stage::Rcpt, "550 5.1.90 Your message can't be sent because you've reached", Action::Block),
    (
        "exchange-online",
        Stage::Auth,
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        Action::Block,
    ),
    ("acs", Stage::Body, "450 HTTP 429 too many requests", Action::Throttle),
    ("ses", Stage::Body, "454 Throttling failure: Maximum sending rate exceeded", Action::Throttle),
    ("ses", Stage::Body, "454 Throttling failure: Daily message quota exceeded", Action::Block),
    ("ses", Stage::Greeting, "421 Too many concurrent SMTP connections", Action::Throttle),
    ("ses", Stage::Body, "451 Temporary service failure", Action::Retry),
    ("sendgrid", Stage::Auth, "451 Authentication failed: Maximum credits exceeded", Action::Block),
    ("google-workspace", Stage::Rcpt, "550 5.4.5 Daily SMTP relay limit exceeded for user. For more", Action::Block),
    ("google-workspace", Stage::Rcpt, "550 5.7.1 Daily SMTP relay limit exceeded for customer. For", Action::Block),
    ("google-workspace", Stage::Rcpt, "450 4.2.1 Peak SMTP relay limit exceeded for this customer.", Action::Throttle),
    ("gmail", Stage::Body, "550 5.4.5 Daily user sending limit exceeded. For more", Action::Block),
    ("gmail", Stage::Body, "550 5.4.5 Daily user sending quota exceeded.", Action::Block),
    ("gmail", Stage::Rcpt, "550 5.4.5 Daily sending quota exceeded", Action::Block),
    ("gmail", Stage::Body, "550 5.4.5 https://support.google.com/mail/?p=DailyLimitExceeded", Action::Block),
    ("google-workspace", Stage::Body, "550 5.4.5 Daily sending quota exceeded", Action::Block),
    ("google-workspace", Stage::Mail, "550 5.7.1 Invalid credentials for relay [192.0.2.1]. The IP", Action::Block),
    (
        "exchange-online",
        Stage::Body,
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to",
        Action::Block,
    ),
    ("oci", Stage::Body, "455 Maximum messages sent per minute reached : limit is 18000", Action::Throttle),
    ("oci", Stage::Body, "455 Maximum messages sent per day reached : limit is 200", Action::Block),
    ("postfix", Stage::Mail, "450 4.7.1 Error: too much mail from 192.0.2.1", Action::Throttle),
    ("postfix", Stage::Mail, "452 4.3.1 Insufficient system storage", Action::Throttle),
];

#[test]
fn a_relays_own_words_slow_or_pause_the_relay_and_never_a_lane() {
    let rules = Destinations::bare().rules;
    let docomo = GroupName::new("docomo").unwrap();
    for (kind, stage, text, action) in WORDS {
        let delivery = reply(stage, text);
        for group in [None, Some(&docomo)] {
            // In a carrier's mail only words tell a relay: a bare code may be the carrier's.
            let words = rules
                .all()
                .iter()
                .any(|r| r.text.is_some() && rules.read_from(Some(kind), &delivery, None).rule == Some(r.id.clone()));
            if group.is_some() && !words {
                continue;
            }
            let reading = rules.read_from(Some(kind), &delivery, group);
            assert_eq!(
                (reading.action, reading.from_relay, reading.rule.is_some()),
                (action, true, true),
                "{kind}: {text}"
            );
            let (mut lane, mut relay) = (Breaks::default(), Breaks::default());
            let hour = Duration::from_secs(3_600);
            let seen = effect(&reading, stage, group.is_none(), hour, (&mut lane, &mut relay), Timestamp::UNIX_EPOCH);
            assert_eq!(matches!(seen, Effect::PauseRelay(_)), action != Action::Retry, "{kind}: {text}: {seen:?}");
            assert!(!matches!(seen, Effect::PauseLane(_)), "{kind}: {text}");
        }
        let elsewhere = rules.read_from(Some("generic"), &delivery, None);
        assert_eq!(elsewhere.rule, None, "{kind}: {text} was heard from another kind of relay");
        assert!(rules.read(&delivery, None).rule.is_some(), "{kind}: {text} is not heard where the kind is not known");
    }
    let suppressed = reply(Stage::Body, "254 4.7.1 Suppression for user ocid1.user to taro@example.jp");
    assert_eq!(rules.read_from(Some("oci"), &suppressed, None).action, Action::Suppress);
}

#[test]
fn what_a_postfix_says_slows_it_where_it_speaks_alone_and_the_lane_where_a_carrier_may() {
    let rules = Destinations::shipped().rules;
    let docomo = GroupName::new("docomo").unwrap();
    for text in [
        "421 4.7.0 m.example.jp Error: too many connections from 192.0.2.1",
        "450 4.7.1 Error: too much mail from 192.0.2.1",
    ] {
        let heard = |group| rules.read_from(Some("postfix"), &reply(Stage::Mail, text), group);
        assert_eq!((heard(None).action, heard(None).from_relay), (Action::Throttle, true), "{text}");
        assert!(!heard(Some(&docomo)).from_relay, "{text}");
    }
}

#[test]
fn every_rule_of_the_file_is_a_relays_and_of_a_kind_that_exists() {
    for rule in Destinations::bare().rules.all() {
        match &rule.provider {
            Provider::Relay(kind) => assert!(preset(kind).is_some(), "{}: {kind}", rule.id),
            other => panic!("{}: {other:?}", rule.id),
        }
    }
}
