//! Owns the templates of one revision: compiling, what they may name, rendering.
//!
//! Invariants: a name that is neither a column nor built in is an error, at submit and again when rendering; a template comes to
//! an end (fuel); a column's text is escaped for where it lands: HTML in the HTML part, percent-encoding in a URL.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Object;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use crate::config::problem::did_you_mean;

use super::part::sheet_name;
use super::{ComposeError, Content, Part};

/// Steps that one template may take for one message. A page of 5 KB with a loop over 20 items takes under 1 000.
const FUEL: u64 = 100_000;
/// The name under which `{token}` is kept from a column called `token`.
const TOKEN: &str = "__token";

/// Variables that every template has beside the list's columns. A column of the same name hides the built-in one, except
/// `email`, which always is the address as it is sent.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("email", "the address as it is sent"),
    ("campaign", "the campaign's name"),
    ("domain", "the sending domain of the relay"),
    ("token", "the message's token, for URLs of one's own"),
    ("unsubscribe_url", "the unsubscribe URL, when the campaign has one"),
];

/// Where the templates were written, for messages to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The campaign file.
    pub campaign: String,
    /// The file of the text part.
    pub text: String,
    /// The file of the HTML part.
    pub html: String,
    /// The mail made elsewhere.
    pub eml: String,
    /// The HTML part as its file has it, where its CSS was inlined since.
    pub html_as_written: Option<String>,
}

impl Default for Places {
    fn default() -> Self {
        let word = str::to_owned;
        Self {
            campaign: word("campaign"),
            text: word("text template"),
            html: word("html template"),
            eml: word("eml"),
            html_as_written: None,
        }
    }
}

/// What one message fills in.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) columns: BTreeMap<String, Value>,
    pub(super) email: Value,
    pub(super) campaign: Value,
    pub(super) domain: Value,
    pub(super) token: Value,
    pub(super) unsubscribe_url: Option<Value>,
}

impl Object for Row {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        match key {
            TOKEN => return Some(self.token.clone()),
            "email" => return Some(self.email.clone()),
            _ => {}
        }
        let column = self.columns.get(key).cloned();
        column.or_else(|| match key {
            "campaign" => Some(self.campaign.clone()),
            "domain" => Some(self.domain.clone()),
            "token" => Some(self.token.clone()),
            "unsubscribe_url" => self.unsubscribe_url.clone(),
            _ => None,
        })
    }
}

/// Columns as templates see them: `address.city`, which a list has of an object inside another, is `city` of `address` too. A
/// column that is called `address` itself stays what it is.
pub(super) fn variables(columns: BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let mut inner: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, text) in columns.iter().filter(|(name, _)| name.contains('.')) {
        if let Some((outer, rest)) = name.split_once('.').filter(|(outer, _)| !columns.contains_key(*outer)) {
            inner.entry(outer.to_owned()).or_default().insert(rest.to_owned(), text.clone());
        }
    }
    let texts = columns.into_iter().map(|(name, text)| (name, Value::from(text)));
    texts.chain(inner.into_iter().map(|(name, columns)| (name, Value::from(variables(columns))))).collect()
}

/// Compiled templates by name: `subject`, `text`, `html`, `part N KIND`, `url`, `mailto`, `header NAME`.
pub(super) struct Sheets {
    env: Environment<'static>,
    names: Vec<String>,
    places: Places,
    has_unsubscribe_url: bool,
}

impl Sheets {
    /// Compiles everything in `content`; all syntax errors at once.
    pub(super) fn compile(content: &Content, places: Places) -> Result<Self, Vec<ComposeError>> {
        let unsubscribe = content.unsubscribe.as_ref();
        let has_unsubscribe_url = unsubscribe.is_some_and(|u| u.url.is_some());
        let mut sheets = Self { env: environment(), names: Vec::new(), places, has_unsubscribe_url };
        let mut problems = Vec::new();
        let mut add = |name: &str, source: &str| {
            if let Err(problem) = sheets.add(name, source) {
                problems.push(problem);
            }
        };
        add("subject", &content.subject);
        content.text.iter().for_each(|text| add("text", text));
        content.html.iter().for_each(|html| add("html", html));
        for (n, (kind, source)) in content.parts.iter().flat_map(Part::templates).enumerate() {
            add(&sheet_name(n + 1, kind), source);
        }
        for (name, source) in &content.headers {
            add(&format!("header {name}"), source);
        }
        if let Some(url) = unsubscribe.and_then(|u| u.url.as_ref()) {
            add("url", &with_token(url));
        }
        if let Some(mailto) = unsubscribe.and_then(|u| u.mailto.as_ref()) {
            add("mailto", &with_token(mailto));
        }
        if problems.is_empty() { Ok(sheets) } else { Err(problems) }
    }

