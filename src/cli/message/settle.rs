//! Owns `message settle`: what an operator knows of the fate of parked messages, one by its number or many at once.
//!
//! Invariant: many are changed only after the operator has seen how many; what stopped being parked meanwhile is left alone.

use serde_json::json;

use super::{list, number};
use crate::cli::context::confirm;
use crate::cli::store::giving_way;
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::campaign::{MessageId, MessageState};
use crate::report::words::count;
use crate::store::{Fate, Settled, Store};

/// Messages settled in one transaction.
const BATCH: usize = 500;

/// `message settle`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("fate").required(true))]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["id", "campaign", "relay", "state"]))]
pub(crate) struct Args {
    /// The number of one message, such as m123
    #[arg(conflicts_with_all = ["campaign", "relay", "state", "dry_run"])]
    id: Option<String>,
    /// The relay has it: never send it again
    #[arg(long, group = "fate")]
    accepted: bool,
    /// The relay does not have it: send it again
    #[arg(long, group = "fate")]
    retry: bool,
    /// It came back: never send it again; the address is not suppressed
    #[arg(long, group = "fate")]
    bounced: bool,
    /// The same as one of these
    #[arg(long = "as", group = "fate", value_enum, value_name = "FATE")]
    known: Option<Word>,
    /// All parked messages of this campaign
    #[arg(long, value_name = "NAME")]
    campaign: Option<String>,
    /// All parked messages that this relay tried last
    #[arg(long, value_name = "RELAY")]
    relay: Option<String>,
    /// All messages in this state; alone, those of every campaign
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Word {
    Accepted,
    Retry,
    Bounced,
}

/// Only parked messages can be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum State {
    Parked,
}

impl Args {
    fn fate(&self) -> Fate {
        match self.known {
            Some(Word::Accepted) => Fate::Accepted,
            Some(Word::Bounced) => Fate::Bounced,
            None if self.accepted => Fate::Accepted,
            None if self.bounced => Fate::Bounced,
            Some(Word::Retry) | None => Fate::Retry,
        }
    }
}

/// The state that a fate leads to, and what that means.
fn words(fate: Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Accepted => ("accepted", "never sent again"),
        Fate::Retry => ("queued", "sent again"),
        Fate::Bounced => ("bounced", "never sent again"),
    }
}

pub(super) fn run(args: &Args, context: &Context, config: &Config) -> Outcome {
    match &args.id {
        Some(id) => one(number(id)?, args.fate(), context, config),
        None => many(args, context, config),
    }
}

fn one(id: MessageId, fate: Fate, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let now = context.clock.now();
    let settled = context.block_on(async { Ok(store.settle_parked(vec![id], fate, now).await?) })?;
    if settled.done == 0 {
        return Err(Failure::refused(format!("message {id} is not parked; `why {id}` shows where it is")));
    }
    let (state, means) = words(fate);
    context.answer(&json!({ "message": id.to_string(), "state": state }), &format!("{id}: {state}: it is {means}"))?;
    Ok(Exit::Done)
}

fn many(args: &Args, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let fate = args.fate();
    let (state, means) = words(fate);
    let ids = context.block_on(async {
        let mut filter = list::filter(&*store, args.campaign.as_deref(), args.relay.as_deref(), config).await?;
        filter.states = vec![MessageState::Parked];
        list::all(&*store, filter).await
    })?;
    let found = count(ids.len() as u64, "parked message");
    let mut settled = Settled::default();
    let text = if args.dry_run {
        format!("{found} would be {state}: {means} (dry run)")
    } else if ids.is_empty() {
        "no such message is parked".to_owned()
    } else {
        if !args.yes {
            confirm(&format!("{found} will be {state}: {means}. Go on?"))?;
        }
        settled = context.block_on(settle_all(&*store, &*context.clock, &ids, fate))?;
        let left = if settled.stale == 0 {
            String::new()
        } else {
            format!("; {} not parked any more, left alone", count(settled.stale, "message"))
        };
        format!("{}: {state}: {means}{left}", count(settled.done, "message"))
    };
    let data = json!({
        "parked": ids.len(), "settled": settled.done, "left_alone": settled.stale, "state": state, "dry_run": args.dry_run,
    });
    context.answer(&data, &text)?;
    Ok(Exit::Done)
}

/// Settles in batches; a worker that lives has the store to itself in between.
async fn settle_all(store: &dyn Store, clock: &dyn Clock, ids: &[MessageId], fate: Fate) -> Result<Settled, Failure> {
    let mut sum = Settled::default();
    for batch in ids.chunks(BATCH) {
        let (settled, _) = giving_way(store, clock, store.settle_parked(batch.to_vec(), fate, clock.now())).await?;
        (sum.done, sum.stale) = (sum.done + settled.done, sum.stale + settled.stale);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::store::tests::Slow;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test(start_paused = true)]
    async fn many_are_settled_bit_by_bit_with_rests_for_a_worker() {
        let (store, clock) = (SqliteStore::in_memory(), Slow::new());
        let ids: Vec<MessageId> = (1..=1_100).map(MessageId).collect();
        let settled = settle_all(&store, &clock, &ids, Fate::Accepted).await.unwrap();
        assert_eq!((settled.done, settled.stale, clock.rests().len()), (0, 1_100, 0), "no worker lives");
        let now = clock.now();
        store.acquire(&"tokyo".parse().unwrap(), "somebody", now, false, now).await.unwrap();
        settle_all(&store, &clock, &ids, Fate::Accepted).await.unwrap();
        assert_eq!(clock.rests(), [Slow::LOOK; 3]);
    }
}
