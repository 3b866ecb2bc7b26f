//! Owns the reading of JSONL lists: one JSON object a line, its keys as columns, objects inside it as `outer.inner`.
//!
//! Invariants: a line is never longer than a row may be; numbers are the text that the list has (no digit is lost); a line that is
//! no such object is a refused row, not the end of the list.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::StringRecord;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::clean::{Refusal, Rule};
use super::rows::{COLUMNS_MAX, ROW_MAX, is_blank, plain};

/// Deepest nesting of objects.
const DEEPEST: usize = 8;

/// Every key of the list, in the order in which they come. Lines that are no objects are passed over.
///
/// # Errors
/// In words: not readable, a line too long, too many keys, or another kind of JSON.
pub(super) fn names(text: Box<dyn Read + Send>, path: &Path) -> Result<Vec<String>, String> {
    let mut lines = Lines::new(text, path);
    let mut names: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    let (mut first, mut broken) = (true, None);
    while let Some((line, text)) = lines.next_line()? {
        if std::mem::take(&mut first) && text.starts_with('[') {
            let place = path.display();
            return Err(format!(
                "{place}:{line}: expected one JSON object a line, got the beginning of a JSON array; `jq -c '.[]'` takes it apart"
            ));
        }
        let values = match values_of(text) {
            Ok(values) => values,
            Err(why) => {
                broken.get_or_insert((line, why));
                continue;
            }
        };
        for (name, _) in values {
            if known.contains(&name) {
                continue;
            }
            let inside = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
            if let Some(other) = names.iter().find(|other| inside(other, &name) || inside(&name, other)) {
                let (outer, place) = (if other.len() < name.len() { other } else { &name }, path.display());
                return Err(format!(
                    "{place}:{line}: \"{outer}\" is an object in some lines and none in others; give one of them another name"
                ));
            }
            known.insert(name.clone());
            names.push(name);
        }
        if names.len() > COLUMNS_MAX {
            return Err(format!("{}:{line}: more than {COLUMNS_MAX} different keys up to here", path.display()));
        }
    }
    match broken {
        Some((line, why)) if names.is_empty() => Err(format!("{}:{line}: {why}", path.display())),
        _ => Ok(names),
    }
}

/// The objects of a list, as rows.
pub(super) struct Objects {
    lines: Lines,
    names: Vec<String>,
    places: HashMap<String, usize>,
    needed: Vec<usize>,
}

impl Objects {
    pub(super) fn new(text: Box<dyn Read + Send>, names: &[String], needed: &[usize], path: &Path) -> Self {
        let places = names.iter().cloned().zip(0..).collect();
        Self { lines: Lines::new(text, path), names: names.to_vec(), places, needed: needed.to_vec() }
    }

    /// The next object into `record`: its line, and why it is refused; what it lacks is empty.
    ///
    /// # Errors
    /// In words: not readable, or a line too long.
    pub(super) fn next_object(&mut self, record: &mut StringRecord) -> Result<Option<(u64, Option<Refusal>)>, String> {
        record.clear();
        let Some((line, text)) = self.lines.next_line()? else { return Ok(None) };
        let values = match values_of(text) {
            Ok(values) => values,
            Err(why) => return Ok(Some((line, Some(Refusal::new(Rule::Json, why))))),
        };
        let mut row: Vec<Option<String>> = vec![None; self.names.len()];
        for (name, value) in values {
            if let Some(at) = self.places.get(&name) {
                row[*at] = Some(value);
            }
        }
        let lacking = self.needed.iter().find(|at| row.get(**at).is_none_or(Option::is_none));
        let refusal = lacking.and_then(|at| self.names.get(*at)).map(|name| {
            let why = format!("\"{name}\" is missing, and a template uses it; null or \"\" says that it is empty");
            Refusal::new(Rule::Columns, why)
        });
        // Nothing but empty values would be passed over as an empty line is.
        let empty = row.iter().flatten().all(|value| value.trim_matches(is_blank).is_empty());
        let refusal =
            refusal.or_else(|| empty.then(|| Refusal::new(Rule::NoAddress, "no key \"email\" with an address")));
        row.iter().for_each(|value| record.push_field(value.as_deref().unwrap_or_default()));
        Ok(Some((line, refusal)))
    }

    pub(super) fn position(&self) -> u64 {
        self.lines.read
    }
}

/// The lines of a text that are not blank.
struct Lines {
    text: BufReader<Box<dyn Read + Send>>,
    buffer: Vec<u8>,
    line: u64,
    read: u64,
    place: String,
}