    fn add(&mut self, name: &str, source: &str) -> Result<(), ComposeError> {
        let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if let Some((at, c)) = source.char_indices().find(|(_, c)| control(*c)) {
            let line = source[..at].matches('\n').count() + 1;
            return Err(ComposeError(format!(
                "{}: the control character {} cannot stand in a message; take it out",
                self.place(name, Some(line)),
                c.escape_unicode()
            )));
        }
        self.env
            .add_template_owned(name.to_owned(), source.to_owned())
            .map_err(|error| self.explain(name, source, &error))?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Renders the template `name`; `None` when the content has none.
    pub(super) fn render(&self, name: &str, row: &Value) -> Result<Option<String>, ComposeError> {
        let Ok(template) = self.env.get_template(name) else { return Ok(None) };
        template.render(row.clone()).map(Some).map_err(|error| self.explain(name, template.source(), &error))
    }

    /// Renders `name`, or the first part of that kind of a mail made elsewhere.
    pub(super) fn render_first(&self, name: &str, kind: &str, row: &Value) -> Result<Option<String>, ComposeError> {
        let part = self.names.iter().find(|sheet| sheet.starts_with("part ") && sheet.ends_with(&format!(" {kind}")));
        self.render(part.map_or(name, String::as_str), row)
    }

    /// Every name that a template uses and neither `columns` nor Hikagen has, with file, line, and what was perhaps meant.
    pub(super) fn undefined(&self, columns: &[String]) -> Vec<ComposeError> {
        let mut problems = Vec::new();
        for name in &self.names {
            let Ok(template) = self.env.get_template(name) else { continue };
            let mut unknown: Vec<(usize, String, String)> = template
                .undeclared_variables(true)
                .into_iter()
                .filter_map(|path| {
                    let why = self.why_unknown(&path, columns)?;
                    let written = self.places.html_as_written.as_deref().filter(|_| name == "html");
                    Some((line_of(written.unwrap_or(template.source()), &path), path, why))
                })
                .collect();
            unknown.sort();
            problems.extend(unknown.into_iter().map(|(line, path, why)| {
                ComposeError(format!("{}: {{{{ {path} }}}} {why}", self.place(name, Some(line))))
            }));
        }
        problems
    }

    /// `None` when `path` can be filled in.
    fn why_unknown(&self, path: &str, columns: &[String]) -> Option<String> {
        let root = path.split('.').next().unwrap_or(path);
        let is_column = columns.iter().any(|c| c == root);
        let inside: Vec<&str> =
            columns.iter().filter(|c| c.starts_with(&format!("{root}."))).map(String::as_str).collect();
        if !is_column && !inside.is_empty() {
            let part = inside.contains(&path) || inside.iter().any(|c| c.starts_with(&format!("{path}.")));
            let near = did_you_mean(path, inside.iter().copied()).map(|n| format!("did you mean \"{n}\"? "));
            return (!part).then(|| {
                format!(
                    "is no key of the objects \"{root}\"; {}They have: {}",
                    near.unwrap_or_default(),
                    inside.join(", ")
                )
            });
        }
        let is_global = self.env.globals().any(|(name, _)| name == root);
        let is_built_in = root == TOKEN
            || BUILT_IN
                .iter()
                .any(|(name, _)| *name == root && (*name != "unsubscribe_url" || self.has_unsubscribe_url));
        if is_global || (is_column || is_built_in) && root == path {
            return None;
        }
        if is_column || is_built_in {
            return Some(format!("asks for a part of \"{root}\", which is a text"));
        }
        if root == "unsubscribe_url" {
            return Some("needs \"unsubscribe: { url: ... }\" in the campaign file".to_owned());
        }
        let known = columns.iter().map(String::as_str).chain(BUILT_IN.iter().map(|(name, _)| *name));
        let meant = did_you_mean(root, known)
            .map(|word| format!("; did you mean \"{word}\"?"))
            .unwrap_or_else(|| ".".to_owned());
        Some(format!(
            "is neither a column of the list nor built in{meant} The list's columns: {}. Built in: {}",
            columns.join(", "),
            BUILT_IN.map(|(name, _)| name).join(", ")
        ))
    }

    /// Built-in variables that a column of the list hides and a template uses.
    pub(super) fn hidden(&self, columns: &[String]) -> Vec<String> {
        let hides = |name: &str| name != "email" && columns.iter().any(|c| c == name);
        let used = |name: &str| {
            let uses = |n: &String| {
                self.env.get_template(n).is_ok_and(|template| template.undeclared_variables(false).contains(name))
            };
            self.names.iter().any(uses)
        };
        BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).filter(|name| hides(name) && used(name)).collect()
    }

    /// Which of `columns` a template uses.
    pub(super) fn used(&self, columns: &[String]) -> Vec<usize> {
        self.used_by(|_| true, columns)
    }

    /// Which of `columns` an unsubscribe link uses.
    pub(super) fn used_by_links(&self, columns: &[String]) -> Vec<usize> {
        self.used_by(|name| matches!(name, "url" | "mailto"), columns)
    }

    fn used_by(&self, among: impl Fn(&str) -> bool, columns: &[String]) -> Vec<usize> {
        let mut paths: Vec<String> = Vec::new();
        for name in self.names.iter().filter(|name| among(name)) {
            let template = self.env.get_template(name);
            paths.extend(template.map(|t| t.undeclared_variables(true)).unwrap_or_default());
        }
        let inside = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        let used = |column: &str| paths.iter().any(|path| path == column || inside(path, column));
        columns.iter().enumerate().filter(|(_, column)| used(column)).map(|(at, _)| at).collect()
    }

