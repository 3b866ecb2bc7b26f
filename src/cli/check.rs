//! Owns `check`: every problem that is reachable from the configuration, then what is in force and where each value comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::submit::content;
use super::{Context, Exit, Failure, Outcome};
use crate::config::campaign_file::read_campaign_file;
use crate::config::config_file::{self, Written};
use crate::config::in_force::{InForce, lane_in_force, relay_in_force};
use crate::config::problem::{Problem, Severity, SourceFile, render};
use crate::config::{Answers, Config, RelaySettings};
use crate::core::campaign::CampaignState;
use crate::core::names::RelayName;
use crate::core::units::{grouped, show_span};
use crate::report::law;
use crate::report::overview::overview;
use crate::report::signing::{Sender, Signing, signing};
use crate::store::CampaignRow;

/// Width of a line of settings.
const WIDTH: usize = 118;

/// `check ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Campaign files to look at, too
    #[arg(value_name = "CAMPAIGN")]
    campaigns: Vec<PathBuf>,
    /// Take lints for problems
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Answer {
    problems: Vec<Problem>,
    in_force: Option<Everything>,
}

#[derive(Serialize)]
struct Everything {
    configuration: String,
    store: String,
    timezone: String,
    groups: usize,
    reply_rules: usize,
    on_event: Option<Vec<String>>,
    drain: String,
    disk_floor: u64,
    retention: String,
    full_mailbox_after: u32,
    signing_key: String,
    relays: Vec<Relay>,
    pools: BTreeMap<String, Vec<String>>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Relay {
    relay: String,
    settings: Vec<InForce>,
    signing: Signing,
    notes: Vec<String>,
    lanes: Vec<Lane>,
}

#[derive(Serialize)]
struct Lane {
    lane: String,
    groups: Vec<String>,
    warmup_day: u32,
    quota_today: u32,
    settings: Vec<InForce>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let (read, written) = config_file::load_with(&context.config_path, &|name| std::env::var(name).ok());
    let (config, mut problems) = (read.value, read.problems);
    if let (Some(config), Some(written)) = (&config, &written) {
        let now = context.clock.now();
        problems.extend(config_file::past_starts(config, written, |zone| now.to_zoned(zone.clone()).date()));
    }
    let (mut senders, mut remarks, mut signings) = (Vec::new(), Vec::new(), BTreeMap::new());
    for path in &args.campaigns {
        let (sender, found) = campaign(path, config.as_ref(), context, &mut remarks);
        senders.extend(sender);
        problems.extend(found);
    }
    if let (Some(config), Some(written)) = (&config, &written) {
        senders.extend(stored_senders(context, config, &senders));
        for relay in config.relays.values() {
            let signing = signing(relay, config, &senders);
            problems.extend(signing.problems(relay, written));
            signings.insert(relay.name.clone(), signing);
        }
    }
    problems.sort_by_key(|problem| problem.severity);
    let refused = problems.iter().any(|p| args.strict || p.severity == Severity::Problem);
    let mut in_force = config.zip(written).map(|(config, written)| everything(context, &config, &written, signings));
    in_force.iter_mut().for_each(|all| all.notes.append(&mut remarks));
    let coloured = !context.json && std::io::IsTerminal::is_terminal(&std::io::stdout());
    let mut text = render(&problems, coloured);
    // Behind problems the settings would only push them off the screen.
    if let Some(all) = in_force.as_ref().filter(|_| !refused) {
        text.push_str(&all.render(problems.is_empty()));
    }
    context.answer(&Answer { problems, in_force }, &text)?;
    Ok(if refused { Exit::Refused } else { Exit::Done })
}

/// One campaign file: who sends, and its problems: its own, its times as of now, that its pool exists, and those of its
/// templates' files.
fn campaign(
    path: &std::path::Path,
    config: Option<&Config>,
    context: &Context,
    remarks: &mut Vec<String>,
) -> (Option<Sender>, Vec<Problem>) {
    let file = match SourceFile::open(path) {
        Ok(file) => file,
        Err(problem) => return (None, vec![*problem]),
    };
    let zone = config.map_or(TimeZone::UTC, |config| config.timezone.clone());
    let read = read_campaign_file(&file, &zone);
    let mut problems = read.problems;
    let said = match read.value.as_ref().map(content::read) {
        Some(Ok(said)) => Some(said),
        Some(Err(found)) => {
            problems.extend(found.into_iter().map(|why| Problem::of_file(&file, why)));
            None
        }
        None => None,
    };
    remarks.extend(said.iter().flat_map(|said| said.notes.clone()));
    let (Some(campaign), Some(config)) = (read.value, config) else { return (None, problems) };
    problems.extend(campaign.times.resolve(context.clock.now()).problems);
    problems.extend(campaign.unknown_pool(config.pools.keys()));
    for (message, help) in said.iter().flat_map(|said| law::missing(&said.content, campaign.class)) {
        let lint = Problem::of_file(&file, message).lint();
        problems.push(Problem { help: Some(help.to_owned()), ..lint });
    }
    // The sender of a mail made elsewhere stands in it.
    let from = campaign.from.or(said.map(|said| said.content.from));
    let sender = from.map(|from| Sender { campaign: campaign.name.to_string(), pool: campaign.pool, from });
    (sender, problems)
}

/// The campaigns of the store that still send, but for those whose files were given.
fn stored_senders(context: &Context, config: &Config, given: &[Sender]) -> Vec<Sender> {
    if !config.store.exists() {
        return Vec::new();
    }
    let read = || -> Result<_, Failure> {
        let store = context.open_existing_store(config)?;
        context.block_on(async { Ok(store.campaigns().await?) })
    };
    // What keeps the store from being asked is told where its quotas are asked for.
    let rows = read().unwrap_or_default();
    let sends = |row: &CampaignRow| !matches!(row.state, CampaignState::Finished | CampaignState::Cancelled);
    let new = |row: &CampaignRow| given.iter().all(|sender| sender.campaign != row.name.as_str());
    let rows = rows.into_iter().filter(|row| sends(row) && new(row));
    rows.map(|row| Sender { campaign: row.name.to_string(), pool: row.pool, from: row.from }).collect()
}

fn everything(
    context: &Context,
    config: &Config,
    written: &Written,
    mut signings: BTreeMap<RelayName, Signing>,
) -> Everything {
    let today = today(context, config);
    let key = config.signing_key.as_ref();
    Everything {
        configuration: config.path.display().to_string(),
        store: config.store.display().to_string(),
        timezone: config.timezone.iana_name().unwrap_or("unnamed").to_owned(),
        groups: config.groups.iter().count(),
        reply_rules: config.rules.all().iter().map(|rule| &rule.id).collect::<BTreeSet<_>>().len(),
        on_event: config.worker.on_event.clone(),
        drain: show_span(config.worker.drain),
        disk_floor: config.worker.disk_floor,
        retention: config.worker.retention.map_or_else(|| "forever".to_owned(), show_span),
        full_mailbox_after: config.feedback.full_mailbox_after,
        signing_key: key.map_or_else(|| "beside the store, made at first run".to_owned(), |key| format!("{key:?}")),
        relays: config
            .relays
            .values()
            .filter_map(|relay| Some(self::relay(relay, config, written, signings.remove(&relay.name)?, &today)))
            .collect(),
        pools: config
            .pools
            .iter()
            .map(|(name, relays)| (name.to_string(), relays.iter().map(ToString::to_string).collect()))
            .collect(),
        notes: notes(config),
    }
}

/// Warm-up day and quota of each lane that the store knows. Without a store a lane stands where the configuration puts it.
fn today(context: &Context, config: &Config) -> BTreeMap<String, (u32, u32)> {
    if !config.store.exists() {
        return BTreeMap::new();
    }
    let read = || -> Result<_, Failure> {
        let store = context.open_existing_store(config)?;
        context.block_on(async { Ok(overview(&*store, config, context.clock.now(), true).await?) })
    };
    match read() {
        Ok(all) => {
            let lanes = all.relays.into_iter().flat_map(|relay| relay.lanes);
            lanes.map(|lane| (lane.lane, (lane.warmup_day, lane.quota))).collect()
        }
        Err(failure) => {
            context.remark(&format!("the store cannot be asked for today's quotas: {}", failure.text));
            BTreeMap::new()
        }
    }
}

fn relay(
    relay: &RelaySettings,
    config: &Config,
    written: &Written,
    signing: Signing,
    today: &BTreeMap<String, (u32, u32)>,
) -> Relay {
    let lanes = config.groups.buckets().into_iter().map(|(bucket, groups)| {
        let lane = format!("{}/{bucket}", relay.name);
        let plan = relay.plan.lane(&bucket);
        let fresh = (relay.warmup.day, plan.curve.value.quota(relay.warmup.day));
        let (warmup_day, quota_today) = today.get(&lane).copied().unwrap_or(fresh);
        let groups = groups.iter().map(|group| group.name.to_string()).collect();
        Lane { lane, groups, warmup_day, quota_today, settings: lane_in_force(plan) }
    });
    Relay {
        relay: relay.name.to_string(),
        settings: relay_in_force(relay, written),
        signing,
        notes: relay.known.as_ref().map_or_else(Vec::new, |known| known.preset.notes.clone()),
        lanes: lanes.collect(),
    }
}

/// What follows from the settings and is easily overlooked.
fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let deaf: Vec<_> = config.relays.values().filter(|r| r.answers == Answers::Own).map(|r| r.name.as_str()).collect();
    if !deaf.is_empty() {
        notes.push(format!(
            "{}: only the relay itself is heard (answers: own); its 250 says nothing of the carrier, so warm-up days advance by volume",
            deaf.join(", ")
        ));
    }
    notes.push("transactional mail goes first, strictly: a lot of it starves normal and bulk mail".to_owned());
    notes
}

