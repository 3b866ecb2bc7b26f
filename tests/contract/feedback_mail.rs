//! Owns the promises about mail that came back: what each of some eighty reports says, and that nothing else does harm.
//!
//! The mails of `tests/feedback/mail` are made after the published and observed forms of the programs and providers they are named
//! for; `expected.csv` says what each must be read as.

use std::path::{Path, PathBuf};

use hikagen::config::groups_file::Destinations;
use hikagen::core::feedback::{Fate, Heard};
use hikagen::core::reply::Signal;
use hikagen::feedback::mail::{NotAReport, RECIPIENTS_MOST, read, read_for};

const TOKEN: &str = "aaaaaaaaaaaabc7qmnb3wzsk2xyl5pqe";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feedback/mail")
}

/// A line of the table: file, recipient, fate, code, enhanced, stage, reason, whether the address is at fault.
type Row = [String; 8];

fn table() -> Vec<Row> {
    let mut reader = csv::Reader::from_path(folder().join("expected.csv")).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect()
}

fn mail(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).unwrap()
}

fn facts(heard: &Heard) -> [String; 4] {
    let said = &heard.said;
    [
        heard.fate.as_str().to_owned(),
        said.code.map(|code| code.to_string()).unwrap_or_default(),
        said.enhanced.map(|enhanced| enhanced.to_string()).unwrap_or_default(),
        heard.stage.map(|stage| stage.as_str().to_owned()).unwrap_or_default(),
    ]
}

#[test]
fn every_report_is_read_as_it_was_meant() {
    let mut wrong = Vec::new();
    for [file, recipient, fate, code, enhanced, stage, ..] in table() {
        let read = read(&mail(&file));
        if fate.is_empty() {
            assert!(matches!(read, Err(NotAReport::Ordinary { .. })), "{file}: {read:?}");
            continue;
        }
        let Ok(all) = read else {
            wrong.push(format!("{file}: {read:?}"));
            continue;
        };
        let own = all.iter().find(|one| one.recipient.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(&recipient)));
        let Some(one) = own else {
            wrong.push(format!("{file}: not about {recipient}: {all:?}"));
            continue;
        };
        let mut expected = [fate, code, enhanced, stage];
        let seen = facts(one);
        // The table says no stage where the report has none; where it says none and one was found, that is more.
        if expected[3].is_empty() {
            expected[3].clone_from(&seen[3]);
        }
        if expected != seen {
            wrong.push(format!("{file}: {seen:?}, not {expected:?}: {:?}", one.said));
        }
        if !one.clues.iter().any(|clue| clue.contains(TOKEN)) && !file.starts_with("auto-") {
            wrong.push(format!("{file}: the token is not among {:?}", one.clues));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_shipped_rules_know_whose_fault_it_was_and_why() {
    let shipped = Destinations::shipped();
    let (mut wrong, mut faults, mut reasons, mut all) = (Vec::new(), 0, 0, 0);
    for [file, recipient, fate, .., reason, at_fault] in table() {
        if reason.is_empty() {
            continue;
        }
        let heard = read(&mail(&file)).unwrap();
        let one = heard.iter().find(|one| one.recipient.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(&recipient)));
        let one = one.unwrap();
        let domain = recipient.rsplit_once('@').unwrap().1;
        let group = shipped.groups.route(domain).group.name.clone();
        let reading = shipped.rules.read_report(None, &one.said, one.stage, Some(&group));
        all += 1;
        let fault = if reading.reason.is_recipients() { "yes" } else { "no" };
        faults += usize::from(fault == at_fault);
        reasons += usize::from(reading.reason.as_str() == reason);
        if fault != at_fault || reading.reason.as_str() != reason {
            wrong.push(format!(
                "{file}: {} ({fault}), not {reason} ({at_fault}): {:?}",
                reading.reason.as_str(),
                one.said
            ));
        }
        assert!(
            !(fate == "delayed" && reading.signal == Signal::Recipient && reading.reason.as_str() == "user-unknown"),
            "{file}: a delay says nothing against an address"
        );
    }
    assert!(all >= 60, "{all} mails with a reason");
    assert!(wrong.is_empty(), "{faults} of {all} faults, {reasons} of {all} reasons right:\n{}", wrong.join("\n"));
}

#[test]
fn a_report_is_the_same_whatever_was_put_in_front_of_it() {
    for [file, ..] in table() {
        let mail = mail(&file);
        let Ok(first) = read(&mail) else { continue };
        let mut stored = b"Received: from relay by mailbox; Tue, 24 Nov 2026 10:06:00 +0900\nX-Filter: seen\n".to_vec();
        stored.extend(&mail);
        let ids = |heard: &[Heard]| heard.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&first), ids(&read(&stored).unwrap()), "{file}");
    }
}

