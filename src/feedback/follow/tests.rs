//! Owns the tests of the watchers as tasks: waiting for the store, for files, for programs, over restarts.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use tokio::sync::mpsc;

use super::*;
use crate::clock::PacedClock;

/// A desk whose store refuses the first `refusals` batches, and what it took.
fn desk(folder: &Path, refusals: u32, speed: f64) -> (Desk, mpsc::UnboundedReceiver<Vec<String>>) {
    let (taken, takes) = mpsc::unbounded_channel();
    let left = Arc::new(Mutex::new(refusals));
    let take: Take = Arc::new(move |heard: Vec<Heard>| {
        let (taken, left) = (taken.clone(), left.clone());
        Box::pin(async move {
            let mut left = left.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Err(StoreError::Unavailable("the disk is full".to_owned()));
            }
            let _ = taken.send(heard.into_iter().map(|heard| heard.recipient.unwrap_or(heard.id)).collect());
            Ok(Recorded::default())
        })
    });
    let clock = PacedClock::new("2026-11-26T12:00:00Z".parse().unwrap(), speed);
    let places = Arc::new(Places::open(&folder.join("hikagen.db.heard.json")));
    (Desk { take, clock: Arc::new(clock), places, zone: TimeZone::UTC }, takes)
}

fn append(path: &Path, recipients: &[&str]) {
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    for recipient in recipients {
        writeln!(file, "{}", line(recipient)).unwrap();
    }
}

fn line(recipient: &str) -> String {
    format!("2026-11-26T10:00:00Z relay1 postfix/smtp[1]: {}", text(recipient))
}

fn text(recipient: &str) -> String {
    format!("A1B2C3: to=<{recipient}>, relay=mx[192.0.2.1]:25, delay=1, dsn=5.0.0, status=bounced (no)")
}

fn relay() -> crate::core::names::RelayName {
    "tokyo".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_from_where_it_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log");
    let (desk, mut takes) = desk(folder.path(), 0, 1.0);
    let task = tokio::spawn(log::follow(desk.clone(), relay(), path.clone()));
    desk.clock.sleep(Duration::from_secs(5)).await;
    append(&path, &["a@b.jp", "b@b.jp"]);
    assert_eq!(takes.recv().await.unwrap(), ["a@b.jp", "b@b.jp"]);
    desk.clock.sleep(Duration::from_secs(5)).await;
    task.abort();
    let _ = task.await;
    append(&path, &["c@b.jp"]);
    let (desk, mut takes) = self::desk(folder.path(), 0, 1.0);
    let task = tokio::spawn(log::follow(desk, relay(), path));
    assert_eq!(takes.recv().await.unwrap(), ["c@b.jp"]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_the_store_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log");
    append(&path, &["a@b.jp"]);
    let (desk, mut takes) = desk(folder.path(), 10, 1.0);
    let task = tokio::spawn(log::follow(desk.clone(), relay(), path.clone()));
    desk.clock.sleep(Duration::from_secs(20)).await;
    assert_eq!(desk.places.file(&path), None, "what was not taken is not behind us");
    append(&path, &["b@b.jp"]);
    assert_eq!(takes.recv().await.unwrap(), ["a@b.jp"]);
    assert_eq!(takes.recv().await.unwrap(), ["b@b.jp"]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_watched_and_its_reports_are_marked_after_they_were_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = folder.path().join("bounces");
    let (desk, mut takes) = desk(folder.path(), 3, 1.0);
    let read: ReadMail = |mail| {
        let recipient = String::from_utf8_lossy(mail).strip_prefix("report ")?.to_owned();
        let mut reader = crate::feedback::log::Reader::new(TimeZone::UTC);
        Some(reader.read(line(&recipient).as_bytes(), jiff::Timestamp::UNIX_EPOCH))
    };
    let task = tokio::spawn(maildir::watch(desk.clone(), mailbox.clone(), read));
    desk.clock.sleep(Duration::from_secs(5)).await;
    fs::create_dir_all(mailbox.join("cur")).unwrap();
    fs::create_dir_all(mailbox.join("new")).unwrap();
    fs::write(mailbox.join("new/1.host"), "report a@b.jp").unwrap();
    fs::write(mailbox.join("new/2.host"), "dear sir").unwrap();
    assert_eq!(takes.recv().await.unwrap(), ["a@b.jp"]);
    desk.clock.sleep(Duration::from_secs(5)).await;
    assert!(mailbox.join("cur/1.host:2,S").is_file() && mailbox.join("new/2.host").is_file());
    task.abort();
}

/// A program that stands in for `journalctl`: tells how it was called and prints what it is given.
fn program(folder: &Path, says: &str) -> PathBuf {
    let path = folder.join("journalctl");
    let calls = folder.join("calls");
    fs::write(&path, format!("#!/bin/sh\necho \"$@\" >> {}\n{says}\n", calls.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn entry(cursor: &str, recipient: &str) -> String {
    serde_json::json!({
        "__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1795654800000000", "_HOSTNAME": "relay1",
        "SYSLOG_IDENTIFIER": "postfix/smtp", "MESSAGE": text(recipient),
    })
    .to_string()
}

#[tokio::test]
async fn a_journal_is_followed_behind_its_cursor_by_a_program_that_may_end() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, mut takes) = desk(folder.path(), 0, 1_000.0);
    let says = format!(
        "case \"$*\" in *after-cursor*) echo '{}'; exec sleep 1000;; esac\necho '{}'\necho '{}'\necho trouble >&2\nexit 1",
        entry("s=1;i=3", "c@b.jp"),
        entry("s=1;i=1", "a@b.jp"),
        entry("s=1;i=2", "b@b.jp")
    );
    let program = program(folder.path(), &says);
    let task = tokio::spawn(journal::follow(desk.clone(), relay(), "postfix@-.service".to_owned(), program));
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.extend(takes.recv().await.unwrap());
    }
    assert_eq!(heard, ["a@b.jp", "b@b.jp", "c@b.jp"]);
    while desk.places.journal("postfix@-.service").as_deref() != Some("s=1;i=3") {
        desk.clock.sleep(Duration::from_secs(1)).await;
    }
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    assert!(calls[0].contains("--unit=postfix@-.service") && !calls[0].contains("--after-cursor"), "{calls:?}");
    assert!(calls[1].ends_with("--after-cursor=s=1;i=2"), "{calls:?}");
    task.abort();
}

#[tokio::test]
async fn the_program_ends_with_its_watcher() {
    let folder = tempfile::tempdir().unwrap();
    crate::program::tests::ends_with_its_children(|words| async move {
        let (desk, _takes) = desk(folder.path(), 0, 1.0);
        let program = folder.path().join("journalctl");
        fs::write(&program, format!("#!/bin/sh\n{}\n", words[2])).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        journal::follow(desk, relay(), "postfix".to_owned(), program).await;
    })
    .await;
}
