//! Owns the taking apart of a mail into what reports are read from: prose, delivery statuses, feedback, and the mail that came back.
//!
//! Invariants: of mails inside mails at most [`DEPTH_MOST`] are opened; text whose charset is not told, or told wrong, is guessed (JIS,
//! Shift_JIS, EUC-JP); a report in a part of the wrong type is found by what it looks like.

use jiff::Timestamp;
use mail_parser::{Header, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::PARTS_MOST;

/// Mails inside mails.
const DEPTH_MOST: usize = 5;
/// Octets of a text that are read: the deciding lines come first.
const TEXT_MOST: usize = 64 * 1_024;
/// Clues that are kept.
const CLUES_MOST: usize = 60;

/// What reports are read from.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Headers of the mail itself: name in lower case, value unfolded.
    pub(super) headers: Vec<(String, String)>,
    pub(super) subject: String,
    pub(super) message_id: Option<String>,
    pub(super) date: Option<Timestamp>,
    /// Prose, in order.
    pub(super) texts: Vec<String>,
    /// `message/delivery-status` and what looks like it.
    pub(super) statuses: Vec<String>,
    /// `message/feedback-report`.
    pub(super) feedback: Vec<String>,
    /// Headers of the mails that came back.
    pub(super) originals: Vec<Vec<(String, String)>>,
    /// Where a token may stand, the most trustworthy first.
    pub(super) clues: Vec<String>,
    seen: usize,
}

