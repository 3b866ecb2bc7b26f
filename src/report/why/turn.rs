//! Owns the estimate of when a place in line comes up: quotas of the coming plan days, added up.
//!
//! It is the earliest day, not a promise: it takes every day as filled and followed by the next warm-up day, and leaves out
//! what other pools take from the same lanes.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;

use crate::config::RelaySettings;
use crate::core::names::LaneKey;
use crate::report::holds::{Hold, binding};
use crate::report::picture::Picture;

/// How far it looks, plan days.
const HORIZON: i64 = 400;

/// When a place in line comes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// The earliest plan day.
    pub day: Date,
    /// Messages that the lanes may hand over until the end of that day.
    pub until_then: u64,
}

/// A lane that may carry the message, and what holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carrier<'a> {
    /// The lane.
    pub(super) lane: &'a LaneKey,
    /// Its relay.
    pub(super) settings: &'a RelaySettings,
    /// What holds it.
    pub(super) holds: &'a [Hold],
}

/// The earliest plan day on which `carriers` together may have handed over more than `before` messages, from `start` on.
pub(super) fn turn(picture: &Picture<'_>, carriers: &[Carrier<'_>], before: u64, start: Timestamp) -> Option<Turn> {
    // For each lane: the warm-up day it has come to, and whether the day looked at last was used.
    let mut rungs: Vec<(u32, bool)> = vec![(0, false); carriers.len()];
    let mut sum = 0_u64;
    let from = picture.now.max(start);
    for ahead in 0..=HORIZON {
        let mut latest: Option<Date> = None;
        for (carrier, rung) in carriers.iter().zip(&mut rungs) {
            let today = picture.today(carrier.lane, carrier.settings);
            let day = today.day.checked_add(ahead.days()).ok()?;
            latest = latest.max(Some(day));
            let lane = carrier.settings.plan.lane(&carrier.lane.bucket);
            let hours = picture.hours(carrier.settings, lane, day);
            let free_from = match binding(carrier.holds) {
                Some(Hold { until: None, .. }) => continue,
                Some(Hold { until: Some(until), .. }) => from.max(*until),
                None => from,
            };
            let open = !hours.open_left(free_from).is_zero();
            if ahead == 0 {
                let left = if open { today.ledger.quota.saturating_sub(today.ledger.spent) } else { 0 };
                *rung = (today.ledger.warmup_day, today.ledger.spent + left > 0);
                sum += u64::from(left);
            } else if open {
                *rung = (rung.0 + u32::from(rung.1), true);
                sum += u64::from(lane.curve.value.quota(rung.0));
            }
        }
        if sum > before {
            return latest.map(|day| Turn { day, until_then: sum });
        }
    }
    None
}
