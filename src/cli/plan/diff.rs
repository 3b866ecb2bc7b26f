//! Owns `plan diff`: what a plan would change before it is applied.
//!
//! Invariants: nothing is applied and nothing is written; the plan in force is the one that the store keeps, read as files are.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::super::{Context, Exit, Failure, Outcome};
use super::{Checked, read, surroundings};
use crate::config::Config;
use crate::config::plan_file::read_plan;
use crate::config::problem::render;
use crate::config::settings::RelaySettings;
use crate::core::names::{BucketName, LaneKey, RelayName};
use crate::core::plan::Plan;
use crate::report::picture::Picture;
use crate::report::revision::{Revision, Standing, Version, lane_revisions};
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A plan file, or the name of a shipped plan, in place of the configured one; two: compare them with each other
    #[arg(value_name = "FILE|NAME", num_args = 0..=2)]
    plans: Vec<PathBuf>,
    /// Only this relay
    #[arg(long, value_name = "RELAY")]
    relay: Option<RelayName>,
    /// Where two files are compared: the warm-up day to begin with
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    day: u32,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let named: Vec<String> = args.plans.iter().map(|path| path.display().to_string()).collect();
    match &named[..] {
        [before, after] => {
            if args.relay.is_some() {
                return Err(Failure::usage("two files are compared with each other: --relay has nothing to say"));
            }
            files(before, after, args.day, context)
        }
        given => relays(args, given.first().map(String::as_str), context),
    }
}

/// Reads a plan; its problems are the failure.
fn given(plan: &str, context: &Context) -> Result<Plan, Failure> {
    let (groups, _) = surroundings(context);
    let (_, read) = read(plan, &groups);
    if read.value.is_none() && context.json {
        context.print_json(&Checked { plan, ok: false, problems: &read.problems })?;
        return Err(Failure::refused(""));
    }
    read.value.ok_or_else(|| {
        Failure::refused(format!("{plan} is refused\n\n{}", render(&read.problems, context.colour()).trim_end()))
    })
}

fn files(before: &str, after: &str, day: u32, context: &Context) -> Outcome {
    let (old, new) = (given(before, context)?, given(after, context)?);
    let standing = |_: &BucketName| Standing { warmup_day: day, ceiling: None, today: None };
    let revision = Revision::of((&old, version(&old, before)), (&new, version(&new, after)), None, standing);
    let zone = new.timezone.clone();
    answer(&[revision], &zone, context)
}

fn version(plan: &Plan, source: &str) -> Version {
    Version { plan: plan.name.to_string(), source: source.to_owned(), since: None, by: None }
}

fn answer(revisions: &[Revision], zone: &TimeZone, context: &Context) -> Outcome {
    let text: Vec<String> = revisions.iter().map(|revision| revision.render(zone)).collect();
    context.answer(&revisions, &text.join("\n"))?;
    Ok(Exit::Done)
}

fn relays(args: &Args, plan: Option<&str>, context: &Context) -> Outcome {
    let config = context.load_config()?;
    let wanted: Vec<&RelaySettings> = match &args.relay {
        None => config.relays.values().map(|settings| &**settings).collect(),
        Some(name) => match config.relays.get(name) {
            Some(settings) => vec![settings],
            None => {
                let names: Vec<&str> = config.relays.keys().map(RelayName::as_str).collect();
                return Err(Failure::refused(format!("there is no relay {name}; known relays: {}", names.join(", "))));
            }
        },
    };
    if plan.is_some() && wanted.len() > 1 {
        return Err(Failure::usage("--relay RELAY says for which relay the plan is meant"));
    }
    let instead = plan.map(|plan| Ok::<_, Failure>((given(plan, context)?, plan.to_owned()))).transpose()?;
    let revisions = if config.store.exists() {
        let store = context.open_existing_store(&config)?;
        context.block_on(against(&*store, &config, &wanted, instead.as_ref(), context))?
    } else {
        wanted.iter().flat_map(|settings| first(settings, instead.as_ref())).collect()
    };
    answer(&revisions, &config.timezone, context)
}

/// The plan that would be applied: the one given, or the configured one.
fn wanted_plan<'a>(settings: &'a RelaySettings, instead: Option<&'a (Plan, String)>) -> (&'a Plan, Version) {
    match instead {
        Some((plan, source)) => (plan, version(plan, source)),
        None => (&settings.plan, version(&settings.plan, &settings.plan_source)),
    }
}

/// Of a relay without any applied plan.
fn first(settings: &RelaySettings, instead: Option<&(Plan, String)>) -> Vec<Revision> {
    let (_, after) = wanted_plan(settings, instead);
    let relay = Some(settings.name.clone());
    vec![Revision { relay, before: None, after, from: None, changes: true, plan: Vec::new(), lanes: Vec::new() }]
}

async fn against(
    store: &dyn Store,
    config: &Config,
    wanted: &[&RelaySettings],
    instead: Option<&(Plan, String)>,
    context: &Context,
) -> Result<Vec<Revision>, Failure> {
    let picture = Picture::take(store, config, context.clock.now()).await?;
    let mut all = Vec::new();
    for settings in wanted {
        let Some((since, last)) = store.plan_history(&settings.name, 1).await?.into_iter().next() else {
            all.extend(first(settings, instead));
            continue;
        };
        let read = read_plan(&last.text, &format!("plan {} in force for {}", last.name, settings.name), &config.groups);
        let before = read.value.ok_or_else(|| {
            Failure::refused(format!(
                "the plan in force for {} cannot be read with the destination groups of today\n\n{}",
                settings.name,
                render(&read.problems, false).trim_end()
            ))
        })?;
        let in_force = Version {
            plan: last.name.to_string(),
            source: "store".to_owned(),
            since: Some(since),
            by: Some(last.by.clone()),
        };
        let standing = |bucket: &BucketName| {
            let lane = LaneKey { relay: settings.name.clone(), bucket: bucket.clone() };
            let today = picture.today(&lane, settings);
            let spent = today.ledger.spent;
            let (warmup_day, ceiling) = (today.ledger.warmup_day, today.ledger.ramp.ceiling);
            Standing { warmup_day, ceiling, today: Some((today.day, spent)) }
        };
        let (plan, version) = wanted_plan(settings, instead);
        let relay = Some(settings.name.clone());
        all.push(Revision::of((&before, in_force), (plan, version.clone()), relay, standing));
        if let Some(later) = later(settings, plan, version, &picture, &standing) {
            all.push(later);
        }
    }
    Ok(all)
}

/// What the next plan of a relay changes when its day comes.
fn later(
    settings: &RelaySettings,
    plan: &Plan,
    version: Version,
    picture: &Picture<'_>,
    standing: &dyn Fn(&BucketName) -> Standing,
) -> Option<Revision> {
    let next = settings.next_plan.as_ref()?;
    let today = crate::core::lane::calendar::plan_day(&plan.timezone, plan.day_starts, picture.now);
    let days = u32::try_from(today.until(next.from).map_or(0, |span| span.get_days())).unwrap_or(0);
    let whole = crate::config::compared::plans_differ(plan, &next.plan);
    let lanes = lane_revisions(plan, &next.plan, days.max(1), standing);
    Some(Revision {
        relay: Some(settings.name.clone()),
        before: Some(version),
        after: self::version(&next.plan, &next.source),
        from: Some(next.from),
        changes: !whole.is_empty() || !lanes.is_empty(),
        plan: whole,
        lanes,
    })
}
