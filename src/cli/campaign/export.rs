//! Owns `campaign export`: a campaign's messages as CSV or JSON, in list order, page by page.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::known;
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::core::campaign::{CampaignId, MessageId, MessageState};
use crate::store::{MessageRow, Store};

/// Messages read from the store at once.
const PAGE: u32 = 2_000;
/// Columns in front of the list's own, and behind them.
const FRONT: [&str; 3] = ["message", "address", "state"];
const BACK: [&str; 5] = ["since", "relay", "attempts", "bucket", "last_answer"];

/// `campaign export`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The campaign's name
    name: String,
    /// Only these states, with commas between: queued, deferred, claimed, parked, accepted, bounced, expired, suppressed,
    /// cancelled; or sent (accepted), waiting, unsent (all that was not accepted)
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    state: Vec<String>,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context, config: &Config) -> Outcome {
    let states = states(&args.state)?;
    let store = context.open_existing_store(config)?;
    let (written, folded) = context.block_on(async {
        let campaign = known(&*store, &args.name).await?.id;
        let folded = store.folded(Some(campaign)).await?;
        let folded: u64 =
            folded.iter().filter(|row| states.is_empty() || states.contains(&row.state)).map(|row| row.n).sum();
        let out: Box<dyn Write + Send> = match &args.out {
            Some(path) => Box::new(BufWriter::new(File::create(path).map_err(|e| cannot_write(args, &e))?)),
            None => Box::new(BufWriter::new(std::io::stdout())),
        };
        let mut export = Export { store: &*store, campaign, states: &states, args };
        let written = if context.json { export.json(out).await? } else { export.csv(out).await? };
        Ok((written, folded))
    })?;
    if folded > 0 {
        context
            .remark(&format!("{folded} more were folded into counts (`retention`): nothing is left of them to export"));
    }
    if let Some(path) = &args.out {
        context.remark(&format!("{written} messages written to {}", path.display()));
    }
    Ok(Exit::Done)
}

fn cannot_write(args: &Args, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure { exit: Exit::Done, text: String::new() };
    }
    let place = args.out.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
    Failure::later(format!("{place} cannot be written: {error}"))
}

/// States by their words; empty is all.
pub(crate) fn states(words: &[String]) -> Result<Vec<MessageState>, Failure> {
    use MessageState::{Accepted, Claimed, Deferred, Parked, Queued};
    let mut states = Vec::new();
    for word in words.iter().map(|word| word.trim()) {
        match word {
            "sent" => states.push(Accepted),
            "waiting" => states.extend([Queued, Deferred, Claimed, Parked]),
            "unsent" => states.extend(MessageState::ALL.into_iter().filter(|state| *state != Accepted)),
            _ => match MessageState::ALL.into_iter().find(|state| state.as_str() == word) {
                Some(state) => states.push(state),
                None => {
                    let known =
                        MessageState::ALL.map(MessageState::as_str).into_iter().chain(["sent", "waiting", "unsent"]);
                    let near = did_you_mean(word, known.clone());
                    let near = near.map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default();
                    let known = known.collect::<Vec<_>>().join(", ");
                    let word = word.escape_debug();
                    return Err(Failure::usage(format!("\"{word}\" is not a state{near} There are: {known}")));
                }
            },
        }
    }
    states.sort_unstable();
    states.dedup();
    Ok(states)
}

struct Export<'a> {
    store: &'a dyn Store,
    campaign: CampaignId,
    states: &'a [MessageState],
    args: &'a Args,
}

impl Export<'_> {
    async fn page(&self, after: Option<MessageId>) -> Result<Vec<MessageRow>, Failure> {
        Ok(self.store.messages_of(self.campaign, self.states, after, PAGE).await?)
    }

    /// Columns of all lists that went into the campaign, in the order in which they came.
    async fn columns(&self) -> Result<Vec<String>, Failure> {
        let (mut columns, mut after): (Vec<String>, _) = (Vec::new(), None);
        let mut last = String::new();
        loop {
            let page = self.page(after).await?;
            let Some(end) = page.last() else { return Ok(columns) };
            after = Some(end.id);
            for row in &page {
                let names: String = columns_of(row).keys().map(|name| format!("{name}\n")).collect();
                if names != last {
                    let new = names.lines().filter(|name| *name != "email" && !columns.iter().any(|c| c == name));
                    let new: Vec<String> = new.map(str::to_owned).collect();
                    columns.extend(new);
                    last = names;
                }
            }
        }
    }

    async fn csv(&mut self, out: Box<dyn Write + Send>) -> Result<u64, Failure> {
        let columns = self.columns().await?;
        let fail = |e: csv::Error| match e.into_kind() {
            csv::ErrorKind::Io(e) => cannot_write(self.args, &e),
            other => Failure::refused(format!("{other:?}")),
        };
        let mut csv = csv::Writer::from_writer(out);
        let head = FRONT.into_iter().chain(columns.iter().map(String::as_str)).chain(BACK);
        csv.write_record(head).map_err(fail)?;
        let (mut written, mut after) = (0, None);
        loop {
            let page = self.page(after).await?;
            let Some(end) = page.last() else { break };
            after = Some(end.id);
            for row in page {
                let values = columns_of(&row);
                let text = |name: &String| values.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let front = [row.id.to_string(), row.address, row.state.as_str().to_owned()];
                let back = [
                    row.since.map(|t| t.to_string()).unwrap_or_default(),
                    row.relay.map(|r| r.to_string()).unwrap_or_default(),
                    row.attempts.to_string(),
                    row.bucket.to_string(),
                    row.because.unwrap_or_default(),
                ];
                csv.write_record(front.into_iter().chain(columns.iter().map(text)).chain(back)).map_err(fail)?;
                written += 1;
            }
        }
        csv.flush().map_err(|e| cannot_write(self.args, &e))?;
        Ok(written)
    }

    async fn json(&mut self, mut out: Box<dyn Write + Send>) -> Result<u64, Failure> {
        let fail = |e: std::io::Error| cannot_write(self.args, &e);
        let (mut written, mut after) = (0, None);
        write!(out, "[").map_err(fail)?;
        loop {
            let page = self.page(after).await?;
            let Some(end) = page.last() else { break };
            after = Some(end.id);
            for row in page {
                let comma = if written == 0 { "\n" } else { ",\n" };
                let columns = columns_of(&row);
                let data = json!({
                    "message": row.id.to_string(), "address": row.address, "state": row.state, "columns": columns,
                    "since": row.since, "relay": row.relay, "attempts": row.attempts, "bucket": row.bucket,
                    "last_answer": row.because,
                });
                write!(out, "{comma}{data}").map_err(fail)?;
                written += 1;
            }
        }
        writeln!(out, "\n]").and_then(|()| out.flush()).map_err(fail)?;
        Ok(written)
    }
}

fn columns_of(row: &MessageRow) -> Map<String, Value> {
    serde_json::from_str(&row.columns).unwrap_or_default()
}
