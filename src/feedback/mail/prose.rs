//! Owns bounces in prose: Postfix, sendmail, qmail, Exim, Exchange, Gmail, carriers' and providers' gateways, and what is like them.
//!
//! Invariants: the general form is read, not samples: a line that names an address, and the nearest words that say why; the mail that
//! came back, pasted below, is no reason; what decides is kept as it was written.

use super::addresses::{in_line, is_machine};
use super::blank;
use super::parts::Parts;
use super::said::{diagnostic, host_in, stage_in};
use crate::core::feedback::{Fate, Heard};
use crate::core::reply::{Stage, speaks_of_a_mailbox};

/// Octets of prose that are looked at: no report says why after so many.
const TOP_MOST: usize = 32 * 1_024;

/// Replies of a transcript that are looked at.
const REPLIES_MOST: usize = 200;

/// Lines after which the mail that came back is pasted, in lower case.
const BELOW: [&str; 26] = [
    "below this line is a copy",
    "your message reads",
    "your message begins",
    "your message was:",
    "message was received as follows",
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
const DELAYS: [&str; 17] = [
    "attempts will continue",
    "will continue trying",
    "will try again",
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
const REASONS: [&str; 60] = [
    "unknown",
    "not known",
    "no such",
    "no user",
    "not exist",
    "doesn't exist",
    "not found",
    "couldn't be found",
    "wasn't found",
    "not match",
    "unrecogni",
    "invalid",
    "full",
    "quota",
    "exceed",
    "disabled",
    "inactive",
    "not active",
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
    "no longer",
    "not a valid",
    "not listed",
    "not accept",
    "over the limit",
    "over disk",
    "not respond",
    "not reach",
    "unreachable",
    "unavailable",
    "wrong or",
    "connection",
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
    "誤り",
    "間違",
    "ありません",
    "解約",
];

/// Words that say only that it failed, in lower case.
const FAILURES: [&str; 14] = [
    "unable to",
    "not able",
    "able to deliver",
    "could not",
    "cannot",
    "failed",
    "failure",
    "undeliver",
    "delayed",
    "retried",
    "attempts",
    "aborted",
    "error",
    "できません",
];

/// How much a paragraph must say to be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// Why it failed.
    Why,
    /// That it failed.
    That,
}

/// Words of what gateways and lawyers put below every mail, in lower case: all of one of these lines is in such a paragraph.
const FOOTERS: [&[&str]; 7] = [
    &["viruswall"],
    &["scanned", "virus"],
    &["checked", "virus"],
    &["scanned by"],
    &["virus-free"],
    &["intended", "recipient", "confidential"],
    &["intended solely"],
];

/// What a report says in prose, gone through once for all of its recipients.
pub(super) struct Prose {
    top: String,
    replies: Vec<Told>,
}

/// A reply in a transcript of the session.
struct Told {
    /// The text of its first line.
    first: String,
    /// All of its lines.
    all: String,
    /// The command that it answers.
    stage: Option<Stage>,
}

impl Prose {
    pub(super) fn of(parts: &Parts) -> Self {
        let top = top(parts);
        Self { replies: transcript(&top), top }
    }

    /// What it says of an address: for a report whose status says too little.
    pub(super) fn about(&self, address: Option<&str>) -> Option<String> {
        let found = words_of(&self.top, address, 2);
        (!found.trim().is_empty()).then_some(found)
    }

    /// All lines of the reply of which `begins` is the beginning, and the command that it answers.
    pub(super) fn reply(&self, begins: &str) -> Option<(&str, Option<Stage>)> {
        let begins: String = begins.chars().take(60).collect();
        let told = self.replies.iter().find(|told| told.first.contains(&begins))?;
        Some((&told.all, told.stage))
    }
}

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

/// The replies of a transcript. sendmail writes `>>> RCPT To:<...>` and `<<< 550 ...`, and cuts the reply down to its first line
/// elsewhere.
fn transcript(top: &str) -> Vec<Told> {
    let lines: Vec<&str> = top.lines().map(str::trim).collect();
    let told = |line: &str| line.strip_prefix("<<<").map(|reply| (reply.trim().to_owned(), diagnostic(reply)));
    let replies = (0..lines.len()).filter_map(|at| {
        let (_, first) = told(lines[at]).filter(|(_, said)| said.code.is_some())?;
        let goes_on = |line: &&str| told(line).filter(|(_, said)| said.code == first.code).map(|(all, _)| all);
        let all: Vec<String> = lines[at..].iter().take(20).map_while(goes_on).collect();
        let command = lines[..at].iter().rev().find(|line| line.starts_with(">>>"));
        let stage = command.and_then(|command| stage_in(command));
        let behind = lines[at + all.len()..].iter().take_while(|line| !line.starts_with(">>>"));
        let stage = stage.map(|stage| if is_pipelined(behind) { stage.min(Stage::Rcpt) } else { stage });
        Some(Told { first: first.text, all: all.join(" "), stage })
    });
    replies.take(REPLIES_MOST).collect()
}

/// Whether the recipients were refused though the transcript shows a later command: sent all at once, the answers come when the last
/// of them is written. Then sendmail says of the recipient what it makes of it, and the host that no recipient is left.
fn is_pipelined<'a>(behind: impl Iterator<Item = &'a &'a str>) -> bool {
    behind.into_iter().any(|line| {
        let lower = line.to_lowercase();
        let left =
            ["no valid recipient", "bad sequence", "need rcpt", "no recipients"].iter().any(|w| lower.contains(w));
        left || (!lower.starts_with("<<<") && lower.contains("... user unknown"))
    })
}

