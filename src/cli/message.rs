//! Owns `message show`; `list` and `settle` have files of their own.

mod list;
mod settle;

use serde::Serialize;
use serde_json::Value;

use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::core::campaign::MessageId;
use crate::report::heard::ReportView;
use crate::report::why::AttemptView;
use crate::report::words::at;
use crate::store::MessageRow;

/// `message ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Show a message with its columns and attempts
    Show {
        /// Its number, such as m123
        id: String,
    },
    /// List messages: parked, of unknown fate, of a campaign or a relay
    List(list::Args),
    /// End the parking of messages whose fate at the relay is unknown: one by its number, or many at once
    Settle(settle::Args),
}

/// A message as it is shown. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct View {
    message: String,
    campaign: String,
    pool: String,
    class: &'static str,
    bucket: String,
    address: String,
    columns: Value,
    score: f64,
    state: &'static str,
    because: Option<String>,
    since: Option<jiff::Timestamp>,
    due: Option<jiff::Timestamp>,
    relay: Option<String>,
    attempts: Vec<AttemptView>,
    reports: Vec<ReportView>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    match args.order {
        Order::Show { id } => show(number(&id)?, context, &config),
        Order::List(args) => list::run(&args, context, &config),
        Order::Settle(args) => settle::run(&args, context, &config),
    }
}

fn number(text: &str) -> Result<MessageId, Failure> {
    let digits = text.strip_prefix(['m', 'M']).unwrap_or(text);
    match digits.parse::<i64>() {
        Ok(n) if n > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(MessageId(n)),
        _ => Err(Failure::usage(format!("\"{}\" is not the number of a message, such as m123", text.escape_debug()))),
    }
}

fn view(row: MessageRow, attempts: Vec<AttemptView>, reports: Vec<ReportView>) -> View {
    #[expect(clippy::cast_precision_loss, reason = "scores are at most 1e12, in thousandths")]
    let score = row.score as f64 / 1_000.0;
    View {
        message: row.id.to_string(),
        campaign: row.campaign.to_string(),
        pool: row.pool.to_string(),
        class: row.class.as_str(),
        bucket: row.bucket.to_string(),
        address: row.address,
        columns: serde_json::from_str(&row.columns).unwrap_or(Value::String(row.columns)),
        score,
        state: row.state.as_str(),
        because: row.because,
        since: row.since,
        due: row.due,
        relay: row.relay.map(|relay| relay.to_string()),
        attempts,
        reports,
    }
}

fn show(id: MessageId, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let view = context.block_on(async {
        let Some(row) = store.message(id).await? else {
            return Err(Failure::refused(if store.is_folded(id).await? {
                format!("the details of message {id} were folded into counts (`retention`)")
            } else {
                format!("there is no message {id}")
            }));
        };
        let attempts = store.attempts(id).await?.iter().map(AttemptView::of).collect();
        let reports = store.reports_about(id).await?.iter().map(ReportView::of).collect();
        Ok(view(row, attempts, reports))
    })?;
    context.answer(&view, &render(&view, config))?;
    Ok(Exit::Done)
}

fn render(view: &View, config: &Config) -> String {
    let zone = &config.timezone;
    let mut text = format!(
        "{} to {}, campaign {}, {} through pool {}, bucket {}\n",
        view.message, view.address, view.campaign, view.class, view.pool, view.bucket
    );
    let because = view.because.as_ref().map(|b| format!(": {b}")).unwrap_or_default();
    let since = view.since.map(|t| format!(" since {}", at(t, zone))).unwrap_or_default();
    let due = view.due.map(|t| format!(", due {}", at(t, zone))).unwrap_or_default();
    text.push_str(&format!("{}{since}{due}{because}\n", view.state));
    for (name, value) in view.columns.as_object().into_iter().flatten() {
        text.push_str(&format!("  {name}: {}\n", value.as_str().unwrap_or_default().escape_debug()));
    }
    for attempt in &view.attempts {
        text.push_str(&format!("{}\n", attempt.sentence(zone)));
    }
    for report in &view.reports {
        text.push_str(&format!("{}\n", report.sentence(zone)));
    }
    text
}
