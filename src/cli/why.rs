//! Owns `why`.

use super::{Context, Exit, Failure, Outcome};
use crate::report::why::{WhyError, why};

/// `why`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An address, a message (m123), a campaign, a lane (relay/bucket), a relay or a bucket
    #[arg(value_name = "ADDRESS|MESSAGE|CAMPAIGN|LANE")]
    what: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let now = context.clock.now();
    let answer = context.block_on(async {
        why(&*store, &config, now, &args.what).await.map_err(|error| match error {
            WhyError::Store(error) => error.into(),
            WhyError::Unknown(text) => Failure::refused(text),
        })
    })?;
    context.answer(&answer, &answer.render(&config))?;
    Ok(Exit::Done)
}