fn one(top: &str, address: Option<String>, many: usize, delayed: bool) -> Heard {
    let words = words_of(top, address.as_deref(), many);
    let said = diagnostic(&words);
    let transient = said.code.map(|code| code / 100).or_else(|| said.enhanced.map(|e| u16::from(e.0))) == Some(4);
    let lower = top.to_lowercase();
    // A size in a sentence looks like the code, and some say so of the mail's first station.
    let delivered = said.code.is_some_and(|code| code < 400)
        && ["successfully delivered", "delivered successfully", "successful delivery"]
            .iter()
            .any(|w| lower.contains(w));
    let fate = if delivered {
        Fate::Delivered
    } else if delayed && (transient || said.code.is_none()) {
        Fate::Delayed
    } else {
        Fate::Refused
    };
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
            let begins = (BELOW.iter().any(|words| lower.contains(words)) && !lower.contains("receive a copy"))
                || is_divider(&lower);
            if (begins && !top.trim().is_empty()) || top.len() > TOP_MOST {
                return top;
            }
            if !is_echo(&lower) {
                top.push_str(without_boilerplate(line.trim_end(), &lower));
            }
            top.push('\n');
        }
        top.push('\n');
    }
    top
}

/// Whether a line is a header of the mail that came back, of which nothing says why it did. Whom it went to may be read there.
fn is_echo(lower: &str) -> bool {
    const NAMES: [&str; 9] = [
        "subject",
        "date",
        "sent",
        "sent date",
        "from",
        "message-id",
        "mime-version",
        "return-path",
        "number of lines",
    ];
    let Some((name, _)) = lower.trim_start().split_once(':') else { return false };
    let name = name.trim_end();
    NAMES.contains(&name) || (name.starts_with("x-") || name.starts_with("content-")) && !name.contains(' ')
}

/// A line without what Gmail puts before each reason; it has the words of one.
fn without_boilerplate<'a>(line: &'a str, lower: &str) -> &'a str {
    let begins = lower.trim_start().starts_with("technical details of");
    if begins { line.split_once("failure:").map_or("", |(_, reason)| reason) } else { line }
}

