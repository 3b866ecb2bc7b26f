//! Owns the log: where it goes, in which form, how much of it.
//!
//! Invariants: the log goes to standard error, so that what a command prints can be piped; libraries that would log a login
//! (lettre at debug logs AUTH lines) are capped whatever the operator asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Variable that sets the level, in the syntax of `RUST_LOG` (`debug`, `hikagen::worker=trace`); `RUST_LOG` is read after it.
pub const LOG_VARIABLE: &str = "HIKAGEN_LOG";

/// Starts the log of this process. A second start is ignored, so tests may call commands in a row.
///
/// `verbose` counts `-v`: 0 shows warnings, or with `long_running` what happens; each further one shows more.
pub fn start(format: LogFormat, verbose: u8, long_running: bool) {
    let asked = [LOG_VARIABLE, "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let level = match verbose + u8::from(long_running) {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = match asked {
        Some(text) if verbose == 0 => {
            EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(text)
        }
        _ => EnvFilter::new(format!("hikagen={level}")),
    };
    let capped = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_target("lettre", LevelFilter::INFO)
        .with_target("rustls", LevelFilter::WARN)
        .with_target("tokio_rustls", LevelFilter::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(filter).with_filter(capped)).try_init();
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
