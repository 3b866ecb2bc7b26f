//! Owns what is known of the messages in a relay's queue: whose they are, and what was said of them last.
//!
//! Invariants: bounded in messages, clues and words; a message whose sender and Message-ID bear nothing like a token is somebody
//! else's, and nothing of it is kept but that.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::status::Status;
use super::words::Words;
use crate::compose::TOKEN_LETTERS;

/// Most messages that are remembered; beyond it the oldest is forgotten.
const MESSAGES: usize = 100_000;
/// Messages that left the queue are remembered for so many more: lines of several processes may change places, and a hop before
/// this one names the queue id late.
const GONE: usize = 1_000;
/// Recipients of one message whose last words are kept.
const RECIPIENTS: usize = 8;
/// Instances of Postfix in one log (`postfix-in`, `postfix-out`) that are told apart.
const INSTANCES: usize = 16;

/// What is known of one message.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The envelope sender, where it may carry a token.
    sender: Option<String>,
    /// The Message-ID, where it may carry a token.
    message_id: Option<String>,
    /// Recipients that still wait.
    pub(super) waiting: Vec<Waiting>,
    /// When it came, in the order of coming.
    turn: u64,
    gone: bool,
}

/// What was said last of a recipient that still waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) recipient: String,
    pub(super) words: Words,
    pub(super) line: String,
}

/// A message: its instance's number, and its queue id.
type Key = (usize, String);

/// The queue as far as the log told of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: HashMap<Key, Known>,
    /// By age.
    turns: BTreeMap<u64, Key>,
    gone: VecDeque<Key>,
    instances: Vec<String>,
    next: u64,
}

impl Queue {
    /// A message showed its Message-ID: the first that is heard of it.
    pub(super) fn message_id(&mut self, instance: &str, queue_id: &str, text: &str) {
        let key = self.key(instance, queue_id);
        let message_id = may_carry_a_token(text).then(|| text.to_owned());
        // Short ids come again for another message.
        let is_another = |known: &Known| known.gone || known.message_id != message_id;
        if self.messages.get(&key).is_some_and(is_another) {
            self.forget(&key);
        }
        self.known(key).message_id = message_id;
    }

    /// A message showed its envelope sender.
    pub(super) fn sender(&mut self, instance: &str, queue_id: &str, text: &str) {
        let key = self.key(instance, queue_id);
        self.known(key).sender = may_carry_a_token(text).then(|| text.to_owned());
    }

    /// A message is the relay's own: a notification.
    pub(super) fn foreign(&mut self, instance: &str, queue_id: &str) {
        let key = self.key(instance, queue_id);
        let known = self.known(key);
        (known.sender, known.message_id) = (None, None);
    }

    /// What is known of a message.
    pub(super) fn find(&mut self, instance: &str, queue_id: &str) -> Option<&mut Known> {
        let key = self.key(instance, queue_id);
        self.messages.get_mut(&key)
    }

    /// Whether any instance has, or had lately, a message with this queue id.
    pub(super) fn holds(&self, queue_id: &str) -> bool {
        (0..self.instances.len()).any(|instance| self.messages.contains_key(&(instance, queue_id.to_owned())))
    }

    /// A message left the queue.
    pub(super) fn removed(&mut self, instance: &str, queue_id: &str) {
        let key = self.key(instance, queue_id);
        let Some(known) = self.messages.get_mut(&key).filter(|known| !known.gone) else { return };
        known.gone = true;
        known.waiting = Vec::new();
        self.gone.push_back(key);
        while self.gone.len() > GONE {
            if let Some(key) = self.gone.pop_front()
                && self.messages.get(&key).is_some_and(|known| known.gone)
            {
                self.forget(&key);
            }
        }
    }

    fn key(&mut self, instance: &str, queue_id: &str) -> Key {
        let number = self.instances.iter().position(|known| known == instance).unwrap_or_else(|| {
            if self.instances.len() < INSTANCES {
                self.instances.push(instance.to_owned());
            }
            self.instances.len() - 1
        });
        (number, queue_id.to_owned())
    }

