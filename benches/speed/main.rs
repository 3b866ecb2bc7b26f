//! Owns the command line of the benchmarks: the comparison that `benches/run` starts, and the contestants that it starts itself.
//!
//! `benches/run` builds, sets up and calls `show`; everything that is compared runs in processes of its own, on loopback, one
//! after the other, round after round.

#![allow(clippy::disallowed_methods, reason = "benchmarks are about real time")]

mod children;
mod claims;
mod decisions;
mod depth;
mod dialogue;
mod drain;
mod events;
mod forecasts;
mod insert;
mod intake;
mod lettre_pool;
mod postfix;
mod scene;
mod show;
mod sink;
mod table;
mod together;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Hikagen's benchmarks; start them with benches/run")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// What cargo gives to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the comparison and prints its table.
    Show(show::Args),
    /// The end of the line: takes everything.
    Sink(sink::Args),
    /// Sends by lettre's pooled transport.
    LettrePool(lettre_pool::Args),
    /// Inserts a list by bare statements.
    Insert(insert::Args),
    /// Claims and settles from a store.
    Claims(claims::Args),
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    match Args::parse().command {
        None => {
            println!("benches/run starts the benchmarks");
            return Ok(std::process::ExitCode::SUCCESS);
        }
        Some(Command::Show(args)) => return show::run(&args),
        Some(Command::Sink(args)) => sink::run(&args)?,
        Some(Command::LettrePool(args)) => lettre_pool::run(&args)?,
        Some(Command::Insert(args)) => insert::run(&args)?,
        Some(Command::Claims(args)) => claims::run(&args)?,
    }
    Ok(std::process::ExitCode::SUCCESS)
}
