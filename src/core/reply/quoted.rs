//! Owns the finding of replies inside a report's text: a carrier's words quoted by a relay, a relay's by a provider.
//!
//! Invariants: nothing is read outside the text; at most [`MOST`] replies are found; what cannot be told apart stays one text.

use std::cell::OnceCell;

use super::vocabulary::Senses;
use super::{Enhanced, Stage};
use crate::core::feedback::Diagnostic;

/// Most replies that are looked for in one text.
const MOST: usize = 16;

/// One way to look at a report: a reply that it quotes, or all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// The reply code, where one was told.
    pub(super) code: Option<u16>,
    /// The enhanced code; those that say nothing (`5.0.0`) are left out.
    pub(super) enhanced: Option<Enhanced>,
    /// The words: lower case, single blanks, without the codes in front of each line.
    pub(super) text: String,
    /// The same with what stands for addresses blotted out, so that no name in an address is taken for a word.
    pub(super) blotted: String,
    senses: OnceCell<Senses>,
}

impl View {
    fn new(code: Option<u16>, enhanced: Option<Enhanced>, words: &str) -> Self {
        let text = super::rules::plain_text(words).replace('\u{2019}', "'");
        let enhanced = enhanced.filter(|e| (e.1, e.2) != (0, 0));
        Self { code, enhanced, blotted: blotted(&text), text, senses: OnceCell::new() }
    }

    /// What its words speak of, looked up once.
    pub(super) fn senses(&self) -> &Senses {
        self.senses.get_or_init(|| Senses::of(&self.text))
    }

    /// Whether it is a refusal for now only.
    pub(super) fn is_transient(&self) -> bool {
        self.code.map_or_else(|| self.enhanced.is_some_and(|e| e.0 == 4), |code| (400..500).contains(&code))
    }
}

/// A text in which each word with an `@` is cut down to it and the signs around it, and links lose what tells only how a page is
/// made.
fn blotted(text: &str) -> String {
    let sign = |c: char| !c.is_alphanumeric() && c != '@';
    let blot = |word: &str| {
        if word.contains("://") {
            return word.replace(".shtml", "").replace(".html", "");
        }
        if !word.contains('@') {
            return word.to_owned();
        }
        let front = &word[..word.find(|c| !sign(c)).unwrap_or(0)];
        // A recipient and what is said of it may stand together: `<a@b.example>:unknown`.
        let behind = word.rfind('@').map_or("", |at| &word[at + 1..]);
        let behind = behind.find(|c: char| !c.is_alphanumeric() && !"-.".contains(c)).map_or("", |at| &behind[at..]);
        format!("{front}@{behind}")
    };
    text.split(' ').map(blot).collect::<Vec<_>>().join(" ")
}

/// A code (and an enhanced one) with which a reply begins, and where.
#[derive(Debug, Clone, Copy)]
struct Opening {
    start: usize,
    end: usize,
    code: Option<u16>,
    enhanced: Option<Enhanced>,
}

