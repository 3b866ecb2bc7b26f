//! Owns `suppress add|remove|list|import|export`.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::intake::{Reject, clean_key, read_suppressions};
use crate::report::words::{Table, at, count, number};
use crate::store::{Store, Suppression, SuppressionReason};

/// Entries read from the store at once.
const PAGE: u32 = 5_000;

/// `suppress ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Hold addresses back
    Add {
        /// Addresses
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<String>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Take addresses off the list, whatever the reason
    Remove {
        /// Addresses
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<String>,
    },
    /// Show entries
    List {
        /// Of one address
        address: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
    },
    /// Add the addresses of a CSV file: column email, and perhaps reason, sender and note
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        terms: Terms,
    },
    /// Write all entries as CSV, which import reads
    Export {
        /// Where to [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Why an address is held back.
#[derive(Debug, clap::Args)]
struct Terms {
    /// Why: all hold everything but unsubscribe, which holds newsletters of one sending domain
    #[arg(long, value_enum, default_value = "manual")]
    reason: Reason,
    /// The sending domain that was left, with --reason unsubscribe
    #[arg(long, value_name = "DOMAIN", required_if_eq("reason", "unsubscribe"))]
    sender: Option<String>,
    /// In words
    #[arg(long, default_value = "by the operator")]
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Reason {
    Manual,
    Complaint,
    Unknown,
    Unsubscribe,
    Mailbox,
}

impl From<Reason> for SuppressionReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Manual => Self::Manual,
            Reason::Complaint => Self::Complaint,
            Reason::Unknown => Self::Unknown,
            Reason::Unsubscribe => Self::Unsubscribe,
            Reason::Mailbox => Self::Mailbox,
        }
    }
}

/// An entry as it is shown. The keys of its JSON are stable.
#[derive(Serialize)]
struct Entry<'a> {
    email: &'a str,
    reason: &'static str,
    sender: Option<&'a str>,
    note: &'a str,
    since: jiff::Timestamp,
}

