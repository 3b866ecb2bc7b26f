//! Owns the destination groups: which recipient domain belongs to which group, and which group to which bucket.
//!
//! Invariant: `Groups::route` is total; `default` catches the rest. Order: dead domains, exact domain, pattern, suffix.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::core::names::{BucketName, GroupName};
use crate::core::units::Rate;

/// What sort of mail service a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// Mobile carrier.
    Carrier,
    /// Internet provider.
    Isp,
    /// Free mail.
    Freemail,
    /// World-wide services and everything else.
    Global,
}

/// Whether mail to a group can arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupStatus {
    /// In use.
    Active,
    /// Kept so that old addresses group properly.
    Legacy,
    /// Out of service: suppressed at intake.
    Dead,
}

/// In which form a local part with `..` or `.@` is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressForm {
    /// `"a..b"@docomo.ne.jp`
    Quoted,
    /// `a..b@docomo.ne.jp`
    Verbatim,
    /// The group never gave such addresses out: refused at intake.
    Refused,
}

/// A group's limits; `None`: none known. Steady state, one sending IP.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Pace for the whole group.
    pub rate: Option<Rate>,
    /// Parallel SMTP sessions.
    pub connections: Option<NonZeroU32>,
    /// Messages before the connection is given up.
    pub messages_per_connection: Option<NonZeroU32>,
    /// Composed message, octets.
    pub message_bytes_max: Option<u32>,
    /// Header section, octets.
    pub header_bytes_max: Option<u32>,
    /// Octets in a line without CRLF.
    pub line_bytes_max: Option<u32>,
    /// Pause after a block.
    pub cooldown: Option<Duration>,
    /// Longest such pause.
    pub cooldown_max: Option<Duration>,
}

/// One destination group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// The receiving system that it shares with other groups, or itself.
    pub bucket: BucketName,
    /// For people.
    pub title: String,
    /// What sort of service.
    pub kind: GroupKind,
    /// Whether mail can arrive.
    pub status: GroupStatus,
    /// Published, widely reported, inferred or unknown.
    pub confidence: String,
    /// Its limits.
    pub limits: Limits,
    /// Irregular local parts.
    pub irregular: AddressForm,
    /// Facts worth showing, each with its source.
    pub notes: Vec<String>,
}

/// Where a domain goes.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The group.
    pub group: &'a Group,
    /// The domain is out of service.
    pub dead: bool,
}

/// All destination groups. Built with [`Groups::new`] and `add_*`; later entries win, so files of one's own may override.
#[derive(Debug, Clone)]
pub struct Groups {
    groups: BTreeMap<GroupName, Group>,
    exact: HashMap<String, GroupName>,
    dead: HashMap<String, GroupName>,
    patterns: Vec<(DomainPattern, GroupName)>,
    suffixes: Vec<(String, GroupName)>,
    fallback: GroupName,
}

/// A matcher over the whole lower-cased domain, made by whoever reads the file (core owns no regular expressions).
#[derive(Clone)]
pub struct DomainPattern {
    /// As written.
    pub text: String,
    /// Whether a domain fits.
    pub fits: std::sync::Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl std::fmt::Debug for DomainPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.text)
    }
}

impl Groups {
    /// Starts with the group `default`, which catches every domain that no other lists.
    #[must_use]
    pub fn new(default: Group) -> Self {
        let fallback = default.name.clone();
        Self {
            groups: BTreeMap::from([(fallback.clone(), default)]),
            exact: HashMap::new(),
            dead: HashMap::new(),
            patterns: Vec::new(),
            suffixes: Vec::new(),
            fallback,
        }
    }

    /// Adds or replaces a group.
    pub fn add_group(&mut self, group: Group) {
        self.groups.insert(group.name.clone(), group);
    }

    /// `domain` (lower case, A-label) belongs to `group`.
    pub fn add_domain(&mut self, domain: &str, group: &GroupName) {
        self.exact.insert(domain.to_owned(), group.clone());
    }

    /// `domain` is out of service.
    pub fn add_dead(&mut self, domain: &str, group: &GroupName) {
        self.dead.insert(domain.to_owned(), group.clone());
    }

    /// Domains that fit `pattern` belong to `group`.
    pub fn add_pattern(&mut self, pattern: DomainPattern, group: &GroupName) {
        self.patterns.insert(0, (pattern, group.clone()));
    }

    /// Sub-domains (`.ocn.ne.jp`) belong to `group`.
    pub fn add_suffix(&mut self, suffix: &str, group: &GroupName) {
        self.suffixes.insert(0, (suffix.to_owned(), group.clone()));
        self.suffixes.sort_by_key(|(s, _)| std::cmp::Reverse(s.len()));
    }

    /// All groups by name.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A group by name.
    #[must_use]
    pub fn get(&self, name: &GroupName) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Every bucket, with its groups.
    #[must_use]
    pub fn buckets(&self) -> BTreeMap<BucketName, Vec<&Group>> {
        let mut buckets: BTreeMap<BucketName, Vec<&Group>> = BTreeMap::new();
        for group in self.groups.values() {
            buckets.entry(group.bucket.clone()).or_default().push(group);
        }
        buckets
    }

    /// Where `domain` (lower case, A-label) goes.
    ///
    /// # Panics
    /// Never: the fallback group is put in at construction and cannot be taken out.
    #[must_use]
    pub fn route(&self, domain: &str) -> Route<'_> {
        let found = self.dead.get(domain).map(|name| (name, true)).or_else(|| {
            let exact = self.exact.get(domain);
            let pattern = || self.patterns.iter().find(|(p, _)| (p.fits)(domain)).map(|(_, name)| name);
            let suffix = || {
                let longer = |s: &str| domain.len() > s.len() && domain.ends_with(s);
                self.suffixes.iter().find(|(s, _)| longer(s)).map(|(_, name)| name)
            };
            exact.or_else(pattern).or_else(suffix).map(|name| (name, false))
        });
        let known = found.and_then(|(name, dead)| self.groups.get(name).map(|group| (group, dead)));
        let (group, dead) = known
            .unwrap_or_else(|| (self.groups.get(&self.fallback).expect("the fallback group is always there"), false));
        Route { group, dead: dead || group.status == GroupStatus::Dead }
    }
}
