//! Owns the configuration file: `hikagen.yaml` with everything that it names, to the settings in force.
//!
//! Invariants: a pure function of files and environment, so that a reload is a second reading; the problems of every file that
//! is reachable come together, the configuration's first; no secret is in what it shows.

mod auth;
mod dkim;
mod feedback;
mod lints;
mod listen;
mod pieces;
mod providers;
mod relay;
mod watched;

pub use lints::past_starts;
pub(super) use pieces::{command, headers};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::ears::ears;
use super::fields::Fields;
use super::groups_file::{Destinations, read_destinations};
use super::keys::configuration::{CONFIGURATION, NEXT_PLAN, WORKER};
use super::plan_file::{self, read_plan_file, timezone_differs};
use super::problem::{Problem, Problems, Read, Severity, SourceFile, Span, did_you_mean, quoted};
use super::secret::Keepers;
use super::settings::{Config, LogFormat, NextPlan, RelaySettings, RetrySettings, Secret, WorkerSettings};
use super::shipped::{shipped_plan, shipped_plan_names};
use super::struck::struck_out;
use super::tree::{self, Kind, Node};
use crate::compose::Tokens;
use crate::core::names::{PoolName, RelayName};
use crate::core::plan::Plan;

/// The configuration's file, and where in it each setting of each relay was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// The file, secrets struck out.
    pub file: Arc<SourceFile>,
    /// For each relay: the setting's key (`limits.rate`) and its value's place.
    pub relays: BTreeMap<RelayName, BTreeMap<String, Span>>,
    /// Settings for all relays (`retry.after`).
    pub all: BTreeMap<String, Span>,
}

impl Written {
    /// Where `key` of `relay` was written: there, or for all relays.
    #[must_use]
    pub fn place(&self, relay: &RelayName, key: &str) -> Option<Span> {
        let own = self.relays.get(relay).and_then(|keys| keys.get(key));
        own.or_else(|| self.all.get(key)).copied()
    }
}

/// Reads the configuration with the environment of this process.
#[must_use]
pub fn load(path: &Path) -> Read<Config> {
    load_with(path, &|name| std::env::var(name).ok()).0
}

/// Reads the configuration; `env` looks environment variables up. The second part is there whenever the file could be opened.
#[must_use]
pub fn load_with(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> (Read<Config>, Option<Written>) {
    let file = match SourceFile::open(path) {
        Ok(file) => SourceFile::new(&file.name, &struck_out(&file.text)),
        Err(problem) => return (Read::new(None, vec![*problem]), None),
    };
    let problems = Problems::new(&file);
    let mut written = Written { file: Arc::clone(&file), relays: BTreeMap::new(), all: BTreeMap::new() };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut reader = Reader {
        keepers: Keepers { env, folder },
        others: Vec::new(),
        plans: BTreeMap::new(),
        written: &mut written,
        path,
    };
    let config = tree::parse(&problems).and_then(|root| reader.config(&problems, &root));
    let others = std::mem::take(&mut reader.others);
    let mut all = problems.into_vec();
    all.extend(others);
    all.sort_by_key(|p| p.severity);
    (Read::new(config, all), Some(written))
}

/// What is gathered while the file is read.
struct Reader<'a> {
    keepers: Keepers<'a>,
    /// Problems of other files.
    others: Vec<Problem>,
    /// Plans already read, by what the configuration calls them.
    plans: BTreeMap<String, Option<Arc<Plan>>>,
    written: &'a mut Written,
    path: &'a Path,
}

