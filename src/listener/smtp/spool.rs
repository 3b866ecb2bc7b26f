//! Owns the memory for mails that are being read.
//!
//! Invariants: all mails together never hold more than the room; what a mail held is free when it is dropped; a mail that is lost
//! (too large, no room) holds nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room is taken in pieces of so many octets.
const PIECE: usize = 64 * 1024;

/// Octets that mails may hold together.
#[derive(Debug)]
pub(super) struct Room {
    free: AtomicUsize,
}

impl Room {
    pub(super) fn new(octets: usize) -> Self {
        Self { free: AtomicUsize::new(octets) }
    }

    fn take(&self, octets: usize) -> bool {
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(octets)).is_ok()
    }

    fn give_back(&self, octets: usize) {
        self.free.fetch_add(octets, Ordering::AcqRel);
    }
}

/// Why a mail was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    TooLarge,
    NoRoom,
}

/// A mail that is being read.
#[derive(Debug)]
pub(super) struct Spool {
    room: Arc<Room>,
    most: usize,
    held: usize,
    bytes: Vec<u8>,
    lost: Option<Lost>,
    /// Octets that came, kept or not.
    came: usize,
}

impl Spool {
    /// An empty one that takes up to `most` octets.
    pub(super) fn new(room: Arc<Room>, most: usize) -> Self {
        Self { room, most, held: 0, bytes: Vec::new(), lost: None, came: 0 }
    }

    /// Adds octets, or counts them only once the mail is lost.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.came = self.came.saturating_add(octets.len());
        if self.lost.is_some() {
            return;
        }
        let wanted = self.bytes.len() + octets.len();
        if wanted > self.most {
            return self.lose(Lost::TooLarge);
        }
        if wanted > self.held {
            let need = (wanted - self.held).next_multiple_of(PIECE);
            // Twice as much each time, where there is room, so that a large mail is seldom moved.
            let ample = self.held.min((self.most - self.held.min(self.most)).next_multiple_of(PIECE)).max(need);
            let more = [ample, need].into_iter().find(|octets| self.room.take(*octets));
            let Some(more) = more else { return self.lose(Lost::NoRoom) };
            self.held += more;
            self.bytes.reserve_exact(self.held - self.bytes.len());
        }
        self.bytes.extend_from_slice(octets);
    }

    pub(super) fn lose(&mut self, lost: Lost) {
        self.lost = Some(lost);
        self.bytes = Vec::new();
        self.room.give_back(std::mem::take(&mut self.held));
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Octets that came, kept or not.
    pub(super) fn came(&self) -> usize {
        self.came
    }

    /// The mail; its room stays taken until the spool is dropped.
    pub(super) fn bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.room.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_shared_and_comes_back() {
        let room = Arc::new(Room::new(3 * PIECE));
        let mut first = Spool::new(room.clone(), 10 * PIECE);
        first.push(&vec![b'x'; 2 * PIECE]);
        let mut second = Spool::new(room.clone(), 10 * PIECE);
        second.push(b"small");
        second.push(&vec![b'x'; PIECE]);
        assert_eq!(second.lost(), Some(Lost::NoRoom));
        assert_eq!(second.came(), PIECE + 5);
        drop(first);
        let mut third = Spool::new(room.clone(), 2 * PIECE);
        third.push(&vec![b'x'; 2 * PIECE]);
        assert_eq!((third.lost(), third.bytes().len()), (None, 2 * PIECE));
        third.push(b"");
        drop((second, third));
        assert_eq!(room.free.load(Ordering::Acquire), 3 * PIECE);
    }

    #[test]
    fn a_mail_over_its_size_holds_nothing() {
        let room = Arc::new(Room::new(4 * PIECE));
        let mut spool = Spool::new(room.clone(), 10);
        spool.push(b"0123456789");
        assert_eq!(spool.lost(), None);
        spool.push(b"0");
        spool.push(b"more");
        assert_eq!((spool.lost(), spool.came()), (Some(Lost::TooLarge), 15));
        assert_eq!(room.free.load(Ordering::Acquire), 4 * PIECE);
    }
}
