//! Owns worlds that exist only in memory: receiving systems as they behave, for the simulator's server, the demonstration and
//! the tests.
//!
//! Invariant: no clock, socket or randomness. Time comes with every call and every choice is a hash of the seed, so the same
//! calls always give the same answers.

mod carriers;
mod provider;
mod words;

pub use carriers::{Carriers, Manners};
pub use provider::{Counts, Provider, Tolerance};
pub use words::{Objection, Said, say};
