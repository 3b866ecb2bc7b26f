//! Owns the judgement of what an operator ordered, and of the budget of unknown users: holds hold, a day that was set is set, a paused
//! lane stands still, and so does one that has shown its destination too many unknown users, until it is resumed.

use std::time::Duration;

use hikagen::core::schedule::Course;
use jiff::civil::Date;

use super::{IN_THE_AIR, quota};
use crate::operator::{Given, Order, Stop};
use crate::ramp::Ramp;

/// Orders about a lane's course are looked for every 25 minutes, pauses every five.
const COURSE: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_secs(10 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// What the operator did about a lane.
pub(super) struct Orders<'a> {
    ramp: &'a Ramp,
    bucket: &'a str,
    given: Vec<&'a Given>,
}

impl<'a> Orders<'a> {
    pub(super) fn about(ramp: &'a Ramp, bucket: &'a str) -> Self {
        Self { ramp, bucket, given: ramp.given.iter().filter(|g| g.bucket == bucket).collect() }
    }

    /// Whether the lane was held when the day ended.
    pub(super) fn holds(&self, day: Date) -> bool {
        let end = self.ramp.end_of(day);
        let course = |g: &&&Given| matches!(g.order, Order::Course(Course::Hold | Course::GoOn)) && g.up < end;
        self.given.iter().rfind(course).is_some_and(|g| g.order == Order::Course(Course::Hold))
    }