#[test]
fn whom_it_was_handed_over_for_is_the_first_clue() {
    let heard = read_for(&mail("docomo-gateway.eml"), &["bounce+abc@m.example.jp"]).unwrap();
    assert_eq!(heard[0].clues[0], "bounce+abc@m.example.jp");
}

#[test]
fn what_is_no_mail_is_said_to_be_none() {
    assert_eq!(read(b" \r\n\r\n"), Err(NotAReport::Empty));
    assert!(read(b"\0\x01\x02 no header at all").is_err());
    assert!(read(&[0xff; 10_000]).is_err());
}

/// A small generator of its own, so that a failure can be told again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

#[test]
fn broken_mail_is_answered_and_bounded() {
    let mut dice = Dice(7);
    for [file, ..] in table() {
        let whole = mail(&file);
        for _ in 0..40 {
            let mut broken = whole.clone();
            match dice.roll(4) {
                0 => broken.truncate(dice.roll(whole.len())),
                1 => {
                    for _ in 0..=dice.roll(20) {
                        let at = dice.roll(broken.len());
                        broken[at] = u8::try_from(dice.roll(256)).unwrap();
                    }
                }
                2 => {
                    let (from, length) = (dice.roll(broken.len()), dice.roll(200));
                    let end = (from + length).min(broken.len());
                    broken.drain(from..end);
                }
                _ => {
                    let (from, to) = (dice.roll(broken.len()), dice.roll(broken.len()));
                    let piece = broken[from..(from + 300).min(broken.len())].to_vec();
                    broken.splice(to..to, piece);
                }
            }
            check_bounds(&broken);
        }
    }
}

fn check_bounds(mail: &[u8]) {
    let Ok(heard) = read(mail) else { return };
    assert!(heard.len() <= RECIPIENTS_MOST);
    for one in heard {
        assert!(one.evidence.chars().count() <= 2_000 && one.said.text.chars().count() <= 1_000);
        assert!(one.clues.len() <= 60 && !one.id.is_empty());
    }
}

#[test]
fn bombs_are_bounded() {
    let nested = "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n".repeat(60);
    let messages = "Content-Type: message/rfc822\n\n".repeat(200);
    let headers = "X-A: b\n".repeat(100_000);
    let recipients: String = (0..20_000)
        .map(|i| format!("Final-Recipient: rfc822; u{i}@example.jp\nAction: failed\nStatus: 5.1.1\n\n"))
        .collect();
    let report = format!(
        "From: MAILER-DAEMON@example.jp\nSubject: Undelivered\nContent-Type: multipart/report; boundary=B\n\n--B\n\
         Content-Type: message/delivery-status\n\n{recipients}--B--\n"
    );
    let long = format!("From: a@example.jp\nSubject: Undelivered\n\n{}", "x@example.jp said: 550 ".repeat(400_000));
    let huge =
        [b"From: MAILER-DAEMON@example.jp\nSubject: Undelivered mail\n\n".to_vec(), vec![b'a'; 100 << 20]].concat();
    let wordy: String =
        (0..20_000).map(|i| format!("u{i}@example.jp mailbox unknown user not found quota full\n\n")).collect();
    let wordy = format!("From: MAILER-DAEMON@example.jp\nSubject: Undelivered\n\n{wordy}");
    for bomb in [nested, messages, headers, report, long, wordy] {
        check_bounds(bomb.as_bytes());
    }
    check_bounds(&huge);
    let fates = read(&mail("no-blank-lines.eml")).unwrap().iter().filter(|one| one.fate == Fate::Refused).count();
    assert_eq!(fates, 2);
}
