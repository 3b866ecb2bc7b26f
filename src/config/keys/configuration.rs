//! Owns the keys of the configuration file. Read by `config::config_file`.

use super::Shape::{Either, List, Map, Scalar, Shipped, Word};
use super::feedback::FEEDBACK;
use super::forms::*;
use super::listen::LISTEN;
use super::{Key, Names, Shape, Table, list, none};
use crate::config::presets::kinds;
use crate::config::shipped::shipped_plan_names;

/// The file.
pub static CONFIGURATION: Table = Table::new(
    "configuration",
    &[&[
        Key::new("store", Scalar(&STORE), "Path of the SQLite file, on a local disk, relative to this file.")
            .required(),
        Key::new("timezone", Scalar(&ZONE), "Zone of campaign times and of what is printed.").required(),
        Key::new(
            "groups",
            list(&Either(&[Word(&["builtin"]), Scalar(&PATH)])),
            "Destination groups and reply rules: builtin, then files of one's own, each laid over those before it.",
        )
        .or("[builtin]"),
        Key::new("relays", Shape::Names(&RELAYS), "Relays by name: each one sending identity.").required(),
        Key::new(
            "pools",
            Shape::Names(&POOLS),
            "The relays that campaigns may use, by name; in order of need, the cold one first.",
        )
        .required(),
        Key::new("retry", Map(&RETRY), "When a deferred message is tried again; a relay may have its own."),
        Key::new(
            "on_event",
            Either(&[Scalar(&COMMAND), List(&Scalar(&TEXT), 1, usize::MAX)]),
            "Program with arguments that gets each event as JSON on standard input. Default: none.",
        ),
        Key::new(
            "retention",
            Either(&[Word(&["forever"]), Scalar(&SPAN)]),
            "How long finished messages and their attempts are kept, from 1d on; then they are folded into counts.",
        )
        .or("90d"),
        Key::new("worker", Map(&WORKER), "The worker's own settings."),
        Key::new(
            "listen",
            Map(&LISTEN),
            "Where the worker takes what comes back from beyond the relays. Default: nowhere.",
        ),
        Key::new(
            "feedback",
            Map(&FEEDBACK),
            "What comes back from beyond the relay: bounce mail, complaints, events, logs.",
        ),
        Key::new(
            "signing_key",
            Map(&SECRET),
            "Where the key of unsubscribe and bounce tokens is kept. Default: beside the store, made at first run.",
        ),
    ]],
);

static RELAYS: Names = Names { name: &NAME, of: Map(&RELAY), least: 1, required: &[], offered: none };
static POOLS: Names =
    Names { name: &NAME, of: List(&Scalar(&NAME), 1, usize::MAX), least: 1, required: &[], offered: none };

/// Headers by name.
pub static HEADERS: Names = Names { name: &HEADER, of: Scalar(&HEADER_VALUE), least: 0, required: &[], offered: none };