    fn known(&mut self, key: Key) -> &mut Known {
        if !self.messages.contains_key(&key) {
            while self.messages.len() >= MESSAGES
                && let Some((_, oldest)) = self.turns.pop_first()
            {
                self.messages.remove(&oldest);
            }
            self.turns.insert(self.next, key.clone());
        }
        let turn = self.next;
        self.messages.entry(key).or_insert_with(|| {
            self.next += 1;
            Known { turn, ..Known::default() }
        })
    }

    fn forget(&mut self, key: &Key) {
        if let Some(known) = self.messages.remove(key) {
            self.turns.remove(&known.turn);
        }
    }
}

impl Known {
    /// Texts that may carry the token, the most trustworthy first. Empty: it is somebody else's mail.
    pub(super) fn clues(&self) -> Vec<String> {
        self.sender.iter().chain(&self.message_id).cloned().collect()
    }

    /// Keeps the last words about a recipient that waits; what became of it otherwise ends them.
    pub(super) fn note(&mut self, status: &Status<'_>, words: &Words, waits: bool, line: &str) {
        let recipient = recipient(status);
        self.waiting.retain(|waiting| waiting.recipient != recipient);
        if waits && self.waiting.len() < RECIPIENTS {
            self.waiting.push(Waiting { recipient, words: words.clone(), line: line.to_owned() });
        }
    }
}

/// The recipient as the sender named it.
pub(super) fn recipient(status: &Status<'_>) -> String {
    status.original.filter(|original| original.contains('@')).unwrap_or(status.to).to_owned()
}

/// Whether a token's letters may stand in `text`; only the signature tells whether it is one.
pub(super) fn may_carry_a_token(text: &str) -> bool {
    let letter = |b: u8| matches!(b.to_ascii_lowercase(), b'a'..=b'z' | b'2'..=b'7');
    text.as_bytes().split(|b| !letter(*b)).any(|run| run.len() >= TOKEN_LETTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "bounce+abcdefghijklmnopqrstuvwxyz234567@m.example.jp";
    const ID: &str = "abcdefghijklmnopqrstuvwxyz234567@m.example.jp";

    #[test]
    fn ours_are_told_from_others() {
        assert!(may_carry_a_token(OURS) && may_carry_a_token(&ID.to_uppercase()));
        for text in
            ["", "news@m.example.jp", "20261126010000.4XyZ12abc@relay.example", "0123456789abcdef0123456789abcdef@x.jp"]
        {
            assert!(!may_carry_a_token(text), "{text}");
        }
        let mut queue = Queue::default();
        queue.message_id("postfix", "A1B2C3", ID);
        queue.sender("postfix", "A1B2C3", OURS);
        queue.message_id("postfix", "D4E5F6", "1@other.example");
        queue.sender("postfix", "D4E5F6", "");
        let clues = |queue: &mut Queue, id| queue.find("postfix", id).map(|known| known.clues());
        assert_eq!(clues(&mut queue, "A1B2C3"), Some(vec![OURS.to_owned(), ID.to_owned()]));
        assert_eq!(clues(&mut queue, "D4E5F6"), Some(Vec::new()));
        assert_eq!(clues(&mut queue, "A1B2C4"), None);
        assert!(queue.find("postfix-out", "A1B2C3").is_none() && queue.holds("A1B2C3"));
    }

    #[test]
    fn a_queue_id_that_comes_again_is_another_message() {
        let mut queue = Queue::default();
        queue.message_id("postfix", "A1B2C3", ID);
        queue.removed("postfix", "A1B2C3");
        assert!(queue.holds("A1B2C3"), "late lines still find it");
        queue.message_id("postfix", "A1B2C3", "1@other.example");
        assert_eq!(queue.find("postfix", "A1B2C3").map(|known| known.clues()), Some(Vec::new()));
    }

    #[test]
    fn what_left_and_what_is_oldest_is_forgotten() {
        let mut queue = Queue::default();
        for n in 0..MESSAGES + 10 {
            queue.sender("postfix", &format!("A{n:06}"), OURS);
        }
        assert_eq!((queue.messages.len(), queue.turns.len()), (MESSAGES, MESSAGES));
        assert!(!queue.holds("A000009") && queue.holds("A000010"));
        for n in 10..MESSAGES + 10 {
            queue.removed("postfix", &format!("A{n:06}"));
        }
        assert_eq!((queue.messages.len(), queue.turns.len(), queue.gone.len()), (GONE, GONE, GONE));
    }
}
