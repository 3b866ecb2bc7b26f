//! Owns the change from one plan to the next at a plan day that was named beforehand.
//!
//! Invariants: the next plan is in force from the first moment that belongs to its plan day by both plans' calendars; what was spent
//! stays spent, and no plan day begins twice, however the start of the day or the zone moves.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Schedule, Terms};
use crate::core::lane::calendar::{day_bounds, plan_day};
use crate::core::moment::Moment;

impl Terms {
    /// Puts the next plan in force when its plan day has come at `now`; says whether it did.
    pub fn come_to(&mut self, now: Timestamp) -> bool {
        let Some((from, next)) = &self.next else { return false };
        let day = |plan: &crate::core::plan::Plan| plan_day(&plan.timezone, plan.day_starts, now);
        if day(&self.plan) < *from || day(next) < *from {
            return false;
        }
        self.plan = Arc::clone(next);
        self.next = None;
        true
    }
}

impl Schedule {
    /// Turns the calendar to `now`: the next plan comes into force where it is its time, and the plan day begins. Says whether one
    /// began.
    pub(super) fn turn_day(&mut self, now: Moment) -> bool {
        let over = now.at >= self.bounds.1;
        let followed = self.terms.come_to(now.at);
        if !over && !followed {
            return false;
        }
        let plan = self.terms.plan.clone();
        let today = plan_day(&plan.timezone, plan.day_starts, now.at);
        let begins = over && today > self.today;
        if begins {
            self.today = today;
        }
        self.bounds = day_bounds(&plan.timezone, plan.day_starts, self.today);
        if followed && !begins {
            self.put_in_force(now);
        }
        begins
    }

    /// Gives every lane what the plan in force says for it.
    pub(super) fn put_in_force(&mut self, now: Moment) {
        let plan = self.terms.plan.clone();
        for (bucket, lane) in &mut self.lanes {
            lane.apply(&plan, plan.lane(bucket).clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::tests::{bucket, lane, morning, open, plan, terms};
    use super::*;
    use crate::core::campaign::{CampaignId, Class};
    use crate::core::plan::{Plan, Spread};

    fn of(quota: u32) -> Arc<Plan> {
        plan(vec![("docomo", lane(quota, None, Spread::Asap, (0, 1_440)))])
    }

    fn starting(plan: &Plan, hour: i8) -> Arc<Plan> {
        Arc::new(Plan { day_starts: jiff::civil::time(hour, 0, 0, 0), ..plan.clone() })
    }

    fn quota(schedule: &Schedule) -> (u32, u32) {
        let ledger = &schedule.lanes()[&bucket("docomo")].ledger;
        (ledger.quota, ledger.spent)
    }

    fn hours(n: u64) -> Moment {
        morning(n * 3_600)
    }

    #[test]
    fn the_next_plan_comes_with_its_plan_day_and_not_before() {
        let next = Some((date(2026, 11, 26), of(30)));
        let mut schedule = open(Terms { next, ..terms(of(10)) }, &["docomo"], hours(0));
        schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, 10, 0), hours(1));
        assert!(schedule.begin_day(hours(15)).is_none());
        assert!(schedule.begin_day(hours(16)).is_some(), "25 November");
        assert_eq!(quota(&schedule), (10, 0));
        let rollover = schedule.begin_day(hours(40)).expect("26 November");
        assert_eq!((rollover.ledgers[0].quota, quota(&schedule)), (30, (30, 0)));
        assert!(schedule.terms().next.is_none());
    }

    #[test]
    fn a_schedule_that_opens_late_is_under_the_next_plan_at_once() {
        let next = Some((date(2026, 11, 24), of(30)));
        let schedule = open(Terms { next, ..terms(of(10)) }, &["docomo"], hours(0));
        assert_eq!((quota(&schedule), schedule.terms().next.is_none()), ((30, 0), true));
    }

    #[test]
    fn no_plan_day_begins_twice_when_the_start_of_the_day_moves() {
        for (from, to) in [(0, 4), (4, 0), (0, 23), (23, 0)] {
            let next = Some((date(2026, 11, 25), starting(&of(30), to)));
            let mut schedule = open(Terms { next, ..terms(starting(&of(10), from)) }, &["docomo"], hours(0));
            let mut days = vec![schedule.today()];
            for half_hour in 0..200 {
                let now = morning(half_hour * 1_800);
                if schedule.begin_day(now).is_some() {
                    days.push(schedule.today());
                }
                assert!(schedule.day_ends() > now.at, "{from} to {to}");
            }
            assert!(days.windows(2).all(|pair| pair[0] < pair[1]), "{from} to {to}: {days:?}");
            assert_eq!(quota(&schedule).0, 30, "{from} to {to}");
        }
    }

    #[test]
    fn what_was_spent_stays_when_the_plan_changes_within_a_day() {
        // By the old plan 25 November has begun at 23:00 the day before; by the next one it begins at midnight.
        let next = Some((date(2026, 11, 25), starting(&of(30), 0)));
        let mut schedule = open(Terms { next, ..terms(starting(&of(10), 23)) }, &["docomo"], hours(0));
        let today = schedule.today();
        schedule.claimed(&bucket("docomo"), Class::Bulk, (CampaignId(1), 1, 4, 0), hours(1));
        assert!(schedule.begin_day(hours(14)).is_none() && schedule.today() == today);
        for hour in 15..=40 {
            schedule.begin_day(hours(hour));
            let (quota, spent) = quota(&schedule);
            assert!(spent == if schedule.today() == today { 4 } else { 0 } && (quota == 10 || quota == 30));
        }
        assert_eq!(quota(&schedule).0, 30);
    }
}
