//! Owns the reading of reports that somebody has in a file: mails, mailboxes, logs, events of a provider.
//!
//! Invariants: streaming where a file may be long (mbox, log, folders); everything else is bounded; what cannot be read is told with
//! its place and why, and nothing behind it is passed over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::follow::mbox;
use super::log;
use crate::core::feedback::Heard;

/// Largest single mail, octets.
const MAIL_MOST: usize = 10 * 1024 * 1024;
/// Largest file of a provider's events, octets.
const EVENTS_MOST: u64 = 64 * 1024 * 1024;
/// Octets by which a form is guessed.
const LOOKED_AT: usize = 64 * 1024;

/// Reads one mail, or says why it reports nothing.
pub type ReadMail = fn(&[u8]) -> Result<Vec<Heard>, String>;

/// Reads a provider's events, or says why it cannot: what was heard, and what of it could not be read, in words.
pub type ReadEvents = fn(&str) -> Result<(Vec<Heard>, Vec<String>), String>;

/// What reads the forms that others define.
#[derive(Debug, Clone)]
pub struct Readers {
    /// A mail.
    pub mail: ReadMail,
    /// Events, by the provider's name.
    pub providers: Vec<(&'static str, ReadEvents)>,
    /// Zone of a log's times that name none.
    pub zone: TimeZone,
    /// Tells the year where a log does not.
    pub now: Timestamp,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One mail.
    Mail,
    /// Many, each behind a line `From `.
    Mbox,
    /// A folder with a mail in each file.
    Maildir,
    /// The log of a Postfix relay.
    Log,
    /// Events of a provider.
    Events(&'static str),
}

/// A part of what was read: a mail, a line of a log, a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it stands: a file, with the line where there are many in it.
    pub place: String,
    /// What it says, or why it cannot be read.
    pub heard: Result<Vec<Heard>, String>,
}

impl Piece {
    fn unreadable(place: impl Into<String>, why: impl ToString) -> Self {
        Self { place: place.into(), heard: Err(why.to_string()) }
    }
}

/// The pieces, in order.
pub type Pieces = Box<dyn Iterator<Item = Piece>>;

/// What begins with `head` is taken for. SES and SendGrid are told apart by keys that only one of them writes.
#[must_use]
pub fn guess(head: &[u8]) -> Form {
    let head = &head[..head.len().min(LOOKED_AT)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("From ") {
        return Form::Mbox;
    }
    if text.starts_with(['{', '[']) {
        let has = |keys: &[&str]| keys.iter().any(|key| text.contains(key));
        return match () {
            () if has(&["\"__REALTIME_TIMESTAMP\"", "\"_SYSTEMD_UNIT\"", "\"SYSLOG_IDENTIFIER\""]) => Form::Log,
            () if has(&["\"sg_event_id\"", "\"sg_message_id\""]) => Form::Events("sendgrid"),
            () => Form::Events("ses"),
        };
    }
    let first = text.lines().next().unwrap_or_default();
    let is_header = first.split_once(':').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    });
    if is_header && !first.contains(" postfix/") { Form::Mail } else { Form::Log }
}

/// The pieces of standard input or whatever else is open.
pub fn of_stream(name: &str, stream: impl io::Read + 'static, form: Option<Form>, readers: &Readers) -> Pieces {
    let mut reader = BufReader::with_capacity(LOOKED_AT, stream);
    let form = match (form, reader.fill_buf()) {
        (Some(form), _) => form,
        (None, Ok(head)) => guess(head),
        (None, Err(error)) => return one(Piece::unreadable(name, error)),
    };
    let name = name.to_owned();
    match form {
        Form::Mail => one(mail(&name, reader, readers)),
        Form::Mbox => mails(name, reader, readers),
        Form::Maildir => one(Piece::unreadable(name, "expected a Maildir folder, got a file")),
        Form::Log => lines(name, reader, readers),
        Form::Events(provider) => events(&name, provider, reader, readers),
    }
}

