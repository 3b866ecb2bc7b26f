//! Owns the senders' side of an address: `"例市場 <news@m.example.jp>"` as people write it, and A-labels for domains.
//!
//! Invariant: a `Mailbox` holds no control characters; its address can stand in a command as it is.

use crate::core::address::Address;

use super::ComposeError;

/// A name and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name as people see it.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// Reads `address`, `<address>`, `name <address>` or `"name" <address>`; one address, no list.
    ///
    /// # Errors
    /// In words, with the text that was read.
    pub fn parse(text: &str) -> Result<Self, ComposeError> {
        let refuse = |why: &str| {
            let example = "expected \"name <local@domain>\" or \"local@domain\"";
            Err(ComposeError(format!("\"{}\" is not a sender: {why}; {example}", text.escape_debug())))
        };
        let trimmed = text.trim();
        if trimmed.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        let (name, address) = match trimmed.strip_suffix('>').and_then(|t| t.rsplit_once('<')) {
            Some((name, address)) => (unquote(name.trim()), address),
            None => (String::new(), trimmed),
        };
        match ascii_domain(address.trim()).as_deref().map(Address::parse) {
            Some(Ok(address)) if address.is_irregular() => {
                refuse(&format!("{address} has dots where mail systems want none"))
            }
            Some(Ok(address)) => Ok(Self { name: Some(name).filter(|n| !n.is_empty()), address }),
            Some(Err(why)) => refuse(&why.to_string()),
            None => refuse("the part after the @ is not a domain name"),
        }
    }
}

/// The display name without its quotes.
fn unquote(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) else {
        return name.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// `address` with its domain in A-label form (`user@例え.jp` becomes `user@xn--r8jz45g.jp`); `None` when the domain cannot be
/// written so. Without an @ the text comes back as it is.
#[must_use]
pub fn ascii_domain(address: &str) -> Option<String> {
    match address.rsplit_once('@') {
        Some((local, domain)) if !domain.is_ascii() => {
            let domain = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::URL).ok()?;
            Some(format!("{local}@{domain}"))
        }
        _ => Some(address.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_read_as_people_write_it() {
        for (text, name, address) in [
            ("例市場 <news@m.example.jp>", Some("例市場"), "news@m.example.jp"),
            ("\"Rei, \\\"Ichiba\\\"\" <news@m.example.jp>", Some("Rei, \"Ichiba\""), "news@m.example.jp"),
            ("news@M.Example.JP", None, "news@m.example.jp"),
            ("<news@例え.jp>", None, "news@xn--r8jz45g.jp"),
        ] {
            let mailbox = Mailbox::parse(text).expect(text);
            assert_eq!((mailbox.name.as_deref(), mailbox.address.to_string().as_str()), (name, address));
        }
    }

    #[test]
    fn a_sender_that_could_end_a_header_is_refused() {
        for text in ["a\r\nBcc: x@y.jp <a@b.jp>", "a <b@c.jp\n>", "", "a <b>", "a..b@docomo.ne.jp", "a@b.jp, c@d.jp"] {
            let error = Mailbox::parse(text).expect_err(text).0;
            assert!(error.contains("is not a sender"), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}
