//! Owns what differs between two plans: value by value, bucket by bucket.
//!
//! Invariants: values are compared as they are shown, wherever they were written; a bucket that neither plan names is compared under
//! their `default`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::in_force::lane_in_force;
use crate::core::names::BucketName;
use crate::core::plan::{Gate, LanePlan, Plan, Shares, Throttling};
use crate::core::units::{grouped, show_span};

/// A value that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Differs {
    /// Its key, as in a plan: `rate`, `advance.filled`.
    pub key: &'static str,
    /// What the one says.
    pub before: String,
    /// What the other says.
    pub after: String,
}

/// What differs in what holds for a whole plan: its name, zone and start of the day.
#[must_use]
pub fn plans_differ(before: &Plan, after: &Plan) -> Vec<Differs> {
    let values = |plan: &Plan| {
        vec![
            ("plan", plan.name.to_string()),
            ("timezone", plan.timezone.iana_name().unwrap_or("UTC").to_owned()),
            ("day_starts", plan.day_starts.strftime("%H:%M").to_string()),
        ]
    };
    differ(values(before), values(after))
}

/// What differs in what two plans say for a bucket.
#[must_use]
pub fn lanes_differ(before: &LanePlan, after: &LanePlan) -> Vec<Differs> {
    differ(values(before), values(after))
}

/// Every bucket that one of the plans knows.
#[must_use]
pub fn buckets_of(before: &Plan, after: &Plan) -> BTreeSet<BucketName> {
    before.lanes.keys().chain(after.lanes.keys()).cloned().collect()
}

fn differ(before: Vec<(&'static str, String)>, after: Vec<(&'static str, String)>) -> Vec<Differs> {
    let pairs = before.into_iter().zip(after).filter(|((_, before), (_, after))| before != after);
    pairs.map(|((key, before), (_, after))| Differs { key, before, after }).collect()
}

/// Every value of a lane, in one order.
fn values(lane: &LanePlan) -> Vec<(&'static str, String)> {
    let own = [gate(&lane.gate), throttling(&lane.throttling)].concat();
    let told: Vec<_> = lane_in_force(lane).into_iter().map(|value| (value.key, value.value)).collect();
    let fresh = own.into_iter().chain([("unknown_budget", lane.unknown_budget.value.to_string())]);
    let fresh: Vec<_> = fresh.filter(|(key, _)| !told.iter().any(|(known, _)| known == key)).collect();
    told.into_iter().chain(fresh).collect()
}

fn gate(gate: &Gate) -> Vec<(&'static str, String)> {
    let Shares { deferrals, bounces, unknown_users, complaints } = &gate.advance;
    let hold = &gate.hold;
    let number = |n: u32| grouped(n.into());
    vec![
        ("advance.filled", gate.filled.to_string()),
        ("advance.emptied", gate.emptied.to_string()),
        ("advance.sample", number(gate.sample)),
        ("advance.deferrals", deferrals.to_string()),
        ("advance.bounces", bounces.to_string()),
        ("advance.unknown_users", unknown_users.to_string()),
        ("advance.complaints", complaints.to_string()),
        ("advance.hold.deferrals", hold.deferrals.to_string()),
        ("advance.hold.bounces", hold.bounces.to_string()),
        ("advance.hold.unknown_users", hold.unknown_users.to_string()),
        ("advance.hold.complaints", hold.complaints.to_string()),
        ("advance.hold_from", number(gate.hold_from)),
        ("advance.step_back_from", number(gate.step_back_from)),
        ("advance.idle_days", number(gate.idle_days)),
        ("advance.restart_days", number(gate.restart_days)),
        ("advance.blind", gate.blind.as_str().to_owned()),
        ("advance.blind_growth", gate.blind_growth.to_string()),
    ]
}

fn throttling(t: &Throttling) -> Vec<(&'static str, String)> {
    vec![
        ("throttling.down", t.down.to_string()),
        ("throttling.up", t.up.to_string()),
        ("throttling.floor", t.floor.to_string()),
        ("throttling.ceiling", t.ceiling.to_string()),
        ("throttling.sample", grouped(t.sample.into())),
        ("throttling.deferrals", t.deferrals.to_string()),
        ("throttling.interval", show_span(t.interval)),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::groups_file::Destinations;
    use crate::config::plan_file::read_plan;

    fn plan(text: &str) -> Plan {
        let read = read_plan(&format!("timezone: Asia/Tokyo\n{text}"), "plan.yaml", &Destinations::shipped().groups);
        read.value.unwrap()
    }

    #[test]
    fn a_plan_does_not_differ_from_itself_however_it_is_laid_out() {
        let one = plan("plan: p\ngroups: { default: { curve: [50, 100], rate: 60/min } }\n");
        let two = plan("plan: p\n\ngroups:\n\n  default:\n    rate: 60/min\n    curve: [50, 100]\n");
        assert_eq!(plans_differ(&one, &two), []);
        for bucket in buckets_of(&one, &two) {
            assert_eq!(lanes_differ(one.lane(&bucket), two.lane(&bucket)), [], "{bucket}");
        }
    }

    #[test]
    fn each_changed_value_is_told_with_its_key() {
        let one = plan("plan: p\ngroups: { default: { curve: [50] }, docomo: { curve: [50], rate: 60/min } }\n");
        let two = plan(
            "plan: q\nday_starts: 04:00\nadvance: { filled: 80% }\n\
             groups: { default: { curve: [50] }, docomo: { curve: [40], rate: 30/min, unknown_budget: 2% } }\n",
        );
        let keys = |differs: Vec<Differs>| differs.into_iter().map(|d| d.key).collect::<Vec<_>>();
        assert_eq!(keys(plans_differ(&one, &two)), ["plan", "day_starts"]);
        let docomo: BucketName = "docomo".parse().unwrap();
        let found = lanes_differ(one.lane(&docomo), two.lane(&docomo));
        for (key, before, after) in
            [("curve", "[50]", "[40]"), ("advance.filled", "70%", "80%"), ("unknown_budget", "3%", "2%")]
        {
            let differs = Differs { key, before: before.to_owned(), after: after.to_owned() };
            assert!(found.contains(&differs), "{found:?}");
        }
        assert_eq!(keys(lanes_differ(&one.default, &two.default)), ["advance.filled"]);
    }
}
