//! Owns reading the log of a Postfix relay: what became of each message beyond it.
//!
//! Invariants: pure (lines in, facts out); everything is bounded; a line is never guessed at. Of mail that is known not to be ours
//! (neither its envelope sender nor its Message-ID bears anything like a token) nothing is told, so that a relay may carry
//! other mail. A message whose identity the log did not show is told of by its recipient alone.

mod frame;
mod queue;
mod status;
mod words;

use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use self::frame::{Entry, Export};
use self::queue::{Queue, may_carry_a_token, recipient};
use self::status::{Status, What};
use self::words::{Words, words};
use crate::core::feedback::{Fate, Heard, TEXT_MOST, Way};

/// Longest line that is read, bytes; of a longer one the beginning is.
pub const LINE_MOST: usize = 64 * 1024;
/// Longest evidence, characters.
const EVIDENCE_MOST: usize = 2_000;
/// What Postfix says of mail that it gave up.
const EXPIRED: &str = "expired, returned to sender";

/// Reads the lines of one log, in order. The clues of a message stand in other lines than its fate, so a reader remembers.
#[derive(Debug)]
pub struct Reader {
    zone: TimeZone,
    queue: Queue,
    export: Export,
}

impl Reader {
    /// A reader of a log whose times without a zone are of `zone`.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, queue: Queue::default(), export: Export::default() }
    }

    /// Takes the next line, without its end; `now` tells the year where the line does not. Each line is read in whichever form it
    /// has: syslog as files keep it (RFC 3164, ISO 8601 times, RFC 5424), `journalctl -o short`, `short-iso`, `short-unix`,
    /// `json` and `export`.
    pub fn read(&mut self, line: &[u8], now: Timestamp) -> Vec<Heard> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = &line[..line.len().min(LINE_MOST)];
        if self.export.take(line) {
            return Vec::new();
        }
        let ended = self.export.end().map(|entry| self.heard(&entry)).unwrap_or_default();
        let text = String::from_utf8_lossy(line);
        let zone = self.zone.clone();
        let found = frame::entry(&text, &zone, now).map(|entry| self.heard(&entry)).unwrap_or_default();
        ended.into_iter().chain(found).collect()
    }

    /// Ends a log whose last entry has no line after it (`journalctl -o export`).
    pub fn finish(&mut self) -> Vec<Heard> {
        self.export.end().map(|entry| self.heard(&entry)).unwrap_or_default()
    }

    fn heard(&mut self, entry: &Entry<'_>) -> Vec<Heard> {
        let Some(told) = status::told(&entry.text) else { return Vec::new() };
        let instance = entry.tag.split('/').next().unwrap_or_default();
        let queue_id = told.queue_id;
        match told.what {
            What::MessageId(id) => self.queue.message_id(instance, queue_id, id),
            What::From(sender) => self.queue.sender(instance, queue_id, sender),
            What::Notification(id) => self.queue.foreign(instance, id),
            What::Removed => self.queue.removed(instance, queue_id),
            What::Expired => return self.expired(entry, instance, queue_id),
            What::Status(status) => return self.status(entry, instance, queue_id, &status).into_iter().collect(),
        }
        Vec::new()
    }

    fn status(&mut self, entry: &Entry<'_>, instance: &str, queue_id: &str, status: &Status<'_>) -> Option<Heard> {
        let fate = match status.status {
            "sent" if self.is_on_its_way(entry, status) => return None,
            "sent" => Fate::Delivered,
            "bounced" => Fate::Refused,
            // With soft_bounce a refusal stays in the queue.
            "deferred" | "SOFTBOUNCE" => Fate::Delayed,
            // What a probe of an address found, and what is not known.
            _ => return None,
        };
        let found = words(status.words, status.dsn);
        let clues = match self.queue.find(instance, queue_id) {
            Some(known) => {
                let clues = known.clues();
                if clues.is_empty() {
                    return None;
                }
                known.note(status, &found, fate == Fate::Delayed, &line(entry));
                clues
            }
            // The answer to a bounce address of ours is no mail of ours.
            None if may_carry_a_token(status.to) => return None,
            None => Vec::new(),
        };
        let recipient = recipient(status);
        Some(Heard {
            way: Way::LOG,
            id: id(entry, instance, queue_id, &recipient, status.status),
            at: entry.at,
            fate,
            remote: found.remote.or_else(|| status.relay.clone()),
            said: found.said,
            stage: found.stage,
            clues,
            recipient: Some(recipient),
            evidence: bounded(&line(entry), EVIDENCE_MOST),
        })
    }

    /// Whether `sent` says only that the relay handed the message to itself (a content filter, an alias), or threw it away.
    fn is_on_its_way(&self, entry: &Entry<'_>, status: &Status<'_>) -> bool {
        entry.tag.ends_with("/discard")
            || status::next_queue_id(status.words).is_some_and(|next| self.queue.holds(next))
    }

    /// Everybody who still waits is given up, with the last words about them.
    fn expired(&mut self, entry: &Entry<'_>, instance: &str, queue_id: &str) -> Vec<Heard> {
        let Some(known) = self.queue.find(instance, queue_id) else { return Vec::new() };
        let clues = known.clues();
        if clues.is_empty() {
            return Vec::new();
        }
        let heard = |recipient: Option<String>, words: Words, before: &str| {
            let mut said = words.said;
            let last = bounded(&said.text, TEXT_MOST - EXPIRED.len() - 1);
            said.text = if last.is_empty() { EXPIRED.to_owned() } else { format!("{last}\n{EXPIRED}") };
            Heard {
                way: Way::LOG,
                id: id(entry, instance, queue_id, recipient.as_deref().unwrap_or_default(), "expired"),
                at: entry.at,
                fate: Fate::Refused,
                said,
                stage: words.stage,
                remote: words.remote,
                clues: clues.clone(),
                recipient,
                evidence: bounded(&format!("{before}{}", line(entry)), EVIDENCE_MOST),
            }
        };
        let waiting = std::mem::take(&mut known.waiting);
        if waiting.is_empty() {
            return vec![heard(None, Words::default(), "")];
        }
        let all = waiting.into_iter();
        all.map(|one| heard(Some(one.recipient), one.words, &format!("{}\n", one.line))).collect()
    }
}

