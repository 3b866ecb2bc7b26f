//! Owns `forget`: what is known of a person is removed.

use serde_json::json;

use super::context::confirm;
use super::{Context, Exit, Failure, Outcome};
use crate::intake::clean_key;
use crate::report::words::count;

/// `forget`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The person's address
    address: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let key = clean_key(&args.address).map_err(Failure::refused)?;
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    context.block_on(async {
        let messages = store.messages_to(&key).await?.len();
        if !args.yes {
            confirm(&format!(
                "Everything that is known of {key} is removed for good: {}, what came back, and words about them. Waiting mail to it is \
                 cancelled.",
                count(u64::try_from(messages).unwrap_or(u64::MAX), "message")
            ))?;
        }
        let forgotten = store.forget(&key, context.clock.now()).await?;
        let text = format!(
            "{key} is forgotten: {} emptied ({} of them waited and are cancelled), {} and {} removed.\n\
             A hash of the address stays in the suppression list, so that no later list brings it back. Copies in lists, in logs and in \
             backups are not touched.\n",
            count(forgotten.messages, "message"),
            forgotten.cancelled,
            count(forgotten.reports, "report"),
            count(forgotten.suppressions, "suppression"),
        );
        context.answer(&json!({ "address": key, "removed": forgotten }), &text)?;
        if forgotten.copy_left {
            context.remark(
                "the store's file still has the address in room that was given up before: `store compact` writes the file anew \
                 without it",
            );
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}