/// What a report says, the reply that was quoted last (the innermost) first, all of it together last.
pub(super) fn views(said: &Diagnostic) -> Vec<View> {
    let text = said.text.as_str();
    let found = openings(text);
    let mut quoted: Vec<(Option<u16>, Option<Enhanced>, String)> = Vec::new();
    for (i, opening) in found.iter().enumerate() {
        let words = &text[opening.end..found.get(i + 1).map_or(text.len(), |next| next.start)];
        // The code of its first line may have been told apart before.
        let first = if i == 0 && is_later_line(said, opening, text) { &text[..opening.start] } else { "" };
        let empty = !words.contains(char::is_alphanumeric);
        match quoted.last_mut() {
            // The next line of one reply, its code repeated; or `(#5.1.1)` behind the words.
            Some((code, enhanced, so_far))
                if goes_on((*code, *enhanced), opening, empty || is_added(text, opening)) =>
            {
                *code = code.or(opening.code);
                *enhanced = enhanced.or(opening.enhanced);
                so_far.push('\n');
                so_far.push_str(words);
            }
            // Codes alone, or behind words whose code was told apart: all of the report has them.
            _ if empty || is_added(text, opening) => {}
            _ => quoted.push((opening.code, opening.enhanced, format!("{first}{words}"))),
        }
    }
    let code = said.code.or_else(|| quoted.iter().rev().find_map(|q| q.0));
    let code = code.or_else(|| found.iter().rev().find_map(|opening| opening.code));
    let enhanced = said.enhanced.or_else(|| quoted.iter().find_map(|q| q.1));
    let enhanced = enhanced.or_else(|| found.iter().find_map(|opening| opening.enhanced));
    let mut views: Vec<View> =
        quoted.iter().rev().map(|(code, enhanced, words)| View::new(*code, *enhanced, words)).collect();
    views.push(View::new(code, enhanced, &without_codes(text, &found)));
    views
}

/// Whether an opening repeats the code of a reply whose first line stands before it: `This message was 552-5.7.0 blocked`.
fn is_later_line(said: &Diagnostic, opening: &Opening, text: &str) -> bool {
    let before = text[..opening.start].trim_end();
    opening.code.is_some()
        && (opening.code, opening.enhanced) == (said.code, said.enhanced)
        && before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | ','))
}

/// Behind the words, as qmail writes it: `(#5.1.1)`.
fn is_added(text: &str, opening: &Opening) -> bool {
    opening.code.is_none() && (text[..opening.start].ends_with("(#") || text[..opening.start].ends_with('('))
}

/// Whether a code goes on with the reply before it. `added`: it stands behind that one's words.
fn goes_on((code, enhanced): (Option<u16>, Option<Enhanced>), next: &Opening, added: bool) -> bool {
    let same_code = code == next.code || code.is_none() || next.code.is_none();
    let same_enhanced = enhanced == next.enhanced && (enhanced.is_some() || code == next.code);
    (same_code && same_enhanced) || (added && next.code.is_none() && enhanced.is_none())
}

/// The text with the codes in front of quoted replies taken out.
fn without_codes(text: &str, found: &[Opening]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for opening in found {
        out.push_str(&text[at..opening.start]);
        out.push(' ');
        at = opening.end;
    }
    out.push_str(&text[at..]);
    out
}

fn openings(text: &str) -> Vec<Opening> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() && found.len() < MOST {
        let begins = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || b".-_/@=".contains(&bytes[at - 1]));
        match (begins && bytes[at].is_ascii_digit()).then(|| opening_at(text, at)).flatten() {
            Some(opening) => {
                at = opening.end;
                found.push(opening);
            }
            None => at += 1,
        }
    }
    found
}

