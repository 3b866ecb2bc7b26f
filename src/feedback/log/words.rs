//! Owns telling apart whose words stand in the brackets behind a Postfix status: the destination's, or the relay's own.
//!
//! Invariants: total (every text gives words); what a destination said stands without what Postfix put around it; a reply code is
//! only what stood at the beginning of a reply. The forms are those of Postfix 2.3 to 3.11.

use crate::core::feedback::{Diagnostic, TEXT_MOST};
use crate::core::reply::{Enhanced, Stage};

/// The words of one status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// What was said.
    pub(super) said: Diagnostic,
    /// Where in the dialogue.
    pub(super) stage: Option<Stage>,
    /// The host that was spoken with.
    pub(super) remote: Option<String>,
}

/// Reads what stands in the brackets; `dsn` is the status code beside it, which holds where nobody replied.
pub(super) fn words(text: &str, dsn: Option<Enhanced>) -> Words {
    let text = text.trim();
    // Told of a whole destination, for mail that was not tried itself.
    let text = text.strip_prefix("delivery temporarily suspended: ").unwrap_or(text);
    if let Some(found) = said(text).or_else(|| greeted(text)).or_else(|| login(text)) {
        return found;
    }
    if let Some(reply) = reply(text) {
        let stage = (reply.code.is_some_and(|code| code < 400)).then_some(Stage::Body);
        return Words { said: reply, stage, remote: None };
    }
    let (stage, remote) = fault(text);
    Words { said: Diagnostic { code: None, enhanced: dsn, text: bounded(text) }, stage, remote }
}

/// `host NAME[IP] said: REPLY (in reply to COMMAND)`.
fn said(text: &str) -> Option<Words> {
    let (host, rest) = text.strip_prefix("host ")?.split_once(" said: ")?;
    let (answer, stage) = match rest.rsplit_once(" (in reply to ") {
        Some((answer, command)) => (answer, stage_of(command)),
        None => (rest, None),
    };
    Some(Words { said: or_text(answer), stage, remote: host_name(host) })
}

/// `host NAME[IP] refused to talk to me: REPLY`.
fn greeted(text: &str) -> Option<Words> {
    let (host, rest) = text.strip_prefix("host ")?.split_once(" refused to talk to me: ")?;
    Some(Words { said: or_text(rest), stage: Some(Stage::Greeting), remote: host_name(host) })
}

/// `SASL authentication failed; server NAME[IP] said: REPLY`.
fn login(text: &str) -> Option<Words> {
    let (_, rest) = text.strip_prefix("SASL ")?.split_once("authentication failed; server ")?;
    let (host, answer) = rest.split_once(" said: ")?;
    Some(Words { said: or_text(answer), stage: Some(Stage::Auth), remote: host_name(host) })
}

/// Where it broke, when nobody replied.
fn fault(text: &str) -> (Option<Stage>, Option<String>) {
    if let Some(rest) = text.strip_prefix("connect to ") {
        return (Some(Stage::Connect), rest.split_once(": ").and_then(|(host, _)| host_name(host)));
    }
    let broken = text.strip_prefix("lost connection with ").or_else(|| text.strip_prefix("conversation with "));
    if let Some((host, rest)) = broken.and_then(|rest| rest.split_once(' ')) {
        let stage = rest.rsplit_once("while ").and_then(|(_, doing)| stage_of(doing));
        return (stage, host_name(host));
    }
    let tls = ["Cannot start TLS", "TLS is required", "Server certificate", "TLSA lookup"];
    if tls.iter().any(|words| text.starts_with(words)) {
        let host = text.split_once(" by host ").and_then(|(_, host)| host_name(host));
        return (Some(Stage::Tls), host);
    }
    if let Some(host) = text.strip_prefix("local data error while talking to ") {
        return (None, host_name(host));
    }
    (None, None)
}

