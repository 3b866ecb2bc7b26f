//! Owns the spanned YAML tree that every reader walks: what was written, each piece with its place.
//! It takes the place of a second, typed pass: every type is checked here, with the caret at the value.
//!
//! Invariants: building is linear in the text, which is at most 1 MB and 32 levels deep; duplicate keys, aliases, anchors,
//! tags and merge keys are refused, each at its place; scalars stay text until somebody asks for a type.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks};

use super::problem::{LARGEST_FILE, Problem, Problems, SourceFile, Span, quoted};

/// Deepest nesting that is read. What we read is at most six levels deep.
const DEEPEST: usize = 32;

/// A piece of YAML and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands. A block map or list has the place of its first entry, one of `{}` or `[]` all of it.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a piece of YAML is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A text, as written; numbers and words too.
    Scalar {
        /// The text.
        text: String,
        /// In quotes, or a block of text.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Vec<Entry>),
    /// Something that was already reported; readers pass over it.
    Refused,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// What came, for a message.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Scalar { .. } if self.is_nothing() => "nothing".to_owned(),
            Kind::Scalar { text, .. } => quoted(text),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
            Kind::Refused => "something refused".to_owned(),
        }
    }

    /// Nothing was written: `key:`, `key: ~` or `key: null`.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The text of a scalar that is something.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_nothing() => Some(text),
            _ => None,
        }
    }
}

/// Reads `problems`' file as one YAML document. `None`: nothing to go on with, and said why.
#[must_use]
pub fn parse(problems: &Problems) -> Option<Node> {
    let file = Arc::clone(problems.file());
    if file.text.len() > LARGEST_FILE {
        problems.push(Problem::of_file(&file, "the file is larger than 1 MB").help("is this the right file?"));
        return None;
    }
    if let Some(at) = file.text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}')) {
        let c = file.text[at..].chars().next().unwrap_or_default();
        let message = format!("expected text, got the control character U+{:04X}", u32::from(c));
        problems.at_with(file.span(at, at + c.len_utf8()), message, "is this the right file? YAML is plain text");
        return None;
    }
    Builder::new(problems, &file).run()
}

enum Open {
    List { span: Span, items: Vec<Node> },
    Map { span: Span, entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<Key> },
}

/// A key that waits for its value. `name: None`: it was refused, and its value goes too.
struct Key {
    name: Option<String>,
    span: Span,
}

struct Builder<'a> {
    problems: &'a Problems,
    file: &'a SourceFile,
    /// Byte offset of each character.
    bytes: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    /// A repeated offence is reported at its first place only.
    aliases: bool,
    anchors: bool,
}

impl<'a> Builder<'a> {
    fn new(problems: &'a Problems, file: &'a SourceFile) -> Self {
        let bytes = file.text.char_indices().map(|(byte, _)| byte).chain([file.text.len()]).collect();
        Self { problems, file, bytes, open: Vec::new(), root: None, documents: 0, aliases: false, anchors: false }
    }

    fn byte(&self, character: usize) -> usize {
        self.bytes.get(character).copied().unwrap_or(self.file.text.len())
    }

    fn span(&self, marks: Marks) -> Span {
        let start = self.byte(marks.start.index());
        let mut end = self.byte(marks.end.index()).max(start);
        // A plain scalar's mark may reach over the line break and comments that follow it.
        end = start + self.file.text[start..end].trim_end().len();
        Span { start, end, line: marks.start.line(), column: marks.start.col() + 1 }
    }

    fn run(mut self) -> Option<Node> {
        for event in Parser::new_from_str(&self.file.text) {
            let (event, marks) = match event {
                Ok(found) => found,
                Err(e) => {
                    self.syntax(&e);
                    return None;
                }
            };
            if !self.event(event, marks) {
                return None;
            }
        }
        let nothing = self.root.as_ref().is_none_or(Node::is_nothing);
        if nothing {
            self.problems
                .push(Problem::of_file(self.problems.file(), "the file says nothing").help("is it the right file?"));
        }
        self.root.filter(|_| !nothing)
    }

