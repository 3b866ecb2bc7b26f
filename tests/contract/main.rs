//! Owns what every adapter must do, told as stories: the store's verbs, the relay's dialogues, the bytes of a message.
#![allow(clippy::unwrap_used, missing_docs)]

mod compose;
mod store;
