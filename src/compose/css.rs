//! Owns the inlining of CSS into an HTML template: once per campaign, before it is stored.
//!
//! Invariants: nothing is fetched; every template marker comes out once, as it was, in its order, with the same before and behind
//! it, or the template is refused with the line (HTML parsers move text about, out of tables above all, so markers travel as
//! comments and plain words, and what stands between them is compared); `<style>` stays as it is, so media queries keep working.

use css_inline::CSSInliner;

use super::outline::{Piece, Stretch, outline};

/// An HTML template with its CSS inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inlined {
    /// The template.
    pub html: String,
    /// Worth knowing: line and what.
    pub notes: Vec<(usize, String)>,
}

/// Why CSS cannot be inlined: line (from 1) and what to do.
pub type CssProblem = (usize, String);

/// Puts the rules of `<style>` into the `style` attributes of the elements that they select.
///
/// # Errors
/// Markers where they, or what they stand around, cannot be kept; CSS that cannot be read.
pub fn inline_css(html: &str) -> Result<Inlined, CssProblem> {
    let masked = Mask::of(html)?;
    let inliner =
        CSSInliner::options().load_remote_stylesheets(false).keep_style_tags(true).keep_link_tags(true).build();
    let inlined = inliner.inline(&masked.html).map_err(|e| (1, format!("its CSS cannot be inlined: {e}")))?;
    let html = masked.restore(&inlined)?;
    masked.compare(&inlined)?;
    Ok(Inlined { html, notes: masked.notes })
}

/// Where a marker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between tags: it travels as a comment, which every element may hold.
    Text,
    /// In the value of an attribute, or in an element that holds plain text.
    Plain,
    /// In `<style>`: it may come out several times.
    Style,
}

struct Marker<'a> {
    text: &'a str,
    line: usize,
    place: Place,
}

/// A template whose markers are words and comments.
struct Mask<'a> {
    html: String,
    word: String,
    markers: Vec<Marker<'a>>,
    /// Blocks that are open.
    open: usize,
    notes: Vec<(usize, String)>,
}

/// Elements whose content is text and no tags.
const PLAIN: [&str; 5] = ["style", "script", "title", "textarea", "xmp"];

impl<'a> Mask<'a> {
    fn of(source: &'a str) -> Result<Self, CssProblem> {
        let mut word = "hikagenmarker".to_owned();
        while source.contains(&word) {
            word.push('x');
        }
        let html = String::with_capacity(source.len() + source.len() / 4);
        let mut mask = Self { html, word, markers: Vec::new(), open: 0, notes: Vec::new() };
        let mut at = 0;
        while let Some(found) = source[at..].find(['<', '{']) {
            mask.html.push_str(&source[at..at + found]);
            at += found;
            let rest = &source[at..];
            if let Some(length) = marker(rest) {
                if mask.html.ends_with('<') || mask.html.ends_with("</") {
                    let why = "a template marker cannot be the name of an element where inline_css is true";
                    return Err((line(source, at), why.to_owned()));
                }
                mask.hide(source, at, length, Place::Text);
                at += length;
            } else if rest.starts_with("<!--") {
                at = mask.comment(source, at);
            } else if rest.starts_with("<![") {
                let why =
                    "<![if ...]> cannot be kept while CSS is inlined; write <!--[if ...]><!--> and <!--<![endif]-->";
                return Err((line(source, at), why.to_owned()));
            } else if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && rest.starts_with('<') {
                at = mask.tag(source, at)?;
            } else {
                mask.html.push_str(&rest[..1]);
                at += 1;
            }
        }
        mask.html.push_str(&source[at..]);
        Ok(mask)
    }

    /// A comment; mail programs read what is in some.
    fn comment(&mut self, source: &'a str, from: usize) -> usize {
        let end = source[from..].find("-->").map_or(source.len(), |end| from + end + 3);
        let mut at = from;
        while let Some(found) = source[at..end].find('{') {
            self.html.push_str(&source[at..at + found]);
            at += found;
            // One that ends behind the comment is none.
            match marker(&source[at..end]) {
                Some(length) => {
                    self.hide(source, at, length, Place::Plain);
                    at += length;
                }
                None => {
                    self.html.push('{');
                    at += 1;
                }
            }
        }
        self.html.push_str(&source[at..end]);
        end
    }

