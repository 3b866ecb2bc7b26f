//! Owns `message list`, and which messages an operator means.

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::campaign::{known, states};
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::campaign::{MessageId, MessageState};
use crate::core::names::RelayName;
use crate::report::words::{Table, at};
use crate::store::{MessageFilter, MessageRow, Store};

/// Messages read from the store at once.
const PAGE: u32 = 2_000;

/// `message list`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["parked", "uncertain", "campaign", "relay"]))]
pub(crate) struct Args {
    /// Those that wait for an operator, because their fate at the relay is unknown
    #[arg(long, conflicts_with_all = ["uncertain", "state"])]
    parked: bool,
    /// Those whose fate at the relay is unknown: parked, or about to be tried once more
    #[arg(long)]
    uncertain: bool,
    /// Of this campaign
    #[arg(long, value_name = "NAME")]
    campaign: Option<String>,
    /// Claimed, or tried last, by this relay
    #[arg(long, value_name = "RELAY")]
    relay: Option<String>,
    /// Only these states, with commas between, as `campaign export` takes them
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    state: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// A message in a list. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct Line {
    message: String,
    address: String,
    campaign: String,
    bucket: String,
    state: MessageState,
    since: Option<Timestamp>,
    due: Option<Timestamp>,
    relay: Option<String>,
    attempts: u32,
    because: Option<String>,
}

impl From<MessageRow> for Line {
    fn from(row: MessageRow) -> Self {
        Self {
            message: row.id.to_string(),
            address: row.address,
            campaign: row.campaign.to_string(),
            bucket: row.bucket.to_string(),
            state: row.state,
            since: row.since,
            due: row.due,
            relay: row.relay.map(|relay| relay.to_string()),
            attempts: row.attempts,
            because: row.because,
        }
    }
}

pub(super) fn run(args: &Args, context: &Context, config: &Config) -> Outcome {
    let states = if args.parked { vec![MessageState::Parked] } else { states(&args.state)? };
    let store = context.open_existing_store(config)?;
    let mut lines = context.block_on(async {
        let mut filter = filter(&*store, args.campaign.as_deref(), args.relay.as_deref(), config).await?;
        filter.states = states;
        filter.uncertain = args.uncertain;
        let mut lines: Vec<Line> = Vec::new();
        // One more than asked for tells that there are more.
        let wanted = args.limit.saturating_add(1) as usize;
        let mut after = None;
        while lines.len() < wanted {
            let page = store.messages_like(filter.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            lines.extend(page.into_iter().map(Line::from).take(wanted - lines.len()));
        }
        Ok(lines)
    })?;
    let more = lines.len() > args.limit as usize;
    lines.truncate(args.limit as usize);
    context.answer(&lines, &render(&lines, config))?;
    if more {
        context.remark(&format!("there are more than {}; --limit asks for more", args.limit));
    }
    Ok(Exit::Done)
}

fn render(lines: &[Line], config: &Config) -> String {
    if lines.is_empty() {
        return "no such message".to_owned();
    }
    let time = |time: Option<Timestamp>| time.map(|t| at(t, &config.timezone)).unwrap_or_default();
    let mut table = Table::new(
        ["message", "address", "campaign", "bucket", "state", "since", "due", "relay", "attempts", "because"],
        &[8],
    );
    for line in lines {
        table.row([
            line.message.clone(),
            line.address.clone(),
            line.campaign.clone(),
            line.bucket.clone(),
            line.state.as_str().to_owned(),
            time(line.since),
            time(line.due),
            line.relay.clone().unwrap_or_default(),
            line.attempts.to_string(),
            line.because.clone().unwrap_or_default().replace('\n', " / "),
        ]);
    }
    table.render("")
}

/// The filter for a campaign and a relay by their names; unknown ones are refused.
pub(super) async fn filter(
    store: &dyn Store,
    campaign: Option<&str>,
    relay: Option<&str>,
    config: &Config,
) -> Result<MessageFilter, Failure> {
    let mut filter = MessageFilter::default();
    if let Some(name) = campaign {
        filter.campaign = Some(known(store, name).await?.id);
    }
    if let Some(text) = relay {
        // A relay that was taken out of the configuration may still have messages.
        let name = RelayName::new(text).ok();
        let owned = async |name: &RelayName| -> Result<bool, Failure> {
            Ok(config.relays.contains_key(name) || !store.plan_history(name, 1).await?.is_empty())
        };
        match name {
            Some(name) if owned(&name).await? => filter.relay = Some(name),
            _ => {
                let near = did_you_mean(text, config.relays.keys().map(RelayName::as_str));
                let near = near.map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default();
                return Err(Failure::refused(format!("there is no relay \"{}\"{near}", text.escape_debug())));
            }
        }
    }
    Ok(filter)
}

/// Every message that `filter` means.
pub(super) async fn all(store: &dyn Store, filter: MessageFilter) -> Result<Vec<MessageId>, Failure> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.messages_like(filter.clone(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id);
        found.extend(page.iter().map(|row| row.id));
    }
}
