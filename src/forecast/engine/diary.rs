//! Owns what is noted of a relay's plan days: what left, and what held back the rest for the longest time.
//!
//! Invariant: the limit of a day is what the core itself says ([`Schedule::explain`]); the night counts only where nothing else did.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;

use crate::core::campaign::Class;
use crate::core::lane::VerdictKind;
use crate::core::moment::Moment;
use crate::core::names::{BucketName, RelayName};
use crate::core::schedule::{Because, Schedule};
use crate::forecast::answer::{DayForecast, LimitForecast};
use crate::forecast::queue::Counted;
use crate::worker::view::View;

/// One relay's notes.
pub(super) struct Diary {
    pub(super) relay: RelayName,
    /// Days that are over.
    pub(super) days: Vec<DayForecast>,
    today: BTreeMap<BucketName, Notes>,
    begun: bool,
}

/// One lane's plan day.
#[derive(Debug, Clone, Default)]
struct Notes {
    spent_before: u32,
    leaves: u64,
    retries: u64,
    accepted: u64,
    deferred: u64,
    bounced: u64,
    /// How long each reason held mail back.
    held: BTreeMap<&'static str, (Duration, Option<Because>)>,
}

impl Diary {
    pub(super) fn new(relay: RelayName) -> Self {
        Self { relay, days: Vec::new(), today: BTreeMap::new(), begun: false }
    }

    /// Begins a new plan day when it has come, and notes the one before.
    pub(super) fn begin_day(&mut self, schedule: &mut Schedule, view: &View, now: Moment) {
        if !std::mem::replace(&mut self.begun, true) {
            for (bucket, lane) in schedule.lanes() {
                self.today.entry(bucket.clone()).or_default().spent_before = lane.ledger.spent;
            }
        }
        if now.at < schedule.day_ends() {
            return;
        }
        let day = schedule.today();
        let mut rows = self.rows(schedule, view, day, now);
        let rollover = schedule.begin_day(now).unwrap_or_default();
        for row in &mut rows {
            let verdict = rollover.verdicts.iter().find(|v| v.bucket == row.bucket && v.day == day);
            row.verdict = verdict.map(|v| v.kind).or(Some(VerdictKind::NoVerdict));
        }
        self.days.append(&mut rows);
        self.today.clear();
    }

    /// Notes the day in which the forecast ends.
    pub(super) fn end(&mut self, schedule: &Schedule, view: &View, now: Moment) {
        let mut rows = self.rows(schedule, view, schedule.today(), now);
        self.days.append(&mut rows);
    }

    /// Counts what left: messages, retries among them.
    pub(super) fn count(&mut self, bucket: &BucketName, (n, retries): (u32, u32), counted: Counted) {
        let notes = self.today.entry(bucket.clone()).or_default();
        notes.leaves += u64::from(n);
        notes.retries += u64::from(retries);
        notes.accepted += counted.fates.accepted;
        notes.deferred += counted.fates.deferred;
        notes.bounced += counted.fates.bounced;
    }

    /// Notes what held back what still waits, from `now` to `next`.
    pub(super) fn passed(&mut self, schedule: &Schedule, view: &View, now: Moment, next: Moment) {
        let span = next.up.saturating_sub(now.up);
        for (bucket, pools) in &view.backlog.lanes {
            let Some(lane) = schedule.lanes().get(bucket).filter(|lane| lane.left() > 0) else { continue };
            let lines = || pools.iter().flat_map(|p| &p.lines).filter(|l| l.fresh + l.retries > 0);
            let Some(class) = lines().map(|l| l.class).min_by_key(|class| *class as usize) else { continue };
            let (code, because) = match schedule.explain(bucket, class, now).into_iter().next() {
                Some(hold) => (hold.because.code(), Some(hold.because)),
                None => silent(
                    schedule,
                    bucket,
                    pools.iter().any(|p| p.is_open_to_us(class)),
                    lines().all(|l| l.fresh == 0),
                ),
            };
            debug_assert!(lane.left() > 0);
            let held =
                self.today.entry(bucket.clone()).or_default().held.entry(code).or_insert((Duration::ZERO, because));
            held.0 += span;
        }
    }

    fn rows(&self, schedule: &Schedule, view: &View, day: Date, now: Moment) -> Vec<DayForecast> {
        let mut rows = Vec::new();
        for (bucket, lane) in schedule.lanes() {
            let nothing = Notes::default();
            let notes = self.today.get(bucket).unwrap_or(&nothing);
            let waits = view.waits(bucket);
            if notes.leaves == 0 && !waits {
                continue;
            }
            let limit = if waits { limit(notes, schedule, bucket, now) } else { None };
            rows.push(DayForecast {
                relay: self.relay.clone(),
                day,
                bucket: bucket.clone(),
                warmup_day: lane.ledger.warmup_day,
                quota: lane.ledger.quota,
                spent_before: notes.spent_before,
                leaves: notes.leaves,
                retries: notes.retries,
                accepted: notes.accepted,
                deferred: notes.deferred,
                bounced: notes.bounced,
                limit,
                verdict: None,
            });
        }
        rows
    }
}

/// What holds mail of which the core says that it could leave.
fn silent(
    schedule: &Schedule,
    bucket: &BucketName,
    is_open: bool,
    only_retries: bool,
) -> (&'static str, Option<Because>) {
    let because = if !is_open {
        Because::LeftToEarlierRelay
    } else if only_retries && schedule.retries_left(bucket) == 0 {
        let retries = schedule.lanes().get(bucket).map_or(0, |lane| lane.ledger.spent_retries);
        Because::RetriesHadTheirShare { retries }
    } else {
        Because::Busy { connections: schedule.terms().connections }
    };
    (because.code(), Some(because))
}

/// The limit of a day: the quota when it is spent, else what held longest.
fn limit(notes: &Notes, schedule: &Schedule, bucket: &BucketName, now: Moment) -> Option<LimitForecast> {
    let say = |because: &Because| LimitForecast { code: because.code(), because: because.to_string() };
    let spent = schedule.lanes().get(bucket).filter(|lane| lane.left() == 0);
    if spent.is_some() {
        let holds = schedule.explain(bucket, Class::Bulk, now);
        let quota = holds.iter().find(|hold| matches!(hold.because, Because::QuotaSpent { .. }));
        return quota.map(|hold| say(&hold.because));
    }
    let closed = Because::WindowClosed.code();
    let longest = notes.held.iter().max_by_key(|(code, (span, _))| (**code != closed, *span));
    longest.and_then(|(_, (_, because))| because.as_ref()).map(say)
}