    /// A tag, and what is in it where that is plain text; gives the place behind.
    fn tag(&mut self, source: &'a str, from: usize) -> Result<usize, CssProblem> {
        let mut quote = None;
        let mut at = from;
        while at < source.len() {
            let rest = &source[at..];
            if let Some(length) = marker(rest) {
                let bare = self.html.ends_with(|c: char| c.is_ascii_whitespace());
                if quote.is_none() && (bare || !source[from..at].contains('=')) {
                    let why = "a template marker inside a tag can only be in the value of an attribute where inline_css is \
                               true; put {% if %} around the whole tag";
                    return Err((line(source, at), why.to_owned()));
                }
                let within = quote.filter(|quote| in_style(&source[from..at], *quote));
                if within.is_some_and(|quote| !is_value(rest, &source[from..at], &rest[length..], quote)) {
                    let why = "in a style attribute a template marker can only be a value where inline_css is true: \
                               color: {{ colour }}";
                    return Err((line(source, at), why.to_owned()));
                }
                self.hide(source, at, length, Place::Plain);
                at += length;
                continue;
            }
            let Some(c) = rest.chars().next() else { break };
            self.html.push(c);
            at += c.len_utf8();
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, '>') => break,
                _ => {}
            }
        }
        let tag = source[from..at].to_ascii_lowercase();
        let name = tag[1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if name == "link" && tag.contains("stylesheet") {
            let why = "the stylesheet of <link> is not fetched; put its rules into <style>";
            self.notes.push((line(source, from), why.to_owned()));
        }
        if name == "style" && self.open > 0 {
            let why = "a <style> inside a block cannot be kept for that block where inline_css is true: its rules become \
                       attributes for everybody; put it outside";
            return Err((line(source, from), why.to_owned()));
        }
        if PLAIN.contains(&name) { self.plain(source, at, name) } else { Ok(at) }
    }

    /// The content of an element that holds plain text, up to its end tag.
    fn plain(&mut self, source: &'a str, from: usize, name: &str) -> Result<usize, CssProblem> {
        let place = if name == "style" { Place::Style } else { Place::Plain };
        let mut at = from;
        while at < source.len() {
            let rest = &source[at..];
            let ends = rest.get(2..2 + name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
            if rest.starts_with("</") && ends {
                return Ok(at);
            }
            let Some(length) = marker(rest) else {
                let Some(c) = rest.chars().next() else { break };
                self.html.push(c);
                at += c.len_utf8();
                continue;
            };
            if place == Place::Style && !rest.starts_with("{{") {
                let why =
                    "only {{ }} can stand in <style> where inline_css is true: its rules become attributes elsewhere";
                return Err((line(source, at), why.to_owned()));
            }
            self.hide(source, at, length, place);
            at += length;
        }
        Ok(at)
    }

    fn hide(&mut self, source: &'a str, at: usize, length: usize, place: Place) {
        let token = self.token(self.markers.len(), place);
        self.html.push_str(&token);
        if place == Place::Text {
            self.open = self.open.saturating_add_signed(opens(&source[at..at + length]));
        }
        self.markers.push(Marker { text: &source[at..at + length], line: line(source, at), place });
    }

    fn token(&self, number: usize, place: Place) -> String {
        let word = format!("{}{number}z", self.word);
        if place == Place::Text { format!("<!--{word}-->") } else { word }
    }

    /// Puts the markers back.
    ///
    /// # Errors
    /// One is gone, doubled or moved.
    fn restore(&self, inlined: &str) -> Result<String, CssProblem> {
        // Its word can still be there: `hikagen&#109;arker` is read so.
        if self.markers.is_empty() {
            return Ok(inlined.to_owned());
        }
        let mut html = String::with_capacity(inlined.len());
        let mut expected = self.markers.iter().enumerate().filter(|(_, m)| m.place != Place::Style).map(|(n, _)| n);
        let lost = |n: usize| {
            let marker = &self.markers[n.min(self.markers.len() - 1)];
            let shown: String = marker.text.chars().take(60).collect();
            let why = format!(
                "{shown} cannot be kept in its place while CSS is inlined; put it elsewhere, or take inline_css away"
            );
            (marker.line, why)
        };
        let mut rest = inlined;
        while let Some(at) = rest.find(&self.word) {
            let digits = &rest[at + self.word.len()..];
            let end = digits.find('z').unwrap_or_default();
            let number = digits[..end].parse::<usize>().ok().filter(|n| *n < self.markers.len());
            let Some(number) = number else { return Err(lost(0)) };
            let marker = &self.markers[number];
            if marker.place != Place::Style {
                match expected.next() {
                    Some(next) if next == number => {}
                    Some(next) => return Err(lost(next)),
                    None => return Err(lost(number)),
                }
            }
            let token = self.token(number, marker.place);
            let from = if marker.place == Place::Text { at.saturating_sub("<!--".len()) } else { at };
            if !rest.get(from..).is_some_and(|rest| rest.starts_with(&token)) {
                return Err(lost(number));
            }
            html.push_str(&rest[..from]);
            html.push_str(marker.text);
            rest = &rest[from + token.len()..];
        }
        if let Some(next) = expected.next() {
            return Err(lost(next));
        }
        html.push_str(rest);
        Ok(html)
    }

    /// Holds what stands between the markers of the inlined template against what was written there.
    ///
    /// # Errors
    /// Something stands on another side of a marker, or is gone.
    fn compare(&self, inlined: &str) -> Result<(), CssProblem> {
        let number = |comment: &str| comment.strip_prefix(&self.word)?.strip_suffix('z')?.parse::<usize>().ok();
        // Without blocks everybody gets the same elements, and any reader of HTML mends them alike.
        let blocks = self.markers.iter().any(|m| m.place == Place::Text && m.text.starts_with("{%"));
        let of = |html: &str| -> Vec<Stretch> {
            let stretches = outline(html, &number).into_iter();
            stretches.map(|stretch| if blocks { stretch } else { stretch.contents() }).collect()
        };
        let (written, read) = (of(&self.html), of(inlined));
        for (at, (written_here, read_here)) in written.iter().zip(&read).enumerate() {
            let (mut wanted, mut got) = (written_here.pieces.iter(), read_here.pieces.iter());
            let (wanted, got) = loop {
                match (wanted.next(), got.next()) {
                    (None, None) => break (None, None),
                    (wanted, got) if wanted == got => {}
                    differ => break differ,
                }
            };
            let beside = written_here.marker.or_else(|| written.get(at + 1)?.marker).and_then(|n| self.markers.get(n));
            let (true, Some(marker)) = (wanted != got, beside) else { continue };
            let side = if written_here.marker.is_some() { "behind" } else { "before" };
            let show = |piece: Option<&Piece>| piece.map_or_else(|| "nothing more".to_owned(), Piece::to_string);
            let shown: String = marker.text.chars().take(60).collect();
            let why = format!(
                "what stands {side} {shown} cannot be kept there while CSS is inlined: a reader of HTML finds {} where {} is \
                 written; let each branch open and close its own elements, keep texts in a table inside its cells, or take \
                 inline_css away",
                show(got),
                show(wanted)
            );
            return Err((marker.line, why));
        }
        Ok(())
    }
}

