//! Owns `store backup|check|compact`; `prune` has a file of its own.

mod prune;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::{Context, Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::report::words::count;
use crate::store::{Store, StoreError};

/// `store ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Copy the store to a new file while everything keeps running
    Backup {
        /// The copy; must not exist
        file: PathBuf,
    },
    /// Look whether the store is whole: file, indexes, references, counts, ledgers
    Check {
        /// Look at the structure of the file only, as the worker does once a day
        #[arg(long)]
        quick: bool,
    },
    /// Fold the details of messages and attempts of campaigns that are over into counts, now
    Prune(prune::Args),
    /// Write the store's file anew without its free room, while no worker runs. Needs the store's size once more beside it,
    /// and once more for a temporary copy in the folder that TMPDIR names (without it: /var/tmp)
    Compact,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    match args.order {
        Order::Backup { file } => backup(&file, context, &config),
        Order::Check { quick } => check(quick, context, &config),
        Order::Prune(args) => prune::run(&args, context, &config),
        Order::Compact => compact(context, &config),
    }
}

fn backup(file: &std::path::Path, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    context.block_on(async { Ok(store.backup(file).await?) })?;
    let data = json!({ "store": config.store, "backup": file });
    context.answer(&data, &format!("{} was copied to {}", config.store.display(), file.display()))?;
    Ok(Exit::Done)
}

fn check(quick: bool, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let looked_at = if quick { "structure" } else { "everything" };
    let problems = context.block_on(async {
        let found = if quick { store.quick_check().await } else { store.inspect().await };
        match found {
            // Too damaged to be walked through.
            Err(StoreError::Corrupt(why)) => Ok(vec![why]),
            other => Ok(other?),
        }
    })?;
    let mut text = match problems.len() {
        0 if quick => format!("{}: the structure of the file is sound", config.store.display()),
        0 => format!("{}: nothing is wrong (structure, indexes, references, counts, ledgers)", config.store.display()),
        n => format!("{}: {}", config.store.display(), count(n as u64, "problem")),
    };
    for problem in &problems {
        text.push_str(&format!("\n  {problem}"));
    }
    if !problems.is_empty() {
        text.push_str("\nstop the worker, keep a copy of the file, and restore a backup");
    }
    let data = json!({ "store": config.store, "looked_at": looked_at, "problems": problems });
    context.answer(&data, &text)?;
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Whether a worker lives, for which writers must give way.
async fn worker_lives(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.owners().await?.iter().any(|owner| owner.alive))
}

/// Does one step of long work, and says how long it took; a worker that lives gets as much time afterwards.
pub(super) async fn giving_way<T>(
    store: &dyn Store,
    clock: &dyn Clock,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<(T, Duration), Failure> {
    let began = clock.elapsed();
    let done = step.await?;
    let took = clock.elapsed().saturating_sub(began);
    if worker_lives(store).await? {
        clock.sleep(took).await;
    }
    Ok((done, took))
}

fn compact(context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let (before, after) = context.block_on(async {
        if worker_lives(&*store).await? {
            return Err(Failure::later("a worker runs, and would be held up for as long as this takes: stop it first"));
        }
        Ok((store.space().await?, store.compact().await?))
    })?;
    let data = json!({ "store": config.store, "bytes_before": before.bytes, "bytes": after.bytes });
    let text = format!("{}: {} before, {} now", config.store.display(), size(before.bytes), size(after.bytes));
    context.answer(&data, &text)?;
    Ok(Exit::Done)
}

/// `1.2 MB`, as disks are counted.
fn size(bytes: u64) -> String {
    let tenths = (bytes + 50_000) / 100_000;
    format!("{}.{} MB", crate::report::words::number(tenths / 10), tenths % 10)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::PacedClock;
    use crate::store::sqlite::SqliteStore;

    /// A clock each look at which takes a while, so that every step seems to.
    #[derive(Debug)]
    pub(in crate::cli) struct Slow {
        clock: PacedClock,
        late: Mutex<Duration>,
        rests: Mutex<Vec<Duration>>,
    }

    impl Slow {
        /// How long a look takes, and with it a step.
        pub(in crate::cli) const LOOK: Duration = Duration::from_millis(30);

        pub(in crate::cli) fn new() -> Self {
            let clock = PacedClock::new("2026-11-24T00:00:00Z".parse().unwrap(), 1.0);
            Self { clock, late: Mutex::default(), rests: Mutex::default() }
        }

        /// What was waited for, in order.
        pub(in crate::cli) fn rests(&self) -> Vec<Duration> {
            self.rests.lock().unwrap().clone()
        }
    }

    #[async_trait::async_trait]
    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            self.clock.now()
        }

        fn elapsed(&self) -> Duration {
            let mut late = self.late.lock().unwrap();
            *late += Self::LOOK;
            self.clock.elapsed() + *late
        }

        async fn sleep(&self, span: Duration) {
            self.rests.lock().unwrap().push(span);
            self.clock.sleep(span).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_living_worker_gets_as_much_time_as_a_step_took() {
        let (store, clock) = (SqliteStore::in_memory(), Slow::new());
        let step = async || giving_way(&store, &clock, async { Ok(7) }).await.unwrap();
        assert_eq!((step().await, clock.rests().len()), ((7, Slow::LOOK), 0));
        let relay = "tokyo".parse().unwrap();
        store.acquire(&relay, "somebody", clock.now(), false, clock.now()).await.unwrap();
        assert_eq!((step().await, clock.rests()), ((7, Slow::LOOK), vec![Slow::LOOK]));
    }
}
