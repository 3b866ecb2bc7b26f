//! Owns the worker's own sockets: what others hand to it over HTTP and SMTP.
//!
//! Invariants: loopback unless configured otherwise; every connection is bounded in time, size and number; a socket that cannot be
//! opened is told at once and stops nothing else.

mod certificates;
pub mod events;
pub mod http;
pub mod smtp;
pub mod unsubscribe;
pub mod web;
