//! One file of `dialogues/` is one behaviour: a scripted server, and what the relay must make of it.
//!
//! Lines of a file: `# a sentence`; `set: key=value ...` (settings and mail; `ahead`: each envelope but the first leaves behind
//! the message before it); `expect: key=value ...`, one per delivery, or the
//! one of a connection that cannot be opened; then the script. `S: text` says a line, `S+: text` says raw bytes with escapes,
//! `C: text` wants a line (a final `*` stands for anything), `MESSAGE` wants the whole message as sent, `PART` its first
//! line; `CLOSE`, `RESET`, `STALL`, `DEAF` end it their way, `DROP` makes the caller drop its delivery. `|` parts alternatives.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hikagen::config::settings::{Mechanism, Proof, RelaySettings, TlsMode};
use hikagen::core::reply::Delivery;
use hikagen::relay::smtp::SmtpRelay;
use hikagen::relay::{Connection, Outgoing, Relay};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::settings;

/// Gives up a script that hangs; no test waits that long when it passes.
const HANGS: Duration = Duration::from_secs(30);

type Pairs = BTreeMap<String, String>;

struct Dialogue {
    set: Pairs,
    expect: Vec<Pairs>,
    script: Vec<String>,
    scratch: tempfile::TempDir,
}

impl Dialogue {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/dialogues").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut dialogue =
            Self { set: Pairs::new(), expect: Vec::new(), script: Vec::new(), scratch: tempfile::tempdir().unwrap() };
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("set", rest)) => dialogue.set.extend(pairs(rest)),
                Some(("expect", rest)) => dialogue.expect.push(pairs(rest)),
                _ if line.is_empty() || line.starts_with('#') => {}
                _ => dialogue.script.push(line.to_owned()),
            }
        }
        dialogue
    }

    fn settings(&self, port: u16) -> RelaySettings {
        let mut relay = settings::relay(port);
        for (key, value) in &self.set {
            match key.as_str() {
                "pipelining" => relay.pipelining = value != "off",
                "patience" => {
                    let patience = Duration::from_millis(value.parse().unwrap());
                    relay.timeouts.command = patience;
                    relay.timeouts.data = patience;
                    relay.timeouts.end_of_data = patience;
                }
                "login" => {
                    let (user, password) = value.split_once(':').unwrap();
                    relay.auth = Some(settings::login(user, password));
                }
                // Behind `login` in the order of the keys.
                "mechanism" => {
                    assert_eq!(value, "login");
                    let login = relay.auth.as_mut().expect("a login");
                    let Proof::Password(_, mechanism) = &mut login.proof else { panic!("a password") };
                    *mechanism = Mechanism::Login;
                }
                "token" => {
                    let (user, token) = value.split_once(' ').unwrap();
                    relay.auth = Some(settings::token(user, token));
                }
                // A program that prints the first token, then the second; the first was made for a login before.
                "token-kept" => {
                    let (user, tokens) = value.split_once(' ').unwrap();
                    let (old, new) = tokens.split_once(' ').unwrap();
                    let used = self.scratch.path().join("used");
                    let script =
                        format!("if [ -e {0} ]; then echo {new}; else echo {old}; touch {0}; fi", used.display());
                    relay.auth = Some(settings::token_by(user, &script));
                }
                "token-fails" => relay.auth = Some(settings::token_by(value, "echo no consent >&2; exit 7")),
                "tls" => relay.tls = if value == "implicit" { TlsMode::Implicit } else { TlsMode::Starttls },
                "hello" => relay.hello = Some(value.clone()),
                "recipient" | "alternative" | "from" | "message" | "ahead" => {}
                other => panic!("unknown setting {other}"),
            }
        }
        relay
    }

    fn mail(&self) -> Outgoing {
        let of = |key: &str, usual: &str| self.set.get(key).map_or(usual, String::as_str).to_owned();
        let bytes = match self.set.get("message").map(String::as_str) {
            None => b"Subject: one\r\n\r\nhello\r\n.dot\r\n..two\r\n".to_vec(),
            Some("8bit") => "Subject: one\r\n\r\nこんにちは\r\n".as_bytes().to_vec(),
            Some("bare") => b"Subject: one\n\nhello\n.\nMAIL FROM:<evil@example.jp>\r.\r".to_vec(),
            Some("large") => {
                [b"Subject: one\r\n\r\n", format!("{}\r\n", "x".repeat(990)).repeat(12_000).as_bytes()].concat()
            }
            Some(other) => panic!("unknown message {other}"),
        };
        Outgoing {
            envelope_from: of("from", "news@sender.example"),
            recipient: of("recipient", "taro@example.jp"),
            recipient_alternative: self.set.get("alternative").cloned(),
            bytes,
        }
    }
}