    fn explain(&self, name: &str, source: &str, error: &Error) -> ComposeError {
        let place = self.place(name, error.line());
        if error.kind() == ErrorKind::OutOfFuel {
            return ComposeError(format!(
                "{place}: the template takes more than {FUEL} steps for one message; is there an endless loop?"
            ));
        }
        let mut words = format!("{place}: {}", error.kind());
        if let Some(detail) = error.detail() {
            write!(words, ": {detail}").ok();
        }
        let line = error.line().and_then(|line| source.lines().nth(line.saturating_sub(1)));
        if let Some(line) = line {
            write!(words, ", in: {}", line.trim().chars().take(80).collect::<String>()).ok();
        }
        ComposeError(words)
    }

    fn place(&self, name: &str, line: Option<usize>) -> String {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        match name {
            "text" => format!("{}{line}", self.places.text),
            "html" => format!("{}{line}", self.places.html),
            "url" => format!("{}, unsubscribe url", self.places.campaign),
            "mailto" => format!("{}, unsubscribe mailto", self.places.campaign),
            part if part.starts_with("part ") => {
                let kind = part.rsplit(' ').next().unwrap_or_default();
                format!("{}, {kind} part{line}", self.places.eml)
            }
            other => format!("{}, {other}", self.places.campaign),
        }
    }
}

/// Whether `source`, which is HTML and was read from `file`, is a template.
///
/// # Errors
/// In words, with file and line.
pub fn check_syntax(source: &str, file: &str) -> Result<(), ComposeError> {
    let places = Places { html: file.to_owned(), ..Places::default() };
    Sheets { env: environment(), names: Vec::new(), places, has_unsubscribe_url: false }.add("html", source)
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|name| match name {
        "html" => AutoEscape::Html,
        name if name.starts_with("part ") && name.ends_with("html") => AutoEscape::Html,
        "url" | "mailto" => AutoEscape::Custom("url".into()),
        _ => AutoEscape::None,
    });
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    if let Ok(syntax) = syntax.build() {
        env.set_syntax(syntax);
    }
    env.set_formatter(escape);
    // Percent-encoded text is safe in HTML and must not be encoded twice in a URL.
    env.add_filter("urlencode", |value: &Value| minijinja::filters::urlencode(value).map(Value::from_safe_string));
    env
}

/// Writes a value as its place wants it. minijinja's own HTML escaping writes `/` as `&#x2f;`, which relays that rewrite links
/// do not read.
fn escape(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let html = match state.auto_escape() {
        _ if value.is_safe() => return write!(out, "{value}").map_err(Error::from),
        AutoEscape::Html => true,
        AutoEscape::Custom(_) => false,
        _ => return write!(out, "{value}").map_err(Error::from),
    };
    let spelled;
    let text = match value.as_str() {
        Some(text) => text,
        None => {
            spelled = value.to_string();
            &spelled
        }
    };
    if html { escape_html(out, text) } else { escape_url(out, text) }.map_err(Error::from)
}

fn escape_html(out: &mut Output, text: &str) -> std::fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

fn escape_url(out: &mut Output, text: &str) -> std::fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            write!(out, "{}", char::from(byte))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// `{token}` as a template names it. `{{ token }}` is left alone.
fn with_token(source: &str) -> String {
    let mut parts = source.split("{token}");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let in_braces = whole.ends_with('{') && part.starts_with('}');
        whole.push_str(if in_braces { "{token}" } else { "{{ __token }}" });
        whole.push_str(part);
    }
    whole
}

/// The first line (from 1) of `source` that uses `path` inside a tag.
fn line_of(source: &str, path: &str) -> usize {
    let root = path.split('.').next().unwrap_or(path);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    while let Some(open) = source[at..].find("{{").into_iter().chain(source[at..].find("{%")).min() {
        let start = at + open + 2;
        let end = source[start..].find(['}', '%']).map_or(source.len(), |length| start + length);
        for (found, _) in source[start..end].match_indices(root) {
            let (before, after) =
                (source[..start + found].chars().next_back(), source[start + found + root.len()..].chars().next());
            if !before.is_some_and(|c| word(c) || c == '.') && !after.is_some_and(word) {
                return source[..start + found].matches('\n').count() + 1;
            }
        }
        at = end.max(start);
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_name_is_where_a_tag_uses_it() {
        let source = "nmae\n{# nmae #}\n{{ name }} {{ x.nmae }}\n{% if a and nmae %}{% endif %}\n";
        assert_eq!(line_of(source, "nmae"), 4);
        assert_eq!(line_of(source, "x.nmae"), 3);
    }

    #[test]
    fn the_token_is_put_in_only_for_its_own_placeholder() {
        assert_eq!(with_token("https://e.jp/{token}?a={{token}}"), "https://e.jp/{{ __token }}?a={{token}}");
    }
}
