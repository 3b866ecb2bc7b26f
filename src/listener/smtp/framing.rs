//! Owns where a command line and a mail end.
//!
//! Invariants: only CRLF ends a line and only CRLF `.` CRLF a mail, so that nothing can be smuggled behind another reader's end
//! (LF `.` LF, LF `.` CRLF, CR `.` CR, CRLF `.` LF, CRLF `.` CR CRLF are a mail's own octets); a line is never kept longer than
//! [`LINE_MAX`].

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Octets of a command line with its CRLF: RFC 5321 4.5.3.1.4 asks for 512, and extensions add to that.
pub(super) const LINE_MAX: usize = 1_000;
/// Octets of one overlong line that are passed over before the client is thrown out.
const OVERLONG_MAX: usize = 64 * 1024;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// With its CRLF at the end.
    Whole,
    /// Ended by a bare LF, or with control characters in it.
    Malformed,
    /// Longer than [`LINE_MAX`]; it was passed over.
    TooLong,
    /// The connection ended, or the line would not.
    End,
}

/// Reads the next line into `line`.
pub(super) async fn read_line<R>(reader: &mut R, line: &mut Vec<u8>) -> io::Result<Line>
where
    R: AsyncBufRead + Unpin,
{
    line.clear();
    let mut length = 0_usize;
    loop {
        let octets = reader.fill_buf().await?;
        if octets.is_empty() {
            return Ok(Line::End);
        }
        let end = memchr::memchr(b'\n', octets);
        let piece = &octets[..end.map_or(octets.len(), |at| at + 1)];
        length += piece.len();
        if length <= LINE_MAX {
            line.extend_from_slice(piece);
        }
        let used = piece.len();
        reader.consume(used);
        match end {
            Some(_) if length > LINE_MAX => return Ok(Line::TooLong),
            Some(_) => return Ok(judged(line)),
            None if length > OVERLONG_MAX => return Ok(Line::End),
            None => {}
        }
    }
}

fn judged(line: &[u8]) -> Line {
    match line.strip_suffix(b"\r\n") {
        Some(text) if text.iter().all(|b| !b.is_ascii_control() || *b == b'\t') => Line::Whole,
        _ => Line::Malformed,
    }
}

/// Where the reader of a mail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Middle,
    /// Behind a CR.
    Cr,
    /// Behind a dot that opens a line.
    Dot,
    /// Behind such a dot and a CR.
    DotCr,
}

/// Takes a mail off the wire: finds its end, and takes away the dots that were put before others (RFC 5321 4.5.2).
#[derive(Debug)]
pub(super) struct Undotter {
    at: At,
}

impl Undotter {
    pub(super) fn new() -> Self {
        Self { at: At::LineStart }
    }

    /// Hands the mail's octets in `wire` to `keep`, in order. The number of octets of `wire` up to and with the mail's end;
    /// `None`: all of it was taken and the end is still to come.
    pub(super) fn take(&mut self, wire: &[u8], mut keep: impl FnMut(&[u8])) -> Option<usize> {
        let mut from = 0;
        let mut i = 0;
        while let Some(&octet) = wire.get(i) {
            i += 1;
            self.at = match (self.at, octet) {
                (At::LineStart, b'.') => {
                    keep(&wire[from..i - 1]);
                    from = i;
                    At::Dot
                }
                // Its CR is held back until it is known not to be the end's.
                (At::Dot, b'\r') => {
                    from = i;
                    At::DotCr
                }
                (At::DotCr, b'\n') => return Some(i),
                (At::DotCr, b'\r') => {
                    keep(b"\r");
                    At::Cr
                }
                (At::DotCr, _) => {
                    keep(b"\r");
                    At::Middle
                }
                (At::Cr, b'\n') => At::LineStart,
                (_, b'\r') => At::Cr,
                (_, _) => {
                    i += memchr::memchr(b'\r', &wire[i..]).unwrap_or(wire.len() - i);
                    At::Middle
                }
            };
        }
        keep(&wire[from..]);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::BufReader;

    use super::*;

    /// The mail and what stands behind it, read in pieces.
    fn take(pieces: &[&[u8]]) -> (String, Option<String>) {
        let (mut undotter, mut mail) = (Undotter::new(), Vec::new());
        for (n, piece) in pieces.iter().enumerate() {
            if let Some(used) = undotter.take(piece, |octets| mail.extend_from_slice(octets)) {
                let rest = [&piece[used..], &pieces[n + 1..].concat()].concat();
                return (String::from_utf8(mail).expect("text"), Some(String::from_utf8(rest).expect("text")));
            }
        }
        (String::from_utf8(mail).expect("text"), None)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_mail() {
        for (wire, mail, rest) in [
            ("hi\r\n.\r\nQUIT", "hi\r\n", Some("QUIT")),
            (".\r\n", "", Some("")),
            ("..\r\n...a\r\n.b\r\n.\r\n", ".\r\n..a\r\nb\r\n", Some("")),
            ("a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", Some("")),
            ("a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", Some("")),
            ("a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", Some("")),
            ("a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", Some("")),
            ("a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", Some("")),
            ("a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", Some("")),
            ("a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", Some("")),
            ("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", Some("")),
            ("a\r\r\n.\r\n", "a\r\r\n", Some("")),
            ("\r\n\r\n.\r\n", "\r\n\r\n", Some("")),
            ("no end\r\n.", "no end\r\n", None),
            ("no end\r\n.\r", "no end\r\n", None),
        ] {
            assert_eq!(take(&[wire.as_bytes()]), (mail.to_owned(), rest.map(str::to_owned)), "{wire:?}");
            let crumbs: Vec<&[u8]> = wire.as_bytes().chunks(1).collect();
            assert_eq!(take(&crumbs), (mail.to_owned(), rest.map(str::to_owned)), "{wire:?} in crumbs");
        }
    }

    proptest! {
        #[test]
        fn a_dotted_mail_comes_out_as_it_was(lines in proptest::collection::vec("[.\r\na\n]{0,6}", 0..20), size in 1_usize..9) {
            // As senders do it: a dot more before every dot behind CRLF.
            let mail = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let dotted = format!("\r\n{mail}").replace("\r\n.", "\r\n..");
            let wire = format!("{}.\r\nQUIT\r\n", &dotted[2..]);
            let pieces: Vec<&[u8]> = wire.as_bytes().chunks(size).collect();
            prop_assert_eq!(take(&pieces), (mail, Some("QUIT\r\n".to_owned())));
        }
    }

    #[tokio::test]
    async fn lines_are_bounded_and_end_with_crlf() {
        let long = format!("NOOP {}\r\n", "x".repeat(2_000));
        let wire = format!("NOOP\r\nNOOP\nNOOP\ra\r\nN\0OP\r\n{long}QUIT\r\n{}", "y".repeat(OVERLONG_MAX + 1));
        let mut reader = BufReader::with_capacity(7, wire.as_bytes());
        let mut line = Vec::new();
        for expected in
            [Line::Whole, Line::Malformed, Line::Malformed, Line::Malformed, Line::TooLong, Line::Whole, Line::End]
        {
            assert_eq!(read_line(&mut reader, &mut line).await.expect("read"), expected);
            assert!(line.len() <= LINE_MAX);
        }
    }
}
