//! Owns reading Rust text roughly: comments and texts blanked out, unit tests cut off, functions and paths found.
//!
//! Not a parser: it knows what a comment, a text, a brace and a path look like, which is enough to hold rules of the house.

use std::path::{Path, PathBuf};

/// One file of `src/`.
pub(crate) struct Source {
    /// Relative to `src/`, with `/`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// Same length and lines, comments and the insides of texts as spaces, `#[cfg(test)]` items as spaces.
    pub(crate) code: String,
    /// Texts outside unit tests: line (from 1) and content.
    pub(crate) texts: Vec<(usize, String)>,
}

/// All Rust files below `src/`, sorted.
pub(crate) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources: Vec<Source> = files_below(&root, "rs")
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            Source::read(&path, &std::fs::read_to_string(&file).unwrap())
        })
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "src/ was not found");
    sources
}

/// Files with this extension below a folder.
pub(crate) fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

impl Source {
    /// Takes `text` as the file `path`.
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let (blank, texts) = blank(text);
        let (code, cut) = without_tests(&blank);
        // Unit tests in a file of their own: no paths, names or texts of the product.
        let tests = path.ends_with("_tests.rs") || path.ends_with("/tests.rs");
        let (code, cut) = if tests { (spaces(&code), std::iter::once(0..code.len()).collect()) } else { (code, cut) };
        let line_of = |at: usize| blank[..at].bytes().filter(|b| *b == b'\n').count() + 1;
        let texts = texts
            .into_iter()
            .filter(|(at, _)| !cut.iter().any(|range| range.contains(at)))
            .map(|(at, text)| (line_of(at), text))
            .collect();
        Self { path: path.to_owned(), text: text.to_owned(), code, texts }
    }

    /// The line (from 1) of a byte of `code`.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.code.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Functions: name, first line, number of lines.
    pub(crate) fn functions(&self) -> Vec<(String, usize, usize)> {
        let bytes = self.code.as_bytes();
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let name: String =
                self.code[at + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue;
            }
            let mut depth = 0i32;
            let body = (at..bytes.len()).find(|i| {
                match bytes[*i] {
                    b'(' | b'[' => depth += 1,
                    b')' | b']' => depth -= 1,
                    _ => {}
                }
                depth == 0 && matches!(bytes[*i], b'{' | b';')
            });
            let Some(open) = body.filter(|i| bytes[*i] == b'{') else { continue };
            let end = closing(&self.code, open);
            found.push((name, self.line_of(at), self.line_of(end) - self.line_of(at) + 1));
        }
        found
    }

    /// Paths that begin with `crate`, `super` or `self`, resolved from the crate's root, and those in `use` that begin with
    /// another name: line and segments. Braces are spread.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let here = module_of(&self.path);
        for first in ["crate", "super", "self"] {
            for at in words(&self.code, first) {
                let begins = !self.code[..at].trim_end().ends_with("::");
                if begins && self.code[at + first.len()..].trim_start().starts_with("::") {
                    for path in spread(&self.code[at..]) {
                        found.push((self.line_of(at), resolve(&here, &path)));
                    }
                }
            }
        }
        for at in words(&self.code, "use") {
            let rest = self.code[at + 3..].trim_start();
            for path in spread(rest) {
                if !["crate", "super", "self"].contains(&path[0].as_str()) {
                    found.push((self.line_of(at), [vec!["::".to_owned()], path].concat()));
                }
            }
        }
        found
    }

    /// Names defined here: line, kind, name.
    pub(crate) fn definitions(&self) -> Vec<(usize, &'static str, String)> {
        let mut found = Vec::new();
        for kind in ["fn", "struct", "enum", "trait", "mod", "type", "const", "static"] {
            for at in words(&self.code, kind) {
                let name: String = self.code[at + kind.len()..]
                    .trim_start()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !name.is_empty() {
                    found.push((self.line_of(at), kind, name));
                }
            }
        }
        found
    }
}

/// Where `word` stands as a whole word.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let part_of_name = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| {
            let before = at.checked_sub(1).and_then(|i| code.as_bytes().get(i));
            !part_of_name(before) && !part_of_name(code.as_bytes().get(at + word.len()))
        })
        .collect()
}

/// The byte of the brace that closes the one at `open` (or the end).
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (i, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
    }
    code.len() - 1
}

/// Items under `#[cfg(test)]` as spaces, and where they were.
fn without_tests(code: &str) -> (String, Vec<std::ops::Range<usize>>) {
    let mut out = code.as_bytes().to_vec();
    let mut cut = Vec::new();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        if cut.iter().any(|range: &std::ops::Range<usize>| range.contains(&at)) {
            continue;
        }
        let stop = code[at..].find(['{', ';']).map_or(code.len() - 1, |n| at + n);
        let end = if code.as_bytes()[stop] == b'{' { closing(code, stop) } else { stop };
        out[at..=end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        cut.push(at..end + 1);
    }
    (String::from_utf8(out).unwrap(), cut)
}

