//! Relays known by name: they log in by token, their quota words pause them and no lane, and what they do not sign is signed here.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hikagen::core::campaign::MessageState;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::{Manner, Sink};
use crate::support::{dkim, insight};

const SOON: Duration = Duration::from_secs(30);
const MESSAGES: usize = 20;

fn project(relay: RelayEntry) -> Project {
    let project = Project::empty();
    write_configuration(&project, &[relay]);
    write_plan(&project, "plan.yaml", &[("default", 1000, "100/s")]);
    project
}

fn submit(project: &Project) {
    let campaign = write_campaign(project, "spring", addresses("example.co.jp", MESSAGES));
    project.hikagen(&["submit", &campaign]).expect(0);
}

fn accepted(project: &Project) -> usize {
    insight::count(&project.path("hikagen.db"), "spring", MessageState::Accepted)
}

/// Lets only its owner do anything with a file, and run it.
fn closed(path: &std::path::Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

fn xoauth2(token: &str) -> String {
    let line = format!("user=news@m.example.jp\x01auth=Bearer {token}\x01\x01");
    format!("AUTH XOAUTH2 {}", String::from_utf8(dkim::openssl(&["base64", "-A"], line.as_bytes())).unwrap())
}

/// A server that takes `t1` until it is taken back, then `t2`, and says why in a challenge.
fn server(taken_back: &Arc<AtomicBool>) -> Sink {
    let (taken_back, challenged) = (Arc::clone(taken_back), AtomicBool::new(false));
    let (first, second) = (xoauth2("ya29.t1-secret"), xoauth2("ya29.t2-secret"));
    let why = String::from_utf8(dkim::openssl(&["base64", "-A"], br#"{"status":"401","schemes":"Bearer"}"#)).unwrap();
    let answers = move |command: &str| -> Option<String> {
        let good = if taken_back.load(Ordering::SeqCst) { &second } else { &first };
        match command {
            "" if challenged.swap(false, Ordering::SeqCst) => Some("535 5.7.8 Username and token not accepted".into()),
            "" => None,
            command if command.starts_with("EHLO") => Some("250-sink.example\n250-PIPELINING\n250 AUTH XOAUTH2".into()),
            command if command == good => Some("235 2.7.0 accepted".into()),
            command if command.starts_with("AUTH") => {
                challenged.store(true, Ordering::SeqCst);
                Some(format!("334 {why}"))
            }
            command if command.starts_with("MAIL") && good == &first => {
                taken_back.store(true, Ordering::SeqCst);
                None
            }
            _ => None,
        }
    };
    Sink::with(Manner { answers: Some(Arc::new(answers)), ..Manner::default() })
}

#[test]
fn a_token_is_made_by_a_program_kept_and_made_again_once_it_is_refused() {
    let sink = server(&Arc::default());
    let relay = RelayEntry::new("one", sink.port)
        .connections(1)
        .with(&["kind: gmail", "auth: { user: news@m.example.jp, token: { command: ./token } }"]);
    let project = project(relay);
    // Each connection carries five messages, so that there are several logins.
    let text = project.read("hikagen.yaml").replace("messages_per_connection: 1000", "messages_per_connection: 5");
    project.write("hikagen.yaml", text);
    let program = "#!/bin/sh\necho x >> runs\nprintf '{\"access_token\":\"ya29.t%s-secret\",\"expires_in\":3600}' $(wc -l < runs)\n";
    closed(&project.write("token", program));
    project
        .hikagen(&["check"])
        .expect(0)
        .says("auth.token (command ./token, hidden)")
        .says("limits.per_day 2_000 (preset [3])")
        .says("[3] preset gmail: support.google.com/a/answer/166852 (published)");
    submit(&project);
    let ran = project.start("run", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!((accepted(&project), sink.count()), (MESSAGES, MESSAGES), "{}", ran.out);
    assert!(sink.opened() >= 4, "{} connections", sink.opened());
    assert_eq!(project.read("runs").lines().count(), 2, "the program runs when it must, no more");
    assert!(ran.out.contains("the token is refused: status 401, schemes Bearer"), "{}", ran.out);
    assert!(!ran.out.contains("-secret"), "{}", ran.out);
    project.hikagen(&["audit"]).expect(0);
}

#[test]
fn without_a_token_nothing_leaves_and_the_program_is_named() {
    let sink = server(&Arc::default());
    let relay = RelayEntry::new("one", sink.port)
        .with(&["kind: gmail", "auth: { user: news@m.example.jp, token: { command: ./token } }"]);
    let project = project(relay);
    closed(&project.write("token", "#!/bin/sh\necho consent was withdrawn >&2\nexit 3\n"));
    submit(&project);
    let worker = project.start("run", &["run"]);
    worker.until_it_says("no access token: ./token: exit status: 3 consent was withdrawn", SOON);
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    assert_eq!(sink.count(), 0);
    closed(&project.write("token", "#!/bin/sh\necho ya29.t2-secret\n"));
    project.hikagen(&["resume", "--relay", "one"]).expect(0);
    let sink_takes_second = Arc::new(AtomicBool::new(true));
    let other = server(&sink_takes_second);
    let text = project.read("hikagen.yaml").replace(&format!("port: {}", sink.port), &format!("port: {}", other.port));
    project.write("hikagen.yaml", text);
    project.start("after", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!((accepted(&project), other.count()), (MESSAGES, MESSAGES));
}

#[test]
fn a_relays_quota_words_pause_the_relay_and_no_lane() {
    let full = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&full);
    let sink = Sink::with(Manner {
        answers: Some(Arc::new(move |command: &str| {
            let refused = command == "." && seen.load(Ordering::SeqCst);
            refused.then(|| "550 5.4.5 Daily SMTP relay limit exceeded for user.".to_owned())
        })),
        ..Manner::default()
    });
    let of_kind = |kind: &str| {
        let project = project(RelayEntry::new("one", sink.port).with(&[&format!("kind: {kind}"), "answers: carrier"]));
        submit(&project);
        project
    };
    let project = of_kind("google-workspace");
    let worker = project.start("run", &["run"]);
    worker.until_it_says("10,000 messages/24 h per user", SOON);
    let status = project.hikagen(&["status", "--json"]).expect(0).json();
    let relay = &status["relays"][0];
    assert_eq!(relay["pauses"][0]["cause"], "fault", "{status}");
    assert_eq!(relay["lanes"][0]["holds"][0]["because"], "paused", "{status}");
    assert_eq!(relay["pauses"][0]["scope"], "one", "a lane is paused: {status}");
    assert!(status["relays"][0]["lanes"].as_array().unwrap().iter().all(|lane| lane["pauses"].is_null()), "{status}");
    worker.signal("TERM");
    worker.wait(SOON).expect(0);
    // The same words from a relay that does not speak them are a refusal like any other.
    let other = of_kind("generic");
    other.start("run", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!(insight::count(&other.path("hikagen.db"), "spring", MessageState::Bounced), MESSAGES);
    full.store(false, Ordering::SeqCst);
    project.hikagen(&["resume", "--relay", "one"]).expect(0);
    project.start("after", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!((accepted(&project), sink.count()), (MESSAGES, MESSAGES));
}

#[test]
fn what_a_relay_does_not_sign_is_signed_here_and_checked_against_the_from() {
    let sink = Sink::open();
    let relay = RelayEntry::new("one", sink.port).with(&["dkim: { selector: s1, key: { file: dkim.pem } }"]);
    let project = project(relay);
    let key = dkim::rsa(2048);
    closed(&project.write("dkim.pem", &key.private));
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", MESSAGES));
    let checked = project.hikagen(&["check", &campaign]).expect(0);
    checked.says("DKIM is signed here as m.example.jp; campaign spring (From m.example.jp): aligned");
    checked.says("dkim as m.example.jp, selector s1, (rsa-sha256, 2048 bits in file");
    project.hikagen(&["submit", &campaign]).expect(0);
    project.start("run", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    let messages: Vec<Vec<u8>> = sink.arrivals().into_iter().map(|arrival| arrival.bytes).collect();
    assert_eq!(messages.len(), MESSAGES);
    let held = dkim::hold(&messages, &[("s1._domainkey.m.example.jp", &key.record)]);
    assert!(held.iter().all(|holds| *holds), "{held:?}");
    for (n, message) in messages.iter().enumerate() {
        let broken: Vec<u8> = String::from_utf8_lossy(message).replacen("To: ", "To: x", 1).into_bytes();
        if n == 0 {
            assert_eq!(dkim::hold(&[broken], &[("s1._domainkey.m.example.jp", &key.record)]), [false]);
        }
    }
    project.write("shop.csv", "email,name\na@example.co.jp,A\n");
    let shop = project.read(&campaign).replace("spring", "shop").replace("news@m.example.jp", "news@shop.example.com");
    project.write("shop.txt", "{{ name }}\n");
    project.write("shop.yaml", shop);
    let checked = project.hikagen(&["check", "shop.yaml"]).expect(0);
    checked.says("a signature as m.example.jp does not align with the From shop.example.com of the campaign shop");
    project.hikagen(&["check", "--strict", "shop.yaml"]).expect(1);
    // A campaign that is already in the store is looked at without its file.
    let moved = project.read("hikagen.yaml").replace("selector: s1,", "selector: s1, domain: example.com,");
    project.write("hikagen.yaml", moved);
    let other = write_campaign(&project, "autumn", addresses("example.ne.jp", 1));
    project.hikagen(&["submit", &other]).expect(0);
    project.hikagen(&["check"]).expect(0).says("does not align with the From m.example.jp of the campaign autumn");
    let json = project.hikagen(&["check", "--json"]).expect(0).json();
    assert_eq!(json["in_force"]["relays"][0]["signing"]["signs"], "dkim");
    let signed_here = project.read("hikagen.yaml");
    let line = signed_here.lines().find(|line| line.contains("dkim:")).unwrap();
    project.write("hikagen.yaml", signed_here.replace(line, "    signs: relay"));
    let checked = project.hikagen(&["check", "shop.yaml"]).expect(0);
    checked.says("DKIM is signed by the relay");
    checked.says("DMARC counts the relay's signature only where its account signs as shop.example.com");
    project.write("hikagen.yaml", signed_here.replace(line, ""));
    project
        .hikagen(&["check", &campaign])
        .expect(0)
        .says("nobody is known to sign with DKIM; campaign")
        .says("not signed");
}
