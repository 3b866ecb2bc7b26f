//! Owns `journal`: who or which rule decided what, when, and from which figures.

use jiff::civil::Date;

use super::{Context, Exit, Failure, Outcome};
use crate::core::journal::Kind;
use crate::core::names::{LaneKey, RelayName};
use crate::report::journal::{Decision, render};
use crate::store::JournalFilter;

/// `journal`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only about this lane: relay/bucket
    #[arg(long, value_name = "LANE", conflicts_with = "relay")]
    lane: Option<LaneKey>,
    /// Only about this relay and its lanes
    #[arg(long, value_name = "RELAY")]
    relay: Option<RelayName>,
    /// Only since this date, such as 2026-11-24
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,
    /// Only about this plan day
    #[arg(long, value_name = "DATE")]
    day: Option<Date>,
    /// Only this kind of decision
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    kind: Option<String>,
    /// At most the last N
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// With the figures that each decision rests on
    #[arg(long)]
    long: bool,
}

fn kinds() -> clap::builder::PossibleValuesParser {
    Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().into()
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let since = args.since.map(|date| date.to_zoned(config.timezone.clone())).transpose();
    let since = since.map_err(|error| Failure::usage(format!("--since: {error}")))?;
    let filter = JournalFilter {
        relay: args.relay.clone().or(args.lane.as_ref().map(|lane| lane.relay.clone())),
        bucket: args.lane.as_ref().map(|lane| lane.bucket.clone()),
        kind: args.kind.as_deref().and_then(Kind::of),
        day: args.day,
        since: since.map(|zoned| zoned.timestamp()),
    };
    let found = context.block_on(async { Ok(store.journal(filter, args.limit).await?) })?;
    // The store begins with the newest; people read on in the order of time.
    let decisions: Vec<Decision> = found.into_iter().rev().map(Decision::of).collect();
    if decisions.is_empty() && !context.json {
        context.remark("no decision like that is in the journal");
        return Ok(Exit::Done);
    }
    context.answer(&decisions, &render(&decisions, &config.timezone, args.long))?;
    Ok(Exit::Done)
}
