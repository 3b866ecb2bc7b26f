//! Owns bounces in prose: Postfix, sendmail, qmail, Exim, Exchange, Gmail, carriers' and providers' gateways, and what is like them.
//!
//! Invariants: the general form is read, not samples: a line that names an address, and the nearest words that say why; the mail that
//! came back, pasted below, is no reason; what decides is kept as it was written.

use super::addresses::{in_line, is_machine};
use super::blank;
use super::parts::Parts;
use super::said::{diagnostic, host_in, stage_in};
use crate::core::feedback::{Fate, Heard};

/// Lines after which the mail that came back is pasted, in lower case.
const BELOW: [&str; 22] = [
    "below this line is a copy",
    "this is a copy of the message",
    "original message follows",
    "original message ---",
    "--- original message",
    "unsent message follows",
    "returned message follows",
    "message header follows",
    "the header of the original",
    "headers of the original",
    "original message headers",
    "original mail headers",
    "message headers follow",
    "start of returned message",
    "copy of your message",
    "------ this is a copy",
    "the following is a copy",
    "以下は送信",
    "元のメッセージ",
    "送信されたメール",
    "--- header ---",
    "received: from ",
];

/// Words that tell of a delay, in lower case.
const DELAYS: [&str; 14] = [
    "will be retried",
    "will retry",
    "will keep trying",
    "still trying",
    "has been delayed",
    "is delayed",
    "delayed mail",
    "not yet been",
    "warning message only",
    "do not need to resend",
    "delivery delayed",
    "will continue to try",
    "遅延",
    "再送を試み",
];

/// Words that say why, in lower case: a paragraph with one of them is worth keeping where no reply code is.
const REASONS: [&str; 56] = [
    "unknown",
    "no such",
    "not exist",
    "doesn't exist",
    "not found",
    "couldn't be found",
    "wasn't found",
    "invalid",
    "full",
    "quota",
    "exceed",
    "disabled",
    "inactive",
    "suspended",
    "expired",
    "reject",
    "refused",
    "denied",
    "blocked",
    "spam",
    "policy",
    "too large",
    "too big",
    "too many",
    "timed out",
    "timeout",
    "moved",
    "unable to",
    "no longer",
    "failed",
    "not a valid",
    "not listed",
    "undeliverable",
    "not accept",
    "over the limit",
    "over disk",
    "not respond",
    "not reach",
    "unreachable",
    "attempts",
    "wrong or",
    "postponed due",
    "virus",
    "容量",
    "いっぱい",
    "不明",
    "見つかりません",
    "存在し",
    "拒否",
    "停止",
    "無効",
    "超え",
    "制限",
    "できません",
    "誤り",
    "ありません",
];

pub(super) fn read(parts: &Parts) -> Vec<Heard> {
    let top = top(parts);
    let delayed = is_delay(parts, &top);
    let named = recipients(parts, &top);
    let many = named.len();
    let mut heard: Vec<Heard> = named.into_iter().map(|address| one(&top, Some(address), many, delayed)).collect();
    if heard.is_empty() && !top.trim().is_empty() {
        let to = parts.original("to").map(in_line).unwrap_or_default().into_iter().next();
        heard.push(one(&top, to, 1, delayed));
    }
    heard
}

/// What the prose says of an address: for a report whose status says too little.
pub(super) fn about(parts: &Parts, address: Option<&str>) -> Option<String> {
    let top = top(parts);
    let found = words_of(&top, address, 2);
    (!found.trim().is_empty()).then_some(found)
}

fn one(top: &str, address: Option<String>, many: usize, delayed: bool) -> Heard {
    let words = words_of(top, address.as_deref(), many);
    let said = diagnostic(&words);
    let transient = said.code.map(|code| code / 100).or_else(|| said.enhanced.map(|e| u16::from(e.0))) == Some(4);
    let fate = if delayed && (transient || said.code.is_none()) { Fate::Delayed } else { Fate::Refused };
    // The transcript above the reply names the command and the host.
    let near = around(top, &words);
    Heard {
        stage: stage_in(&words).or_else(|| stage_in(&near)),
        remote: host_in(&words).or_else(|| host_in(&near)),
        recipient: address,
        evidence: words,
        said,
        ..blank(fate)
    }
}

