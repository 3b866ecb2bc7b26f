//! Owns delivery statuses (RFC 3464, RFC 6533), broken ones too.
//!
//! Invariants: every recipient of the report is told of, once per action; an SMTP reply in the diagnostic is believed before the status
//! field, which many set to 5.0.0; where the diagnostic says nothing, the prose about that recipient does.

use std::cell::LazyCell;

use jiff::Timestamp;

use super::addresses::of_field;
use super::parts::{Parts, fields};
use super::prose::Prose;
use super::said::{diagnostic, host_in, stage_in};
use super::{RECIPIENTS_MOST, blank};
use crate::core::feedback::{Fate, Heard};
use crate::core::reply::Enhanced;

type Fields = Vec<(String, String)>;

pub(super) fn read(parts: &Parts) -> Vec<Heard> {
    let mut heard: Vec<Heard> = Vec::new();
    let prose = LazyCell::new(|| Prose::of(parts));
    for status in &parts.statuses {
        let blocks = blocks(status);
        let common: Fields = blocks.iter().filter(|block| !is_recipient(block)).flatten().cloned().collect();
        for block in blocks.iter().filter(|block| is_recipient(block)) {
            if heard.len() >= RECIPIENTS_MOST {
                return heard;
            }
            let one = recipient(block, &common, parts, &prose);
            if !heard.iter().any(|known| (&known.recipient, known.fate) == (&one.recipient, one.fate)) {
                heard.push(one);
            }
        }
    }
    heard
}

/// Groups of fields. An empty line parts them; so does a field that a recipient has once, where the line is missing.
fn blocks(status: &str) -> Vec<Fields> {
    let mut blocks: Vec<Fields> = Vec::new();
    for paragraph in status.replace('\r', "").split("\n\n") {
        let mut block: Fields = Vec::new();
        for (name, value) in fields(paragraph) {
            let again = name == "final-recipient" && block.iter().any(|(n, _)| *n == name);
            if again {
                blocks.push(std::mem::take(&mut block));
            }
            block.push((name, value));
        }
        if !block.is_empty() {
            blocks.push(block);
        }
    }
    blocks
}

fn is_recipient(block: &Fields) -> bool {
    block
        .iter()
        .any(|(name, _)| ["final-recipient", "original-recipient", "x-actual-recipient"].contains(&name.as_str()))
}

fn field<'a>(block: &'a Fields, name: &str) -> Option<&'a str> {
    block.iter().find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn recipient(block: &Fields, common: &Fields, parts: &Parts, prose: &Prose) -> Heard {
    let either = |name: &str| field(block, name).or_else(|| field(common, name));
    let address = ["original-recipient", "final-recipient", "x-actual-recipient"]
        .iter()
        .find_map(|name| field(block, name).and_then(of_field));
    let status: Option<Enhanced> = field(block, "status")
        .and_then(|s| s.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|w| w.parse().ok()));
    let told = field(block, "diagnostic-code").map(|text| {
        let (kind, rest) = text.split_once(';').unwrap_or(("", text));
        // A type of its own before the semicolon; without one, all of it is the text.
        if kind.contains(' ') { text } else { rest }.trim().to_owned()
    });
    let mut said = diagnostic(told.as_deref().unwrap_or_default());
    let mut stage = told.as_deref().and_then(stage_in);
    // "smtp; 550" says less than the prose does; a status that says one thing, more than prose without a reply. What is no SMTP
    // reply ("Unable-To-Transfer") says less than one that the prose tells.
    let plain = said.enhanced.or(status).is_some_and(Enhanced::is_plain);
    let silent = said.text.chars().filter(|c| c.is_alphabetic()).count() < 4;
    let about = LazyCell::new(|| prose.about(address.as_deref()));
    if (silent || said.code.is_none())
        && let Some(words) = about.as_deref()
    {
        let more = diagnostic(words);
        let is_reply = more.code.is_some() || more.enhanced.is_some_and(|e| (e.1, e.2) != (0, 0));
        let says_more =
            if silent { more.code.is_some() || !plain } else { is_reply && !plain && said.enhanced.is_none() };
        if says_more {
            said.code = said.code.or(more.code);
            said.enhanced = said.enhanced.or(more.enhanced);
            stage = stage.or_else(|| stage_in(words));
            said.text = more.text;
        }
    }
    if !silent && let Some((all, of)) = prose.reply(&said.text) {
        stage = stage.or(of);
        said.text = diagnostic(all).text;
    }
    // Postfix names the command in its prose alone.
    stage = stage.or_else(|| about.as_deref().and_then(stage_in));
    said.enhanced = match (said.enhanced, status) {
        // The class of the field is the reporter's last word where the reply's is of another kind.
        (Some(reply), Some(field)) if (reply.1, reply.2) == (0, 0) => Some(field),
        (Some(reply), _) => Some(reply),
        (None, field) => field,
    };
    let action = either("action").map(str::to_lowercase).unwrap_or_default();
    let fate = fate(&action, said.enhanced.or(status).map(|e| e.0));
    let remote = field(block, "remote-mta").map(|value| value.split_once(';').map_or(value, |(_, host)| host));
    let remote =
        remote.and_then(|value| value.split_whitespace().next().map(|host| host.trim_end_matches('.').to_lowercase()));
    let at = ["last-attempt-date", "arrival-date"].iter().find_map(|name| either(name)).and_then(time);
    let lines = block.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n");
    Heard {
        said,
        stage,
        at: parts.date.or(at),
        remote: remote.filter(|host| host.contains('.')).or_else(|| told.as_deref().and_then(host_in)),
        recipient: address.or_else(|| parts.original("to").and_then(of_field)),
        evidence: lines,
        ..blank(fate)
    }
}

fn fate(action: &str, class: Option<u8>) -> Fate {
    let is = |words: &[&str]| words.iter().any(|word| action.starts_with(word));
    if is(&["fail", "expired", "reject"]) {
        Fate::Refused
    } else if is(&["delay", "deferred"]) {
        Fate::Delayed
    } else if is(&["deliver", "relay", "expand", "success"]) {
        Fate::Delivered
    } else {
        match class {
            Some(2) => Fate::Delivered,
            Some(4) => Fate::Delayed,
            _ => Fate::Refused,
        }
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let bare = text.split('(').next().unwrap_or_default().trim();
    jiff::fmt::rfc2822::parse(bare).ok().map(|zoned| zoned.timestamp())
}
