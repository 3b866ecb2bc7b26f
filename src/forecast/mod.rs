//! What will leave when: the core that decides for the worker, run in virtual time over counts instead of messages.
//!
//! Invariants: nothing is decided here. What a relay takes is asked of [`Schedule`](crate::core::schedule::Schedule), over the same
//! view of the backlog as the worker's; only time, and what carriers answer ([`Outcomes`]), are made up. Nothing is written anywhere.

mod answer;
mod engine;
mod expect;
mod outcomes;
mod queue;
mod scene;
#[cfg(test)]
mod tests;

pub use answer::{CampaignForecast, DayForecast, Forecast, GroupForecast, LimitForecast};
pub use engine::{STEP, forecast};
pub use expect::{Expectation, ExpectationError};
pub use outcomes::{OutcomeShares, Outcomes};
pub use scene::{ASSUMED, Scene, assumed_config, made_up_campaign};
