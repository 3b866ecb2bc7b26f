//! Owns the telling apart of mail without a delivery status: a bounce in prose, an automatic answer, a wish to leave, anything else.
//!
//! Invariant: an automatic answer is told by its headers or its subject, never by words that a bounce could have, and a bounce by who
//! wrote it and what its subject says.

use super::addresses::{in_line, is_machine};
use super::blank;
use super::parts::Parts;
use crate::core::feedback::{Fate, Heard};
use crate::core::reply;

/// Subjects of bounces, in lower case.
const BOUNCES: [&str; 51] = [
    "mail failed",
    "failed: mail",
    "processing error",
    "error during delivery",
    "error sending",
    "message delayed",
    "undeliver",
    "delivery status notification",
    "delivery failure",
    "delivery failed",
    "failure notice",
    "returned mail",
    "mail delivery",
    "mail system error",
    "message delivery failure",
    "non-delivery",
    "nondeliverable",
    "delivery report",
    "delivery notification",
    "delivery has failed",
    "could not be delivered",
    "unable to deliver",
    "not delivered",
    "returned to sender",
    "return receipt failed",
    "mail could not",
    "message could not",
    "bounced mail",
    "bounce message",
    "mail failure",
    "failed mail",
    "failed delivery",
    "delivery error",
    "delivery problem",
    "rejected mail",
    "message rejected",
    "user unknown",
    "address not found",
    "mailbox full",
    "mailbox is full",
    "warning: message",
    "warning: could not",
    "delayed mail",
    "delivery delayed",
    "mail delayed",
    "配信不能",
    "配信できません",
    "配信エラー",
    "送信エラー",
    "宛先不明",
    "エラーメール",
];

/// Beginnings of the subjects of automatic answers, in lower case.
const ANSWERS: [&str; 22] = [
    "auto:",
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "autoresponse",
    "automated reply",
    "out of office",
    "out of the office",
    "vacation",
    "on vacation",
    "away from",
    "i am out",
    "i'm out",
    "abwesenheit",
    "réponse automatique",
    "自動応答",
    "自動返信",
    "不在",
    "休暇",
    "お問い合わせありがとう",
];

/// Whether somebody's mail program reports that mail could not be handed on.
pub(super) fn is_bounce(parts: &Parts) -> bool {
    let from = parts.header("from").unwrap_or_default();
    let machine = in_line(from).iter().any(|address| is_machine(address))
        || ["mailer-daemon", "mail delivery", "postmaster", "mail administrator", "メール管理"]
            .iter()
            .any(|name| from.to_lowercase().contains(name));
    let daemon = from.to_lowercase().contains("mailer-daemon");
    let null = parts.header("return-path").is_some_and(|path| path.replace(' ', "") == "<>");
    let nobody = from.contains("<>");
    let subject = parts.subject.to_lowercase();
    // A person forwards a bounce that somebody else got.
    let forwarded = ["fw:", "fwd:"].iter().any(|begin| subject.starts_with(begin));
    let told = !forwarded && BOUNCES.iter().any(|words| subject.contains(words));
    let failed = parts.header("x-failed-recipients").is_some();
    let report = parts.header("content-type").is_some_and(|kind| kind.to_lowercase().contains("delivery-status"));
    failed
        || report
        || (daemon && !is_answer(parts))
        || (told && (machine || null || !parts.originals.is_empty()))
        || ((machine || nobody) && (told || reads_like_one(parts)))
        || (((null && !parts.originals.is_empty()) || told) && reads_like_one(parts))
}

/// Characters of prose in which a bounce's sentences are looked for.
const SENTENCES_MOST: usize = 32 * 1_024;

/// Whether the prose has an SMTP reply or a sentence that every bounce has.
fn reads_like_one(parts: &Parts) -> bool {
    let text = parts.texts.concat().chars().take(SENTENCES_MOST).collect::<String>().to_lowercase();
    let sentences = [
        "has been returned",
        "trouble delivering",
        "permanent error",
        "refused to accept your message",
        "able to deliver",
        "could not deliver",
        "not been delivered",
        "not deliverable",
        "failed address",
        "failed recipients",
        "delivery failed",
        "unknown host",
        "host unknown",
        "no valid recipients",
        "mailbox unavailable",
        "not a valid",
        "delivery attempts",
        "could not be delivered",
        "was not delivered",
        "couldn't be delivered",
        "wasn't delivered",
        "unable to deliver",
        "undeliverable",
        "delivery to the following",
        "permanent fatal errors",
        "said: 5",
        "said: 4",
        "remote host said",
        "user unknown",
        "unknown user",
        "<<< 5",
        "<<< 4",
        "mailbox is full",
        "mailbox full",
        "does not exist",
        "配信できません",
        "届けることができません",
        "送信できません",
        "見つかりません",
        "存在しません",
        "お届けできません",
        "配送できません",
        "配達できません",
        "送れません",
        "送信できなかった",
        "いっぱい",
    ];
    sentences.iter().any(|words| text.contains(words)) || reply::speaks_of_a_mailbox(&text)
}

/// Whether a program answered for its owner.
pub(super) fn is_answer(parts: &Parts) -> bool {
    let header = |name: &str| parts.header(name).unwrap_or_default().to_lowercase();
    let submitted = header("auto-submitted");
    let subject = parts.subject.trim().to_lowercase();
    let bare = subject.trim_start_matches("re:").trim_start_matches(['[', '【', '(', '（', '<', ' ', '　']);
    submitted.starts_with("auto-replied")
        || header("precedence").contains("auto_reply")
        || parts.headers.iter().any(|(name, _)| {
            [
                "x-autoreply",
                "x-autorespond",
                "x-autoresponder",
                "x-auto-response-suppress-reply",
                "x-vacation",
                "x-mail-autoreply",
            ]
            .contains(&name.as_str())
        })
        || ANSWERS.iter().any(|words| bare.starts_with(words))
}

pub(super) fn answer(parts: &Parts) -> Heard {
    let from = parts.header("from").map(in_line).unwrap_or_default();
    let mut heard = Heard { recipient: from.into_iter().next(), ..blank(Fate::AutoReply) };
    heard.said.text = parts.subject.chars().take(200).collect();
    heard.evidence = format!("Subject: {}", heard.said.text);
    heard
}

/// A wish to leave, written to the address of a `List-Unsubscribe: <mailto:...>`: by its subject, without being an answer to mail.
pub(super) fn left(parts: &Parts) -> Option<Heard> {
    let subject = parts.subject.trim().to_lowercase();
    let to = parts.clues.iter().chain(parts.header("to").map(str::to_owned).as_ref()).any(|to| {
        let local = to.trim_start_matches(['<', ' ']).to_lowercase();
        ["unsub", "leave", "optout", "opt-out"].iter().any(|word| local.starts_with(word))
    });
    let asks = ["unsubscribe", "配信停止", "購読解除", "退会"].iter().any(|word| subject.starts_with(word));
    if !(asks || to) || is_answer(parts) || is_bounce(parts) {
        return None;
    }
    let from = parts.header("from").map(in_line).unwrap_or_default();
    let mut heard = Heard { recipient: from.into_iter().next(), ..blank(Fate::Unsubscribed) };
    heard.said.text = parts.subject.chars().take(200).collect();
    heard.evidence = format!("Subject: {}", heard.said.text);
    Some(heard)
}
