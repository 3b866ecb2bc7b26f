//! Owns the plan printed back: one entry per bucket with every value in force, in the grammar that is read.
//!
//! Invariant: what is printed reads to a plan with the same values in every lane.

use std::fmt::Write as _;

use jiff::civil::Time;

use super::hours::{show_avoid, written_window};
use crate::core::plan::{Curve, CurveShape, Gate, GroupStatus, Groups, LanePlan, Plan, Shares, Then, Throttling};
use crate::core::units::{grouped, show_span};

/// The plan as YAML. `groups` gives the name under which a bucket is written: its own, or that of its first living group.
#[must_use]
pub fn show_plan(plan: &Plan, groups: &Groups) -> String {
    let mut out = format!(
        "plan: {}\ntimezone: {}\nday_starts: \"{:02}:{:02}\"\ngroups:\n",
        plan.name,
        plan.timezone.iana_name().unwrap_or("UTC"),
        plan.day_starts.hour(),
        plan.day_starts.minute(),
    );
    for (bucket, members) in groups.buckets() {
        let own =
            members.iter().find(|group| group.name.as_str() == "default" || group.name.as_str() == bucket.as_str());
        let living = || members.iter().find(|group| group.status != GroupStatus::Dead);
        if let Some(group) = own.or_else(living).or(members.first()) {
            let _ = writeln!(out, "  {}:\n{}", group.name, entry(plan.lane(&bucket), plan.day_starts));
        }
    }
    out
}

fn entry(lane: &LanePlan, day_starts: Time) -> String {
    let mut lines = curve(&lane.curve.value);
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(format!("{key}: {value}"));
        }
    };
    let number = |n: std::num::NonZeroU32| grouped(n.get().into());
    line("rate", lane.rate.as_ref().map(|v| v.value.to_string()));
    line("burst", lane.burst.as_ref().map(|v| number(v.value)));
    line("per_hour", lane.per_hour.as_ref().map(|v| number(v.value)));
    line("connections", lane.connections.as_ref().map(|v| number(v.value)));
    line("messages_per_connection", lane.messages_per_connection.as_ref().map(|v| number(v.value)));
    line("window", Some(written_window(&lane.window.value, day_starts)));
    line("avoid", Some(show_avoid(&lane.avoid.value)));
    line("spread", Some(lane.spread.value.as_str().to_owned()));
    line("jitter", Some(lane.jitter.as_ref().map_or("none".to_owned(), |v| v.value.to_string())));
    line(
        "transactional",
        lane.transactional.as_ref().map(|v| format!("{{ window: {} }}", written_window(&v.value, day_starts))),
    );
    line("cooldown", Some(show_span(lane.cooldown.value)));
    line("advance", Some(gate(&lane.gate)));
    line("throttling", Some(throttling(&lane.throttling)));
    line("unknown_budget", Some(lane.unknown_budget.value.to_string()));
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn gate(gate: &Gate) -> String {
    let shares = |s: &Shares| {
        let Shares { deferrals, bounces, unknown_users, complaints } = s;
        format!("deferrals: {deferrals}, bounces: {bounces}, unknown_users: {unknown_users}, complaints: {complaints}")
    };
    format!(
        "{{ filled: {}, emptied: {}, sample: {}, {}, hold: {{ {} }}, hold_from: {}, step_back_from: {}, idle_days: {}, \
         restart_days: {}, blind: {}, blind_growth: {} }}",
        gate.filled,
        gate.emptied,
        grouped(gate.sample.into()),
        shares(&gate.advance),
        shares(&gate.hold),
        grouped(gate.hold_from.into()),
        grouped(gate.step_back_from.into()),
        grouped(gate.idle_days.into()),
        grouped(gate.restart_days.into()),
        gate.blind.as_str(),
        gate.blind_growth,
    )
}

fn throttling(t: &Throttling) -> String {
    format!(
        "{{ down: {}, up: {}, floor: {}, ceiling: {}, sample: {}, deferrals: {}, interval: {} }}",
        t.down,
        t.up,
        t.floor,
        t.ceiling,
        grouped(t.sample.into()),
        t.deferrals,
        show_span(t.interval),
    )
}

/// The curve as the lines of an entry.
fn curve(curve: &Curve) -> Vec<String> {
    let up_to = |cap: Option<u32>| cap.map(|cap| format!("up_to: {}", grouped(cap.into())));
    let mut lines = vec![match &curve.shape {
        CurveShape::Listed { preset: Some(name), .. } => format!("curve: {{ preset: {name} }}"),
        CurveShape::Listed { values, preset: None } => {
            let values: Vec<_> = values.iter().map(|v| grouped(u64::from(*v))).collect();
            format!("curve: [{}]", values.join(", "))
        }
        CurveShape::Growing { start, grow } => {
            format!("curve: {{ start: {}, grow: {grow} }}", grouped(u64::from(*start)))
        }
    }];
    lines.extend(curve.scale.map(|scale| format!("scale: {scale}")));
    lines.extend(up_to(curve.up_to));
    if let Then::Grow { grow, up_to: cap } = curve.then {
        let cap = up_to(cap).map_or(String::new(), |cap| format!(", {cap}"));
        lines.push(format!("then: {{ grow: {grow}{cap} }}"));
    }
    lines
}
