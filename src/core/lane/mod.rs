//! Owns one lane: ledger, throttle, hours.

pub mod calendar;
pub mod holidays;
mod ledger;

pub use ledger::{Ledger, Verdict, VerdictKind};
