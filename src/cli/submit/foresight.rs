//! Owns what `submit` says of the future: when the campaign will be done beside everything else that waits, and whether the
//! plans can carry the whole queue.
//!
//! Invariant: the list is in the store whatever the forecast says, and however it fails.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::config::Config;
use crate::core::campaign::CampaignState;
use crate::forecast::{Outcomes, STEP, Scene, forecast, made_up_campaign};
use crate::intake::{Done, Report, Submission};
use crate::report::forecast::judged;
use crate::report::words::{at, count};
use crate::store::{Store, StoreError};

/// Plan days that are looked at from the campaign's start on.
const DAYS: u32 = 45;

/// Most days that are looked at.
const DAYS_MOST: u32 = 400;

/// The forecast of a submission, when every attempt is accepted. Its keys in `--json` are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Foresight {
    /// How far it looks.
    until: Timestamp,
    /// When the campaign's last message leaves; null: not before `until`, or nothing waits.
    ends: Option<Timestamp>,
    /// Messages that would remain at `finish_by`; null without one, or where it lies beyond the forecast.
    remaining_at_finish_by: Option<u64>,
    /// Messages of the campaign that would expire.
    expired: u64,
    /// Messages of the campaign that would remain at `until`.
    remaining: u64,
    /// Messages of all campaigns that would remain at `until`.
    queue_remaining: u64,
    /// All this in sentences.
    sentences: Vec<String>,
    /// What of it the operator should mind.
    warnings: Vec<String>,
}

impl Foresight {
    /// What the store holds, with the campaign of `report`: loaded, or in a dry run as it would be.
    pub(super) async fn of(
        submission: &Submission,
        report: &Report,
        config: &Config,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let mut scene = Scene::of_store(config.clone(), store, now).await?;
        if report.done == Done::Checked && store.campaign(&submission.name).await?.is_none() {
            let mut campaign = made_up_campaign(submission.name.clone(), submission.pool.clone(), submission.start);
            campaign.current.class = submission.class;
            campaign.current.weight = submission.weight;
            campaign.current.finish_by = submission.finish_by;
            campaign.current.not_after = submission.not_after;
            let groups = report.groups.iter();
            scene.add(campaign, groups.map(|group| (group.bucket.clone(), group.recipients - group.dead)));
        }
        let days = days(&config.timezone, now, report.start);
        let foreseen = forecast(&scene, &Outcomes::default(), now, days, STEP);
        let Some(course) = foreseen.campaign(submission.name.as_str()).filter(|course| course.waiting > 0) else {
            return Ok(None);
        };
        let zone = &config.timezone;
        let mut sentences = Vec::new();
        sentences
            .extend(course.ends.map(|ends| format!("done on {} if every attempt is accepted", at(whole(ends), zone))));
        let met = course.meets_finish_by() == Some(true) && course.state != CampaignState::Paused;
        let (mut good, mut warnings) = (Vec::new(), judged(course, foreseen.until, zone));
        if met {
            good = warnings.drain(..1).collect();
        }
        sentences.append(&mut good);
        let queue_remaining = foreseen.remaining();
        if queue_remaining > course.remaining {
            let text = "the queue is more than the plans carry: of all campaigns";
            let when = at(whole(foreseen.until), zone);
            warnings.push(format!("{text} {} would remain on {when}", count(queue_remaining, "message")));
        }
        Ok(Some(Self {
            until: foreseen.until,
            ends: course.ends,
            remaining_at_finish_by: course.remaining_at_finish_by,
            expired: course.expired,
            remaining: course.remaining,
            queue_remaining,
            sentences,
            warnings,
        }))
    }

    /// One line of what is good to know, and one for each warning.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        if !self.sentences.is_empty() {
            text.push_str(&format!("\nforecast: {}\n", self.sentences.join("; ")));
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning: forecast: {warning}\n"));
        }
        if !self.warnings.is_empty() {
            text.push_str("  `hikagen plan forecast` shows what leaves on each day, and which limit binds\n");
        }
        text
    }
}

/// Days to look ahead: so many from the start on.
fn days(zone: &TimeZone, now: Timestamp, start: Timestamp) -> u32 {
    let date = |time: Timestamp| -> Date { time.to_zoned(zone.clone()).date() };
    let before = date(now).until(date(start)).map_or(0, |span| span.get_days());
    let before = u32::try_from(before.max(0)).unwrap_or(DAYS_MOST);
    (before + DAYS).min(DAYS_MOST)
}

/// The minute in which a time lies.
fn whole(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(time)
}
