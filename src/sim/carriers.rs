//! Owns the receiving systems of all destination groups behind one relay that passes their replies on.
//!
//! Invariant: every address reaches exactly one system, the bucket of its group; a session with the relay is at most one
//! session with each system.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::provider::{Counts, Provider, Tolerance};
use super::words::Said;
use crate::core::names::{BucketName, GroupName};
use crate::core::plan::{Group, Groups};
use crate::core::reply::{Answer, Enhanced, Reply};
use crate::core::units::{Rate, Share};

/// How the receiving systems behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Manners {
    /// Same seed, same world.
    pub seed: u64,
    /// Share of addresses that nobody has; `None`: all exist.
    pub unknown: Option<Share>,
    /// Share of full mailboxes; `None`: none.
    pub full: Option<Share>,
    /// What they bear, as a multiple of each group's limits (200 % is twice its rate and its connections).
    pub bears: Share,
    /// Lanes of one's own: what these buckets bear in place of the multiple.
    pub own: BTreeMap<BucketName, Tolerance>,
    /// The sender's address in their words.
    pub ip: String,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            seed: 1,
            unknown: Some(Share::percent(1)),
            full: None,
            bears: Share::percent(200),
            own: BTreeMap::new(),
            ip: "127.0.0.1".to_owned(),
        }
    }
}

impl Manners {
    /// What the system that serves `groups` bears: the strictest of their limits, times `bears`.
    #[must_use]
    pub fn tolerance(&self, groups: &[&Group]) -> Tolerance {
        let strictest = |of: fn(&Group) -> Option<NonZeroU32>| groups.iter().filter_map(|g| of(g)).min();
        let times = |n: u32| {
            let more = self.bears.of(u64::from(n)).clamp(1, 1_000_000);
            NonZeroU32::new(u32::try_from(more).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
        };
        let rate = groups.iter().filter_map(|g| g.limits.rate).reduce(Rate::stricter);
        // Per minute, so that a rate below one a second keeps its value.
        let per_minute = rate.map_or(60.0, Rate::per_second) * 60.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=6_000_000")]
        let per_minute = times(per_minute.round().clamp(1.0, 6_000_000.0) as u32);
        let cooldown = groups.iter().filter_map(|g| g.limits.cooldown).max().unwrap_or(Duration::from_secs(1_800));
        Tolerance {
            rate: Rate::new(per_minute, Duration::from_secs(60)).or_else(|_| "1/s".parse()).unwrap_or_else(|_| slow()),
            depth: per_minute.max(DEPTH_MIN),
            sessions: times(strictest(|g| g.limits.connections).map_or(2, NonZeroU32::get)),
            messages_per_session: times(strictest(|g| g.limits.messages_per_connection).map_or(100, NonZeroU32::get)),
            unknown_users: Share::percent(5),
            // Over before a sender that waits its cooldown comes back.
            penalty: cooldown / 2,
            unknown: self.unknown,
            full: self.full,
        }
    }
}

const DEPTH_MIN: NonZeroU32 = NonZeroU32::new(30).expect("30 is not zero");

/// One a day: what is left when a rate cannot be told.
fn slow() -> Rate {
    Rate::new(NonZeroU32::MIN, Duration::from_secs(86_400)).expect("one a day is a rate")
}

/// All receiving systems.
#[derive(Debug)]
pub struct Carriers {
    groups: Arc<Groups>,
    systems: BTreeMap<BucketName, Provider>,
    dead: BTreeMap<GroupName, Counts>,
}

impl Carriers {
    /// The systems of `groups`, none of which has seen the sender yet.
    #[must_use]
    pub fn new(groups: Arc<Groups>, manners: &Manners) -> Self {
        let systems = groups.buckets().into_iter().map(|(bucket, members)| {
            let tolerance = manners.own.get(&bucket).cloned().unwrap_or_else(|| manners.tolerance(&members));
            (bucket, Provider::new(tolerance, manners.seed, &manners.ip))
        });
        let systems = systems.collect();
        Self { groups, systems, dead: BTreeMap::new() }
    }

    /// A recipient (`local@domain`, without quotes, domain in lower case) on the relay's session `session`. `None`: go on.
    pub fn rcpt(&mut self, session: u64, address: &str, now: Timestamp) -> Option<Said> {
        self.drop_transaction(session);
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let route = self.groups.route(domain);
        if route.dead {
            let counts = self.dead.entry(route.group.name.clone()).or_default();
            counts.offered += 1;
            counts.bounced += 1;
            *counts.said.entry(NO_HOST.to_owned()).or_default() += 1;
            let reply = Reply { code: 550, enhanced: Some(Enhanced(5, 1, 2)), text: "Host unknown".to_owned() };
            return Some(Said { answer: Answer::Reply(reply), late: false, pattern: NO_HOST });
        }
        self.systems.get_mut(&route.group.bucket)?.rcpt(session, &route.group.name, address, now)
    }

