//! Owns the striking out of secrets that stand in clear in a file.
//!
//! Invariants: it is done before the file is looked at, so that no problem can print a secret; lines and columns stay; where
//! it is in doubt what belongs to a secret, more is struck out rather than less.

use super::problem::did_you_mean;

/// Keys whose value is a secret, or is taken for one by who does not know ours; lower case, without `_` and `-`.
const KEYS: [&str; 21] = [
    "password",
    "signingkey",
    "token",
    "key",
    "apikey",
    "apitoken",
    "authtoken",
    "accesskey",
    "accesstoken",
    "clientsecret",
    "pass",
    "passphrase",
    "passwd",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "smtppassword",
    "bearer",
];

/// What may stand under a secret's key.
const PLACES: [&str; 4] = ["env", "file", "command", "timeout"];

/// `text` with everything struck out that stands in clear where a secret's place should be named.
pub(super) fn struck_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Indentation of the key whose secret runs over the following lines.
    let mut inside: Option<usize> = None;
    // Indentation of a `command:` there, whose words may run over the following lines.
    let mut words: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let deeper = inside.is_some_and(|key| indent > key || line.trim().is_empty());
        let place = line.trim_start();
        words = words.filter(|command| deeper && (indent > *command || place.starts_with("- ")));
        let known = names_place(place) || words.is_some();
        if deeper && names(place, "command") {
            words = Some(indent);
        }
        let comment = place.starts_with('#');
        let closes = place.trim_end().chars().all(|c| "}],".contains(c));
        if deeper && !known && !closes && !comment {
            out.extend(struck(line));
            continue;
        }
        inside = if deeper { inside } else { None };
        if comment {
            out.push_str(line);
        } else if strike_line(line, &mut out) {
            // Nothing, a block of text, an open quote or a plain text may all go on below.
            inside = Some(indent);
        }
    }
    out
}

fn struck(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if c.is_whitespace() { c } else { 'x' })
}

/// Puts `line` on `out` without its secrets. Whether the last of them may go on below.
fn strike_line(line: &str, out: &mut String) -> bool {
    let comment = comment_starts(line);
    let (mut done, mut goes_on) = (0, false);
    for (colon, _) in line.match_indices(':') {
        if colon < done || !key_before(&line[..colon]).is_some_and(is_secret) {
            continue;
        }
        let (before, rest) = line.split_at(colon + 1);
        out.push_str(&before[done..]);
        let (end, more) = strike_value(before, rest, out);
        done = colon + 1 + end;
        goes_on = more && colon < comment;
    }
    out.push_str(&line[done..]);
    goes_on
}

/// The key that ends where a colon follows.
fn key_before(before: &str) -> Option<&str> {
    let before = before.trim_end();
    let bare = before.strip_suffix(['"', '\'']).unwrap_or(before);
    let rest = bare.trim_end_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let begins = rest.is_empty() || rest.ends_with(['{', '[', ',', ' ', '\t', '"', '\'']);
    begins.then(|| &bare[rest.len()..])
}

fn is_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    KEYS.contains(&plain.as_str()) || did_you_mean(&plain, ["password"]).is_some()
}

/// Where a comment begins on `line`, or its end. A `#` in quotes or within a word begins none.
fn comment_starts(line: &str) -> usize {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return at,
            None if matches!(c, '"' | '\'') && (before.is_whitespace() || "{[,:".contains(before)) => quote = Some(c),
            None => {}
        }
        before = c;
    }
    line.len()
}

