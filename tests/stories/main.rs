//! The program as its operator meets it, end to end: one module per story.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod cares_for_its_store;
mod commands_answer;
mod demo;
mod draws_charts;
mod explains_why_nothing_moves;
mod foresees_what_will_leave;
mod forgets_a_person;
mod hears_by_mail_and_by_log;
mod hears_from_beyond_the_relay;
mod hears_postfix;
mod helps_at_the_shell;
mod json_shapes;
mod keeps_campaigns;
mod knows_its_relays;
mod leaves_by_a_link;
mod lists_the_published_curves;
mod meets_broken_relays_and_disks;
mod obeys_its_operator;
mod obeys_its_service_manager;
mod prepared;
mod reads_long_lists;
mod reports_the_day;
mod sends_the_examples_through_postfix;
mod stands_on_real_parts;
mod steers_its_lanes;
mod stops_before_it_is_blocked;
mod survives_being_killed_fifty_times;
mod takes_bounces_from_postfix;
mod tells_what_was_decided;
mod tries_its_rules;
