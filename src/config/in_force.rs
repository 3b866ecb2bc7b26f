//! Owns what is in force: every setting of a relay and of its lanes, as text, each with where it was written.
//!
//! Invariant: a secret shows its place, never its text.

use std::fmt::Display;

use serde::Serialize;

use super::config_file::Written;
use super::plan_file::{show_avoid, show_window};
use super::settings::{
    Answers, DEFAULT_CONNECTION_AGE, DEFAULT_CONNECTIONS, DEFAULT_MESSAGES_PER_CONNECTION, Login, Mechanism, NextPlan,
    Proof, RelaySettings, Signs, Uncertain,
};
use super::shipped::shipped_plan;
use crate::core::plan::{Avoid, LanePlan, Plan, Source, Sourced};
use crate::core::units::{Rate, grouped, show_span};

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// Its key, as in the file.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// `line 12`, `plan: docomo, line 24`, `group docomo` or `built in`.
    pub source: String,
}

/// The settings of a relay, but for its plan's lanes.
#[must_use]
pub fn relay_in_force(relay: &RelaySettings, written: &Written) -> Vec<InForce> {
    let say = |key: &'static str, value: String| {
        let known = relay.known.as_ref().and_then(|known| Some((known.preset, known.preset.source(key)?)));
        let source = match (written.place(&relay.name, key), known) {
            (Some(span), _) => format!("line {}", span.line),
            (None, Some((preset, document))) => format!("preset {}: {document}", preset.kind),
            (None, None) => "built in".to_owned(),
        };
        InForce { key, value, source }
    };
    let or = |value: Option<String>, none: &str| value.unwrap_or_else(|| none.to_owned());
    let limits = &relay.limits;
    let count = |n: Option<std::num::NonZeroU32>| n.map(|n| grouped(n.get().into()));
    let burst = limits.burst.map(|n| n.to_string()).or(limits.rate.map(|rate| rate.default_burst().to_string()));
    let mut all = Vec::new();
    if let Some(known) = &relay.known {
        all.push(say("kind", format!("{}, {}", known.preset.kind, known.preset.title)));
        all.extend(known.region.iter().map(|region| say("region", region.clone())));
    }
    all.extend([
        say("host", relay.host.clone()),
        say("port", relay.port.to_string()),
        say("tls", relay.tls.as_str().to_owned()),
        say("ca", or(relay.ca.as_ref().map(|ca| format!("{} and the system's", ca.display())), "the system's")),
    ]);
    all.extend(login(relay.auth.as_ref(), &say));
    all.extend([
        say("source_address", or(relay.source_address.map(|ip| ip.to_string()), "any")),
        say("domain", relay.domain.clone()),
        say("hello", relay.hello.clone().unwrap_or_else(|| relay.domain.clone())),
        say("envelope_from", or(relay.envelope_from.clone(), "the campaign's from")),
        say("headers", or(headers(relay), "none")),
        say(if relay.dkim.is_some() { "dkim" } else { "signs" }, signs(relay)),
        say("answers", if relay.answers == Answers::Own { "own" } else { "carrier" }.to_owned()),
        say("pipelining", if relay.pipelining { "on" } else { "off" }.to_owned()),
        say("uncertain", if relay.uncertain == Uncertain::Retry { "retry" } else { "park" }.to_owned()),
        say("plan", plan(relay)),
        say("next_plan", or(relay.next_plan.as_ref().map(next_plan), "none")),
        say("warmup.day", relay.warmup.day.to_string()),
        say("warmup.started", or(relay.warmup.started.map(|date| date.to_string()), "at once")),
        say("limits.rate", or(limits.rate.map(|rate| rate.to_string()), "none")),
        say("limits.burst", or(burst, "none")),
        say("limits.per_hour", or(count(limits.per_hour), "none")),
        say("limits.per_day", or(count(limits.per_day), "none")),
        say("limits.connections", or(count(limits.connections), &DEFAULT_CONNECTIONS.to_string())),
        say(
            "limits.messages_per_connection",
            or(count(limits.messages_per_connection), &DEFAULT_MESSAGES_PER_CONNECTION.to_string()),
        ),
        say("limits.connection_age", show_span(limits.connection_age.unwrap_or(DEFAULT_CONNECTION_AGE))),
        say("limits.message_bytes", or(count(limits.message_bytes), "none")),
    ]);
    let after: Vec<String> = relay.retry.after.iter().map(|span| show_span(*span)).collect();
    all.extend([
        say("retry.after", format!("[{}]", after.join(", "))),
        say("retry.lifetime", show_span(relay.retry.lifetime)),
        say("retry.uncertain", show_span(relay.retry.uncertain)),
        say("timeouts.connect", show_span(relay.timeouts.connect)),
        say("timeouts.command", show_span(relay.timeouts.command)),
        say("timeouts.data", show_span(relay.timeouts.data)),
        say("timeouts.end_of_data", show_span(relay.timeouts.end_of_data)),
    ]);
    all
}

