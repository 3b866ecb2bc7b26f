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

/// Why a text names no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a sender: {why}; expected \"name <local@domain>\" or \"local@domain\"", text.escape_debug())]
pub struct NotASender {
    /// The text that was read.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl From<NotASender> for ComposeError {
    fn from(error: NotASender) -> Self {
        Self(error.to_string())
    }
}

impl Mailbox {
    /// Reads `address`, `<address>`, `name <address>` or `"name" <address>`; one address, no list.
    ///
    /// # Errors
    /// When there is no address, more than one, or one that SMTP cannot carry.
    pub fn parse(text: &str) -> Result<Self, NotASender> {
        parts(text.trim()).map_err(|why| NotASender { text: text.to_owned(), why })
    }
}

fn parts(text: &str) -> Result<Mailbox, String> {
    if text.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    let (name, address) = match text.strip_suffix('>').map(|t| t.rsplit_once('<')) {
        Some(Some((name, address))) => (unquoted(name.trim())?, address.trim()),
        Some(None) => return Err("expected < before >".to_owned()),
        None => (String::new(), text),
    };
    let (local, domain) = address.rsplit_once('@').ok_or("expected an address with @")?;
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| "the part after the @ is not a domain name")?;
    let address = Address::parse(&format!("{local}@{domain}")).map_err(|e| e.to_string())?;
    if address.is_irregular() {
        return Err("a sender's address has no dots together, at the beginning or before the @".to_owned());
    }
    Ok(Mailbox { name: Some(name).filter(|n| !n.is_empty()), address })
}

/// The display name without its quotes. Only in quotes may it hold what could begin another address.
fn unquoted(name: &str) -> Result<String, &'static str> {
    const MANY: &str = "expected one name and one address";
    let Some(inner) = name.strip_prefix('"') else {
        return if name.contains(['<', '>', '"', '@']) { Err(MANY) } else { Ok(name.to_owned()) };
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    loop {
        match chars.next() {
            Some('\\') => plain.extend(chars.next()),
            Some('"') => return if chars.as_str().is_empty() { Ok(plain) } else { Err(MANY) },
            Some(c) => plain.push(c),
            None => return Err("expected a closing quote after the name"),
        }
    }
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
            ("\"Shop, Inc. @ Tokyo\" <news@m.example.jp>", Some("Shop, Inc. @ Tokyo"), "news@m.example.jp"),
        ] {
            let mailbox = Mailbox::parse(text).expect(text);
            assert_eq!((mailbox.name.as_deref(), mailbox.address.to_string().as_str()), (name, address));
        }
    }

    #[test]
    fn a_sender_that_could_end_a_header_is_refused() {
        for text in ["a\r\nBcc: x@y.jp <a@b.jp>", "a <b@c.jp\n>", "", "a <b>", "a..b@docomo.ne.jp", "a@b.jp, c@d.jp"]
            .into_iter()
            .chain([
                "A <a@b.jp> <c@d.jp>",
                "A a@b.jp>",
                "a@b",
                "A <a..b@c.jp>",
                "a b@c.jp",
                "\"A\" b \"C\" <a@b.jp>",
                "\"A <a@b.jp>",
                "a@x.jp <a@b.jp>",
            ])
        {
            let error = Mailbox::parse(text).expect_err(text).to_string();
            assert!(error.contains("is not a sender"), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}
