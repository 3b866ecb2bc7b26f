//! The long-lived half: owns relays, asks the core what may leave, hands it over, records what became of it.

pub mod events;
