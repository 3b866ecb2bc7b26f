//! Owns `pause` and `resume`: everything, or one relay. Lanes are `lane pause|resume`, campaigns `campaign pause|resume`.

use std::time::Duration;

use serde_json::json;

use super::context::Stoppable;
use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::journal::{Entry, Kind};
use crate::core::names::RelayName;
use crate::core::units::span;
use crate::report::words::at;
use crate::store::{Pause, PauseCause, Scope, Store};

/// What is paused or resumed.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// Everything
    #[arg(long)]
    all: bool,
    /// One relay with all its lanes
    #[arg(long, value_name = "RELAY")]
    relay: Option<String>,
}

/// `pause`
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    terms: Terms,
}

/// `resume`
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    target: Target,
}

/// Why and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Terms {
    /// Why, in words: shown by status and why
    #[arg(long)]
    reason: String,
    /// For how long, such as 30m or 2h [default: until resumed]
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    span: Option<Duration>,
}

pub(crate) fn pause(args: PauseArgs, context: &Context) -> Outcome {
    context.start_log();
    let stoppable = context.config_to_stop()?;
    let scope = scope(&args.target, &stoppable)?;
    pause_scope(scope, args.terms, context, &stoppable.config)
}

pub(crate) fn resume(args: ResumeArgs, context: &Context) -> Outcome {
    context.start_log();
    let stoppable = context.config_to_stop()?;
    let scope = scope(&args.target, &stoppable)?;
    resume_scope(&scope, context, &stoppable.config)
}

fn scope(target: &Target, stoppable: &Stoppable) -> Result<Scope, Failure> {
    let Some(name) = &target.relay else { return Ok(Scope::All) };
    match RelayName::new(name) {
        Ok(relay) if stoppable.relays.contains(&relay) => Ok(Scope::Relay(relay)),
        _ => {
            let known: Vec<&str> = stoppable.relays.iter().map(RelayName::as_str).collect();
            let near = did_you_mean(name, known.iter().copied());
            let near = near.map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default();
            Err(Failure::refused(format!("there is no relay \"{name}\" (there is {}){near}", known.join(", "))))
        }
    }
}

/// Writes an operator's pause of `scope`.
pub(crate) fn pause_scope(scope: Scope, terms: Terms, context: &Context, config: &Config) -> Outcome {
    let reason = terms.reason.trim().to_owned();
    if reason.is_empty() {
        return Err(Failure::usage("--reason wants words that will still make sense tomorrow"));
    }
    let now = context.clock.now();
    let until = match terms.span.map(|span| now.checked_add(span)).transpose() {
        Ok(until) => until,
        Err(error) => return Err(Failure::usage(format!("--for: {error}"))),
    };
    let name = scope_name(&scope);
    let scope_of_pause = scope.clone();
    let pause = Pause { scope, cause: PauseCause::Operator, reason: reason.clone(), since: now, until, times: 1 };
    let store = context.open_store(config)?;
    let entry = entry(&scope_of_pause, Kind::Paused, reason.clone(), now);
    context.block_on(async {
        store.pause(pause).await?;
        Ok(store.note(vec![entry]).await?)
    })?;
    let end = until.map_or_else(|| "until resumed".to_owned(), |t| format!("until {}", at(t, &config.timezone)));
    let data = json!({ "paused": name, "reason": reason, "since": now, "until": until });
    context.answer(&data, &format!("{name}: paused {end}"))?;
    Ok(Exit::Done)
}

/// Takes every pause off `scope`; what narrower or wider pauses remain is said.
pub(crate) fn resume_scope(scope: &Scope, context: &Context, config: &Config) -> Outcome {
    let store = context.open_store(config)?;
    let now = context.clock.now();
    let (ended, remaining) = context.block_on(async {
        let ended = store.resume(scope, None).await?;
        if ended > 0 {
            store.note(vec![entry(scope, Kind::Resumed, "the operator resumed".to_owned(), now)]).await?;
        }
        Ok((ended, remaining(&*store, scope, now).await?))
    })?;
    let name = scope_name(scope);
    let mut text = if ended == 0 { format!("{name}: was not paused") } else { format!("{name}: resumed") };
    for pause in &remaining {
        text.push_str(&format!("\nstill in force: {}", crate::report::holds::pause_text(pause, &config.timezone)));
    }
    let names: Vec<String> = remaining.iter().map(|p| scope_name(&p.scope)).collect();
    let data = json!({ "resumed": name, "ended": ended, "still_paused": names });
    context.answer(&data, &text)?;
    Ok(Exit::Done)
}

/// Pauses that still touch `scope`: wider ones that hold it, and narrower ones within it.
async fn remaining(store: &dyn Store, scope: &Scope, now: jiff::Timestamp) -> Result<Vec<Pause>, Failure> {
    let pauses = store.outlook(now).await?.pauses;
    let touches = |pause: &Pause| match (&pause.scope, scope) {
        (Scope::All, _) | (_, Scope::All) => true,
        (Scope::Relay(a), Scope::Relay(b)) => a == b,
        (Scope::Relay(relay), Scope::Lane(lane)) | (Scope::Lane(lane), Scope::Relay(relay)) => lane.relay == *relay,
        (Scope::Lane(a), Scope::Lane(b)) => a == b,
    };
    Ok(pauses.into_iter().filter(touches).collect())
}

/// What the journal says of a pause that an operator begins or ends.
fn entry(scope: &Scope, kind: Kind, because: String, at: jiff::Timestamp) -> Entry {
    let (relay, bucket) = match scope {
        Scope::All => (None, None),
        Scope::Relay(relay) => (Some(relay.clone()), None),
        Scope::Lane(lane) => (Some(lane.relay.clone()), Some(lane.bucket.clone())),
    };
    let (before, after) = match kind {
        Kind::Paused => ("mail flows", "paused"),
        _ => ("paused", "mail flows"),
    };
    Entry {
        at,
        by: operator(),
        relay,
        bucket,
        day: None,
        kind,
        because,
        inputs: std::collections::BTreeMap::new(),
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

/// Who gives an order: the user of this process and its host.
pub(crate) fn operator() -> String {
    let of = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let user =
        of("SUDO_USER").or_else(|| of("USER")).or_else(|| of("LOGNAME")).unwrap_or_else(|| "operator".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}

fn scope_name(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".to_owned(),
        Scope::Relay(relay) => format!("relay {relay}"),
        Scope::Lane(lane) => format!("lane {lane}"),
    }
}
