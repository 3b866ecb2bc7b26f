//! Owns one receiving system: what it remembers of a sender, when it loses patience, and for how long.
//!
//! Invariants: deterministic in seed and calls; an address is unknown, full or fine for ever; `offered` is the sum of what
//! became of the messages plus those still open; time given backwards counts as no time.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::words::{Objection, Said, say};
use crate::core::names::GroupName;
use crate::core::units::{Rate, Share};

/// How much a receiving system bears.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerance {
    /// Pace that it bears for ever.
    pub rate: Rate,
    /// Messages above that pace before it complains.
    pub depth: NonZeroU32,
    /// Sessions at once.
    pub sessions: NonZeroU32,
    /// Messages on one session, where it has words for that.
    pub messages_per_session: NonZeroU32,
    /// Share of unknown users among the last 200 recipients.
    pub unknown_users: Share,
    /// How long it refuses everything once it has lost patience.
    pub penalty: Duration,
    /// Share of addresses that nobody has; `None`: all exist.
    pub unknown: Option<Share>,
    /// Share of addresses whose mailbox is full; `None`: none is.
    pub full: Option<Share>,
}

/// Recipients over which the share of unknown users is taken.
const MEMORY: usize = 200;
/// Fewer recipients than this prove nothing.
const SAMPLE: usize = 50;
/// A session without mail for so long no longer counts.
const IDLE: Duration = Duration::from_secs(1);

/// What became of the messages of one destination group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Recipients asked for.
    pub offered: u64,
    /// Messages taken.
    pub accepted: u64,
    /// Refused for now.
    pub deferred: u64,
    /// Refused for good.
    pub bounced: u64,
    /// Connections reset instead of an answer.
    pub reset: u64,
    /// Given up by the sender half-way.
    pub dropped: u64,
    /// Most sessions at once.
    pub sessions_peak: u64,
    /// Refusals by their words, placeholders unfilled.
    pub said: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds `other`'s figures.
    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.accepted += other.accepted;
        self.deferred += other.deferred;
        self.bounced += other.bounced;
        self.reset += other.reset;
        self.dropped += other.dropped;
        self.sessions_peak = self.sessions_peak.max(other.sessions_peak);
        for (words, n) in &other.said {
            *self.said.entry(words.clone()).or_default() += n;
        }
    }
}

#[derive(Debug)]
struct Session {
    messages: u32,
    last: Timestamp,
    open: Option<Transaction>,
}

#[derive(Debug)]
struct Transaction {
    group: GroupName,
    /// What will be said to the final dot.
    objection: Option<(Objection, Said)>,
}

/// One receiving system (a bucket), as one sending IP sees it.
#[derive(Debug)]
pub struct Provider {
    tolerance: Tolerance,
    seed: u64,
    ip: String,
    sessions: BTreeMap<u64, Session>,
    /// Messages above the pace, and when that was so.
    level: f64,
    levelled: Option<Timestamp>,
    recent: VecDeque<bool>,
    angry: Option<(Objection, Timestamp)>,
    counts: BTreeMap<GroupName, Counts>,
}

impl Provider {
    /// A system that has never seen the sender at `ip` (only named in its words).
    #[must_use]
    pub fn new(tolerance: Tolerance, seed: u64, ip: &str) -> Self {
        Self {
            tolerance,
            seed,
            ip: ip.to_owned(),
            sessions: BTreeMap::new(),
            level: 0.0,
            levelled: None,
            recent: VecDeque::new(),
            angry: None,
            counts: BTreeMap::new(),
        }
    }

