//! Owns what is wrong with a file: each problem with its place, what was expected, what came, and what to do.
//!
//! Invariants: a problem knows the text that it points into, so that it can be shown long after reading; problems of a file
//! are in the order of their places; a file never yields more than [`MOST`] of them, the rest are counted.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use serde::ser::SerializeStruct;

/// Largest file that is read, bytes. A plan of one page is 5 KB; what is larger is some other file.
pub const LARGEST_FILE: usize = 1024 * 1024;

/// Most problems kept for one file.
pub const MOST: usize = 200;

/// A file as read: its name as the operator gave it, and its text without byte order mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path, or the name of something shipped.
    pub name: String,
    /// Text.
    pub text: String,
}

impl SourceFile {
    /// A file from its text; a byte order mark is taken off.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned() })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A problem when it cannot be read, is larger than [`LARGEST_FILE`] or is not UTF-8.
    pub fn open(path: &Path) -> Result<Arc<Self>, Box<Problem>> {
        let name = path.display().to_string();
        let whole = |message: String, help: &str| Box::new(Problem::of_file(&Self::new(&name, ""), message).help(help));
        let unreadable = |e: std::io::Error| whole(format!("cannot be read: {e}"), "give the path of a readable file");
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > LARGEST_FILE {
            return Err(whole("the file is larger than 1 MB".to_owned(), "is this the right file?"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(&name, &text)),
            Err(e) => {
                let valid = e.utf8_error().valid_up_to();
                let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
                let byte = e.as_bytes().get(valid).copied().unwrap_or_default();
                let message = format!("line {line}: expected text in UTF-8, got the byte 0x{byte:02x}");
                Err(whole(message, "save the file as UTF-8 (nkf -w, or iconv -f CP932 -t UTF-8)"))
            }
        }
    }

    /// The place of the bytes `start..end`.
    #[must_use]
    pub fn span(&self, start: usize, end: usize) -> Span {
        let start = self.text.floor_char_boundary(start.min(self.text.len()));
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Span {
            start,
            end: end.clamp(start, self.text.len()),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last; may equal `start`.
    pub end: usize,
    /// 1-based line of `start`.
    pub line: usize,
    /// 1-based column of `start`, in characters.
    pub column: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be used.
    Problem,
    /// It can, but is probably not what was meant. `--strict` makes it a problem.
    Lint,
}

impl Severity {
    /// The word used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Lint => "lint",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The file it is in.
    pub file: Arc<SourceFile>,
    /// Where; `None`: the file as a whole.
    pub span: Option<Span>,
    /// What was expected and what came.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Other places that matter, each with a word.
    pub also: Vec<(Span, String)>,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn at(file: &Arc<SourceFile>, span: Span, message: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::of_file(file, message) }
    }

    /// A problem of the file as a whole.
    #[must_use]
    pub fn of_file(file: &Arc<SourceFile>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Problem,
            file: Arc::clone(file),
            span: None,
            message: message.into(),
            help: None,
            also: Vec::new(),
        }
    }

    /// The same, as a lint.
    #[must_use]
    pub fn lint(mut self) -> Self {
        self.severity = Severity::Lint;
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn also(mut self, span: Span, word: impl Into<String>) -> Self {
        self.also.push((span, word.into()));
        self
    }

    /// The problem with file, line, column and caret, as several lines ending with a newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Problem => Level::ERROR,
            Severity::Lint => Level::WARNING,
        };
        let title = level.with_name(self.severity.as_str()).primary_title(self.message.as_str());
        let report = match self.span {
            None => title.element(annotate_snippets::Origin::path(self.file.name.as_str())),
            Some(span) => title.element(self.snippet(span)),
        };
        let report = match &self.help {
            None => report,
            Some(help) => report.element(Level::HELP.message(help.as_str())),
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[report]) + "\n"
    }

