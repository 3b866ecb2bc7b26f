//! Owns what a report means by the rules in force, and what that does to its address.
//!
//! Invariants: a pure function of the configuration and the report; only what was refused or delayed is read by the rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Config;
use crate::core::address::Address;
use crate::core::feedback::{Fate, Heard};
use crate::core::names::RelayName;
use crate::core::reply::{Action, Consequence, Reading, Reason, Signal, consequence};

/// What a report means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// By the rules; `None` where nothing was refused or delayed.
    pub reading: Option<Reading>,
    /// What it does to its address.
    pub consequence: Consequence,
}

impl Judged {
    /// What is recorded of it: whose fault, what is asked for, why, by which rule.
    #[must_use]
    pub fn facts(&self) -> (Signal, Option<Action>, Reason, Option<Arc<str>>) {
        match &self.reading {
            Some(reading) => (reading.signal, Some(reading.action), reading.reason, reading.rule.clone()),
            None => (Signal::Unclassified, None, Reason::NotARefusal, None),
        }
    }
}

/// What `heard` of `relay`, where that is known, means. The group is that of the recipient whom the report names, whose system spoke; else of `ours`, the key of
/// the message that it is about. Words of a relay are those of the kind that every relay of the configuration has; where kinds
/// differ, those of all kinds are heard: which relay handed the message on is known only where it is recorded.
#[must_use]
pub fn judge(config: &Config, relay: Option<&RelayName>, heard: &Heard, ours: Option<&str>) -> Judged {
    if !matches!(heard.fate, Fate::Refused | Fate::Delayed) {
        return Judged { reading: None, consequence: consequence(heard.fate, None) };
    }
    let named = heard.recipient.as_deref().and_then(key_of);
    let domain = named.as_deref().or(ours).and_then(|key| key.rsplit_once('@')).map(|(_, domain)| domain);
    let group = domain.map(|domain| config.groups.route(domain).group.name.clone());
    let reading = config.rules.read_report(kind(config, relay), &heard.said, heard.stage, group.as_ref());
    let consequence = consequence(heard.fate, Some(&reading));
    Judged { reading: Some(reading), consequence }
}

/// The key of an address as a report writes it; `None` where it is none.
#[must_use]
pub fn key_of(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    Address::parse(text).ok().map(|address| address.key())
}

fn kind(config: &Config, relay: Option<&RelayName>) -> Option<&'static str> {
    let asked = config.relays.values().filter(|settings| relay.is_none_or(|name| settings.name == *name));
    let kinds: BTreeSet<Option<&'static str>> = asked.map(|settings| settings.kind()).collect();
    kinds.first().copied().flatten().filter(|_| kinds.len() == 1)
}
