//! Owns broken files of every kind with the words that their operator is told.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod lists;
mod schema;
