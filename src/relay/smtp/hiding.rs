//! Owns what is taken out of words that others say, because it is a credential or may be one.
//!
//! Invariant: of a secret that a server repeats, whole, cut or wrapped, no twelve characters in a row go further.

/// Put in the place of what is hidden.
const HIDDEN: &str = "(hidden)";
/// As many characters in a row that a secret has too are a piece of it.
const PIECE: usize = 12;

/// `text` without `secrets` and without pieces of them.
pub(super) fn hidden(text: &str, secrets: &[&str]) -> String {
    let told = secrets.iter().filter(|secret| !secret.is_empty());
    let whole = told.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN));
    without_runs(&whole, PIECE, |run| {
        // The letters of a run are ASCII.
        let mut pieces = (0..=run.len() - PIECE).filter_map(|at| run.get(at..at + PIECE));
        pieces.any(|piece| secrets.iter().any(|secret| secret.contains(piece)))
    })
}

/// `text` without those runs of `least` or more letters that a token or base64 may have, which `hides` picks.
pub(super) fn without_runs(text: &str, least: usize, hides: impl Fn(&str) -> bool) -> String {
    let letter = |c: char| c.is_ascii_alphanumeric() || "+/=._~-".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = &rest[..rest.find(|c| !letter(c)).unwrap_or(rest.len())];
        out.push_str(if run.len() >= least.max(1) && hides(run) { HIDDEN } else { run });
        rest = &rest[run.len()..];
        let between = rest.find(letter).unwrap_or(rest.len());
        out.push_str(&rest[..between]);
        rest = &rest[between..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_whole_cut_and_wrapped() {
        let secret = "AHVzZXIAY29ycmVjdC1ob3JzZS1iYXR0ZXJ5";
        for (text, told) in [
            (format!("cannot parse {secret}"), "cannot parse (hidden)"),
            (format!("cannot parse {}...", &secret[..20]), "cannot parse (hidden)"),
            (format!("cannot parse <{}", &secret[..12]), "cannot parse <(hidden)"),
            (format!("{}\n{}.", &secret[..18], &secret[18..]), "(hidden)\n(hidden)"),
            (format!("token={}, sorry", &secret[5..30]), "(hidden), sorry"),
            (format!("only {}", &secret[..11]), "only AHVzZXIAY29"),
            (
                "authentication.failed for smtp-relay.example.jp".to_owned(),
                "authentication.failed for smtp-relay.example.jp",
            ),
            ("".to_owned(), ""),
        ] {
            assert_eq!(hidden(&text, &[secret, ""]), told, "{text}");
        }
        assert_eq!(hidden("no: p\u{e4}ss, p\u{e4}ss", &["p\u{e4}ss"]), "no: (hidden), (hidden)");
    }

    #[test]
    fn long_runs_are_hidden_and_what_stands_between_stays() {
        assert_eq!(without_runs("\u{e4} abc-12, abcd \"x\"", 6, |_| true), "\u{e4} (hidden), abcd \"x\"");
        assert_eq!(without_runs("abcdef", 6, |run| run != "abcdef"), "abcdef");
    }
}
