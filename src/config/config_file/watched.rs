//! Owns the reading of what is watched under `feedback`: mailboxes and relays' logs.
//!
//! Invariant: what is not there yet, or not readable, is a lint and no problem: it is waited for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::fields::Fields;
use crate::config::keys::feedback::LOG;
use crate::config::problem::{Problems, did_you_mean, quoted};
use crate::config::settings::{FeedbackSettings, LogPlace, LogSettings};
use crate::config::tree::{Kind, Node};
use crate::core::names::RelayName;

/// Longest name of a unit (systemd.unit(5)).
const UNIT_MOST: usize = 255;

/// Reads `mailboxes` and `logs` of `map` into `settings`. `top` is the configuration; relative paths begin at `folder`.
pub(super) fn read(map: &Fields<'_>, top: &Fields<'_>, folder: &Path, settings: &mut FeedbackSettings) {
    let problems = map.problems();
    for node in map.list("mailboxes", "Maildir folders").unwrap_or_default() {
        let Some(path) = problems.text(node, "the path of a Maildir folder").map(|text| folder.join(text)) else {
            continue;
        };
        if settings.mailboxes.contains(&path) {
            problems.at(node.span, format!("{} is listed twice", path.display()));
            continue;
        }
        mailbox_lint(problems, node, &path);
        settings.mailboxes.push(path);
    }
    for node in map.list("logs", "logs, such as { relay: NAME, file: /var/log/mail.log }").unwrap_or_default() {
        let Some(log) = log(problems, node, top, folder) else { continue };
        if settings.logs.contains(&log) {
            problems.at(node.span, format!("this log of {} is listed twice", log.relay));
            continue;
        }
        settings.logs.push(log);
    }
}

fn log(problems: &Problems, node: &Node, top: &Fields<'_>, folder: &Path) -> Option<LogSettings> {
    let map = Fields::of(problems, node, node.span, "a log: relay, and file or journal")?;
    map.known(&LOG);
    let relay =
        map.required("relay", "the name of the relay that writes it").and_then(|node| relay(problems, node, top));
    let place = match (map.entry("file"), map.entry("journal")) {
        (Some(_), Some(other)) => {
            problems.at_with(
                other.key_span,
                "a log is in a file or in the journal, not in both",
                "make two logs of it",
            );
            None
        }
        (None, None) => {
            problems.at_with(
                map.span,
                "\"file\" is missing",
                "add `file:` with a path, or `journal:` with a unit such as postfix@-.service",
            );
            None
        }
        (Some(_), None) => map.read("file", |problems, node| file(problems, node, folder)).map(LogPlace::File),
        (None, Some(_)) => map.read("journal", unit).map(LogPlace::Journal),
    };
    Some(LogSettings { relay: relay?, place: place? })
}

/// A relay as written, so that one with problems of its own is not reported a second time.
fn relay(problems: &Problems, node: &Node, top: &Fields<'_>) -> Option<RelayName> {
    let name = problems.parsed::<RelayName>(node, "the name of a relay")?;
    let known: Vec<&str> = match top.node("relays").map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    };
    if known.contains(&name.as_str()) {
        return Some(name);
    }
    let help = match did_you_mean(name.as_str(), known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known relays: {}", known.join(", ")),
    };
    problems.at_with(node.span, format!("there is no relay {}", quoted(name.as_str())), help);
    None
}

fn file(problems: &Problems, node: &Node, folder: &Path) -> Option<PathBuf> {
    let path = folder.join(problems.text(node, "the path of a log")?);
    let shown = path.display();
    match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            problems.at(node.span, format!("expected the path of a log, {shown} is a directory"));
            return None;
        }
        Ok(meta) if meta.is_file() => {
            if let Err(error) = fs::File::open(&path) {
                let help = "let the user of the worker read it (on Debian: the group adm)";
                problems.lint(node.span, format!("{shown} cannot be read: {error}"), help);
            }
        }
        Ok(_) => problems.lint(node.span, format!("{shown} is no regular file"), "name the file that syslog writes"),
        Err(error) => {
            let help = "it is followed once it is there; where syslog writes to the journal only, write `journal: postfix@-.service`";
            problems.lint(node.span, format!("the log {shown}: {error}"), help);
        }
    }
    Some(path)
}

fn unit(problems: &Problems, node: &Node) -> Option<String> {
    const WHAT: &str = "a unit of systemd such as postfix@-.service";
    let text = problems.text(node, WHAT)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || ":_.\\@*?-".contains(c);
    if text.is_empty() || text.len() > UNIT_MOST || !text.chars().all(fits) {
        problems.expected(node, WHAT);
        return None;
    }
    Some(text.to_owned())
}

/// A Maildir has the folders `new`, `cur` and `tmp`; the first two are used.
fn mailbox_lint(problems: &Problems, node: &Node, path: &Path) {
    let shown = path.display();
    if path.is_file() {
        let help = "give it to `hikagen feedback import`, and have new mail put into a Maildir (a path that ends in / in Postfix)";
        problems.lint(node.span, format!("{shown} is a file, not a Maildir folder"), help);
        return;
    }
    for part in ["new", "cur"] {
        if let Err(error) = fs::read_dir(path.join(part)) {
            let help =
                "it is read once its folders new and cur are there and the user of the worker may read and change them";
            problems.lint(node.span, format!("the mailbox {shown}: {part}: {error}"), help);
            return;
        }
    }
}
