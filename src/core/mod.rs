//! The deciding half: plan + ledger + now + events -> decisions.
//!
//! Invariants: nothing here reads a clock, opens a file or a socket, is async, draws a random number or writes a log; the same
//! arguments give the same answer, in the worker, in the forecast and in the tests. Time is `jiff`'s `Timestamp`, always an
//! argument. Core does not fail: it returns decisions.

pub mod address;
pub mod campaign;
pub mod feedback;
pub mod journal;
pub mod lane;
pub mod moment;
pub mod names;
pub mod plan;
pub mod reply;
pub mod retry;
pub mod schedule;
pub mod units;
