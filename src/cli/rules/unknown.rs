//! Owns `rules unknown`: the replies for which a rule could be written.

use serde::Serialize;

use crate::cli::{Context, Exit, Outcome};
use crate::report::words::{at, number};
use crate::store::UnknownReply;

/// `rules unknown`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
}

/// A reply as it is shown. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    from: &'a str,
    n: u64,
    first: jiff::Timestamp,
    last: jiff::Timestamp,
    code: Option<u16>,
    enhanced: Option<String>,
    stage: Option<&'static str>,
    shape: &'a str,
    sample: String,
}

impl<'a> Shown<'a> {
    fn of(reply: &'a UnknownReply) -> Self {
        Self {
            from: &reply.from,
            n: reply.n,
            first: reply.first,
            last: reply.last,
            code: reply.sample.code,
            enhanced: reply.sample.enhanced.map(|e| e.to_string()),
            stage: reply.stage.map(|stage| stage.as_str()),
            shape: &reply.shape,
            sample: reply.sample.to_string(),
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    let store = context.open_existing_store(&config)?;
    let replies = context.block_on(async { Ok(store.unknown_replies(args.limit).await?) })?;
    let mut text = String::new();
    for reply in &replies {
        let stage = reply.stage.map(|stage| format!(" at {}", stage.as_str())).unwrap_or_default();
        let n = if reply.n == 1 { "once".to_owned() } else { format!("{} times", number(reply.n)) };
        text.push_str(&format!(
            "{}{stage}, {n}, last {}\n  {}\n",
            reply.from,
            at(reply.last, &config.timezone),
            reply.sample
        ));
    }
    text.push_str(if replies.is_empty() {
        "every reply so far is known to a rule"
    } else {
        "\nrules of one's own are a file under `groups`; `hikagen rules test` tries them"
    });
    context.answer(&replies.iter().map(Shown::of).collect::<Vec<_>>(), &text)?;
    Ok(Exit::Done)
}
