//! Owns what the owner of a relay does about its lanes' course: how plan days were answered, orders of operators, the journal.
//!
//! Invariants: one look at a time, beside the loop; an order is done once, also where the store did not hear of it; what changed
//! is stored with the entry that tells of it, in one transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{Span, Timestamp};

use super::events::EventKind;
use super::relay_loop::{Done, Owner};
use crate::compose::Content;
use crate::core::journal::{Entry, Kind};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, LaneKey};
use crate::core::schedule::{Break, Change, Effect, Rollover, Spent};
use crate::store::{Courses, JournalFilter, PauseCause, Rolled, Scope, Store, StoreError, UnknownsOf};

/// Polls between two looks at how plan days were answered.
const EVERY_POLLS: u32 = 5;
/// Entries of a lane's journal that are looked through, at most.
const ENTRIES_MOST: u32 = 10_000;
/// Plan days that a look goes back.
const DAYS: i64 = 4;

/// Where the owner stands with its looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looking: bool,
    /// When the next look is due, time since boot; `None`: at once.
    next: Option<Duration>,
    /// Orders that are done; the store may not know it yet.
    done: BTreeSet<i64>,
}

impl Owner {
    /// Looks how plan days were answered by now, and for orders, when it is time.
    pub(super) fn watch_course(&mut self, now: Moment) {
        let early = self.course.next.is_some_and(|next| now.up < next);
        if self.course.looking || early || !self.may_send() {
            return;
        }
        self.course.looking = true;
        self.course.next = Some(now.up + self.shared.parts.pacing.poll * EVERY_POLLS);
        let (store, relay) = (self.shared.parts.store.clone(), self.settings.name.clone());
        let since = self.course_since();
        self.tasks.spawn(async move { Done::Courses(store.courses(&relay, since).await) });
    }

    fn course_since(&self) -> jiff::civil::Date {
        let today = self.schedule.today();
        today.checked_sub(Span::new().days(DAYS)).unwrap_or(today)
    }

    pub(super) fn course_seen(&mut self, result: Result<Courses, StoreError>, now: Moment) {
        self.course.looking = false;
        match result {
            Ok(courses) => self.follow(courses, now),
            Err(error) => {
                tracing::warn!(relay = %self.settings.name, %error, "how the plan days were answered cannot be read; the next look is soon");
            }
        }
    }

    /// Before a plan day is judged: everything that is known about it by now.
    pub(super) async fn last_look(&mut self, now: Moment) -> Result<(), StoreError> {
        let courses = self.shared.parts.store.courses(&self.settings.name, self.course_since()).await?;
        self.follow(courses, now);
        Ok(())
    }

    fn follow(&mut self, courses: Courses, now: Moment) {
        for ledger in courses.ledgers {
            let effect = self.schedule.showed(&ledger.bucket, ledger.day, ledger.showing, now.at);
            if let Effect::StopLane(spent) = effect {
                self.stop_lane(ledger.bucket, &spent, now);
            }
        }
        let waiting: BTreeSet<i64> = courses.orders.iter().map(|(id, _)| *id).collect();
        // What the store no longer has was heard there.
        self.course.done.retain(|id| waiting.contains(id));
        for (id, order) in courses.orders {
            if !self.course.done.insert(id) {
                continue;
            }
            tracing::info!(
                relay = %self.settings.name, lane = %order.lane.bucket, by = order.by, reason = order.reason,
                "the operator orders: {}", order.course.as_str()
            );
            self.schedule.steer(&order.lane.bucket, &order.course, &order.by, &order.reason, now);
            self.rollover.get_or_insert_default().orders.push(id);
        }
    }

