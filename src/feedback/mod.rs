//! Owns what is heard from beyond the relay: every way in ends here, in the same record.
//!
//! Invariants: whose mail a report is about is told by the signed token first; a report that was taken twice changes nothing; what
//! cannot be matched or read is counted and kept, never guessed into harm; only an address's own fault suppresses it.

pub mod follow;
pub mod import;
mod judge;
pub mod log;
pub mod mail;
pub mod provider;
mod whose;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::SharedClock;
use crate::compose::Tokens;
use crate::config::Config;
use crate::core::campaign::MessageId;
use crate::core::feedback::{Fate, Heard, Way};
use crate::core::names::{CampaignName, RelayName};
use crate::core::reply::Consequence;
use crate::store::{Recorded, Report, Store, StoreError, SuppressionReason};

pub use judge::{Judged, judge, key_of};
pub use whose::token_of;

/// Tells the configuration in force.
pub type InForce = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Somebody who left a list, or complained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// When.
    pub at: Timestamp,
    /// Address key.
    pub address: String,
    /// The campaign whose mail it was, when it is known.
    pub campaign: Option<CampaignName>,
    /// In words, without the address.
    pub text: String,
}

/// Is told of everybody who leaves, once.
pub type Told = Arc<dyn Fn(Left) + Send + Sync>;

/// Reports that are recorded in one transaction: some milliseconds of the store, so that those who send hardly wait.
pub const AT_ONCE: usize = 200;

/// Takes what was heard, whatever the way. Cheap to clone.
#[derive(Clone)]
pub struct Ear {
    store: Arc<dyn Store>,
    tokens: Arc<Tokens>,
    clock: SharedClock,
    config: InForce,
    told: Option<Told>,
}

impl Ear {
    /// An ear that records in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, tokens: Arc<Tokens>, clock: SharedClock, config: InForce) -> Self {
        Self { store, tokens, clock, config, told: None }
    }

    /// The same, and `told` hears of everybody who leaves.
    #[must_use]
    pub fn telling(self, told: Told) -> Self {
        Self { told: Some(told), ..self }
    }

    /// Records one wish to leave, and tells of it when it is new.
    async fn part_with(&self, report: Report, now: Timestamp) -> Result<Recorded, StoreError> {
        let (fate, way, at) = (report.fate, report.way.clone(), report.at);
        let (key, message) = (report.key.clone(), report.message);
        let recorded = self.store.record_reports(vec![report], now).await?;
        let (Some(told), Some(address), true) = (&self.told, key, recorded.new > 0) else { return Ok(recorded) };
        let campaign = match message {
            Some(id) => self.store.recipient_of(id).await?.map(|recipient| recipient.campaign),
            None => None,
        };
        let what = if fate == Fate::Complaint { "complained" } else { "left the list" };
        told(Left { at, address, campaign, text: format!("somebody {what} (heard by {})", way.as_str()) });
        Ok(recorded)
    }

    /// Matches, classifies and records, in order, in batches of bounded size; durable when it returns.
    ///
    /// # Errors
    /// The store cannot be written: what was recorded stays, and taking all of it again changes nothing twice.
    pub async fn take(&self, heard: Vec<Heard>) -> Result<Recorded, StoreError> {
        let config = (self.config)();
        let desk = Desk { config: &config, tokens: Some(&self.tokens), store: Some(&*self.store), relay: None };
        let mut all = Recorded::default();
        let mut heard = heard.into_iter();
        loop {
            let now = self.clock.now();
            let batch: Vec<Heard> = heard.by_ref().take(AT_ONCE).collect();
            if batch.is_empty() {
                return Ok(all);
            }
            let mut reports = Vec::with_capacity(batch.len());
            for report in desk.reports(batch, now).await? {
                if !parts(&report) {
                    reports.push(report);
                    continue;
                }
                // One by one, in its place: whoever leaves is told of, once.
                self.record(&mut all, std::mem::take(&mut reports), now).await?;
                add(&mut all, self.part_with(report, now).await?);
            }
            self.record(&mut all, reports, now).await?;
        }
    }

    async fn record(&self, all: &mut Recorded, reports: Vec<Report>, now: Timestamp) -> Result<(), StoreError> {
        if !reports.is_empty() {
            add(all, self.store.record_reports(reports, now).await?);
        }
        Ok(())
    }
}