    /// Only the lines between the places are handed to the renderer, which walks all it is given.
    fn snippet(&self, span: Span) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let text = self.file.text.as_str();
        let spans = || std::iter::once(&span).chain(self.also.iter().map(|(s, _)| s));
        let first = spans().copied().min().unwrap_or(span);
        let last = spans().map(|s| s.end).max().unwrap_or(span.end);
        let from = text[..first.start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[last..].find('\n').map_or(text.len(), |at| last + at);
        let within = |s: Span| s.start - from..s.end - from;
        let others = self.also.iter().map(|(s, word)| AnnotationKind::Context.span(within(*s)).label(word.as_str()));
        Snippet::source(&text[from..to])
            .path(self.file.name.as_str())
            .line_start(first.line)
            .annotation(AnnotationKind::Primary.span(within(span)))
            .annotations(others)
    }
}

impl fmt::Display for Problem {
    /// One line: `plan.yaml:3:5: message (help)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file.name)?;
        if let Some(span) = self.span {
            write!(f, ":{}:{}", span.line, span.column)?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

#[derive(Serialize)]
struct Label<'a> {
    line: usize,
    column: usize,
    message: &'a str,
}

impl Serialize for Problem {
    /// `{severity, file, line, column, message, help, also: [{line, column, message}]}`; line and column are null for the
    /// file as a whole.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let also: Vec<_> =
            self.also.iter().map(|(s, message)| Label { line: s.line, column: s.column, message }).collect();
        let mut out = serializer.serialize_struct("Problem", 7)?;
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("file", &self.file.name)?;
        out.serialize_field("line", &self.span.map(|s| s.line))?;
        out.serialize_field("column", &self.span.map(|s| s.column))?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("help", &self.help)?;
        out.serialize_field("also", &also)?;
        out.end()
    }
}

/// All problems as an operator reads them, with a last line that counts them; empty when there are none.
#[must_use]
pub fn render(problems: &[Problem], colour: bool) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for problem in problems {
        out.push_str(&problem.render(colour));
        out.push('\n');
    }
    out + &tally(problems) + "\n"
}

/// `2 problems, 1 lint`.
#[must_use]
pub fn tally(problems: &[Problem]) -> String {
    let lints = problems.iter().filter(|p| p.severity == Severity::Lint).count();
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (problems.len() - lints, lints) {
        (real, 0) => count(real, "problem"),
        (0, lints) => count(lints, "lint"),
        (real, lints) => format!("{}, {}", count(real, "problem"), count(lints, "lint")),
    }
}

/// What came of reading a file: the value, unless there is a real problem, and everything found.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// The value; `None` when any problem is more than a lint.
    pub value: Option<T>,
    /// All problems and lints, in the order of their places.
    pub problems: Vec<Problem>,
}

impl<T> Read<T> {
    /// `value`, unless `problems` hold a real one.
    #[must_use]
    pub fn new(value: Option<T>, problems: Vec<Problem>) -> Self {
        let refused = problems.iter().any(|p| p.severity == Severity::Problem);
        Self { value: value.filter(|_| !refused), problems }
    }
}

/// Collects the problems of one file while it is read. Shared by reference, so that a reader can go on after each.
#[derive(Debug)]
pub struct Problems {
    file: Arc<SourceFile>,
    found: RefCell<Vec<Problem>>,
    more: Cell<usize>,
}

impl Problems {
    /// None yet, for `file`.
    #[must_use]
    pub fn new(file: &Arc<SourceFile>) -> Self {
        Self { file: Arc::clone(file), found: RefCell::default(), more: Cell::new(0) }
    }

    /// The file being read.
    #[must_use]
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// Adds one.
    pub fn push(&self, problem: Problem) {
        let mut found = self.found.borrow_mut();
        if found.len() < MOST {
            found.push(problem);
        } else {
            self.more.set(self.more.get() + 1);
        }
    }

    /// Adds one that costs something to word; beyond [`MOST`] it is only counted.
    pub fn push_with(&self, problem: impl FnOnce() -> Problem) {
        if self.found.borrow().len() < MOST {
            self.push(problem());
        } else {
            self.more.set(self.more.get() + 1);
        }
    }

