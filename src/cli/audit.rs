//! Owns `audit`.

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::{Context, Exit, Failure, Outcome};
use crate::report::audit::{gather, judge};

/// Days that are looked back at where nothing else is asked for.
const DAYS: i64 = 31;

/// `audit`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// First plan day to look at, such as 2026-11-24 [default: 31 days ago]
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let today = context.clock.now().to_zoned(config.timezone.clone()).date();
    let since = match args.since {
        Some(since) => since,
        None => today.checked_sub(DAYS.days()).map_err(|error| Failure::usage(error.to_string()))?,
    };
    let audit = context.block_on(async {
        let evidence = gather(&*store, &config, since).await?;
        Ok(judge(&evidence, since))
    })?;
    context.answer(&audit, &audit.render())?;
    Ok(if audit.is_clean() { Exit::Done } else { Exit::Refused })
}