    /// A recipient in `session` (opened when it is new): connection, MAIL and RCPT in one, as a relay that passes replies on
    /// does it. `None`: go on with the message.
    pub fn rcpt(&mut self, session: u64, group: &GroupName, address: &str, now: Timestamp) -> Option<Said> {
        self.drop_transaction(session);
        self.counts.entry(group.clone()).or_default().offered += 1;
        self.sessions.entry(session).or_insert(Session { messages: 0, last: now, open: None }).last = now;
        let at_once = u64::try_from(self.sessions_at(now)).unwrap_or(u64::MAX);
        if let Some(counts) = self.counts.get_mut(group) {
            counts.sessions_peak = counts.sessions_peak.max(at_once);
        }
        let objection = self.temper(session, at_once, now).or_else(|| self.mailbox(address));
        let said = objection.and_then(|o| say(group, o, address, &self.ip).map(|said| (o, said)));
        match said {
            Some((objection, said)) if !said.late => {
                self.note(group, objection, &said);
                Some(said)
            }
            later => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.messages += 1;
                    session.open = Some(Transaction { group: group.clone(), objection: later });
                }
                None
            }
        }
    }

    /// The final dot. `None`: accepted.
    pub fn body(&mut self, session: u64, now: Timestamp) -> Option<Said> {
        let session = self.sessions.get_mut(&session)?;
        let open = session.open.take()?;
        session.last = now;
        if let Some((objection, said)) = open.objection {
            self.note(&open.group, objection, &said);
            return Some(said);
        }
        self.counts.entry(open.group).or_default().accepted += 1;
        None
    }

    /// The sender gave the message up (RSET, a new MAIL).
    pub fn drop_transaction(&mut self, session: u64) {
        if let Some(open) = self.sessions.get_mut(&session).and_then(|s| s.open.take()) {
            self.counts.entry(open.group).or_default().dropped += 1;
        }
    }

    /// The session is over.
    pub fn close(&mut self, session: u64) {
        self.drop_transaction(session);
        self.sessions.remove(&session);
    }

    /// What became of the messages, by destination group.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<GroupName, Counts> {
        &self.counts
    }

    /// What it holds against the sender at `now`, and until when.
    #[must_use]
    pub fn angry(&self, now: Timestamp) -> Option<(Objection, Timestamp)> {
        self.angry.filter(|(_, until)| now < *until)
    }

    /// Sessions that were used within [`IDLE`].
    fn sessions_at(&self, now: Timestamp) -> usize {
        self.sessions.values().filter(|s| s.open.is_some() || since(s.last, now) <= IDLE).count()
    }

    /// What the system holds against the sender rather than against this mail.
    fn temper(&mut self, session: u64, at_once: u64, now: Timestamp) -> Option<Objection> {
        if let Some((objection, _)) = self.angry(now) {
            return Some(objection);
        }
        if at_once > u64::from(self.tolerance.sessions.get()) {
            return Some(Objection::Sessions);
        }
        let on_this = self.sessions.get(&session).map_or(0, |s| s.messages);
        if on_this >= self.tolerance.messages_per_session.get() {
            return Some(Objection::SessionLength);
        }
        let unknown = self.recent.iter().filter(|u| **u).count();
        if self.recent.len() >= SAMPLE && over(unknown, self.recent.len(), self.tolerance.unknown_users) {
            self.recent.clear();
            return Some(self.lose_patience(Objection::UnknownShare, now));
        }
        let passed = self.levelled.map_or(Duration::ZERO, |at| since(at, now));
        self.levelled = Some(self.levelled.map_or(now, |at| at.max(now)));
        self.level = (self.level - passed.as_secs_f64() * self.tolerance.rate.per_second()).max(0.0);
        if self.level + 1.0 > f64::from(self.tolerance.depth.get()) {
            return Some(self.lose_patience(Objection::Pace, now));
        }
        self.level += 1.0;
        None
    }

    fn lose_patience(&mut self, objection: Objection, now: Timestamp) -> Objection {
        let until = now.checked_add(self.tolerance.penalty).unwrap_or(Timestamp::MAX);
        self.angry = Some((objection, until));
        // Nothing comes in meanwhile: what was too much is forgotten by then.
        self.level = 0.0;
        objection
    }

    /// What is wrong with the address.
    fn mailbox(&mut self, address: &str) -> Option<Objection> {
        let place = draw(self.seed, &address.to_ascii_lowercase());
        let unknown = self.tolerance.unknown.map_or(0.0, Share::fraction);
        let full = self.tolerance.full.map_or(0.0, Share::fraction);
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(place < unknown);
        if place < unknown { Some(Objection::Unknown) } else { (place < unknown + full).then_some(Objection::Full) }
    }

    fn note(&mut self, group: &GroupName, objection: Objection, said: &Said) {
        let counts = self.counts.entry(group.clone()).or_default();
        match &said.answer {
            crate::core::reply::Answer::Fault(_) => counts.reset += 1,
            crate::core::reply::Answer::Reply(_) if objection.is_final() => counts.bounced += 1,
            crate::core::reply::Answer::Reply(_) => counts.deferred += 1,
        }
        *counts.said.entry(said.pattern.to_owned()).or_default() += 1;
    }
}

