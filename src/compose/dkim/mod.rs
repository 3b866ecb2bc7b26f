//! Owns DKIM signing (RFC 6376, RFC 8301, RFC 8463): relaxed/relaxed, RSA-SHA256 or Ed25519-SHA256.
//!
//! Invariants: From is signed once more than it is there, so that none can be added; what one-click unsubscribing needs is
//! always signed (RFC 8058 4); a header that the relay changes is not; the message is only prepended to.

mod alignment;
mod canonical;
mod key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

pub use alignment::{Alignment, alignment};
pub use key::{BadKey, SigningKey};

/// Headers that are signed where the configuration names none (after RFC 6376 5.4.1).
const USUAL: [&str; 9] = [
    "from",
    "reply-to",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// Headers that are signed whatever the configuration names.
const ALWAYS: [&str; 3] = ["from", "list-unsubscribe", "list-unsubscribe-post"];

/// Columns of a folded line.
const COLUMNS: usize = 76;

/// Signs messages for one domain.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    selector: String,
    key: SigningKey,
    /// In lower case.
    headers: Vec<String>,
}

impl Signer {
    /// Signs as `domain` with `key`, whose public half is at `selector._domainkey.domain`. `headers`: those to sign, instead of
    /// the usual ones; `rewritten`: those that the relay changes, in lower case.
    #[must_use]
    pub fn new(
        domain: String,
        selector: String,
        key: SigningKey,
        headers: Option<Vec<String>>,
        rewritten: &[String],
    ) -> Self {
        let named = headers.unwrap_or_else(|| USUAL.map(str::to_owned).to_vec());
        let mut signed: Vec<String> = Vec::new();
        for name in named.into_iter().map(|name| name.to_ascii_lowercase()).chain(ALWAYS.map(str::to_owned)) {
            if !signed.contains(&name) && !rewritten.contains(&name) {
                signed.push(name);
            }
        }
        Self { domain, selector, key, headers: signed }
    }

    /// The signing domain (`d=`).
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The selector (`s=`).
    #[must_use]
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The headers that are signed, in lower case.
    #[must_use]
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The header field `DKIM-Signature` of `message` (CRLF line ends), with its CRLF, to stand before it. `None`: the key does
    /// not sign.
    #[must_use]
    pub fn signature(&self, message: &[u8], at: Timestamp) -> Option<String> {
        let (fields, body) = canonical::split(message);
        let mut names: Vec<&str> = Vec::new();
        let mut data = Vec::with_capacity(2_048);
        for name in &self.headers {
            // The last of several comes first: RFC 6376 5.4.2.
            for field in fields.iter().rev().filter(|field| field.is(name)) {
                field.relaxed(&mut data);
                names.push(name);
            }
            if name == "from" {
                names.push(name);
            }
        }
        let mut value = Folded::new("DKIM-Signature:");
        for tag in [
            "v=1;".to_owned(),
            format!("a={};", self.key.algorithm()),
            "c=relaxed/relaxed;".to_owned(),
            format!("d={};", self.domain),
            format!("s={};", self.selector),
            format!("t={};", at.as_second()),
        ] {
            value.word(&tag);
        }
        value.word("h=");
        for (n, name) in names.iter().enumerate() {
            value.piece(&format!("{name}{}", if n + 1 == names.len() { ";" } else { ":" }));
        }
        value.word(&format!("bh={};", STANDARD.encode(canonical::body_hash(body))));
        value.word("b=");
        let unsigned = value.text.strip_prefix("DKIM-Signature:").unwrap_or_default();
        canonical::relaxed_field(b"dkim-signature", unsigned.as_bytes(), &mut data);
        for piece in self.key.sign(&data)?.as_bytes().chunks(COLUMNS - 4) {
            value.piece(&String::from_utf8_lossy(piece));
        }
        value.text.push_str("\r\n");
        Some(value.text)
    }
}

/// A header field that is folded as it grows.
struct Folded {
    text: String,
    column: usize,
}

impl Folded {
    fn new(name: &str) -> Self {
        Self { text: name.to_owned(), column: name.len() }
    }

    /// Appends a word after a blank, on a new line where it does not fit.
    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > COLUMNS {
            self.fold();
        } else {
            self.text.push(' ');
            self.column += 1;
        }
        self.push(word);
    }

    /// Appends a piece right behind, on a new line where it does not fit.
    fn piece(&mut self, piece: &str) {
        if self.column + piece.len() > COLUMNS {
            self.fold();
        }
        self.push(piece);
    }

    fn fold(&mut self) {
        self.text.push_str("\r\n ");
        self.column = 1;
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.len();
    }
}
