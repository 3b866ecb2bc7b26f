//! Owns broken files of every kind with the words that their operator is told.
#![allow(clippy::unwrap_used, missing_docs)]

mod files;
mod lists;
