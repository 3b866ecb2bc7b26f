//! Owns what changes a lane's course beside its own plan day: late answers, and the operator.
//!
//! Invariants: a late answer only ever makes a verdict worse, by one rung at most; what was spent stays spent; every change comes with
//! the ledger to store and the entry that tells who changed what from what.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use jiff::civil::Date;

use super::gate::{Day, judge};
use super::within::pace_in_words;
use super::{Effect, Schedule};
use crate::core::journal::{Entry, Kind};
use crate::core::lane::{Ledger, Ramp, Showing, Verdict, VerdictKind};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, RelayName};

/// Days that are looked at again when late answers come.
const LOOKED_BACK: usize = 3;

/// A change that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The lane's ledger as it is now.
    pub ledger: Ledger,
    /// An earlier day's verdict that is replaced.
    pub verdict: Option<Verdict>,
    /// For the journal.
    pub entry: Entry,
}

/// What is decided, before it is known about which lane.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) kind: Kind,
    pub(super) by: String,
    pub(super) because: String,
    pub(super) inputs: BTreeMap<String, String>,
    pub(super) before: String,
    pub(super) after: String,
}

impl Decided {
    pub(super) fn entry(self, relay: RelayName, bucket: BucketName, day: Date, at: Timestamp) -> Entry {
        Entry {
            at,
            by: self.by,
            relay: Some(relay),
            bucket: Some(bucket),
            day: Some(day),
            kind: self.kind,
            because: self.because,
            inputs: self.inputs,
            before: self.before,
            after: self.after,
        }
    }
}

/// A plan day that was judged.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) ledger: Ledger,
    pub(super) verdict: Verdict,
}

/// What an operator orders about a lane's course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// It stays on its warm-up day; mail flows.
    Hold,
    /// It goes on.
    GoOn,
    /// Its warm-up day is this one, from now on.
    SetDay(u32),
    /// It is no longer slowed down.
    Lift,
}

impl Course {
    /// The word used in the store.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::GoOn => "go-on",
            Self::SetDay(_) => "set-day",
            Self::Lift => "lift",
        }
    }
}

impl Schedule {
    /// Takes what is to be stored.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Tells how the messages of a plan day were answered, as far as it is known by now. Of the running day it is what the gate will
    /// judge, and the budget of unknown users may stop the lane; of an earlier one it may make the verdict worse.
    pub fn showed(&mut self, bucket: &BucketName, day: Date, showing: Showing, now: Timestamp) -> Effect {
        let Some(lane) = self.lanes.get_mut(bucket) else { return Effect::None };
        if lane.ledger.day != day {
            self.amend(bucket, day, showing, now);
            return Effect::None;
        }
        let worse = showing.unknown > lane.ledger.showing.unknown;
        lane.ledger.showing = showing;
        if worse { self.over_budget(bucket).unwrap_or(Effect::None) } else { Effect::None }
    }

    /// Remembers the last judged days of a lane, newest last.
    pub(super) fn remember(&mut self, judged: Judged) {
        let days = self.judged.entry(judged.ledger.bucket.clone()).or_default();
        days.push_back(judged);
        while days.len() > LOOKED_BACK {
            days.pop_front();
        }
    }

    /// Gives back the days that an earlier process judged: their late answers still count.
    pub fn recall(&mut self, days: Vec<(Ledger, Verdict)>) {
        for (ledger, verdict) in days {
            self.remember(Judged { ledger, verdict });
        }
    }

    fn amend(&mut self, bucket: &BucketName, day: Date, showing: Showing, now: Timestamp) {
        let days = self.judged.get_mut(bucket).map_or(&mut [][..], VecDeque::make_contiguous);
        let Some(judged) = days.iter_mut().find(|judged| judged.ledger.day == day) else { return };
        let Some(lane) = self.lanes.get_mut(bucket) else { return };
        if judged.ledger.showing == showing {
            return;
        }
        judged.ledger.showing = showing;
        let judgement = judge(Day { ledger: &judged.ledger, ears: &self.terms.ears, stopped: None }, &lane.plan.gate);
        if rank(judgement.kind) <= rank(judged.verdict.kind) {
            return;
        }
        let before = lane.ledger.warmup_day;
        let after = before.saturating_sub(1).max(1);
        let because = format!("late answers made the verdict of {day} worse: {}", judgement.because);
        judged.verdict.kind = judgement.kind;
        judged.verdict.because.clone_from(&because);
        judged.verdict.inputs.clone_from(&judgement.inputs);
        judged.verdict.after = after;
        let verdict = judged.verdict.clone();
        lane.ledger.warmup_day = after;
        lane.requota();
        let decided = Decided {
            kind: Kind::Amended,
            by: "gate".to_owned(),
            because,
            inputs: judgement.inputs,
            before: format!("warm-up day {before}"),
            after: format!("warm-up day {after}"),
        };
        let entry = decided.entry(self.terms.relay.clone(), bucket.clone(), day, now);
        self.changes.push(Change { ledger: lane.ledger.clone(), verdict: Some(verdict), entry });
    }

    /// Does what an operator ordered about a lane. `by`: who; `reason`: why.
    pub fn steer(&mut self, bucket: &BucketName, course: &Course, by: &str, reason: &str, now: Moment) {
        self.see(bucket, now);
        let Some(lane) = self.lanes.get_mut(bucket) else { return };
        let day = |lane: &crate::core::lane::Lane| {
            format!("warm-up day {}, quota {}", lane.ledger.warmup_day, lane.ledger.quota)
        };
        let held = |ramp: &Ramp| ramp.held.as_ref().map_or("follows its plan".to_owned(), |why| format!("held: {why}"));
        let (kind, before, after) = match course {
            Course::Hold | Course::GoOn => {
                let before = held(&lane.ledger.ramp);
                lane.ledger.ramp.held = (*course == Course::Hold).then(|| reason.to_owned());
                let kind = if *course == Course::Hold { Kind::Held } else { Kind::HoldLifted };
                (kind, before, held(&lane.ledger.ramp))
            }
            Course::SetDay(n) => {
                let before = day(lane);
                lane.ledger.warmup_day = (*n).max(1);
                lane.ledger.ramp.ceiling = None;
                lane.requota();
                (Kind::DaySet, before, day(lane))
            }
            Course::Lift => {
                let before = pace_in_words(lane.ledger.ramp.eased);
                lane.ease.lift();
                (lane.ledger.ramp.eased, lane.ledger.ramp.eased_because) = (Ramp::WHOLE, None);
                lane.brake(now.up);
                (Kind::Lifted, before, pace_in_words(lane.ledger.ramp.eased))
            }
        };
        let (by, because) = (by.to_owned(), reason.to_owned());
        self.note(bucket, Decided { kind, by, because, inputs: BTreeMap::new(), before, after }, now.at);
    }
}

/// How bad a verdict is. Too little to judge is as good as a hold: the day repeats.
fn rank(kind: VerdictKind) -> u8 {
    match kind {
        VerdictKind::Advance => 0,
        VerdictKind::Hold | VerdictKind::NoVerdict => 1,
        VerdictKind::StepBack | VerdictKind::Stop => 2,
    }
}
