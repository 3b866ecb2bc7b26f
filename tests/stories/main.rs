//! The program as its operator meets it, end to end: one module per story.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod commands_answer;
mod demo;
mod explains_why_nothing_moves;
mod json_shapes;
mod keeps_campaigns;
mod knows_its_relays;
mod meets_broken_relays_and_disks;
mod obeys_its_operator;
mod obeys_its_service_manager;
mod prepared;
mod sends_the_examples_through_postfix;
mod stands_on_real_parts;
mod survives_being_killed_fifty_times;
