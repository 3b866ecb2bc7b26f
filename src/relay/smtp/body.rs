//! Owns the form of a message on the wire: dots doubled at line starts, CRLF line ends only, the final dot.
//!
//! Invariant: nothing inside a message can end it early: no bare CR or LF is ever written, so no server can read an
//! end of data that we did not mean (SMTP smuggling).

/// What ends a message.
pub(super) const FINAL_DOT: &[u8] = b".\r\n";

/// Appends `message` dot-stuffed and ended by CRLF, without the final dot. Bare CR and bare LF become CRLF.
pub(super) fn stuff(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + message.len() / 64 + 8);
    let mut rest = message;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        line(&rest[..at], out);
        let ended_by = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + ended_by..];
    }
    if !rest.is_empty() {
        line(rest, out);
    }
}

fn line(text: &[u8], out: &mut Vec<u8>) {
    if text.first() == Some(&b'.') {
        out.push(b'.');
    }
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(message: &str) -> String {
        let mut out = Vec::new();
        stuff(message.as_bytes(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn a_dot_at_a_line_start_is_doubled() {
        assert_eq!(stuffed(".a\r\n..b\r\nc.\r\n.\r\n"), "..a\r\n...b\r\nc.\r\n..\r\n");
    }

    #[test]
    fn a_message_that_ends_in_crlf_gets_no_further_line() {
        assert_eq!(stuffed("a\r\n\r\nb\r\n"), "a\r\n\r\nb\r\n");
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        assert_eq!(stuffed("a\r\nb"), "a\r\nb\r\n");
        assert_eq!(stuffed(""), "");
    }

    #[test]
    fn bare_line_ends_cannot_smuggle_an_end_of_data() {
        assert_eq!(stuffed("a\n.\nMAIL FROM:<x>\n"), "a\r\n..\r\nMAIL FROM:<x>\r\n");
        assert_eq!(stuffed("a\r.\rb"), "a\r\n..\r\nb\r\n");
        assert_eq!(stuffed("a\r\r\n.\r\nb\n"), "a\r\n\r\n..\r\nb\r\n");
    }
}
