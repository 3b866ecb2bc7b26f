//! Owns the server's side of one SMTP conversation without a socket: octets in, replies and messages out.
//!
//! Invariants: how the octets are cut into reads changes nothing; a message ends only at CRLF, dot, CRLF; commands that came
//! together are answered together, in their order.

use memchr::{memchr, memmem};

/// Longest command line taken, with its end.
const LINE: usize = 4_096;

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Octets on the wire, without the end of data.
    pub(crate) octets: usize,
    /// First recipient, without brackets.
    pub(crate) recipient: String,
}

/// One conversation.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
    input: Vec<u8>,
    /// Octets of `input` in which no end of data begins.
    searched: usize,
    in_data: bool,
    recipient: String,
    ended: bool,
}

impl Dialogue {
    /// What is said first.
    pub(crate) const GREETING: &'static [u8] = b"220 sink.example ESMTP\r\n";

    /// Takes octets as they came; appends what to answer to `replies` and calls `taken` at each end of data.
    pub(crate) fn take(&mut self, octets: &[u8], replies: &mut Vec<u8>, mut taken: impl FnMut(Message)) {
        self.input.extend_from_slice(octets);
        let mut at = 0;
        while !self.ended {
            let used = if self.in_data { self.data(at, replies, &mut taken) } else { self.command(at, replies) };
            match used {
                Some(used) => at += used,
                None => break,
            }
        }
        self.input.drain(..at);
    }

    /// Whether the conversation is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Octets of the message at `at`, with its end, when that has come.
    fn data(&mut self, at: usize, replies: &mut Vec<u8>, taken: &mut impl FnMut(Message)) -> Option<usize> {
        let rest = &self.input[at..];
        // The end of the line before the dot belongs to the message, except in an empty one.
        let (octets, used) = if rest.starts_with(b".\r\n") {
            (0, 3)
        } else {
            let from = self.searched.min(rest.len());
            match memmem::find(&rest[from..], b"\r\n.\r\n") {
                Some(found) => (from + found + 2, from + found + 5),
                None => {
                    self.searched = rest.len().saturating_sub(4);
                    return None;
                }
            }
        };
        taken(Message { octets, recipient: std::mem::take(&mut self.recipient) });
        replies.extend_from_slice(b"250 2.0.0 taken\r\n");
        self.in_data = false;
        self.searched = 0;
        Some(used)
    }

    /// Octets of the command line at `at`, when it is there.
    fn command(&mut self, at: usize, replies: &mut Vec<u8>) -> Option<usize> {
        let rest = &self.input[at..];
        let Some(end) = memchr(b'\n', rest) else {
            if rest.len() > LINE {
                replies.extend_from_slice(b"500 5.5.2 line too long\r\n");
                self.ended = true;
            }
            return None;
        };
        let line = &rest[..end];
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n",
            b"HELO" => b"250 sink.example\r\n",
            b"MAIL" => {
                self.recipient.clear();
                b"250 2.1.0 ok\r\n"
            }
            b"RCPT" => {
                if self.recipient.is_empty() {
                    self.recipient = bracketed(line);
                }
                b"250 2.1.5 ok\r\n"
            }
            b"DATA" if self.recipient.is_empty() => b"554 5.5.1 no recipients\r\n",
            b"DATA" => {
                self.in_data = true;
                b"354 go on\r\n"
            }
            b"QUIT" => {
                self.ended = true;
                b"221 2.0.0 bye\r\n"
            }
            b"RSET" | b"NOOP" => b"250 2.0.0 ok\r\n",
            _ => b"502 5.5.2 not known\r\n",
        };
        replies.extend_from_slice(reply);
        Some(end + 1)
    }
}

fn bracketed(line: &[u8]) -> String {
    let open = memchr(b'<', line).map_or(0, |n| n + 1);
    let close = memchr(b'>', line).unwrap_or(line.len()).max(open);
    String::from_utf8_lossy(&line[open..close]).into_owned()
}