impl Reader<'_> {
    fn config(&mut self, problems: &Problems, root: &Node) -> Option<Config> {
        let fields = Fields::of(problems, root, root.span, "the configuration")?;
        fields.known(&CONFIGURATION);
        let store = fields.required("store", "the path of the store, such as hikagen.db").and(self.store(&fields));
        let timezone =
            fields.required("timezone", "a time zone such as Asia/Tokyo").and_then(|_| plan_file::timezone(&fields));
        let destinations = self.destinations(&fields);
        let retry = pieces::retry(&fields, RetrySettings::default());
        relay::places("retry.", fields.map("retry", "after, lifetime, uncertain"), &mut self.written.all);
        let worker = worker(&fields);
        let listen = listen::read(&fields, self.keepers.folder);
        let feedback = feedback::read(&fields, self.keepers.folder);
        let signing_key = self.signing_key(&fields);
        let relays = fields
            .required("relays", "at least one relay")
            .and_then(|_| fields.map("relays", "relays by name"))
            .map(|map| self.relays(&map, destinations.as_ref(), &retry));
        let pools = fields
            .required("pools", "the relays that campaigns may use, such as `news: [NAME]`")
            .and_then(|_| fields.map("pools", "pools by name"))
            .map(|map| pools(&map, &fields));
        let (mut relays, pools, destinations) = (relays?, pools?, destinations?);
        for relay in relays.values_mut() {
            let ears = ears(relay, &feedback, &listen);
            Arc::make_mut(relay).ears = ears;
        }
        let config = Config {
            path: self.path.to_owned(),
            store: store?,
            timezone: timezone?,
            groups: Arc::new(destinations.groups),
            rules: Arc::new(destinations.rules),
            relays,
            pools,
            worker,
            listen,
            feedback,
            signing_key,
        };
        if !problems.refused() {
            lints::all(problems, &fields, &config, &*self.written);
            self.zones(&config);
        }
        Some(config)
    }

    fn signing_key(&self, fields: &Fields<'_>) -> Option<Secret> {
        let key = self.keepers.secret(fields, "signing_key")?;
        let node = fields.node("signing_key")?;
        match Tokens::from_text(key.text.expose_secret(), &key.place) {
            Ok(_) => Some(key),
            Err(error) => {
                fields.problems().because(node, &error);
                None
            }
        }
    }

    fn store(&self, fields: &Fields<'_>) -> Option<PathBuf> {
        let node = fields.node("store")?;
        let problems = fields.problems();
        let text = problems.text(node, "the path of a file, such as hikagen.db")?;
        if let Some((scheme, _)) = text.split_once("://") {
            let message = match scheme {
                "postgres" | "postgresql" => "a shared store on PostgreSQL is not in this version".to_owned(),
                _ => format!("expected the path of a file, got an address ({scheme}://)"),
            };
            problems.at_with(node.span, message, "give the path of a SQLite file on a local disk, such as hikagen.db");
            return None;
        }
        let path = self.keepers.folder.join(text);
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            problems.at(node.span, format!("expected the path of a file, {} is a directory", path.display()));
            return None;
        }
        if !parent.is_dir() {
            let help = format!("mkdir -p {}", parent.display());
            problems.at_with(node.span, format!("there is no directory {}", parent.display()), help);
            return None;
        }
        Some(path)
    }

    /// The groups and rules in force. `None`: one of the files has problems.
    fn destinations(&mut self, fields: &Fields<'_>) -> Option<Destinations> {
        let Some(entry) = fields.entry("groups") else { return Some(Destinations::shipped()) };
        let problems = fields.problems();
        let mut all = Destinations::bare();
        let mut whole = true;
        for item in problems.list(&entry.value, "builtin and files of one's own, such as [builtin, my-groups.yaml]")? {
            match problems.text(item, "builtin, or the path of a file") {
                Some("builtin") => all = Destinations::shipped(),
                Some(name) => match self.open(problems, item, name) {
                    Some(file) => {
                        let read = read_destinations(&file, all.clone());
                        whole &= read.value.is_some();
                        all = read.value.unwrap_or(all);
                        self.others.extend(read.problems);
                    }
                    None => whole = false,
                },
                None => whole = false,
            }
        }
        whole.then_some(all)
    }

    /// A file that the configuration names.
    fn open(&self, problems: &Problems, node: &Node, name: &str) -> Option<Arc<SourceFile>> {
        match SourceFile::open(&self.keepers.folder.join(name)) {
            Ok(file) => Some(file),
            Err(problem) => {
                let message = format!("{} {}", problem.file.name, problem.message);
                let own = Problem::at(problems.file(), node.span, message);
                problems.push(own.help("paths are relative to the configuration's directory"));
                None
            }
        }
    }

    fn relays(
        &mut self,
        map: &Fields<'_>,
        destinations: Option<&Destinations>,
        retry: &RetrySettings,
    ) -> BTreeMap<RelayName, Arc<RelaySettings>> {
        let problems = map.problems();
        let mut relays = BTreeMap::new();
        if map.entries.is_empty() {
            problems.at(map.span, "expected at least one relay, got none");
        }
        for entry in map.entries {
            let name = RelayName::new(&entry.key).map_err(|e| problems.at(entry.key_span, e.to_string())).ok();
            let Some(fields) = Fields::of(problems, &entry.value, entry.key_span, "the settings of a relay") else {
                continue;
            };
            let plan = self.plan(&fields, destinations);
            let next_plan = self.next_plan(&fields, destinations);
            // Of a kind that is not known nothing can be filled in, so what is missing would be told for nothing.
            let Ok(known) = relay::known(&fields) else { continue };
            let at = fields.node("kind").map_or(entry.key_span, |node| node.span);
            let entries = known.as_ref().map(|known| known.preset.fill(fields, at));
            let filled = Node { span: entry.value.span, kind: Kind::Map(entries.unwrap_or(fields.entries.to_vec())) };
            let Some(whole) = Fields::of(problems, &filled, entry.key_span, "the settings of a relay") else {
                continue;
            };
            let given = relay::Given { keepers: &self.keepers, retry, name, plan, next_plan, known };
            if let Some(relay) = relay::read(&whole, given) {
                let mut places = BTreeMap::new();
                relay::places("", Some(fields), &mut places);
                self.written.relays.insert(relay.name.clone(), places);
                relays.insert(relay.name.clone(), Arc::new(relay));
            }
        }
        relays
    }

    /// The plan, and what the configuration calls it.
    fn plan(&mut self, fields: &Fields<'_>, destinations: Option<&Destinations>) -> Option<(Arc<Plan>, String)> {
        let node = fields.required("plan", "the path of a plan, or the name of a shipped one")?;
        let name = fields.problems().text(node, "the path of a plan, or the name of a shipped one")?;
        if !self.plans.contains_key(name) {
            let read = self.read_plan(fields.problems(), node, name, destinations);
            self.plans.insert(name.to_owned(), read);
        }
        self.plans.get(name).cloned().flatten().map(|plan| (plan, name.to_owned()))
    }

    /// The plan that follows.
    fn next_plan(&mut self, fields: &Fields<'_>, destinations: Option<&Destinations>) -> Option<NextPlan> {
        let map = fields.map("next_plan", "plan and from")?;
        map.known(&NEXT_PLAN);
        let plan = self.plan(&map, destinations);
        let from = map.required("from", "the first plan day of the next plan, such as 2026-12-01");
        let from = from.and_then(|_| map.read("from", pieces::date));
        let (plan, source) = plan?;
        Some(NextPlan { plan, source, from: from? })
    }

    fn read_plan(
        &mut self,
        problems: &Problems,
        node: &Node,
        name: &str,
        destinations: Option<&Destinations>,
    ) -> Option<Arc<Plan>> {
        let path = self.keepers.folder.join(name);
        let a_path = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") || path.is_file();
        let file = match shipped_plan(name) {
            Some(text) => SourceFile::new(name, text),
            None if a_path => self.open(problems, node, name)?,
            None => {
                let names: Vec<&str> = shipped_plan_names().collect();
                let help = match did_you_mean(name, names.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("shipped plans: {}; a plan of one's own is named by its path", names.join(", ")),
                };
                problems.at_with(node.span, format!("there is no plan {}", quoted(name)), help);
                return None;
            }
        };
        let read = read_plan_file(&file, &destinations?.groups);
        if read.value.is_none() && read.problems.iter().all(|p| p.severity == Severity::Lint) {
            problems.at(node.span, format!("the plan {} cannot be read", quoted(name)));
        }
        // A lint in a shipped plan (a steady one begins high) is nothing that its reader could mend.
        let shipped = shipped_plan(name).is_some();
        self.others.extend(read.problems.into_iter().filter(|p| !shipped || p.severity == Severity::Problem));
        read.value.map(Arc::new)
    }

    /// Campaign times and plan hours in different zones, once per plan.
    fn zones(&mut self, config: &Config) {
        for (name, plan) in &self.plans {
            let Some(plan) = plan else { continue };
            let path = self.keepers.folder.join(name);
            let shown = if shipped_plan(name).is_some() { name.clone() } else { path.display().to_string() };
            self.others.extend(timezone_differs(&SourceFile::new(&shown, &plan.text), plan, &config.timezone));
        }
    }
}

