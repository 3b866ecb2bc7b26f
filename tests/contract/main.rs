//! Owns what every adapter must do, told as stories: the store's verbs, the relay's dialogues.
#![allow(clippy::unwrap_used, missing_docs)]

mod store;
