//! Owns the keys of files of destination groups and reply rules. Read by `config::groups_file` and `config::replies_file`.

use super::Shape::{Either, Few, List, Map, Scalar, Word};
use super::configuration::known_relays;
use super::forms::*;
use super::{Key, Names, Shape, Table, list, none};
use crate::config::groups_file::Destinations;

/// The file.
pub static DESTINATIONS: Table = Table::new(
    "destinations",
    &[&[
        Key::new(
            "groups",
            Shape::Names(&GROUPS),
            "Destination groups by name. An entry for a known group changes only what it says.",
        ),
        Key::new(
            "replies",
            Shape::Names(&RULES),
            "Reply rules by id. A rule replaces the one of the same id; one's own are tried first.",
        ),
    ]],
);

static GROUPS: Names = Names { name: &NAME, of: Map(&GROUP), least: 0, required: &[], offered: shipped };
static RULES: Names = Names { name: &NAME, of: Map(&RULE), least: 0, required: &[], offered: none };

fn shipped() -> Vec<String> {
    Destinations::shipped().groups.iter().map(|group| group.name.to_string()).collect()
}

const DOMAINS: Shape = list(&Scalar(&DOMAIN));

/// An entry of `groups`.
pub static GROUP: Table = Table::new(
    "group",
    &[&[
        Key::new("title", Scalar(&TEXT), "Its name for people."),
        Key::new("kind", Word(&["carrier", "isp", "freemail", "global"]), "What kind of service it is.").or("global"),
        Key::new(
            "bucket",
            Scalar(&NAME),
            "The receiving system, where several groups share one. Default: the group's name.",
        ),
        Key::new(
            "status",
            Word(&["active", "legacy", "dead"]),
            "legacy: kept so that old addresses group properly; dead: suppressed at intake.",
        )
        .or("active"),
        Key::new(
            "confidence",
            Scalar(&TEXT),
            "How sure the list of domains is: published, widely reported, inferred, unknown.",
        ),
        Key::new("domains", DOMAINS, "Its domains."),
        Key::new("domains_hosted", DOMAINS, "Domains of others that it receives for."),
        Key::new("suffixes", list(&Scalar(&SUFFIX)), "Everything below a domain, not the domain itself: .ocn.ne.jp."),
        Key::new("patterns", list(&Scalar(&TEXT)), "Regular expressions over the whole domain in lower case."),
        Key::new("dead", DOMAINS, "Domains out of service: suppressed at intake."),
        Key::new("mx", Map(&MX), "Names of its mail hosts: kept as a fact."),
        Key::new(
            "irregular",
            Word(&["quoted", "verbatim", "refused"]),
            "Local parts such as a..b or a.: sent quoted, as they are, or refused at intake.",
        )
        .or("refused"),
        Key::new("limits", Map(&GROUP_LIMITS), "What the service takes; a plan's own entry wins, else the stricter."),
        Key::new("published", list(&Map(&PUBLISHED)), "Figures that the service publishes itself."),
        Key::new("hints", Map(&HINTS), "What a plan may want to follow; nothing applies them by itself."),
        Key::new("notes", list(&Map(&NOTE)), "What else is known."),
    ]],
);

/// `mx`.
pub static MX: Table = Table::new(
    "mx",
    &[&[
        Key::new("suffixes", list(&Scalar(&TEXT)), "Suffixes of names of mail hosts."),
        Key::new("observed", list(&Scalar(&TEXT)), "Names of mail hosts that were seen."),
    ]],
);

/// `limits` of a group.
pub static GROUP_LIMITS: Table = Table::new(
    "group-limits",
    &[&[
        Key::new("rate", Scalar(&RATE), "Pace of a lane."),
        Key::new("connections", Scalar(&COUNT), "Connections at once."),
        Key::new("messages_per_connection", Scalar(&COUNT), "Messages before a connection is given up."),
        Key::new("message_bytes", Scalar(&COUNT), "Largest message, octets."),
        Key::new("header_bytes", Scalar(&COUNT), "Largest header, octets."),
        Key::new("line_bytes", Scalar(&COUNT), "Longest line, octets."),
        Key::new("cooldown", Scalar(&SPAN), "Pause after a block; it doubles with each further one."),
        Key::new("cooldown_max", Scalar(&SPAN), "Longest pause after a block."),
    ]],
);

/// An item of `published`.
pub static PUBLISHED: Table = Table::new(
    "published-figure",
    &[&[
        Key::new("what", Scalar(&TEXT), "What is limited or asked for.").required(),
        Key::new("is", Scalar(&TEXT), "The figure.").required(),
        Key::new("source", Scalar(&TEXT), "Where it is published.").required(),
    ]],
);

