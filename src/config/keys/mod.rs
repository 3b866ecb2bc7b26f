//! Owns the tables of keys: every key that an operator may write, with its form, its default and what it means. The readers
//! know the keys of these tables and no others; the JSON Schemas that editors use are written from them.
//!
//! To add a key, add a line to its table (`configuration`, `plan`, `campaign`, `destinations`), read it where the table's other
//! keys are read, and write it into the whole file of its kind in `tests/bad/whole`: the tests say what is missing of the three.
//! A nested map is a table of its own, its line has the shape [`Shape::Map`].
//! Invariant: nothing is refused here that a reader takes.

pub mod campaign;
pub mod configuration;
pub mod destinations;
pub mod feedback;
pub mod forms;
pub mod listen;
pub mod plan;
mod schema;

pub use schema::{Kind, schema};

/// A map with keys of given names.
#[derive(Debug)]
pub struct Table {
    /// Its name among the definitions of a schema, unique.
    pub name: &'static str,
    /// Its keys, in the order in which they are listed to people; parts may be shared with other tables.
    pub parts: &'static [&'static [Key]],
    /// What the keys say together: further keywords of JSON Schema, as JSON. Empty: nothing.
    pub together: &'static str,
}

impl Table {
    /// A table of `parts` whose keys are free of each other.
    #[must_use]
    pub const fn new(name: &'static str, parts: &'static [&'static [Key]]) -> Self {
        Self { name, parts, together: "" }
    }

    /// The same with what its keys say together.
    #[must_use]
    pub const fn together(self, together: &'static str) -> Self {
        Self { together, ..self }
    }

    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.parts.iter().copied().flatten()
    }
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// The map is refused without it.
    pub required: bool,
    /// What holds when it is not written, as YAML. Empty: that depends, or nothing; then `about` says so.
    pub default: &'static str,
    /// What it means, with units; one to three sentences.
    pub about: &'static str,
}

impl Key {
    /// A key that may be left out.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, required: false, default: "", about }
    }

    /// The same, refused when it is missing.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same with what holds when it is not written.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A text or number of a form.
    Scalar(&'static Form),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of the names that are built into the program.
    Shipped(fn() -> Vec<String>),
    /// From so many to so many items.
    List(&'static Shape, usize, usize),
    /// One, or a list.
    Few(&'static Shape),
    /// A map with keys of given names.
    Map(&'static Table),
    /// A map whose keys are names that the operator gives.
    Names(&'static Names),
    /// One of these.
    Either(&'static [Shape]),
}

/// A list of any length.
#[must_use]
pub const fn list(of: &'static Shape) -> Shape {
    Shape::List(of, 0, usize::MAX)
}

/// Names that the operator gives, each with a value.
#[derive(Debug)]
pub struct Names {
    /// What a name looks like.
    pub name: &'static Form,
    /// What stands under each.
    pub of: Shape,
    /// Fewest names.
    pub least: usize,
    /// Names that must be there.
    pub required: &'static [&'static str],
    /// Names that editors may offer.
    pub offered: fn() -> Vec<String>,
}

/// No name is known before the operator gives it.
#[must_use]
pub fn none() -> Vec<String> {
    Vec::new()
}

/// What a text or number looks like.
#[derive(Debug)]
pub struct Form {
    /// In words, with an example: "a rate such as 30/min".
    pub what: &'static str,
    /// What a text must match (ECMA 262, as JSON Schema has it). Empty: anything.
    pub pattern: &'static str,
    /// Whole numbers that are taken without quotes.
    pub whole: Option<(u64, u64)>,
    /// Numbers that are taken without quotes: above the first, up to the second.
    pub number: Option<(f64, f64)>,
    /// Longest text, characters.
    pub longest: Option<usize>,
    /// Anything that is one value and not nothing: numbers, `true` and `false` too.
    pub anything: bool,
}
