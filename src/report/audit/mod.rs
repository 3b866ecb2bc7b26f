//! Owns the audit: were the promises about volume and pace kept, judged from the attempts themselves?
//!
//! Invariants: quotas are computed anew from the plan's curve, paces from the times of release; the ledger is only compared,
//! never believed. [`judge`] is pure, so simulated worlds are judged by the same code as a real store.

mod checks;
mod evidence;
#[cfg(test)]
mod tests;

use jiff::civil::Date;
use serde::Serialize;

use super::words::{Table, count, number};
use crate::core::names::{LaneKey, RelayName};

pub use evidence::{DayEvidence, InForce, RelayEvidence, gather};

/// A promise that an audit looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No more attempts on a plan day than the curve's quota.
    Quota,
    /// The ledger's `spent` is what the attempts add up to.
    Ledger,
    /// One warm-up day per plan day; it rises by one at most, and only after a day that earned it.
    WarmupDay,
    /// Nothing leaves outside the lane's hours or before its start.
    Window,
    /// Never more than burst + rate x T in any time T, of a lane.
    Rate,
    /// Never more than that in any 60 minutes, of a lane.
    PerHour,
    /// Burst + rate x T, of a relay account.
    AccountRate,
    /// Any 60 minutes, of a relay account.
    AccountPerHour,
    /// Any 24 hours, of a relay account.
    AccountPerDay,
}

impl Rule {
    /// The word used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Ledger => "ledger",
            Self::WarmupDay => "warmup-day",
            Self::Window => "window",
            Self::Rate => "rate",
            Self::PerHour => "per-hour",
            Self::AccountRate => "account-rate",
            Self::AccountPerHour => "account-per-hour",
            Self::AccountPerDay => "account-per-day",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// Relay.
    pub relay: RelayName,
    /// Lane, written `relay/bucket`; `None` when the whole account is meant.
    #[serde(serialize_with = "super::words::shown")]
    pub lane: Option<LaneKey>,
    /// Plan day.
    pub day: Option<Date>,
    /// In words, with the figures.
    pub text: String,
}

/// A lane's plan day, recounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedDay {
    /// Lane.
    #[serde(serialize_with = "super::words::shown_one")]
    pub lane: LaneKey,
    /// Plan day.
    pub day: Date,
    /// Warm-up day on its claims.
    pub warmup_day: Option<u32>,
    /// The most that the plans in force allowed; `None` when the plan can no longer be read.
    pub quota: Option<u32>,
    /// Attempts that count.
    pub attempts: u64,
    /// Claims not settled yet.
    pub in_the_air: u64,
    /// Claims lost in a crash.
    pub lost: u64,
    /// Of the attempts (and those that cost no quota): folded into counts, so that nothing tells when they left.
    pub folded: u64,
    /// What the ledger says.
    pub spent: Option<u32>,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// First plan day looked at.
    pub since: Date,
    /// Releases whose times were looked at.
    pub releases: u64,
    /// Lanes' plan days.
    pub days: Vec<AuditedDay>,
    /// Broken promises; empty is good.
    pub violations: Vec<Violation>,
    /// What could not be looked at, in words.
    pub remarks: Vec<String>,
}

impl Audit {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The audit as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!(
            "Audit of {} since {}: {} recounted.\n\n",
            count(self.days.len() as u64, "lane day"),
            self.since,
            count(self.releases, "release")
        );
        let mut table = Table::new(
            ["LANE", "PLAN DAY", "DAY", "QUOTA", "ATTEMPTS", "IN AIR", "LOST", "LEDGER"],
            &[2, 3, 4, 5, 6, 7],
        );
        let shown = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| number(u64::from(n)));
        for day in &self.days {
            table.row([
                day.lane.to_string(),
                day.day.to_string(),
                shown(day.warmup_day),
                shown(day.quota),
                number(day.attempts),
                number(day.in_the_air),
                number(day.lost),
                shown(day.spent),
            ]);
        }
        out.push_str(&table.render("  "));
        for remark in &self.remarks {
            out.push_str(&format!("\nNot looked at: {remark}\n"));
        }
        if self.is_clean() {
            out.push_str("\nEvery promise was kept: quota, ledger, warm-up day, hours, rates and account limits.\n");
            return out;
        }
        out.push_str(&format!("\n{}:\n", count(self.violations.len() as u64, "violation")));
        for violation in &self.violations {
            out.push_str(&format!("  [{}] {}\n", violation.rule.as_str(), violation.text));
        }
        out
    }
}

/// Judges `evidence`, the plan days from `since` on.
#[must_use]
pub fn judge(evidence: &[RelayEvidence], since: Date) -> Audit {
    let mut audit = Audit { since, releases: 0, days: Vec::new(), violations: Vec::new(), remarks: Vec::new() };
    for relay in evidence {
        checks::relay(relay, &mut audit);
    }
    audit
}