/// Strikes the value at the beginning of `rest` out, behind `before`. The byte behind it, and whether it may go on below.
fn strike_value(before: &str, rest: &str, out: &mut String) -> (usize, bool) {
    let flow = before.matches(['{', '[']).count() > before.matches(['}', ']']).count();
    let blanks = rest.len() - rest.trim_start().len();
    let value = &rest[blanks..];
    out.push_str(&rest[..blanks]);
    if let Some(inside) = value.strip_prefix('{') {
        let place = names_place(inside);
        let end = strike_map(value, out);
        let clean = ends_clean(&value[end..]);
        if !clean {
            out.extend(struck(&value[end..]));
        }
        let end = if clean { end } else { value.len() };
        return (blanks + end, !place && value[end..].trim().is_empty());
    }
    let end = match value.chars().next() {
        Some(quote @ ('"' | '\'')) if flow => closing(value, quote).filter(|end| ends_clean(&value[*end..])),
        Some('[') if flow => value.find(']').map(|at| at + 1).filter(|end| ends_clean(&value[*end..])),
        _ if flow => plain_ends(value),
        _ => None,
    };
    let until = end.unwrap_or(value.len());
    out.extend(struck(&value[..until]));
    (blanks + until, end.is_none())
}

/// Strikes out of a map in braces what does not name a place. The byte behind it.
fn strike_map(value: &str, out: &mut String) -> usize {
    let (mut depth, mut quote, mut from) = (0_usize, None, 0);
    for (at, c) in value.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        let splits = at == 0 || depth == 0 || (depth == 1 && c == ',');
        if quote.is_none() && splits {
            put_entry(&value[from..at], out);
            out.push(c);
            from = at + 1;
        }
        if depth == 0 {
            return from;
        }
    }
    put_entry(&value[from..], out);
    value.len()
}

fn put_entry(entry: &str, out: &mut String) {
    if names_place(entry) {
        out.push_str(entry);
    } else {
        out.extend(struck(entry));
    }
}

/// Whether an entry of a map says where a secret is kept.
fn names_place(entry: &str) -> bool {
    PLACES.iter().any(|place| names(entry, place))
}

/// Whether an entry of a map has this key, in quotes or not.
fn names(entry: &str, key: &str) -> bool {
    let entry = entry.trim_start().trim_start_matches(['"', '\'']);
    let colon = |rest: &str| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':');
    entry.strip_prefix(key).is_some_and(colon)
}

/// Whether a value in braces may end before `after`.
fn ends_clean(after: &str) -> bool {
    let after = after.trim_start();
    after.is_empty() || after.starts_with([',', '}', ']', '#'])
}

/// The byte behind a plain text in braces. A comma or a brace in the middle of a word is taken for a part of it.
fn plain_ends(value: &str) -> Option<usize> {
    let entry = |after: &str| {
        let rest = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        rest.len() < after.len() && rest.starts_with(": ")
    };
    let ends = |at: usize| {
        let after = &value[at + 1..];
        match value.as_bytes()[at] {
            b',' => after.is_empty() || after.starts_with(char::is_whitespace) || entry(after),
            _ => ends_clean(after),
        }
    };
    value.match_indices([',', '}', ']']).map(|(at, _)| at).find(|at| ends(*at))
}

