//! Owns the command line: its grammar, and which file answers which command.
//!
//! A command is a module with `Args` and `run(Args, &Context) -> Outcome`, one line in `Command` and one in `dispatch`.
//! Invariants: what was asked for goes to standard output, everything else to standard error; a closed pipe is not a fault;
//! exit codes are those of `Exit`.

mod audit;
mod campaign;
mod check;
mod completions;
mod context;
mod demo;
mod feedback;
mod forget;
mod init;
mod journal;
mod lane;
mod man;
mod message;
mod pause;
mod picture;
mod plan;
mod report;
mod rules;
mod run;
mod schema;
mod simulate;
mod status;
mod store;
mod submit;
mod suppress;
mod ways;
mod why;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use context::{Context, Exit, Failure, Outcome};

/// IP warm-up and throttled delivery scheduler for e-mail through authenticated SMTP relays.
#[derive(Debug, Parser)]
#[command(name = "hikagen", version, about, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// The configuration
    #[arg(long, short = 'c', global = true, value_name = "FILE", default_value = "hikagen.yaml")]
    config: PathBuf,
    /// Look into this store without a configuration; `pause` and `resume` work, too
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "config")]
    store: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Say more (-v, -vv, -vvv)
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write commented files to start from
    Init(init::Args),
    /// Look at the configuration and everything it names; show what is in force and where each value comes from
    Check(check::Args),
    /// Take a campaign file and its list in; the same again goes on where it stopped
    Submit(submit::Args),
    /// Show, preview, pause, resume, cancel and export campaigns
    Campaign(campaign::Args),
    /// Hold addresses back, and see which are
    Suppress(suppress::Args),
    /// Show a message, or settle one whose fate is unknown
    Message(message::Args),
    /// Send, by plan, until told to end (SIGTERM drains, SIGHUP reads the files again)
    Run(run::Args),
    /// Show and check warm-up plans
    Plan(plan::Args),
    /// Show relays, lanes, campaigns, pauses and what happened last
    Status(status::Args),
    /// Show, pause and resume lanes
    Lane(lane::Args),
    /// Report a plan day: plan, handovers, answers, the worst of them, what came back, and the verdict for the next day
    Report(report::Args),
    /// Show the decisions: who or which rule decided what about lanes and relays, when, and why
    Journal(journal::Args),
    /// Let nothing leave, at once and over restarts, until resumed
    Pause(pause::PauseArgs),
    /// End a pause
    Resume(pause::ResumeArgs),
    /// Try reply rules: what a reply means and what it does; list the rules, and replies that none knows
    Rules(rules::Args),
    /// Say what holds a message, campaign or lane, when that opens, and its place in line
    Why(why::Args),
    /// Take reports from beyond the relay, and show what was heard
    Feedback(feedback::Args),
    /// Remove what is known of a person; a hash stays, so that no later list brings the address back
    Forget(forget::Args),
    /// Recount what left against what the plans allowed
    Audit(audit::Args),
    /// Show one plan day of a newsletter in half a minute, on this machine only
    Demo(demo::Args),
    /// Answer as the carriers do, on loopback, to try things against
    Simulate(simulate::Args),
    /// Look after the store
    Store(store::Args),
    /// Print the JSON Schema of a kind of file, by which editors complete and check it
    Schema(schema::Args),
    /// Print the script by which a shell completes this command line
    Completions(completions::Args),
    /// Print the manual page, or write the pages of all commands
    Man(man::Args),
}

fn dispatch(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Init(args) => init::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Submit(args) => submit::run(args, context),
        Command::Campaign(args) => campaign::run(args, context),
        Command::Suppress(args) => suppress::run(args, context),
        Command::Message(args) => message::run(args, context),
        Command::Rules(args) => rules::run(args, context),
        Command::Run(args) => run::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Lane(args) => lane::run(args, context),
        Command::Report(args) => report::run(&args, context),
        Command::Journal(args) => journal::run(&args, context),
        Command::Pause(args) => pause::pause(args, context),
        Command::Resume(args) => pause::resume(args, context),
        Command::Why(args) => why::run(args, context),
        Command::Feedback(args) => feedback::run(args, context),
        Command::Forget(args) => forget::run(&args, context),
        Command::Audit(args) => audit::run(args, context),
        Command::Demo(args) => demo::run(args, context),
        Command::Simulate(args) => simulate::run(args, context),
        Command::Store(args) => store::run(args, context),
        Command::Schema(args) => schema::run(args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::Man(args) => man::run(args, context),
    }
}

/// Runs the command that `args` (program name first) ask for.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => {
            let exit = if usage.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nothing can be told to a terminal that is gone.
            let _ = usage.print();
            return exit.into();
        }
    };
    let context = Context::new(cli.config, cli.json, cli.verbose).looking_into(cli.store);
    let done = match &cli.command {
        // The others meet the question where they ask for their configuration.
        Command::Init(_)
        | Command::Check(_)
        | Command::Plan(_)
        | Command::Rules(_)
        | Command::Demo(_)
        | Command::Simulate(_)
            if context.store.is_some() =>
        {
            Err(Failure::usage(context::NEEDS_CONFIGURATION))
        }
        _ => dispatch(cli.command, &context),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}
