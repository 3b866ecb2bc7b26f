//! Owns whether a signature speaks for the From that people see (DMARC, RFC 7489 3.1.1).

use serde::Serialize;

/// How a signing domain and a From domain stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Alignment {
    /// They are the same: aligned under every policy.
    Strict,
    /// They belong to one registrable domain: aligned unless the policy says `adkim=s`.
    Relaxed,
    /// They do not: the signature does not count for DMARC.
    None,
}

/// Compares two domains in A-label form, whatever the case of their letters.
#[must_use]
pub fn alignment(signing: &str, from: &str) -> Alignment {
    let (signing, from) = (signing.to_ascii_lowercase(), from.to_ascii_lowercase());
    if signing == from {
        return Alignment::Strict;
    }
    match (psl::domain_str(&signing), psl::domain_str(&from)) {
        (Some(one), Some(other)) if one == other => Alignment::Relaxed,
        _ => Alignment::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_align_by_what_can_be_registered() {
        for (signing, from, wanted) in [
            ("m.example.jp", "M.Example.JP", Alignment::Strict),
            ("example.jp", "m.example.jp", Alignment::Relaxed),
            ("m.example.jp", "news.example.jp", Alignment::Relaxed),
            ("m.example.co.jp", "example.co.jp", Alignment::Relaxed),
            ("example.co.jp", "other.co.jp", Alignment::None),
            ("example.jp", "example.com", Alignment::None),
            ("a.chiyoda.tokyo.jp", "b.chiyoda.tokyo.jp", Alignment::None),
            ("co.jp", "example.co.jp", Alignment::None),
        ] {
            assert_eq!(alignment(signing, from), wanted, "{signing} {from}");
        }
    }
}
