//! Owns one lane: ledger, throttle, hours.

mod ledger;

pub use ledger::{Ledger, Verdict, VerdictKind};
