//! Owns `plan forecast`: what leaves when, of the store's backlog or of a size made up, and whether what is expected holds.
//!
//! Invariant: nothing is written but the chart that is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Checked, read, surroundings};
use crate::cli::{Context, Exit, Failure, Outcome, picture};
use crate::config::Config;
use crate::config::problem::{Read, render};
use crate::core::names::{BucketName, GroupName, PoolName};
use crate::core::plan::{Groups, Plan, Source};
use crate::core::units::{self, Share};
use crate::forecast::{
    ASSUMED, Expectation, Forecast, OutcomeShares, Outcomes, STEP, Scene, assumed_config, forecast, made_up_campaign,
};
use crate::report::chart::forecast_chart;
use crate::report::forecast::render_forecast;
use crate::report::words::{at, count, number};
use crate::store::Store;

/// Recipients taken for a plan by itself when none were given.
const SIZE: u32 = 100_000;

/// `plan forecast`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A plan file, or the name of a shipped plan, by itself: one relay is assumed to follow it (default: the configuration's
    /// relays, and what waits in the store)
    #[arg(value_name = "FILE|NAME")]
    plan: Option<String>,
    /// A list of so many recipients instead of what waits in the store, to relays that begin their warm-up
    #[arg(long, value_parser = units::count, value_name = "N")]
    size: Option<u32>,
    /// Its destination groups, as in `docomo=30%,gmail=40%`; what is left goes to `default` (default: as in the store, else even
    /// over the groups that the plan names)
    #[arg(long, value_delimiter = ',', value_name = "GROUP=SHARE,...")]
    mix: Vec<String>,
    /// Its pool (default: the only one)
    #[arg(long)]
    pool: Option<PoolName>,
    /// When it begins, as `start` of a campaign (default: now)
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Plan days to look ahead
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u32).range(1..=400))]
    days: u32,
    /// Share of attempts that are deferred
    #[arg(long, value_name = "SHARE")]
    deferrals: Option<Share>,
    /// Share of attempts that are refused for good, unknown users among them
    #[arg(long, value_name = "SHARE")]
    bounces: Option<Share>,
    /// Share of attempts to users that are unknown
    #[arg(long, value_name = "SHARE")]
    unknown: Option<Share>,
    /// How long a message occupies its connection
    #[arg(long, default_value = "500ms", value_parser = units::span, value_name = "SPAN")]
    takes: Duration,
    /// Ends with 1 unless it holds: `finish <= 2026-12-05`, `finish(CAMPAIGN) <= 2026-12-05`, `remaining == 0`, `expired == 0`;
    /// may be repeated
    #[arg(long = "assert", value_name = "EXPECTATION")]
    expectations: Vec<Expectation>,
    /// Draw a chart instead: as SVG to standard output, or to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    svg: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    /// What was taken for granted, in words.
    assumed: &'a [String],
    #[serde(flatten)]
    forecast: &'a Forecast,
    expectations: Vec<Judged>,
}

#[derive(Serialize)]
struct Judged {
    expectation: String,
    met: bool,
    /// What came instead; null where it is met.
    because: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let mut assumed = Vec::new();
    let (scene, from) = match &args.plan {
        Some(plan) => match of_plan(plan, args, context, &mut assumed)? {
            Ok(found) => found,
            Err(exit) => return Ok(exit),
        },
        None => of_config(args, context, &mut assumed)?,
    };
    let outcomes = outcomes(args, &mut assumed);
    let zone = scene.config.timezone.clone();
    let forecast = forecast(&scene, &outcomes, from, args.days, STEP);
    let judged: Vec<Judged> = args.expectations.iter().map(|e| judge(e, &forecast, &zone)).collect();
    let met = judged.iter().all(|judged| judged.met);
    for judged in judged.iter().filter(|judged| !judged.met) {
        context.remark(&format!("not met: {}", judged.because.as_deref().unwrap_or_default()));
    }
    if let Some(to) = &args.svg {
        picture::hand_out(&forecast_chart(&forecast, &assumed, &zone), to, context)?;
    } else {
        let mut text = assumed.iter().map(|line| format!("{line}\n")).collect::<String>();
        text += &format!("\n{}", render_forecast(&forecast, &zone));
        for judged in judged.iter().filter(|judged| judged.met) {
            text += &format!("met: {}\n", judged.expectation);
        }
        context.answer(&Answer { assumed: &assumed, forecast: &forecast, expectations: judged }, &text)?;
    }
    Ok(if met { Exit::Done } else { Exit::Refused })
}

fn judge(expectation: &Expectation, forecast: &Forecast, zone: &TimeZone) -> Judged {
    let result = expectation.judge(forecast, zone);
    Judged { expectation: expectation.to_string(), met: result.is_ok(), because: result.err() }
}

