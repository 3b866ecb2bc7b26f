//! Owns the keys under `feedback`: what comes back from beyond the relay. Read by `config::config_file::feedback`.

use super::Shape::{List, Map, Scalar};
use super::forms::*;
use super::{Key, Table, list};

/// `feedback`.
pub static FEEDBACK: Table = Table::new(
    "feedback",
    &[&PROVIDERS, &[
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

/// Providers whose events are taken.
static PROVIDERS: [Key; 2] = [
    Key::new("ses", Map(&SES), "Events of Amazon SES through SNS, taken at /events/ses. Default: not taken."),
    Key::new("sendgrid", Map(&SENDGRID), "Events of SendGrid, taken at /events/sendgrid. Default: not taken."),
];

/// `feedback.ses`.
pub static SES: Table = Table::new(
    "ses",
    &[&[
        Key::new(
            "topics",
            List(&Scalar(&TOPIC), 1, usize::MAX),
            "ARNs of the SNS topics that are taken; a subscription to one of them is confirmed by itself.",
        )
        .required(),
        Key::new(
            "certificate",
            Scalar(&PATH),
            "PEM file of the certificate that verifies, where this machine cannot read it from SNS; relative to this file.",
        ),
    ]],
);

/// `feedback.sendgrid`.
pub static SENDGRID: Table = Table::new(
    "sendgrid",
    &[&[
        Key::new(
            "public_key",
            Scalar(&P256),
            "The verification key of the Signed Event Webhook, as SendGrid shows it. It is no secret.",
        )
        .required(),
        Key::new("stale_after", Scalar(&SPAN), "How long after it was signed a post is taken, from 1m to 25h.")
            .or("10m"),
    ]],
);
