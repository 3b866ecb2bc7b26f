//! Owns the seeds of a campaign as its file has them: addresses of the operator's own that get it first.

use std::path::{Path, PathBuf};

use super::beside;
use crate::config::fields::Fields;
use crate::config::problem::{Problems, quoted};
use crate::config::tree::{Kind, Node};

/// Most seeds of a campaign.
pub(in crate::config) const SEEDS_MAX: usize = 1_000;

/// Who gets a campaign first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seeds {
    /// Those in the campaign file itself.
    pub listed: Vec<Seed>,
    /// A list of them.
    pub file: Option<PathBuf>,
}

impl Seeds {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.file.is_none()
    }
}

/// An address that gets the campaign first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The address as written.
    pub email: String,
    /// Columns of its own; the others are those of its own row in the list, or of the first row.
    pub columns: Vec<(String, String)>,
    /// `campaign.yaml:12`
    pub place: String,
}

const WHAT: &str = "a list of addresses, or the path of a list file";

pub(super) fn read(fields: &Fields<'_>, folder: &Path) -> Seeds {
    let read = fields.read("seeds", |problems, node| match &node.kind {
        Kind::List(items) => {
            if items.len() > SEEDS_MAX {
                problems.at(node.span, format!("expected at most {SEEDS_MAX} seeds, got {}", items.len()));
            }
            let listed = items.iter().take(SEEDS_MAX).filter_map(|item| seed(problems, item)).collect();
            Some(Seeds { listed, file: None })
        }
        Kind::Scalar { text, .. } if text.contains('@') => {
            problems.at_with(
                node.span,
                format!("expected {WHAT}, got {}", quoted(text)),
                format!("write `seeds: [{text}]`"),
            );
            None
        }
        Kind::Scalar { .. } => {
            beside(problems, node, folder).map(|file| Seeds { listed: Vec::new(), file: Some(file) })
        }
        _ => {
            problems.expected(node, WHAT);
            None
        }
    });
    read.unwrap_or_default()
}

/// `a@example.jp` or `{ email: a@example.jp, name: 花子 }`.
fn seed(problems: &Problems, node: &Node) -> Option<Seed> {
    let place = format!("{}:{}", problems.file().name, node.span.line);
    let Kind::Map(_) = &node.kind else {
        let email = problems.text(node, "an address, or a map with \"email\" and columns")?.to_owned();
        return Some(Seed { email, columns: Vec::new(), place });
    };
    let map = Fields::of(problems, node, node.span, "the email of a seed and its columns")?;
    let email = map.required("email", "the address of the seed").and(map.text("email"));
    let mut columns = Vec::new();
    for entry in map.entries.iter().filter(|entry| entry.key != "email") {
        let value = problems.text(&entry.value, "a text, \"\" where it is empty");
        columns.extend(value.map(|value| (entry.key.clone(), value.to_owned())));
    }
    Some(Seed { email: email?.to_owned(), columns, place })
}