/// Headers of the mail itself that name whom it was sent to.
const OURS: [&str; 7] =
    ["delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "to", "x-failed-recipients-of"];
/// Headers of the mail that came back which carry its token.
const ITS: [&str; 7] =
    ["return-path", "message-id", "list-unsubscribe", "x-envelope-from", "errors-to", "sender", "feedback-id"];
/// Headers by which an answer names what it answers.
const ANSWERS: [&str; 3] = ["in-reply-to", "references", "x-original-message-id"];

impl Parts {
    /// `None`: it has no header.
    pub(super) fn of(mail: &[u8], envelope: &[&str]) -> Option<Self> {
        let message = MessageParser::default().parse(mail)?;
        let mut parts = Self { headers: headers(&message), ..Self::default() };
        if parts.headers.is_empty() {
            return None;
        }
        parts.subject = message.subject().unwrap_or_default().to_owned();
        parts.message_id = parts.header("message-id").map(str::to_owned);
        parts.date = message.date().and_then(|date| Timestamp::from_second(date.to_timestamp()).ok());
        parts.walk(&message, 0);
        if parts.texts.iter().all(|text| text.trim().is_empty()) && parts.statuses.is_empty() {
            // A multipart of which nobody told the boundary, or told it wrong.
            let head = mail.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let head = head.or_else(|| mail.windows(2).position(|two| two == b"\n\n").map(|at| at + 2));
            let body = head.and_then(|at| mail.get(at..)).unwrap_or_default();
            parts.texts.push(guess(&body[..body.len().min(TEXT_MOST)]));
        }
        parts.clues = parts.clues_of(envelope);
        Some(parts)
    }

    /// The first header of a name (lower case).
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A header of the mail that came back.
    pub(super) fn original(&self, name: &str) -> Option<&str> {
        self.originals.iter().flatten().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn walk(&mut self, message: &Message<'_>, depth: usize) {
        for part in &message.parts {
            self.seen += 1;
            if self.seen > PARTS_MOST {
                return;
            }
            self.take(part, message.raw_message(), depth);
        }
    }

    fn take(&mut self, part: &MessagePart<'_>, raw: &[u8], depth: usize) {
        let kind = part.content_type().map(|c| {
            let sub = c.subtype().unwrap_or_default();
            format!("{}/{sub}", c.ctype()).to_lowercase()
        });
        let kind = kind.as_deref().unwrap_or("text/plain");
        match &part.body {
            PartType::Message(inner) => {
                let found = headers(inner);
                // Some put the report itself into a mail inside the mail.
                let inner_kind = inner.content_type().and_then(|c| c.subtype()).unwrap_or_default().to_lowercase();
                if depth < DEPTH_MOST && (inner_kind == "report" || found.is_empty()) {
                    self.walk(inner, depth + 1);
                } else {
                    // The text of what came back is no report; its structure may hold one that was forwarded.
                    self.originals.push(found);
                }
            }
            PartType::Text(text) => self.text(kind, &repaired(text, part, raw)),
            PartType::Html(html) => {
                let text = mail_parser::decoders::html::html_to_text(&cut(html));
                self.text(kind, &text);
            }
            PartType::Binary(octets) | PartType::InlineBinary(octets) => {
                let text = guess(&octets[..octets.len().min(TEXT_MOST)]);
                match kind {
                    "message/delivery-status" | "message/global-delivery-status" | "message/feedback-report" => {
                        self.text(kind, &text);
                    }
                    "text/rfc822-headers"
                    | "message/rfc822"
                    | "message/rfc822-headers"
                    | "message/global-headers"
                    | "message/global"
                    | "message/partial" => self.originals.push(fields(&text)),
                    _ if looks_like_status(&text) => self.statuses.push(text),
                    _ => {}
                }
            }
            PartType::Multipart(_) => {}
        }
    }

    fn text(&mut self, kind: &str, text: &str) {
        let text = cut(text);
        match kind {
            "message/delivery-status" | "message/global-delivery-status" => self.statuses.push(text),
            "message/feedback-report" => self.feedback.push(text),
            "text/rfc822-headers" | "message/rfc822" | "message/rfc822-headers" => self.originals.push(fields(&text)),
            _ if looks_like_status(&text) => {
                self.statuses.push(text.clone());
                self.texts.push(text);
            }
            _ => self.texts.push(text),
        }
    }

    fn clues_of(&self, envelope: &[&str]) -> Vec<String> {
        let mut clues: Vec<String> = envelope.iter().map(|to| (*to).to_owned()).collect();
        let mut add = |value: &str| {
            if clues.len() < CLUES_MOST && !clues.iter().any(|clue| clue == value) {
                clues.push(value.chars().take(1_000).collect());
            }
        };
        for (name, value) in &self.headers {
            if OURS.contains(&name.as_str()) {
                add(value);
            }
        }
        for (name, value) in self.originals.iter().flatten() {
            if ITS.contains(&name.as_str()) || name.starts_with("x-") && value.len() < 200 {
                add(value);
            }
        }
        for (name, value) in &self.headers {
            if ANSWERS.contains(&name.as_str()) {
                add(value);
            }
        }
        // Older bounces paste the mail's header, or all of it, below their words.
        for line in self.texts.iter().flat_map(|text| text.lines()) {
            let word =
                line.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w.len() == crate::compose::TOKEN_LETTERS);
            if word {
                add(line.trim());
            }
        }
        clues
    }
}

/// Headers with their values unfolded and decoded where they are encoded words.
fn headers(message: &Message<'_>) -> Vec<(String, String)> {
    message.headers().iter().take(1_000).map(|header| (name_of(&header.name), value_of(header, message))).collect()
}

fn name_of(name: &HeaderName<'_>) -> String {
    name.as_str().to_lowercase()
}

fn value_of(header: &Header<'_>, message: &Message<'_>) -> String {
    let (from, to) = (header.offset_start as usize, header.offset_end as usize);
    let raw = message.raw_message().get(from..to).unwrap_or_default();
    let raw = String::from_utf8_lossy(&raw[..raw.len().min(8_192)]);
    let value = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    // Of a mail inside a mail the places may be another's.
    if value.is_empty() { header.value.as_text().unwrap_or_default().to_owned() } else { value }
}

/// Fields of a header-like text: names in lower case, values unfolded; ends at the first empty line after a field.
pub(super) fn fields(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            if found.is_empty() {
                continue;
            }
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = found.last_mut()
                && value.len() < 8_192
            {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':')
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_graphic())
        {
            found.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

/// Whether a text has the fields of a delivery status, whatever its type says.
fn looks_like_status(text: &str) -> bool {
    let has =
        |field: &str| text.lines().any(|line| line.get(..field.len()).is_some_and(|l| l.eq_ignore_ascii_case(field)));
    has("Final-Recipient:") && (has("Action:") || has("Status:") || has("Diagnostic-Code:"))
}

/// A text as it was meant: where its charset was not told or told wrong, it is guessed from its octets.
fn repaired(text: &str, part: &MessagePart<'_>, raw: &[u8]) -> String {
    let broken = text.contains('\u{fffd}') || text.contains("\x1b$") || text.contains("\x1b(");
    let body = raw.get(part.offset_body as usize..part.offset_end as usize).unwrap_or_default();
    if broken && part.encoding == mail_parser::Encoding::None {
        let body = &body[..body.len().min(TEXT_MOST)];
        let told = part.content_type().and_then(|kind| kind.attribute("charset"));
        let told = told.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
        // A charset of one octet a letter reads anything, and may be told for want of a better one.
        let told = told.filter(|charset| !charset.is_single_byte() && *charset != encoding_rs::UTF_8);
        told.map(|charset| charset.decode(body))
            .filter(|(_, _, wrong)| !wrong)
            .map_or_else(|| guess(body), |(text, ..)| text.into_owned())
    } else {
        cut(text)
    }
}

fn guess(octets: &[u8]) -> String {
    if octets.windows(2).any(|pair| pair == b"\x1b$") {
        return encoding_rs::ISO_2022_JP.decode(octets).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        return text.to_owned();
    }
    for encoding in [encoding_rs::UTF_8, encoding_rs::EUC_JP, encoding_rs::SHIFT_JIS] {
        // The cut may have gone through a character: the last few octets do not speak against it.
        let whole = &octets[..octets.len().saturating_sub(3)];
        if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(whole) {
            return text.into_owned();
        }
    }
    String::from_utf8_lossy(octets).into_owned()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
