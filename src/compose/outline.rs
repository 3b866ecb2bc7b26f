//! Owns the outline of an HTML template: what stands between one template marker and the next.
//!
//! Invariant: what HTML lets people leave out (blanks, `<tbody>`, `</td>`) is no difference between two outlines; whatever else
//! came to stand on another side of a marker, or is gone, is one.

use std::cell::RefCell;
use std::fmt;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{Rawtext, Rcdata, ScriptData};
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

/// Start tags that a parser adds where they are left out.
const IMPLIED: [&str; 5] = ["html", "head", "body", "tbody", "colgroup"];
/// End tags that may be left out, beside those of [`IMPLIED`] and [`VOID`].
const OPTIONAL_END: [&str; 14] =
    ["p", "li", "td", "th", "tr", "thead", "tfoot", "caption", "dt", "dd", "option", "optgroup", "rt", "rp"];
/// Elements without content.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// One thing between two markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text without blanks, its character references read.
    Text(String),
    /// A comment, which is HTML to some mail programs.
    Comment(String),
    /// The name of a start tag.
    Start(String),
    /// The name of an end tag that cannot be left out.
    End(String),
}

impl Piece {
    /// Whether it is something by itself, wherever the elements around it begin and end.
    fn is_content(&self) -> bool {
        match self {
            Self::Text(_) | Self::Comment(_) => true,
            Self::Start(name) => VOID.contains(&name.as_str()),
            Self::End(_) => false,
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{}\"", text.chars().take(30).collect::<String>()),
            Self::Comment(_) => f.write_str("a comment"),
            Self::Start(name) => write!(f, "<{name}>"),
            Self::End(name) => write!(f, "</{name}>"),
        }
    }
}

/// What stands behind a marker, up to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stretch {
    /// The marker's number; `None` for what stands before all of them.
    pub(super) marker: Option<usize>,
    pub(super) pieces: Vec<Piece>,
}

impl Stretch {
    fn push(&mut self, piece: Piece) {
        match (self.pieces.last_mut(), piece) {
            (Some(Piece::Text(known)), Piece::Text(more)) => known.push_str(&more),
            (_, piece) => self.pieces.push(piece),
        }
    }

    /// Texts, comments and elements without content alone.
    pub(super) fn contents(self) -> Self {
        let mut bare = Self { marker: self.marker, pieces: Vec::new() };
        self.pieces.into_iter().filter(Piece::is_content).for_each(|piece| bare.push(piece));
        bare
    }
}

/// The outline of `html`, in which `marker` knows the comments that are markers.
pub(super) fn outline(html: &str, marker: &dyn Fn(&str) -> Option<usize>) -> Vec<Stretch> {
    let reader =
        Reader { marker, state: RefCell::new(State { stretches: vec![Stretch::default()], ..State::default() }) };
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(reader, TokenizerOpts::default());
    // It stops early for scripts that run, and none does.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.state.into_inner().stretches
}

struct Reader<'a> {
    marker: &'a dyn Fn(&str) -> Option<usize>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    stretches: Vec<Stretch>,
    /// Inside `<style>`, whose text nobody sees.
    in_style: bool,
    /// Elements of other languages (`<svg>`) around this place: theirs may close themselves.
    foreign: usize,
}

impl State {
    fn push(&mut self, piece: Piece) {
        if let Some(stretch) = self.stretches.last_mut() {
            stretch.push(piece);
        }
    }

    fn text(&mut self, text: &str) {
        let seen: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if !seen.is_empty() && !self.in_style {
            self.push(Piece::Text(seen));
        }
    }

    fn tag(&mut self, tag: &Tag) {
        let name = &*tag.name;
        let opens_foreign = matches!(name, "svg" | "math");
        if tag.kind == TagKind::StartTag {
            self.in_style = name == "style";
            if !IMPLIED.contains(&name) {
                self.push(Piece::Start(name.to_owned()));
            }
            match (opens_foreign, tag.self_closing) {
                (true, true) => self.push(Piece::End(name.to_owned())),
                (true, false) => self.foreign += 1,
                _ => {}
            }
            return;
        }
        self.in_style = false;
        if opens_foreign {
            self.foreign = self.foreign.saturating_sub(1);
        }
        let optional = [&IMPLIED[..], &OPTIONAL_END, &VOID].iter().any(|names| names.contains(&name));
        if !optional && (self.foreign == 0 || opens_foreign) {
            self.push(Piece::End(name.to_owned()));
        }
    }
}

impl TokenSink for Reader<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut state = self.state.borrow_mut();
        match token {
            Token::TagToken(tag) => {
                state.tag(&tag);
                if tag.kind == TagKind::StartTag && state.foreign == 0 {
                    return match &*tag.name {
                        "title" | "textarea" => TokenSinkResult::RawData(Rcdata),
                        "style" | "xmp" | "iframe" | "noembed" | "noframes" => TokenSinkResult::RawData(Rawtext),
                        "script" => TokenSinkResult::RawData(ScriptData),
                        "plaintext" => TokenSinkResult::Plaintext,
                        _ => TokenSinkResult::Continue,
                    };
                }
            }
            Token::CommentToken(text) => match (self.marker)(&text) {
                Some(number) => state.stretches.push(Stretch { marker: Some(number), pieces: Vec::new() }),
                None => state.push(Piece::Comment(text.to_string())),
            },
            Token::CharacterTokens(text) => state.text(&text),
            Token::DoctypeToken(_) | Token::NullCharacterToken | Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(html: &str) -> Vec<Stretch> {
        outline(html, &|comment| comment.strip_prefix('m')?.parse().ok())
    }

    #[test]
    fn what_may_be_left_out_is_no_difference() {
        for (left, right) in [
            (
                "<table><!--m0--><tr><td>a &amp; b<!--m1--></table>",
                "<html><head></head><body><table><!--m0--><tbody><tr><td>\n a & b <!--m1--></td></tr></tbody></table></body></html>",
            ),
            ("<br/><img src=a></img>", "<br><img src=\"a\">"),
            ("<style>p > a{}</style>", "<style>p  >  a{} b{}</style>"),
            ("<svg><path/></svg>x<svg/>", "<svg><path></path></svg>x<svg></svg>"),
            ("<title>a</title>", "<title>\na\n</title>"),
        ] {
            assert_eq!(of(left), of(right), "{left}");
        }
    }

    #[test]
    fn what_is_gone_or_stands_elsewhere_is_a_difference() {
        for (left, right) in [
            ("a<!--m0-->", "<!--m0-->a"),
            ("<p><!--m0-->", "<!--m0--><p>"),
            ("</table><!--m0-->", "<!--m0--></table>"),
            ("<!--m0--><!--[if mso]>x<![endif]-->", "<!--m0-->"),
            ("<img><!--m0-->", "<!--m0--><img>"),
            ("<svg><path/></svg><!--m0-->", "<svg><path/><!--m0--></svg>"),
            ("<title><b></title><!--m0-->", "<title></title><b><!--m0-->"),
        ] {
            assert_ne!(of(left), of(right), "{left}");
        }
        assert_eq!(of("a<!--m0-->b<!--m7-->").iter().map(|s| s.marker).collect::<Vec<_>>(), [None, Some(0), Some(7)]);
    }
}
