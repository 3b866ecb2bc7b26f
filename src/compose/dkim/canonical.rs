//! Owns the relaxed canonical forms of RFC 6376 3.4.2 and 3.4.4.
//!
//! Invariant: linear in the message, one pass, nothing copied of the body but runs of its octets.

use ring::digest::{Context, Digest, SHA256};

/// One header field as it stands in a message, without its last CRLF.
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    value: &'a [u8],
}

/// The header fields of `message`, top to bottom, and its body.
pub(super) fn split(message: &[u8]) -> (Vec<Field<'_>>, &[u8]) {
    let mut fields = Vec::with_capacity(24);
    let mut rest = message;
    while !rest.is_empty() {
        if let Some(body) = rest.strip_prefix(b"\r\n") {
            return (fields, body);
        }
        let end = field_end(rest);
        let field = rest[..end].strip_suffix(b"\r\n").unwrap_or(&rest[..end]);
        if let Some(colon) = memchr::memchr(b':', field) {
            fields.push(Field { name: field[..colon].trim_ascii_end(), value: &field[colon + 1..] });
        }
        rest = &rest[end..];
    }
    (fields, b"")
}

/// The octet after the line that no folded line follows.
fn field_end(text: &[u8]) -> usize {
    for at in memchr::memchr_iter(b'\n', text) {
        if !matches!(text.get(at + 1), Some(b' ' | b'\t')) {
            return at + 1;
        }
    }
    text.len()
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Appends the relaxed form, CRLF included.
    pub(super) fn relaxed(&self, out: &mut Vec<u8>) {
        relaxed_field(self.name, self.value, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the relaxed form of a field: the name in lower case, unfolded, each run of blanks as one, none at the ends.
pub(super) fn relaxed_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let words = value.split(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// The hash of a body's relaxed form: blanks as one and none at the ends of lines, no empty lines at the end, a CRLF at the end
/// of what is not empty.
pub(super) fn body_hash(body: &[u8]) -> Digest {
    let mut hash = Context::new(&SHA256);
    // Empty lines count only once something follows them.
    let mut empty = 0_usize;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = line.iter().rposition(|b| !is_blank(*b)).map_or(0, |last| last + 1);
        if end == 0 {
            empty += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty) {
            hash.update(b"\r\n");
        }
        relaxed_line(&line[..end], &mut hash);
        hash.update(b"\r\n");
    }
    hash.finish()
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// A line that ends in no blank.
fn relaxed_line(line: &[u8], hash: &mut Context) {
    let mut rest = line;
    while let Some(at) = rest.iter().position(|b| is_blank(*b)) {
        hash.update(&rest[..at]);
        hash.update(b" ");
        let blanks = rest[at..].iter().take_while(|b| is_blank(**b)).count();
        rest = &rest[at + blanks..];
    }
    hash.update(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(text: &[u8]) -> Vec<u8> {
        ring::digest::digest(&SHA256, text).as_ref().to_vec()
    }

    #[test]
    fn a_body_is_hashed_in_its_relaxed_form() {
        for (body, relaxed) in [
            (&b""[..], &b""[..]),
            (b"\r\n", b""),
            (b" \t\r\n\r\n", b""),
            (b"a", b"a\r\n"),
            (b"a\r\n\r\n\r\n", b"a\r\n"),
            (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
            (b"a\r\n \r\n\r\nb  c\t\r\n", b"a\r\n\r\n\r\nb c\r\n"),
            (b"\r\n\r\na", b"\r\n\r\na\r\n"),
            (b"\t a", b" a\r\n"),
        ] {
            assert_eq!(body_hash(body).as_ref(), hash_of(relaxed), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn fields_are_found_folded_or_not_and_the_body_after_them() {
        let message = b"A: X\r\nSubject : one\r\n\ttwo  three \r\n \r\nbroken line\r\nB:Y\t\r\n\tZ  \r\n\r\nbody\r\n";
        let (fields, body) = split(message);
        let mut out = Vec::new();
        fields.iter().for_each(|field| field.relaxed(&mut out));
        assert_eq!(out, b"a:X\r\nsubject:one two three\r\nb:Y Z\r\n");
        assert_eq!(body, b"body\r\n");
        assert!(fields[1].is("SUBJECT"));
        assert_eq!(split(b"A: x\r\n").1, b"");
        assert_eq!(split(b"A: x").0.len(), 1);
        assert_eq!(split(b"\r\nbody").1, b"body");
    }
}