    fn stops(&self) -> impl Iterator<Item = &'a Stop> {
        let (ramp, bucket) = (self.ramp, self.bucket);
        ramp.stops.iter().filter(move |stop| stop.bucket == bucket)
    }

    /// Whether it was stopped when the day ended.
    pub(super) fn is_stopped(&self, day: Date) -> bool {
        let end = self.ramp.end_of(day);
        self.stops().any(|s| s.from < end && s.until.is_none_or(|until| until >= end))
    }

    /// Warm-up days that it was set to on that day: when, and to which.
    pub(super) fn days_set(&self, day: Date) -> Vec<(Duration, u32)> {
        let set = |g: &&Given| match g.order {
            Order::Course(Course::SetDay(n)) if self.ramp.day_of(g.at) == day => Some((g.up, n)),
            _ => None,
        };
        self.given.iter().filter_map(set).collect()
    }

    /// From when until when an operator's pause was in force.
    fn pauses(&self) -> Vec<(Duration, Duration)> {
        let end = |i: usize, hours: Option<u64>| {
            let by_itself = hours.map(|hours| self.given[i].up + Duration::from_secs(hours * 3_600));
            let resumed = self.given[i..].iter().find(|g| g.order == Order::Resume).map(|g| g.up);
            by_itself.into_iter().chain(resumed).min().unwrap_or(Duration::MAX)
        };
        let pause = |(i, g): (usize, &&Given)| match g.order {
            Order::Pause(hours) => Some((g.up, end(i, hours))),
            _ => None,
        };
        self.given.iter().enumerate().filter_map(pause).collect()
    }

    /// Whether anything was ordered about the lane, or held it still, on that day or since the one before.
    pub(super) fn touch(&self, day: Date) -> bool {
        let (from, until) = (self.ramp.end_of(day.yesterday().unwrap()), self.ramp.end_of(day));
        let meets = |begin: Duration, end: Duration| begin < until && end + Duration::from_secs(3_600) >= from;
        self.given.iter().any(|g| meets(g.up, g.up))
            || self.pauses().into_iter().any(|(begin, end)| meets(begin, end.min(until)))
            || self.stops().any(|s| meets(s.from, s.until.unwrap_or(until)))
    }

    /// Every order that was not done.
    pub(super) fn broken(&self, broken: &mut Vec<String>) {
        let bucket = self.bucket;
        for (begin, end) in self.pauses() {
            let left = self.ramp.seen.iter().filter(|s| s.bucket == bucket && s.up > begin + PAUSE && s.up < end);
            let n = left.count();
            if n > 0 {
                broken.push(format!("{bucket}: {n} messages left while the operator had paused the lane"));
            }
        }
        self.keeps_to_days_set(broken);
        self.keeps_its_budget(broken);
    }

    /// From when on a day was set, no more leaves in all than it allows.
    fn keeps_to_days_set(&self, broken: &mut Vec<String>) {
        for given in &self.given {
            let Order::Course(Course::SetDay(n)) = given.order else { continue };
            let (bucket, day) = (self.bucket, self.ramp.day_of(given.at));
            let (_, most) = quota(self.ramp, bucket, n, self.ramp.nth(day));
            let today = self.ramp.seen.iter().filter(|s| s.bucket == bucket && self.ramp.day_of(s.at) == day);
            let (before, after): (Vec<_>, Vec<_>) = today.partition(|s| s.up <= given.up + COURSE);
            let all = before.len() + after.len();
            if !after.is_empty() && all > most as usize && !self.ramp.is_disturbed(day) {
                broken.push(format!("{bucket}: {all} left on {day}, set to warm-up day {n} of quota {most}"));
            }
        }
    }

    /// Counts unknown users as the plan's budget does: what had come when the operator resumed is forgiven, and each day begins anew.
    fn keeps_its_budget(&self, broken: &mut Vec<String>) {
        let (ramp, bucket) = (self.ramp, self.bucket);
        let mut count = Count::default();
        let mut over: Option<Over> = None;
        let resumes: Vec<Duration> = self.stops().filter_map(|stop| stop.until).collect();
        let died = ramp.died.map(|at| ramp.up(at));
        for seen in ramp.seen.iter().filter(|s| s.bucket == bucket) {
            let day = ramp.day_of(seen.at);
            if let Some(passed) = &mut over {
                passed.after += 1;
                let over_day = passed.day;
                if resumes.iter().any(|at| passed.since <= *at && *at <= seen.up) {
                    (over, count) = (None, Count { day: Some(day), ..Count::default() });
                } else if passed.after == IN_THE_AIR + 1 {
                    broken.push(format!("{bucket}: the lane went on after its budget of unknown users on {over_day}"));
                }
            }
            let resumed = resumes.iter().any(|at| count.last < *at && *at <= seen.up);
            if count.day != Some(day) || resumed {
                count = Count { day: Some(day), ..Count::default() };
            }
            // What was answered when the process died may never have been heard.
            let heard = died.is_none_or(|died| seen.up > died || seen.up + MINUTE < died);
            count.add(seen.code, !seen.relays && heard, seen.up);
            // The curve's end has the largest quota, and so the largest sample.
            let quota = quota(ramp, bucket, u32::MAX, ramp.nth(day)).1;
            if over.is_none() && count.is_over(ramp.ask.budget(), quota, 0) && !self.cut(day) {
                over = Some(Over { day, since: seen.up, after: 0 });
            }
        }
        self.stops_with_cause(broken);
    }

    /// The clock was set about that day.
    fn cut(&self, day: Date) -> bool {
        self.ramp.ask.set_by.is_some() && (3..=8).contains(&self.ramp.nth(day))
    }

    fn stops_with_cause(&self, broken: &mut Vec<String>) {
        let (ramp, bucket) = (self.ramp, self.bucket);
        let stops: Vec<&Stop> = self.stops().collect();
        for (i, stop) in stops.iter().enumerate() {
            let day = ramp.day_of(ramp.began.checked_add(stop.from).unwrap());
            let since = i.checked_sub(1).and_then(|i| stops[i].until).unwrap_or_default();
            let mut count = Count::default();
            for seen in ramp.seen.iter().filter(|s| s.bucket == bucket && s.up > since && s.up <= stop.from) {
                if ramp.day_of(seen.at) == day {
                    count.add(seen.code, !seen.relays, seen.up);
                }
            }
            let least = quota(ramp, bucket, 1, ramp.nth(day)).0;
            if !count.is_over(ramp.ask.budget(), least, IN_THE_AIR) && !ramp.is_disturbed(day) {
                broken.push(format!("{bucket}: stopped on {day} after {count:?} though the budget allows more"));
            }
        }
    }
}

struct Over {
    day: Date,
    since: Duration,
    after: usize,
}

#[derive(Debug, Default)]
struct Count {
    day: Option<Date>,
    answered: u32,
    unknown: u32,
    last: Duration,
}

impl Count {
    fn add(&mut self, code: u16, by_destination: bool, up: Duration) {
        self.last = up;
        self.answered += u32::from(by_destination && matches!(code, 250 | 550));
        self.unknown += u32::from(by_destination && code == 550);
    }

    /// At least five, and more than `budget` hundredths of what was answered (of half the quota, where that is more), were `air` more
    /// answered in the same way.
    fn is_over(&self, budget: u32, quota: u32, air: usize) -> bool {
        let (unknown, answered) = (f64::from(self.unknown), f64::from(self.answered.max(1)));
        let more = if air == 0 { 0.0 } else { 1.0 + unknown * air as f64 / answered };
        let of = f64::from(self.answered.max(200.min(quota / 2)));
        self.unknown >= 5 && (unknown + more) * 100.0 > f64::from(budget) * of
    }
}
