//! Owns `store prune`: folding by hand what the worker folds by itself, and giving the room back.
//!
//! Invariants: while a worker lives it has at least half of the writer's time; nothing that the worker would still keep is
//! folded unless somebody said yes.

use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;

use super::{giving_way, size};
use crate::cli::context::confirm;
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::config::{Config, RETENTION_LEAST};
use crate::core::names::CampaignName;
use crate::core::units::{show_span, span};
use crate::report::words::{Table, at, count, number};
use crate::store::step::Step;
use crate::store::{FoldOrder, Space, Store};

/// Rows that the first transaction folds, and any.
const FOLD_FIRST: u32 = 500;
const FOLD: RangeInclusive<u32> = 10..=5_000;
/// Pages that the first transaction gives back, and any.
const SHRINK_FIRST: u32 = 500;
const SHRINK: RangeInclusive<u32> = 10..=5_000;

/// `store prune`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Campaigns that ended so long ago or longer, such as 30d; 1d at least [default: `retention` of the configuration]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    older_than: Option<Duration>,
    /// Only say what would be folded
    #[arg(long)]
    dry_run: bool,
    /// Do not ask; without a terminal this is needed for less than `retention`
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, context: &Context, config: &Config) -> Outcome {
    let keep = kept(args, context, config)?;
    let now = context.clock.now();
    let before = now.checked_sub(keep).map_err(|error| Failure::usage(format!("--older-than: {error}")))?;
    let store = context.open_existing_store(config)?;
    let campaigns = context.block_on(async { Ok(store.foldable(before).await?) })?;
    if !args.yes && !args.dry_run && !campaigns.is_empty() {
        ask(keep, before, &campaigns, context, config)?;
    }
    let pruned = context.block_on(async {
        let prune = Prune { store: &*store, context, config, before, bar: bar(context, &campaigns) };
        if args.dry_run { prune.nothing().await } else { prune.all().await }
    })?;
    let listed: Vec<_> = campaigns.iter().map(|(name, n)| json!({ "campaign": name, "messages": n })).collect();
    let data = json!({
        "store": config.store, "older_than": show_span(keep), "before": before, "dry_run": args.dry_run,
        "campaigns": listed, "messages": pruned.messages, "attempts": pruned.attempts,
        "bytes_before": pruned.was.bytes, "bytes": pruned.is.bytes, "free": pruned.is.free,
        "shrinks": pruned.is.shrinks,
    });
    context.answer(&data, &render(args.dry_run, before, &campaigns, &pruned, config))?;
    Ok(Exit::Done)
}

/// How long is kept: what was asked for, or what the configuration says.
fn kept(args: &Args, context: &Context, config: &Config) -> Result<Duration, Failure> {
    match (args.older_than, config.worker.retention) {
        (Some(span), _) if span < RETENTION_LEAST => Err(Failure::usage(format!(
            "--older-than {}: expected {} or longer: limits look back a day",
            show_span(span),
            show_span(RETENTION_LEAST)
        ))),
        (Some(span), _) => Ok(span),
        (None, _) if context.store.is_some() => {
            Err(Failure::usage("without a configuration nothing says how long to keep: give --older-than"))
        }
        (None, Some(retention)) => Ok(retention),
        (None, None) => Err(Failure::usage("`retention` is forever: give --older-than to fold all the same")),
    }
}

/// Asks at a terminal. Without one nobody is asked about what the worker would fold by itself.
fn ask(
    keep: Duration,
    before: Timestamp,
    campaigns: &[(CampaignName, u64)],
    context: &Context,
    config: &Config,
) -> Result<(), Failure> {
    let configured = config.worker.retention.filter(|_| context.store.is_none());
    if configured.is_some_and(|retention| keep >= retention) && !std::io::stdin().is_terminal() {
        return Ok(());
    }
    confirm(&format!(
        "{}{} of campaigns that ended before {} will be folded into counts, for good{}. Go on?",
        table(campaigns),
        count(total(campaigns), "message"),
        at(before, &config.timezone),
        match (context.store.is_some(), configured) {
            (true, _) => String::new(),
            (false, Some(retention)) => format!(" (`retention` is {})", show_span(retention)),
            (false, None) => " (`retention` is forever)".to_owned(),
        }
    ))
}

