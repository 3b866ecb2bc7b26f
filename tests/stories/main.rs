//! The program as its operator meets it, end to end: one module per story.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod commands_answer;
mod explains_why_nothing_moves;
mod json_shapes;
mod keeps_campaigns;
mod obeys_its_service_manager;
mod prepared;
mod stands_on_real_parts;