/// `key=value key="two words" word`; a word alone is `true`.
fn pairs(text: &str) -> Pairs {
    let mut found = Pairs::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        let (value, tail) = match tail.strip_prefix('=') {
            None => ("true", tail),
            Some(tail) => match tail.strip_prefix('\'') {
                Some(quoted) => quoted.split_once('\'').expect("a closing quote"),
                None => tail.split_at(tail.find(' ').unwrap_or(tail.len())),
            },
        };
        found.insert(key.to_owned(), value.to_owned());
        rest = tail.trim_start();
    }
    found
}

/// Bytes of a text with `\r`, `\n`, `\\` and `\xNN`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next().expect("something escaped") {
                'r' => out.push(b'\r'),
                'n' => out.push(b'\n'),
                'x' => {
                    let hex: String = chars.by_ref().take(2).collect();
                    out.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                other => out.push(u8::try_from(other).unwrap()),
            },
            _ => out.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    out
}

async fn play(script: &[String], tcp: TcpStream, message: &[u8], drop_now: &Notify) -> Result<(), String> {
    let mut stream = BufReader::new(tcp);
    for line in script {
        let failed = |what: &str| format!("at `{line}`: {what}");
        match line.split_once(": ").unwrap_or((line, "")) {
            ("S", text) => {
                stream.write_all(format!("{text}\r\n").as_bytes()).await.map_err(|e| failed(&e.to_string()))?
            }
            ("S+", text) => stream.write_all(&unescaped(text)).await.map_err(|e| failed(&e.to_string()))?,
            ("S*", text) => {
                let (times, text) = text.split_once(' ').ok_or_else(|| failed("how often?"))?;
                let endless = unescaped(text).repeat(times.parse().map_err(|_| failed("how often?"))?);
                // The client may have had enough.
                let _ = stream.write_all(&endless).await;
            }
            ("C", wanted) => {
                let got = heard(&mut stream).await.ok_or_else(|| failed("the client closed"))?;
                let fits = match wanted.strip_suffix('*') {
                    Some(start) => got.starts_with(start),
                    None => got == wanted,
                };
                if !fits {
                    return Err(failed(&format!("got `{got}`")));
                }
            }
            ("MESSAGE", _) => {
                let mut got = Vec::new();
                while !got.ends_with(b"\r\n.\r\n") {
                    if stream.read_until(b'\n', &mut got).await.map_err(|e| failed(&e.to_string()))? == 0 {
                        return Err(failed("the client closed"));
                    }
                }
                got.truncate(got.len() - 3);
                if unstuffed(&got) != message {
                    return Err(failed(&format!("got {}", got.escape_ascii())));
                }
            }
            ("PART", _) => drop(heard(&mut stream).await.ok_or_else(|| failed("the client closed"))?),
            // Behind STARTTLS the client speaks first, in bytes that are no lines.
            ("SPEAK", text) => {
                let _ = stream.read_u8().await;
                stream.write_all(format!("{text}\r\n").as_bytes()).await.map_err(|e| failed(&e.to_string()))?;
            }
            // Reads nothing more, and keeps the connection until the caller has had its answer.
            ("DEAF", _) => {
                drop_now.notified().await;
                return Ok(());
            }
            ("CLOSE", _) => return Ok(()),
            ("RESET", _) => return stream.get_ref().set_zero_linger().map_err(|e| failed(&e.to_string())),
            ("DROP", _) => drop_now.notify_one(),
            ("STALL", _) => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                return Ok(());
            }
            _ => return Err(failed("not a line of a script")),
        }
    }
    // What is left is a farewell.
    match heard(&mut stream).await.as_deref() {
        None => Ok(()),
        Some("QUIT") => stream.write_all(b"221 2.0.0 bye\r\n").await.map_err(|e| e.to_string()),
        Some(more) => Err(format!("the script is over, and the client says `{more}`")),
    }
}

