//! Owns `submit`: a campaign file and its list go into the store; and the reading of campaign files for the other commands.

pub(crate) mod content;
mod foresight;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use foresight::Foresight;

use super::run::open_tokens;
use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::campaign_file::{Times, When, read_campaign_file};
use crate::config::problem::{Problem, Severity, SourceFile, render};
use crate::intake::{Done, Intake, Options, Preview, Progress, Refused, Report, Submission};
use crate::report::words::{Table, at, count, number};

/// About a tenth of what a worker gets where both want the same processor.
const NICE: i32 = 10;

/// `submit`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The campaign file
    #[arg(value_name = "CAMPAIGN.yaml")]
    file: PathBuf,
    /// Check and count only: per group, what would be refused, the first day, and one mail
    #[arg(long)]
    dry_run: bool,
    /// Change templates, headers and times of what is unsent
    #[arg(long)]
    update: bool,
    /// Cancel what waits and is no longer on the list
    #[arg(long)]
    prune: bool,
}

/// The report, with what will come of it.
#[derive(Serialize)]
struct Submitted<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// When it will be done; null: nothing waits.
    forecast: Option<Foresight>,
}

/// What a dry run shows beside the report.
#[derive(Serialize)]
struct DryRun<'a> {
    #[serde(flatten)]
    submitted: Submitted<'a>,
    /// The first row that can be taken, as its mail.
    preview: Option<Preview>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    // Before the threads begin: they inherit it.
    give_way();
    context.start_log();
    let config = context.load_config()?;
    let (submission, lints) = read_submission(&args.file, &config, context.clock.now())?;
    let tokens = Arc::new(open_tokens(&config)?);
    let store = context.open_store(&config)?;
    let options = Options { dry_run: args.dry_run, update: args.update, prune: args.prune };
    let intake = Intake { config: &config, tokens: &tokens, store: &*store, clock: &*context.clock };
    let bar = bar(context);
    let (mut report, forecast) = context.block_on(async {
        let report = intake.submit(&submission, options, &mut |step| show(&bar, step)).await.map_err(refused)?;
        let forecast = Foresight::of(&submission, &report, &config, &*store, context.clock.now()).await;
        Ok((report, forecast))
    })?;
    bar.finish_and_clear();
    report.warnings.splice(0..0, lints);
    let forecast = forecast.unwrap_or_else(|error| {
        report.warnings.push(format!("there is no forecast: {error}"));
        None
    });
    let mut text = render_report(&report, &config);
    text.push_str(&forecast.as_ref().map_or(String::new(), Foresight::render));
    let preview = args.dry_run.then(|| first_preview(&intake, &submission, &report));
    let submitted = Submitted { report: &report, forecast };
    let Some(preview) = preview else {
        context.answer(&submitted, &text)?;
        return Ok(Exit::Done);
    };
    if let Some(preview) = &preview {
        text.push_str(&format!("\n{}", render_preview(preview)));
    }
    context.answer(&DryRun { submitted, preview }, &text)?;
    Ok(Exit::Done)
}

/// A worker of the same machine goes first: mail that leaves in time matters more than a list that is in some seconds earlier.
fn give_way() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority stays as it is");
    }
}

/// The mail of the first row that is taken; a list whose first rows are all refused has none to show.
fn first_preview(intake: &Intake<'_>, submission: &Submission, report: &Report) -> Option<Preview> {
    (1..=report.rows.min(100)).find_map(|row| intake.preview(submission, row).ok())
}

/// Reads a campaign file with the templates that it names. Its lints come as sentences.
pub(crate) fn read_submission(
    path: &Path,
    config: &Config,
    now: Timestamp,
) -> Result<(Submission, Vec<String>), Failure> {
    let refuse = |problems: &[Problem]| {
        let problems: Vec<Problem> = problems.iter().filter(|p| p.severity == Severity::Problem).cloned().collect();
        let coloured = std::io::stderr().is_terminal();
        Failure::refused(format!("{} is refused\n\n{}", path.display(), render(&problems, coloured).trim_end()))
    };
    let file = SourceFile::open(path).map_err(|problem| refuse(&[*problem]))?;
    let read = read_campaign_file(&file, &config.timezone);
    let Some(campaign) = read.value else { return Err(refuse(&read.problems)) };
    let resolved = campaign.times.resolve(now);
    let Some(times) = resolved.value else { return Err(refuse(&resolved.problems)) };
    let lints = read.problems.iter().chain(&resolved.problems).filter(|p| p.severity != Severity::Problem);
    let mut lints: Vec<String> = lints.map(sentence).collect();
    let said = content::read(&campaign).map_err(|problems| refused(Refused::Problems(problems)))?;
    lints.extend(said.notes);
    let submission = Submission {
        name: campaign.name.clone(),
        pool: campaign.pool.clone(),
        content: said.content,
        places: said.places,
        list: campaign.recipients.clone(),
        reading: campaign.reading,
        seeds: campaign.seeds.clone(),
        start: times.start,
        finish_by: times.finish_by,
        not_after: times.not_after,
        class: campaign.class,
        weight: campaign.weight.get(),
        written: written(&campaign.times),
    };
    Ok((submission, lints))
}

fn sentence(problem: &Problem) -> String {
    let line = problem.span.map(|span| format!(":{}", span.line)).unwrap_or_default();
    let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{}{line}: {}{help}", problem.file.name, problem.message)
}

/// The times as written, so that a relative one is the same when the file is submitted again.
fn written(times: &Times) -> String {
    let word = |when: &Option<When>| format!("{when:?}");
    format!("{} {} {}", word(&times.start), word(&times.finish_by), word(&times.not_after))
}