/// Whether somebody left, or complained.
fn parts(report: &Report) -> bool {
    matches!(report.fate, Fate::Unsubscribed | Fate::Complaint)
}

/// Adds up what became of batches.
pub fn add(all: &mut Recorded, batch: Recorded) {
    all.new += batch.new;
    all.repeated += batch.repeated;
    all.unmatched += batch.unmatched;
    all.suppressed += batch.suppressed;
}

/// What a report is matched and judged with.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Tells our tokens; `None`: every mail is somebody else's.
    pub tokens: Option<&'a Tokens>,
    /// Knows our messages; `None`: nothing is looked up.
    pub store: Option<&'a dyn Store>,
    /// The relay that the reports are of, where that is known.
    pub relay: Option<&'a RelayName>,
}

impl Desk<'_> {
    /// What of `heard` is recorded, in its order, with one look into the store for whose mail all of it was. A token whose signature is right names the message, and then the message names the address:
    /// what a report says of its recipient could be about somebody else. Which relay handed the message on is known to the
    /// store alone, so words of relays are heard as [`judge`] says.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn reports(&self, heard: Vec<Heard>, now: Timestamp) -> Result<Vec<Report>, StoreError> {
        let message = |one: &Heard| self.tokens.and_then(|tokens| token_of(tokens, &one.clues));
        let named: Vec<Option<MessageId>> = heard.iter().map(message).collect();
        let ours: HashMap<MessageId, String> = match self.store {
            Some(store) if named.iter().any(Option::is_some) => {
                let found = store.recipients_of(named.iter().copied().flatten().collect()).await?;
                found.into_iter().map(|recipient| (recipient.message, recipient.key)).collect()
            }
            _ => HashMap::new(),
        };
        let mut reports = Vec::with_capacity(heard.len());
        for (one, message) in heard.into_iter().zip(named) {
            let ours = message.and_then(|id| ours.get(&id).cloned());
            reports.push(self.report(one, message, ours, now).await?);
        }
        Ok(reports)
    }

    /// What of one is recorded: `message` by its token, `ours` the address that the store has for it.
    async fn report(
        &self,
        heard: Heard,
        message: Option<MessageId>,
        ours: Option<String>,
        now: Timestamp,
    ) -> Result<Report, StoreError> {
        let judged = judge(self.config, self.relay, &heard, ours.as_deref());
        let key = ours.or_else(|| heard.recipient.as_deref().and_then(key_of));
        let (signal, action, reason, rule) = judged.facts();
        let consequence = match &key {
            Some(key) if message.is_none() && heard.way == Way::MAIL && !self.mailed(key).await? => {
                Consequence::Nothing
            }
            _ => judged.consequence,
        };
        let suppress = match consequence {
            Consequence::Unknown => Some(SuppressionReason::Unknown),
            Consequence::Complaint => Some(SuppressionReason::Complaint),
            Consequence::Unsubscribe => Some(SuppressionReason::Unsubscribe),
            Consequence::Nothing | Consequence::Mailbox => None,
        };
        let counted = consequence == Consequence::Mailbox;
        Ok(Report {
            at: when(heard.at, now),
            way: heard.way,
            id: heard.id,
            fate: heard.fate,
            message,
            key,
            said: heard.said,
            stage: heard.stage,
            remote: heard.remote,
            signal,
            action,
            reason,
            rule,
            suppress,
            mailbox_after: counted.then_some(self.config.feedback.full_mailbox_after),
            evidence: heard.evidence,
        })
    }

    /// Whether we have mail to this address. Anybody can write a bounce mail: one that bears no token of ours must at least be
    /// about somebody whom we mailed.
    async fn mailed(&self, key: &str) -> Result<bool, StoreError> {
        match self.store {
            Some(store) => Ok(!store.messages_to(key).await?.is_empty()),
            None => Ok(true),
        }
    }
}

/// A clock of somebody else that runs ahead, or a report without a time: it is of now.
fn when(told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    told.filter(|at| *at <= now).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_missing_or_to_come_is_now() {
        let now = Timestamp::from_second(1_000).expect("in range");
        let (before, after) = (Timestamp::from_second(900).ok(), Timestamp::from_second(1_001).ok());
        assert_eq!((when(None, now), when(after, now)), (now, now));
        assert_eq!(Some(when(before, now)), before);
    }
}