/// The stage that a command or an occupation (`sending end of data`) belongs to.
fn stage_of(doing: &str) -> Option<Stage> {
    const STAGES: [(&str, Stage); 12] = [
        // The longer names first: DATA is in several.
        ("end of data", Stage::Body),
        ("message body", Stage::Body),
        ("initial server greeting", Stage::Greeting),
        ("starttls", Stage::Tls),
        ("ehlo", Stage::Hello),
        ("helo", Stage::Hello),
        ("lhlo", Stage::Hello),
        ("auth", Stage::Auth),
        ("mail from", Stage::Mail),
        ("rcpt to", Stage::Rcpt),
        ("bdat", Stage::Body),
        ("data command", Stage::Data),
    ];
    let doing = doing.to_ascii_lowercase();
    STAGES.iter().find(|(name, _)| doing.contains(name)).map(|(_, stage)| *stage)
}

/// `mx.example.jp` of `mx.example.jp[192.0.2.1]:25`; the address where the name is not known; `None`: no host.
pub(super) fn host_name(text: &str) -> Option<String> {
    let text = text.trim();
    let (name, address) = text
        .split_once('[')
        .map_or((text, ""), |(name, rest)| (name, rest.split_once(']').map_or(rest, |(address, _)| address)));
    let name = if matches!(name, "" | "unknown") { address } else { name };
    let fits = |name: &str| name.len() <= 255 && !name.contains(char::is_whitespace) && !name.starts_with('/');
    (!matches!(name, "" | "none") && fits(name)).then(|| name.to_owned())
}

/// A reply, or where it is none a text.
fn or_text(text: &str) -> Diagnostic {
    reply(text).unwrap_or_else(|| Diagnostic { text: bounded(text), ..Diagnostic::default() })
}

/// A reply that Postfix wrote on one line: `550-5.1.1 first 550 5.1.1 second`. Its text is without codes, a line each.
fn reply(text: &str) -> Option<Diagnostic> {
    let (code, first) = code_of(text)?;
    let digits = &text[..3];
    let mut lines = vec![String::new()];
    let mut more = first == b'-';
    let mut rest = text.get(4..).unwrap_or_default();
    while more {
        // The next line begins where the code comes again.
        let next = rest.match_indices(digits).find_map(|(at, _)| {
            let behind = *rest.as_bytes().get(at + 3)?;
            ((at == 0 || rest[..at].ends_with(' ')) && matches!(behind, b' ' | b'-')).then_some((at, behind))
        });
        let Some((at, behind)) = next else { break };
        if let Some(line) = lines.last_mut() {
            *line = rest[..at].to_owned();
        }
        lines.push(String::new());
        rest = &rest[at + 4..];
        more = behind == b'-';
    }
    if let Some(line) = lines.last_mut() {
        *line = rest.to_owned();
    }
    let first = lines[0].trim_start();
    let enhanced: Option<Enhanced> = first.split(' ').next().and_then(|word| word.parse().ok());
    let told: Vec<&str> = lines.iter().map(|line| without(line.trim(), enhanced)).collect();
    Some(Diagnostic { code: Some(code), enhanced, text: bounded(&told.join("\n")) })
}

/// The code in front, and the character behind it.
fn code_of(text: &str) -> Option<(u16, u8)> {
    let digits = text.as_bytes().first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let code = digits.iter().fold(0_u16, |code, digit| code * 10 + u16::from(digit - b'0'));
    let behind = text.as_bytes().get(3).copied().unwrap_or(b' ');
    ((200..600).contains(&code) && matches!(behind, b' ' | b'-')).then_some((code, behind))
}

/// The line without the enhanced code that stands in front of every line.
fn without(line: &str, enhanced: Option<Enhanced>) -> &str {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let code: Option<Enhanced> = word.parse().ok();
    if code.is_some() && code == enhanced { rest.trim_start() } else { line }
}

