//! Owns the small values of the configuration: retry schedules, sizes, commands, host names, headers.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::civil::Date;

use crate::compose::{LINE_MAX, is_header_name, is_own_header};
use crate::config::fields::Fields;
use crate::config::keys::configuration::RETRY;
use crate::config::problem::{Problems, quoted};
use crate::config::settings::{RETENTION_LEAST, RetrySettings};
use crate::config::tree::{Kind, Node};

/// `retry:`, where `base` holds what is not written.
pub(super) fn retry(fields: &Fields<'_>, base: RetrySettings) -> RetrySettings {
    let Some(map) = fields.map("retry", "after, lifetime, uncertain") else { return base };
    map.known(&RETRY);
    let after = map.list("after", "spans such as [15m, 1h]").and_then(|items| {
        let spans: Vec<Duration> = items.iter().filter_map(|item| map.problems().duration(item)).collect();
        if items.is_empty() {
            let at = map.node("after").map_or(map.span, |n| n.span);
            map.problems().at(at, "expected at least one span, got none");
        }
        (!spans.is_empty()).then_some(spans)
    });
    RetrySettings {
        after: after.unwrap_or(base.after),
        lifetime: map.duration("lifetime").unwrap_or(base.lifetime),
        uncertain: map.duration("uncertain").unwrap_or(base.uncertain),
    }
}

/// A plan day or the like. A time behind the date would read, and be ignored.
pub(super) fn date(problems: &Problems, node: &Node) -> Option<Date> {
    const WHAT: &str = "a date such as 2026-11-20";
    let text = problems.text(node, WHAT)?;
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    if date.is_none() {
        problems.expected(node, WHAT);
    }
    date
}

/// How long details are kept: a span, or `forever`.
pub(super) fn retention(problems: &Problems, node: &Node) -> Option<Option<Duration>> {
    const WHAT: &str = "a span from 1d to 400d, such as 90d, or forever";
    let text = problems.text(node, WHAT)?;
    if text == "forever" {
        return Some(None);
    }
    let span = crate::core::units::span(text).ok().filter(|span| *span >= RETENTION_LEAST);
    if span.is_none() {
        problems.expected(node, WHAT);
    }
    span.map(Some)
}

/// A size such as `200MB` or `1_000_000`: octets.
pub(super) fn size(problems: &Problems, node: &Node) -> Option<u64> {
    const WHAT: &str = "a size such as 200MB or 1GiB";
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let text = problems.text(node, WHAT)?;
    let (number, unit) =
        UNITS.iter().find_map(|(unit, size)| text.strip_suffix(unit).map(|n| (n, *size))).unwrap_or((text, 1));
    let size = crate::core::units::count(number).ok().and_then(|n| unit.checked_mul(u64::from(n)));
    if size.is_none() {
        problems.expected(node, WHAT);
    }
    size
}

/// A program with arguments: a list, or a text that blanks divide. A program named by its whole path must be there.
pub(in crate::config) fn command(problems: &Problems, node: &Node) -> Option<Vec<String>> {
    let words = words(problems, node)?;
    let program = words.first().map(Path::new).filter(|path| path.is_absolute() && !path.is_file());
    if let Some(program) = program {
        problems.at(node.span, format!("there is no program {}", program.display()));
        return None;
    }
    Some(words)
}

fn words(problems: &Problems, node: &Node) -> Option<Vec<String>> {
    if let Kind::List(items) = &node.kind {
        let words: Option<Vec<String>> =
            items.iter().map(|item| problems.text(item, "a program or an argument").map(str::to_owned)).collect();
        if items.is_empty() {
            problems.at(node.span, "expected a program, got an empty list");
        }
        return words.filter(|words| !words.is_empty());
    }
    let text = problems.text(node, "a program and its arguments")?;
    if text.contains(['"', '\'', '|', '>', '<', '&', ';', '$', '`', '\\']) {
        let help =
            "no shell reads it: write a list, such as [/usr/local/bin/notify, --to, \"the team\"], or name a script";
        problems.at_with(node.span, "expected a program and plain arguments, got something for a shell", help);
        return None;
    }
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// A host name or an IP address.
pub(super) fn host(problems: &Problems, node: &Node) -> Option<String> {
    const WHAT: &str = "a host name or an IP address";
    let text = problems.text(node, WHAT)?;
    if text.parse::<IpAddr>().is_ok() {
        return Some(text.to_owned());
    }
    if let Some((_, port)) = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        let help = format!("write `port: {port}` beside it");
        problems.at_with(node.span, format!("expected {WHAT}, got {} with a port", quoted(text)), help);
        return None;
    }
    let name = idna::domain_to_ascii_strict(text).ok().filter(|name| !name.is_empty());
    // A name of digits and dots is an address with a slip of the pen, not a host.
    let name = name.filter(|name| name.contains(|c: char| c.is_ascii_alphabetic()));
    if name.is_none() {
        problems.expected(node, WHAT);
    }
    name
}

/// A domain, in lower case and A-label form.
pub(super) fn domain(problems: &Problems, node: &Node) -> Option<String> {
    const WHAT: &str = "a domain such as m.example.jp";
    let text = problems.text(node, WHAT)?;
    let name = idna::domain_to_ascii_strict(text).ok().filter(|name| name.contains('.'));
    if name.is_none() {
        problems.expected(node, WHAT);
    }
    name
}

/// Whether `host` is this machine, whatever a name server says.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Headers in the order as written; each checked so that it can stand in a message as it is.
pub(in crate::config) fn headers(fields: &Fields<'_>) -> Vec<(String, String)> {
    let Some(map) = fields.map("headers", "names and values") else { return Vec::new() };
    let problems = map.problems();
    let mut headers: Vec<(String, String)> = Vec::new();
    for entry in map.entries {
        let name = entry.key.to_ascii_lowercase();
        if !is_header_name(&name) {
            let help = "letters, digits and hyphens, such as X-Pool";
            problems.at_with(entry.key_span, format!("{} is not the name of a header", quoted(&entry.key)), help);
            continue;
        }
        if is_own_header(&name) {
            let message = format!("{} is written by Hikagen itself, or does not belong here", quoted(&entry.key));
            problems.at_with(entry.key_span, message, "take it away");
            continue;
        }
        if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            problems.at(entry.key_span, format!("the header {} is there twice", quoted(&entry.key)));
            continue;
        }
        let Some(value) = problems.text(&entry.value, "a text") else { continue };
        let broken = value.chars().any(|c| c.is_control() && c != '\t');
        if broken {
            let message = format!("expected one line, got {} with line breaks or control characters", quoted(value));
            problems.at_with(entry.value.span, message, "a line break would begin another header");
        } else if entry.key.len() + 2 + value.len() > LINE_MAX {
            problems.at(entry.value.span, format!("the header would be longer than a line may be ({LINE_MAX} octets)"));
        } else {
            headers.push((entry.key.clone(), value.to_owned()));
        }
    }
    headers
}
