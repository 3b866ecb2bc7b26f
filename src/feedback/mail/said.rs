//! Owns the telling apart of an SMTP reply in words: code, enhanced code, text, stage, host.
//!
//! Invariant: the text keeps every word that decides; only codes in front are told apart from it.

use crate::core::feedback::{Diagnostic, TEXT_MOST};
use crate::core::reply::{Enhanced, Stage};

/// Reads `550 5.1.1 <a@b>... User unknown`, with what may stand before the codes (`host x said:`, `smtp;`) kept in the text.
#[must_use]
pub fn diagnostic(text: &str) -> Diagnostic {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: Vec<&str> = text.split(' ').collect();
    let code_at = words.iter().position(|word| code_of(word).is_some());
    let (code, from_code) =
        code_at.map_or((None, None), |at| code_of(words[at]).map_or((None, None), |(c, e)| (Some(c), e)));
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_ascii_digit()).parse::<Enhanced>().ok();
    let near = code_at.map_or(0, |at| at + 1);
    let enhanced = from_code
        .or_else(|| words.get(near).and_then(|word| bare(word)))
        .or_else(|| words.iter().skip(near).take(3).find_map(|word| bare(word)))
        .or_else(|| {
            words.iter().find_map(|word| if word.starts_with(['#', '(']) { bare(word) } else { word.parse().ok() })
        });
    let text = if code_at == Some(0) { without_codes(&words, code, enhanced) } else { text.clone() };
    Diagnostic { code, enhanced, text: text.chars().take(TEXT_MOST).collect() }
}

/// The words without the codes that each line of a long reply repeats.
fn without_codes(words: &[&str], code: Option<u16>, enhanced: Option<Enhanced>) -> String {
    let is_code = |word: &str| code_of(word).is_some_and(|(c, _)| Some(c) == code && word.len() <= 15);
    let is_enhanced = |word: &str| enhanced.is_some() && word.parse::<Enhanced>().ok() == enhanced;
    let kept: Vec<&str> = words.iter().copied().filter(|word| !is_code(word) && !is_enhanced(word)).collect();
    kept.join(" ")
}

/// A reply code at the beginning of a word: `550`, `550-5.1.1`, `(550`, `550:`.
fn code_of(word: &str) -> Option<(u16, Option<Enhanced>)> {
    let word = word.trim_start_matches(['(', '[', '"', '\'', '<', '#', ':']);
    let digits = word.get(..3)?;
    let code: u16 = digits.parse().ok().filter(|c| (400..600).contains(c) || *c == 250 || *c == 252)?;
    let rest = &word[3..];
    match rest.chars().next() {
        None => Some((code, None)),
        Some('-' | ' ') => Some((code, rest[1..].trim_end_matches([',', ':', ')', ';']).parse().ok())),
        Some(':' | ')' | ',' | ']' | '"' | '\'' | ';' | '_') => Some((code, None)),
        _ => None,
    }
}

/// The stage that words name: Postfix's "in reply to", Exim's "after", sendmail's ">>>".
#[must_use]
pub fn stage_in(text: &str) -> Option<Stage> {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&[
        "end of data",
        "after end-of-data",
        "after pipelined end",
        "after dot",
        "sending message body",
        "(in reply to message)",
        // sendmail's transcript has no line of its own for the end of the mail.
        ">>> data",
    ]) {
        Some(Stage::Body)
    } else if has(&[
        "to rcpt to",
        "after rcpt",
        ">>> rcpt",
        "during rcpt",
        "rcpt to:<",
        "rcpt to command",
        "after pipelined rcpt",
    ]) {
        Some(Stage::Rcpt)
    } else if has(&["to data command", "after data", "after pipelined data"]) {
        // Exim says "after DATA" of the command, "after end of data" of the body.
        Some(Stage::Data)
    } else if has(&["to mail from", "after mail", ">>> mail", "during mail", "after pipelined mail"]) {
        Some(Stage::Mail)
    } else if has(&[
        "refused to talk to me",
        "initial server greeting",
        "after initial connection",
        "while sending ehlo",
    ]) {
        Some(Stage::Greeting)
    } else if has(&["to helo", "to ehlo", "after ehlo", "after helo", ">>> ehlo", ">>> helo"]) {
        Some(Stage::Hello)
    } else if has(&[
        "connection timed out",
        "connection refused",
        "connect to ",
        "no route to host",
        "network is unreachable",
    ]) {
        Some(Stage::Connect)
    } else {
        None
    }
}

/// The receiving host that words name: "host mx.example.jp[192.0.2.1] said", "... while talking to mx.example.jp.:".
pub(super) fn host_in(text: &str) -> Option<String> {
    for before in [
        "host ",
        "while talking to ",
        "connect to ",
        "remote host ",
        "server for the recipient domain ",
        "gave this error:",
    ] {
        if let Some((_, rest)) = text.split_once(before) {
            let host: String =
                rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
            let host = host.trim_end_matches('.');
            if host.contains('.') {
                return Some(host.to_lowercase());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_from_words() {
        for (text, code, enhanced, words) in [
            ("550 5.1.1 <a@b.jp>... User unknown", Some(550), Some("5.1.1"), "<a@b.jp>... User unknown"),
            ("550-5.1.1 The account\n550 5.1.1 does not exist", Some(550), Some("5.1.1"), "The account does not exist"),
            ("host mx.b.jp said: 450 4.2.2 full", Some(450), Some("4.2.2"), "host mx.b.jp said: 450 4.2.2 full"),
            ("#5.1.1 no such user", None, Some("5.1.1"), "#5.1.1 no such user"),
            ("552 Too much mail data", Some(552), None, "Too much mail data"),
            ("mailbox full (4500 messages)", None, None, "mailbox full (4500 messages)"),
            ("(#5.1.1) user", None, Some("5.1.1"), "(#5.1.1) user"),
        ] {
            let said = diagnostic(text);
            let enhanced = enhanced.and_then(|e: &str| e.parse().ok());
            assert_eq!((said.code, said.enhanced, said.text.as_str()), (code, enhanced, words), "{text}");
        }
    }

    #[test]
    fn stages_and_hosts_are_read_from_the_words_of_common_programs() {
        for (text, stage, host) in [
            ("host mx.b.jp[192.0.2.1] said: 550 x (in reply to RCPT TO command)", Some(Stage::Rcpt), Some("mx.b.jp")),
            (
                "host mx.b.jp[192.0.2.1] said: 550 x (in reply to end of DATA command)",
                Some(Stage::Body),
                Some("mx.b.jp"),
            ),
            (
                "SMTP error from remote mail server after RCPT TO:<a@b.jp>: host mx.b.jp [192.0.2.1]:",
                Some(Stage::Rcpt),
                Some("mx.b.jp"),
            ),
            ("... while talking to mx.b.jp.:\n>>> DATA\n<<< 550 x", Some(Stage::Body), Some("mx.b.jp")),
            ("nothing of the kind", None, None),
        ] {
            assert_eq!((stage_in(text), host_in(text).as_deref()), (stage, host), "{text}");
        }
    }
}
