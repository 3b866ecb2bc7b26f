//! Owns `store backup`.

use std::path::PathBuf;

use super::{Context, Exit, Outcome};

/// `store ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Copy the store to a new file while everything keeps running
    Backup {
        /// The copy; must not exist
        file: PathBuf,
    },
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.load_config()?;
    let store = context.open_existing_store(&config)?;
    let Order::Backup { file } = args.order;
    context.block_on(async { Ok(store.backup(&file).await?) })?;
    let data = serde_json::json!({ "store": config.store, "backup": file });
    context.answer(&data, &format!("{} was copied to {}", config.store.display(), file.display()))?;
    Ok(Exit::Done)
}
