//! Owns what is claimed and not yet released, and the connections it leaves by.
//!
//! Invariants: a message waits here at most some seconds, then goes back unsent; a connection holds one message at a time and
//! is given up at its caps of messages and age; the relay's cap of connections counts open, opening and busy ones.

use std::collections::{BTreeMap, VecDeque};
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

/// Claimed messages by lane and class.
#[derive(Default)]
pub(crate) struct Outbox {
    lanes: BTreeMap<BucketName, [VecDeque<Ready>; 3]>,
    turn: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, ready: Ready) {
        let class = ready.claim.r.class as usize;
        self.lanes.entry(ready.claim.r.bucket.clone()).or_default()[class].push_back(ready);
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.values().flatten().map(VecDeque::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.values().flatten().all(VecDeque::is_empty)
    }

    /// Lanes and classes with mail: classes strictly in order, lanes in turn.
    pub(crate) fn order(&mut self) -> Vec<(BucketName, Class)> {
        self.turn = self.turn.wrapping_add(1);
        let buckets: Vec<&BucketName> = self.lanes.keys().collect();
        let mut order = Vec::new();
        for class in Class::ALL {
            for i in 0..buckets.len() {
                let bucket = buckets[(i + self.turn) % buckets.len()];
                if !self.lanes[bucket][class as usize].is_empty() {
                    order.push((bucket.clone(), class));
                }
            }
        }
        order
    }

    /// The message that would leave next.
    pub(crate) fn first(&self, bucket: &BucketName, class: Class) -> Option<&Ready> {
        self.lanes.get(bucket)?[class as usize].front()
    }

    /// Takes the message that leaves next.
    pub(crate) fn pop(&mut self, bucket: &BucketName, class: Class) -> Option<Ready> {
        self.lanes.get_mut(bucket)?[class as usize].pop_front()
    }

    /// Takes out everything that `goes`.
    pub(crate) fn take(&mut self, mut goes: impl FnMut(&Ready) -> bool) -> Vec<Ready> {
        let mut taken = Vec::new();
        for queue in self.lanes.values_mut().flatten() {
            if queue.iter().any(&mut goes) {
                let (out, stay): (Vec<_>, Vec<_>) = queue.drain(..).partition(&mut goes);
                taken.extend(out);
                queue.extend(stay);
            }
        }
        self.lanes.retain(|_, queues| queues.iter().any(|q| !q.is_empty()));
        taken
    }
}

/// An open connection and what it did so far.
pub(crate) struct Open {
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) messages: u32,
    opened: Duration,
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