/// Whether `part` of `whole` is more than `share`.
fn over(part: usize, whole: usize, share: Share) -> bool {
    let (part, whole) = (u32::try_from(part).unwrap_or(u32::MAX), u32::try_from(whole).unwrap_or(u32::MAX));
    f64::from(part) > f64::from(whole) * share.fraction()
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

/// A place in [0, 1) for `text`: FNV-1a, then the finisher of SplitMix64 so that likely texts spread evenly.
fn draw(seed: u64, text: &str) -> f64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = u32::try_from((hash ^ (hash >> 31)) >> 32).unwrap_or(0);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn name(text: &str) -> GroupName {
        GroupName::new(text).expect("a name")
    }

    fn tolerance() -> Tolerance {
        let n = |n| NonZeroU32::new(n).expect("above zero");
        Tolerance {
            rate: "1/s".parse().expect("a rate"),
            depth: n(10),
            sessions: n(2),
            messages_per_session: n(20),
            unknown_users: Share::percent(10),
            penalty: Duration::from_secs(600),
            unknown: None,
            full: None,
        }
    }

    fn start() -> Timestamp {
        "2026-11-24T09:00:00+09:00".parse().expect("a time")
    }

    /// Sends `n` messages at once on one session; what was said, in order, without accepted ones.
    fn burst(provider: &mut Provider, group: &str, n: u32, now: Timestamp) -> Vec<String> {
        let mut said = Vec::new();
        for i in 0..n {
            let session = u64::from(i / 20);
            let answer = provider.rcpt(session, &name(group), &format!("u{i}@example.jp"), now);
            let answer = answer.or_else(|| provider.body(session, now));
            said.extend(answer.map(|s| s.answer.to_string()));
            if i % 20 == 19 {
                provider.close(session);
            }
        }
        said
    }

    #[test]
    fn within_its_pace_everything_is_accepted() {
        let mut provider = Provider::new(tolerance(), 1, "127.0.0.1");
        let mut now = start();
        for i in 0..500 {
            assert_eq!(provider.rcpt(1 + i / 15, &name("docomo"), &format!("u{i}@docomo.ne.jp"), now), None);
            assert_eq!(provider.body(1 + i / 15, now), None);
            now += SignedDuration::from_secs(1);
        }
        assert_eq!(provider.counts()[&name("docomo")].accepted, 500);
    }

    #[test]
    fn over_its_pace_each_carrier_refuses_in_its_own_way_until_the_penalty_is_over() {
        for (group, words) in [
            ("docomo", "421 Service not available"),
            ("au", "connection reset"),
            ("yahoo-jp", "421 [TSS04]"),
            ("gmail", "421 4.7.28"),
            ("outlook", "451 4.7.650"),
            ("ocn", "450 4.7.1 Error: too much mail"),
            ("nifty", "421 4.7.0 Error: too many connections"),
        ] {
            let mut provider = Provider::new(tolerance(), 1, "127.0.0.1");
            let said = burst(&mut provider, group, 15, start());
            assert_eq!(said.len(), 5, "{group}: ten fit into its patience");
            assert!(said.iter().all(|s| s.starts_with(words)), "{group}: {said:?}");
            let during = start() + SignedDuration::from_secs(599);
            assert_eq!(burst(&mut provider, group, 1, during).len(), 1, "{group}");
            let after = start() + SignedDuration::from_secs(600);
            assert_eq!(burst(&mut provider, group, 1, after), Vec::<String>::new(), "{group}");
            let counts = &provider.counts()[&name(group)];
            assert_eq!((counts.offered, counts.accepted), (17, 11));
            assert_eq!(counts.deferred + counts.reset, 6);
            assert_eq!(counts.reset > 0, group == "au");
        }
    }

    #[test]
    fn too_many_sessions_are_refused_while_they_last() {
        let mut provider = Provider::new(tolerance(), 1, "127.0.0.1");
        let gmail = name("gmail");
        for session in 0..2 {
            assert_eq!(provider.rcpt(session, &gmail, "a@gmail.com", start()), None);
        }
        let third = provider.rcpt(9, &gmail, "a@gmail.com", start()).expect("refused");
        assert_eq!(third.answer.to_string(), "421 4.7.0 Try again later, closing connection.");
        provider.close(9);
        provider.close(0);
        assert_eq!(provider.rcpt(10, &gmail, "a@gmail.com", start()), None);
        assert_eq!(provider.counts()[&gmail].sessions_peak, 3);
        assert_eq!(provider.counts()[&gmail].dropped, 1, "session 0 was closed with its message open");
    }

    #[test]
    fn a_list_of_unknown_users_is_refused_as_a_whole() {
        let mut all_unknown = tolerance();
        all_unknown.unknown = Some(Share::percent(30));
        all_unknown.depth = NonZeroU32::new(1_000).expect("above zero");
        let mut provider = Provider::new(all_unknown, 7, "127.0.0.1");
        let said = burst(&mut provider, "yahoo-jp", 200, start());
        assert!(said.iter().any(|s| s.starts_with("554 delivery error: dd This user doesn't have")));
        assert!(said.iter().any(|s| s.contains("VS98-IP0 deferred")));
        assert_eq!(provider.angry(start()).map(|a| a.0), Some(Objection::UnknownShare));
    }

    #[test]
    fn an_address_is_unknown_for_ever_and_about_as_many_as_asked_for() {
        let mut some = tolerance();
        (some.unknown, some.full) = (Some(Share::percent(3)), Some(Share::percent(2)));
        let mut one = Provider::new(some.clone(), 42, "127.0.0.1");
        let mut two = Provider::new(some.clone(), 42, "127.0.0.1");
        let mut other = Provider::new(some, 43, "127.0.0.1");
        let mut fates = BTreeMap::new();
        let mut differs = false;
        for i in 0..10_000 {
            let address = format!("User{i}@docomo.ne.jp");
            let fate = one.mailbox(&address);
            assert_eq!(fate, two.mailbox(&address.to_lowercase()));
            differs |= fate != other.mailbox(&address);
            *fates.entry(fate).or_insert(0) += 1;
        }
        assert!(differs, "another seed makes another world");
        assert!((250..350).contains(&fates[&Some(Objection::Unknown)]), "{fates:?}");
        assert!((150..250).contains(&fates[&Some(Objection::Full)]), "{fates:?}");
    }

    #[test]
    fn some_count_the_messages_on_a_session() {
        let mut patient = tolerance();
        patient.depth = NonZeroU32::new(1_000).expect("above zero");
        for (group, refused) in [("jcom", true), ("yahoo-inc", true), ("docomo", false)] {
            let mut provider = Provider::new(patient.clone(), 1, "127.0.0.1");
            for _ in 0..20 {
                assert_eq!(provider.rcpt(1, &name(group), "a@example.jp", start()), None);
                assert_eq!(provider.body(1, start()), None);
            }
            assert_eq!(provider.rcpt(1, &name(group), "a@example.jp", start()).is_some(), refused, "{group}");
        }
    }
}
