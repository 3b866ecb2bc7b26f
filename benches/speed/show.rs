//! Owns the comparison: its parts, one after the other, in a fresh folder, and the table at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::table::Report;
use crate::{decisions, depth, drain, events, forecasts, intake, together};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program
    #[arg(long)]
    program: PathBuf,
    /// The script of nodemailer
    #[arg(long)]
    nodemailer: PathBuf,
    /// Small counts, one round: whether everything runs
    #[arg(long)]
    quick: bool,
    /// Also with 10 million queued
    #[arg(long, conflicts_with = "quick")]
    long: bool,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// A part of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Drain,
    Intake,
    Depth,
    Lanes,
    Forecast,
    Together,
    Events,
}

/// What all parts need.
pub(crate) struct Rounds {
    pub(crate) program: PathBuf,
    pub(crate) nodemailer: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) n: usize,
    pub(crate) quick: bool,
    pub(crate) long: bool,
}

/// How far it is, on standard error: standard output is the table.
pub(crate) fn say(what: &str) {
    eprintln!("benches: {what}");
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // One level below, so that an account of Postfix's own can reach its queue.
    let folder = tempfile::Builder::new().prefix("hikagen-benches-").permissions(mode(0o755)).tempdir()?;
    let kind = file_system(folder.path());
    ensure!(kind != "tmpfs", "{} lies in memory: set TMPDIR to a folder on a disk", folder.path().display());
    let rounds = Rounds {
        program: args.program.canonicalize()?,
        nodemailer: args.nodemailer.canonicalize()?,
        folder: folder.path().to_owned(),
        n: if args.quick { 1 } else { args.rounds },
        quick: args.quick,
        long: args.long,
    };
    let mut report = Report::default();
    for part in [Part::Drain, Part::Intake, Part::Depth, Part::Lanes, Part::Forecast, Part::Together, Part::Events] {
        if args.parts.is_empty() || args.parts.contains(&part) {
            match part {
                Part::Drain => drain::run(&rounds, &mut report)?,
                Part::Intake => intake::run(&rounds, &mut report)?,
                Part::Depth => depth::run(&rounds, &mut report)?,
                Part::Lanes => decisions::run(&rounds, &mut report)?,
                Part::Forecast => forecasts::run(&rounds, &mut report)?,
                Part::Together => together::run(&rounds, &mut report)?,
                Part::Events => events::run(&rounds, &mut report)?,
            }
        }
    }
    println!("{}", report.markdown(&machine(&kind)));
    if args.quick {
        say("--quick shows that everything runs; its numbers say little");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if report.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn mode(bits: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}

/// The kind of file system that a folder lies on.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let of_folder = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        folder.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    of_folder.max_by_key(|(length, _)| *length).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

/// The machine and the peers' versions in a line.
fn machine(file_system: &str) -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let package = |name: &str| {
        let out = Command::new("dpkg-query").args(["-W", "-f", "${Version}", name]).output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    };
    format!(
        "{cpus} x {model}, Linux {}, {file_system}; everything on loopback. Debian's Postfix {}, nodemailer {} on Node {}; \
         lettre 0.11.23.",
        kernel.trim(),
        package("postfix"),
        package("node-nodemailer"),
        package("nodejs")
    )
}
