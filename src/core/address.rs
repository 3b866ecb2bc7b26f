//! Owns the e-mail address as SMTP can carry it.
//!
//! Invariant: an `Address` never holds control characters, blanks, `<`, `>` or anything outside ASCII, so it can be
//! written into a command as it is. The domain is lower case and in A-label form (the caller converts it).

use std::fmt;

use super::plan::AddressForm;

/// A recipient or sender address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is not an address that SMTP can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing beside it.
    #[error("an address is local@domain")]
    Shape,
    /// A character that must never reach a command.
    #[error("control characters, blanks, < and > cannot stand in an address")]
    Forbidden,
    /// Outside ASCII.
    #[error("the local part must be ASCII (SMTPUTF8 is not used)")]
    NotAscii,
    /// A character that needs quoting.
    #[error("the local part has a character that mail systems do not take")]
    Local,
    /// Over 64 octets before the @, or 254 in all.
    #[error("longer than SMTP allows (64 before the @, 254 in all)")]
    TooLong,
    /// Not a domain name.
    #[error("the part after the @ is not a domain name")]
    Domain,
}

impl Address {
    /// Reads an address whose domain is already in A-label form. A quoted local part is taken when what it quotes needs no
    /// quotes but for its dots (`"a..b"@docomo.ne.jp`).
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.bytes().any(|b| b.is_ascii_control() || matches!(b, b' ' | b'<' | b'>')) {
            return Err(AddressError::Forbidden);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Shape)?;
        let local = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')).unwrap_or(local);
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        if !local.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
        if !local.bytes().all(atext) {
            return Err(AddressError::Local);
        }
        if local.len() > 64 || local.len() + 1 + domain.len() > 254 {
            return Err(AddressError::TooLong);
        }
        let domain = domain.to_ascii_lowercase();
        if !is_domain(&domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self { local: local.to_owned(), domain })
    }

    /// The part before the @, without quotes.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: lower case, A-label.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What two spellings of one mailbox have in common: the address with its local part in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}@{}", self.local.to_ascii_lowercase(), self.domain)
    }

    /// Whether the local part has dots where RFC 5321 wants none (`a..b`, `.a`, `a.`): given out by docomo and au until 2009.
    #[must_use]
    pub fn is_irregular(&self) -> bool {
        self.local.starts_with('.') || self.local.ends_with('.') || self.local.contains("..")
    }

    /// The address as it goes into MAIL and RCPT.
    #[must_use]
    pub fn on_the_wire(&self, irregular: AddressForm) -> String {
        if self.is_irregular() && irregular == AddressForm::Quoted {
            format!("\"{}\"@{}", self.local, self.domain)
        } else {
            self.to_string()
        }
    }
}

fn is_domain(domain: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_given_out_by_docomo_and_au_are_taken_and_quoted() {
        for text in ["a..b@docomo.ne.jp", "a.@ezweb.ne.jp", ".a@docomo.ne.jp", "\"a..b\"@docomo.ne.jp"] {
            let address = Address::parse(text).expect(text);
            assert!(address.is_irregular());
            assert_eq!(
                address.on_the_wire(AddressForm::Quoted),
                format!("\"{}\"@{}", address.local(), address.domain())
            );
            assert_eq!(address.on_the_wire(AddressForm::Verbatim), format!("{}@{}", address.local(), address.domain()));
        }
    }

    #[test]
    fn nothing_that_could_end_a_command_is_taken() {
        for text in [
            "a\r\nRCPT TO:<x@y.jp>@y.jp",
            "a b@y.jp",
            "a>@y.jp",
            "a\u{0}@y.jp",
            "a@y.jp\n",
            "\"a b\"@y.jp",
            "a\u{7f}@y.jp",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "",
            "@",
            "a@",
            "@y.jp",
            "a",
            "a@y",
            "a@-y.jp",
            "a@y..jp",
            "ユーザ@y.jp",
            "a@[127.0.0.1]",
            "a\"b@y.jp",
            "a,b@y.jp",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Address::parse(&format!("{}@y.jp", "a".repeat(65))), Err(AddressError::TooLong));
    }

    #[test]
    fn two_spellings_of_a_mailbox_have_one_key() {
        let (a, b) = (Address::parse("Taro@Example.JP").expect("a"), Address::parse("taro@example.jp").expect("b"));
        assert_eq!(a.key(), b.key());
        assert_eq!(a.to_string(), "Taro@example.jp");
    }
}