/// Without control characters, at most [`TEXT_MOST`] characters.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).take(TEXT_MOST).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Option<u16>, String, String, Option<Stage>, Option<String>) {
        let Words { said, stage, remote } = words(text, Some(Enhanced(4, 4, 1)));
        (said.code, said.enhanced.map(|e| e.to_string()).unwrap_or_default(), said.text, stage, remote)
    }

    fn told(
        code: u16,
        enhanced: &str,
        text: &str,
        stage: Option<Stage>,
        remote: &str,
    ) -> (Option<u16>, String, String, Option<Stage>, Option<String>) {
        ((code > 0).then_some(code), enhanced.into(), text.into(), stage, (!remote.is_empty()).then(|| remote.into()))
    }

    #[test]
    fn the_destinations_words_stand_alone() {
        for (text, expected) in [
            (
                "host mfsmax.docomo.ne.jp[203.0.113.9] said: 550 Unknown user a@docomo.ne.jp (in reply to RCPT TO command)",
                told(550, "", "Unknown user a@docomo.ne.jp", Some(Stage::Rcpt), "mfsmax.docomo.ne.jp"),
            ),
            (
                "host mx[192.0.2.1]:25 said: 550 5.1.1 <a@b.jp>: no (yes) (in reply to end of DATA command)",
                told(550, "5.1.1", "<a@b.jp>: no (yes)", Some(Stage::Body), "mx"),
            ),
            (
                "host mx[192.0.2.1] said: 550-5.1.1 does not exist. Call 550 5.1.1 tomorrow - gsmtp (in reply to RCPT TO command)",
                told(550, "5.1.1", "does not exist. Call\ntomorrow - gsmtp", Some(Stage::Rcpt), "mx"),
            ),
            (
                "delivery temporarily suspended: host mx[192.0.2.1] refused to talk to me: 421 Service not available, closing transmission channel",
                told(421, "", "Service not available, closing transmission channel", Some(Stage::Greeting), "mx"),
            ),
            (
                "SASL authentication failed; server smart[192.0.2.1] said: 535 5.7.8 Error: no",
                told(535, "5.7.8", "Error: no", Some(Stage::Auth), "smart"),
            ),
            ("250 2.0.0 Ok: queued as 4XyZ", told(250, "2.0.0", "Ok: queued as 4XyZ", Some(Stage::Body), "")),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_relay_says_itself_is_kept_whole() {
        for (text, stage, remote) in [
            ("connect to mx.docomo.ne.jp[192.0.2.1]:25: Connection timed out", Some(Stage::Connect), "mx.docomo.ne.jp"),
            (
                "lost connection with mx[192.0.2.1] while receiving the initial server greeting",
                Some(Stage::Greeting),
                "mx",
            ),
            ("lost connection with mx[192.0.2.1] while sending RCPT TO", Some(Stage::Rcpt), "mx"),
            ("lost connection with mx[192.0.2.1] while sending DATA command", Some(Stage::Data), "mx"),
            (
                "lost connection with mx[192.0.2.1] while sending end of data -- message may be sent more than once",
                Some(Stage::Body),
                "mx",
            ),
            ("conversation with mx[192.0.2.1] timed out while sending message body", Some(Stage::Body), "mx"),
            (
                "conversation with unknown[192.0.2.1] timed out while performing the EHLO handshake",
                Some(Stage::Hello),
                "192.0.2.1",
            ),
            ("Cannot start TLS: handshake failure", Some(Stage::Tls), ""),
            ("local data error while talking to mx[192.0.2.1]", None, "mx"),
            ("unable to look up host mx.example.jp: Name or service not known", None, ""),
            ("Host or domain name not found. Name service error for name=no.example type=MX: Host not found", None, ""),
            ("message size 4194304 exceeds size limit 3145728 of server msmx.au.com[192.0.2.1]", None, ""),
        ] {
            assert_eq!(read(text), told(0, "4.4.1", text, stage, remote), "{text}");
        }
    }

    #[test]
    fn text_that_looks_like_more_does_not_confuse() {
        assert_eq!(read("host mx[192.0.2.1] said: no code").1, "");
        assert_eq!(read("host mx[192.0.2.1] said: 550-").0, Some(550));
        assert_eq!(read("host mx[192.0.2.1] said: 550").0, Some(550));
        assert_eq!(read("host mx[192.0.2.1] said: 55").0, None);
        assert_eq!(read("host mx[192.0.2.1] said: 550-a 5501 550x 550-b 550 c").2, "a 5501 550x\nb\nc");
        assert_eq!(host_name("none"), None);
        assert_eq!(host_name("[192.0.2.1]:25"), Some("192.0.2.1".to_owned()));
    }

    proptest! {
        #[test]
        fn every_text_gives_bounded_words(text in "(host |connect to |lost connection with |)\\PC{0,40}( said: |\\[|: |)[0-9 .-]{0,12}\\PC{0,1200}") {
            let found = words(&text, None);
            prop_assert!(found.said.text.chars().count() <= TEXT_MOST);
        }
    }
}