impl Everything {
    fn render(&self, clean: bool) -> String {
        let verdict = if clean { "no problems\n" } else { "" };
        let on_event = self.on_event.as_ref().map_or_else(|| "none".to_owned(), |words| words.join(" "));
        let mut out = format!(
            "{verdict}in force: {}\n  store {}, timezone {}, {} destination groups, {} reply rules\n  \
             drain {}, disk floor {} bytes, retention {}, on_event {on_event}, signing key {}\n  \
             an address is suppressed after {} reports of a full mailbox\n",
            self.configuration,
            self.store,
            self.timezone,
            self.groups,
            self.reply_rules,
            self.drain,
            grouped(self.disk_floor),
            self.retention,
            self.signing_key,
            self.full_mailbox_after,
        );
        for (pool, relays) in &self.pools {
            out.push_str(&format!("  pool {pool}: {}\n", relays.join(", then ")));
        }
        for relay in &self.relays {
            out.push_str(&format!("\nrelay {}\n{}", relay.relay, with_documents(&relay.settings)));
            out.push_str(&format!("    {}\n", relay.signing.line()));
            relay.notes.iter().for_each(|note| out.push_str(&format!("    note: {note}\n")));
            for lane in &relay.lanes {
                out.push_str(&lane.render());
            }
        }
        for note in &self.notes {
            out.push_str(&format!("\nnote: {note}\n"));
        }
        out
    }
}

