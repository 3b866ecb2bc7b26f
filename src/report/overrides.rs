//! Owns the words for what is in force on a lane beside its plan: slowed down by its answers, held by the operator, kept from growing.
//!
//! Invariant: each says its cause, its end, and the command that lifts it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::words::{at, number};
use crate::core::lane::{Ledger, Ramp};
use crate::core::names::LaneKey;
use crate::core::plan::LanePlan;

/// Something in force beside the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Override {
    /// `eased`, `held`, `ceiling`.
    pub kind: &'static str,
    /// Its cause.
    pub because: String,
    /// When it ends at the earliest; null: when somebody ends it, or with a plan day.
    pub until: Option<Timestamp>,
    /// The whole as a sentence.
    pub text: String,
}

/// Everything in force on a lane beside its plan.
#[must_use]
pub fn overrides(key: &LaneKey, ledger: &Ledger, plan: &LanePlan, now: Timestamp, zone: &TimeZone) -> Vec<Override> {
    let ramp = &ledger.ramp;
    let mut found = Vec::new();
    if ramp.eased < Ramp::WHOLE {
        let because = ramp.eased_because.clone().unwrap_or_else(|| "what it was answered".to_owned());
        let until = whole_again(ramp.eased, plan).and_then(|span| now.checked_add(span).ok());
        let end = until.map(|until| format!("whole again {} at the earliest", at(until, zone))).unwrap_or_default();
        let text = format!(
            "lane {key} goes at {} % of its plan's pace: {because}; {end}, or by `hikagen lane lift {key}`",
            ramp.eased / 10
        );
        found.push(Override { kind: "eased", because, until, text });
    }
    if let Some(because) = ramp.held.clone() {
        let text = format!(
            "lane {key} is held on warm-up day {}: {because}; until `hikagen lane go-on {key}`",
            ledger.warmup_day
        );
        found.push(Override { kind: "held", because, until: None, text });
    }
    let planned = plan.curve.value.quota(ledger.warmup_day);
    if let Some(ceiling) = ramp.ceiling.filter(|ceiling| *ceiling < planned) {
        let because = "nobody tells what becomes of its mail beyond the relay".to_owned();
        let text = format!(
            "lane {key} may send {} of the {} of warm-up day {}: {because}; it grows by {} a day at most (`blind_growth`)",
            number(ceiling.into()),
            number(planned.into()),
            ledger.warmup_day,
            plan.gate.blind_growth
        );
        found.push(Override { kind: "ceiling", because, until: None, text });
    }
    found
}

/// How long a lane takes at least to be at its plan's whole pace again.
fn whole_again(eased: u32, plan: &LanePlan) -> Option<Duration> {
    let up = u32::try_from(plan.throttling.up.of(u64::from(Ramp::WHOLE))).ok()?.max(1);
    plan.throttling.interval.checked_mul(Ramp::WHOLE.saturating_sub(eased).div_ceil(up))
}
