//! Owns the plans of a relay as they come into force: each revision is stored, and the journal tells what it changed.
//!
//! Invariant: a revision that is stored already is not told again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::relay_loop::Owner;
use crate::config::compared::{buckets_of, lanes_differ, plans_differ};
use crate::config::plan_file::read_plan;
use crate::config::{Config, RelaySettings};
use crate::core::journal::{Entry, Kind};
use crate::core::lane::calendar::plan_day;
use crate::core::moment::Moment;
use crate::core::plan::{Groups, Plan};
use crate::store::{PlanRevision, Store, StoreError};

/// Buckets that an entry of the journal tells about one by one.
const BUCKETS_TOLD: usize = 40;

/// The plan in force, as the store keeps it.
fn revision(settings: &RelaySettings, by: &str) -> PlanRevision {
    PlanRevision { name: settings.plan.name.clone(), text: settings.plan.text.to_string(), by: by.to_owned() }
}

/// Stores the plan in force where it is a new revision, and notes in the journal who applied what in place of what.
///
/// # Errors
/// When the store cannot be used.
pub(super) async fn record_plan(
    store: &dyn Store,
    settings: &RelaySettings,
    groups: &Groups,
    by: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let last = store.plan_history(&settings.name, 1).await?.into_iter().next().map(|(_, revision)| revision);
    if !store.record_plan(&settings.name, revision(settings, by), now).await? {
        return Ok(false);
    }
    store.note(vec![applied(settings, last.as_ref(), groups, by, now)]).await?;
    tracing::info!(relay = %settings.name, plan = %settings.plan.name, "a new revision of the plan is in force");
    Ok(true)
}

/// The entry that tells of a new revision.
fn applied(settings: &RelaySettings, last: Option<&PlanRevision>, groups: &Groups, by: &str, now: Timestamp) -> Entry {
    let plan = &settings.plan;
    let (because, inputs) = match last {
        None => ("the first plan of this relay".to_owned(), BTreeMap::new()),
        Some(last) => match read_plan(&last.text, last.name.as_str(), groups).value {
            Some(before) => changes(&before, plan),
            None => ("the plan before can no longer be read".to_owned(), BTreeMap::new()),
        },
    };
    Entry {
        at: now,
        by: by.to_owned(),
        relay: Some(settings.name.clone()),
        bucket: None,
        day: Some(plan_day(&plan.timezone, plan.day_starts, now)),
        kind: Kind::PlanApplied,
        because,
        inputs,
        before: last.map_or("no plan".to_owned(), |last| format!("plan {}", last.name)),
        after: format!("plan {}, from {}", plan.name, settings.plan_source),
    }
}

/// What a revision changes, in one sentence and value by value.
fn changes(before: &Plan, after: &Plan) -> (String, BTreeMap<String, String>) {
    let words = |differs: &[crate::config::compared::Differs]| {
        let parts: Vec<String> = differs.iter().map(|d| format!("{}: {} -> {}", d.key, d.before, d.after)).collect();
        parts.join("; ")
    };
    let mut inputs = BTreeMap::new();
    let whole = plans_differ(before, after);
    if !whole.is_empty() {
        inputs.insert("plan".to_owned(), words(&whole));
    }
    let (mut curves, mut others) = (Vec::new(), Vec::new());
    for bucket in buckets_of(before, after) {
        let differs = lanes_differ(before.lane(&bucket), after.lane(&bucket));
        if differs.is_empty() {
            continue;
        }
        let told = if differs.iter().any(|d| d.key == "curve") { &mut curves } else { &mut others };
        told.push(bucket.to_string());
        if inputs.len() < BUCKETS_TOLD {
            inputs.insert(bucket.to_string(), words(&differs));
        }
    }
    let listed = |what: &str, names: &[String]| match names {
        [] => None,
        names if names.len() <= 5 => Some(format!("{what} of {} changed", names.join(", "))),
        names => Some(format!("{what} of {} and {} more changed", names[..4].join(", "), names.len() - 4)),
    };
    let parts = [listed("quotas", &curves), listed("limits", &others)];
    let because = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    (if because.is_empty() { "no lane changed".to_owned() } else { because }, inputs)
}

impl Owner {
    /// Follows the schedule where its next plan came into force: settings and store are told.
    pub(super) async fn follow_plan(&mut self, now: Moment) {
        if Arc::ptr_eq(&self.schedule.terms().plan, &self.settings.plan) {
            return;
        }
        self.config = Arc::new(Config::clone(&self.config).in_force_at(now.at));
        let Some(settings) = self.settings.in_force_at(now.at) else { return };
        self.settings = Arc::new(settings);
        let (store, by) = (&self.shared.parts.store, &self.shared.parts.owner);
        if let Err(error) = record_plan(&**store, &self.settings, &self.config.groups, by, now.at).await {
            tracing::warn!(relay = %self.settings.name, %error, "the plan's revision could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::groups_file::Destinations;

    #[test]
    fn an_entry_tells_which_lanes_changed_and_how() {
        let groups = Destinations::shipped().groups;
        let plan = |groups_text: &str| {
            let text =
                format!("plan: p\ntimezone: Asia/Tokyo\ngroups: {{ default: {{ curve: [50] }}, {groups_text} }}\n");
            read_plan(&text, "p.yaml", &groups).value.expect("a plan")
        };
        let before = plan("docomo: { curve: [50] }, au: { curve: [9] }");
        let after = plan("docomo: { curve: [70] }, au: { curve: [9], cooldown: 3h }");
        let (because, inputs) = changes(&before, &after);
        assert_eq!(because, "quotas of docomo changed; limits of au changed");
        assert_eq!(inputs["docomo"], "curve: [50] -> [70]");
        assert!(inputs["au"].contains("cooldown:"), "{inputs:?}");
        assert_eq!(changes(&before, &before), ("no lane changed".to_owned(), BTreeMap::new()));
    }
}
