//! Owns charts as SVG: a small writer, and the colours and letters that all charts share.
//!
//! A chart is one file without scripts or outside parts: it can be opened in a browser, put into a page or sent along. Its
//! colours follow the reader's light or dark setting; lines differ by their dashes too where there are more than eight.
//! Invariants: any text may be put in (marked-up, escaped, without control characters); what is drawn lies within the picture,
//! since room for letters is reckoned from above, Japanese ones a whole em wide.

mod daily;
mod forecast;
mod plan;
mod status;

use std::fmt::Write as _;

pub use daily::{AnsweredChart, AnsweredLane, DaysChart};
pub use forecast::forecast_chart;
pub use plan::{Line, PlanChart};
pub use status::status_chart;

use super::words::width;

/// Width of every chart, in CSS pixels.
const WIDTH: f64 = 960.0;

/// Free at each edge.
const MARGIN: f64 = 24.0;

/// Size of letters.
const LETTER: f64 = 13.0;

/// From one line of text to the next.
const STEP: f64 = 20.0;

/// Colours that can be told apart; after the last one they begin anew, with other dashes.
const COLOURS: usize = 8;

const STYLE: &str = "\
.hikagen{--paper:#ffffff;--ink:#1c2126;--faint:#5d6771;--rule:#d8dde2;\
--c0:#0065a3;--c1:#c24700;--c2:#00794f;--c3:#8b3fa0;--c4:#8a6a00;--c5:#007a87;--c6:#c2185b;--c7:#546170;\
font:13px system-ui,'Noto Sans JP','Noto Sans CJK JP','Hiragino Sans','Yu Gothic',IPAGothic,sans-serif}\
@media(prefers-color-scheme:dark){.hikagen{--paper:#15181c;--ink:#e8ebee;--faint:#a3adb7;--rule:#353c43;\
--c0:#5bb3f0;--c1:#ff9a5c;--c2:#4fd1a0;--c3:#cf9bff;--c4:#e3c04d;--c5:#58d3df;--c6:#ff86ad;--c7:#aeb9c4}}\
.hikagen text{fill:var(--ink)}.hikagen .faint{fill:var(--faint)}.hikagen .head{font-size:17px;font-weight:600}\
.hikagen .paper{fill:var(--paper)}.hikagen .rule{stroke:var(--rule);stroke-width:1;fill:none}\
.hikagen .track{fill:var(--rule)}.hikagen .curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
.hikagen .sum{fill:none;stroke:var(--ink);stroke-width:1.5;stroke-dasharray:1 4;stroke-linecap:round}";

/// Where a text is held.
#[derive(Debug, Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture being drawn, from the top down.
#[derive(Debug)]
struct Svg {
    title: String,
    body: String,
}

impl Svg {
    fn new(title: &str) -> Self {
        Self { title: title.to_owned(), body: String::new() }
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>",
            safe(text)
        ));
    }

    fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(&format!("<line class=\"rule\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
    }

    /// A bar; `fill` is a class or, with a number, one of the colours.
    fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: Result<usize, &str>, hint: &str) {
        let paint = match fill {
            Ok(colour) => format!("style=\"fill:var(--c{})\"", colour % COLOURS),
            Err(class) => format!("class=\"{class}\""),
        };
        self.put(&format!(
            "<rect {paint} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"><title>{}</title></rect>",
            safe(hint)
        ));
    }

    /// A line through `points`; `None` is the line of sums.
    fn curve(&mut self, points: &[(f64, f64)], colour: Option<usize>, hint: &str) {
        let mut path = String::new();
        for (n, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1},{y:.1}", if n == 0 { "M" } else { "L" });
        }
        // A curve of one day is a dot: a line of no length with round ends.
        if points.len() == 1 {
            path.push_str("h0.1");
        }
        let paint = match colour {
            None => "class=\"sum\"".to_owned(),
            Some(n) => format!("class=\"curve\" style=\"stroke:var(--c{}){}\"", n % COLOURS, dashes(n / COLOURS)),
        };
        self.put(&format!("<path {paint} d=\"{path}\"><title>{}</title></path>", safe(hint)));
    }

    fn put(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// The picture, `height` high.
    fn finish(self, height: f64) -> String {
        let title = safe(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"hikagen\" role=\"img\" aria-label=\"{title}\" \
             viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" height=\"{height:.0}\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            self.body
        )
    }
}

fn dashes(round: usize) -> &'static str {
    ["", ";stroke-dasharray:7 4", ";stroke-dasharray:2 5", ";stroke-dasharray:10 4 2 4"][round % 4]
}

/// `text` as it may stand in XML: escaped, what XML forbids replaced.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Room that `text` takes at most, in CSS pixels.
fn room(text: &str) -> f64 {
    let em = |c: char| match c {
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '\u{fffd}' => 1.0,
        'A'..='Z' => 0.78,
        c if c.is_ascii() => 0.62,
        c if width(c.encode_utf8(&mut [0; 4])) == 2 => 1.02,
        _ => 1.0,
    };
    text.chars().map(em).sum::<f64>() * LETTER
}

/// `text` cut to `most` pixels.
fn cut(text: &str, most: f64) -> String {
    if room(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if room(&out) + room("…") > most {
            out.pop();
            break;
        }
    }
    out + "…"
}

/// `text` in lines of at most `most` pixels, broken at blanks; a word that is longer than a line is cut.
fn lines(text: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if room(line) + room(" ") + room(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, most)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_may_stand_in_a_picture() {
        assert_eq!(safe("<b a=\"1\">&\u{7}\u{ffff}春"), "&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}\u{fffd}春");
        let mut svg = Svg::new("<春>");
        svg.text((1.0, 2.0), "faint", Anchor::End, "a<b");
        let text = svg.finish(100.0);
        assert!(text.contains("aria-label=\"&lt;春&gt;\"") && text.contains(">a&lt;b</text>"), "{text}");
    }

    #[test]
    fn what_is_too_long_is_cut_or_broken() {
        assert_eq!(cut("docomo", 200.0), "docomo");
        let name = "春のお知らせと秋のお知らせ";
        let short = cut(name, 100.0);
        assert!(
            short.ends_with('…') && name.starts_with(short.trim_end_matches('…')) && room(&short) <= 100.0,
            "{short}"
        );
        let broken = lines("docomo, au, softbank, ymobile", 100.0);
        assert!(broken.len() > 1 && broken.iter().all(|line| room(line) <= 100.0), "{broken:?}");
        assert_eq!(broken.join(" "), "docomo, au, softbank, ymobile");
    }
}
