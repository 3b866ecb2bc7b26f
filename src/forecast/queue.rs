//! Owns the mail of a forecast as counts: per campaign and bucket what waits, what waits for its retry, and what became of it.
//!
//! Invariant: what a row began with is at any time accepted + bounced + expired + open.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::outcomes::{Divider, Fates, OutcomeShares};
use crate::core::campaign::CampaignId;
use crate::core::retry::RetryTerms;
use crate::store::WaitingRow;

/// Messages that were tried equally often and are due together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cohort {
    pub(super) n: u64,
    /// Attempts so far, at least 1.
    attempts: u32,
    first: Timestamp,
    /// Relay (by its place) and plan day of the last attempt; `None`: before the forecast began.
    last: Option<(usize, Date)>,
}

/// A campaign's mail in one bucket. Its waiting counts stand in the outlook's row of the same place.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) began_with: u64,
    pub(super) open: u64,
    pub(super) accepted: u64,
    pub(super) bounced: u64,
    pub(super) expired: u64,
    /// When the last of it came to its end.
    pub(super) ended: Option<Timestamp>,
    /// Tried before and in line, the first due first.
    retries: VecDeque<Cohort>,
    /// For first attempts, and for later ones.
    dividers: [Divider; 2],
}

/// What one claim of a row came to, for the lane's plan day.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) fates: Fates,
    /// Messages that the lane had not tried before on this plan day.
    pub(super) new_today: u64,
    /// Of those deferred on this plan day before: how many were tried again.
    pub(super) again: u64,
}

/// One claim of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handover<'a> {
    pub(super) fresh: u64,
    pub(super) retries: u64,
    /// Relay (by its place) and plan day.
    pub(super) by: (usize, Date),
    pub(super) shares: OutcomeShares,
    pub(super) terms: &'a RetryTerms,
    /// When the last of it is answered.
    pub(super) at: Timestamp,
}

/// All mail.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) rows: Vec<Row>,
    /// By time and row.
    due: BTreeMap<(Timestamp, usize), Vec<Cohort>>,
}

impl Queue {
    /// Takes what waits. `later` says when what waits for its retry is due.
    pub(super) fn of(waiting: &mut [WaitingRow], from: Timestamp, later: impl Fn(CampaignId) -> Duration) -> Self {
        let mut queue = Self::default();
        for (i, row) in waiting.iter_mut().enumerate() {
            let cohort = |n| Cohort { n, attempts: 1, first: from, last: None };
            let began_with = row.fresh + row.retries + row.later;
            queue.rows.push(Row {
                began_with,
                open: began_with,
                accepted: 0,
                bounced: 0,
                expired: 0,
                ended: None,
                retries: (row.retries > 0).then(|| cohort(row.retries)).into_iter().collect(),
                dividers: [Divider::new(); 2],
            });
            if row.later > 0 {
                let due = from.checked_add(later(row.campaign)).unwrap_or(from);
                queue.due.entry((due, i)).or_default().push(cohort(row.later));
                row.later = 0;
            }
        }
        queue
    }

    /// When the next retry is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Puts what is due back into line.
    pub(super) fn feed(&mut self, waiting: &mut [WaitingRow], now: Timestamp) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let ((_, i), cohorts) = entry.remove_entry();
            for cohort in cohorts {
                waiting[i].retries += cohort.n;
                self.rows[i].retries.push_back(cohort);
            }
        }
    }

    /// Whether everything has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.rows.iter().all(|row| row.open == 0)
    }

    /// Everything of the rows meant expires.
    pub(super) fn expire(&mut self, waiting: &mut [WaitingRow], meant: impl Fn(CampaignId) -> bool, at: Timestamp) {
        for (i, row) in self.rows.iter_mut().enumerate() {
            if row.open == 0 || !meant(waiting[i].campaign) {
                continue;
            }
            row.expired += std::mem::take(&mut row.open);
            row.ended = Some(at);
            row.retries.clear();
            (waiting[i].fresh, waiting[i].retries) = (0, 0);
            self.due.retain(|(_, of), _| *of != i);
        }
    }

    /// Hands mail of row `i` over, and takes what became of it.
    pub(super) fn hand_over(&mut self, i: usize, line: &mut WaitingRow, handover: Handover<'_>) -> Counted {
        let mut counted = Counted::default();
        line.fresh = line.fresh.saturating_sub(handover.fresh);
        line.retries = line.retries.saturating_sub(handover.retries);
        if handover.fresh > 0 {
            let cohort = Cohort { n: handover.fresh, attempts: 0, first: handover.at, last: None };
            self.try_cohort(i, cohort, &handover, &mut counted);
        }
        let mut left = handover.retries;
        while left > 0
            && let Some(mut cohort) = self.rows[i].retries.pop_front()
        {
            let n = cohort.n.min(left);
            left -= n;
            if cohort.n > n {
                self.rows[i].retries.push_front(Cohort { n: cohort.n - n, ..cohort });
            }
            cohort.n = n;
            self.try_cohort(i, cohort, &handover, &mut counted);
        }
        counted
    }

    fn try_cohort(&mut self, i: usize, cohort: Cohort, handover: &Handover<'_>, counted: &mut Counted) {
        let row = &mut self.rows[i];
        let fates = row.dividers[usize::from(cohort.attempts > 0)].divide(cohort.n, handover.shares);
        if cohort.last == Some(handover.by) {
            counted.again += cohort.n
        } else {
            counted.new_today += cohort.n
        }
        row.accepted += fates.accepted;
        row.bounced += fates.bounced;
        row.open -= (fates.accepted + fates.bounced).min(row.open);
        counted.fates.accepted += fates.accepted;
        counted.fates.bounced += fates.bounced;
        counted.fates.unknown += fates.unknown;
        counted.fates.deferred += fates.deferred;
        if fates.deferred > 0 {
            let lived = handover.at.duration_since(cohort.first).unsigned_abs();
            if cohort.attempts > 0 && lived >= handover.terms.lifetime {
                row.expired += fates.deferred;
                row.open -= fates.deferred.min(row.open);
            } else {
                let after = &handover.terms.after;
                let step = usize::try_from(cohort.attempts).unwrap_or(usize::MAX).min(after.len().saturating_sub(1));
                let wait = after.get(step).copied().unwrap_or(Duration::from_secs(900));
                let due = handover.at.checked_add(wait).unwrap_or(Timestamp::MAX);
                let (attempts, last) = (cohort.attempts + 1, Some(handover.by));
                let waits = Cohort { n: fates.deferred, attempts, first: cohort.first, last };
                self.due.entry((due, i)).or_default().push(waits);
            }
        }
        if row.open == 0 {
            row.ended = Some(row.ended.map_or(handover.at, |ended| ended.max(handover.at)));
        }
    }
}
