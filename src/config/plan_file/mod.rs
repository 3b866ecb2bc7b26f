//! Owns the plan file: from YAML to the plan as meant, and back to YAML.
//!
//! The steps: the spanned tree, each entry as written (`entry`), `like` and buckets resolved (`lanes`), then the lints.
//! The tree checks every type with its place, so there is no second parse by serde.
//! Invariants: all problems of a file come at once; lints only when there is no problem; an entry's own value wins, else the
//! stricter of `defaults` and the destination group; every value in force has a source.

mod curve;
mod entry;
mod gate;
mod hours;
mod lanes;
mod lints;
mod print;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Time;
use jiff::tz::TimeZone;

pub use hours::{show_avoid, show_window};
pub use lints::timezone_differs;
pub use print::show_plan;

use entry::{Origin, Settings, WrittenEntry};
use gate::WrittenGate;

use super::fields::Fields;
use super::keys::plan::PLAN;
use super::problem::{Problem, Problems, Read, SourceFile, Span, did_you_mean, quoted};
use super::tree::{self, Node};
use crate::core::names::{GroupName, PlanName};
use crate::core::plan::{Groups, Plan};

/// The name of the entry that is the template for every bucket the plan does not name.
const DEFAULT: &str = "default";

/// A plan file as written, before `like` and buckets are resolved.
#[derive(Debug)]
struct WrittenPlan {
    /// Name, zone and start of the day; `None`: one of them was refused.
    head: Option<(PlanName, TimeZone, Time)>,
    gate: WrittenGate,
    defaults: Settings,
    entries: BTreeMap<GroupName, WrittenEntry>,
}

/// Reads a plan. `file` is the name shown in problems.
#[must_use]
pub fn read_plan(text: &str, file: &str, groups: &Groups) -> Read<Plan> {
    read_plan_file(&SourceFile::new(file, text), groups)
}

/// Reads a plan from a file already opened.
#[must_use]
pub fn read_plan_file(file: &Arc<SourceFile>, groups: &Groups) -> Read<Plan> {
    let problems = Problems::new(file);
    let plan = tree::parse(&problems).and_then(|root| {
        let written = written(&problems, &root, groups)?;
        let plan = lanes::resolve(&problems, &written, groups)?;
        if !problems.refused() {
            lints::all(&problems, &written, &plan, groups);
        }
        Some(plan)
    });
    Read::new(plan, problems.into_vec())
}

fn written(problems: &Problems, root: &Node, groups: &Groups) -> Option<WrittenPlan> {
    let fields = Fields::of(problems, root, root.span, "plan, timezone, groups, ...")?;
    fields.known(&PLAN);
    let name = fields.required("plan", "the plan's name").and_then(|_| fields.parsed("plan", "a name"));
    let timezone = fields.required("timezone", "a time zone, such as Asia/Tokyo").and_then(|_| timezone(&fields));
    let day_starts = match fields.node("day_starts") {
        None => Some(Time::midnight()),
        Some(_) => fields.read("day_starts", hours::time_of_day),
    };
    // Hours are read even where `day_starts` could not be, so that their own problems are reported too.
    let starts = day_starts.unwrap_or(Time::midnight());
    let gate = gate::advance(&fields);
    let defaults = fields.map("defaults", "rate, window, ...");
    let defaults = defaults.map(|map| entry::defaults(&map, starts)).unwrap_or_default();
    let entries = fields.required("groups", "one entry per destination group").and_then(|_| {
        let map = fields.map("groups", "destination groups by name")?;
        Some(entries(&map, starts, groups))
    });
    let head = name.zip(timezone).zip(day_starts).map(|((name, timezone), starts)| (name, timezone, starts));
    Some(WrittenPlan { head, gate, defaults, entries: entries? })
}

pub(super) fn timezone(fields: &Fields<'_>) -> Option<TimeZone> {
    fields.read("timezone", |problems, node| {
        let name = problems.text(node, "a time zone such as Asia/Tokyo")?;
        let found = TimeZone::get(name).ok();
        if found.is_none() {
            let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
            let help = match did_you_mean(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write a name of the IANA database, such as Asia/Tokyo or UTC".to_owned(),
            };
            problems.at_with(node.span, format!("expected a time zone, got {}", node.shown()), help);
        }
        found
    })
}

fn entries(map: &Fields<'_>, starts: Time, groups: &Groups) -> BTreeMap<GroupName, WrittenEntry> {
    let problems = map.problems();
    let mut entries = BTreeMap::new();
    for item in map.entries {
        match GroupName::new(&item.key).ok().filter(|name| groups.get(name).is_some()) {
            Some(group) => {
                entries.insert(group.clone(), entry::read(problems, item, &Origin::Entry(group), starts));
            }
            None => {
                unknown_group(problems, &item.key, item.key_span, groups);
                // Read for its own problems; what it says belongs to nobody.
                entry::read(problems, item, &Origin::Defaults, starts);
            }
        }
    }
    if map.entry(DEFAULT).is_none() {
        problems.at_with(
            map.span,
            "\"default\" is missing among the groups",
            "add `default:` with a curve: it holds for every group that the plan does not name",
        );
    }
    entries
}

fn unknown_group(problems: &Problems, key: &str, span: Span, groups: &Groups) {
    let names = || groups.iter().map(|group| group.name.as_str());
    problems.push_with(|| {
        let help = match did_you_mean(key, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known groups: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Problem::at(problems.file(), span, format!("unknown destination group {}", quoted(key))).help(help)
    });
}

#[cfg(test)]
mod tests;