/// The pieces of a file, a Maildir, or a folder of files.
#[must_use]
pub fn of_path(path: &Path, form: Option<Form>, readers: &Readers) -> Pieces {
    let name = path.display().to_string();
    if path.is_dir() {
        return folder(path, form, readers);
    }
    match File::open(path) {
        Ok(file) => of_stream(&name, file, form, readers),
        Err(error) => one(Piece::unreadable(name, error)),
    }
}

fn one(piece: Piece) -> Pieces {
    Box::new(std::iter::once(piece))
}

fn mail(name: &str, reader: impl io::Read, readers: &Readers) -> Piece {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAIL_MOST).unwrap_or(u64::MAX);
    let heard = match reader.take(most + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() > MAIL_MOST => Err(format!("a mail of more than {MAIL_MOST} octets is no bounce")),
        Ok(_) => (readers.mail)(&bytes),
        Err(error) => Err(error.to_string()),
    };
    Piece { place: name.to_owned(), heard }
}

fn mails(name: String, reader: impl BufRead + 'static, readers: &Readers) -> Pieces {
    let read = readers.mail;
    Box::new(mbox::mails(reader, MAIL_MOST).map(move |found| match found {
        Ok(mail) => {
            let place = format!("{name}:{}", mail.line);
            match mail.is_cut {
                true => Piece::unreadable(place, format!("a mail of more than {MAIL_MOST} octets is no bounce")),
                false => Piece { place, heard: read(&mail.bytes) },
            }
        }
        Err(error) => Piece::unreadable(&*name, error),
    }))
}

fn lines(name: String, reader: impl BufRead + 'static, readers: &Readers) -> Pieces {
    let found = log::read_all(reader, readers.zone.clone(), readers.now);
    Box::new(found.map(move |heard| Piece { place: name.clone(), heard: heard.map_err(|error| error.to_string()) }))
}

fn events(name: &str, provider: &'static str, reader: impl io::Read, readers: &Readers) -> Pieces {
    let mut text = String::new();
    let read = reader.take(EVENTS_MOST + 1).read_to_string(&mut text);
    let Some((_, of_provider)) = readers.providers.iter().find(|(known, _)| *known == provider) else {
        return one(Piece::unreadable(name, format!("events of {provider} cannot be read")));
    };
    match read {
        Ok(_) if text.len() as u64 > EVENTS_MOST => {
            one(Piece::unreadable(name, format!("more than {EVENTS_MOST} octets of events: split the file")))
        }
        Ok(_) => Box::new(posts(name, &text, *of_provider).into_iter()),
        Err(error) => one(Piece::unreadable(name, error)),
    }
}

/// One JSON document, or one on each line, as queues and logs keep them.
fn posts(name: &str, text: &str, read: ReadEvents) -> Vec<Piece> {
    let whole = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let parts: Vec<(String, &str)> = if whole {
        vec![(name.to_owned(), text)]
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(n, line)| (format!("{name}:{}", n + 1), line)).collect()
    };
    let mut pieces = Vec::new();
    for (place, part) in parts {
        match read(part) {
            Ok((heard, odd)) => {
                pieces.push(Piece { place: place.clone(), heard: Ok(heard) });
                pieces.extend(odd.into_iter().map(|why| Piece::unreadable(&*place, why)));
            }
            Err(why) => pieces.push(Piece::unreadable(place, why)),
        }
    }
    pieces
}

