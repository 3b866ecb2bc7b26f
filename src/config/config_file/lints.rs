//! Owns the lints of a configuration: what can be used as written and is probably not what was meant.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Written, pieces};
use crate::config::fields::Fields;
use crate::config::presets::preset_of_host;
use crate::config::problem::{Problem, Problems, Span};
use crate::config::settings::{Config, Known, RelaySettings, Signs};
use crate::core::units::show_span;

/// Everything that can be said without knowing the date.
pub(super) fn all(problems: &Problems, top: &Fields<'_>, config: &Config, written: &Written) {
    let relays = top.map("relays", "relays by name");
    let key = |name: &str| relays.and_then(|map| map.entry(name)).map_or(top.span, |entry| entry.key_span);
    unused(problems, config, &key);
    twins(problems, config, &key);
    for relay in config.relays.values().filter(|relay| relay.envelope_from.is_none()) {
        let message = format!("{}: without envelope_from its bounces cannot be matched to messages", relay.name);
        let help = format!("envelope_from: \"bounce+{{token}}@{}\"", relay.domain);
        problems.lint(key(relay.name.as_str()), message, help);
    }
    forgets_early(problems, top, config);
    for relay in config.relays.values() {
        slower_than_asked(problems, relay, written);
        unsigned(problems, relay, &key);
        kind_not_written(problems, relay, written);
        if let Some(known) = &relay.known {
            limits_of_the_account(problems, relay, known, written);
            port_of_another_kind(problems, relay, known, written);
            region_of_no_host(problems, relay, known, written);
        }
    }
}

fn unused(problems: &Problems, config: &Config, key: &dyn Fn(&str) -> Span) {
    for name in config.relays.keys().filter(|name| !config.pools.values().flatten().any(|used| used == *name)) {
        problems.lint(
            key(name.as_str()),
            format!("no pool uses the relay {name}"),
            "add it to a pool, or take it away",
        );
    }
}

/// Two relays are two sending identities: something must tell them apart at the server.
fn twins(problems: &Problems, config: &Config, key: &dyn Fn(&str) -> Span) {
    let identity = |relay: &RelaySettings| {
        // Where each account has the same user (`apikey`, `resend`), the secret tells them apart.
        let login = relay.auth.as_ref().map(|login| (login.user.clone(), login.proof.kept()));
        (
            relay.host.clone(),
            relay.port,
            login,
            relay.headers.clone(),
            relay.envelope_from.clone(),
            relay.source_address,
        )
    };
    let mut seen = BTreeMap::new();
    for relay in config.relays.values() {
        if let Some(first) = seen.insert(identity(relay), &relay.name) {
            let message = format!("nothing tells the relays {first} and {} apart at {}", relay.name, relay.host);
            let lint = Problem::at(problems.file(), key(relay.name.as_str()), message)
                .also(key(first.as_str()), "the other one")
                .help("give each its user or password, a header, envelope_from or source_address; else both warm one identity")
                .lint();
            problems.push(lint);
        }
    }
}

/// What an audit looks back at, and late bounces refer to.
const AUDITED: Duration = Duration::from_secs(31 * 86_400);

fn forgets_early(problems: &Problems, top: &Fields<'_>, config: &Config) {
    if let (Some(keep), Some(node)) = (config.worker.retention, top.node("retention"))
        && keep < AUDITED
    {
        let message = format!("details are folded into counts after {}", show_span(keep));
        problems.lint(
            node.span,
            message,
            "`audit` looks back 31 days, and late bounces name messages: keep 31d or more",
        );
    }
}

/// An hourly or daily cap that the account's rate could never reach is a slip of the pen.
fn slower_than_asked(problems: &Problems, relay: &RelaySettings, written: &Written) {
    let Some(rate) = relay.limits.rate else { return };
    for (cap, seconds, word) in
        [(relay.limits.per_hour, 3_600.0, "per_hour"), (relay.limits.per_day, 86_400.0, "per_day")]
    {
        let Some(cap) = cap else { continue };
        let most = rate.per_second() * seconds;
        if most * 2.0 < f64::from(cap.get()) {
            let at = written.place(&relay.name, &format!("limits.{word}")).unwrap_or_default();
            let message = format!("{}: the rate {rate} never comes to half of {word}", relay.name);
            problems.lint(at, message, "is a digit missing in one of them?");
        }
    }
}

