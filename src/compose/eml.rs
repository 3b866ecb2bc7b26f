//! Owns the reading of a mail that was made elsewhere (`.eml`) as the template of a campaign.
//!
//! Invariants: its parts stay in their order, with their charsets; text parts that are shown become templates, all else goes out
//! as it is; headers that Hikagen writes itself or that belong to one journey of one mail are left out, and named, and so are all
//! but the first of one name; every problem has the line of the file.

use base64::Engine as _;
use encoding_rs::Encoding;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Address, ContentType, Header, HeaderForm, HeaderName, HeaderValue, Message, MessageParser};
use mail_parser::{MessagePart, MimeHeaders, PartType};

use super::ComposeError;
use super::header_names::{LINE_MAX, is_own_header};
use super::part::{Part, Transfer};

/// Largest file, octets: what it holds is kept in memory, and sent to everybody.
const LARGEST: usize = 5 * 1024 * 1024;
/// Most parts, one inside another.
const DEEPEST: usize = 10;
/// Most parts in all.
const PARTS_MAX: usize = 200;
/// Headers of one journey of one mail, beside those that Hikagen writes itself; `-` at the end: all that begin so.
const JOURNEY: [&str; 34] = [
    "in-reply-to",
    "references",
    "authentication-results",
    "received-spf",
    "arc-",
    "x-received",
    "x-mozilla-",
    "x-unsent",
    "x-gm-",
    "x-google-",
    "x-originating-ip",
    "x-spam-",
    "x-ms-exchange-",
    "x-forefront-",
    "x-microsoft-antispam",
    "x-microsoft-antispam-",
    "domainkey-signature",
    "resent-",
    "thread-index",
    "thread-topic",
    "original-recipient",
    "x-original-to",
    "x-delivered-to",
    "envelope-to",
    "x-envelope-",
    "apparently-to",
    "x-apparently-to",
    "x-rcpt-to",
    "delivery-date",
    "status",
    "x-status",
    "x-uid",
    "x-uidl",
    "content-length",
];

/// A mail as a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eml {
    /// `Name <address>`.
    pub from: Option<String>,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// Template.
    pub subject: Option<String>,
    /// Headers that stay: name and template.
    pub headers: Vec<(String, String)>,
    /// Its parts.
    pub body: Part,
    /// Names of the headers that were left out.
    pub left_out: Vec<String>,
    /// Names of the headers that are there several times, of which one goes out.
    pub repeated: Vec<String>,
}

