//! Owns the login of a relay: who logs in, by which mechanism, with which password or token.

use std::time::Duration;

use crate::config::fields::Fields;
use crate::config::keys::configuration::AUTH;
use crate::config::presets::Preset;
use crate::config::secret::Keepers;
use crate::config::settings::{Login, Mechanism, Proof};

/// Longest time that a token's program may run, when the configuration does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the configuration calls the ways to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Password(Mechanism),
    Token,
}

/// Reads `auth:`. `None`: it cannot be used, and why was said; `Some(None)`: no login.
pub(super) fn read(fields: &Fields<'_>, keepers: &Keepers<'_>, preset: Option<&Preset>) -> Option<Option<Login>> {
    if fields.entry("auth").is_none() {
        let Some(preset) = preset.filter(|preset| preset.needs_login) else { return Some(None) };
        let message = format!("\"auth\" is missing: {} takes nobody without a login", preset.kind);
        fields.problems().at_with(fields.span, message, preset.login_example());
        return None;
    }
    const WHAT: &str = "user and password, or user and token";
    let map = fields.map("auth", WHAT)?;
    map.known(&AUTH);
    let user = map.required("user", "the user name").and_then(|_| user(&map));
    let ways = [
        ("password", Way::Password(Mechanism::Offered)),
        ("plain", Way::Password(Mechanism::Plain)),
        ("login", Way::Password(Mechanism::Login)),
        ("xoauth2", Way::Token),
    ];
    let way = match map.node("mechanism") {
        Some(_) => map.one_of("mechanism", &ways),
        None if map.entry("token").is_some() => Some(Way::Token),
        None => Some(Way::Password(Mechanism::Offered)),
    }?;
    let (wanted, other) = match way {
        Way::Token => ("token", "password"),
        Way::Password(_) => ("password", "token"),
    };
    if let Some(entry) = map.entry(other) {
        let message = format!("the mechanism {} takes a {wanted}, not a {other}", name_of(way, &ways));
        let help = format!("take `{other}` away, or give the mechanism that it is for");
        map.problems().at_with(entry.key_span, message, help);
    }
    let proof = match way {
        Way::Token => map
            .required("token", "{ env: NAME }, { file: PATH } or { command: [PROGRAM, ...] }")
            .and_then(|_| keepers.token(&map, PATIENCE))
            .map(Proof::Token),
        Way::Password(mechanism) => map
            .required("password", "{ env: NAME } or { file: PATH }")
            .and(keepers.secret(&map, "password"))
            .map(|secret| Proof::Password(secret, mechanism)),
    };
    Some(Some(Login { user: user?, proof: proof? }))
}

fn user(map: &Fields<'_>) -> Option<String> {
    let user = map.read("user", |problems, node| problems.text(node, "a user name"))?;
    let fits = user.len() <= 255 && !user.chars().any(char::is_control);
    if !fits {
        let at = map.node("user").map_or(map.span, |node| node.span);
        map.problems().at(at, "expected a user name of one line, at most 255 octets");
    }
    fits.then(|| user.to_owned())
}

fn name_of(way: Way, ways: &[(&'static str, Way)]) -> &'static str {
    ways.iter().find(|(_, known)| *known == way).map_or("password", |(name, _)| name)
}
