//! Owns `campaign test`: one mail to the operator, now, by the worker that runs or, where none does, by one of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use crate::cli::run::{ended, open_tokens, parts_of};
use crate::cli::submit::{read_submission, refused};
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::core::campaign::{MessageId, MessageState};
use crate::intake::{Intake, Trial};
use crate::store::{MessageRow, Store};
use crate::worker::{Pacing, run_campaign};

/// How long a running worker is given.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// `campaign test`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The campaign file
    #[arg(value_name = "CAMPAIGN.yaml")]
    file: PathBuf,
    /// Where it goes
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// Row below the header whose columns it has, from 1
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    row: u64,
}

pub(super) fn run(args: &Args, context: &Context, config: &Config) -> Outcome {
    let (submission, _) = read_submission(&args.file, config, context.clock.now())?;
    let tokens = Arc::new(open_tokens(config)?);
    let store = context.open_store(config)?;
    let message = context.block_on(async {
        let intake = Intake { config, tokens: &tokens, store: &*store, clock: &*context.clock };
        let trial = intake.try_out(&submission, args.row, &args.to).await.map_err(refused)?;
        let Some(message) = trial.message else {
            return Err(Failure::refused(format!("{} is on the suppression list: nothing leaves", args.to)));
        };
        let worker_runs = store.owners().await?.iter().any(|owner| owner.alive);
        if !worker_runs {
            send(&trial, store.clone(), context, config, &submission.pool).await?;
        }
        settled(&*store, message, if worker_runs { PATIENCE } else { Duration::ZERO }, context).await
    })?;
    tell(&message, context)
}

/// A worker for this campaign alone, over the relays of its pool.
async fn send(
    trial: &Trial,
    store: Arc<dyn Store>,
    context: &Context,
    config: &Config,
    pool: &crate::core::names::PoolName,
) -> Result<(), Failure> {
    let relays = config.pools.get(pool).cloned().unwrap_or_default();
    let mut config = config.clone();
    config.relays.retain(|name, _| relays.contains(name));
    let config = Arc::new(config);
    let (parts, _slot) = parts_of(&config, store, context.clock.clone(), Pacing::default())?;
    let (_orders, control) = mpsc::channel(1);
    run_campaign(parts, config, trial.id, control).await.map_err(ended)
}

/// The message, once it is settled or `patience` is over.
async fn settled(
    store: &dyn Store,
    message: MessageId,
    patience: Duration,
    context: &Context,
) -> Result<MessageRow, Failure> {
    let end = context.clock.elapsed() + patience;
    loop {
        let row = store.message(message).await?;
        let row = row.ok_or_else(|| Failure::refused(format!("message {message} is gone")))?;
        let waits = matches!(row.state, MessageState::Queued | MessageState::Claimed);
        if !waits || context.clock.elapsed() >= end {
            return Ok(row);
        }
        context.clock.sleep(LOOK).await;
    }
}

fn tell(row: &MessageRow, context: &Context) -> Outcome {
    let id = row.id.to_string();
    let relay = row.relay.as_ref().map(|relay| format!(" by {relay}")).unwrap_or_default();
    let because = row.because.as_ref().map(|because| format!(": {because}")).unwrap_or_default();
    let (exit, words) = match row.state {
        MessageState::Accepted => (Exit::Done, format!("accepted{relay}{because}")),
        MessageState::Queued | MessageState::Claimed => {
            (Exit::Later, format!("still waits; `hikagen why {id}` says for what, and it expires in an hour"))
        }
        MessageState::Deferred => (Exit::Later, format!("deferred{relay}{because}; a running worker tries again")),
        MessageState::Parked => (Exit::Later, format!("its fate is unknown{relay}{because}")),
        state => (Exit::Refused, format!("{}{because}", state.as_str())),
    };
    let data = json!({
        "message": id, "campaign": row.campaign, "address": row.address, "state": row.state, "relay": row.relay,
        "because": row.because,
    });
    context.answer(&data, &format!("test to {}: {words} ({id})", row.address))?;
    Ok(exit)
}