impl Lines {
    fn new(text: Box<dyn Read + Send>, path: &Path) -> Self {
        let (text, place) = (BufReader::with_capacity(64 * 1024, text), path.display().to_string());
        Self { text, buffer: Vec::new(), line: 0, read: 0, place }
    }

    fn next_line(&mut self) -> Result<Option<(u64, &str)>, String> {
        loop {
            self.buffer.clear();
            let mut bounded = (&mut self.text).take(ROW_MAX as u64 + 1);
            let n = bounded.read_until(b'\n', &mut self.buffer);
            let n = n.map_err(|e| format!("{} cannot be read: {e}", self.place))?;
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.read += n as u64;
            if n > ROW_MAX {
                return Err(format!(
                    "{}:{}: the line is longer than {ROW_MAX} octets; split it",
                    self.place, self.line
                ));
            }
            if self.buffer.iter().any(|b| !b.is_ascii_whitespace()) {
                break;
            }
        }
        // Found to be UTF-8, or made so by a decoder, before; a file that changed meanwhile is refused by its owner.
        let text = std::str::from_utf8(&self.buffer).unwrap_or("\u{fffd}");
        Ok(Some((self.line, text.trim_matches(is_blank))))
    }
}

/// The columns of one object, nested ones by their path.
///
/// # Errors
/// In words, what the line is instead.
fn values_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let object: Object<'_> = serde_json::from_str(text).map_err(|e| {
        let said = e.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let column = if e.column() > 0 { format!(", at column {}", e.column()) } else { String::new() };
        format!("expected a JSON object on one line: {said}{column}")
    })?;
    let mut values = Vec::with_capacity(object.0.len());
    flatten("", &object, 1, &mut values)?;
    let mut names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the key \"{}\" is there twice", pair[0].escape_debug())),
        None => Ok(values),
    }
}

fn flatten(prefix: &str, object: &Object<'_>, depth: usize, out: &mut Vec<(String, String)>) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("objects inside objects more than {DEEPEST} deep"));
    }
    for (key, raw) in &object.0 {
        let mut name = format!("{prefix}{}", key.trim_matches(is_blank));
        if name.len() == prefix.len() {
            return Err("a key is empty".to_owned());
        }
        if name.chars().any(|c| c.is_control() || c == '\u{fffd}') {
            return Err(format!("the key \"{}\" holds a control or damaged character", name.escape_debug()));
        }
        plain(&mut name);
        let text = raw.get();
        let value = match text.as_bytes().first() {
            Some(b'{') => {
                let inner: Object<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
                flatten(&format!("{name}."), &inner, depth + 1, out)?;
                continue;
            }
            Some(b'[') => {
                let name = name.escape_debug();
                return Err(format!("\"{name}\" is an array; a variable is a text, a number or true or false"));
            }
            Some(b'"') => serde_json::from_str(text).map_err(|_| {
                let name = name.escape_debug();
                format!("\"{name}\" holds half of a character (a lone surrogate), or an escape that JSON does not have")
            })?,
            Some(b'n') => String::new(),
            _ => text.to_owned(),
        };
        out.push((name, value));
    }
    Ok(())
}

/// A JSON object, its values as they are written.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts_as_the_list_has_them() {
        let line = r#"{"Email":"a@b.jp","n":1.10,"id":12345678901234567890123,"vip":true,"none":null,"a":{"b":{"c":"春"}},"x":{}}"#;
        let wanted = [
            ("email", "a@b.jp"),
            ("n", "1.10"),
            ("id", "12345678901234567890123"),
            ("vip", "true"),
            ("none", ""),
            ("a.b.c", "春"),
        ];
        let values = values_of(line).expect("an object");
        assert_eq!(values, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_row_says_why() {
        for (line, why) in [
            ("[1]", "expected a JSON object on one line: invalid type: sequence"),
            ("{\"a\":1", "EOF while parsing an object"),
            ("{\"a\":1} {\"a\":2}", "trailing characters"),
            ("{\"a\":[1]}", "\"a\" is an array"),
            ("{\"a\":1,\"a\":2}", "\"a\" is there twice"),
            ("{\"a.b\":1,\"a\":{\"b\":2}}", "\"a.b\" is there twice"),
            ("{\"\":1}", "a key is empty"),
            ("{\"a\":\"\\ud800\"}", "a lone surrogate"),
            ("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}", "more than 8 deep"),
        ] {
            let said = values_of(line).expect_err(line);
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}
