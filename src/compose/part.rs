//! Owns the parts of a mail that was made elsewhere: stored with the revision, written into every message.
//!
//! Invariants: what goes out is 7-bit with CRLF line ends; a text keeps its charset and transfer encoding unless a variable brings
//! a character that the charset does not have (then it is UTF-8); a boundary cannot be foreseen.

use encoding_rs::Encoding;
use lettre::message::Body;
use lettre::message::header::ContentTransferEncoding;
use serde::{Deserialize, Serialize};

use super::ComposeError;
use super::header_names::LINE_MAX;
use super::message::canonical;

/// One part, with those inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `multipart/...`
    Several {
        /// `multipart/related; type="text/html"`, without boundary.
        kind: String,
        /// Further headers: name and value, folded lines with CRLF.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
        /// Its parts.
        parts: Vec<Part>,
    },
    /// A text that is a template.
    Text {
        /// `text/plain`, `text/html`
        kind: String,
        /// Parameters behind the charset: `; format=flowed`.
        params: String,
        /// As the mail names it.
        charset: String,
        /// How it was encoded.
        transfer: Transfer,
        /// Further headers: name and value, folded lines with CRLF.
        headers: Vec<(String, String)>,
        /// The template.
        source: String,
    },
    /// An image, an attachment.
    File {
        /// Headers: name and value, folded lines with CRLF.
        headers: Vec<(String, String)>,
        /// As it goes out: base64, or 7bit lines.
        body: String,
    },
}

/// How a text part was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// 7bit or 8bit.
    Plain,
    /// Quoted-printable.
    QuotedPrintable,
    /// Base64.
    Base64,
}

impl Part {
    /// Every text template with its kind, in the order of the mail.
    #[must_use]
    pub fn templates(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Several { parts, .. } => parts.iter().flat_map(Self::templates).collect(),
            Self::Text { kind, source, .. } => vec![(kind, source)],
            Self::File { .. } => Vec::new(),
        }
    }

    /// Changes every template of kind `text/html`.
    ///
    /// # Errors
    /// What `change` says.
    pub fn change_html<E>(&mut self, change: &mut dyn FnMut(&str) -> Result<String, E>) -> Result<(), E> {
        match self {
            Self::Several { parts, .. } => parts.iter_mut().try_for_each(|part| part.change_html(change)),
            Self::Text { kind, source, .. } if kind == "text/html" => change(source).map(|html| *source = html),
            Self::Text { .. } | Self::File { .. } => Ok(()),
        }
    }

    /// Forgets the sources of templates, which are compiled elsewhere.
    pub(super) fn without_sources(mut self) -> Self {
        match &mut self {
            Self::Several { parts, .. } => {
                let bare = std::mem::take(parts).into_iter().map(Self::without_sources).collect();
                *parts = bare;
            }
            Self::Text { source, .. } => source.clear(),
            Self::File { .. } => {}
        }
        self
    }
}

/// The name under which the template number `n` (from 1, in the order of the mail) is compiled.
pub(super) fn sheet_name(n: usize, kind: &str) -> String {
    format!("part {n} {kind}")
}

/// Writes parts into a message.
pub(super) struct Writer<'a> {
    pub(super) render: &'a dyn Fn(&str) -> Result<Option<String>, ComposeError>,
    /// What nobody else can know of this message.
    pub(super) secret: String,
    pub(super) out: Vec<u8>,
    templates: usize,
    multiparts: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(render: &'a dyn Fn(&str) -> Result<Option<String>, ComposeError>, secret: String) -> Self {
        Self { render, secret, out: Vec::new(), templates: 0, multiparts: 0 }
    }

    /// Headers of the part, an empty line, its body.
    pub(super) fn write(&mut self, part: &Part) -> Result<(), ComposeError> {
        match part {
            Part::Several { kind, headers, parts } => {
                self.multiparts += 1;
                // Of one length, so that none is the beginning of another.
                let boundary = format!("=_{}{:04}", self.secret, self.multiparts);
                self.line(&format!("Content-Type: {kind};\r\n boundary=\"{boundary}\""));
                self.headers(headers);
                self.line("");
                for part in parts {
                    self.line(&format!("--{boundary}"));
                    self.write(part)?;
                    if !self.out.ends_with(b"\r\n") {
                        self.line("");
                    }
                }
                self.line(&format!("--{boundary}--"));
            }
            Part::Text { kind, params, charset, transfer, headers, .. } => {
                self.templates += 1;
                let text = (self.render)(&sheet_name(self.templates, kind))?.unwrap_or_default();
                let (charset, body) = encoded(&canonical(&text), charset, *transfer);
                self.line(&format!("Content-Type: {kind}; charset={charset}{params}"));
                self.headers(headers);
                self.line(&format!("Content-Transfer-Encoding: {}\r\n", body.encoding()));
                self.out.extend_from_slice(&body.into_vec());
            }
            Part::File { headers, body } => {
                self.headers(headers);
                self.line("");
                self.out.extend_from_slice(body.as_bytes());
            }
        }
        Ok(())
    }

    fn headers(&mut self, headers: &[(String, String)]) {
        headers.iter().for_each(|(name, value)| self.line(&format!("{name}: {value}")));
    }

    fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }
}

/// `text` in `charset`, or in UTF-8 where that lacks a character; encoded as it was, where that can go out.
fn encoded<'a>(text: &str, charset: &'a str, transfer: Transfer) -> (&'a str, Body) {
    let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(encoding_rs::UTF_8);
    let (bytes, used, lossy) = encoding.encode(text);
    let (charset, bytes) =
        if lossy || used != encoding { ("utf-8", text.as_bytes().to_vec()) } else { (charset, bytes.into_owned()) };
    let short = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() <= LINE_MAX;
    let seven_bit = bytes.is_ascii() && !bytes.contains(&0) && bytes.split(|b| *b == b'\n').all(short);
    let wanted = match transfer {
        Transfer::Plain if seven_bit => {
            return (charset, Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::SevenBit));
        }
        Transfer::Plain | Transfer::Base64 => ContentTransferEncoding::Base64,
        Transfer::QuotedPrintable => ContentTransferEncoding::QuotedPrintable,
    };
    let body = Body::new_with_encoding(bytes, wanted);
    (charset, body.unwrap_or_else(Body::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_charset_as_long_as_it_can() {
        for (text, charset, transfer, used, encoding) in [
            ("春\r\n", "ISO-2022-JP", Transfer::Plain, "ISO-2022-JP", "7bit"),
            ("😀\r\n", "ISO-2022-JP", Transfer::Plain, "utf-8", "base64"),
            ("春\r\n", "Shift_JIS", Transfer::Base64, "Shift_JIS", "base64"),
            ("春\r\n", "Shift_JIS", Transfer::QuotedPrintable, "Shift_JIS", "quoted-printable"),
            ("x\r\n", "utf-8", Transfer::Plain, "utf-8", "7bit"),
            ("春", "utf-16", Transfer::Base64, "utf-8", "base64"),
        ] {
            let (charset, body) = encoded(text, charset, transfer);
            assert_eq!((charset, body.encoding().to_string().as_str()), (used, encoding), "{text} {charset}");
            assert!(body.as_ref().is_ascii());
        }
        let (_, body) = encoded(&"x".repeat(999), "utf-8", Transfer::Plain);
        assert!(body.as_ref().split(|b| *b == b'\n').all(|line| line.len() <= LINE_MAX));
    }
}
