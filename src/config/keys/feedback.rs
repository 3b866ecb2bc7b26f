//! Owns the keys under `feedback`: what comes back from beyond the relay. Read by `config::config_file::feedback`.

use super::Shape::{Map, Scalar};
use super::forms::*;
use super::{Key, Table, list};

/// `feedback`.
pub static FEEDBACK: Table = Table::new(
    "feedback",
    &[&[
        Key::new(
            "full_mailbox_after",
            Scalar(&REPORTS),
            "Reports of a full or suspended mailbox, about different messages and without a delivery between them, after which its address is suppressed; 1 to 100.",
        )
        .or("3"),
        Key::new(
            "mailboxes",
            list(&Scalar(&PATH)),
            "Maildir folders to which bounces and complaints come. Reports are marked as seen, other mail is left alone.",
        )
        .or("[]"),
        Key::new("logs", list(&Map(&LOG)), "Logs of relays (Postfix) that tell what became of each message.").or("[]"),
    ]],
);

/// An entry of `logs`.
pub static LOG: Table = Table::new(
    "log",
    &[&[
        Key::new("relay", Scalar(&NAME), "The relay that writes it.").required(),
        Key::new("file", Scalar(&PATH), "Path of the log; followed over rotation, from its beginning on."),
        Key::new(
            "journal",
            Scalar(&UNIT),
            "Unit whose entries in the systemd journal are the log, such as postfix@-.service.",
        ),
    ]],
)
.together(r#"{ "oneOf": [{ "required": ["file"] }, { "required": ["journal"] }] }"#);