fn spaces(code: &str) -> String {
    code.chars().map(|c| if c == '\n' { c } else { ' ' }).collect()
}

/// Comments and the insides of texts as spaces; the texts with the byte at which they begin.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut texts = Vec::new();
    let mut hide = |from: usize, to: usize| {
        out[from..to].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
    };
    let mut i = 0;
    while i < bytes.len() {
        let rest = &text.as_bytes()[i..];
        if rest.starts_with(b"//") {
            let end = text[i..].find('\n').map_or(bytes.len(), |n| i + n);
            hide(i, end);
            i = end;
        } else if rest.starts_with(b"/*") {
            let end = text[i..].find("*/").map_or(bytes.len(), |n| i + n + 2);
            hide(i, end);
            i = end;
        } else if let Some((open, close)) = text_at(text, i) {
            texts.push((i, text[open..close].to_owned()));
            hide(open, close);
            i = close + text[close..].find(|c| c != '"' && c != '#').unwrap_or(text.len() - close).max(1);
        } else if rest[0] == b'\'' {
            i += char_literal(&text[i..], |from, to| hide(i + from, i + to));
        } else {
            i += 1;
        }
    }
    (String::from_utf8(out).unwrap(), texts)
}

/// When a text begins at `i` (plain, byte or raw): the bytes between its quotes.
fn text_at(text: &str, i: usize) -> Option<(usize, usize)> {
    let rest = &text.as_bytes()[i..];
    if i > 0 && rest[0] != b'"' && (text.as_bytes()[i - 1].is_ascii_alphanumeric() || text.as_bytes()[i - 1] == b'_') {
        return None;
    }
    let prefix = rest.iter().take_while(|b| matches!(b, b'b' | b'c')).count().min(1);
    if rest.get(prefix) == Some(&b'r') {
        let hashes = rest[prefix + 1..].iter().take_while(|b| **b == b'#').count();
        let open = prefix + 1 + hashes;
        if rest.get(open) != Some(&b'"') {
            return None;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let close = text[i + open + 1..].find(&end).map_or(text.len(), |n| i + open + 1 + n);
        return Some((i + open + 1, close));
    }
    if rest.get(prefix) != Some(&b'"') {
        return None;
    }
    let open = i + prefix + 1;
    let mut at = open;
    while at < text.len() && text.as_bytes()[at] != b'"' {
        at += if text.as_bytes()[at] == b'\\' { 2 } else { 1 };
    }
    Some((open, at.min(text.len())))
}

/// Length of the character literal at the start (its inside hidden), or 1 for a lifetime.
fn char_literal(rest: &str, mut hide: impl FnMut(usize, usize)) -> usize {
    let mut chars = rest.char_indices().skip(1);
    let Some((_, first)) = chars.next() else { return 1 };
    let close = if first == '\\' {
        rest[3.min(rest.len())..].find('\'').map(|n| n + 3)
    } else {
        chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at)
    };
    close.map_or(1, |close| {
        hide(1, close);
        close + 1
    })
}

/// The module of a file: `store/mod.rs` is `[store]`.
fn module_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        parts.pop();
    }
    parts
}

/// A path from the crate's root, without `crate`.
fn resolve(here: &[String], path: &[String]) -> Vec<String> {
    let mut out: Vec<String> = if path[0] == "crate" { Vec::new() } else { here.to_vec() };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => {
                out.pop();
            }
            _ => out.push(part.clone()),
        }
    }
    out
}

/// The paths that begin here, with braces spread: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn spread(code: &str) -> Vec<Vec<String>> {
    fn walk(code: &[u8], i: &mut usize, before: &[String], out: &mut Vec<Vec<String>>) {
        let mut path = before.to_vec();
        loop {
            while *i < code.len() && code[*i].is_ascii_whitespace() {
                *i += 1;
            }
            if code.get(*i) == Some(&b'{') {
                *i += 1;
                while *i < code.len() && code[*i] != b'}' {
                    walk(code, i, &path, out);
                    while *i < code.len() && !matches!(code[*i], b',' | b'}') {
                        *i += 1;
                    }
                    if code.get(*i) == Some(&b',') {
                        *i += 1;
                        while *i < code.len() && code[*i].is_ascii_whitespace() {
                            *i += 1;
                        }
                    }
                }
                *i += 1;
                return;
            }
            let from = *i;
            while *i < code.len() && (code[*i].is_ascii_alphanumeric() || matches!(code[*i], b'_' | b'*')) {
                *i += 1;
            }
            if from == *i {
                break;
            }
            path.push(String::from_utf8_lossy(&code[from..*i]).into_owned());
            let after = code[*i..].iter().position(|b| !b.is_ascii_whitespace()).map_or(code.len(), |n| *i + n);
            if !code[after..].starts_with(b"::") {
                break;
            }
            *i = after + 2;
        }
        if !path.is_empty() {
            out.push(path);
        }
    }
    let (mut i, mut out) = (0, Vec::new());
    walk(code.as_bytes(), &mut i, &[], &mut out);
    out
}
