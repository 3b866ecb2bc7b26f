//! Owns `report`: the daily report as text, JSON or an HTML page.
//!
//! Invariant: what is in the page's place and is no such page stays.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde_json::json;

use super::{Context, Exit, Failure, Outcome};
use crate::core::names::RelayName;
use crate::report::daily::{Lang, daily, default_day};

/// `report`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plan day, such as 2026-11-25 [default: yesterday, or today where there was none]
    #[arg(long, value_name = "DATE")]
    day: Option<Date>,
    /// Language [default: by LC_ALL, LC_MESSAGES or LANG, else en]
    #[arg(long, value_enum, value_name = "LANG")]
    lang: Option<Language>,
    /// Write an HTML page to FILE; - prints it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Only this relay
    #[arg(long, value_name = "RELAY")]
    relay: Option<RelayName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    /// Japanese
    Ja,
    /// English
    En,
}

fn language(asked: Option<Language>) -> Lang {
    let by_environment = || {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().filter_map(|name| std::env::var(name).ok());
        let locale = set.into_iter().find(|locale| !locale.is_empty()).unwrap_or_default();
        Lang::of_locale(&locale)
    };
    match asked {
        Some(Language::Ja) => Lang::Ja,
        Some(Language::En) => Lang::En,
        None => by_environment(),
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    context.start_log();
    let config = context.config_to_look()?;
    if let Some(name) = args.relay.as_ref().filter(|name| !config.relays.contains_key(name)) {
        let names: Vec<&str> = config.relays.keys().map(RelayName::as_str).collect();
        return Err(Failure::refused(format!("there is no relay {name}; known relays: {}", names.join(", "))));
    }
    let store = context.open_existing_store(&config)?;
    let now = context.clock.now();
    let report = context.block_on(async {
        let day = match args.day {
            Some(day) => day,
            None => default_day(&*store, &config, now).await?,
        };
        Ok(daily(&*store, &config, day, args.relay.as_ref(), now).await?)
    })?;
    let lang = language(args.lang);
    match &args.html {
        Some(file) => hand_out(&report.html(lang, &config.timezone), file, context),
        None => {
            context.answer(&report, &report.render(lang, &config.timezone))?;
            Ok(Exit::Done)
        }
    }
}

fn hand_out(page: &str, file: &Path, context: &Context) -> Outcome {
    if file == Path::new("-") {
        if context.json {
            return Err(Failure::usage("--html - prints a page and --json figures: take one of them, or --html FILE"));
        }
        context.print(page)?;
        return Ok(Exit::Done);
    }
    let shown = file.display();
    match std::fs::read(file) {
        Ok(there) if !there.is_empty() && !there.starts_with(b"<!doctype html>") => {
            return Err(Failure::refused(format!(
                "{shown} is there and is no report: nothing was written; name another file"
            )));
        }
        _ => {}
    }
    std::fs::write(file, page).map_err(|error| Failure::refused(format!("{shown}: {error}")))?;
    context.answer(&json!({ "html": file }), &format!("wrote {shown}"))?;
    Ok(Exit::Done)
}