    /// The final dot. `None`: accepted.
    pub fn body(&mut self, session: u64, now: Timestamp) -> Option<Said> {
        self.systems.values_mut().find_map(|system| system.body(session, now))
    }

    /// The sender gave the open message up.
    pub fn drop_transaction(&mut self, session: u64) {
        for system in self.systems.values_mut() {
            system.drop_transaction(session);
        }
    }

    /// The relay's session is over, and with it those with the systems.
    pub fn close(&mut self, session: u64) {
        for system in self.systems.values_mut() {
            system.close(session);
        }
    }

    /// What became of the messages, by destination group; groups that saw none are left out.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<GroupName, Counts> {
        let mut all = self.dead.clone();
        for (group, counts) in self.systems.values().flat_map(Provider::counts) {
            all.entry(group.clone()).or_default().add(counts);
        }
        all
    }
}

const NO_HOST: &str = "550 5.1.2 Host unknown";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::{AddressForm, GroupKind, GroupStatus, Limits};

    fn group(name: &str, bucket: &str, rate: Option<&str>) -> Group {
        Group {
            name: GroupName::new(name).expect("a name"),
            bucket: BucketName::new(bucket).expect("a name"),
            title: name.to_owned(),
            kind: GroupKind::Carrier,
            status: GroupStatus::Active,
            confidence: "published".to_owned(),
            limits: Limits { rate: rate.map(|r| r.parse().expect("a rate")), ..Limits::default() },
            irregular: AddressForm::Quoted,
            notes: Vec::new(),
        }
    }

    fn groups() -> Arc<Groups> {
        let mut groups = Groups::new(group("default", "default", None));
        for (name, bucket, rate, domain) in [
            ("docomo", "docomo", "1/s", "docomo.ne.jp"),
            ("softbank", "softbank", "1/s", "softbank.ne.jp"),
            ("ymobile", "softbank", "30/min", "ymobile.ne.jp"),
        ] {
            let group = group(name, bucket, Some(rate));
            groups.add_domain(domain, &group.name);
            groups.add_group(group);
        }
        groups.add_dead("ido.ne.jp", &GroupName::new("docomo").expect("a name"));
        Arc::new(groups)
    }

    fn now() -> Timestamp {
        "2026-11-24T09:00:00+09:00".parse().expect("a time")
    }

    #[test]
    fn groups_of_one_bucket_share_patience_and_are_counted_apart() {
        let mut carriers = Carriers::new(groups(), &Manners { unknown: None, ..Manners::default() });
        let mut refused = 0;
        for i in 0_u64..80 {
            let domain = if i % 2 == 0 { "softbank.ne.jp" } else { "ymobile.ne.jp" };
            let session = i / 10;
            if carriers.rcpt(session, &format!("u{i}@{domain}"), now()).is_some() {
                refused += 1;
            } else {
                assert_eq!(carriers.body(session, now()), None);
            }
            if i % 10 == 9 {
                carriers.close(session);
            }
        }
        let counts = carriers.counts();
        let of = |name: &str| &counts[&GroupName::new(name).expect("a name")];
        // The stricter of 1/s and 30/min, doubled: 60 are borne.
        assert_eq!(of("softbank").accepted + of("ymobile").accepted, 60);
        assert_eq!((of("softbank").offered, of("ymobile").offered), (40, 40));
        assert_eq!(refused, 20);
        // docomo does not care.
        assert_eq!(carriers.rcpt(99, "a..b@docomo.ne.jp", now()), None);
        assert_eq!(carriers.body(99, now()), None);
    }

    #[test]
    fn a_dead_domain_bounces() {
        let mut carriers = Carriers::new(groups(), &Manners::default());
        let said = carriers.rcpt(1, "old@ido.ne.jp", now()).expect("a refusal");
        assert_eq!(said.answer.to_string(), "550 5.1.2 Host unknown");
        assert_eq!(carriers.counts()[&GroupName::new("docomo").expect("a name")].bounced, 1);
    }

    #[test]
    fn the_same_calls_give_the_same_world() {
        let run = || {
            let mut carriers =
                Carriers::new(groups(), &Manners { unknown: Some(Share::percent(20)), ..Manners::default() });
            for i in 0_u64..300 {
                let domain = ["docomo.ne.jp", "ymobile.ne.jp", "example.com"][usize::try_from(i % 3).expect("small")];
                if carriers.rcpt(i % 3, &format!("user{i}@{domain}"), now()).is_none() {
                    carriers.body(i % 3, now());
                }
            }
            carriers.counts()
        };
        assert_eq!(run(), run());
        assert!(run().values().any(|c| c.bounced > 0));
    }
}