async fn heard(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    let n = stream.read_until(b'\n', &mut line).await.ok()?;
    (n > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn unstuffed(stuffed: &[u8]) -> Vec<u8> {
    stuffed.split_inclusive(|b| *b == b'\n').flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

fn check(expected: &Pairs, delivery: &Delivery, usable: Option<bool>, told: &str) {
    let shown = delivery.answer.to_string();
    for (key, wanted) in expected {
        let got = match key.as_str() {
            "stage" => delivery.stage.as_str().to_owned(),
            "answer" => shown.clone(),
            "accepted" => delivery.is_accepted().to_string(),
            "uncertain" => delivery.is_uncertain().to_string(),
            "rcpt_written" => delivery.rcpt_written.to_string(),
            "dot_begun" => delivery.dot_begun.to_string(),
            "then_closed" => continue,
            "usable" => usable.expect("a connection").to_string(),
            other => panic!("unknown expectation {other}"),
        };
        let fits = wanted.split('|').any(|wanted| match wanted.strip_suffix('*') {
            Some(start) => got.starts_with(start),
            None => got == wanted,
        });
        assert!(fits, "{told}: {key}: expected {wanted}, got {got}; {delivery:?}");
    }
    if expected.contains_key("accepted") {
        assert!(delivery.rcpt_written && delivery.dot_begun, "{told}: accepted, and nothing written? {delivery:?}");
    }
}

async fn run(name: &str) {
    let dialogue = Dialogue::read(name);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = SmtpRelay::new(Arc::new(dialogue.settings(listener.local_addr().unwrap().port()))).unwrap();
    if dialogue.set.contains_key("token-kept") {
        logged_in_before(&relay, &listener).await;
    }
    let mail = dialogue.mail();
    let (script, sent) = (dialogue.script.clone(), normal(&mail.bytes));
    let drop_now = Arc::new(Notify::new());
    let dropping = Arc::clone(&drop_now);
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        play(&script, tcp, &sent, &dropping).await
    });
    let ahead = dialogue.set.contains_key("ahead");
    let told = timeout(HANGS, converse(&dialogue.expect, &relay, &mail, ahead, &drop_now, &server)).await;
    let played = timeout(HANGS, server).await;
    let played = played.unwrap_or_else(|_| panic!("{name}: the server hangs")).unwrap();
    told.unwrap_or_else(|_| panic!("{name}: the relay hangs; server: {played:?}"));
    assert_eq!(played, Ok(()), "{name}");
}

/// A login by token that went well, on a connection before the one that is played.
async fn logged_in_before(relay: &SmtpRelay, listener: &TcpListener) {
    let script = [
        "S: 220 relay.example",
        "C: EHLO *",
        "S: 250-relay.example",
        "S: 250 AUTH XOAUTH2",
        "C: AUTH XOAUTH2 *",
        "S: 235 ok",
    ];
    let script = script.map(str::to_owned);
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        play(&script, tcp, b"", &Notify::new()).await
    };
    let client = async {
        let connection = relay.connect().await.unwrap_or_else(|delivery| panic!("{delivery:?}"));
        connection.close().await;
    };
    let (played, ()) = timeout(HANGS, async { tokio::join!(server, client) }).await.expect("it hangs");
    assert_eq!(played, Ok(()));
}

