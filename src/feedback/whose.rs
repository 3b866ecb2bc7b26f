//! Owns the look for a signed token in what a report repeats: whose mail it is about.
//!
//! Invariant: a text that was not signed with our key is no token, however much it looks like one; the work is bounded.

use crate::compose::{TOKEN_LETTERS, Tokens};
use crate::core::campaign::MessageId;

/// Texts that are looked through.
const CLUES_MOST: usize = 32;
/// Octets of a text that are looked through: an envelope sender has at most 320, a header line 998.
const OCTETS_MOST: usize = 1_000;
/// Places that are tried in all.
const TRIED_MOST: usize = 4_000;

/// The message of the first token whose signature is right, the most trustworthy text first.
#[must_use]
pub fn token_of(tokens: &Tokens, clues: &[String]) -> Option<MessageId> {
    let runs = clues.iter().take(CLUES_MOST).flat_map(|clue| {
        let clue = &clue.as_bytes()[..clue.len().min(OCTETS_MOST)];
        clue.split(|octet| !octet.is_ascii_alphanumeric())
    });
    let windows = runs.flat_map(|run| run.windows(TOKEN_LETTERS));
    let mut texts = windows.take(TRIED_MOST).filter_map(|window| std::str::from_utf8(window).ok());
    texts.find_map(|text| tokens.verify(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(clue: &str) -> Option<i64> {
        token_of(&Tokens::new(&[7; 32]), &[clue.to_owned()]).map(|id| id.0)
    }

    #[test]
    fn a_token_is_found_wherever_it_was_written() {
        let token = Tokens::new(&[7; 32]).token(MessageId(42));
        for clue in [
            format!("bounce+{token}@m.example.jp"),
            format!("<{token}@m.example.jp>"),
            format!("b{token}@m.example.jp"),
            format!("SRS0=Hx7=2Q=m.example.jp=bounce+{token}@forward.example.net"),
            format!("prvs=1234567890=bounce-{}@m.example.jp", token.to_uppercase()),
            format!("春 <{token}>"),
        ] {
            assert_eq!(found(&clue), Some(42), "{clue}");
        }
    }

    #[test]
    fn a_forged_token_names_nothing() {
        let token = Tokens::new(&[8; 32]).token(MessageId(42));
        for clue in [token.clone(), token[1..].to_owned(), String::new(), "a".repeat(100_000)] {
            assert_eq!(found(&clue), None);
        }
    }

    #[test]
    fn a_forged_token_does_not_hide_a_right_one_behind_it() {
        let (ours, forged) = (Tokens::new(&[7; 32]), Tokens::new(&[8; 32]));
        let clues = [forged.token(MessageId(1)), format!("bounce+{}@m.example.jp", ours.token(MessageId(2)))];
        assert_eq!(token_of(&ours, &clues), Some(MessageId(2)));
    }
}