/// The byte after the quote that closes `value`, which begins with one.
fn closing(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    value.char_indices().skip(1).find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped && quote == '"';
        closes.then_some(at + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_clear_is_struck_out_however_it_is_written() {
        for text in [
            "auth: { user: a, password: S3cret! }",
            "auth: { password: \"S3cret!, \\\" S3cret!\", user: a }",
            "auth: {password: 'S3cret!'}",
            "password: S3cret!",
            "  password: S3cret! # S3cret!",
            "  \"password\": S3cret!",
            "  password: |\n    S3cret!\n    S3cret!\n  user: a",
            "  password:\n    S3cret!",
            "  password:\n\n    S3cret!\nuser: a",
            "  password: \"S3cret!\n    S3cret!\"",
            "signing_key: S3cret!",
            "  password : S3cret!",
            "auth: { user: a, token: S3cret! }",
            "  token:\n    S3cret!\n    timeout: 3s",
            "  token:\n    command:\n      - a\n    S3cret!\n",
            "auth: { api_key: S3cret! }",
            "auth: { user: a, pasword: S3cret! }",
            "auth: { user: a, Passwort: S3cret! }",
            "auth: { user: a, passwrod: S3cret! }",
            "secret: S3cret!",
            "client_secret: S3cret!",
            "  client-secret: 'S3cret!'",
            "  clientSecret: S3cret!",
            "pass: S3cret!",
            "passwd: S3cret!",
            "passphrase: S3cret!",
            "private_key: |\n  S3cret!",
            "access_token: S3cret!",
            "password: { value: S3cret! }",
            "password: { S3cret! }",
            "password: {S3cret!}",
            "password: {\n  S3cret! }",
            "password: { value:\n  S3cret! }",
            "password: { env: NAME, value: S3cret! }",
            "password: { env: NAME, value: \"S3cret, S3cret\" }",
            "password: { env: NAME } S3cret!",
            "auth: { password: { value: { text: S3cret } }, token: S3cret }",
            "auth: { password: S3cret!, token: S3cret! }",
            "auth: { password: { env: NAME }, token: S3cret! }",
            "auth: { password: { env: NAME }, secret: { S3cret! } }",
            "auth: { user: \"a#b\", password: S3cret! }",
            "auth: { user: \"a #b\", password: S3cret! }",
            "auth: { user: \"a #b\", password:\n  S3cret! }",
            "auth: { user: a#b, password: S3cret! }",
            "auth: { user: a } # password: S3cret!",
            "auth: { password: x,S3cret!, user: a }",
            "auth: { password: x}S3cret!, user: a }",
            "auth: { password: \"x\"S3cret!\", user: a }",
            "auth: { password: [x, S3cret!], user: a }",
            "dkim:\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    S3cret!\n  selector: s1\n",
        ] {
            let shown = struck_out(text);
            assert!(!shown.contains("S3cret"), "{text:?} became {shown:?}");
            assert_eq!(shown.lines().count(), text.lines().count());
        }
    }

    #[test]
    fn a_sound_file_stays_as_it_is() {
        let whole = include_str!("../../tests/bad/whole/config.yaml");
        for text in [include_str!("../../examples/hikagen.yaml"), whole] {
            assert_eq!(struck_out(text), text);
        }
    }

    #[test]
    fn everything_else_stays_as_it_was() {
        for text in [
            "auth: { user: a, password: { env: NAME } }\n# password: see the wiki\ndomain: m.example.jp\n",
            "auth:\n  user: a\n  password:\n    env: NAME\n  x: 1\n",
            "signing_key: { file: key }\nrelays: {}\n",
            "headers: { X-Password-Policy: none }\n",
            "auth:\n  user: a\n  token:\n    command:\n      - /usr/bin/x\n      - --quiet\n    timeout: 3s\n  x: 1\n",
            "auth:\n  token:\n    timeout: 3s\n    command:\n    - a\n    - b\ndomain: m.example.jp\n",
            "envelope_from: \"b+{token}@m.example.jp\"\ndkim: { selector: s1, key: { file: k } }\n",
            "auth: { user: apikey, password: { env: NAME } }\nheaders: { X-Token: a, X-Api-Key: b }\n",
            "auth:\n  token: {\n    command: [a, b]\n  }\nhost: b\n",
            "auth:\n  token: { command: [a,\n    b], timeout: 3s }\nhost: b\n",
            "auth: { user: a, \"password\": { \"env\": NAME } }\nhost: b\n",
            "{\n  \"token\": {\n    \"command\": [\n      \"/bin/echo\",\n      null\n    ],\n    \"timeout\": \"3s\"\n  }\n}\n",
            "relays: # where the password:\n  a: { host: b }\n",
            "  pool: a\n  port: 25\n  per_day: 3\n  domain: a\n  hello: a\n  source_address: 127.0.0.1\n",
        ] {
            assert_eq!(struck_out(text), text);
        }
        let kept = struck_out("auth: { password: secret, user: a }\nhost: b\n");
        assert!(kept.ends_with(", user: a }\nhost: b\n"), "{kept}");
        assert_eq!(struck_out("auth: {password: se,user: a}\n  x: b\n"), "auth: {password: xx,user: a}\n  x: b\n");
        assert_eq!(struck_out("password: { value: a }\n"), "password: { xxxxxx x }\n");
    }
}
