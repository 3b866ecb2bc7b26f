//! Owns `completions`: the script by which a shell completes this command line, made from its own definition.

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::{generate, shells};

use super::{Cli, Context, Exit, Outcome};

/// `completions`
#[derive(Debug, clap::Args)]
#[command(after_help = "bash:  hikagen completions bash > /usr/share/bash-completion/completions/hikagen\n\
                        zsh:   hikagen completions zsh > /usr/local/share/zsh/site-functions/_hikagen\n\
                        fish:  hikagen completions fish > /usr/share/fish/vendor_completions.d/hikagen.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let (mut command, mut script) = (Cli::command(), Vec::new());
    match args.shell {
        Shell::Bash => generate(shells::Bash, &mut command, "hikagen", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "hikagen", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "hikagen", &mut script),
    }
    context.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
