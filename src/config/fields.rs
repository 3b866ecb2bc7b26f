//! Owns typed access to the YAML tree: what each reader asks of a node, reported at the node when it is something else.
//!
//! Invariants: nothing stops at the first problem (every accessor reports and gives `None`); what was reported once is not
//! reported again; a key that nobody knows is a problem, with the nearest known one.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::keys::Table;
use super::problem::{Problem, Problems, Span, did_you_mean, quoted};
use super::tree::{Entry, Kind, Node};
use crate::core::units::{self, Rate, Share};

/// A map being read.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    /// Where the map's own name stands (its key), for what is missing in it.
    pub span: Span,
    /// What it is, for messages: `group docomo`.
    pub entries: &'a [Entry],
    problems: &'a Problems,
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|e| &e.key)).finish()
    }
}

impl<'a> Fields<'a> {
    /// `node` as a map; reported when it is something else. `what` is what was expected: "the settings of a relay".
    pub fn of(problems: &'a Problems, node: &'a Node, span: Span, what: &str) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) => Some(Self { span, entries, problems }),
            Kind::Refused => None,
            _ => {
                problems.at_with(
                    if node.is_nothing() { span } else { node.span },
                    format!("expected a map ({what}), got {}", node.shown()),
                    "write `key: value` lines, indented, or { key: value }",
                );
                None
            }
        }
    }

    /// Where problems go.
    #[must_use]
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Reports every key that is not in `table`.
    pub fn known(&self, table: &Table) {
        self.known_of(&[table]);
    }

    /// Reports every key that is in none of `tables`.
    pub fn known_of(&self, tables: &[&Table]) {
        self.known_names(&tables.iter().flat_map(|table| table.keys()).map(|key| key.name).collect::<Vec<_>>());
    }

    /// Reports every key that is none of `known`: in files that nobody writes but us.
    pub(super) fn known_names(&self, known: &[&str]) {
        for entry in self.entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            self.problems.push_with(|| {
                let help = match did_you_mean(&entry.key, known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                let message = format!("unknown key {}", quoted(&entry.key));
                Problem::at(self.problems.file(), entry.key_span, message).help(help)
            });
        }
    }

    /// The entry of `key`.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    /// The value of `key`.
    #[must_use]
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// The value of `key`; reported when it is missing. `what` is what it should be, with an example.
    #[must_use]
    pub fn required(&self, key: &str, what: &str) -> Option<&'a Node> {
        let found = self.node(key);
        if found.is_none() {
            self.problems.at_with(self.span, format!("\"{key}\" is missing"), format!("add `{key}:` with {what}"));
        }
        found
    }

    /// The map under `key`.
    #[must_use]
    pub fn map(&self, key: &str, what: &str) -> Option<Self> {
        let entry = self.entry(key)?;
        Self::of(self.problems, &entry.value, entry.key_span, what)
    }

    /// The items of the list under `key`.
    #[must_use]
    pub fn list(&self, key: &str, what: &str) -> Option<&'a [Node]> {
        self.read(key, |p, n| p.list(n, what))
    }

    /// `key` as text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.read(key, |p, n| p.text(n, "a text"))
    }

    /// `key` as one of `words`.
    #[must_use]
    pub fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        self.read(key, |p, n| p.one_of(n, words))
    }

    /// `key` as `true` or `false`.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.one_of(key, &[("true", true), ("false", false)])
    }

    /// `key` as a whole number above zero.
    #[must_use]
    pub fn count(&self, key: &str) -> Option<NonZeroU32> {
        self.read(key, Problems::count)
    }

    /// `key` as a rate.
    #[must_use]
    pub fn rate(&self, key: &str) -> Option<Rate> {
        self.read(key, Problems::rate)
    }

    /// `key` as a share.
    #[must_use]
    pub fn share(&self, key: &str) -> Option<Share> {
        self.read(key, Problems::share)
    }

    /// `key` as a span of time.
    #[must_use]
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.read(key, Problems::duration)
    }

    /// `key` as anything that reads from text and whose error says what was expected.
    #[must_use]
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, key: &str, what: &str) -> Option<T> {
        self.read(key, |p, n| p.parsed(n, what))
    }

    /// `key` through `read`; problems that it reports get the key in front.
    pub fn read<T>(&self, key: &str, read: impl FnOnce(&'a Problems, &'a Node) -> Option<T>) -> Option<T> {
        let entry = self.entry(key)?;
        let nothing = entry.value.is_nothing();
        if nothing {
            self.problems.at_with(
                entry.key_span,
                format!("expected a value for \"{key}\", got nothing"),
                "give it one, or take the key away",
            );
            return None;
        }
        read(self.problems, &entry.value)
    }
}

impl Problems {
    /// Reports that `node` is not `what`.
    pub fn expected(&self, node: &Node, what: &str) {
        if node.kind != Kind::Refused {
            self.at(node.span, format!("expected {what}, got {}", node.shown()));
        }
    }

    /// Reports what an own check says of `node`, whose message already names what was expected and what came.
    pub fn because(&self, node: &Node, error: &impl fmt::Display) {
        self.push(Problem::at(self.file(), node.span, error.to_string()));
    }

    /// The items of a list.
    pub fn list<'a>(&self, node: &'a Node, what: &str) -> Option<&'a [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            _ => {
                self.expected(node, &format!("a list of {what}"));
                None
            }
        }
    }

    /// A text.
    pub fn text<'a>(&self, node: &'a Node, what: &str) -> Option<&'a str> {
        let text = node.as_text();
        if text.is_none() {
            self.expected(node, what);
        }
        text
    }

    /// One of `words`.
    pub fn one_of<T: Copy>(&self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let names = || words.iter().map(|(word, _)| *word);
        let what = names().collect::<Vec<_>>().join(" or ");
        let text = self.text(node, &what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let problem = Problem::at(self.file(), node.span, format!("expected {what}, got {}", node.shown()));
            self.push(match did_you_mean(text, names()) {
                Some(near) => problem.help(format!("did you mean \"{near}\"?")),
                None => problem,
            });
        }
        found
    }

    /// A whole number above zero.
    pub fn count(&self, node: &Node) -> Option<NonZeroU32> {
        let text = self.text(node, "a whole number such as 1_000")?;
        match units::count(text).map(NonZeroU32::new) {
            Ok(Some(count)) => return Some(count),
            Ok(None) => self.at_with(
                node.span,
                "expected a number above zero, got 0",
                "leave it out where no limit is meant; to send nothing, pause the lane",
            ),
            Err(e) => self.because(node, &e),
        }
        None
    }

    /// A rate.
    pub fn rate(&self, node: &Node) -> Option<Rate> {
        self.parsed(node, "a rate such as 30/min")
    }

    /// A share.
    pub fn share(&self, node: &Node) -> Option<Share> {
        self.parsed(node, "a share such as 5%")
    }

    /// A span of time.
    pub fn duration(&self, node: &Node) -> Option<Duration> {
        let text = self.text(node, "a span such as 15m or 2h")?;
        units::span(text).map_err(|e| self.because(node, &e)).ok()
    }

    /// Anything that reads from text and whose error says what was expected and what came.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        text.parse().map_err(|e| self.because(node, &e)).ok()
    }
}