/// As it must arrive: CRLF line ends only.
fn normal(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n").into_bytes()
}

async fn converse(
    expect: &[Pairs],
    relay: &SmtpRelay,
    mail: &Outgoing,
    ahead: bool,
    drop_now: &Notify,
    server: &tokio::task::JoinHandle<Result<(), String>>,
) {
    let mut connection: Box<dyn Connection> = match relay.connect().await {
        Ok(connection) => connection,
        Err(delivery) => {
            assert_eq!(expect.len(), 1, "no connection: {delivery:?}");
            assert!(!delivery.rcpt_written && !delivery.dot_begun, "{delivery:?}");
            return check(&expect[0], &delivery, None, "connecting");
        }
    };
    for (at, expected) in expect.iter().enumerate() {
        let told = format!("delivery {}", at + 1);
        if expected.contains_key("dropped") {
            tokio::select! {
                delivery = connection.deliver(mail) => panic!("{told}: not dropped: {delivery:?}"),
                () = drop_now.notified() => {}
            }
            assert!(!connection.is_usable(), "{told}: usable although its delivery was dropped");
            continue;
        }
        let next = (ahead && at + 1 < expect.len()).then_some(mail);
        let delivery = match connection.offer(mail).await {
            Some(delivery) => delivery,
            None => connection.hand_over(mail, next).await,
        };
        // The script ends with a close: let the news come in.
        while expected.contains_key("then_closed") && (connection.is_usable() || !server.is_finished()) {
            tokio::task::yield_now().await;
        }
        check(expected, &delivery, Some(connection.is_usable()), &told);
    }
    drop_now.notify_one();
    connection.close().await;
}

macro_rules! dialogues {
    ($($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            run(stringify!($name)).await;
        })*

        #[test]
        fn every_dialogue_is_played() {
            let listed = [$(stringify!($name)),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/dialogues");
            for file in std::fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(listed.contains(&name.as_str()), "{name} is not listed here");
            }
        }
    };
}

