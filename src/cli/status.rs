//! Owns `status`.

use super::{Context, Exit, Outcome};
use crate::report::overview::overview;

/// `status`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the lanes that nothing uses, too
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let now = context.clock.now();
    let overview = context.block_on(async { Ok(overview(&*store, &config, now, args.all).await?) })?;
    context.answer(&overview, &overview.render(&config))?;
    Ok(Exit::Done)
}