impl Lane {
    fn render(&self) -> String {
        let (_, bucket) = self.lane.rsplit_once('/').unwrap_or(("", &self.lane));
        let of = match self.groups.as_slice() {
            [one] if one == bucket => String::new(),
            groups => format!(" ({})", groups.join(", ")),
        };
        let quota = grouped(self.quota_today.into());
        let head = format!("  lane {}{of}: quota today {quota}, warm-up day {}\n", self.lane, self.warmup_day);
        head + &wrapped(&self.settings)
    }
}

/// The settings, and below them the documents that a preset rests on, each once.
fn with_documents(settings: &[InForce]) -> String {
    let mut documents: Vec<&str> = Vec::new();
    let mut numbered = Vec::with_capacity(settings.len());
    for one in settings {
        let Some(document) = one.source.strip_prefix("preset ") else {
            numbered.push(one.clone());
            continue;
        };
        let known = documents.iter().position(|known| *known == document);
        let at = known.unwrap_or_else(|| {
            documents.push(document);
            documents.len() - 1
        });
        numbered.push(InForce { source: format!("preset [{}]", at + 1), ..one.clone() });
    }
    let mut out = wrapped(&numbered);
    for (n, document) in documents.iter().enumerate() {
        out.push_str(&format!("    [{}] preset {document}\n", n + 1));
    }
    out
}

/// `key value (source)`, as many as fit in a line.
fn wrapped(settings: &[InForce]) -> String {
    let mut lines = vec![String::new()];
    for InForce { key, value, source } in settings {
        let piece = format!("{key} {value} ({source})");
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 2 + piece.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "" } else { ", " });
            line.push_str(&piece);
        }
    }
    lines.iter().map(|line| format!("    {line}\n")).collect()
}
