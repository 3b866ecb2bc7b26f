//! Owns what is claimed and not yet released, and the connections it leaves by.
//!
//! Invariants: a message waits here at most some seconds, then goes back unsent; classes go strictly in order, lanes in turn; a
//! connection is given up at its caps of messages and age; the relay's cap of connections counts open, opening and busy ones.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use crate::core::campaign::Class;
use crate::core::names::BucketName;
use crate::relay::{Connection, Outgoing};
use crate::store::Claim;

/// A claimed message, composed.
pub(crate) struct Ready {
    pub(crate) claim: Claim,
    pub(crate) mail: Outgoing,
    /// Time since boot at which it came in.
    pub(crate) since: Duration,
}

/// Claimed messages by class and lane; no queue is empty.
#[derive(Default)]
pub(crate) struct Outbox {
    queues: [BTreeMap<BucketName, VecDeque<Ready>>; 3],
    /// The lane that was served last, by class.
    served: [Option<BucketName>; 3],
    len: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, ready: Ready) {
        let queues = &mut self.queues[ready.claim.r.class as usize];
        queues.entry(ready.claim.r.bucket.clone()).or_default().push_back(ready);
        self.len += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lanes and classes with mail.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&BucketName, Class)> {
        let of_class = |class: Class| self.queues[class as usize].keys().map(move |bucket| (bucket, class));
        Class::ALL.into_iter().flat_map(of_class)
    }

    /// Takes the first message that `may` leave, asking of each lane only the one that leaves next.
    pub(crate) fn find(&mut self, mut may: impl FnMut(&Ready) -> bool) -> Option<Ready> {
        for (queues, served) in self.queues.iter_mut().zip(&mut self.served) {
            let last = served.as_ref();
            let rest = queues.range((last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
            let again = last.map(|last| queues.range((Bound::Unbounded, Bound::Included(last))));
            let mut turns = rest.chain(again.into_iter().flatten());
            let Some(bucket) = turns.find(|(_, queue)| queue.front().is_some_and(&mut may)).map(|(b, _)| b.clone())
            else {
                continue;
            };
            let queue = queues.get_mut(&bucket)?;
            let found = queue.pop_front();
            if queue.is_empty() {
                queues.remove(&bucket);
            }
            *served = Some(bucket);
            self.len -= 1;
            return found;
        }
        None
    }

    /// Takes out everything that `goes`.
    pub(crate) fn take(&mut self, mut goes: impl FnMut(&Ready) -> bool) -> Vec<Ready> {
        let mut taken = Vec::new();
        for queues in &mut self.queues {
            for queue in queues.values_mut() {
                if queue.iter().any(&mut goes) {
                    let (out, stay): (Vec<_>, Vec<_>) = queue.drain(..).partition(&mut goes);
                    taken.extend(out);
                    queue.extend(stay);
                }
            }
            queues.retain(|_, queue| !queue.is_empty());
        }
        self.len -= taken.len();
        taken
    }
}

/// An open connection and what it did so far.
pub(crate) struct Open {
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) messages: u32,
    pub(crate) opened: Duration,
    used: Duration,
}

impl Open {
    pub(crate) fn new(connection: Box<dyn Connection>, now: Duration) -> Self {
        Self { connection, messages: 0, opened: now, used: now }
    }
}

/// The relay's connections.
#[derive(Default)]
pub(crate) struct Connections {
    idle: Vec<Open>,
    pub(crate) busy: u32,
    pub(crate) opening: u32,
}

impl Connections {
    pub(crate) fn open(&self) -> u32 {
        self.busy + self.opening + u32::try_from(self.idle.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Whether one may carry one more message under `most`.
    pub(crate) fn has(&self, most: u32) -> bool {
        self.idle.iter().any(|open| open.messages < most)
    }

    /// Takes the one opened first out, to be closed.
    pub(crate) fn drop_oldest(&mut self) -> Option<Open> {
        (!self.idle.is_empty()).then(|| self.idle.remove(0))
    }

    /// Takes the one used last, if it may carry one more message under `most`.
    pub(crate) fn take(&mut self, most: u32) -> Option<Open> {
        let place = self.idle.iter().rposition(|open| open.messages < most)?;
        self.busy += 1;
        Some(self.idle.remove(place))
    }

    /// Puts one back after its message; returned where it should be closed instead.
    pub(crate) fn put(&mut self, mut open: Open, most: u32, age: Duration, now: Duration) -> Option<Open> {
        let over = open.messages >= most || now.saturating_sub(open.opened) >= age;
        if over || !open.connection.is_usable() {
            return Some(open);
        }
        open.used = now;
        self.idle.push(open);
        None
    }

    /// Takes out what is too old, too long idle, or no longer usable.
    pub(crate) fn expired(&mut self, age: Duration, idle: Duration, now: Duration) -> Vec<Open> {
        let old = |o: &Open| {
            now.saturating_sub(o.opened) >= age || now.saturating_sub(o.used) >= idle || !o.connection.is_usable()
        };
        if !self.idle.iter().any(old) {
            return Vec::new();
        }
        let (out, stay) = std::mem::take(&mut self.idle).into_iter().partition(old);
        self.idle = stay;
        out
    }

    /// Takes out all that are idle.
    pub(crate) fn take_idle(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.idle)
    }
}