fn table(campaigns: &[(CampaignName, u64)]) -> String {
    let mut table = Table::new(["campaign", "messages"], &[1]);
    for (name, n) in campaigns {
        table.row([name.to_string(), number(*n)]);
    }
    table.render("  ")
}

fn total(campaigns: &[(CampaignName, u64)]) -> u64 {
    campaigns.iter().map(|(_, n)| n).sum()
}

fn bar(context: &Context, campaigns: &[(CampaignName, u64)]) -> ProgressBar {
    if context.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total(campaigns));
    if let Ok(style) = ProgressStyle::with_template("folding    {wide_bar} {percent:>3} % {eta:>4}") {
        bar.set_style(style);
    }
    bar
}

/// What was done.
struct Pruned {
    messages: u64,
    attempts: u64,
    was: Space,
    is: Space,
}

struct Prune<'a> {
    store: &'a dyn Store,
    context: &'a Context,
    config: &'a Config,
    before: Timestamp,
    bar: ProgressBar,
}

impl Prune<'_> {
    async fn nothing(&self) -> Result<Pruned, Failure> {
        let is = self.store.space().await?;
        Ok(Pruned { messages: 0, attempts: 0, was: is, is })
    }

    async fn all(&self) -> Result<Pruned, Failure> {
        let was = self.store.space().await?;
        let mut pruned = Pruned { messages: 0, attempts: 0, was, is: was };
        let (store, clock) = (self.store, &*self.context.clock);
        let mut step = Step::new(FOLD_FIRST, FOLD);
        loop {
            let order = FoldOrder { before: self.before, limit: step.size(), zone: self.config.timezone.clone() };
            let (folded, took) = giving_way(store, clock, store.fold(order)).await?;
            step.took(folded.messages + folded.attempts, took);
            pruned.messages += folded.messages;
            pruned.attempts += folded.attempts;
            self.bar.set_position(pruned.messages);
            if !folded.more {
                break;
            }
        }
        let mut step = Step::new(SHRINK_FIRST, SHRINK);
        loop {
            let before = pruned.is.free;
            let (space, took) = giving_way(store, clock, store.shrink(step.size())).await?;
            pruned.is = space;
            step.took(step.size().into(), took);
            if !pruned.is.shrinks || pruned.is.free == 0 || pruned.is.free == before {
                break;
            }
        }
        self.bar.finish_and_clear();
        Ok(pruned)
    }
}

fn render(
    dry_run: bool,
    before: Timestamp,
    campaigns: &[(CampaignName, u64)],
    pruned: &Pruned,
    config: &Config,
) -> String {
    let since = at(before, &config.timezone);
    if campaigns.is_empty() && pruned.was.bytes == pruned.is.bytes {
        return format!("nothing to fold: no campaign ended before {since} has details left");
    }
    let mut text = table(campaigns);
    if dry_run {
        let n = count(total(campaigns), "message");
        text.push_str(&format!("{n} of campaigns that ended before {since} would be folded into counts (dry run)"));
        return text;
    }
    text.push_str(&format!(
        "{} and {} of campaigns that ended before {since} were folded into counts\n{}: {} before, {} now",
        count(pruned.messages, "message"),
        count(pruned.attempts, "attempt"),
        config.store.display(),
        size(pruned.was.bytes),
        size(pruned.is.bytes)
    ));
    if !pruned.is.shrinks {
        text.push_str(&format!(
            ", {} of it free: what comes next is written there. The file is of an earlier version and stays as large as it is \
             until `hikagen store compact` writes it anew (with the worker stopped)",
            size(pruned.is.free)
        ));
    }
    text
}
