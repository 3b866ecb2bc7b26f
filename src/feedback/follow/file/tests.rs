//! Owns the tests of following a log through all that happens to it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::*;

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz234567";

/// A folder with a log, a follower of it, and what it heard.
struct Scene {
    folder: tempfile::TempDir,
    followed: Followed,
    place: Option<Place>,
    remarks: Vec<String>,
    /// Each change is a minute after the one before it: the file system's clock may be coarser than a test.
    minutes: std::cell::Cell<u64>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let followed = Followed::new(&folder.path().join("mail.log"), None, TimeZone::UTC);
        Self { folder, followed, place: None, remarks: Vec::new(), minutes: std::cell::Cell::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.minutes.set(self.minutes.get() + 1);
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(60 * self.minutes.get())).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Looks until nothing comes any more; the recipients that were heard of.
    fn look(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        let now = "2026-11-26T12:00:00Z".parse().unwrap();
        for _ in 0..20 {
            let Ok(look) = self.followed.look(now) else { continue };
            heard.extend(look.heard.into_iter().filter_map(|heard| heard.recipient));
            self.remarks.extend(look.remark);
            self.place = look.place.or(self.place.take());
        }
        heard.into_iter().map(|recipient| recipient.replace("@b.jp", "")).collect()
    }

    /// Another process goes on from what was written down.
    fn restart(&mut self) {
        self.followed = Followed::new(&self.path("mail.log"), self.place.clone(), TimeZone::UTC);
    }
}

fn line(recipient: &str) -> String {
    format!(
        "2026-11-26T10:00:00Z relay1 postfix/smtp[1]: A1B2C3: to=<{recipient}@b.jp>, relay=mx[192.0.2.1]:25, delay=1, dsn=5.0.0, \
         status=bounced (host mx[192.0.2.1] said: 550 Unknown user (in reply to RCPT TO command))\n"
    )
}

#[test]
fn a_log_that_grows_is_read_line_by_line() {
    let mut scene = Scene::new();
    assert!(scene.followed.look(Timestamp::UNIX_EPOCH).is_err(), "it is not there yet");
    scene.append("mail.log", &(line("a") + &line("b")[..50]));
    assert_eq!(scene.look(), ["a"]);
    scene.append("mail.log", &line("b")[50..]);
    assert_eq!(scene.look(), ["b"]);
    assert_eq!(scene.look(), [""; 0]);
}

#[test]
fn a_renamed_log_is_read_to_its_end_before_the_next() {
    let mut scene = Scene::new();
    scene.append("mail.log", &line("a"));
    assert_eq!(scene.look(), ["a"]);
    scene.append("mail.log", &line("b"));
    scene.rename("mail.log", "mail.log.1");
    assert_eq!(scene.look(), ["b"], "the next is not there yet");
    // The writer still holds the old one, and ends it in the middle of a line.
    scene.append("mail.log.1", line("c").trim_end());
    scene.append("mail.log", &line("d"));
    assert_eq!(scene.look(), ["c", "d"]);
    scene.append("mail.log", &line("e"));
    assert_eq!(scene.look(), ["e"]);
    assert_eq!(scene.remarks, [""; 0]);
}

#[test]
fn a_log_that_was_renamed_twice_meanwhile_is_read_whole() {
    let mut scene = Scene::new();
    scene.append("mail.log", &line("a"));
    assert_eq!(scene.look(), ["a"]);
    scene.append("mail.log", &line("b"));
    scene.rename("mail.log", "mail.log.2");
    scene.append("mail.log.1", &line("c"));
    scene.append("mail.log", &line("d"));
    assert_eq!(scene.look(), ["b", "c", "d"]);
}