dialogues! {
    a_bare_carriage_return_is_not_smtp
    a_bare_line_feed_is_not_smtp
    a_code_above_599_is_not_smtp
    a_code_below_200_is_not_smtp
    a_code_glued_to_words_is_not_smtp
    a_code_without_digits_is_not_smtp
    a_connection_takes_one_message_after_the_other
    a_deferred_data_command_keeps_the_connection
    a_deferred_recipient_keeps_the_connection
    a_deferred_sender_keeps_the_connection
    a_deferred_token_is_not_made_again
    a_dropped_delivery_leaves_the_connection_unusable
    a_failed_reset_ends_the_connection
    a_greeting_of_421_is_a_reply
    a_greeting_of_554_is_a_reply
    a_login_by_token
    a_login_cut_or_wrapped_by_the_server_is_hidden
    a_login_may_be_deferred
    a_login_repeated_by_the_server_is_hidden
    a_message_deferred_at_its_end_is_not_uncertain
    a_message_is_accepted
    a_message_refused_at_its_end_keeps_the_connection
    a_password_by_one_mechanism_alone
    a_recipient_that_would_write_a_command_is_not_sent
    a_refusal_in_the_middle_of_a_large_message_is_heard
    a_refused_ehlo_is_a_reply
    a_refused_recipient_is_what_is_told_when_421_follows
    a_refused_recipient_keeps_the_connection
    a_refused_recipient_keeps_the_connection_step_by_step
    a_refused_sender_before_the_end_is_what_is_told
    a_refused_starttls_is_a_reply
    a_refused_token_is_answered_with_an_empty_line
    a_refused_token_is_made_again_once
    a_reply_behind_the_invitation_stops_the_message
    a_reply_of_several_lines_is_told_in_full
    a_reply_out_of_order_is_not_smtp
    a_reply_too_many_behind_an_acceptance_ends_the_connection
    a_reply_too_many_stops_the_next_step
    a_reply_without_words_is_a_reply
    a_second_greeting_is_words_nobody_asked_for
    a_sender_deferred_step_by_step_wrote_no_recipient
    a_token_asked_for_again_is_written_again
    a_token_is_never_written_in_clear
    a_token_is_written_only_where_xoauth2_is_offered
    a_token_made_again_and_refused_again_is_a_reply
    a_web_server_is_not_smtp
    a_wrong_password_by_login_is_a_reply
    a_wrong_password_is_a_reply
    ahead_a_message_refused_at_its_end_leaves_the_next_alone
    ahead_a_refused_recipient_is_the_next_ones
    ahead_closed_after_the_final_dot_is_uncertain_for_one
    ahead_of_421_at_the_end_the_next_is_not_begun
    ahead_the_next_envelope_leaves_with_the_message
    ahead_the_other_form_is_tried
    ahead_without_pipelining_each_step_waits
    an_endless_reply_is_not_smtp
    an_endless_reply_line_is_not_smtp
    an_enhanced_code_needs_three_numbers
    an_idle_connection_that_closes_writes_no_recipient
    an_idle_connection_that_says_421_writes_no_recipient
    an_invitation_after_a_refused_recipient_gets_an_empty_message
    an_invitation_after_a_refused_sender_ends_the_connection
    an_unhoped_for_greeting_is_not_smtp
    another_2xx_at_the_end_is_no_acceptance
    another_invitation_at_the_end_is_no_acceptance
    at_mail_421_ends_the_connection
    at_rcpt_421_ends_the_connection
    at_the_end_of_data_421_is_a_reply
    bare_line_ends_cannot_end_a_message
    behind_an_acceptance_421_ends_the_connection
    binary_noise_is_not_smtp
    closed_after_the_final_dot_is_uncertain
    closed_before_the_greeting
    closed_in_the_middle_of_ehlo
    closed_in_the_middle_of_the_greeting
    closed_in_the_middle_of_the_last_reply_is_uncertain
    closed_in_the_middle_of_the_reply_to_data
    closed_in_the_middle_of_the_reply_to_mail
    closed_in_the_middle_of_the_reply_to_rcpt
    closed_while_the_message_is_written
    data_out_of_sequence_is_a_refusal
    deaf_while_the_message_is_written
    endless_reply_lines_are_not_smtp
    implicit_tls_to_a_port_in_clear_is_said_so
    login_by_login
    login_by_plain
    login_by_plain_asked_twice
    no_8bitmime_is_asked_of_a_server_without_it
    no_login_offered_is_said_so
    no_starttls_offered_is_never_downgraded
    noise_instead_of_a_handshake_is_said_so
    pipelining_can_be_switched_off
    replies_in_crumbs_are_put_together
    reset_after_the_final_dot_is_uncertain
    reset_at_data
    reset_at_ehlo
    reset_at_mail
    reset_at_rcpt
    reset_before_the_greeting
    reset_while_the_message_is_written
    silent_after_the_final_dot_is_uncertain
    silent_at_data
    silent_at_ehlo
    silent_at_login
    silent_at_mail
    silent_at_rcpt
    silent_instead_of_a_greeting
    size_and_8bitmime_are_told_where_offered
    the_name_in_ehlo_can_be_set
    the_null_sender_is_written_empty
    the_other_form_is_not_tried_for_an_unknown_user
    the_other_form_is_tried_for_a_malformed_recipient
    the_other_form_is_tried_step_by_step
    the_other_forms_refusal_is_what_is_told
    too_large_is_refused_at_mail
    two_codes_in_one_reply_are_not_smtp
    without_a_login_none_is_tried
    without_a_token_nothing_is_written
    without_pipelining_each_step_waits
    words_behind_the_answer_to_starttls_are_refused
    words_in_another_charset_are_told_as_well_as_they_can_be
}