/// Reads the mail in `bytes`; `file` is named in every problem.
///
/// # Errors
/// Every problem at once, each with its line.
pub fn read_eml(bytes: &[u8], file: &str) -> Result<Eml, Vec<ComposeError>> {
    let refuse = |why: &str| vec![ComposeError(format!("{file}: {why}"))];
    if bytes.len() > LARGEST {
        return Err(refuse(&format!("{} octets; at most {LARGEST}: it goes to everybody on the list", bytes.len())));
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(refuse("is an Outlook .msg file; save the mail as .eml"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !begins_with_header(bytes) {
        return Err(refuse("is not a mail: expected a first line such as `From: ...`; save the mail as .eml"));
    }
    let Some(message) = MessageParser::default().parse(bytes) else {
        return Err(refuse("is not a mail: it has no headers"));
    };
    let mut reader = Reader { bytes, file, problems: Vec::new(), seen: 0, templates: 0 };
    let body = reader.part(&message, 0, 1);
    if reader.templates == 0 && reader.problems.is_empty() {
        reader.problem(0, "no text/plain or text/html part that is shown: there would be nothing to read");
    }
    let from = reader.sender(&message, HeaderName::From);
    let reply_to = reader.sender(&message, HeaderName::ReplyTo);
    let subject = message.subject().map(str::to_owned);
    let Named { kept: headers, left_out, repeated } = reader.headers(&message);
    let names = headers.iter().map(|(name, text)| (name.as_str(), Some(text)));
    for (name, text) in [("From", from.as_ref()), ("Reply-To", reply_to.as_ref()), ("Subject", subject.as_ref())]
        .into_iter()
        .chain(names)
    {
        if text.is_some_and(|text| text.contains('\u{fffd}')) {
            let at = message
                .headers()
                .iter()
                .find(|h| h.name.as_str().eq_ignore_ascii_case(name))
                .map_or(0, |h| h.offset_field);
            reader.problem(
                at as usize,
                "this header is neither UTF-8 nor in encoded words that can be read; save the mail again",
            );
        }
    }
    match body {
        Some(body) if reader.problems.is_empty() => {
            Ok(Eml { from, reply_to, subject, headers, body, left_out, repeated })
        }
        _ => Err(reader.problems),
    }
}

fn begins_with_header(bytes: &[u8]) -> bool {
    let name = bytes.iter().take_while(|b| b.is_ascii_graphic() && **b != b':').count();
    name > 0 && bytes.get(name) == Some(&b':')
}

/// The header section, sorted.
#[derive(Default)]
struct Named {
    kept: Vec<(String, String)>,
    left_out: Vec<String>,
    repeated: Vec<String>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    file: &'a str,
    problems: Vec<ComposeError>,
    seen: usize,
    templates: usize,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, why: &str) {
        let line = self.bytes[..at.min(self.bytes.len())].iter().filter(|b| **b == b'\n').count() + 1;
        self.problems.push(ComposeError(format!("{}:{line}: {why}", self.file)));
    }

    fn slice(&self, from: u32, to: u32) -> &[u8] {
        self.bytes.get(from as usize..to as usize).unwrap_or_default()
    }

    fn part(&mut self, message: &Message<'_>, id: usize, depth: usize) -> Option<Part> {
        let part = message.parts.get(id)?;
        let at = part.offset_header as usize;
        self.seen += 1;
        if depth > DEEPEST || self.seen > PARTS_MAX {
            if self.seen <= PARTS_MAX + 1 {
                self.problem(at, &format!("more than {PARTS_MAX} parts, or more than {DEEPEST} inside each other"));
            }
            return None;
        }
        let kind = part.content_type().map_or_else(|| "text/plain".to_owned(), kind_of);
        if !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&b)) {
            self.problem(at, &format!("the content type \"{}\" is none", kind.escape_debug()));
            return None;
        }
        if ["multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"]
            .contains(&kind.as_str())
        {
            self.problem(at, "is signed or encrypted, which no template can be; save the mail without that");
            return None;
        }
        if let PartType::Multipart(ids) = &part.body {
            let kind = if kind.starts_with("multipart/") { kind } else { "multipart/mixed".to_owned() };
            let params = self.parameters(part, &["boundary"]);
            let headers = self.kept(part, &["content-type", "content-transfer-encoding", "content-length"])?;
            let parts: Vec<Option<Part>> = ids.iter().map(|id| self.part(message, *id as usize, depth + 1)).collect();
            if parts.is_empty() {
                self.problem(at, &format!("{kind} without any part"));
            }
            let parts: Vec<Part> = parts.into_iter().collect::<Option<_>>()?;
            return Some(Part::Several { kind: format!("{kind}{params}"), headers, parts });
        }
        let is_file =
            part.content_disposition().is_some_and(ContentType::is_attachment) || part.attachment_name().is_some();
        if !is_file && ["text/plain", "text/html", "text/x-amp-html"].contains(&kind.as_str()) {
            return self.text(part, kind);
        }
        self.attached(part, &kind)
    }

    fn text(&mut self, part: &MessagePart<'_>, kind: String) -> Option<Part> {
        self.templates += 1;
        let at = part.offset_body as usize;
        let declared = part.content_type().and_then(|c| c.attribute("charset")).unwrap_or("us-ascii").trim().to_owned();
        let ascii = ["us-ascii", "ascii", "ansi_x3.4-1968"].contains(&declared.to_ascii_lowercase().as_str());
        let charset = if ascii { "utf-8".to_owned() } else { declared };
        let Some(encoding) = Encoding::for_label(charset.as_bytes()) else {
            self.problem(
                at,
                &format!("the charset \"{}\" is not known here; save the mail in UTF-8", charset.escape_debug()),
            );
            return None;
        };
        let bytes = self.decoded(part)?;
        let (text, broken) = encoding.decode_without_bom_handling(&bytes);
        if broken {
            self.problem(at, &format!("this {kind} part is not {charset}, which its header says of it"));
            return None;
        }
        let source = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
        let transfer = match part.encoding {
            mail_parser::Encoding::None => Transfer::Plain,
            mail_parser::Encoding::QuotedPrintable => Transfer::QuotedPrintable,
            mail_parser::Encoding::Base64 => Transfer::Base64,
        };
        let headers = self.kept(part, &["content-type", "content-transfer-encoding", "content-length"])?;
        let params = self.parameters(part, &["charset", "name"]);
        Some(Part::Text { kind, params, charset, transfer, headers, source })
    }

    fn attached(&mut self, part: &MessagePart<'_>, kind: &str) -> Option<Part> {
        let bytes = self.decoded(part)?;
        let mut headers = self.kept(part, &["content-transfer-encoding", "content-length"])?;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.insert(0, ("Content-Type".to_owned(), kind.to_owned()));
        }
        // RFC 2046 5.2.1: a mail inside a mail is never encoded.
        let (transfer, body) = if kind.starts_with("message/") {
            let short = bytes.split(|b| *b == b'\n').all(|line| line.len() <= LINE_MAX);
            let sendable = bytes.is_ascii() && short && !bytes.contains(&0);
            let Some(text) = std::str::from_utf8(&bytes).ok().filter(|_| sendable) else {
                let why = format!("this {kind} part is not in 7bit (RFC 2045 2.7); attach it as a file");
                self.problem(part.offset_body as usize, &why);
                return None;
            };
            // All else stays: ISO-2022-JP lives by its control characters.
            ("7bit", text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n"))
        } else {
            ("base64", lines_of_base64(&bytes))
        };
        headers.push(("Content-Transfer-Encoding".to_owned(), transfer.to_owned()));
        Some(Part::File { headers, body })
    }

    /// The octets of a part, its transfer encoding undone.
    fn decoded(&mut self, part: &MessagePart<'_>) -> Option<Vec<u8>> {
        let raw = self.slice(part.offset_body, part.offset_end);
        let decoded = match part.encoding {
            mail_parser::Encoding::None => Some(raw.to_vec()),
            mail_parser::Encoding::QuotedPrintable => quoted_printable_decode(raw),
            mail_parser::Encoding::Base64 => base64_decode(raw),
        };
        if decoded.is_none() || part.is_encoding_problem {
            self.problem(
                part.offset_body as usize,
                "this part is not in the Content-Transfer-Encoding that its header says",
            );
            return None;
        }
        decoded
    }

    /// The part's `Content-` headers as they are written, without those in `leave`.
    fn kept(&mut self, part: &MessagePart<'_>, leave: &[&str]) -> Option<Vec<(String, String)>> {
        let mut kept = Vec::new();
        for header in &part.headers {
            let name = header.name.as_str().to_ascii_lowercase();
            if !name.starts_with("content-") || leave.contains(&name.as_str()) {
                continue;
            }
            let fits = name.len() < 80 && name.bytes().all(|b| b.is_ascii_graphic());
            match folded(self.slice(header.offset_start, header.offset_end)).filter(|_| fits) {
                Some(value) => kept.push((header.name.as_str().to_owned(), value)),
                None => {
                    let why = "this header is not plain ASCII in lines of at most 998 octets; save the mail again with a mail program";
                    self.problem(header.offset_field as usize, why);
                    return None;
                }
            }
        }
        Some(kept)
    }

    /// Parameters of the part's Content-Type without those in `leave`: `; format=flowed`.
    fn parameters(&self, part: &MessagePart<'_>, leave: &[&str]) -> String {
        let attributes = part.content_type().and_then(|c| c.attributes()).unwrap_or_default();
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && !b"\"\\".contains(&b))
        };
        let keep = attributes.iter().filter(|a| !leave.contains(&a.name.to_ascii_lowercase().as_str()));
        let keep = keep.filter(|a| plain(&a.name) && plain(&a.value) && a.value.len() < 200);
        keep.map(|a| format!("; {}=\"{}\"", a.name, a.value)).collect()
    }

    /// The one mailbox of an address header, as a campaign would write it.
    fn sender(&mut self, message: &Message<'_>, name: HeaderName<'static>) -> Option<String> {
        let header = message.parts.first()?.headers.iter().find(|h| h.name == name)?;
        let (at, shown) = (header.offset_field as usize, name.as_str().to_owned());
        let all = match header.value() {
            HeaderValue::Address(Address::List(list)) => list.as_slice(),
            _ => &[],
        };
        let [one] = all else {
            self.problem(at, &format!("{shown} has {} addresses; expected one", all.len()));
            return None;
        };
        let address = one.address.as_deref().unwrap_or_default();
        match one.name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => Some(format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\""))),
            None => Some(address.to_owned()),
        }
    }

    /// Headers that stay, and the names of those that do not. Those of the content go out with the part that they describe.
    fn headers(&mut self, message: &Message<'_>) -> Named {
        let mut named = Named::default();
        let mut seen: Vec<String> = Vec::new();
        for header in message.parts.first().map(|root| root.headers.as_slice()).unwrap_or_default() {
            let name = header.name.as_str();
            let lower = name.to_ascii_lowercase();
            let journey = JOURNEY.iter().any(|j| lower == *j || j.ends_with('-') && lower.starts_with(j));
            let read_elsewhere =
                ["from", "reply-to", "subject", "mime-version", "content-type", "content-transfer-encoding"];
            if journey {
                name_once(&mut named.left_out, name);
            } else if read_elsewhere.contains(&lower.as_str()) {
                if seen.contains(&lower) {
                    name_once(&mut named.repeated, name);
                }
            } else if lower.starts_with("content-") {
                continue;
            } else if is_own_header(&lower) {
                name_once(&mut named.left_out, name);
            } else if seen.contains(&lower) {
                name_once(&mut named.repeated, name);
            } else {
                named.kept.push((name.to_owned(), self.decoded_header(header)));
            }
            seen.push(lower);
        }
        named
    }

    /// A header's value with its encoded words read.
    fn decoded_header(&self, header: &Header<'_>) -> String {
        let mut alone = b"X: ".to_vec();
        alone.extend_from_slice(self.slice(header.offset_start, header.offset_end));
        alone.extend_from_slice(b"\r\n\r\n");
        let read = MessageParser::default().parse(&alone);
        let value = read.as_ref().map(|m| m.header_as(HeaderName::Other("X".into()), HeaderForm::Text));
        let text = value.as_ref().and_then(|v| v.first()).and_then(|v| v.as_text()).map(str::trim);
        text.unwrap_or_default().to_owned()
    }
}

fn name_once(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        names.push(name.to_owned());
    }
}

fn kind_of(content_type: &ContentType<'_>) -> String {
    format!("{}/{}", content_type.ctype(), content_type.subtype().unwrap_or("plain")).to_ascii_lowercase()
}

/// A header's value with CRLF where it is folded; `None` when it cannot go out as it is.
fn folded(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok().filter(|text| text.is_ascii())?;
    let lines: Vec<&str> = text.trim().lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let fits =
        lines.iter().all(|line| line.len() < LINE_MAX - 80 && !line.contains(|c: char| c.is_control() && c != '\t'));
    fits.then(|| lines.join("\r\n "))
}

fn lines_of_base64(bytes: &[u8]) -> String {
    let whole = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut lines = String::with_capacity(whole.len() + whole.len() / 38 + 2);
    let mut rest = whole.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(76));
        lines.push_str(line);
        lines.push_str("\r\n");
        rest = after;
    }
    lines
}
