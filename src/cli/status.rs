//! Owns `status`.

use std::path::PathBuf;

use super::{Context, Exit, Outcome, picture};
use crate::report::chart::status_chart;
use crate::report::overview::overview;

/// `status`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the lanes that nothing uses, too
    #[arg(long)]
    all: bool,
    /// Draw a chart instead, spent of planned for each lane: as SVG to standard output, or to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    svg: Option<PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let now = context.clock.now();
    let overview = context.block_on(async { Ok(overview(&*store, &config, now, args.all).await?) })?;
    if let Some(file) = &args.svg {
        return picture::hand_out(&status_chart(&overview, &config), file, context);
    }
    context.answer(&overview, &overview.render(&config))?;
    Ok(Exit::Done)
}