/// Whether `before`, the beginning of a tag up to somewhere in a quoted value, ends in a `style` attribute.
fn in_style(before: &str, quote: char) -> bool {
    let attribute = before.rsplit_once(quote).map_or("", |(attribute, _)| attribute);
    attribute.trim_end().trim_end_matches('=').trim_end().to_ascii_lowercase().ends_with("style")
}

/// Whether the marker at the beginning of `marker`, between `before` and `after`, is a value and no more: what it leaves out or
/// brings in is not seen when rules and attribute are put together.
fn is_value(marker: &str, before: &str, after: &str, quote: char) -> bool {
    let declaration = before.rsplit([quote, ';']).next().unwrap_or_default();
    let whole = declaration.trim().is_empty() && after.trim_start().starts_with([quote, ';']);
    marker.starts_with("{{") && !whole
}

/// How many blocks a template marker opens, less those that it ends.
fn opens(marker: &str) -> isize {
    let Some(tag) = marker.strip_prefix("{%") else { return 0 };
    let word = tag.trim_start_matches(['-', '+']).split_ascii_whitespace().next().unwrap_or_default();
    match word {
        "if" | "for" | "block" | "macro" | "call" | "filter" | "with" | "autoescape" | "raw" => 1,
        "set" if !tag.contains('=') => 1,
        _ if word.starts_with("end") => -1,
        _ => 0,
    }
}

/// The length of the template marker that begins here; `None` where none does, or it never ends (which the template's own reader
/// reports).
fn marker(text: &str) -> Option<usize> {
    let close = match text.get(..2)? {
        "{{" => "}}",
        "{%" => "%}",
        "{#" => return text.find("#}").map(|end| end + 2),
        _ => return None,
    };
    let mut quote = None;
    for (at, c) in text.char_indices().skip(2) {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, _) if text[at..].starts_with(close) => return Some(at + 2),
            _ => {}
        }
    }
    None
}