fn outcomes(args: &Args, assumed: &mut Vec<String>) -> Outcomes {
    let part = |share: Option<Share>| share.map_or(0.0, Share::fraction);
    let all =
        OutcomeShares { deferrals: part(args.deferrals), bounces: part(args.bounces), unknown: part(args.unknown) };
    let shown = [(args.deferrals, "deferred"), (args.bounces, "bounced"), (args.unknown, "to unknown users")];
    let shown: Vec<String> =
        shown.iter().filter_map(|(share, word)| share.map(|share| format!("{share} {word}"))).collect();
    let shown = if shown.is_empty() {
        "all attempts accepted".to_owned()
    } else {
        format!("of the attempts {}", shown.join(", "))
    };
    assumed.push(format!("outcomes: {shown}; a message takes {} on its connection", units::show_span(args.takes)));
    Outcomes { all, buckets: BTreeMap::new(), takes: args.takes }
}

/// When it begins.
fn start(args: &Args, zone: &TimeZone, context: &Context) -> Result<Timestamp, Failure> {
    let now = context.clock.now();
    match &args.start {
        None => Ok(now),
        Some(text) => instant(text, zone).ok_or_else(|| {
            Failure::usage(format!("--start {text}: expected a date or a time such as 2026-12-01 or 2026-12-01T08:00"))
        }),
    }
}

fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let local = |time: DateTime| time.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    let exact = text.parse::<Timestamp>().ok();
    exact.or_else(|| local(text.parse().ok()?))
}

type Found = (Scene, Timestamp);

/// One relay under a plan by itself.
fn of_plan(
    plan: &str,
    args: &Args,
    context: &Context,
    assumed: &mut Vec<String>,
) -> Result<Result<Found, Exit>, Failure> {
    let (groups, _) = surroundings(context);
    let (_, Read { value, problems }) = read(plan, &groups);
    let Some(meant) = value else {
        if context.json {
            context.print_json(&Checked { plan, ok: false, problems: &problems })?;
        } else {
            context.remark(&render(&problems, context.colour()));
        }
        return Ok(Err(Exit::Refused));
    };
    let size = u64::from(args.size.unwrap_or(SIZE));
    let from = start(args, &meant.timezone, context)?;
    let (counts, how) = mixed(&args.mix, size, &groups, || even(&meant, size))?;
    assumed.push(format!(
        "plan {} by itself, from {}: one relay is assumed that follows it from warm-up day 1 on and passes on what destinations answer",
        meant.name,
        at(from, &meant.timezone)
    ));
    assumed.push(taken(size, &how));
    let mut scene = Scene::without_store(assumed_config(meant, Arc::unwrap_or_clone(groups)));
    put_list(&mut scene, ASSUMED.parse().map_err(unnamed)?, from, counts)?;
    Ok(Ok((scene, from)))
}

fn put_list(scene: &mut Scene, pool: PoolName, from: Timestamp, counts: Vec<(BucketName, u64)>) -> Result<(), Failure> {
    let campaign = made_up_campaign("list".parse().map_err(unnamed)?, pool, from);
    scene.add(campaign, counts);
    Ok(())
}

fn unnamed(error: crate::core::names::NameError) -> Failure {
    Failure::refused(error.to_string())
}

fn taken(size: u64, how: &str) -> String {
    format!("{}, {how}", count(size, "recipient"))
}

/// The relays of the configuration, over the store's backlog or a list.
fn of_config(args: &Args, context: &Context, assumed: &mut Vec<String>) -> Result<Found, Failure> {
    let config = context.config_to_look()?;
    let from = start(args, &config.timezone, context)?;
    let Some(size) = args.size.map(u64::from) else {
        if !args.mix.is_empty() || args.pool.is_some() {
            return Err(Failure::usage("--mix and --pool describe a list: say its --size, too"));
        }
        let store = context.open_existing_store(&config)?;
        let scene = context.block_on(async { Ok(Scene::of_store(config, &*store, from).await?) })?;
        let waiting: u64 = scene.outlook.waiting.iter().map(|row| row.fresh + row.retries + row.later).sum();
        let store = scene.config.store.display();
        assumed.push(format!(
            "what waits in {store} at {}: {}",
            at(from, &scene.config.timezone),
            count(waiting, "message")
        ));
        return Ok((scene, from));
    };
    let pool = pool(args.pool.as_ref(), &config)?;
    let plans: Vec<Arc<Plan>> =
        config.pools[&pool].iter().filter_map(|r| config.relays.get(r)).map(|r| r.plan.clone()).collect();
    let stored = if config.store.exists() && args.mix.is_empty() {
        let store = context.open_existing_store(&config)?;
        context.block_on(async { seen(&*store).await })?
    } else {
        BTreeMap::new()
    };
    let other = || match (stored.is_empty(), plans.first()) {
        (true, Some(plan)) => even(plan, size),
        _ => (
            divided(size, stored.iter().map(|(b, n)| (b.clone(), *n)).collect()),
            "mixed as in the store so far".to_owned(),
        ),
    };
    let (counts, how) = mixed(&args.mix, size, &config.groups, other)?;
    assumed.push(format!(
        "pool {pool} of {} from {}: every relay begins its warm-up",
        context.config_path.display(),
        at(from, &config.timezone)
    ));
    assumed.push(taken(size, &how));
    let mut scene = Scene::without_store(config);
    put_list(&mut scene, pool, from, counts)?;
    Ok((scene, from))
}

