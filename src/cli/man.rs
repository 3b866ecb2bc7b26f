//! Owns `man`: the manual pages of the program and of each command, made from the command line's own definition.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;

use super::{Cli, Context, Exit, Failure, Outcome};

/// `man`
#[derive(Debug, clap::Args)]
#[command(after_help = "read:     hikagen man | man -l -\n\
                        install:  hikagen man --dir /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// Write the pages of the program and of all commands to this folder, made when it is missing
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let unwritten = |error: std::io::Error| Failure::refused(format!("the manual cannot be written: {error}"));
    let Some(dir) = args.dir else {
        context.print(&page(command).map_err(unwritten)?.1)?;
        return Ok(Exit::Done);
    };
    let mut pages = Vec::new();
    all(&command, &mut pages).map_err(unwritten)?;
    let failed = |what: &Path, error: std::io::Error| Failure::refused(format!("{}: {error}", what.display()));
    std::fs::create_dir_all(&dir).map_err(|error| failed(&dir, error))?;
    for (name, text) in &pages {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
    let text = format!("wrote {} pages to {}: man -l {}", names.len(), dir.display(), dir.join("hikagen.1").display());
    context.answer(&json!({ "dir": dir, "files": names }), &text)?;
    Ok(Exit::Done)
}

/// The pages of a command and of all below it: file name and text.
fn all(command: &Command, pages: &mut Vec<(String, String)>) -> std::io::Result<()> {
    pages.push(page(command.clone())?);
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| all(below, pages))
}

fn page(command: Command) -> std::io::Result<(String, String)> {
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let source = format!("hikagen {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).title(title).source(source).manual("Hikagen");
    let mut text = Vec::new();
    man.render(&mut text)?;
    // A page of a version has no date, and what is left out there would be taken from the field behind it.
    let text = String::from_utf8_lossy(&text).replacen(" 1  \"", " 1 \"\" \"", 1);
    Ok((man.get_filename(), format!("{text}{}", ends().to_roff())))
}

/// What holds for every command.
fn ends() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "done"),
        ("1", "refused, or problems found"),
        ("2", "the command line makes no sense"),
        ("75", "try later"),
    ] {
        roff.control("TP", []).text([bold(code)]).text([roman(meaning)]);
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []).text([bold("hikagen.yaml")]).text([roman(
        "The configuration, in the current directory unless --config names another; it names plans and the store.",
    )]);
    roff
}