/// An entry of `relays`.
pub static RELAY: Table = Table::new(
    "relay",
    &[&[
        Key::new(
            "kind",
            Shipped(known_relays),
            "A relay known by name: fills in host, port, tls, login, published limits and its own throttle words. What is written here wins.",
        ),
        Key::new("region", Scalar(&REGION), "Region of the account, where the host of the kind depends on it."),
        Key::new("host", Scalar(&HOST), "Host name or IP address. Default: that of the kind."),
        Key::new("port", Scalar(&PORT), "TCP port. Default: that of the kind, else 587, with tls implicit 465."),
        Key::new(
            "tls",
            Word(&["starttls", "implicit", "none"]),
            "starttls: required, never downgraded; implicit: from the first byte; none: in clear, on loopback only.",
        )
        .or("starttls"),
        Key::new(
            "ca",
            Scalar(&PATH),
            "PEM file of a private certificate authority, trusted beside the system's; relative to this file.",
        ),
        Key::new("auth", Map(&AUTH), "Login. Default: none."),
        Key::new("domain", Scalar(&DOMAIN), "The sending domain: Message-ID, unsubscribes, and the EHLO name unless `hello` is set.")
            .required(),
        Key::new("hello", Scalar(&HOST), "Name given in EHLO. Default: the sending domain."),
        Key::new("plan", Either(&[Shipped(plans), Scalar(&PATH)]), "Path of a plan, relative to this file, or the name of a shipped one.")
            .required(),
        Key::new("next_plan", Map(&NEXT_PLAN), "The plan that follows `plan`, and from which plan day on. Default: none."),
        Key::new("warmup", Map(&WARMUP), "Where a lane stands when it is first seen. Read only then: later `lane set-day`."),
        Key::new("limits", Map(&LIMITS), "The account's own limits, over all its lanes."),
        Key::new(
            "envelope_from",
            Scalar(&ENVELOPE),
            "Envelope sender; {token} says which message came back. Default: the campaign's address, and bounces match no message.",
        ),
        Key::new("headers", Shape::Names(&HEADERS), "Headers added to every message of this relay, such as the provider's name of a pool."),
        Key::new(
            "answers",
            Word(&["own", "carrier"]),
            "Whose words come back: own: the relay's, a 250 says nothing about the carrier; carrier: it passes the carrier's replies through.",
        )
        .or("own"),
        Key::new("signs", Word(&["relay", "nobody"]), "Who signs with DKIM when Hikagen does not. Default: as the kind says."),
        Key::new("dkim", Map(&DKIM), "Signs every message of this relay with DKIM (RFC 6376). Default: not signed here."),
        Key::new("source_address", Scalar(&IP), "Local address to connect from. Default: the system's choice."),
        Key::new("pipelining", Word(&["on", "off"]), "MAIL, RCPT and DATA in one write when the server offers it.").or("on"),
        Key::new(
            "uncertain",
            Word(&["retry", "park"]),
            "A message whose fate is unknown: retry: tried once more, then parked; park: parked at once.",
        )
        .or("retry"),
        Key::new("timeouts", Map(&TIMEOUTS), "Longest waits of the SMTP steps."),
        Key::new("retry", Map(&RETRY), "When a deferred message is tried again. Default: as for all relays."),
    ]],
)
.together(
    r#"{ "if": { "required": ["kind"] }, "else": { "required": ["host"], "properties": { "auth": { "required": ["user"] } } },
         "dependencies": { "region": ["kind"] } }"#,
);

pub(super) fn known_relays() -> Vec<String> {
    kinds().map(str::to_owned).collect()
}

fn plans() -> Vec<String> {
    shipped_plan_names().map(str::to_owned).collect()
}

/// `auth`.
pub static AUTH: Table = Table::new(
    "auth",
    &[&[
        Key::new(
            "mechanism",
            Word(&["password", "plain", "login", "xoauth2"]),
            "How to log in: password: PLAIN or LOGIN, as offered. Default: password, with a token xoauth2.",
        ),
        Key::new("user", Scalar(&LINE), "User name, at most 255 octets. Default: that of the kind, where it has one."),
        Key::new("password", Map(&SECRET), "Where the password is kept; never the password itself."),
        Key::new("token", Map(&TOKEN), "Where the access token is kept (XOAUTH2); never the token itself."),
    ]],
)
.together(
    r#"{ "oneOf": [
           { "required": ["password"],
             "properties": { "token": false, "mechanism": { "enum": ["password", "plain", "login"] } } },
           { "required": ["token"], "properties": { "password": false, "mechanism": { "enum": ["xoauth2"] } } }] }"#,
);

/// Where an access token is kept.
pub static TOKEN: Table = Table::new(
    "token",
    &[&[
        Key::new("env", Scalar(&TEXT), "Name of an environment variable that holds it."),
        Key::new("file", Scalar(&PATH), "Path of a file that holds it; read again at each login."),
        Key::new(
            "command",
            Either(&[Scalar(&COMMAND), List(&Scalar(&TEXT), 1, usize::MAX)]),
            "Program with arguments that prints it: the token alone, or JSON with access_token and expires_in.",
        ),
        Key::new("timeout", Scalar(&SPAN), "Longest time that the program may run. Default: 30s."),
    ]],
)
.together(
    r#"{ "oneOf": [{ "required": ["env"] }, { "required": ["file"] }, { "required": ["command"] }],
         "dependencies": { "timeout": ["command"] } }"#,
);

