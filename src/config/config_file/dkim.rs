//! Owns the DKIM signing of a relay: domain, selector, key, headers.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::pieces;
use crate::compose::{Signer, SigningKey, is_header_name};
use crate::config::fields::Fields;
use crate::config::keys::configuration::DKIM;
use crate::config::presets::Preset;
use crate::config::problem::{Problems, quoted};
use crate::config::secret::Keepers;
use crate::config::tree::Node;

/// Headers that no signature may name: it stands above them, or they are put on on the way.
const NEVER: [&str; 4] = ["dkim-signature", "return-path", "received", "bcc"];

/// Reads `dkim:` of a relay that sends as `domain`. `None`: it cannot be used, and why was said; `Some(None)`: nothing is
/// signed here.
pub(super) fn read(
    fields: &Fields<'_>,
    keepers: &Keepers<'_>,
    domain: Option<&str>,
    preset: Option<&Preset>,
) -> Option<Option<Arc<Signer>>> {
    if fields.entry("dkim").is_none() {
        return Some(None);
    }
    let map = fields.map("dkim", "selector and key")?;
    map.known(&DKIM);
    let signing = match map.node("domain") {
        Some(_) => map.read("domain", pieces::domain),
        None => domain.map(str::to_owned),
    };
    let selector = map
        .required("selector", "the selector whose record in the DNS holds the public key")
        .and_then(|_| map.read("selector", selector));
    let key = map.required("key", "{ env: NAME } or { file: PATH }").and_then(|_| key(&map, keepers));
    let rewritten = preset.map_or(&[][..], |preset| preset.rewrites.as_slice());
    let headers = match map.node("headers") {
        Some(_) => Some(headers(&map, rewritten)?),
        None => None,
    };
    Some(Some(Arc::new(Signer::new(signing?, selector?, key?, headers, rewritten))))
}

fn key(map: &Fields<'_>, keepers: &Keepers<'_>) -> Option<SigningKey> {
    let secret = keepers.lines(map, "key")?;
    match SigningKey::from_text(secret.text.expose_secret(), &secret.place) {
        Ok(key) => Some(key),
        Err(error) => {
            let at = map.node("key").map_or(map.span, |node| node.span);
            map.problems().at(at, error.to_string());
            None
        }
    }
}

/// A selector: labels with dots between (RFC 6376 3.1).
fn selector(problems: &Problems, node: &Node) -> Option<String> {
    const WHAT: &str = "a selector such as hikagen-2026";
    let text = problems.text(node, WHAT)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = text.len() <= 190 && text.split('.').all(label);
    if !fits {
        problems.expected(node, WHAT);
    }
    fits.then(|| text.to_ascii_lowercase())
}

fn headers(map: &Fields<'_>, rewritten: &[String]) -> Option<Vec<String>> {
    let items = map.list("headers", "names of headers")?;
    let problems = map.problems();
    let mut names = Vec::new();
    for item in items {
        let Some(name) = problems.text(item, "the name of a header") else { continue };
        let lower = name.to_ascii_lowercase();
        if !is_header_name(name) || name.contains(';') {
            problems.at(item.span, format!("{} is not the name of a header", quoted(name)));
        } else if NEVER.contains(&lower.as_str()) {
            problems.at_with(item.span, format!("{} cannot be signed", quoted(name)), "take it away");
        } else if rewritten.contains(&lower) {
            let help = "take it away: the signature would not hold";
            problems.at_with(item.span, format!("the relay changes {} after it was signed", quoted(name)), help);
        } else {
            names.push(lower);
        }
    }
    (names.len() == items.len()).then_some(names)
}
