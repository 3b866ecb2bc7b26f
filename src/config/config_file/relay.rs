//! Owns one relay of the configuration: from its entry to its settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::{auth, dkim, pieces};
use crate::compose::TOKEN_LETTERS;
use crate::config::fields::Fields;
use crate::config::keys::configuration::{LIMITS, RELAY, TIMEOUTS, WARMUP};
use crate::config::presets::{preset, unknown_kind};
use crate::config::problem::{Problems, Span, quoted};
use crate::config::secret::Keepers;
use crate::config::settings::{
    Answers, Known, NextPlan, RelayLimits, RelaySettings, RetrySettings, Signs, Timeouts, TlsMode, Uncertain, Warmup,
};
use crate::config::tree::{Kind, Node};
use crate::core::address::Address;
use crate::core::names::RelayName;
use crate::core::plan::Plan;

/// The known relay that an entry names. `Err`: there is none of that name, which was said.
pub(super) fn known(fields: &Fields<'_>) -> Result<Option<Known>, ()> {
    let region = fields.read("region", |problems, node| problems.text(node, "a region such as ap-northeast-1"));
    let Some(entry) = fields.entry("kind") else {
        if let Some(region) = fields.entry("region") {
            let help = "add `kind`, or take `region` away";
            fields.problems().at_with(
                region.key_span,
                "`region` is a part of the host of a known relay, and there is no `kind`",
                help,
            );
        }
        return Ok(None);
    };
    let kind = fields.read("kind", |problems, node| problems.text(node, "a kind of relay, such as ses")).ok_or(())?;
    match preset(kind) {
        Some(preset) => Ok(Some(Known { preset, region: region.map(str::to_owned) })),
        None => {
            unknown_kind(fields.problems(), &entry.value, kind);
            Err(())
        }
    }
}

/// What a relay's entry does not say itself.
pub(super) struct Given<'a> {
    pub(super) keepers: &'a Keepers<'a>,
    pub(super) retry: &'a RetrySettings,
    pub(super) name: Option<RelayName>,
    /// The plan, and what the configuration calls it.
    pub(super) plan: Option<(Arc<Plan>, String)>,
    /// The plan that follows.
    pub(super) next_plan: Option<NextPlan>,
    pub(super) known: Option<Known>,
}

/// Reads the entry of a relay. Everything is looked at before a missing piece ends it.
pub(super) fn read(fields: &Fields<'_>, given: Given<'_>) -> Option<RelaySettings> {
    let Given { keepers, retry, name, plan, next_plan, known } = given;
    fields.known(&RELAY);
    let host = fields.required("host", "the relay's host name or address").and(fields.read("host", pieces::host));
    let tls = tls(fields, host.as_deref());
    let port = port(fields, tls.unwrap_or(TlsMode::Starttls));
    let domain = fields
        .required("domain", "the sending domain, such as m.example.jp")
        .and(fields.read("domain", pieces::domain));
    let auth = auth::read(fields, keepers, known.as_ref().map(|known| known.preset));
    let ca = fields.read("ca", |problems, node| ca(problems, node, keepers));
    let hello = fields.read("hello", pieces::host);
    let warmup = warmup(fields);
    let limits = limits(fields);
    let envelope_from = fields.read("envelope_from", envelope_from);
    let headers = pieces::headers(fields);
    let answers = fields.one_of("answers", &[("own", Answers::Own), ("carrier", Answers::Carrier)]);
    let signs = fields.one_of("signs", &[("relay", Signs::Relay), ("nobody", Signs::Nobody)]);
    let dkim = dkim::read(fields, keepers, domain.as_deref(), known.as_ref().map(|known| known.preset));
    let source_address = fields.read("source_address", source_address);
    let pipelining = fields.one_of("pipelining", &[("on", true), ("off", false)]);
    let uncertain = fields.one_of("uncertain", &[("retry", Uncertain::Retry), ("park", Uncertain::Park)]);
    let timeouts = timeouts(fields);
    let retry = pieces::retry(fields, retry.clone());
    let (plan, plan_source) = plan?;
    Some(RelaySettings {
        name: name?,
        known,
        host: host?,
        port: port?,
        tls: tls?,
        ca,
        auth: auth?,
        domain: domain?,
        hello,
        plan,
        plan_source,
        next_plan,
        ears: Vec::new(),
        warmup,
        limits,
        envelope_from,
        headers,
        answers: answers.unwrap_or(Answers::Own),
        signs,
        dkim: dkim?,
        source_address,
        pipelining: pipelining.unwrap_or(true),
        uncertain: uncertain.unwrap_or(Uncertain::Retry),
        timeouts,
        retry,
    })
}

/// Notes where each setting was written: `host`, `limits.rate`.
pub(super) fn places(prefix: &str, fields: Option<Fields<'_>>, places: &mut BTreeMap<String, Span>) {
    for entry in fields.map_or(&[][..], |f| f.entries) {
        let key = format!("{prefix}{}", entry.key);
        if let Kind::Map(inner) = &entry.value.kind {
            places.extend(inner.iter().map(|e| (format!("{key}.{}", e.key), e.key_span)));
        }
        places.insert(key, entry.key_span);
    }
}