fn worker(fields: &Fields<'_>) -> WorkerSettings {
    let mut settings = WorkerSettings { on_event: fields.read("on_event", pieces::command), ..Default::default() };
    settings.retention = fields.read("retention", pieces::retention).unwrap_or(settings.retention);
    if let Some(map) = fields.map("worker", "drain, disk_floor, log") {
        map.known(&WORKER);
        settings.drain = map.duration("drain").unwrap_or(settings.drain);
        settings.disk_floor = map.read("disk_floor", pieces::size).unwrap_or(settings.disk_floor);
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        settings.log = map.one_of("log", &formats).unwrap_or(settings.log);
    }
    settings
}

/// Pools, and that their relays exist.
fn pools(map: &Fields<'_>, top: &Fields<'_>) -> BTreeMap<PoolName, Vec<RelayName>> {
    let problems = map.problems();
    // As written, so that a relay with problems of its own is not reported a second time.
    let known: Vec<&str> = match top.node("relays").map(|n| &n.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|e| e.key.as_str()).collect(),
        _ => Vec::new(),
    };
    let mut pools = BTreeMap::new();
    if map.entries.is_empty() {
        problems.at(map.span, "expected at least one pool, got none");
    }
    for entry in map.entries {
        let name = PoolName::new(&entry.key).map_err(|e| problems.at(entry.key_span, e.to_string())).ok();
        let mut relays: Vec<RelayName> = Vec::new();
        let items = problems.list(&entry.value, "relays, in order of need").unwrap_or_default();
        for item in items {
            let Some(relay) = problems.parsed::<RelayName>(item, "the name of a relay") else { continue };
            if !known.contains(&relay.as_str()) {
                let help = match did_you_mean(relay.as_str(), known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known relays: {}", known.join(", ")),
                };
                problems.at_with(item.span, format!("there is no relay {}", quoted(relay.as_str())), help);
            } else if relays.contains(&relay) {
                problems.at(item.span, format!("the relay {} is in this pool twice", quoted(relay.as_str())));
            } else {
                relays.push(relay);
            }
        }
        if items.is_empty() && matches!(entry.value.kind, Kind::List(_)) {
            problems.at_with(
                entry.value.span,
                "expected at least one relay, got none",
                "name one, or take the pool away",
            );
        }
        pools.extend(name.map(|name| (name, relays)));
    }
    pools
}

#[cfg(test)]
mod tests;
