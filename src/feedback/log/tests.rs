//! Owns the tests of whole logs: what is heard of each sample in `tests/feedback/log`, and that nothing a log can hold does harm.
//! `BLESS=1` renews what is expected.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00+09:00".parse().unwrap()
}

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feedback/log");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    found.sort();
    found
}

fn heard_in(bytes: &[u8]) -> Vec<Heard> {
    read_all(bytes, tokyo(), now()).flat_map(|heard| heard.unwrap()).collect()
}

fn shown(all: &[Heard]) -> String {
    let mut out = String::new();
    for heard in all {
        let stage = heard.stage.map_or("-", |stage| stage.as_str());
        let (remote, recipient) = (heard.remote.as_deref().unwrap_or("-"), heard.recipient.as_deref().unwrap_or("-"));
        let at = heard.at.map(|at| at.strftime("%dT%H:%M:%SZ").to_string()).unwrap_or_default();
        let _ = writeln!(out, "{at} {} {recipient} {stage} {remote}: {}", heard.fate.as_str(), heard.said);
        heard.clues.iter().for_each(|clue| {
            let _ = writeln!(out, "    {clue}");
        });
    }
    out
}

#[test]
fn what_is_heard_of_every_sample_is_as_expected() {
    let samples = samples();
    assert!(samples.len() >= 9, "the samples were not found");
    for sample in samples {
        let found = shown(&heard_in(&std::fs::read(&sample).unwrap()));
        let expected = sample.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(found == expected, "{}\nexpected\n{expected}\nfound\n{found}", sample.display());
    }
}

#[test]
fn every_form_of_one_log_tells_the_same() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feedback/log").join(name);
        let facts = |heard: Heard| (heard.fate, heard.said, heard.stage, heard.remote, heard.clues, heard.recipient);
        heard_in(&std::fs::read(path).unwrap()).into_iter().map(facts).collect::<Vec<_>>()
    };
    let iso = read("iso.log");
    assert_eq!(iso.len(), 2);
    for other in ["rfc5424.log", "journal-json.log", "journal-export.log"] {
        assert_eq!(read(other), iso, "{other}");
    }
}

#[test]
fn a_retry_is_another_report_and_a_repeat_the_same() {
    let line = |time: &str| {
        format!(
            "Nov 26 {time} relay1 postfix/smtp[1]: 4aBcD10xYz: to=<a@b.jp>, relay=mx[192.0.2.1]:25, delay=1, dsn=4.0.0, \
             status=deferred (host mx[192.0.2.1] said: 450 no (in reply to RCPT TO command))"
        )
    };
    let id = |line: &str| heard_in(line.as_bytes()).remove(0).id;
    assert_eq!(id(&line("10:00:00")), id(&line("10:00:00")));
    assert_ne!(id(&line("10:00:00")), id(&line("10:30:00")));
    assert_eq!(id(&line("10:00:00")).len(), 42);
    // In the order of their time: the store keeps them side by side.
    assert!((1..60).all(|s| id(&line("10:00:00")) < id(&line(&format!("10:00:{s:02}")))));
    // The journal has the same entry with more digits of its time.
    let iso = line("10:00:00").replace("Nov 26 10:00:00", "2026-11-26T10:00:00.75+09:00");
    assert_eq!(id(&line("10:00:00")), id(&iso));
}

#[test]
fn a_long_line_is_read_as_far_as_it_may_be_long() {
    let head = "Nov 26 10:00:00 relay1 postfix/smtp[1]: 4aBcD10xYz: to=<a@b.jp>, relay=mx[192.0.2.1]:25, dsn=5.0.0, status=bounced (";
    let long = format!("{head}{}\n{head}host mx[192.0.2.1] said: 550 no)\n", "x".repeat(3 * LINE_MOST));
    let found = heard_in(long.as_bytes());
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].said.text.chars().count(), TEXT_MOST);
    assert!(found[0].evidence.chars().count() <= EVIDENCE_MOST);
    assert_eq!((found[1].said.code, found[1].said.text.as_str()), (Some(550), "no"));
}

fn any_sample() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = samples().iter().map(|path| std::fs::read(path).unwrap()).collect();
    prop::sample::select(all)
}

proptest! {
    #[test]
    fn nothing_that_a_log_can_hold_does_harm(
        mut log in any_sample(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0_u8..5), 1..12),
    ) {
        for (at, other, byte, kind) in cuts {
            if log.is_empty() {
                break;
            }
            let (at, other) = (at.index(log.len()), other.index(log.len()));
            match kind {
                0 => log[at] = byte,
                1 => log.insert(at, byte),
                2 => drop(log.drain(at.min(other)..at.max(other).min(at.min(other) + 40))),
                3 => log.swap(at, other),
                _ => {
                    let piece = log[at.min(other)..at.max(other)].to_vec();
                    log.splice(at..at, piece.into_iter().take(200));
                }
            }
        }
        for heard in heard_in(&log) {
            prop_assert!(heard.said.text.chars().count() <= TEXT_MOST);
            prop_assert!(heard.evidence.chars().count() <= EVIDENCE_MOST);
            prop_assert!(heard.clues.len() <= 2 && heard.clues.iter().all(|clue| clue.len() <= 1_000));
        }
    }
}
