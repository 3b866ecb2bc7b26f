//! Tests of the configuration file: what is read, and that it is a pure function of files and environment.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use secrecy::ExposeSecret as _;

use super::*;
use crate::config::settings::{Answers, Login, Proof, TlsMode, Uncertain};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hikagen.yaml")
}

/// A folder with a configuration and a plan.
fn folder(config: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(example().with_file_name("plan.yaml"), folder.path().join("plan.yaml")).unwrap();
    let path = folder.path().join("hikagen.yaml");
    fs::write(&path, config).unwrap();
    (folder, path)
}

fn relay(settings: &str) -> String {
    format!(
        "store: h.db\ntimezone: Asia/Tokyo\nrelays:\n  a:\n    host: 127.0.0.1\n    port: 2525\n    tls: none\n    \
         domain: m.example.jp\n    plan: plan.yaml\n    envelope_from: \"b+{{token}}@m.example.jp\"\n{settings}\n\
         pools: {{ news: [a] }}\n"
    )
}

fn read(config: &str, env: &[(&str, &str)]) -> Read<Config> {
    let (_folder, path) = folder(config);
    let lookup = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    load_with(&path, &lookup).0
}

fn password(login: &Login) -> &str {
    match &login.proof {
        Proof::Password(secret, _) => secret.text.expose_secret(),
        Proof::Token(source) => panic!("a token: {source}"),
    }
}

fn shown(read: &Read<Config>) -> String {
    read.problems.iter().map(|p| p.render(false)).collect()
}

#[test]
fn the_example_works_as_written() {
    let (read, written) = load_with(&example(), &|_| None);
    let config = read.value.as_ref().unwrap_or_else(|| panic!("{}", shown(&read)));
    assert_eq!(config.relays.len(), 2);
    let new = &config.relays[&RelayName::new("tokyo-new").unwrap()];
    assert_eq!((new.host.as_str(), new.port, new.tls), ("127.0.0.1", 2525, TlsMode::None));
    assert_eq!(new.limits.rate.map(|r| r.to_string()).as_deref(), Some("1_200/min"));
    assert_eq!(new.limits.per_day.map(|n| n.get()), Some(200_000));
    assert_eq!(new.headers, [("X-Pool".to_owned(), "new".to_owned())]);
    assert_eq!(new.envelope_from.as_deref(), Some("bounce+{token}@m.example.jp"));
    assert_eq!((new.plan.name.as_str(), new.warmup.day, new.answers), ("spring", 1, Answers::Own));
    let warm = &config.relays[&RelayName::new("tokyo-warm").unwrap()];
    assert_eq!((warm.plan.name.as_str(), warm.plan_source.as_str()), ("steady", "steady"));
    let pool: Vec<_> = config.pools[&PoolName::new("news").unwrap()].iter().map(ToString::to_string).collect();
    assert_eq!(pool, ["tokyo-new", "tokyo-warm"]);
    assert_eq!(config.store, example().with_file_name("hikagen.db"));
    let place = written.unwrap().place(&new.name, "limits.rate").unwrap();
    assert!(fs::read_to_string(example()).unwrap().lines().nth(place.line - 1).unwrap().contains("rate: 1200/min"));
    assert!(read.problems.iter().any(|p| p.message.starts_with("tokyo-warm: without envelope_from")));
}

