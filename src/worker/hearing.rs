//! Owns what the owner of a relay does about reports from beyond it: the same as about a carrier's answers in the session.
//!
//! Invariants: one look at the reports at a time, beside the loop, and none while everything drains; a report is acted on once,
//! also over restarts; a pause that would be over by now is written down and holds nothing.

use std::time::Duration;

use jiff::Timestamp;

use super::events::EventKind;
use super::relay_loop::{Done, Owner};
use crate::core::feedback::Fate;
use crate::core::moment::Moment;
use crate::core::names::LaneKey;
use crate::core::reply::{Action, Provider, Reading, Stage};
use crate::core::schedule::{Break, Effect, HeardEffect};
use crate::store::{Pause, ReportRow, Scope, StoreError};

/// Polls between two looks at the reports: once a second. It is one look into an index for a relay, whatever its lanes.
const EVERY_POLLS: u32 = 5;
/// Reports of one look.
const MOST: u32 = 500;

/// How far the owner has heard.
#[derive(Debug)]
pub(super) struct Hearing {
    /// Number of the last report that was acted on.
    cursor: i64,
    listening: bool,
    /// When the next look is due, time since boot; `None`: at once.
    next: Option<Duration>,
}

impl Hearing {
    /// Begins after report number `cursor`.
    pub(super) fn after(cursor: i64) -> Self {
        Self { cursor, listening: false, next: None }
    }
}

impl Owner {
    /// Looks at new reports when it is time. Not before the first look at campaigns and pauses, which reports are about; and not
    /// in a run for one campaign alone, whose owner knows no other campaign.
    pub(super) fn listen(&mut self, now: Moment) {
        let early = self.hearing.next.is_some_and(|next| now.up < next);
        if self.hearing.listening || early || self.looks == 0 || !self.may_send() || self.shared.only.is_some() {
            return;
        }
        self.hearing.listening = true;
        self.hearing.next = Some(now.up + self.shared.parts.pacing.poll * EVERY_POLLS);
        let (store, relay, after) = (self.shared.parts.store.clone(), self.settings.name.clone(), self.hearing.cursor);
        self.tasks.spawn(async move { Done::Heard(store.reports_of(&relay, after, MOST).await) });
    }

    /// Acts on reports, and remembers how far.
    pub(super) fn heard_back(&mut self, result: Result<Vec<ReportRow>, StoreError>, now: Moment) {
        self.hearing.listening = false;
        let rows = match result {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(relay = %self.settings.name, %error, "the reports cannot be read; the next look is soon");
                return;
            }
        };
        let Some(last) = rows.last().map(|row| row.id) else { return };
        if rows.len() >= MOST as usize {
            self.hearing.next = None;
        }
        for row in &rows {
            self.hear_report(row, now);
        }
        self.hearing.cursor = last;
        let (store, lease) = (self.shared.parts.store.clone(), self.lease.clone());
        self.tasks.spawn(async move {
            // Unwritten, the same reports come again after a restart: what they paused is then remembered and counts once.
            if let Err(error) = store.note_heard(&lease, last).await {
                tracing::warn!(relay = %lease.relay, %error, "how far the reports were heard could not be recorded");
            }
            Done::Nothing
        });
    }

    fn hear_report(&mut self, row: &ReportRow, now: Moment) {
        let (Some(lane), Some(campaign)) = (&row.lane, row.campaign) else { return };
        let report = &row.report;
        let stage = report.stage.unwrap_or(Stage::Body);
        let reading = match report.fate {
            Fate::Delivered => None,
            Fate::Refused | Fate::Delayed => match self.reading_of(row) {
                Some(reading) => Some(reading),
                None => return,
            },
            Fate::Complaint | Fate::Unsubscribed | Fate::AutoReply => return,
        };
        let answer = reading.as_ref().map(|reading| (reading, stage));
        let HeardEffect { effect, over } = self.schedule.heard(&lane.bucket, answer, report.at, now);
        let Some(reading) = reading.filter(|_| effect != Effect::None) else { return };
        let words = self.heard_in_words(row, &reading);
        match effect {
            Effect::PauseLane(pause) if over => self.remember(lane, pause, words, report.at),
            // Mended and resumed since, or paused already.
            Effect::StopCampaign if self.view.campaigns.get(&campaign).is_none_or(|c| c.changed > report.at) => {}
            effect => self.act(effect, Some((lane.bucket.clone(), campaign)), EventKind::RelayPaused, words, now),
        }
    }

    /// What was recorded of a report's meaning, as the schedule takes it.
    fn reading_of(&self, row: &ReportRow) -> Option<Reading> {
        let report = &row.report;
        let action = report.action?;
        let rule = report.rule.as_ref().and_then(|id| self.config.rules.all().iter().find(|rule| rule.id == *id));
        Some(Reading {
            rule: report.rule.clone(),
            reason: report.reason,
            signal: report.signal,
            action,
            from_relay: rule.is_some_and(|rule| {
                matches!(rule.provider, Provider::Relay(_)) && matches!(action, Action::Throttle | Action::Block)
            }),
            meaning: rule.map_or_else(|| report.reason.as_str().into(), |rule| rule.meaning.clone()),
        })
    }

    /// What was said, and how it was heard.
    fn heard_in_words(&self, row: &ReportRow, reading: &Reading) -> String {
        let report = &row.report;
        let at = report.at.to_zoned(self.config.timezone.clone());
        let stage = report.stage.map(|stage| format!(" at {}", stage.as_str())).unwrap_or_default();
        let remote = report.remote.as_ref().map(|host| format!(" from {host}")).unwrap_or_default();
        let message = report.message.map(|id| format!(", about {id}")).unwrap_or_default();
        format!(
            "{}{stage}: {} (heard by {}{remote}, of {}{message})",
            reading.meaning,
            report.said,
            report.way.as_str(),
            at.strftime("%Y-%m-%d %H:%M:%S")
        )
    }

    /// Writes a block down whose pause would be over: blocks of the last 7 days count, over restarts, too.
    fn remember(&mut self, lane: &LaneKey, pause: Break, reason: String, at: Timestamp) {
        tracing::info!(relay = %self.settings.name, lane = %lane.bucket, times = pause.times, "a block that is over was heard of: {reason}");
        let scope = Scope::Lane(lane.clone());
        let row = Pause { scope, cause: pause.cause, reason, since: at, until: pause.until, times: pause.times };
        let store = self.shared.parts.store.clone();
        self.tasks.spawn(async move {
            if let Err(error) = store.pause(row).await {
                tracing::warn!(%error, "a block that is over could not be written down");
            }
            Done::Nothing
        });
    }
}