fn tls(fields: &Fields<'_>, host: Option<&str>) -> Option<TlsMode> {
    let Some(node) = fields.node("tls") else { return Some(TlsMode::Starttls) };
    let words = [("starttls", TlsMode::Starttls), ("implicit", TlsMode::Implicit), ("none", TlsMode::None)];
    let tls = fields.one_of("tls", &words)?;
    if let (TlsMode::None, Some(host)) = (tls, host.filter(|host| !pieces::is_loopback(host))) {
        let message = format!("mail and password would go to {host} in clear: `tls: none` is for loopback only");
        let help = "write `tls: starttls` (587, 2525) or `tls: implicit` (465, 443)";
        fields.problems().at_with(node.span, message, help);
        return None;
    }
    Some(tls)
}

fn port(fields: &Fields<'_>, tls: TlsMode) -> Option<u16> {
    let usual = if tls == TlsMode::Implicit { 465 } else { 587 };
    let Some(node) = fields.node("port") else { return Some(usual) };
    let port = fields.problems().text(node, "a port")?.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        fields.problems().expected(node, "a port from 1 to 65535");
    }
    port
}

fn ca(problems: &Problems, node: &Node, keepers: &Keepers<'_>) -> Option<PathBuf> {
    let path = keepers.folder.join(problems.text(node, "the path of a PEM file")?);
    let shown = path.display();
    match std::fs::read(&path) {
        Ok(pem) if String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") => return Some(path),
        Ok(_) => problems.at_with(
            node.span,
            format!("there is no certificate in {shown}"),
            "a PEM file begins with -----BEGIN CERTIFICATE-----; openssl x509 -in FILE -inform der makes one",
        ),
        Err(error) => problems.at_with(
            node.span,
            format!("cannot read {shown}: {error}"),
            "paths are relative to the configuration's directory",
        ),
    }
    None
}

fn warmup(fields: &Fields<'_>) -> Warmup {
    let fresh = Warmup { day: 1, started: None };
    let Some(map) = fields.map("warmup", "day or started") else { return fresh };
    map.known(&WARMUP);
    let started = map.read("started", pieces::date);
    let day = map.read("day", |problems, node| {
        let text = problems.text(node, "a warm-up day")?;
        let day = crate::core::units::count(text).ok().filter(|day| (1..=400).contains(day));
        if day.is_none() {
            problems.expected(node, "a warm-up day from 1 to 400");
        }
        day
    });
    let day = day.unwrap_or(1);
    Warmup { day, started }
}

fn limits(fields: &Fields<'_>) -> RelayLimits {
    let Some(map) = fields.map("limits", "the account's limits") else { return RelayLimits::default() };
    map.known(&LIMITS);
    let limits = RelayLimits {
        rate: map.rate("rate"),
        burst: map.count("burst"),
        per_hour: map.count("per_hour"),
        per_day: map.count("per_day"),
        connections: map.count("connections"),
        messages_per_connection: map.count("messages_per_connection"),
        connection_age: map.duration("connection_age"),
        message_bytes: map.count("message_bytes"),
    };
    if let (Some(hour), Some(day)) = (limits.per_hour, limits.per_day)
        && hour > day
    {
        let at = map.node("per_hour").map_or(map.span, |n| n.span);
        map.problems().lint(at, "per_hour is above per_day", "the lower of the two binds");
    }
    if let (Some(most), Some(node)) = (limits.connections, map.node("connections"))
        && most.get() > 1_000
    {
        map.problems().at(node.span, format!("expected at most 1_000 connections, got {most}"));
    }
    limits
}

fn envelope_from(problems: &Problems, node: &Node) -> Option<String> {
    let text = problems.text(node, "an address with {token}, such as bounce+{token}@m.example.jp")?;
    if text.matches("{token}").count() != 1 {
        let help = "write it as bounce+{token}@m.example.jp: the token says which message came back";
        problems.at_with(node.span, format!("expected {{token}} once in the address, got {}", quoted(text)), help);
        return None;
    }
    let (local, _) = text.rsplit_once('@').unwrap_or((text, ""));
    if !local.contains("{token}") {
        problems.at(node.span, "expected {token} before the @");
        return None;
    }
    match Address::parse(&text.replace("{token}", &"t".repeat(TOKEN_LETTERS))) {
        Ok(address) if !address.is_irregular() => Some(text.to_owned()),
        Ok(_) => {
            problems.at(node.span, "dots may not stand together, at the beginning or before the @");
            None
        }
        Err(error) => {
            problems.at(node.span, format!("{error}, got {}", quoted(text)));
            None
        }
    }
}

fn source_address(problems: &Problems, node: &Node) -> Option<IpAddr> {
    let address = problems.text(node, "an IP address of this machine")?.parse().ok();
    if address.is_none() {
        problems.expected(node, "an IP address of this machine");
    }
    address
}

fn timeouts(fields: &Fields<'_>) -> Timeouts {
    let usual = Timeouts::default();
    let Some(map) = fields.map("timeouts", "connect, command, data, end_of_data") else { return usual };
    map.known(&TIMEOUTS);
    Timeouts {
        connect: map.duration("connect").unwrap_or(usual.connect),
        command: map.duration("command").unwrap_or(usual.command),
        data: map.duration("data").unwrap_or(usual.data),
        end_of_data: map.duration("end_of_data").unwrap_or(usual.end_of_data),
    }
}