#[test]
fn every_setting_of_a_relay_is_read() {
    let settings = "    hello: mail.example.jp\n    auth: { user: apikey, password: { env: PW } }\n    answers: carrier\n    \
        source_address: 127.0.0.2\n    pipelining: off\n    uncertain: park\n    \
        timeouts: { connect: 1s, command: 2s, data: 3s, end_of_data: 4s }\n    retry: { after: [1m, 1h] }\n    \
        warmup: { day: 5, started: 2026-11-20 }\n    limits: { burst: 3, connection_age: 90s }\n\
        retry: { lifetime: 12h, uncertain: 20m }\nworker: { drain: 10s, disk_floor: 1GiB, log: json }\n\
        on_event: [notify, \"the team\"]\nfeedback: { full_mailbox_after: 5 }\nsigning_key: { env: KEY }\n";
    let read = read(&relay(settings), &[("PW", "s3cret"), ("KEY", &"0f".repeat(32))]);
    let config = read.value.as_ref().unwrap_or_else(|| panic!("{}", shown(&read)));
    let a = config.relays.values().next().unwrap();
    let login = a.auth.as_ref().unwrap();
    assert_eq!((login.user.as_str(), password(login)), ("apikey", "s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
    assert_eq!((a.answers, a.uncertain, a.pipelining), (Answers::Carrier, Uncertain::Park, false));
    assert_eq!(a.timeouts.end_of_data, Duration::from_secs(4));
    assert_eq!(a.retry.after, [Duration::from_secs(60), Duration::from_secs(3_600)]);
    assert_eq!((a.retry.lifetime, a.retry.uncertain), (Duration::from_secs(43_200), Duration::from_secs(1_200)));
    assert_eq!((a.warmup.day, a.warmup.started.unwrap().to_string().as_str()), (5, "2026-11-20"));
    assert_eq!(a.limits.connection_age, Some(Duration::from_secs(90)));
    assert_eq!((config.worker.disk_floor, config.worker.log), (1 << 30, LogFormat::Json));
    assert_eq!(config.worker.on_event.as_deref(), Some(&["notify".to_owned(), "the team".to_owned()][..]));
    assert_eq!(config.feedback.full_mailbox_after, 5);
    assert_eq!(config.signing_key.as_ref().unwrap().place, "env KEY");
}

#[test]
fn a_secret_in_a_file_is_one_line_and_no_affair_of_anybody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = folder(&relay("    auth: { user: u, password: { file: pw } }\n"));
    let pw = folder.path().join("pw");
    let (write, read) = (|text: &str| fs::write(&pw, text).unwrap(), || load_with(&path, &|_| None).0);
    assert!(shown(&read()).contains("cannot read"));
    write("s3cret\n");
    fs::set_permissions(&pw, fs::Permissions::from_mode(0o600)).unwrap();
    let config = read().value.unwrap();
    assert_eq!(password(config.relays.values().next().unwrap().auth.as_ref().unwrap()), "s3cret");
    fs::set_permissions(&pw, fs::Permissions::from_mode(0o644)).unwrap();
    let open = read();
    assert!(open.value.is_some() && shown(&open).contains("anybody on this machine may read"));
    fs::set_permissions(&pw, fs::Permissions::from_mode(0o602)).unwrap();
    assert!(read().value.is_none());
    fs::set_permissions(&pw, fs::Permissions::from_mode(0o600)).unwrap();
    for broken in ["", "a\nb\n", "a\u{0}b"] {
        write(broken);
        assert!(read().value.is_none(), "{broken:?}");
    }
}

#[test]
fn a_password_in_clear_is_refused_and_not_repeated() {
    for settings in
        ["    auth: { user: u, password: S3cret }\n", "    auth:\n      user: u\n      password: S3cret # S3cret\n"]
    {
        let read = read(&relay(settings), &[]);
        let shown = shown(&read);
        assert!(shown.contains("a password is not written in clear here") && !shown.contains("S3cret"), "{shown}");
    }
}

#[test]
fn plans_and_groups_of_ones_own_are_read_beside_the_configuration() {
    let (dir, path) = folder(&relay("groups: [builtin, mine.yaml]\n"));
    fs::write(dir.path().join("mine.yaml"), "groups: { shop: { domains: [shop.example] } }\n").unwrap();
    let read = load_with(&path, &|_| None).0;
    let config = read.value.as_ref().unwrap_or_else(|| panic!("{}", shown(&read)));
    assert_eq!(config.groups.route("shop.example").group.name.as_str(), "shop");
    assert_eq!(config.groups.iter().count(), 25);
    let bad = relay("groups: [builtin, mine.yaml]\n");
    fs::write(&path, bad.replace("port: 2525", "port: 0")).unwrap();
    fs::write(dir.path().join("mine.yaml"), "groups: { shop: { domain: [shop.example] } }\n").unwrap();
    let read = load_with(&path, &|_| None).0;
    assert!(shown(&read).contains("mine.yaml:1:") && shown(&read).contains("expected a port"), "{}", shown(&read));
}

#[test]
fn a_date_that_is_past_is_pointed_out() {
    let (_dir, path) = folder(&relay("    warmup: { started: 2026-11-20 }\n"));
    let (read, written) = load_with(&path, &|_| None);
    let (config, written) = (read.value.unwrap(), written.unwrap());
    let lints = |day: i8| past_starts(&config, &written, |_| Date::constant(2026, 11, day)).len();
    assert_eq!((lints(20), lints(21)), (0, 1));
}

#[test]
fn a_next_plan_is_in_force_from_its_plan_day_on() {
    let config = relay("    next_plan: { plan: steady, from: 2026-12-01 }\n");
    let config = read(&config, &[]).value.unwrap();
    let plan_at = |time: &str| {
        let config = config.clone().in_force_at(time.parse().unwrap());
        let relay = config.relays.values().next().unwrap().clone();
        (relay.plan.name.to_string(), relay.plan_source.clone(), relay.next_plan.is_some())
    };
    let (spring, steady) = (("spring".to_owned(), "plan.yaml".to_owned()), ("steady".to_owned(), "steady".to_owned()));
    assert_eq!(plan_at("2026-11-30T23:59:59+09:00"), (spring.0, spring.1, true));
    assert_eq!(plan_at("2026-12-01T00:00:00+09:00"), (steady.0, steady.1, false));
    for (broken, told) in [
        ("{ plan: steady }", "\"from\" is missing"),
        ("{ from: 2026-12-01 }", "\"plan\" is missing"),
        ("{ plan: steady, from: tomorrow }", "expected a date"),
        ("{ plan: stedy, from: 2026-12-01 }", "there is no plan \"stedy\""),
        ("{ plan: steady, from: 2026-12-01, until: x }", "unknown key \"until\""),
    ] {
        let read = read(&relay(&format!("    next_plan: {broken}\n")), &[]);
        assert!(read.value.is_none() && shown(&read).contains(told), "{broken}: {}", shown(&read));
    }
}

#[test]
fn the_same_files_read_the_same_and_changed_ones_anew() {
    let (_dir, path) = folder(&relay(""));
    let port = || load_with(&path, &|_| None).0.value.map(|c| c.relays.values().next().unwrap().port);
    assert_eq!((port(), port()), (Some(2525), Some(2525)));
    fs::write(&path, relay("").replace("2525", "2626")).unwrap();
    assert_eq!(port(), Some(2626));
    fs::write(&path, "nonsense").unwrap();
    assert_eq!(port(), None);
}

#[test]
fn a_plan_in_another_zone_than_the_campaigns_is_pointed_out_once() {
    let lints = |zone: &str| {
        let twice =
            relay("").replace("pools:", "  b: { host: localhost, domain: m.example.jp, plan: plan.yaml }\npools:");
        let read = read(&twice.replace("Asia/Tokyo", zone), &[]);
        assert!(read.value.is_some(), "{}", shown(&read));
        read.problems.iter().filter(|p| p.message.contains("campaign times in")).count()
    };
    assert_eq!((lints("Asia/Tokyo"), lints("UTC")), (0, 1));
}

#[test]
fn relays_that_nothing_tells_apart_or_nobody_uses_are_pointed_out() {
    let both = relay("").replace(
        "pools:",
        "  b:\n    host: 127.0.0.1\n    port: 2525\n    tls: none\n    domain: m.example.jp\n    plan: plan.yaml\n    \
         envelope_from: \"b+{token}@m.example.jp\"\n    limits: { rate: 1/min, per_day: 50_000 }\npools:",
    );
    let read = read(&both, &[]);
    let shown = shown(&read);
    assert!(read.value.is_some(), "{shown}");
    for words in [
        "nothing tells the relays a and b apart at 127.0.0.1",
        "no pool uses the relay b",
        "the rate 1/min never comes to half of per_day",
    ] {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
}

#[test]
fn accounts_with_one_user_are_told_apart_by_where_their_secrets_are_kept() {
    let twins = |a: &str, b: &str| {
        let login = |proof: &str| format!("    auth: {{ user: apikey, {proof} }}\n");
        let other = "  b:\n    host: 127.0.0.1\n    port: 2525\n    tls: none\n    domain: m.example.jp\n    plan: plan.yaml\n    \
                     envelope_from: \"b+{token}@m.example.jp\"\n";
        let text = relay(&login(a)).replace("pools:", &format!("{other}{}pools:", login(b)));
        let read = read(&text, &[("A", "SG.a"), ("B", "SG.b")]);
        assert!(read.value.is_some(), "{}", shown(&read));
        shown(&read).contains("nothing tells the relays a and b apart")
    };
    let (a, b) = ("password: { env: A }", "password: { env: B }");
    assert!(twins(a, a) && !twins(a, b) && !twins(b, a));
    let (yes, no) = ("token: { command: [/bin/true] }", "token: { command: [/bin/true, b] }");
    assert!(twins(yes, yes) && !twins(yes, no) && !twins("token: { env: A }", yes));
}

#[test]
fn a_known_relay_that_is_written_by_its_host_is_pointed_out() {
    let said = |host: &str, more: &str| {
        let text =
            relay(more).replace("host: 127.0.0.1", &format!("host: {host}")).replace("tls: none", "tls: starttls");
        let shown = shown(&read(&text, &[("A", "x")]));
        shown.split_once("without `kind`").map(|(_, rest)| {
            let rest = rest.split_once("write `kind: ").map_or("", |(_, rest)| rest);
            rest.split('`').next().unwrap_or_default().to_owned()
        })
    };
    for (host, kind) in [
        ("email-smtp.ap-northeast-1.amazonaws.com", "ses"),
        ("Email-SMTP.xx-new-9.amazonaws.com", "ses"),
        ("smtp.email.ap-tokyo-1.oci.oraclecloud.com", "oci"),
        ("smtp.eu.mailgun.org", "mailgun"),
        ("smtp.sendgrid.net", "sendgrid"),
    ] {
        assert_eq!(said(host, "").as_deref(), Some(kind), "{host}");
    }
    for host in ["email-smtp..amazonaws.com", "email-smtp.a.b.amazonaws.com", "smtp.example.jp", "amazonaws.com"] {
        assert_eq!(said(host, ""), None, "{host}");
    }
    let login = "    auth: { user: u, password: { env: A } }";
    assert_eq!(said("email-smtp.ap-northeast-1.amazonaws.com", &format!("    kind: ses\n{login}")), None);
    assert_eq!(said("email-smtp.ap-northeast-1.amazonaws.com", "    kind: generic"), None);
}

#[test]
fn a_relay_for_which_nobody_signs_is_pointed_out_unless_it_is_on_this_machine() {
    let said = |host: &str, more: &str| {
        let text =
            relay(more).replace("host: 127.0.0.1", &format!("host: {host}")).replace("tls: none", "tls: starttls");
        shown(&read(&text, &[])).contains("to sign its messages with DKIM")
            || shown(&read(&text, &[])).contains("nobody signs")
    };
    assert!(said("relay.example.jp", "") && said("relay.example.jp", "    signs: nobody"));
    assert!(!said("127.0.0.1", "") && !said("relay.example.jp", "    signs: relay"));
    assert!(!said("relay.example.jp", "    kind: mailgun\n    auth: { user: u, token: { command: /bin/true } }"));
}

#[test]
fn a_signing_key_that_is_none_and_a_program_that_is_not_there_are_refused() {
    let read = read(&(relay("") + "signing_key: { env: KEY }\non_event: /no/such/program\n"), &[("KEY", "T0psecret")]);
    let shown = shown(&read);
    assert!(shown.contains("the signing key in env KEY is not 32 bytes") && !shown.contains("T0psecret"), "{shown}");
    assert!(shown.contains("there is no program /no/such/program"), "{shown}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_ends_the_program(
        which in 0_usize..4, at in 0_usize..4_000, cut in 0_usize..40, put in "[\\PC\n\t:{}\\[\\]\"'#,|>-]{0,12}",
    ) {
        let folder = example();
        let name = ["hikagen.yaml", "campaign.yaml", "plan.yaml", "groups"][which];
        let text = match name {
            "groups" => "groups:\n  shop: { domains: [a.jp], limits: { rate: 1/s } }\nreplies:\n  x: { when: { group: shop, \
                         code: 550, text: \"a {b}\" }, then: { signal: volume, action: block } }\n"
                .to_owned(),
            file => fs::read_to_string(folder.with_file_name(file)).unwrap(),
        };
        let start = text.floor_char_boundary(at % text.len());
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        let file = SourceFile::new(&folder.display().to_string(), &struck_out(&damaged));
        let problems = match name {
            "hikagen.yaml" => {
                let (_dir, path) = self::folder(&damaged);
                load_with(&path, &|_| None).0.problems
            }
            "campaign.yaml" => {
                crate::config::campaign_file::read_campaign_file(&file, &jiff::tz::TimeZone::UTC).problems
            }
            "plan.yaml" => read_plan_file(&file, &Destinations::shipped().groups).problems,
            _ => read_destinations(&file, Destinations::shipped()).problems,
        };
        for problem in problems {
            proptest::prop_assert!(!problem.render(false).is_empty());
        }
    }
}

#[test]
fn details_are_kept_for_90_days_for_a_span_or_for_ever() {
    let retention = |line: &str| {
        let read = read(&(relay("") + line), &[]);
        (read.value.as_ref().map(|config| config.worker.retention), shown(&read))
    };
    let days = |n: u64| Some(Some(Duration::from_secs(n * 86_400)));
    assert_eq!(retention("").0, days(90));
    let (kept, said) = retention("retention: 31d\n");
    assert!(kept == days(31) && !said.contains("folded"), "{said}");
    assert_eq!(retention("retention: forever\n").0, Some(None));
    let (kept, lint) = retention("retention: 7d\n");
    assert!(kept == days(7) && lint.contains("`audit` looks back 31 days"), "{lint}");
    for refused in ["23h", "0d", "401d", "never", "90"] {
        let (kept, problem) = retention(&format!("retention: {refused}\n"));
        assert!(kept.is_none() && problem.contains("expected a span from 1d to 400d"), "{refused}: {problem}");
    }
}