/// `dkim`.
pub static DKIM: Table = Table::new(
    "dkim",
    &[&[
        Key::new("domain", Scalar(&DOMAIN), "The signing domain (d=). Default: the sending domain."),
        Key::new("selector", Scalar(&SELECTOR), "The selector whose record in the DNS holds the public key (s=).")
            .required(),
        Key::new(
            "key",
            Map(&SECRET),
            "Where the private key is kept: RSA from 2048 bits on, or Ed25519; PEM or base64.",
        )
        .required(),
        Key::new(
            "headers",
            list(&Scalar(&SIGNED)),
            "Headers that are signed. Default: those that readers see and act on.",
        ),
    ]],
);

/// Where a secret is kept.
pub static SECRET: Table = Table::new(
    "secret",
    &[&[
        Key::new("env", Scalar(&TEXT), "Name of an environment variable that holds it."),
        Key::new(
            "file",
            Scalar(&PATH),
            "Path of a file that holds it, one line; for its owner's eyes only (chmod 600).",
        ),
    ]],
)
.together(r#"{ "oneOf": [{ "required": ["env"] }, { "required": ["file"] }] }"#);

/// `next_plan`.
pub static NEXT_PLAN: Table = Table::new(
    "next_plan",
    &[&[
        Key::new(
            "plan",
            Either(&[Shipped(plans), Scalar(&PATH)]),
            "Path of the plan, relative to this file, or the name of a shipped one.",
        )
        .required(),
        Key::new("from", Scalar(&DATE), "The first plan day on which it is in force.").required(),
    ]],
);

/// `warmup`.
pub static WARMUP: Table = Table::new(
    "warmup",
    &[&[
        Key::new("day", Scalar(&DAY), "Warm-up day of the first plan day: declares history.").or("1"),
        Key::new(
            "started",
            Scalar(&DATE),
            "Nothing leaves before this date; day 1 begins with the first handover after it.",
        ),
    ]],
);

/// `limits`.
pub static LIMITS: Table = Table::new(
    "limits",
    &[&[
        Key::new("rate", Scalar(&RATE), "Pace of the account. Default: no such limit."),
        Key::new("burst", Scalar(&COUNT), "Messages at once. Default: the larger of 2 and 50 ms of the rate."),
        Key::new("per_hour", Scalar(&COUNT), "Most messages in any rolling 60 minutes. Default: no such limit."),
        Key::new("per_day", Scalar(&COUNT), "Most messages in any rolling 24 hours. Default: no such limit."),
        Key::new("connections", Scalar(&CONNECTIONS), "Connections at once, at most 1_000.").or("4"),
        Key::new("messages_per_connection", Scalar(&COUNT), "Messages before a connection is given up.").or("100"),
        Key::new("connection_age", Scalar(&SPAN), "Age at which a connection is given up.").or("5m"),
        Key::new(
            "message_bytes",
            Scalar(&COUNT),
            "Largest message, octets: a larger one is not handed over. Default: what the relay announces.",
        ),
    ]],
);

/// `timeouts`.
pub static TIMEOUTS: Table = Table::new(
    "timeouts",
    &[&[
        Key::new("connect", Scalar(&SPAN), "The TCP connection.").or("30s"),
        Key::new("command", Scalar(&SPAN), "Greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA: each.").or("60s"),
        Key::new("data", Scalar(&SPAN), "Writing the message.").or("3m"),
        Key::new("end_of_data", Scalar(&SPAN), "From the final dot to its reply.").or("10m"),
    ]],
);

/// `retry`.
pub static RETRY: Table = Table::new(
    "retry",
    &[&[
        Key::new(
            "after",
            List(&Scalar(&SPAN), 1, usize::MAX),
            "Waits after the first, second, ... failed attempt; the last repeats. Default: 15m, 30m, 1h, 2h, 4h.",
        ),
        Key::new("lifetime", Scalar(&SPAN), "From the first attempt on; judged when an attempt fails. Default: 1d."),
        Key::new("uncertain", Scalar(&SPAN), "Wait of a message whose fate is unknown. Default: 15m."),
    ]],
);

/// `worker`.
pub static WORKER: Table = Table::new(
    "worker",
    &[&[
        Key::new("drain", Scalar(&SPAN), "Longest time that SIGTERM waits for what is in the air.").or("30s"),
        Key::new("disk_floor", Scalar(&SIZE), "Free space on the store's disk below which nothing is released.")
            .or("200MiB"),
        Key::new("log", Word(&["text", "json"]), "Form of the log.").or("text"),
    ]],
);
