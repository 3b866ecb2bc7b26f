//! Owns secrets: where they are kept and how they are read.
//!
//! Invariants: the text of a secret is in no message; a secret is one line without control characters.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::config_file::command;
use super::fields::Fields;
use super::keys::Table;
use super::keys::configuration::{SECRET, TOKEN as TOKEN_KEYS};
use super::problem::{Problems, Span};
use super::settings::{Secret, TokenSource};
use super::tree::{Kind, Node};
use crate::core::units::grouped;

/// Longest secret, octets: SES and SendGrid hand out 44 and 69.
const LONGEST: usize = 4_096;

/// Longest access token, octets: with a user it still fits in what RFC 4954 4 allows a line of AUTH (12,288).
const LONGEST_TOKEN: usize = 8_192;

/// Where secrets come from.
pub(super) struct Keepers<'a> {
    /// Environment variables.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// Relative paths start here.
    pub(super) folder: &'a Path,
}

impl Keepers<'_> {
    /// The secret under `key`: `{ env: NAME }` or `{ file: PATH }`.
    pub(super) fn secret(&self, fields: &Fields<'_>, key: &str) -> Option<Secret> {
        let (place, node) = place(fields, key, &["env", "file"], &SECRET)?;
        match place {
            "env" => self.in_environment(fields.problems(), node, &LINE),
            _ => self.in_file(fields.problems(), node, &LINE),
        }
    }

    /// The access token under `token`: a secret, or `{ command: [PROGRAM, ...], timeout: 30s }`. A file is looked at here and
    /// read again at each login.
    pub(super) fn token(&self, fields: &Fields<'_>, patience: Duration) -> Option<TokenSource> {
        let problems = fields.problems();
        let (place, node) = place(fields, "token", &["env", "file", "command"], &TOKEN_KEYS)?;
        let map = fields.map("token", "env, file or command")?;
        let timeout = map.duration("timeout");
        if place != "command"
            && let Some(entry) = map.entry("timeout")
        {
            problems.at(entry.key_span, "timeout belongs to a command");
            return None;
        }
        match place {
            "env" => self.in_environment(problems, node, &TOKEN).map(TokenSource::Kept),
            "file" => {
                let path = self.folder.join(problems.text(node, "the path of a file")?);
                self.in_file(problems, node, &TOKEN).map(|_| TokenSource::File(path))
            }
            _ => {
                let words = command(problems, node)?;
                let asked = map.node("timeout").is_some();
                (!asked || timeout.is_some())
                    .then(|| TokenSource::Command { words, timeout: timeout.unwrap_or(patience) })
            }
        }
    }

    /// The text of several lines under `key`, such as a PEM file's.
    pub(super) fn lines(&self, fields: &Fields<'_>, key: &str) -> Option<Secret> {
        let (place, node) = place(fields, key, &["env", "file"], &SECRET)?;
        match place {
            "env" => self.in_environment(fields.problems(), node, &LINES),
            _ => self.in_file(fields.problems(), node, &LINES),
        }
    }

    fn in_environment(&self, problems: &Problems, node: &Node, form: &Form) -> Option<Secret> {
        let name = problems.text(node, "the name of an environment variable")?;
        let Some(text) = (self.env)(name) else {
            let help = "set it before the program starts (in a systemd unit: EnvironmentFile=), or use { file: PATH }";
            problems.at_with(node.span, format!("the environment variable {name} is not set"), help);
            return None;
        };
        checked(problems, node.span, &format!("env {name}"), text, form)
    }

    fn in_file(&self, problems: &Problems, node: &Node, form: &Form) -> Option<Secret> {
        let path = self.folder.join(problems.text(node, "the path of a file")?);
        let shown = path.display().to_string();
        if let Some(open) = too_open(&path) {
            let help = format!("chmod 600 {shown}");
            let message = format!("anybody on this machine may {open} {shown}");
            if open == "write" {
                problems.at_with(node.span, message, help);
                return None;
            }
            problems.lint(node.span, message, help);
        }
        match read_short(&path, form.longest) {
            Ok(text) => checked(problems, node.span, &format!("file {shown}"), text, form),
            Err(error) => {
                let help = "the user who runs hikagen must be able to read it";
                problems.at_with(node.span, format!("cannot read {shown}: {error}"), help);
                None
            }
        }
    }
}

/// The one of `places` under `key` at which the secret is kept, in a map with the keys of `table`.
fn place<'a>(
    fields: &Fields<'a>,
    key: &str,
    places: &[&'static str],
    table: &Table,
) -> Option<(&'static str, &'a Node)> {
    let entry = fields.entry(key)?;
    let problems = fields.problems();
    if matches!(entry.value.kind, Kind::Scalar { .. }) {
        let help = format!(
            "write `{key}: {{ env: NAME }}` for an environment variable, or `{key}: {{ file: /run/secrets/NAME }}`"
        );
        let message = format!("a {} is not written in clear here", key.replace('_', " "));
        problems.at_with(entry.value.span, message, help);
        return None;
    }
    let either = places.join(" or ");
    let map = Fields::of(problems, &entry.value, entry.key_span, &either)?;
    map.known(table);
    let mut found = places.iter().filter_map(|place| Some((*place, map.node(place)?)));
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one),
        (Some((first, _)), Some((second, node))) => {
            problems.at(node.span, format!("expected one of {first} and {second}, got both"));
            None
        }
        (None, _) => {
            let shown: Vec<String> = places.iter().map(|place| format!("{{ {place}: {} }}", example(place))).collect();
            let help = format!("write {}", shown.join(" or "));
            problems.at_with(entry.key_span, format!("where is the {key}?"), help);
            None
        }
    }
}

fn example(place: &str) -> &'static str {
    match place {
        "env" => "NAME",
        "file" => "PATH",
        _ => "[PROGRAM, ...]",
    }
}

fn read_short(path: &Path, longest: usize) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(longest as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// What a secret must look like.
struct Form {
    longest: usize,
    /// Its lines may be many, as in a PEM file.
    lines: bool,
}

const LINE: Form = Form { longest: LONGEST, lines: false };
/// A PEM file of a 4096-bit key has about 3,300 octets.
const LINES: Form = Form { longest: 16_384, lines: true };
const TOKEN: Form = Form { longest: LONGEST_TOKEN, lines: false };

/// What anybody may do with the file, that only its owner should.
fn too_open(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    match mode {
        mode if mode & 0o002 != 0 => Some("write"),
        mode if mode & 0o004 != 0 => Some("read"),
        _ => None,
    }
}

fn checked(problems: &Problems, at: Span, place: &str, text: String, form: &Form) -> Option<Secret> {
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    let broken = |c: char| c.is_control() && !(form.lines && matches!(c, '\n' | '\r'));
    let wrong = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > form.longest {
        format!("is longer than {} octets", grouped(form.longest as u64))
    } else if text.chars().any(broken) {
        if form.lines { "has control characters" } else { "has more than one line, or control characters" }.to_owned()
    } else {
        return Some(Secret { place: place.to_owned(), text: SecretString::from(text) });
    };
    let help = if form.lines { "it is text, as openssl writes it" } else { "it is one line of text" };
    problems.at_with(at, format!("the secret in {place} {wrong}"), help);
    None
}