/// An item of `notes`.
pub static NOTE: Table = Table::new(
    "note",
    &[&[
        Key::new("note", Scalar(&TEXT), "What is known.").required(),
        Key::new("source", Scalar(&TEXT), "Where it comes from.").required(),
        Key::new("confidence", Scalar(&TEXT), "How sure it is.").required(),
    ]],
);

/// `hints`.
pub static HINTS: Table = Table::new(
    "hints",
    &[&[
        Key::new("quiet", Scalar(&TEXT), "Hours at which nobody wants mail."),
        Key::new("avoid_minutes", list(&Scalar(&TEXT)), "Busy minutes of the hour."),
        Key::new("session_at_most", Scalar(&SPAN), "Longest session."),
    ]],
);

/// An entry of `replies`.
pub static RULE: Table = Table::new(
    "rule",
    &[&[
        Key::new("when", Map(&WHEN), "What the reply looks like; all of it must fit.").required(),
        Key::new("then", Map(&MEANING), "What it means and what is done.").required(),
        Key::new("meaning", Scalar(&TEXT), "In words. Default: the rule's id."),
        Key::new("source", Scalar(&TEXT), "Where the reply was published or seen."),
        Key::new("confidence", Scalar(&TEXT), "How sure it is."),
    ]],
);

/// `when`.
pub static WHEN: Table = Table::new(
    "when",
    &[&[
        Key::new("group", Few(&Scalar(&NAME)), "The destination group whose words these are, or several."),
        Key::new(
            "relay",
            Few(&Shape::Shipped(known_relays)),
            "The kind of relay whose words these are, or several. Neither group nor relay: anybody's.",
        ),
        Key::new(
            "stage",
            Word(&["connect", "greeting", "hello", "tls", "auth", "mail", "rcpt", "data", "body"]),
            "The step that it answers; body is the reply to the final dot.",
        ),
        Key::new("code", Scalar(&CODE), "Reply code."),
        Key::new("enhanced", Scalar(&ENHANCED), "Enhanced code (RFC 3463); the last number may be a range: 5.7.606-649."),
        Key::new(
            "text",
            Either(&[Scalar(&WORDS), List(&Scalar(&WORDS), 1, usize::MAX)]),
            "Words anywhere in the reply, without case, or several of which one is enough; {anything} is any text, ^ ties them to the beginning.",
        ),
        Key::new("fault", Word(&["reset", "closed", "timeout"]), "What came instead of a reply."),
    ]],
)
.together(
    r#"{ "anyOf": [{ "required": ["code"] }, { "required": ["enhanced"] }, { "required": ["text"] }, { "required": ["fault"] }],
         "not": { "required": ["group", "relay"] },
         "if": { "required": ["fault"] },
         "then": { "not": { "anyOf": [{ "required": ["code"] }, { "required": ["enhanced"] }, { "required": ["text"] }] } } }"#,
);

/// `then` of a rule.
pub static MEANING: Table = Table::new(
    "meaning",
    &[&[
        Key::new(
            "signal",
            Word(&["recipient", "content", "volume", "reputation", "sender-setup", "relay"]),
            "Whose fault it is.",
        )
        .required(),
        Key::new(
            "action",
            Word(&["suppress", "fail", "retry", "throttle", "block", "stop-campaign"]),
            "suppress: it bounces, the address is never tried again; fail: it bounces; retry: later; throttle: later and slower; \
             block: after a cooldown; stop-campaign: the campaign waits for the operator.",
        )
        .required(),
        Key::new(
            "reason",
            Word(&[
                "user-unknown",
                "host-unknown",
                "has-moved",
                "mailbox-full",
                "suspended",
                "filtered",
                "message-too-big",
                "content",
                "spam",
                "virus",
                "blocked",
                "bad-reputation",
                "rate-limited",
                "auth-failure",
                "sender-rejected",
                "policy-violation",
                "no-relaying",
                "security-error",
                "expired",
                "network-error",
                "system-error",
                "system-full",
                "not-accept",
                "syntax-error",
                "undefined",
            ]),
            "Why, for people and for what is counted. Default: from signal, action and words; the first six speak of the address.",
        ),
    ]],
)
.together(
    r#"{ "if": { "anyOf": [
           { "required": ["action"], "properties": { "action": { "const": "suppress" } } },
           { "required": ["reason"], "properties": { "reason": { "enum":
             ["user-unknown", "host-unknown", "has-moved", "mailbox-full", "suspended", "filtered"] } } }] },
         "then": { "properties": { "signal": { "const": "recipient" } } } }"#,
);
