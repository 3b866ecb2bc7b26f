//! Owns whose addresses are taken: those that this program put on its own mail.
//!
//! Taken are the envelope senders of the configured relays (`bounce+{token}@m.example.jp` with a token whose signature is right,
//! and plain `bounce@m.example.jp`), and an address on a sending domain whose local part carries such a token otherwise: the
//! `mailto` way to leave a list (`leave+{token}@m.example.jp`). Nothing else is, `postmaster` not either: nobody would read it.
//! Invariant: a token that was forged, cut or made by another key is an unknown user.

use crate::compose::{TOKEN_LETTERS, Tokens, ascii_domain};
use crate::config::Config;

/// An address of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ours {
    /// The envelope sender of a relay: what comes here came back.
    Bounce,
    /// An address that leaves a list, and the token in it.
    Leave(String),
}

/// Whose `address` is (`local@domain`, unquoted, as RCPT gave it); `None`: nobody's here.
#[must_use]
pub fn whose(address: &str, config: &Config, tokens: &Tokens) -> Option<Ours> {
    let address = ascii_domain(address.trim_end_matches('.'))?;
    let (local, domain) = address.rsplit_once('@')?;
    let mut sends = false;
    for relay in config.relays.values() {
        sends |= relay.domain.eq_ignore_ascii_case(domain);
        let own = relay.envelope_from.as_deref().and_then(ascii_domain);
        let Some((form, own_domain)) = own.as_deref().and_then(|own| own.rsplit_once('@')) else { continue };
        if !own_domain.eq_ignore_ascii_case(domain) {
            continue;
        }
        sends = true;
        match fits(local, form) {
            Some("") => return Some(Ours::Bounce),
            Some(token) if tokens.verify(token).is_some() => return Some(Ours::Bounce),
            _ => {}
        }
    }
    let token = local.split(|c: char| !c.is_ascii_alphanumeric()).find(|part| tokens.verify(part).is_some());
    token.filter(|_| sends).map(|token| Ours::Leave(token.to_owned()))
}

/// What stands at the place of `{token}`, when `local` has the form; nothing, when it is the form without token and separator.
fn fits<'a>(local: &'a str, form: &str) -> Option<&'a str> {
    let (before, behind) = form.split_once("{token}")?;
    let inner = local.len().checked_sub(before.len() + behind.len());
    if inner == Some(TOKEN_LETTERS)
        && let (Some(head), Some(token), Some(tail)) = (
            local.get(..before.len()),
            local.get(before.len()..before.len() + TOKEN_LETTERS),
            local.get(before.len() + TOKEN_LETTERS..),
        )
        && head.eq_ignore_ascii_case(before)
        && tail.eq_ignore_ascii_case(behind)
    {
        return Some(token);
    }
    let plain = format!("{}{behind}", before.trim_end_matches(['+', '-', '=', '_', '.']));
    let plain = plain.trim_start_matches(['+', '-', '=', '_', '.']);
    (!plain.is_empty() && local.eq_ignore_ascii_case(plain)).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_part_has_the_form_or_its_plain_beginning() {
        let token = "a".repeat(TOKEN_LETTERS);
        for (form, local, expected) in [
            ("bounce+{token}", format!("bounce+{token}"), Some(token.as_str())),
            ("bounce+{token}", format!("BOUNCE+{token}"), Some(token.as_str())),
            ("bounce+{token}", "bounce".to_owned(), Some("")),
            ("bounce+{token}", "Bounce".to_owned(), Some("")),
            ("bounce+{token}", "bounce+".to_owned(), None),
            ("bounce+{token}", format!("bounce+{}", &token[1..]), None),
            ("bounce+{token}", format!("other+{token}"), None),
            ("{token}", token.clone(), Some(token.as_str())),
            ("{token}", String::new(), None),
            ("{token}-b", format!("{token}-b"), Some(token.as_str())),
            ("{token}-b", "b".to_owned(), Some("")),
            ("bounce+{token}", "あああああああああああああ".to_owned(), None),
        ] {
            assert_eq!(fits(&local, form), expected, "{local} as {form}");
        }
    }
}