/// All prose above the mail that came back.
fn top(parts: &Parts) -> String {
    let mut top = String::new();
    for text in &parts.texts {
        for line in text.lines() {
            let lower = line.to_lowercase();
            // "did not receive a copy of your message" names those whom it is about.
            let begins = BELOW.iter().any(|words| lower.contains(words)) && !lower.contains("receive a copy");
            if begins && !top.trim().is_empty() {
                return top;
            }
            top.push_str(line.trim_end());
            top.push('\n');
        }
        top.push('\n');
    }
    top
}

fn is_delay(parts: &Parts, top: &str) -> bool {
    let (subject, top) = (parts.subject.to_lowercase(), top.to_lowercase());
    // "will not be retried" has the words of a delay.
    DELAYS.iter().any(|words| subject.contains(words) || top.contains(words))
        && !top.contains("gave up")
        && !top.contains("given up")
        && !top.contains("permanent error")
}

/// The addresses that it is about: as the header says, else those in the prose that are neither machines nor the sender's.
fn recipients(parts: &Parts, top: &str) -> Vec<String> {
    let failed: Vec<String> = parts.header("x-failed-recipients").map(in_line).unwrap_or_default();
    if !failed.is_empty() {
        return failed;
    }
    let ours: Vec<String> =
        ["to", "delivered-to", "x-original-to"].iter().filter_map(|n| parts.header(n)).flat_map(in_line).collect();
    let senders: Vec<String> = ["from", "return-path", "reply-to", "sender"]
        .iter()
        .filter_map(|n| parts.original(n))
        .flat_map(in_line)
        .collect();
    let mut found: Vec<String> = Vec::new();
    for line in top.lines() {
        let lower = line.trim_start().to_lowercase();
        // Whose mail it was, and whom to ask.
        if ["from:", "sender:", "mail from", ">>> mail", "message-id", "reply-to", "contact", "差出人", "送信者"]
            .iter()
            .any(|w| lower.starts_with(w))
        {
            continue;
        }
        for address in in_line(line) {
            let known = found.iter().any(|a| a.eq_ignore_ascii_case(&address));
            let other = is_machine(&address) || ours.contains(&address) || senders.contains(&address);
            if !known && !other {
                found.push(address);
            }
        }
    }
    // One that the mail was sent to is meant where several are named.
    let to: Vec<String> = ["to", "cc"].iter().filter_map(|n| parts.original(n)).flat_map(in_line).collect();
    let meant: Vec<String> = found.iter().filter(|a| to.iter().any(|t| t.eq_ignore_ascii_case(a))).cloned().collect();
    if meant.is_empty() {
        found.truncate(20)
    } else {
        found = meant
    }
    found
}

/// The words that say why, nearest to `address`: its paragraph, the reply behind it, else the reasons of the whole.
fn words_of(top: &str, address: Option<&str>, many: usize) -> String {
    let paragraphs: Vec<&str> = top.split("\n\n").map(str::trim).filter(|p| !p.is_empty()).collect();
    let names = |p: &str| address.is_some_and(|a| p.to_lowercase().contains(&a.to_lowercase()));
    let own: Vec<usize> = (0..paragraphs.len()).filter(|i| names(paragraphs[*i])).collect();
    // A reply to this address, in its own paragraph or in the one behind it.
    for i in &own {
        for p in [*i, i + 1].iter().filter_map(|i| paragraphs.get(*i)) {
            if let Some(reply) = reply_in(p, address) {
                return reply;
            }
        }
    }
    if (many <= 1 || own.is_empty())
        && let Some(reply) = paragraphs.iter().find_map(|p| reply_in(p, address))
    {
        return reply;
    }
    let says_why = |p: &&str| {
        let lower = p.to_lowercase();
        REASONS.iter().any(|words| lower.contains(words))
    };
    let near: Vec<&str> =
        own.iter().flat_map(|i| [*i, i + 1]).filter_map(|i| paragraphs.get(i).copied()).filter(says_why).collect();
    let beside: Vec<&str> = own.iter().filter_map(|i| behind(paragraphs[*i], address)).collect();
    let whole = || {
        // "... due to the following reason:" says why in what comes next.
        let told = |i: &usize| says_why(&paragraphs[*i]) || (*i > 0 && introduces(paragraphs[i - 1]));
        (0..paragraphs.len()).filter(told).map(|i| paragraphs[i]).collect::<Vec<_>>()
    };
    let found = [near, beside].into_iter().find(|found| !found.is_empty());
    let chosen = found.unwrap_or_else(whole);
    let chosen = if chosen.is_empty() { paragraphs } else { chosen };
    chosen.join("\n").chars().take(800).collect()
}

