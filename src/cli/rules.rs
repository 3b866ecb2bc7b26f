//! Owns `rules`: what a reply means and by which rule; each order has a file of its own.

mod unknown;

use super::{Context, Outcome};

/// `rules ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// List the replies that no rule knows, the most frequent first
    Unknown(unknown::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.order {
        Order::Unknown(args) => unknown::run(&args, context),
    }
}