/// Whether a line of signs with a few words in it parts the report from the mail that came back.
fn is_divider(lower: &str) -> bool {
    let signs = |c: char| "-=*#|_ ".contains(c);
    let words = lower.trim_matches(signs);
    lower.trim_start().chars().take(3).filter(|c| signs(*c) && *c != ' ').count() == 3
        && ["original", "returned m", "source mail", "unsent", "message text", "message header", "header of"]
            .iter()
            .any(|begin| words.contains(begin))
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
        if ["sender:", "mail from", ">>> mail", "message-id", "reply-to", "contact", "差出人", "送信者"]
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
fn words_of<'a>(top: &'a str, address: Option<&str>, many: usize) -> String {
    let paragraphs: Vec<&'a str> =
        top.split("\n\n").map(str::trim).filter(|p| !p.is_empty() && !is_footer(p)).collect();
    let names = |p: &str| address.is_some_and(|a| p.to_lowercase().contains(&a.to_lowercase()));
    let own: Vec<usize> = (0..paragraphs.len()).filter(|i| names(paragraphs[*i])).collect();
    // Another recipient's paragraph says nothing of this one.
    let others = |p: &str| many > 1 && !own.is_empty() && !names(p) && begins_with_an_address(p);
    let near =
        || own.iter().flat_map(|i| [*i, i + 1]).filter_map(|i| paragraphs.get(i).copied()).filter(|p| !others(p));
    // A reply to this address, in its own paragraph or in the one behind it.
    if let Some(reply) = near().find_map(|p| reply_in(p, address)) {
        return reply;
    }
    if (many <= 1 || own.is_empty())
        && let Some(reply) = paragraphs.iter().find_map(|p| reply_in(p, address))
    {
        return reply;
    }
    let has = |tier: Tier, p: &str| {
        // A link's words are its page's.
        let lower = p.split(' ').filter(|word| !word.contains("://")).collect::<Vec<_>>().join(" ").to_lowercase();
        match tier {
            Tier::Why => REASONS.iter().any(|word| lower.contains(word)) || speaks_of_a_mailbox(&lower),
            Tier::That => FAILURES.iter().any(|word| lower.contains(word)),
        }
    };
    let whole = |tier: Tier| -> Vec<&'a str> {
        // "... due to the following reason:" says why in what comes next.
        let told = |i: &usize| has(tier, paragraphs[*i]) || (*i > 0 && introduces(paragraphs[i - 1], tier));
        (0..paragraphs.len()).filter(told).map(|i| paragraphs[i]).filter(|p| !others(p)).collect()
    };
    let beside =
        || own.iter().filter_map(|i| behind(paragraphs[*i], address)).filter(|p| !has(Tier::That, p)).collect();
    let ways: [&dyn Fn() -> Vec<&'a str>; 5] = [
        &|| near().filter(|p| has(Tier::Why, p)).collect(),
        &beside,
        &|| whole(Tier::Why),
        &|| near().filter(|p| has(Tier::That, p)).collect(),
        &|| whole(Tier::That),
    ];
    let chosen = ways.iter().map(|way| way()).find(|found| !found.is_empty()).unwrap_or(paragraphs);
    chosen.join("\n").chars().take(800).collect()
}

fn begins_with_an_address(paragraph: &str) -> bool {
    let first = paragraph.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    in_line(first.lines().next().unwrap_or_default()).first().is_some_and(|a| first.starts_with(&a.to_lowercase()))
}

/// Whether a paragraph stands below every mail of its house.
fn is_footer(paragraph: &str) -> bool {
    let lower = paragraph.to_lowercase();
    FOOTERS.iter().any(|words| words.iter().all(|word| lower.contains(word)))
}

/// What a paragraph says behind its address, where it says something: `taro@example.jp:` and the reason below it. What ends in a
/// colon says it further down.
fn behind<'a>(paragraph: &'a str, address: Option<&str>) -> Option<&'a str> {
    let address = address?;
    let lower = paragraph.to_ascii_lowercase();
    let at = lower.find(&address.to_ascii_lowercase())? + address.len();
    let words = paragraph.get(at..)?.trim_start_matches(|c: char| !c.is_alphanumeric());
    if words.trim_end().ends_with([':', '：']) {
        return None;
    }
    let says = words.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count() > 1;
    // "..., taro@example.jp, did not match ..." is one sentence.
    let goes_on = paragraph[at..].starts_with([' ', ',', '>']) && words.starts_with(char::is_lowercase);
    says.then(|| if goes_on { &paragraph[at - address.len()..] } else { words })
}

/// Whether a paragraph ends in saying that the reason follows; where nothing gives a reason, that anything does.
fn introduces(paragraph: &str, tier: Tier) -> bool {
    let lower = paragraph.to_lowercase();
    let last = lower.lines().last().unwrap_or_default().trim_end();
    last.ends_with([':', '：'])
        && (tier == Tier::That
            || ["reason", "because", "problem", "error", "理由", "原因"].iter().any(|w| last.contains(w)))
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
