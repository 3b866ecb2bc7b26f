//! Owns the keys under `feedback`: what comes back from beyond the relay. Read by `config::config_file::feedback`.

use super::Shape::Scalar;
use super::forms::*;
use super::{Key, Table};

/// `feedback`.
pub static FEEDBACK: Table = Table::new(
    "feedback",
    &[&[Key::new(
        "full_mailbox_after",
        Scalar(&REPORTS),
        "Reports of a full or suspended mailbox, about different messages and without a delivery between them, after which its address is suppressed; 1 to 100.",
    )
    .or("3")]],
);
