//! Owns the way of the demonstration's campaign into the store: as `submit` does it.

use std::path::Path;
use std::sync::Arc;

use crate::cli::Failure;
use crate::cli::run::open_tokens;
use crate::clock::SharedClock;
use crate::compose::{Content, Places};
use crate::config::Config;
use crate::config::campaign_file::{CampaignFile, read_campaign_file};
use crate::config::problem::{SourceFile, render};
use crate::intake::{Intake, Options, Refused, Report, Submission};
use crate::store::Store;

/// Submits the campaign at `path`.
pub(super) async fn submit(
    config: &Config,
    store: &dyn Store,
    clock: &SharedClock,
    path: &Path,
) -> Result<Report, Failure> {
    let file = SourceFile::open(path).map_err(|problem| Failure::refused(render(&[*problem], false)))?;
    let read = read_campaign_file(&file, &config.timezone);
    let campaign = read.value.ok_or_else(|| Failure::refused(render(&read.problems, false)))?;
    let times = campaign.times.resolve(clock.now());
    let times = times.value.ok_or_else(|| Failure::refused(render(&times.problems, false)))?;
    let tokens = Arc::new(open_tokens(config)?);
    let intake = Intake { config, tokens: &tokens, store, clock: &**clock };
    let submission = Submission {
        name: campaign.name.clone(),
        pool: campaign.pool.clone(),
        content: content(&campaign)?,
        places: Places::default(),
        list: campaign.recipients.clone(),
        start: times.start,
        finish_by: times.finish_by,
        not_after: times.not_after,
        class: campaign.class,
        weight: campaign.weight.get(),
        written: String::new(),
    };
    intake.submit(&submission, Options::default(), &mut |_| {}).await.map_err(|refused| match refused {
        Refused::Problems(problems) => Failure::refused(problems.join("\n")),
        Refused::Store(error) => error.into(),
    })
}

fn content(campaign: &CampaignFile) -> Result<Content, Failure> {
    let read = |path: &Option<std::path::PathBuf>| {
        let text = path.as_ref().map(|p| std::fs::read_to_string(p).map_err(|e| format!("{}: {e}", p.display())));
        text.transpose().map_err(Failure::refused)
    };
    Ok(Content {
        campaign: campaign.name.to_string(),
        from: campaign.from.clone(),
        reply_to: campaign.reply_to.clone(),
        subject: campaign.subject.clone(),
        text: read(&campaign.text)?,
        html: read(&campaign.html)?,
        headers: campaign.headers.clone(),
        unsubscribe: campaign.unsubscribe.clone(),
    })
}