/// Large receivers want a signature from whoever sends in bulk. A relay on this machine may be a simulator, or sign by a filter:
/// `check` tells of it without a word of warning.
fn unsigned(problems: &Problems, relay: &RelaySettings, key: &dyn Fn(&str) -> Span) {
    if relay.dkim.is_some() || relay.signs == Some(Signs::Relay) || pieces::is_loopback(&relay.host) {
        return;
    }
    let who = if relay.signs.is_some() { "nobody signs" } else { "nobody is known to sign" };
    let message = format!("{}: {who} its messages with DKIM, which Gmail, Yahoo and docomo look for", relay.name);
    let help = "add `dkim: { selector: NAME, key: { file: PATH } }`, or `signs: relay` where the relay does";
    problems.lint(key(relay.name.as_str()), message, help);
}

/// Without its kind nothing is known of a relay: not its words, and not which headers it changes behind a signature.
fn kind_not_written(problems: &Problems, relay: &RelaySettings, written: &Written) {
    let Some(preset) = preset_of_host(&relay.host).filter(|_| relay.known.is_none()) else { return };
    let at = written.place(&relay.name, "host").unwrap_or_default();
    let message = format!("{}: this is {}, and without `kind` nothing is known of it", relay.name, preset.title);
    let help = format!("write `kind: {}`, or `kind: generic` to do without its words and settings", preset.kind);
    problems.lint(at, message, help);
}

/// A region is a part of a host that is not written.
fn region_of_no_host(problems: &Problems, relay: &RelaySettings, known: &Known, written: &Written) {
    let both = known.region.as_ref().and(written.place(&relay.name, "host"));
    if let Some(at) = both.and(written.place(&relay.name, "region")) {
        problems.lint(at, format!("{}: `region` has no effect beside `host`", relay.name), "take one of them away");
    }
}

/// What a preset cannot know, because it is another for each account.
fn limits_of_the_account(problems: &Problems, relay: &RelaySettings, known: &Known, written: &Written) {
    let open = |key: &&String| written.place(&relay.name, key).is_none();
    let missing: Vec<&str> = known.preset.account.iter().filter(open).map(String::as_str).collect();
    if missing.is_empty() {
        return;
    }
    let at = written.place(&relay.name, "kind").unwrap_or_default();
    let message = format!("{}: {} depend on the account and are not written", relay.name, missing.join(" and "));
    problems.lint(at, message, format!("give those that {} shows for the account", known.preset.title));
}

fn port_of_another_kind(problems: &Problems, relay: &RelaySettings, known: &Known, written: &Written) {
    let Some(at) = written.place(&relay.name, "port") else { return };
    let written = relay.tls.as_str();
    match known.preset.tls_of(relay.port) {
        Some(tls) if tls != written => {
            let message = format!("{} takes {} with `tls: {tls}`, not {written}", known.preset.kind, relay.port);
            problems.lint(at, message, "take `tls` away: it follows from the port");
        }
        None if known.preset.has_ports() && written != "none" => {
            let message = format!("{} is not a port of {} that is known here", relay.port, known.preset.kind);
            problems.lint(at, message, "take `port` away to use the usual one");
        }
        _ => {}
    }
}

/// Relays whose `started` lies before `today` (a date per zone): their warm-up still begins with the first handover.
#[must_use]
pub fn past_starts(config: &Config, written: &Written, today: impl Fn(&TimeZone) -> Date) -> Vec<Problem> {
    let relays = config.relays.values().filter_map(|relay| {
        let started = relay.warmup.started.filter(|date| *date < today(&relay.plan.timezone))?;
        let at = written.place(&relay.name, "warmup.started")?;
        let message = format!(
            "{}: {started} is past; warm-up day {} begins with the first handover all the same",
            relay.name, relay.warmup.day
        );
        let help = "`day: N` declares history; an IP that sent before may begin later in its curve";
        Some(Problem::at(&written.file, at, message).help(help).lint())
    });
    relays.collect()
}