    /// Takes one event; false ends the reading.
    fn event(&mut self, event: Event<'_>, marks: Marks) -> bool {
        let span = self.span(marks);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.at_with(
                        span,
                        "expected one document, got a second one",
                        "keep one per file; \"---\" begins a new one",
                    );
                    return false;
                }
            }
            Event::Alias(_) => {
                if !std::mem::replace(&mut self.aliases, true) {
                    self.problems.at_with(
                        span,
                        "aliases (*name) are not taken",
                        "write the value out; in a plan, `like: GROUP` copies an entry",
                    );
                }
                self.place(Node { span, kind: Kind::Refused });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_only(span, anchor, tag.is_some());
                let quoted = style != ScalarStyle::Plain;
                self.place(Node { span, kind: Kind::Scalar { text: text.into_owned(), quoted } });
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_only(span, anchor, tag.is_some());
                return self.enter(Open::List { span, items: Vec::new() }, span);
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_only(span, anchor, tag.is_some());
                let open = Open::Map { span, entries: Vec::new(), seen: HashMap::new(), key: None };
                return self.enter(open, span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn plain_only(&mut self, span: Span, anchor: usize, tag: bool) {
        if anchor != 0 && !std::mem::replace(&mut self.anchors, true) {
            self.problems.at_with(span, "anchors (&name) are not taken", "write the value out where it is needed");
        }
        if tag {
            self.problems.at_with(span, "tags (!name) are not taken", "write the plain value");
        }
    }

    fn enter(&mut self, open: Open, span: Span) -> bool {
        self.open.push(open);
        let fits = self.open.len() <= DEEPEST;
        if !fits {
            self.too_deep(span);
        }
        fits
    }

    fn too_deep(&self, span: Span) {
        let message = format!("nested deeper than {DEEPEST} levels");
        self.problems.at_with(span, message, "is this the right file?");
    }

    fn leave(&mut self, end: Span) {
        let node = match self.open.pop() {
            Some(Open::List { span, items }) => Node { span: self.closed(span, end), kind: Kind::List(items) },
            Some(Open::Map { span, entries, .. }) => Node { span: self.closed(span, end), kind: Kind::Map(entries) },
            None => return,
        };
        self.place(node);
    }

    /// `{...}` and `[...]` reach to their end, block ones stay at their first entry.
    fn closed(&self, start: Span, end: Span) -> Span {
        let flow = self.file.text[start.start..].starts_with(['{', '[']);
        if flow { Span { end: end.end.max(start.end), ..start } } else { start }
    }

    /// Puts a finished node where it belongs: root, list, key or value.
    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, seen, .. }) => match key.take() {
                Some(Key { name: Some(name), span }) => entries.push(Entry { key: name, key_span: span, value: node }),
                Some(Key { name: None, .. }) => {}
                None => *key = Some(Self::key(self.problems, seen, &node)),
            },
        }
    }

    fn key(problems: &Problems, seen: &mut HashMap<String, Span>, node: &Node) -> Key {
        let refused = Key { name: None, span: node.span };
        let Kind::Scalar { text, .. } = &node.kind else {
            if node.kind != Kind::Refused {
                problems.at(node.span, format!("expected a key, got {}", node.shown()));
            }
            return refused;
        };
        if text == "<<" {
            problems.at_with(
                node.span,
                "merge keys (<<) are not taken",
                "write the entries out; in a plan, `like: GROUP` copies an entry",
            );
            return refused;
        }
        if let Some(first) = seen.get(text) {
            let message = format!("the key {} is there twice", quoted(text));
            let problem = Problem::at(problems.file(), node.span, message).also(*first, "first here");
            problems.push(problem.help("keep one of the two"));
            return refused;
        }
        seen.insert(text.clone(), node.span);
        Key { name: Some(text.clone()), span: node.span }
    }

    fn syntax(&self, error: &ScanError) {
        let at = self.byte(error.marker().index());
        let text = &self.file.text;
        let indented_by_tab = text.lines().enumerate().take(error.marker().line()).find_map(|(i, line)| {
            let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
            indent.find('\t').filter(|_| indent.len() < line.len()).map(|at| (i, at))
        });
        if let Some((line, column)) = indented_by_tab {
            let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>() + column;
            let span = self.file.span(start, start + 1);
            self.problems.at_with(
                span,
                "expected spaces at the beginning of the line, got a tab",
                "indent with spaces",
            );
            return;
        }
        let end = at + text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let span = self.file.span(at, end);
        // The parser looks ahead in flow style and may meet its own depth limit before ours.
        if error.info().contains("recursion limit") {
            self.too_deep(span);
            return;
        }
        let message = format!("this is not YAML: {}", error.info());
        let help = "look for an open bracket or quote, a missing \": \", or wrong indentation here or just above";
        let problem = Problem::at(self.problems.file(), span, message).help(help);
        self.problems.push(match self.open_bracket() {
            Some(open) => problem.also(open, "opened here, not closed yet"),
            None => problem,
        });
    }

    /// The innermost `{` or `[` that waits for its end.
    fn open_bracket(&self) -> Option<Span> {
        let starts = self.open.iter().rev().map(|open| match open {
            Open::List { span, .. } | Open::Map { span, .. } => *span,
        });
        let flow = |span: &Span| self.file.text[span.start..].starts_with(['{', '[']);
        starts.into_iter().find(flow).map(|span| Span { end: span.start + 1, ..span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let problems = Problems::new(&SourceFile::new("x.yaml", text));
        let tree = parse(&problems);
        (tree, problems.into_vec().iter().map(ToString::to_string).collect())
    }

    fn refused(text: &str, words: &str) {
        let (_, problems) = read(text);
        assert!(problems.iter().any(|p| p.contains(words)), "{words} is not in {problems:?}");
    }

    #[test]
    fn every_node_knows_its_place() {
        let text = "\u{feff}名: 春  # c\r\ngroups:\r\n  au: { curve: [1, 2_0] }\r\n";
        let (tree, problems) = read(text);
        assert_eq!(problems, Vec::<String>::new());
        let Some(Node { kind: Kind::Map(entries), .. }) = tree else { panic!("a map") };
        let text = text.trim_start_matches('\u{feff}');
        let (name, groups) = (&entries[0], &entries[1]);
        assert_eq!((&text[name.value.span.start..name.value.span.end], name.value.span.column), ("春", 4));
        let Kind::Map(groups) = &groups.value.kind else { panic!("a map") };
        assert_eq!((groups[0].key_span.line, groups[0].key_span.column), (3, 3));
        assert_eq!(&text[groups[0].value.span.start..groups[0].value.span.end], "{ curve: [1, 2_0] }");
    }

    #[test]
    fn what_yaml_can_do_beyond_plain_values_is_refused_at_its_place() {
        refused("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: the key \"a\" is there twice");
        refused("a: &x 1\nb: *x\n", "x.yaml:1:4: anchors");
        refused("a: &x 1\nb: *x\n", "x.yaml:2:4: aliases");
        refused("a: !str 1\n", "tags (!name) are not taken");
        refused("a: {b: 1}\nc:\n  <<: {b: 1}\n", "x.yaml:3:3: merge keys");
        refused("a: 1\n---\nb: 1\n", "expected one document");
        refused("? [a]\n: b\n", "expected a key, got a list");
    }

    #[test]
    fn broken_text_is_reported_with_its_place() {
        refused("a:\n\tb: 1\n", "x.yaml:2:1: expected spaces at the beginning of the line, got a tab");
        refused("a: [1, 2\nb: 3\n", "this is not YAML");
        refused("a: \"x\n", "this is not YAML");
        refused("", "the file says nothing");
        refused("# only a remark\n", "the file says nothing");
        refused("a: \u{0}\u{1}", "x.yaml:1:4: expected text, got the control character U+0000");
        refused(&"[".repeat(100_000), "nested deeper than 32");
        refused(&"a".repeat(1_100_000), "larger than 1 MB");
    }

    #[test]
    fn a_megabyte_of_anything_is_read_or_refused_at_once() {
        let wide: String = (0..60_000).map(|n| format!("k{n}: {n}\n")).collect();
        let bombs = [
            wide,
            "- a\n".repeat(200_000),
            "? ".repeat(500_000),
            "a: ".repeat(300_000),
            "[".repeat(900_000),
            "{a: ".repeat(200_000),
            "- ".repeat(400_000),
            "\"".to_owned() + &"\\n".repeat(400_000),
            "&a ".repeat(300_000),
            "a\n".repeat(400_000),
            "[a,".to_owned() + &"a, ".repeat(300_000),
        ];
        for bomb in bombs {
            let started = bomb.len();
            let (tree, problems) = read(&bomb);
            assert!(started > 500_000 && (tree.is_some() || !problems.is_empty()));
        }
    }
}
