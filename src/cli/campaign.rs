//! Owns `campaign list|show|preview|pause|resume|cancel`; `export` and `test` have files of their own.

mod export;
mod trial;
mod views;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

pub(super) use self::export::states;
use self::views::{CampaignShown, CampaignView};
use super::run::open_tokens;
use super::submit::{read_submission, refused, render_preview};
use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::campaign::CampaignState;
use crate::core::names::CampaignName;
use crate::intake::Intake;
use crate::report::seeds::seeds;
use crate::store::{CampaignRow, Store};

/// `campaign ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Show all campaigns, newest first
    List,
    /// Show one campaign: its messages per bucket and state
    Show {
        /// Its name
        name: String,
    },
    /// Show the mail for one row of a campaign file's list; nothing is stored or sent
    Preview {
        /// The campaign file
        #[arg(value_name = "CAMPAIGN.yaml")]
        file: PathBuf,
        /// Row below the header, from 1
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        row: u64,
        /// Print the message as it goes out
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Send the mail for one row to an address of your own, now, within the limits
    Test(trial::Args),
    /// Let nothing of a campaign leave until it is resumed
    Pause {
        /// Its name
        name: String,
        /// Why, in words
        #[arg(long)]
        reason: String,
    },
    /// Let a paused campaign go on
    Resume {
        /// Its name
        name: String,
    },
    /// Give a campaign up: what waits is cancelled, for good
    Cancel {
        /// Its name
        name: String,
        /// Why, in words
        #[arg(long, default_value = "by the operator")]
        reason: String,
    },
    /// Write a campaign's messages with their columns, state and last answer as CSV (with --json: as JSON)
    Export(export::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = match &args.order {
        Order::Preview { .. } | Order::Test(_) => context.load_config()?,
        Order::Pause { .. } | Order::Resume { .. } | Order::Cancel { .. } => context.config_to_stop()?.config,
        _ => context.config_to_look()?,
    };
    match args.order {
        Order::List => list(context, &config),
        Order::Show { name } => show(&name, context, &config),
        Order::Preview { file, row, raw } => preview(&file, row, raw, context, &config),
        Order::Test(args) => trial::run(&args, context, &config),
        Order::Pause { name, reason } => order(&name, CampaignState::Paused, &reason, context, &config),
        Order::Resume { name } => order(&name, CampaignState::Running, "", context, &config),
        Order::Cancel { name, reason } => order(&name, CampaignState::Cancelled, &reason, context, &config),
        Order::Export(args) => export::run(&args, context, &config),
    }
}

/// The campaign of that name, or the names that are near.
pub(super) async fn known(store: &dyn Store, name: &str) -> Result<CampaignRow, Failure> {
    if let Ok(name) = CampaignName::new(name)
        && let Some(row) = store.campaign(&name).await?
    {
        return Ok(row);
    }
    let all = store.campaigns().await?;
    let near = did_you_mean(name, all.iter().map(|row| row.name.as_str()));
    let near = near.map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default();
    Err(Failure::refused(format!("there is no campaign \"{}\"{near} (`campaign list` shows all)", name.escape_debug())))
}

fn list(context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let views = context.block_on(async {
        let mut views = Vec::new();
        for row in store.campaigns().await? {
            let (tally, folded) = (store.tally(row.id).await?, store.folded(Some(row.id)).await?);
            views.push(CampaignView::of(&row, &tally, &folded));
        }
        Ok(views)
    })?;
    let text = if views.is_empty() { "no campaign yet".to_owned() } else { views::render_list(&views, config) };
    context.answer(&views, &text)?;
    Ok(Exit::Done)
}

fn show(name: &str, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let view = context.block_on(async {
        let row = known(&*store, name).await?;
        let (tally, folded) = (store.tally(row.id).await?, store.folded(Some(row.id)).await?);
        let view = CampaignView::of(&row, &tally, &folded);
        let (seeds, reported) = (seeds(&*store, row.id).await?, store.came_back(row.id).await?);
        Ok(CampaignShown { view, seeds, reported })
    })?;
    context.answer(&view, &view.render(config))?;
    Ok(Exit::Done)
}

fn preview(file: &std::path::Path, row: u64, raw: bool, context: &Context, config: &Config) -> Outcome {
    let (submission, lints) = read_submission(file, config, context.clock.now())?;
    let tokens = Arc::new(open_tokens(config)?);
    let store = context.open_store(config)?;
    let intake = Intake { config, tokens: &tokens, store: &*store, clock: &*context.clock };
    let preview = intake.preview(&submission, row).map_err(refused)?;
    if raw {
        context.print(&String::from_utf8_lossy(&preview.bytes))?;
        return Ok(Exit::Done);
    }
    lints.iter().for_each(|lint| context.remark(&format!("warning: {lint}")));
    context.answer(&preview, &render_preview(&preview))?;
    Ok(Exit::Done)
}

fn order(name: &str, state: CampaignState, reason: &str, context: &Context, config: &Config) -> Outcome {
    let reason = reason.trim();
    if state == CampaignState::Paused && reason.is_empty() {
        return Err(Failure::usage("--reason wants words that will still make sense tomorrow"));
    }
    let store = context.open_existing_store(config)?;
    let now = context.clock.now();
    let before = context.block_on(async {
        let row = known(&*store, name).await?;
        store.order_campaign(&row.name, state, reason, now).await?;
        Ok(row.state)
    })?;
    let word = match state {
        CampaignState::Cancelled => {
            "cancelled: what waits is cancelled as soon as a worker runs; what is in the air settles"
        }
        other => other.as_str(),
    };
    let data = json!({ "campaign": name, "state": state, "before": before, "because": reason });
    context.answer(&data, &format!("campaign {name}: {word} (was {})", before.as_str()))?;
    Ok(Exit::Done)
}
