//! Owns what every adapter must do, told as stories: the store's verbs, the relay's dialogues, the bytes of a message.
#![allow(clippy::unwrap_used, missing_docs)]

mod compose;
mod dkim;
mod eml;
mod feedback_mail;
mod feedback_providers;
mod feedback_sns;
mod forecast_golden;
mod intake;
mod listener_smtp;
mod lists;
mod relay_connects;
mod relay_dialogues;
mod relay_tls;
mod simulator;
mod store;
#[path = "../support/mod.rs"]
mod support;
