//! Owns the keys of a campaign file. Read by `config::campaign_file`.

use super::Shape::{Either, Flag, List, Map, Scalar, Word};
use super::configuration::HEADERS;
use super::forms::*;
use super::{Key, Names, Shape, Table};
use crate::config::campaign_file::SEEDS_MAX;

/// A seed with columns of its own.
static SEED: Names = Names { name: &TEXT, of: Scalar(&TEXT), least: 1, required: &["email"], offered: email };

fn email() -> Vec<String> {
    vec!["email".to_owned()]
}

const END: Shape = Either(&[Scalar(&MOMENT), Scalar(&AFTER)]);

/// The file.
pub static CAMPAIGN: Table = Table::new(
    "campaign",
    &[&[
        Key::new("campaign", Scalar(&NAME), "The campaign's name: with an address, the key of a message.").required(),
        Key::new("from", Scalar(&MAILBOX), "Sender: \"Name <address>\" or the address alone. With eml: that of the mail."),
        Key::new("reply_to", Scalar(&MAILBOX), "Where answers go. Default: to the sender."),
        Key::new(
            "subject",
            Scalar(&LINE),
            "Subject, one line; columns of the list as {{ name }}. With eml: that of the mail.",
        ),
        Key::new("text", Scalar(&PATH), "File of the text template, relative to this file."),
        Key::new("html", Scalar(&PATH), "File of the HTML template, relative to this file."),
        Key::new(
            "eml",
            Scalar(&PATH),
            "A mail made elsewhere as the template, instead of text and html: its parts, images and attachments; relative to this file.",
        ),
        Key::new("inline_css", Flag, "The rules of <style> go into the elements, once, at submit; nothing is fetched.")
            .or("false"),
        Key::new(
            "recipients",
            Scalar(&PATH),
            "The list: a CSV or JSONL file with a column \"email\", relative to this file. \"score\" orders it; templates can use any column.",
        )
        .required(),
        Key::new("format", Word(&["csv", "jsonl"]), "What the list is. Default: by its name, .jsonl and .ndjson are JSONL."),
        Key::new(
            "encoding",
            Word(&["utf-8", "shift_jis", "utf-16le", "utf-16be"]),
            "How the list is written. Default: found by its mark, or by reading it.",
        ),
        Key::new(
            "seeds",
            Either(&[List(&Either(&[Shape::Names(&SEED), Scalar(&TEXT)]), 0, SEEDS_MAX), Scalar(&SEED_FILE)]),
            "Addresses of one's own that get the campaign first: a list of them, each with columns if need be, or a list file.",
        ),
        Key::new("pool", Scalar(&NAME), "The pool of relays, as the configuration names it.").required(),
        Key::new("start", Scalar(&MOMENT), "First moment of sending, local time of the configuration. Default: at once."),
        Key::new(
            "finish_by",
            END,
            "Deadline, judged by the forecast; nothing is stopped by it. +12d counts from the later of start and submit.",
        ),
        Key::new(
            "not_after",
            END,
            "What is unsent then expires. A bare date is the day's end; +14d counts from the later of start and submit.",
        ),
        Key::new(
            "priority",
            Word(&["transactional", "normal", "bulk"]),
            "Which mail goes first, strictly. transactional also obeys no window.",
        )
        .or("bulk"),
        Key::new("weight", Scalar(&WEIGHT), "Its share beside other campaigns of the same priority.").or("1"),
        Key::new("headers", Shape::Names(&HEADERS), "Further headers: name and template."),
        Key::new("unsubscribe", Map(&UNSUBSCRIBE), "How a recipient leaves the list (List-Unsubscribe, RFC 2369 and 8058)."),
    ]],
)
.together(
    r#"{ "if": { "required": ["eml"] },
         "then": { "not": { "anyOf": [{ "required": ["text"] }, { "required": ["html"] }] } },
         "else": { "required": ["from", "subject"], "anyOf": [{ "required": ["text"] }, { "required": ["html"] }] },
         "allOf": [{ "if": { "required": ["inline_css"] },
                     "then": { "anyOf": [{ "required": ["html"] }, { "required": ["eml"] }] } }] }"#,
);

/// `unsubscribe`.
pub static UNSUBSCRIBE: Table = Table::new(
    "unsubscribe",
    &[&[
        Key::new("url", Scalar(&LINK), "Web address; {token} tells who leaves, columns as {{ name }}."),
        Key::new("mailto", Scalar(&MAILTO), "Address to which a mail leaves the list; {token} tells who."),
        Key::new("one_click", Flag, "A mail program may leave by one request (RFC 8058); wants a url with https://.")
            .or("false"),
    ]],
)
.together(
    r#"{ "anyOf": [{ "required": ["url"] }, { "required": ["mailto"] }],
         "if": { "required": ["one_click"], "properties": { "one_click": { "enum": [true, "true"] } } },
         "then": { "required": ["url"], "properties": { "url": { "pattern": "^https://" } } } }"#,
);
