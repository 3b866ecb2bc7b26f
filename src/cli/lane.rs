//! Owns `lane list|pause|resume`.

use super::context::Stoppable;
use super::pause::{Terms, pause_scope, resume_scope};
use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::names::LaneKey;
use crate::report::overview::{LaneView, overview, render_lanes};
use crate::store::Scope;

/// `lane ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Show lanes: plan day, quota, what is spent, what holds them
    List {
        /// Show the lanes that nothing uses, too
        #[arg(long)]
        all: bool,
    },
    /// Let nothing leave through a lane
    Pause {
        /// relay/bucket
        lane: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// End every pause of a lane
    Resume {
        /// relay/bucket
        lane: String,
    },
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    match args.order {
        Order::List { all } => list(all, context, &context.config_to_look()?),
        Order::Pause { lane, terms } => {
            let stoppable = context.config_to_stop()?;
            pause_scope(Scope::Lane(known(&lane, &stoppable)?), terms, context, &stoppable.config)
        }
        Order::Resume { lane } => {
            let stoppable = context.config_to_stop()?;
            resume_scope(&Scope::Lane(known(&lane, &stoppable)?), context, &stoppable.config)
        }
    }
}

fn list(all: bool, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let now = context.clock.now();
    let overview = context.block_on(async { Ok(overview(&*store, config, now, all).await?) })?;
    let lanes: Vec<LaneView> = overview.relays.into_iter().flat_map(|relay| relay.lanes).collect();
    let text = match render_lanes(&lanes, config) {
        text if text.is_empty() => "no lane is in use yet (`--all` shows every one)".to_owned(),
        text => text,
    };
    context.answer(&lanes, &text)?;
    Ok(Exit::Done)
}

/// A lane that there is, or what is near.
fn known(text: &str, Stoppable { relays, buckets, .. }: &Stoppable) -> Result<LaneKey, Failure> {
    if let Ok(key) = text.parse::<LaneKey>()
        && relays.contains(&key.relay)
        && buckets.contains(&key.bucket)
    {
        return Ok(key);
    }
    let names: Vec<String> =
        relays.iter().flat_map(|relay| buckets.iter().map(move |bucket| format!("{relay}/{bucket}"))).collect();
    let near = did_you_mean(text, names.iter().map(String::as_str));
    let near = near.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
    Err(Failure::refused(format!("there is no lane \"{text}\": a lane is relay/bucket{near}")))
}
