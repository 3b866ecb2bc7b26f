//! Owns what a rule asks of a reply's words: a text as it is written, or a form that many texts have.
//!
//! Invariant: a pattern without any words is told as empty, so that no rule fits every reply by mistake.

use super::vocabulary::{Class, Senses};

/// What a reply's text must have. As written: `{addr}` and such stand for any text; compared without case; it may stand anywhere
/// in the reply. As a form: `$mailbox {3} $absent` is a word of the class `mailbox` and then one of `absent` with at most three
/// words between them, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Written {
        /// Literal pieces, lower case, in order; any text may stand between two of them.
        pieces: Vec<String>,
        /// Nothing may stand before the first piece.
        anchored: bool,
    },
    /// Classes in order, each with the words that may stand before it.
    Form(Vec<(usize, Class)>),
}

impl TextPattern {
    /// Reads `text`: `{...}` stands for anything, a leading `^` ties it to the reply's beginning; a leading `$` makes it a form.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.starts_with('$') { Self(form(text)) } else { Self(written(text)) }
    }

    /// What a form names that is no class of words, in `text` as written.
    #[must_use]
    pub fn unknown_class(text: &str) -> Option<&str> {
        let known =
            |word: &str| word.strip_prefix('$').map_or_else(|| gap(word).is_some(), |c| Class::named(c).is_some());
        if text.starts_with('$') { text.split_whitespace().find(|word| !known(word)) } else { None }
    }

    /// Whether it would fit any text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Kind::Written { pieces, .. } => pieces.is_empty(),
            Kind::Form(parts) => parts.is_empty(),
        }
    }

    /// Whether `text` (lower case, single blanks) fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Written { pieces, anchored } => is_written(pieces, *anchored, text),
            Kind::Form(parts) => Senses::of(text).have(parts),
        }
    }

    /// As [`TextPattern::fits`]; only a form asks for the senses of the text's words.
    pub(super) fn fits_with<'a>(&self, text: &str, senses: impl FnOnce() -> &'a Senses) -> bool {
        match &self.0 {
            Kind::Written { pieces, anchored } => is_written(pieces, *anchored, text),
            Kind::Form(parts) => senses().have(parts),
        }
    }

    /// Whether it is a form, which never fits by names in addresses.
    pub(super) fn is_form(&self) -> bool {
        matches!(self.0, Kind::Form(_))
    }

    /// Letters that must be there: the more, the more special.
    pub(super) fn length(&self) -> usize {
        match &self.0 {
            Kind::Written { pieces, .. } => pieces.iter().map(String::len).sum(),
            Kind::Form(parts) => parts.len(),
        }
    }
}

impl std::fmt::Display for TextPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Written { pieces, anchored } => {
                if *anchored {
                    f.write_str("^")?;
                }
                f.write_str(&pieces.join(" ... "))
            }
            Kind::Form(parts) => {
                for (i, (between, class)) in parts.iter().enumerate() {
                    if i > 0 {
                        f.write_str(if *between > 0 { " ... " } else { " " })?;
                    }
                    write!(f, "({class})")?;
                }
                Ok(())
            }
        }
    }
}

fn form(text: &str) -> Kind {
    let mut parts = Vec::new();
    let mut between = 0;
    for word in text.split_whitespace() {
        match word.strip_prefix('$').and_then(Class::named) {
            Some(class) => parts.push((std::mem::take(&mut between), class)),
            None => between = gap(word).unwrap_or_default(),
        }
    }
    Kind::Form(parts)
}

/// `{3}`: at most three words.
fn gap(word: &str) -> Option<usize> {
    word.strip_prefix('{')?.strip_suffix('}')?.parse().ok()
}

fn written(text: &str) -> Kind {
    let (anchored, text) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
    let mut pieces = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '{' => {
                depth += 1;
                if depth == 1 {
                    pieces.push(String::new());
                }
            }
            '}' if depth > 0 => depth -= 1,
            _ if depth == 0 => {
                if let Some(last) = pieces.last_mut() {
                    last.extend(c.to_lowercase());
                }
            }
            _ => {}
        }
    }
    let anchored = anchored && pieces.first().is_some_and(|p| !p.is_empty());
    let pieces =
        pieces.iter().map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|p| !p.is_empty()).collect();
    Kind::Written { pieces, anchored }
}

fn is_written(pieces: &[String], anchored: bool, text: &str) -> bool {
    let mut at = 0;
    for (i, piece) in pieces.iter().enumerate() {
        match text[at..].find(piece.as_str()) {
            Some(found) if i > 0 || !anchored || found == 0 => at += found + piece.len(),
            _ => return false,
        }
    }
    true
}
