//! Owns `store prune`: folding by hand what the worker folds by itself, and giving the room back.
//!
//! Invariant: while a worker lives it has at least half of the writer's time.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;

use super::{size, worker_lives};
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::core::names::CampaignName;
use crate::core::units::{show_span, span};
use crate::report::words::{Table, at, count, number};
use crate::store::{FoldOrder, Space, Store, StoreError};

/// Rows that one transaction folds.
const FOLD: u32 = 500;
/// Pages that one transaction gives back.
const SHRINK: u32 = 500;

/// `store prune`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Campaigns that ended so long ago or longer, such as 30d [default: `retention` of the configuration]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    older_than: Option<Duration>,
    /// Only say what would be folded
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &Context, config: &Config) -> Outcome {
    let keep = match (args.older_than, config.worker.retention) {
        (Some(span), _) => span,
        (None, _) if context.store.is_some() => {
            return Err(Failure::usage("without a configuration nothing says how long to keep: give --older-than"));
        }
        (None, Some(retention)) => retention,
        (None, None) => return Err(Failure::usage("`retention` is forever: give --older-than to fold all the same")),
    };
    let now = context.clock.now();
    let before = now.checked_sub(keep).map_err(|error| Failure::usage(format!("--older-than: {error}")))?;
    let store = context.open_existing_store(config)?;
    let (campaigns, pruned) = context.block_on(async {
        let campaigns = store.foldable(before).await?;
        let prune = Prune { store: &*store, context, config, before, bar: bar(context, &campaigns) };
        let pruned = if args.dry_run { prune.nothing().await? } else { prune.all().await? };
        Ok((campaigns, pruned))
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
        loop {
            let order = FoldOrder { before: self.before, limit: FOLD, zone: self.config.timezone.clone() };
            let folded = self.giving_way(self.store.fold(order)).await?;
            pruned.messages += folded.messages;
            pruned.attempts += folded.attempts;
            self.bar.set_position(pruned.messages);
            if !folded.more {
                break;
            }
        }
        loop {
            let before = pruned.is.free;
            pruned.is = self.giving_way(self.store.shrink(SHRINK)).await?;
            if !pruned.is.shrinks || pruned.is.free == 0 || pruned.is.free == before {
                break;
            }
        }
        self.bar.finish_and_clear();
        Ok(pruned)
    }

    /// Does one step; a worker that lives gets as much time afterwards.
    async fn giving_way<T>(&self, step: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
        let began = self.context.clock.elapsed();
        let done = step.await?;
        let took = self.context.clock.elapsed().saturating_sub(began);
        if worker_lives(self.store).await? {
            self.context.clock.sleep(took).await;
        }
        Ok(done)
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
    let mut table = Table::new(["campaign", "messages"], &[1]);
    for (name, n) in campaigns {
        table.row([name.to_string(), number(*n)]);
    }
    let mut text = table.render("  ");
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