/// What a refused submission means for the command.
pub(crate) fn refused(refused: Refused) -> Failure {
    match refused {
        Refused::Problems(problems) => Failure::refused(match problems.as_slice() {
            [one] => one.clone(),
            many => format!("{} problems\n  {}", many.len(), many.join("\n  ")),
        }),
        Refused::Store(error) => error.into(),
    }
}

fn bar(context: &Context) -> ProgressBar {
    if context.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:10} {wide_bar} {percent:>3} % {eta:>4}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, step: Progress) {
    let (word, done, of) = match step {
        Progress::Reading { bytes } => ("reading", bytes, bytes),
        Progress::Checking { bytes, of } => ("checking", bytes, of),
        Progress::Loading { rows, of } => ("loading", rows, of),
    };
    if bar.message() != word {
        bar.reset();
        bar.set_message(word);
    }
    bar.set_length(of);
    bar.set_position(done.min(of));
}

fn render_report(report: &Report, config: &Config) -> String {
    let zone = &config.timezone;
    let did = match report.done {
        Done::Checked => "would be taken (dry run: nothing was stored)".to_owned(),
        Done::Created => "submitted".to_owned(),
        Done::Resumed => "submitted, going on from where it stopped".to_owned(),
        Done::Resubmitted => "submitted again".to_owned(),
        Done::Updated => "submitted again, unsent mail changed".to_owned(),
    };
    let relays = config.pools.get(&report.pool).into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    let mut text = format!(
        "campaign {}: {}{} {did}, pool {} ({})\n",
        report.campaign,
        count(report.recipients, "recipient"),
        if report.seeds.is_empty() {
            String::new()
        } else {
            format!(" and {}", count(report.seeds.len() as u64, "seed"))
        },
        report.pool,
        relays.join(", ")
    );
    text.push_str(&format!(
        "list {}: {}, {}, {}, {} refused\n",
        report.list.display(),
        report.encoding,
        count(report.rows, "row"),
        count(report.duplicates, "duplicate"),
        number(report.rejected)
    ));
    if report.done != Done::Checked {
        text.push_str(&format!(
            "{} new, {} changed, {} known, {} suppressed, {} pruned\n",
            number(report.added),
            number(report.updated),
            number(report.known),
            number(report.suppressed),
            number(report.pruned)
        ));
    }
    text.push_str(&render_rejects(report));
    for seed in &report.seeds {
        let known = if seed.in_list { ", in the list too" } else { "" };
        text.push_str(&format!("  seed {}: {}{known}\n", seed.address, seed.group));
    }
    let mut table = Table::new(["group", "recipients", "of these to dead domains"], &[1, 2]);
    for group in &report.groups {
        table.row([group.group.to_string(), number(group.recipients), number(group.dead)]);
    }
    text.push_str(&format!("\n{}\n", table.render("  ").trim_end_matches('\n')));
    text.push_str(&format!("\nstart {}", at(report.start, zone)));
    for (word, time) in [("finish by", report.finish_by), ("not after", report.not_after)] {
        text.push_str(&time.map(|t| format!(", {word} {}", at(t, zone))).unwrap_or_default());
    }
    text.push('\n');
    text.push_str(&render_first_day(report, config));
    for warning in &report.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn render_rejects(report: &Report) -> String {
    let mut text = String::new();
    for reject in report.first_rejects.iter().take(5) {
        let address = reject.address.escape_debug();
        text.push_str(&format!("  line {}: {address}: {}\n", reject.line, reject.reason));
    }
    let more = report.rejected.saturating_sub(5);
    if more > 0 {
        text.push_str(&format!("  and {} more\n", number(more)));
    }
    if let Some(file) = &report.rejects_file {
        text.push_str(&format!("  all refused rows: {}\n", file.display()));
    }
    text
}

fn render_first_day(report: &Report, config: &Config) -> String {
    let Some(first) = report.first_day.first() else { return String::new() };
    let total: u64 = report.first_day.iter().map(|lane| lane.leaves).sum();
    let mut text = format!("\nfirst day, {}: at most {} leave\n", first.day, number(total));
    let mut table = Table::new(["lane", "warm-up day", "quota", "spent", "leave at most", "opens"], &[1, 2, 3, 4]);
    for lane in &report.first_day {
        table.row([
            format!("{}/{}", lane.relay, lane.bucket),
            lane.warmup_day.to_string(),
            number(u64::from(lane.quota)),
            number(u64::from(lane.spent)),
            number(lane.leaves),
            lane.opens.map_or_else(|| "not on that day".to_owned(), |t| at(t, &config.timezone)),
        ]);
    }
    text.push_str(&format!("{}\n", table.render("  ").trim_end_matches('\n')));
    text
}

/// A mail for people: envelope, header section as it goes out, parts as they are read.
pub(crate) fn render_preview(preview: &Preview) -> String {
    let mut text = format!(
        "mail for row {} (line {}), group {}, through {}, {} octets\nMAIL FROM:<{}> RCPT TO:<{}>\nsubject as read: {}\n\n{}\n",
        preview.row,
        preview.line,
        preview.group,
        preview.relay,
        number(preview.size as u64),
        preview.envelope_from,
        preview.recipient,
        preview.subject,
        preview.headers
    );
    for (kind, part) in [("text", &preview.text), ("html", &preview.html)] {
        if let Some(part) = part {
            text.push_str(&format!("\n--- {kind}\n{}\n", part.trim_end()));
        }
    }
    text
}
