//! Hikagen (火加減): IP warm-up and throttled delivery scheduler for e-mail through authenticated SMTP relays.

pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod core;
pub mod intake;
pub mod relay;
pub mod report;
pub mod sim;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod worker;