    /// Adds a problem at a place.
    pub fn at(&self, span: Span, message: impl Into<String>) {
        self.push(Problem::at(&self.file, span, message));
    }

    /// Adds a problem at a place, and what to do.
    pub fn at_with(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Problem::at(&self.file, span, message).help(help));
    }

    /// Adds a lint at a place, and what to do.
    pub fn lint(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Problem::at(&self.file, span, message).help(help).lint());
    }

    /// Whether something was reported at this place already.
    #[must_use]
    pub fn reported(&self, span: Span) -> bool {
        self.found.borrow().iter().any(|p| p.span == Some(span))
    }

    /// Whether anything worse than a lint was found.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.found.borrow().iter().any(|p| p.severity == Severity::Problem)
    }

    /// Everything found: problems before lints, each in the order of places.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|p| (p.severity, p.span));
        if self.more.get() > 0 {
            let message = format!("{} further problems are not shown", self.more.get());
            found.push(Problem::of_file(&self.file, message).help("mend those above first"));
        }
        found
    }
}

/// `text` fit to stand in a message: control characters escaped, cut at 60 characters, in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).flat_map(escaped).collect();
    let dots = if text.chars().nth(60).is_some() { "..." } else { "" };
    format!("\"{short}{dots}\"")
}

fn escaped(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// The name in `known` that `got` was probably meant to be.
#[must_use]
pub fn did_you_mean<'a>(got: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let got = plain(got);
    let length = got.chars().count();
    if length == 0 || length > 40 {
        return None;
    }
    let distance = |name: &str| {
        let name = plain(name);
        // The beginning of a long name is enough to know it by.
        if length >= 4 && name.starts_with(&got) { 1 } else { edits(&got, &name) }
    };
    let near = known.into_iter().map(|name| (distance(name), name)).min_by_key(|(edits, _)| *edits);
    near.filter(|(edits, _)| *edits <= (length / 3).clamp(1, 4)).map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_file_line_column_and_caret() {
        let file = SourceFile::new("plan.yaml", "\u{feff}plan: 春\nrate: 速い\nrate: 1/s\n");
        let second = file.span(23, 27);
        let first = file.span(10, 14);
        assert_eq!((first.line, first.column, second.line), (2, 1, 3));
        let problem = Problem::at(&file, second, "\"rate\" is there twice").help("keep one").also(first, "first here");
        let shown = problem.render(false);
        assert!(shown.starts_with("problem: \"rate\" is there twice\n"), "{shown}");
        assert!(
            shown.contains("--> plan.yaml:3:1") && shown.contains("^^^^") && shown.contains("first here"),
            "{shown}"
        );
        assert!(shown.contains("help: keep one"), "{shown}");
        let json = serde_json::to_value(&problem).expect("json");
        assert_eq!((json["line"].as_u64(), json["also"][0]["line"].as_u64()), (Some(3), Some(2)));
    }

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        let known = ["docomo", "softbank", "au", "yahoo-jp"];
        assert_eq!(did_you_mean("docmo", known), Some("docomo"));
        assert_eq!(did_you_mean("yahoo_jp", known), Some("yahoo-jp"));
        assert_eq!(did_you_mean("Softbnak", known), Some("softbank"));
        assert_eq!(did_you_mean("soft", known), Some("softbank"));
        assert_eq!(did_you_mean("nifty", known), None);
        assert_eq!(did_you_mean("hotmail", ["gmail"]), None);
        assert_eq!(did_you_mean("", known), None);
    }

    #[test]
    fn a_flood_of_problems_is_cut_and_counted() {
        let file = SourceFile::new("x", "a");
        let problems = Problems::new(&file);
        for _ in 0..1_000 {
            problems.at(file.span(0, 1), "no");
        }
        let all = problems.into_vec();
        assert_eq!(all.len(), MOST + 1);
        assert!(all[MOST].message.starts_with("800 further"));
    }
}