fn pool(asked: Option<&PoolName>, config: &Config) -> Result<PoolName, Failure> {
    let all = || config.pools.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (asked, config.pools.len()) {
        (Some(name), _) if config.pools.contains_key(name) => Ok(name.clone()),
        (Some(name), _) => Err(Failure::refused(format!("there is no pool {name}; pools: {}", all()))),
        (None, 1) => Ok(config.pools.keys().next().cloned().unwrap_or_else(|| unreachable!("there is one"))),
        (None, _) => Err(Failure::usage(format!("which pool? --pool names one of {}", all()))),
    }
}

/// Messages of all campaigns that a store knows, by bucket.
async fn seen(store: &dyn Store) -> Result<BTreeMap<BucketName, u64>, Failure> {
    let mut seen = BTreeMap::new();
    for campaign in store.campaigns().await? {
        for row in store.tally(campaign.id).await? {
            *seen.entry(row.bucket).or_default() += row.n;
        }
    }
    Ok(seen)
}

/// Evenly over the buckets that a plan names.
fn even(plan: &Plan, size: u64) -> (Vec<(BucketName, u64)>, String) {
    let named = |(_, lane): &(&BucketName, &Arc<crate::core::plan::LanePlan>)| {
        matches!(lane.curve.source, Source::Entry { .. }) && !Arc::ptr_eq(lane, &plan.default)
    };
    let mut buckets: Vec<BucketName> = plan.lanes.iter().filter(named).map(|(bucket, _)| bucket.clone()).collect();
    if buckets.is_empty() {
        buckets.extend("default".parse());
    }
    let how = format!("evenly over {}", count(buckets.len() as u64, "bucket"));
    (divided(size, buckets.into_iter().map(|bucket| (bucket, 1)).collect()), how)
}

/// `size` in parts of these weights; parts add up.
fn divided(size: u64, weights: Vec<(BucketName, u64)>) -> Vec<(BucketName, u64)> {
    let all: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum::<u128>().max(1);
    let (mut before, mut given) = (0_u128, 0_u64);
    weights
        .into_iter()
        .map(|(bucket, weight)| {
            before += u128::from(weight);
            let until = u64::try_from(u128::from(size) * before / all).unwrap_or(size);
            let n = until - given;
            given = until;
            (bucket, n)
        })
        .collect()
}

/// The list by bucket, and how it was mixed, in words.
fn mixed(
    mix: &[String],
    size: u64,
    groups: &Groups,
    otherwise: impl FnOnce() -> (Vec<(BucketName, u64)>, String),
) -> Result<(Vec<(BucketName, u64)>, String), Failure> {
    if mix.is_empty() {
        return Ok(otherwise());
    }
    let mut hundredths: BTreeMap<BucketName, u64> = BTreeMap::new();
    for part in mix {
        let wrong = |why: String| Failure::usage(format!("--mix {part}: {why}; expected as in docomo=30%,gmail=40%"));
        let (name, share) = part.split_once('=').ok_or_else(|| wrong("there is no `=`".to_owned()))?;
        let share: Share = share.parse().map_err(|error: units::UnitError| wrong(error.to_string()))?;
        let group: GroupName =
            name.trim().parse().map_err(|error: crate::core::names::NameError| wrong(error.to_string()))?;
        let known = groups.get(&group).ok_or_else(|| wrong(format!("there is no group {group}")))?;
        *hundredths.entry(known.bucket.clone()).or_default() += share.of(10_000);
    }
    let sum: u64 = hundredths.values().sum();
    let left = 10_000_u64
        .checked_sub(sum)
        .ok_or_else(|| Failure::usage(format!("--mix adds up to {} %, more than the whole list", number(sum / 100))))?;
    if left > 0 {
        let rest = "default".parse().map_err(unnamed)?;
        *hundredths.entry(rest).or_default() += left;
    }
    let how = if left > 0 {
        format!("mixed {}, the rest default", mix.join(", "))
    } else {
        format!("mixed {}", mix.join(", "))
    };
    Ok((divided(size, hundredths.into_iter().collect()), how))
}
