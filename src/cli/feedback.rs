//! Owns `feedback`: what came back from beyond the relay; `import` and `list` have files of their own.

mod import;
mod list;

use super::{Context, Outcome};

/// `feedback ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Take reports that lie in files: bounce mails, mailboxes, relays' logs, providers' events
    Import(import::Args),
    /// Show what was heard, the newest first
    List(list::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    match args.order {
        Order::Import(args) => import::run(&args, context),
        Order::List(args) => list::run(&args, context),
    }
}