impl<'a> Entry<'a> {
    fn of(entry: &'a Suppression) -> Self {
        let (sender, since) = (entry.sender.as_deref(), entry.since);
        Self { email: &entry.key, reason: entry.reason.as_str(), sender, note: &entry.note, since }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    match args.order {
        Order::Add { addresses, terms } => add(&addresses, &terms, context, &config),
        Order::Remove { addresses } => remove(&addresses, context, &config),
        Order::List { address, limit } => list(address.as_deref(), limit, context, &config),
        Order::Import { file, terms } => import(&file, &terms, context, &config),
        Order::Export { out } => export(out.as_deref(), context, &config),
    }
}

fn keys(addresses: &[String]) -> Result<Vec<String>, Failure> {
    let (keys, problems): (Vec<_>, Vec<_>) = addresses.iter().map(|a| clean_key(a)).partition(Result::is_ok);
    match problems.into_iter().filter_map(Result::err).collect::<Vec<_>>() {
        problems if problems.is_empty() => Ok(keys.into_iter().filter_map(Result::ok).collect()),
        problems => Err(Failure::refused(problems.join("\n"))),
    }
}

fn entries(keys: Vec<String>, terms: &Terms, now: jiff::Timestamp) -> Vec<Suppression> {
    let unsubscribed = terms.reason == Reason::Unsubscribe;
    let sender = terms.sender.as_ref().filter(|_| unsubscribed).map(|domain| domain.to_ascii_lowercase());
    let note: String = terms.note.chars().filter(|c| !c.is_control()).collect();
    let entry =
        |key| Suppression { key, reason: terms.reason.into(), sender: sender.clone(), note: note.clone(), since: now };
    keys.into_iter().map(entry).collect()
}

fn add(addresses: &[String], terms: &Terms, context: &Context, config: &Config) -> Outcome {
    let now = context.clock.now();
    let entries = entries(keys(addresses)?, terms, now);
    let named = entries.len() as u64;
    let store = context.open_store(config)?;
    let added = context.block_on(async { Ok(store.suppress(entries, now).await?) })?;
    let data = json!({ "added": added, "known": named.saturating_sub(added) });
    context
        .answer(&data, &format!("{} held back, {} known before", number(added), number(named.saturating_sub(added))))?;
    Ok(Exit::Done)
}

fn remove(addresses: &[String], context: &Context, config: &Config) -> Outcome {
    let keys = keys(addresses)?;
    let store = context.open_existing_store(config)?;
    let removed = context.block_on(async {
        let mut removed = 0;
        for key in &keys {
            removed += store.unsuppress(key).await?;
        }
        Ok(removed)
    })?;
    context.answer(
        &json!({ "removed": removed }),
        &format!("{} taken off", count(removed, "entry").replace("entrys", "entries")),
    )?;
    Ok(if removed == 0 { Exit::Refused } else { Exit::Done })
}

fn list(address: Option<&str>, limit: u32, context: &Context, config: &Config) -> Outcome {
    let key = address.map(clean_key).transpose().map_err(Failure::refused)?;
    let store = context.open_existing_store(config)?;
    let entries = context.block_on(async { Ok(store.suppressions(key.as_deref(), None, limit).await?) })?;
    let mut table = Table::new(["address", "reason", "sender", "since", "note"], &[]);
    for entry in &entries {
        table.row([
            entry.key.clone(),
            entry.reason.as_str().to_owned(),
            entry.sender.clone().unwrap_or_else(|| "every one".to_owned()),
            at(entry.since, &config.timezone),
            entry.note.clone(),
        ]);
    }
    let text = if entries.is_empty() { "nothing is held back".to_owned() } else { table.render("") };
    context.answer(&entries.iter().map(Entry::of).collect::<Vec<_>>(), &text)?;
    Ok(Exit::Done)
}

fn import(file: &std::path::Path, terms: &Terms, context: &Context, config: &Config) -> Outcome {
    let now = context.clock.now();
    let store = context.open_store(config)?;
    let (mut read, mut added) = (0_u64, 0_u64);
    let mut take = |batch: Vec<Suppression>| {
        read += batch.len() as u64;
        added += context.block_on(async { Ok(store.suppress(batch, now).await?) }).map_err(|f| f.text)?;
        Ok(())
    };
    let rejects: Vec<Reject> = read_suppressions(file, terms.reason.into(), terms.sender.as_deref(), now, &mut take)
        .map_err(Failure::refused)?;
    let mut text = format!(
        "{} read, {} held back, {} known before, {} refused\n",
        number(read + rejects.len() as u64),
        number(added),
        number(read - added),
        number(rejects.len() as u64)
    );
    for reject in rejects.iter().take(20) {
        text.push_str(&format!("  line {}: {}: {}\n", reject.line, reject.address.escape_debug(), reject.reason));
    }
    let data = json!({ "added": added, "known": read - added, "refused": rejects });
    context.answer(&data, &text)?;
    Ok(if rejects.is_empty() { Exit::Done } else { Exit::Refused })
}

fn export(out: Option<&std::path::Path>, context: &Context, config: &Config) -> Outcome {
    let store = context.open_existing_store(config)?;
    let all = context.block_on(every(&*store))?;
    if context.json {
        context.print_json(&all.iter().map(Entry::of).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut write = |cells: [&str; 5]| csv.write_record(cells).map_err(|e| Failure::refused(e.to_string()));
    write(["email", "reason", "sender", "since", "note"])?;
    for entry in &all {
        let since = entry.since.to_string();
        write([&entry.key, entry.reason.as_str(), entry.sender.as_deref().unwrap_or_default(), &since, &entry.note])?;
    }
    let bytes = csv.into_inner().map_err(|e| Failure::refused(e.to_string()))?;
    match out {
        Some(path) => {
            let written = std::fs::File::create(path).and_then(|mut file| file.write_all(&bytes));
            written.map_err(|e| Failure::refused(format!("{} cannot be written: {e}", path.display())))?;
            context.remark(&format!("{} written to {}", number(all.len() as u64), path.display()));
        }
        None => context.print(&String::from_utf8_lossy(&bytes))?,
    }
    Ok(Exit::Done)
}

async fn every(store: &dyn Store) -> Result<Vec<Suppression>, Failure> {
    let mut all: Vec<Suppression> = Vec::new();
    loop {
        let after = all.last().map(|entry| entry.key.clone());
        let mut page = store.suppressions(None, after.as_deref(), PAGE).await?;
        let full = page.len() >= PAGE as usize;
        // An address may have several entries; those at the end of a full page are read again with the next.
        if let (true, Some(last)) = (full, page.last().map(|entry| entry.key.clone())) {
            page.retain(|entry| entry.key != last);
        }
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}
