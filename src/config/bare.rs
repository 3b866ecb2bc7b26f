//! Owns the stand-in for a configuration that cannot be read: what a store alone tells.
//!
//! Invariant: nothing can be sent with it: its relays have no host. It is for looking and for stopping.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::groups_file::Destinations;
use super::plan_file::read_plan;
use super::settings::{
    Answers, Config, FeedbackSettings, ListenSettings, RelayLimits, RelaySettings, RetrySettings, Timeouts, TlsMode,
    Uncertain, Warmup, WorkerSettings,
};
use crate::core::names::{BucketName, PoolName, RelayName};
use crate::core::plan::{Groups, Plan};

/// What a store remembers of the configurations that it was used with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Relays, each with the name and the text of the plan last in force.
    pub relays: Vec<(RelayName, Option<(String, String)>)>,
    /// Buckets that anything was handed over to.
    pub buckets: BTreeSet<BucketName>,
    /// Pools of campaigns that are open.
    pub pools: Vec<PoolName>,
}

/// A configuration of what is remembered: destination groups as shipped, each relay under its last plan, the time zone of the
/// first of these (UTC without any), every pool with all relays. A relay whose plan cannot be read is left out.
#[must_use]
pub fn bare_config(store: &Path, remembered: &Remembered) -> Config {
    let groups = Destinations::shipped().groups;
    let plan_of = |plan: &Option<(String, String)>| {
        let (name, text) = plan.as_ref()?;
        read_plan(text, name, &groups).value
    };
    let plans = remembered.relays.iter().filter_map(|(name, plan)| Some((name.clone(), plan_of(plan)?))).collect();
    let mut config = bare_config_of(groups, plans);
    let all: Vec<RelayName> = config.relays.keys().cloned().collect();
    config.pools = remembered.pools.iter().map(|pool| (pool.clone(), all.clone())).collect();
    config.store = store.to_owned();
    config
}

/// A configuration of relays of which the plans alone are known, in no pool: reply rules as shipped, the time zone of the
/// first plan (UTC without any).
#[must_use]
pub fn bare_config_of(groups: Groups, plans: BTreeMap<RelayName, Plan>) -> Config {
    let relays: BTreeMap<RelayName, Arc<RelaySettings>> =
        plans.into_iter().map(|(name, plan)| (name.clone(), Arc::new(relay(name, Arc::new(plan))))).collect();
    Config {
        path: PathBuf::from("none"),
        store: PathBuf::from("none"),
        timezone: relays.values().next().map_or(TimeZone::UTC, |relay| relay.plan.timezone.clone()),
        groups: Arc::new(groups),
        rules: Arc::new(Destinations::shipped().rules),
        relays,
        pools: BTreeMap::new(),
        worker: WorkerSettings::default(),
        listen: ListenSettings::default(),
        feedback: FeedbackSettings::default(),
        signing_key: None,
    }
}

fn relay(name: RelayName, plan: Arc<Plan>) -> RelaySettings {
    RelaySettings {
        name,
        known: None,
        host: "unknown".to_owned(),
        port: 0,
        tls: TlsMode::Starttls,
        ca: None,
        auth: None,
        domain: String::new(),
        hello: None,
        plan_source: plan.name.to_string(),
        plan,
        ears: Vec::new(),
        next_plan: None,
        warmup: Warmup { day: 1, started: None },
        limits: RelayLimits::default(),
        envelope_from: None,
        headers: Vec::new(),
        answers: Answers::Own,
        signs: None,
        dkim: None,
        source_address: None,
        pipelining: false,
        uncertain: Uncertain::Retry,
        timeouts: Timeouts::default(),
        retry: RetrySettings { after: vec![Duration::from_secs(900)], ..RetrySettings::default() },
    }
}

/// The store that a configuration names, however broken the rest of it is: the one line at its left edge that begins with
/// `store:`, read by itself. Relative paths are relative to the configuration.
#[must_use]
pub fn store_named(path: &Path, text: &str) -> Option<PathBuf> {
    let line = text.lines().find(|line| line.starts_with("store:"))?;
    let map: BTreeMap<String, String> = serde_yaml::from_str(line).ok()?;
    let name = map.get("store").filter(|name| !name.is_empty() && !name.contains("://"))?;
    Some(path.parent().unwrap_or(Path::new("")).join(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_store_is_found_in_what_is_left_of_a_file() {
        let named = |text: &str| store_named(Path::new("etc/hikagen.yaml"), text);
        let found = Some(PathBuf::from("etc/mail.db"));
        assert_eq!(named("relays: {{{\n\tx\nstore: mail.db  # SQLite\n"), found);
        assert_eq!(named("store: \"mail.db\"\n"), found);
        assert_eq!(named("store: /var/lib/mail.db\n"), Some(PathBuf::from("/var/lib/mail.db")));
        for broken in ["", "stor: mail.db", "  store: mail.db", "store: [", "store: postgres://x/y", "store:"] {
            assert_eq!(named(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn relays_stand_under_the_plans_that_a_store_remembers() {
        let plan = "plan: spring\ntimezone: Asia/Tokyo\ngroups: { default: { curve: [7] } }\n";
        let with = |text: &str| Some(("spring".to_owned(), text.to_owned()));
        let remembered = Remembered {
            relays: vec![
                ("tokyo".parse().unwrap(), with(plan)),
                ("osaka".parse().unwrap(), with("nonsense")),
                ("kobe".parse().unwrap(), None),
            ],
            buckets: BTreeSet::new(),
            pools: vec!["news".parse().unwrap()],
        };
        let config = bare_config(Path::new("mail.db"), &remembered);
        let names: Vec<&str> = config.relays.keys().map(RelayName::as_str).collect();
        assert_eq!((names, config.timezone.iana_name()), (vec!["tokyo"], Some("Asia/Tokyo")));
        assert_eq!(config.pools[&"news".parse().unwrap()], ["tokyo".parse().unwrap()]);
        assert_eq!(bare_config(Path::new("mail.db"), &Remembered::default()).timezone, TimeZone::UTC);
    }
}