/// What a line tells again and again is the same report: machine, message, recipient, status and second. The second stands first,
/// so that the store finds room for reports that come one after the other side by side, and not on a page of its own for each.
fn id(entry: &Entry<'_>, instance: &str, queue_id: &str, recipient: &str, status: &str) -> String {
    let second = entry.at.map(|at| format!("{:010x}", at.as_second())).unwrap_or_default();
    let digest = Sha256::digest([&*entry.host, instance, queue_id, recipient, status, &second].join("\0"));
    digest.iter().take(16).fold(second, |mut id, byte| {
        write!(id, "{byte:02x}").ok();
        id
    })
}

/// The entry in one form, for people.
fn line(entry: &Entry<'_>) -> String {
    let at = entry.at.map(|at| format!("{at} ")).unwrap_or_default();
    bounded(&format!("{at}{} {}: {}", entry.host, entry.tag, entry.text), EVIDENCE_MOST)
}

fn bounded(text: &str, most: usize) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).take(most).collect()
}

/// Reads a whole log. A line of more than [`LINE_MOST`] bytes is read as far as that.
///
/// # Errors
/// Of each item: the log cannot be read on; nothing follows.
pub fn read_all(log: impl BufRead, zone: TimeZone, now: Timestamp) -> impl Iterator<Item = io::Result<Vec<Heard>>> {
    let (mut log, mut reader, mut is_over) = (log, Reader::new(zone), false);
    let mut line = Vec::new();
    std::iter::from_fn(move || {
        loop {
            if is_over {
                return None;
            }
            let heard = match next_line(&mut log, &mut line) {
                Ok(true) => reader.read(&line, now),
                Ok(false) => {
                    is_over = true;
                    reader.finish()
                }
                Err(error) => {
                    is_over = true;
                    return Some(Err(error));
                }
            };
            if !heard.is_empty() {
                return Some(Ok(heard));
            }
        }
    })
}

/// The next line without its end, cut at [`LINE_MOST`]; `false`: there is none.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    log.by_ref().take(LINE_MOST as u64).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(true);
    }
    if line.len() == LINE_MOST {
        log.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests;