    /// Takes what the schedule changed into what is written next; each turn does, before it writes.
    pub(super) fn gather_changes(&mut self) {
        for Change { ledger, verdict, entry } in self.schedule.take_changes() {
            tracing::info!(
                relay = %self.settings.name, lane = %ledger.bucket, kind = entry.kind.as_str(), by = entry.by,
                before = entry.before, after = entry.after, "{}", entry.because
            );
            let pending = self.rollover.get_or_insert_default();
            pending.ledgers.retain(|old| (&old.bucket, old.day) != (&ledger.bucket, ledger.day));
            pending.ledgers.push(ledger);
            if let Some(verdict) = verdict {
                pending.verdicts.retain(|old| (&old.bucket, old.day) != (&verdict.bucket, verdict.day));
                pending.verdicts.push(verdict);
            }
            pending.entries.push(entry);
        }
    }

    /// A lane has shown its destination enough unknown users: nothing leaves before the operator has looked at the list.
    pub(super) fn stop_lane(&mut self, bucket: BucketName, spent: &Spent, now: Moment) {
        let lane = LaneKey { relay: self.settings.name.clone(), bucket };
        let words = spent.to_string();
        let pause = Break { cause: PauseCause::Stop, until: None, times: 1 };
        self.begin_pause(pause, Scope::Lane(lane), EventKind::LanePaused, words, now);
    }

    /// A lane whose budget of unknown users is used up, and of whose stop neither a pause nor the journal knows: the last owner died
    /// before it could write it down.
    pub(super) async fn heed_budgets(&mut self, stopped: &[BucketName], now: Moment) -> Result<(), StoreError> {
        let (store, since) = (self.shared.parts.store.clone(), self.schedule.day_begins());
        for (bucket, spent) in self.schedule.over_budgets() {
            let lane = LaneKey { relay: self.settings.name.clone(), bucket: bucket.clone() };
            if stopped.contains(&bucket) || was_stopped(&*store, lane, since).await? {
                // The operator resumed it since, or will.
                self.schedule.forgive(&bucket);
            } else {
                self.stop_lane(bucket, &spent, now);
            }
        }
        Ok(())
    }

    /// What an entry of the journal about this relay begins with.
    pub(super) fn entry(&self, kind: Kind, by: &str, at: Timestamp) -> Entry {
        Entry {
            at,
            by: by.to_owned(),
            relay: Some(self.settings.name.clone()),
            bucket: None,
            day: Some(self.schedule.today()),
            kind,
            because: String::new(),
            inputs: std::collections::BTreeMap::new(),
            before: String::new(),
            after: String::new(),
        }
    }
}

/// Whether the journal knows of a stop of the lane on the plan day that began at `since`, whoever resumed it by now.
async fn was_stopped(store: &dyn Store, lane: LaneKey, since: Timestamp) -> Result<bool, StoreError> {
    let (relay, bucket) = (Some(lane.relay), Some(lane.bucket));
    let filter = JournalFilter { relay, bucket, since: Some(since), ..JournalFilter::default() };
    let told = |e: &Entry| match e.kind {
        Kind::Paused => e.by == PauseCause::Stop.as_str(),
        kind => kind == Kind::Resumed,
    };
    Ok(store.journal(filter, ENTRIES_MOST).await?.iter().any(|(_, entry)| told(entry)))
}

/// Where unknown users came from, in words: campaigns and their lists, the most first.
pub(super) fn from_where(unknowns: &[UnknownsOf]) -> String {
    let list = |of: &UnknownsOf| {
        let content: Option<Content> = serde_json::from_str(&of.content).ok();
        content.and_then(|content| content.list).map(|list| format!(", list {list}")).unwrap_or_default()
    };
    let parts: Vec<String> =
        unknowns.iter().take(3).map(|of| format!("{} from campaign {}{}", of.n, of.campaign, list(of))).collect();
    match parts.is_empty() {
        true => "clean the list, then `lane resume`".to_owned(),
        false => format!("{}; clean the list, then `lane resume`", parts.join(", ")),
    }
}

/// A new plan day as it is written.
pub(super) fn rolled(rollover: Rollover) -> Rolled {
    Rolled { verdicts: rollover.verdicts, ledgers: rollover.ledgers, ..Rolled::default() }
}
