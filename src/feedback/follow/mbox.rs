//! Owns the reading of mbox files: many mails in one file, each behind a line `From SENDER DATE`.
//!
//! Invariants: streaming; a mail takes at most as many bytes as was asked for, and one that is larger says so and is cut. `>From `
//! and `>>From ` lose one `>` (mboxo, mboxrd); `Content-Length` is not believed. A file without such a line is one mail.

use std::io::{self, BufRead, Read as _};

/// Longest piece of a line that is looked at, bytes.
const PIECE: u64 = 64 * 1024;

/// One mail of an mbox file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The mail, without the line in front; the beginning of it, where it is too large.
    pub bytes: Vec<u8>,
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// It is larger than was asked for, and cut.
    pub is_cut: bool,
}

/// The mails of an mbox file, each of at most `most` bytes.
///
/// # Errors
/// Of each item: the file cannot be read on; nothing follows.
pub fn mails(reader: impl BufRead, most: usize) -> impl Iterator<Item = io::Result<Mail>> {
    Mails { reader, most, line: 0, begun: None, is_over: false }
}

struct Mails<R> {
    reader: R,
    most: usize,
    /// Lines read.
    line: u64,
    /// Where the mail whose first line was read already begins.
    begun: Option<u64>,
    is_over: bool,
}

impl<R: BufRead> Mails<R> {
    fn read(&mut self) -> io::Result<Option<Mail>> {
        let mut mail = Mail { bytes: Vec::new(), line: self.begun.take().unwrap_or(0), is_cut: false };
        let (mut piece, mut at_start, mut blank_before) = (Vec::new(), true, true);
        loop {
            piece.clear();
            if self.reader.by_ref().take(PIECE).read_until(b'\n', &mut piece)? == 0 {
                self.is_over = true;
                break;
            }
            let starts_line = std::mem::replace(&mut at_start, piece.ends_with(b"\n"));
            self.line += u64::from(starts_line);
            let is_blank = starts_line && matches!(piece.as_slice(), b"\n" | b"\r\n");
            if starts_line && blank_before && is_separator(&piece) {
                if mail.line > 0 {
                    self.begun = Some(self.line + 1);
                    break;
                }
                mail.line = self.line + 1;
            } else if mail.line > 0 || !is_blank {
                if mail.line == 0 {
                    mail.line = self.line;
                }
                let quoted = starts_line
                    && piece
                        .iter()
                        .position(|b| *b != b'>')
                        .is_some_and(|at| at > 0 && piece[at..].starts_with(b"From "));
                let piece = if quoted { &piece[1..] } else { &piece[..] };
                let room = self.most.saturating_sub(mail.bytes.len());
                mail.is_cut |= room < piece.len();
                mail.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            blank_before = is_blank;
        }
        if mail.line == 0 {
            return Ok(None);
        }
        // The blank line before the next mail belongs to the file.
        let whole = if mail.is_cut { None } else { mail.bytes.strip_suffix(b"\r\n\r\n").map(|rest| rest.len() + 2) };
        let whole =
            whole.or_else(|| mail.bytes.strip_suffix(b"\n\n").filter(|_| !mail.is_cut).map(|rest| rest.len() + 1));
        mail.bytes.truncate(whole.unwrap_or(mail.bytes.len()));
        Ok(Some(mail))
    }
}

impl<R: BufRead> Iterator for Mails<R> {
    type Item = io::Result<Mail>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read();
        self.is_over |= read.is_err();
        read.transpose()
    }
}

/// `From SENDER Thu Nov 26 10:00:00 2026`; a sentence that begins with From has no time of day.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    rest.windows(5).any(|five| {
        let digit = |at: usize| five[at].is_ascii_digit();
        five[2] == b':' && digit(0) && digit(1) && digit(3) && digit(4)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, most: usize) -> Vec<(String, u64, bool)> {
        let all = mails(BufReader::with_capacity(7, text.as_bytes()), most);
        all.map(|mail| mail.unwrap())
            .map(|mail| (String::from_utf8(mail.bytes).unwrap(), mail.line, mail.is_cut))
            .collect()
    }

    #[test]
    fn mails_are_told_apart_and_unquoted() {
        let text = "From a@b Thu Nov 26 10:00:00 2026\nSubject: 1\n\nFrom here on, 9 o'clock\n>From the start\n>>From x\n> From\n\n\
                    From MAILER-DAEMON  Thu Nov 26 10:00:01 2026\nSubject: 2\n\nFrom there\n\n\n\
                    From c@d Thu Nov 26 10:00:02 2026\n";
        assert_eq!(
            read(text, 1_000),
            [
                ("Subject: 1\n\nFrom here on, 9 o'clock\nFrom the start\n>From x\n> From\n".to_owned(), 2, false),
                ("Subject: 2\n\nFrom there\n\n".to_owned(), 10, false),
                (String::new(), 16, false),
            ]
        );
        assert_eq!(read(&text.replace('\n', "\r\n"), 1_000).len(), 3);
    }

    #[test]
    fn a_mail_alone_and_nothing_are_read() {
        assert_eq!(read("\nSubject: 1\n\ntext", 1_000), [("Subject: 1\n\ntext".to_owned(), 2, false)]);
        assert_eq!(read("", 1_000), []);
        assert_eq!(read("\n\n\n", 1_000), []);
    }

    #[test]
    fn a_mail_that_is_too_large_is_cut_and_the_next_is_whole() {
        let text = format!(
            "From a@b Thu Nov 26 10:00:00 2026\nA: {}\n\nFrom a@b Thu Nov 26 10:00:00 2026\nB: b\n",
            "x".repeat(200_000)
        );
        let found = read(&text, 100);
        assert_eq!((found[0].0.len(), found[0].2), (100, true));
        assert_eq!(found[1], ("B: b\n".to_owned(), 5, false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(bytes in prop::collection::vec(prop_oneof![Just(b"\nFrom a 10:00\n".to_vec()), prop::collection::vec(any::<u8>(), 0..30)], 0..20)) {
            let bytes = bytes.concat();
            for mail in mails(bytes.as_slice(), 50) {
                prop_assert!(mail.unwrap().bytes.len() <= 50);
            }
        }
    }
}