fn opening_at(text: &str, start: usize) -> Option<Opening> {
    let rest = &text[start..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let behind = rest[digits..].chars().next();
    if digits == 3
        && matches!(rest.as_bytes()[0], b'4' | b'5')
        && behind.is_none_or(|c| c.is_whitespace() || "-#:,(".contains(c))
    {
        let code: u16 = rest[..3].parse().ok()?;
        let skipped =
            rest[3..].find(|c: char| !(c.is_whitespace() || "-#(:'\"".contains(c))).map_or(rest.len(), |n| n + 3);
        if let Some((enhanced, length)) = enhanced_at(&rest[skipped..]) {
            let end = start + skipped + length;
            return Some(Opening { start, end, code: Some(code), enhanced: Some(enhanced) });
        }
        return is_introduced(&text[..start], code, &rest[3..]).then_some(Opening {
            start,
            end: start + 3,
            code: Some(code),
            enhanced: None,
        });
    }
    let (enhanced, length) = enhanced_at(rest)?;
    Some(Opening { start, end: start + length, code: None, enhanced: Some(enhanced) })
}

/// An enhanced code at the beginning of `text`, and its length. Not a piece of an address or a version.
fn enhanced_at(text: &str) -> Option<(Enhanced, usize)> {
    let length = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let token = text[..length].trim_end_matches('.');
    let enhanced: Enhanced = token.parse().ok()?;
    let glued = text[length..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '/');
    (!glued && enhanced.1 <= 7).then_some((enhanced, token.len()))
}

/// Whether three digits without an enhanced code are a reply code, and no number in a sentence.
fn is_introduced(before: &str, code: u16, behind: &str) -> bool {
    const CODES: [u16; 41] = [
        421, 422, 431, 432, 441, 442, 446, 447, 449, 450, 451, 452, 454, 455, 471, 498, 499, 500, 501, 502, 503, 504,
        505, 510, 511, 512, 513, 515, 521, 523, 525, 530, 535, 541, 550, 551, 552, 553, 554, 556, 571,
    ];
    let before = before.trim_end();
    let first = before.is_empty() || before.ends_with("<<<") || before.ends_with("->");
    let said = ["said:", "was:", "smtp;", "reply:", "response:", "returned:", "error:", "failed:", "with:", "command:"];
    let lower = before.get(before.len().saturating_sub(12)..).unwrap_or_default().to_ascii_lowercase();
    let told = first
        || said.iter().any(|word| lower.ends_with(word))
        || before.ends_with(['\'', '"', '(', ';', '-', ':', ',']);
    let words = behind.trim_start_matches(|c: char| c.is_whitespace() || c == '-' || c == ':').chars().next();
    let sentence = code == 500 && !(first || said.iter().any(|word| lower.ends_with(word)));
    let quoted = behind.starts_with("-'") || behind.starts_with(" '");
    CODES.contains(&code) && (told || quoted) && !sentence && words.is_none_or(|c| !c.is_ascii_digit() || first)
}

/// The command that a relay says was answered: Postfix, Exim, sendmail and qmail each have their words for it.
pub(super) fn told_stage(text: &str) -> Option<Stage> {
    const WORDS: [(&str, Stage); 30] = [
        ("in reply to end of data", Stage::Body),
        ("in reply to rcpt to", Stage::Rcpt),
        ("in reply to mail from", Stage::Mail),
        ("in reply to data", Stage::Data),
        ("in reply to ehlo", Stage::Hello),
        ("in reply to helo", Stage::Hello),
        ("in reply to starttls", Stage::Tls),
        ("while sending rcpt to", Stage::Rcpt),
        ("while sending mail from", Stage::Mail),
        ("while sending end of data", Stage::Body),
        ("while sending message body", Stage::Body),
        ("while sending data", Stage::Data),
        ("while performing the helo", Stage::Hello),
        ("while performing the ehlo", Stage::Hello),
        ("after end of data", Stage::Body),
        ("after rcpt to", Stage::Rcpt),
        ("after pipelined rcpt to", Stage::Rcpt),
        ("after mail from", Stage::Mail),
        ("after pipelined mail from", Stage::Mail),
        ("after initial connection", Stage::Greeting),
        ("after helo", Stage::Hello),
        ("after ehlo", Stage::Hello),
        ("refused to talk to me", Stage::Greeting),
        ("while receiving the initial server greeting", Stage::Greeting),
        ("does not like recipient", Stage::Rcpt),
        ("failed after i sent the message", Stage::Body),
        (">>> rcpt", Stage::Rcpt),
        (">>> mail", Stage::Mail),
        (">>> data", Stage::Body),
        ("end of data command", Stage::Body),
    ];
    let lower = text.to_ascii_lowercase();
    WORDS.iter().find(|(words, _)| lower.contains(words)).map(|(_, stage)| *stage)
}

/// Whether a code of policy (x.7.x, RFC 3463) stands anywhere in the report.
pub(super) fn names_policy(said: &Diagnostic) -> bool {
    let policy = |e: Enhanced| e.1 == 7;
    let token = |part: &str| part.trim_matches('.').parse::<Enhanced>().is_ok_and(policy);
    said.enhanced.is_some_and(policy) || said.text.split(|c: char| !(c.is_ascii_digit() || c == '.')).any(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Diagnostic {
        Diagnostic { text: text.to_owned(), ..Diagnostic::default() }
    }

    fn innermost(text: &str) -> (Option<u16>, Option<String>, String) {
        let view = views(&said(text)).remove(0);
        (view.code, view.enhanced.map(|e| e.to_string()), view.text)
    }

    #[test]
    fn a_quoted_reply_is_found_in_the_words_of_who_quotes_it() {
        for (text, code, enhanced, begins) in [
            ("5.3.0 - Other mail system problem 550-'Unknown user a@docomo.ne.jp'", Some(550), None, "-'unknown user"),
            (
                "smtp; 550 5.4.1 gave up [mx.example] remote server said: 452 4.2.2 mailbox full",
                Some(452),
                Some("4.2.2"),
                "mailbox full",
            ),
            (
                "Remote Server returned '550 5.1.1 <#5.1.1 smtp;550 5.1.1 RESOLVER.ADR.RecipNotFound; not found>'",
                Some(550),
                Some("5.1.1"),
                "smtp; resolver",
            ),
            (
                "host mx.example[192.0.2.1] said: 550 5.1.1 <a@b.example>: no (in reply to RCPT TO command)",
                Some(550),
                Some("5.1.1"),
                "<a@b.example>",
            ),
            (
                "550-5.1.1 The account that you tried\n550-5.1.1 to reach does not exist. 550 5.1.1 see there",
                Some(550),
                Some("5.1.1"),
                "the account that you tried to reach",
            ),
            ("550 sorry, no mailbox here by that name (#5.7.1)", Some(550), Some("5.7.1"), "sorry, no mailbox"),
            (
                "550 5.0.350 Remote server returned an error -> 550 5.1.10 no such one",
                Some(550),
                Some("5.1.10"),
                "no such one",
            ),
        ] {
            let found = innermost(text);
            assert_eq!((found.0, found.1.as_deref()), (code, enhanced), "{text}: {found:?}");
            assert!(found.2.starts_with(begins), "{text}: {found:?}");
        }
    }

    #[test]
    fn numbers_of_a_sentence_are_no_codes() {
        for text in [
            "a limit of 500 messages and 452 octets",
            "[192.0.2.1] 4.16.55.1 Exim 4.94.2 on port 587",
            "user has 421 mails",
            "http://mx.example/5.1.1/why",
        ] {
            assert_eq!(views(&said(text)).len(), 1, "{text}: {:?}", views(&said(text)));
        }
    }

    #[test]
    fn an_address_is_no_word() {
        assert_eq!(blotted("<spam.full@virus.example>: user unknown"), "<@>: user unknown");
        assert_eq!(blotted("no user spam@blocked.example here"), "no user @ here");
    }

    #[test]
    fn the_command_that_was_answered_is_told_by_the_relays_words() {
        for (text, stage) in [
            ("said: 550 no (in reply to RCPT TO command)", Some(Stage::Rcpt)),
            ("said: 550 no (in reply to end of DATA command)", Some(Stage::Body)),
            ("SMTP error from remote mail server after RCPT TO:<a@b.example>: 550 no", Some(Stage::Rcpt)),
            (">>> DATA\n<<< 550 Unknown user", Some(Stage::Body)),
            ("no words of that kind", None),
        ] {
            assert_eq!(told_stage(text), stage, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_view(text in "\\PC{0,200}|([45][0-9]{2}[- ]([45]\\.[0-9]\\.[0-9] )?[a-z '-]{0,9}){0,30}") {
            let seen = views(&said(&text));
            proptest::prop_assert!((1..=MOST + 1).contains(&seen.len()));
        }
    }
}