/// What a paragraph says behind its address, where it says something: `taro@example.jp:` and the reason below it.
fn behind<'a>(paragraph: &'a str, address: Option<&str>) -> Option<&'a str> {
    let address = address?;
    let lower = paragraph.to_ascii_lowercase();
    let at = lower.find(&address.to_ascii_lowercase())? + address.len();
    let words = paragraph.get(at..)?.trim_start_matches(|c: char| !c.is_alphanumeric());
    (words.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count() > 1).then_some(words)
}

/// Whether a paragraph ends in saying that the reason follows.
fn introduces(paragraph: &str) -> bool {
    let lower = paragraph.to_lowercase();
    let last = lower.lines().last().unwrap_or_default().trim_end();
    last.ends_with([':', '：'])
        && ["reason", "because", "problem", "error", "理由", "原因"].iter().any(|w| last.contains(w))
}

/// The lines of a paragraph that are an SMTP reply, from the code on with its continuation.
fn reply_in(paragraph: &str, address: Option<&str>) -> Option<String> {
    let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
    let is_reply = |line: &&str| {
        let bare = line.trim_start_matches("<<<").trim_start_matches("Remote host said:").trim();
        let reply = diagnostic(bare);
        // A code alone in a sentence may be a size or a house number: it must be followed by words, at the beginning or after a colon.
        reply.code.is_some_and(|code| code >= 400)
            && (starts_with_code(bare)
                || ["said:", "error:", "reason:", "response", "returned", "replied", "was:", "smtp;", "(#"]
                    .iter()
                    .any(|w| bare.to_lowercase().contains(w)))
    };
    let all: Vec<usize> = (0..lines.len()).filter(|i| is_reply(&lines[*i])).collect();
    let of_address =
        all.iter().find(|i| address.is_some_and(|a| lines[**i].to_lowercase().contains(&a.to_lowercase()))).copied();
    let first = of_address.or_else(|| all.first().copied());
    let Some(first) = first else {
        // Postfix folds its sentence over lines.
        let joined = lines.join(" ");
        let told = joined.to_lowercase();
        let words = [
            "said: 5",
            "said: 4",
            "said:5",
            "error: 5",
            "error: 4",
            "reason: 5",
            "reason: 4",
            "response was: 5",
            "response was: 4",
        ];
        return words.iter().any(|w| told.contains(w)).then_some(joined);
    };
    let mut reply = lines[first].to_owned();
    for line in lines.iter().skip(first + 1).take(8) {
        if line.starts_with(">>>")
            || line.is_empty()
            || (starts_with_code(line.trim_start_matches("<<<").trim()) && !same_code(&reply, line))
        {
            break;
        }
        reply.push(' ');
        reply.push_str(line.trim_start_matches("<<<").trim());
    }
    let reply = reply.trim_start_matches("<<<").trim().to_owned();
    Some(reply)
}

fn starts_with_code(line: &str) -> bool {
    let line = line.trim_start_matches(['(', '#', '\'', '"']);
    line.get(..3).is_some_and(|c| c.parse::<u16>().is_ok_and(|c| (400..600).contains(&c)))
        && line[3..].chars().next().is_none_or(|c| !c.is_alphanumeric())
}

fn same_code(reply: &str, line: &str) -> bool {
    let code = |text: &str| diagnostic(text.trim_start_matches("<<<").trim()).code;
    code(reply) == code(line)
}

/// A few lines above the words, where a transcript names command and host.
fn around(top: &str, words: &str) -> String {
    let first: String = words.chars().take(30).collect();
    let lines: Vec<&str> = top.lines().collect();
    let at = lines.iter().position(|line| line.contains(first.trim()));
    at.map_or(String::new(), |at| lines[at.saturating_sub(4)..at].join("\n"))
}