/// A Maildir's mails, read and unread, or every file of a folder, by name.
fn folder(path: &Path, form: Option<Form>, readers: &Readers) -> Pieces {
    let is_maildir = form == Some(Form::Maildir) || (path.join("new").is_dir() && path.join("cur").is_dir());
    let places = if is_maildir { vec![path.join("new"), path.join("cur")] } else { vec![path.to_owned()] };
    let form = if is_maildir { Some(Form::Mail) } else { form };
    let mut files: Vec<PathBuf> = Vec::new();
    for place in places {
        match std::fs::read_dir(&place) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file())),
            Err(error) => return one(Piece::unreadable(place.display().to_string(), error)),
        }
    }
    files.sort();
    let readers = readers.clone();
    Box::new(files.into_iter().flat_map(move |file| of_path(&file, form, &readers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_what_it_begins_with() {
        let known: [(&str, Form); 12] = [
            ("From MAILER-DAEMON Thu Nov 26 08:00:00 2026\nReturn-Path: <>\n", Form::Mbox),
            ("Return-Path: <>\nFrom: MAILER-DAEMON@example.jp\n", Form::Mail),
            ("\nReceived: from a by b\n", Form::Mail),
            ("X-Original-To: bounce@m.example.jp\n", Form::Mail),
            ("Nov 26 08:00:00 mx postfix/smtp[1]: 4F: to=<a@docomo.ne.jp>, status=sent (250)\n", Form::Log),
            ("2026-11-26T08:00:00+09:00 mx postfix/smtp[1]: 4F: removed\n", Form::Log),
            ("<22>Nov 26 08:00:00 mx postfix/smtp[1]: 4F: removed\n", Form::Log),
            ("__CURSOR=s=1\n__REALTIME_TIMESTAMP=1\n", Form::Log),
            ("{\"SYSLOG_IDENTIFIER\":\"postfix/smtp\",\"MESSAGE\":\"x\"}", Form::Log),
            ("{\"Type\":\"Notification\",\"Message\":\"{}\"}", Form::Events("ses")),
            ("{\"eventType\":\"Bounce\"}", Form::Events("ses")),
            ("[{\"email\":\"a@docomo.ne.jp\",\"sg_event_id\":\"x\"}]", Form::Events("sendgrid")),
        ];
        for (text, form) in known {
            assert_eq!(guess(text.as_bytes()), form, "{text}");
        }
        assert_eq!(guess(b""), Form::Log);
        assert_eq!(guess(&[0xff; 100]), Form::Log);
    }

    fn readers() -> Readers {
        let read: ReadMail =
            |bytes| if bytes.starts_with(b"Subject: bounce") { Ok(Vec::new()) } else { Err("no".into()) };
        let events: ReadEvents = |text| if text.contains("odd") { Err("odd".into()) } else { Ok((Vec::new(), vec![])) };
        Readers { mail: read, providers: vec![("ses", events)], zone: TimeZone::UTC, now: Timestamp::UNIX_EPOCH }
    }

    fn told(pieces: Pieces) -> Vec<(String, bool)> {
        pieces.map(|piece| (piece.place, piece.heard.is_ok())).collect()
    }

    #[test]
    fn every_piece_tells_its_place_and_one_that_is_odd_holds_nothing_up() {
        let of = |text: &'static str| told(of_stream("in", text.as_bytes(), None, &readers()));
        let mbox = "From a Thu Nov 26 08:00:00 2026\nSubject: other\n\nx\n\nFrom b Thu Nov 26 08:00:00 2026\nSubject: bounce\n\ny\n";
        assert_eq!(of(mbox), [("in:2".to_owned(), false), ("in:7".to_owned(), true)]);
        assert_eq!(of("{\"a\":1}\n{\"odd\":1}\n"), [("in:1".to_owned(), true), ("in:2".to_owned(), false)]);
        assert_eq!(of("Subject: bounce\n\nx"), [("in".to_owned(), true)]);
    }

    #[test]
    fn a_maildir_is_read_whole_and_a_folder_file_by_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("new/1", "Subject: bounce\n\n"), ("cur/2:2,S", "Subject: bounce\n\n"), ("tmp/3", "x")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        assert_eq!(told(of_path(folder.path(), None, &readers())).len(), 2);
        assert_eq!(told(of_path(&folder.path().join("new"), None, &readers())).len(), 1);
        let missing = told(of_path(&folder.path().join("missing"), None, &readers()));
        assert!(!missing[0].1);
    }
}
