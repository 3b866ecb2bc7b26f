//! Owns `lane list|pause|resume|hold|go-on|set-day|lift`.
//!
//! Invariant: an order about a lane's course is left in the store with who gave it and why; the relay's owner does it and writes the journal.

use serde_json::json;

use super::context::Stoppable;
use super::pause::{Terms, operator, pause_scope, resume_scope};
use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::names::LaneKey;
use crate::core::schedule::Course;
use crate::report::overview::{LaneView, overview, render_lanes};
use crate::store::{LaneOrder, Scope};

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
    /// Keep a lane on its warm-up day; mail flows
    Hold(Ordered),
    /// Let a held lane follow its plan again
    GoOn(Ordered),
    /// Set a lane's warm-up day, from now on; what was spent today stays spent
    SetDay {
        /// relay/bucket
        lane: String,
        /// The warm-up day, from 1
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        day: u32,
        /// Why, in words: kept in the journal
        #[arg(long)]
        reason: String,
    },
    /// Take back a slowing down that the lane's answers caused
    Lift(Ordered),
}

/// A lane, and why.
#[derive(Debug, clap::Args)]
struct Ordered {
    /// relay/bucket
    lane: String,
    /// Why, in words: kept in the journal
    #[arg(long)]
    reason: String,
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
        Order::Hold(Ordered { lane, reason }) => steer(&lane, Course::Hold, &reason, context),
        Order::GoOn(Ordered { lane, reason }) => steer(&lane, Course::GoOn, &reason, context),
        Order::SetDay { lane, day, reason } => steer(&lane, Course::SetDay(day), &reason, context),
        Order::Lift(Ordered { lane, reason }) => steer(&lane, Course::Lift, &reason, context),
    }
}

/// Leaves the order for the relay's owner.
fn steer(lane: &str, course: Course, reason: &str, context: &Context) -> Outcome {
    let stoppable = context.config_to_stop()?;
    let lane = known(lane, &stoppable)?;
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return Err(Failure::usage("--reason wants words that will still make sense tomorrow"));
    }
    let store = context.open_store(&stoppable.config)?;
    let (at, by) = (context.clock.now(), operator());
    let text = match &course {
        Course::Hold => format!("lane {lane}: stays on its warm-up day until `lane go-on`"),
        Course::GoOn => format!("lane {lane}: follows its plan again"),
        Course::SetDay(day) => format!("lane {lane}: warm-up day {day} from now on"),
        Course::Lift => format!("lane {lane}: goes at its plan's pace again"),
    };
    let data = json!({ "lane": lane.to_string(), "order": course.as_str(), "reason": reason, "by": by });
    let order = LaneOrder { at, lane: lane.clone(), course, by, reason };
    let works = context.block_on(async {
        store.order_lane(order).await?;
        Ok(store.owners().await?.iter().any(|owner| owner.relay == lane.relay && owner.alive))
    })?;
    let when = if works { "" } else { " (no worker runs: it is done when one starts)" };
    context.answer(&data, &format!("{text}{when}"))?;
    Ok(Exit::Done)
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