fn login(login: Option<&Login>, say: &dyn Fn(&'static str, String) -> InForce) -> Vec<InForce> {
    let Some(login) = login else { return vec![say("auth", "none".to_owned())] };
    let user = say("auth.user", login.user.clone());
    let (mechanism, secret) = match &login.proof {
        Proof::Password(secret, mechanism) => {
            let word = match mechanism {
                Mechanism::Offered => "password",
                Mechanism::Plain => "plain",
                Mechanism::Login => "login",
            };
            (word, say("auth.password", format!("{secret:?}")))
        }
        Proof::Token(source) => ("xoauth2", say("auth.token", source.to_string())),
    };
    vec![say("auth.mechanism", mechanism.to_owned()), user, secret]
}

fn signs(relay: &RelaySettings) -> String {
    if let Some(signer) = &relay.dkim {
        let (domain, selector, key) = (signer.domain(), signer.selector(), signer.key());
        let what = signer.headers().join(":");
        return format!("as {domain}, selector {selector}, {key:?}, headers {what}");
    }
    match relay.signs {
        Some(Signs::Relay) => "relay",
        Some(Signs::Nobody) => "nobody",
        None => "nobody is known to",
    }
    .to_owned()
}

fn plan(relay: &RelaySettings) -> String {
    named(&relay.plan, &relay.plan_source)
}

fn next_plan(next: &NextPlan) -> String {
    format!("{}, in force from {} on", named(&next.plan, &next.source), next.from)
}

fn named(plan: &Plan, source: &str) -> String {
    let shipped = shipped_plan(source).is_some();
    let from = if shipped { "shipped".to_owned() } else { format!("from {source}") };
    format!("{}, {from}", plan.name)
}

fn headers(relay: &RelaySettings) -> Option<String> {
    let all: Vec<String> = relay.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What the plan says for a lane.
#[must_use]
pub fn lane_in_force(lane: &LanePlan) -> Vec<InForce> {
    fn shown<T: Display>(value: Option<&Sourced<T>>) -> Option<(String, String)> {
        value.map(|v| (v.value.to_string(), v.source.to_string()))
    }
    let with = |text: String, source: &Source| Some((text, source.to_string()));
    let unset = |text: &str| (text.to_owned(), Source::BuiltIn.to_string());
    let say = |key, found: Option<(String, String)>, none: &str| {
        let (value, source) = found.unwrap_or_else(|| unset(none));
        InForce { key, value, source }
    };
    let counted = |n: &Option<Sourced<std::num::NonZeroU32>>| {
        n.as_ref().map(|n| (grouped(n.value.get().into()), n.source.to_string()))
    };
    let burst = counted(&lane.burst).or_else(|| {
        let rate: &Sourced<Rate> = lane.rate.as_ref()?;
        Some(unset(&rate.value.default_burst().to_string()))
    });
    vec![
        say("curve", shown(Some(&lane.curve)), ""),
        say("rate", shown(lane.rate.as_ref()), "none"),
        say("burst", burst, "none"),
        say("per_hour", counted(&lane.per_hour), "none"),
        say("connections", counted(&lane.connections), "the relay's"),
        say("messages_per_connection", counted(&lane.messages_per_connection), "the relay's"),
        say("window", with(show_window(&lane.window.value), &lane.window.source), ""),
        say("avoid", with(avoided(&lane.avoid.value), &lane.avoid.source), ""),
        say("spread", with(lane.spread.value.as_str().to_owned(), &lane.spread.source), ""),
        say("jitter", shown(lane.jitter.as_ref()), "none"),
        say(
            "transactional",
            lane.transactional.as_ref().map(|t| (format!("window {}", show_window(&t.value)), t.source.to_string())),
            "any time",
        ),
        say("cooldown", with(show_span(lane.cooldown.value), &lane.cooldown.source), ""),
    ]
}

fn avoided(avoid: &Avoid) -> String {
    if *avoid == Avoid::default() { "nothing".to_owned() } else { show_avoid(avoid) }
}