#[test]
fn a_log_that_was_copied_and_emptied_is_read_whole() {
    let mut scene = Scene::new();
    scene.append("mail.log", &line("a"));
    assert_eq!(scene.look(), ["a"]);
    scene.append("mail.log", &line("b"));
    fs::copy(scene.path("mail.log"), scene.path("mail.log.1")).unwrap();
    fs::File::create(scene.path("mail.log")).unwrap();
    scene.append("mail.log", &line("c"));
    assert_eq!(scene.look(), ["b", "c"]);
    // Emptied and grown beyond the old length between two looks.
    fs::copy(scene.path("mail.log"), scene.path("mail.log.1")).unwrap();
    fs::File::create(scene.path("mail.log")).unwrap();
    scene.append("mail.log", &(line("x") + &line("y")));
    assert_eq!(scene.look(), ["x", "y"]);
    assert_eq!(scene.remarks, [""; 0]);
    fs::remove_file(scene.path("mail.log.1")).unwrap();
    fs::File::create(scene.path("mail.log")).unwrap();
    scene.append("mail.log", &line("z"));
    assert_eq!(scene.look(), ["z"]);
    assert!(scene.remarks[0].contains("emptied"), "{:?}", scene.remarks);
}

#[test]
fn another_process_goes_on_where_the_first_left_off() {
    let mut scene = Scene::new();
    scene.append("mail.log", &(line("a") + &line("b")[..70]));
    assert_eq!(scene.look(), ["a"]);
    scene.append("mail.log", &line("b")[70..]);
    scene.restart();
    assert_eq!(scene.look(), ["b"]);
    // Renamed twice, once by date, while nobody looked.
    scene.append("mail.log", &line("c"));
    scene.rename("mail.log", "mail.log.1");
    scene.append("mail.log-20261126", &line("d"));
    scene.append("mail.log", &line("e"));
    scene.restart();
    assert_eq!(scene.look(), ["c", "d", "e"]);
    assert_eq!(scene.remarks, [""; 0]);
    // Renamed and packed while nobody looked.
    scene.rename("mail.log", "mail.log.2.gz");
    scene.append("mail.log", &line("f"));
    scene.restart();
    assert_eq!(scene.look(), ["f"]);
    assert!(scene.remarks[0].contains("feedback import"), "{:?}", scene.remarks);
}

#[test]
fn whose_a_message_is_is_known_after_a_restart() {
    let mut scene = Scene::new();
    let entry = |daemon: &str, text: &str| format!("2026-11-26T09:00:00Z relay1 postfix/{daemon}[1]: {text}\n");
    scene.append("mail.log", &entry("cleanup", &format!("A1B2C3: message-id=<{TOKEN}@m.example.jp>")));
    scene.append("mail.log", &entry("qmgr", "A1B2C3: from=<news@m.example.jp>, size=1, nrcpt=1 (queue active)"));
    scene.append("mail.log", &entry("qmgr", "D4E5F6: from=<other@example.com>, size=1, nrcpt=1 (queue active)"));
    assert_eq!(scene.look(), [""; 0]);
    scene.restart();
    scene.append("mail.log", &(line("a") + &line("b").replace("A1B2C3", "D4E5F6")));
    let look = scene.followed.look("2026-11-26T12:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(look.heard.len(), 1, "somebody else's mail is still somebody else's");
    assert_eq!(look.heard[0].clues, [format!("{TOKEN}@m.example.jp")]);
}

#[test]
fn a_log_that_vanishes_and_one_that_is_none_are_trouble() {
    let mut scene = Scene::new();
    let now = Timestamp::UNIX_EPOCH;
    scene.append("mail.log", &line("a"));
    assert_eq!(scene.look(), ["a"]);
    fs::remove_file(scene.path("mail.log")).unwrap();
    assert_eq!(scene.followed.look(now).unwrap_err().kind(), io::ErrorKind::NotFound);
    scene.append("mail.log", &line("b"));
    assert_eq!(scene.look(), ["b"]);
    let mut folder = Followed::new(scene.folder.path(), None, TimeZone::UTC);
    assert!(folder.look(now).unwrap_err().to_string().contains("no regular file"));
}

#[test]
fn a_line_without_end_takes_no_room() {
    let mut scene = Scene::new();
    scene.append("mail.log", &line("a"));
    for _ in 0..20 {
        scene.append("mail.log", &"x".repeat(100_000));
    }
    assert_eq!(scene.look(), ["a"]);
    assert!(scene.followed.open.as_ref().unwrap().part.len() <= LINE_MOST);
    scene.append("mail.log", &format!("\n{}", line("b")));
    assert_eq!(scene.look(), ["b"]);
    let long = line("c").replace("Unknown user", &"y".repeat(60_000));
    scene.append("mail.log", &(long + &line("d")));
    assert_eq!(scene.look(), ["c", "d"]);
}