fn line(source: &str, at: usize) -> usize {
    source[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlined(html: &str) -> String {
        inline_css(html).unwrap_or_else(|e| panic!("{e:?}")).html
    }

    #[test]
    fn rules_become_attributes_and_markers_and_media_queries_stay() {
        let html = inlined(
            "<html><head><style>p, td.a { color: red }\n@media (max-width: 600px) { p { color: {{ brand }} } }</style>\
             <title>{{ name }}</title></head><body><p style=\"margin: {{ gap }}px\">{{ name | default(\"<\") }} 様</p>\
             <table>{% for row in rows %}<tr><td class=a title=\"{{ row.t }}\">{# no #}{{ row }}</td></tr>{% endfor %}</table>\
             <a href={{ unsubscribe_url }}>x</a></body></html>",
        );
        for piece in [
            "<title>{{ name }}</title>",
            "@media (max-width: 600px) { p { color: {{ brand }} } }",
            "margin: {{ gap }}px",
            ">{{ name | default(\"<\") }} 様</p>",
            "<table>{% for row in rows %}<tbody><tr><td",
            "title=\"{{ row.t }}\"",
            ">{# no #}{{ row }}</td></tr>{% endfor %}",
            "href=\"{{ unsubscribe_url }}\"",
        ] {
            assert!(html.contains(piece), "{piece} is missing in {html}");
        }
        assert!(
            html.contains("color: red;margin: {{ gap }}px") || html.contains("margin: {{ gap }}px;color: red"),
            "{html}"
        );
    }

    #[test]
    fn a_marker_in_a_rule_goes_wherever_the_rule_goes() {
        let html = inlined("<style>.b { background: {{ brand }} }</style><p class=b>1</p><p class=b>2</p>");
        assert_eq!(html.matches("background: {{ brand }}").count(), 3, "{html}");
    }

    #[test]
    fn a_word_that_only_looks_like_a_marker_is_let_through_or_refused() {
        assert!(inlined("<p>hikagen&#109;arker0z</p>").contains("hikagenmarker0z"));
        assert!(inline_css("<p>{{ name }} hikagen&#109;arker0z</p>").is_err());
    }

    #[test]
    fn a_template_without_style_and_markers_that_never_end_are_let_through() {
        assert!(inlined("<p>{{ name }}</p>").contains("<p>{{ name }}</p>"));
        assert!(inlined("<p>{{ name</p>").contains("{{ name"));
        assert!(
            inlined("<!--[if mso]>{{ name }}<![endif]--><p>a { b</p>").contains("<!--[if mso]>{{ name }}<![endif]-->")
        );
    }

    #[test]
    fn a_marker_that_would_be_lost_is_refused_with_its_line() {
        for (html, line, why) in [
            ("<p>\n<td {% if a %}class=\"x\"{% endif %}>", 2, "inside a tag"),
            ("<p>\n\n<{{ tag }}>", 3, "name of an element"),
            ("<p>\n<![if !mso]>x<![endif]>", 2, "write <!--[if ...]><!-->"),
            ("<style>\n{% if a %}p{color:red}{% endif %}</style>", 2, "only {{ }} can stand in <style>"),
            (
                "{% set a = 1 %}{% if a %}\n<style>p{color:red}</style>{% endif %}<p>x</p>",
                2,
                "a <style> inside a block",
            ),
            ("<p>\n<p style=\"{{ style }}\">x</p>", 2, "can only be a value"),
            ("<p style='a:b;\n {{ style }} ; c:d'>x</p>", 2, "can only be a value"),
            ("<p\nstyle=\"{% if a %}margin:0{% endif %}\">x</p>", 2, "can only be a value"),
            ("<p title=\"{{ a }}\"\ntitle=\"{{ b }}\">x</p>", 2, "{{ b }} cannot be kept in its place"),
        ] {
            let (at, said) = inline_css(html).expect_err(html);
            assert!(at == line && said.contains(why), "{html}: {at} {said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn markers_come_out_as_they_went_in_or_the_template_is_refused(
            html in "(<p[ >]|</p>|<style>|</style>|<td|<table>|<!--|-->|\\{\\{ a \\}\\}|\\{% if b %\\}|[\"'=<>{};:\n ]|style=|[a-z春]){0,40}",
        ) {
            let markers = |text: &str| {
                let found = text.match_indices("{{ a }}").chain(text.match_indices("{% if b %}"));
                let mut found: Vec<_> = found.map(|(at, marker)| (at, marker.to_owned())).collect();
                found.sort();
                found.into_iter().map(|(_, marker)| marker).collect::<Vec<_>>()
            };
            if let Ok(done) = inline_css(&html)
                && !html.contains("<style")
            {
                proptest::prop_assert_eq!(markers(&done.html), markers(&html));
            }
        }
    }

    #[test]
    fn what_would_leave_its_block_or_get_lost_is_refused_with_the_line_of_a_marker_beside_it() {
        for (html, line, why) in [
            (
                "<table>\n{% if vip %}<p>20% off</p>{% endif %}<tr><td>x</td></tr></table>",
                2,
                "what stands before {% if vip %} cannot be kept there while CSS is inlined: a reader of HTML finds <p> where \
                 <table> is written",
            ),
            (
                "<table>{% if vip %}\n20% off\n{% endif %}<tr><td>x</td></tr></table>",
                1,
                "finds \"20%off\" where <table>",
            ),
            (
                "<p>a</p>{% if v %}\n<table>{% if vip %}<img src=a>{% endif %}<tr><td>x</table>{% endif %}",
                1,
                "{% if v %}",
            ),
            (
                "<table><tr><td>\n{% if a %}A</td></tr></table>\n{% else %}B</td></tr></table>{% endif %}",
                3,
                "behind {% else %} cannot be kept there while CSS is inlined: a reader of HTML finds nothing more where \
                 </table> is written",
            ),
            ("<div>{% if a %}</div>{% else %}\n</div>{% endif %}", 1, "behind {% else %}"),
            ("<a href=x>{% if a %}\n<a href=y>y</a>\n{% endif %}</a>", 1, "finds </a> where <a> is"),
            ("<p>{% if a %}<div>x</div>\n{% endif %}</p>", 2, "finds <p> where nothing more is"),
            ("<table>\n{{ a }}<p>x</p>{{ b }}<tr><td>x</td></tr></table>", 2, "finds \"x\" where nothing more is"),
        ] {
            let (at, said) = inline_css(html).expect_err(html);
            assert!(at == line && said.contains(why), "{html}: {at} {said}");
        }
    }

    #[test]
    fn whole_branches_and_html_that_readers_mend_alike_are_let_through() {
        for html in [
            "<table>{% if a %}<tr><td>a{% else %}<tr><td>b{% endif %}<tr><td>c</table>",
            "<table><tr>{% for x in y %}<td>&nbsp;&copy; {{ x }}</td>{% endfor %}</tr></table>",
            "<!DOCTYPE html><html>{% if a %}<head><title>t</title></head>{% endif %}<body>x</body></html>{# end #}",
            "{%- set a = 1 %}{%- if a -%}x{%- endif -%}<style>p{color:red}</style><p>x</p>",
            "{% if a %}<p>a<ul><li>x<li>y</ul>{% endif %}<br/><hr>",
            "<p>{{ a }}<div>x</div></p><b><i>{{ b }}</b>y</font>z</i>",
            "{% if a %}<!--[if mso]><table><tr><td><![endif]-->x<!--[if mso]></td></tr></table><![endif]-->{% endif %}",
        ] {
            assert!(inline_css(html).is_ok(), "{html}: {:?}", inline_css(html));
        }
    }

    /// The letters between the markers of a template whose tags are whole, sorted.
    fn letters(html: &str) -> Vec<Vec<char>> {
        let mut tag = false;
        let mut seen = |c: &char| {
            tag = *c == '<' || tag && *c != '>';
            !tag && c.is_ascii_lowercase()
        };
        let html = html.replace("{% if b %}", "{").replace("{% endif %}", "{");
        let stretches = html.split('{').map(|stretch| stretch.chars().filter(&mut seen).collect::<Vec<char>>());
        let sorted = stretches.map(|mut letters| {
            letters.sort_unstable();
            letters
        });
        sorted.collect()
    }

    proptest::proptest! {
        #[test]
        fn no_text_changes_its_side_of_a_marker_or_the_template_is_refused(
            html in "(<p>|</p>|<table>|</table>|<tr>|</tr>|<td>|</td>|<div>|</div>|<a>|</a>|<b>|</b>|<li>|[a-z]|\\{% if b %\\}|\\{% endif %\\}){0,20}",
        ) {
            if let Ok(done) = inline_css(&html) {
                proptest::prop_assert_eq!(letters(&done.html), letters(&html));
            }
        }
    }

    #[test]
    fn nothing_is_fetched() {
        let done = inline_css("<link rel=stylesheet href=\"http://127.0.0.1:1/a.css\"><p>x</p>").expect("inlined");
        assert_eq!((done.notes.len(), done.notes[0].0), (1, 1));
        assert!(done.html.contains("http://127.0.0.1:1/a.css"));
    }
}
