//! Owns `feedback list`: what was heard about an address, a campaign or a lane, the newest first.

use serde::Serialize;

use crate::cli::campaign::known;
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::core::names::LaneKey;
use crate::intake::clean_key;
use crate::report::heard::ReportView;
use crate::store::{ReportRow, Store};

/// `feedback list`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// About this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// About messages of this campaign
    #[arg(long, value_name = "CAMPAIGN")]
    campaign: Option<String>,
    /// About messages that this lane sent
    #[arg(long, value_name = "RELAY/BUCKET")]
    lane: Option<LaneKey>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

/// A report with the campaign of its message. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct Listed {
    campaign: Option<String>,
    #[serde(flatten)]
    report: ReportView,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let listed = context.block_on(gather(args, &*store))?;
    let mut text = String::new();
    for one in &listed {
        let message = one.report.message.clone().unwrap_or_else(|| "no message of this store".to_owned());
        let address = one.report.address.as_deref().unwrap_or("no recipient");
        let campaign = one.campaign.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        text.push_str(&format!("{address}  {message}{campaign} {}\n", one.report.sentence(&config.timezone)));
    }
    if listed.is_empty() {
        text.push_str("nothing was heard");
    }
    context.answer(&listed, &text)?;
    Ok(Exit::Done)
}

async fn gather(args: &Args, store: &dyn Store) -> Result<Vec<Listed>, Failure> {
    let names: std::collections::BTreeMap<_, _> =
        store.campaigns().await?.into_iter().map(|row| (row.id, row.name.to_string())).collect();
    let campaign = match &args.campaign {
        Some(name) => Some(known(store, name).await?.id),
        None => None,
    };
    let key = args.address.as_deref().map(clean_key).transpose().map_err(Failure::refused)?;
    let limit = u32::try_from(args.limit).unwrap_or(u32::MAX);
    let mut rows: Vec<ReportRow> = match &key {
        Some(key) => store.reports_to(key).await?,
        None => store.reports(campaign, args.lane.as_ref(), limit).await?,
    };
    rows.retain(|row| {
        campaign.is_none_or(|id| row.campaign == Some(id))
            && args.lane.as_ref().is_none_or(|lane| row.lane.as_ref() == Some(lane))
    });
    rows.sort_by_key(|row| std::cmp::Reverse((row.report.at, row.id)));
    rows.truncate(args.limit);
    let listed = |row: &ReportRow| {
        let campaign = row.campaign.and_then(|id| names.get(&id).cloned());
        Listed { campaign, report: ReportView::of(row) }
    };
    Ok(rows.iter().map(listed).collect())
}
