//! Owns `plan show`, `plan check`, `plan diff`, `plan curves` and `plan forecast`: what a plan means, day by day, what is wrong with it,
//! what it can name, and what will leave when.
//!
//! Invariants: a plan is judged with the shipped destination groups, or those of the configuration when there is one;
//! every problem is shown at once; nothing is written anywhere.

mod curves;
mod diff;
mod forecast;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Context, Exit, Outcome, picture};
use crate::config::groups_file::Destinations;
use crate::config::plan_file::{read_plan_file, show_avoid, show_plan, show_window, timezone_differs};
use crate::config::problem::{Problem, Read, Severity, SourceFile, did_you_mean, render, tally};
use crate::config::shipped::{shipped_plan, shipped_plan_names};
use crate::core::names::BucketName;
use crate::core::plan::{Groups, LanePlan, Plan, Source, Sourced};
use crate::core::units::{grouped, show_span};
use crate::report::chart::{Line, PlanChart};

/// Most days in a table that nobody asked for longer.
const DAYS: u32 = 45;

/// Width of what is printed, in characters.
const PAGE: usize = 80;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the table of days, a chart, and the limits in force
    Show {
        /// A plan file, or the name of a shipped plan
        #[arg(value_name = "FILE|NAME")]
        plan: String,
        /// Warm-up days in the table (default: until the curves no longer change, at most 45)
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        days: Option<u32>,
        /// Print the plan as a plan file with every value in force written out, one entry per bucket
        #[arg(long, conflicts_with = "days")]
        yaml: bool,
        /// Draw a chart instead, a line per curve: as SVG to standard output, or to FILE
        #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-",
              conflicts_with = "yaml")]
        svg: Option<PathBuf>,
    },
    /// Report every problem and lint of a plan
    Check {
        /// A plan file, or the name of a shipped plan
        #[arg(value_name = "FILE|NAME")]
        plan: String,
        /// Lints are problems
        #[arg(long)]
        strict: bool,
    },
    /// Show what a plan changes for today and the coming days, before it is applied: the one in force against the file now
    Diff(diff::Args),
    /// List the published curves that a plan can name as `curve: { preset: NAME }`
    Curves,
    /// Say what would leave when: per day and group, when each campaign ends, which limit binds
    Forecast(forecast::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.what {
        What::Show { plan, days, yaml, svg } => show(&plan, days, yaml, svg.as_deref(), context),
        What::Check { plan, strict } => check(&plan, strict, context),
        What::Diff(args) => diff::run(&args, context),
        What::Curves => curves::list(context),
        What::Forecast(args) => forecast::run(&args, context),
    }
}

/// The groups of the configuration and its zone; the shipped groups where there is none that can be read.
fn surroundings(context: &Context) -> (Arc<Groups>, Option<TimeZone>) {
    match context.config_path.exists().then(|| context.load_config().ok()).flatten() {
        Some(config) => (config.groups, Some(config.timezone)),
        None => (Arc::new(Destinations::shipped().groups), None),
    }
}

/// Reads the shipped plan of that name, else the file, as the configuration does; `./steady` is always the file.
fn read(plan: &str, groups: &Groups) -> (Arc<SourceFile>, Read<Plan>) {
    let refused = |file: &Arc<SourceFile>, problem: Problem| (Arc::clone(file), Read::new(None, vec![problem]));
    let path = Path::new(plan);
    let nameless = SourceFile::new(plan, "");
    if let Some(text) = shipped_plan(plan) {
        let file = SourceFile::new(plan, text);
        let read = read_plan_file(&file, groups);
        return (file, read);
    }
    if path.exists() {
        return match SourceFile::open(path) {
            Ok(file) => {
                let read = read_plan_file(&file, groups);
                (file, read)
            }
            Err(problem) => refused(&nameless, *problem),
        };
    }
    let names = || shipped_plan_names().collect::<Vec<_>>();
    let help = match did_you_mean(plan, names()) {
        Some(near) => format!("did you mean the shipped plan \"{near}\"?"),
        None => format!("shipped plans: {}", names().join(", ")),
    };
    refused(
        &nameless,
        Problem::of_file(&nameless, "there is no such file, and no shipped plan of that name").help(help),
    )
}

#[derive(Serialize)]
struct Checked<'a> {
    plan: &'a str,
    ok: bool,
    problems: &'a [Problem],
}

fn check(plan: &str, strict: bool, context: &Context) -> Outcome {
    let (groups, zone) = surroundings(context);
    let (file, mut read) = read(plan, &groups);
    if let Some((meant, zone)) = read.value.as_ref().zip(zone) {
        read.problems.extend(timezone_differs(&file, meant, &zone));
    }
    if strict {
        read.problems.iter_mut().for_each(|p| p.severity = Severity::Problem);
    }
    let ok = read.problems.iter().all(|p| p.severity == Severity::Lint);
    let answer = Checked { plan, ok, problems: &read.problems };
    let text = match &read.value {
        Some(meant) if read.problems.is_empty() => {
            format!("{plan}: no problem, no lint; plan {} for {} buckets", meant.name, meant.lanes.len())
        }
        _ => render(&read.problems, context.colour()),
    };
    context.answer(&answer, &text)?;
    Ok(if ok { Exit::Done } else { Exit::Refused })
}

fn show(plan: &str, days: Option<u32>, yaml: bool, svg: Option<&Path>, context: &Context) -> Outcome {
    let (groups, _) = surroundings(context);
    let (file, Read { value, problems }) = read(plan, &groups);
    let Some(meant) = value else {
        if context.json {
            context.print_json(&Checked { plan, ok: false, problems: &problems })?;
        } else {
            context.remark(&render(&problems, context.colour()));
        }
        return Ok(Exit::Refused);
    };
    if yaml && !context.json {
        context.print(&show_plan(&meant, &groups))?;
        return Ok(Exit::Done);
    }
    let settled = meant.lanes.values().map(|lane| lane.curve.value.settles()).max().unwrap_or(1);
    let days = days.unwrap_or_else(|| settled.clamp(7, DAYS));
    if let Some(to) = svg {
        return picture::hand_out(&drawn(&meant, &file.name, days, &groups), to, context);
    }
    let mut text = page(&meant, &file.name, days, &groups);
    if settled > days {
        text += &format!(
            "\nThe curves still change after day {days}, the last on day {settled}: --days {settled} shows all.\n"
        );
    }
    if !problems.is_empty() {
        text += &format!("\n{}: `hikagen plan check {plan}` shows them.\n", tally(&problems));
    }
    context.answer(&Shown::new(&meant, plan, days, &groups), &text)?;
    Ok(Exit::Done)
}

/// A value and where it was written.
#[derive(Serialize)]
struct Value {
    value: String,
    source: String,
}

impl Value {
    fn of<T>(sourced: &Sourced<T>, show: impl Fn(&T) -> String) -> Self {
        Self { value: show(&sourced.value), source: sourced.source.to_string() }
    }
}

#[derive(Serialize)]
struct Shown {
    plan: String,
    file: String,
    timezone: String,
    day_starts: String,
    days: u32,
    /// Sum over all lanes, per day.
    total: Vec<u64>,
    lanes: Vec<ShownLane>,
}

#[derive(Serialize)]
struct ShownLane {
    bucket: String,
    groups: Vec<String>,
    quota: Vec<u32>,
    settles_on_day: u32,
    curve: Value,
    rate: Option<Value>,
    burst: Option<Value>,
    per_hour: Option<Value>,
    connections: Option<Value>,
    messages_per_connection: Option<Value>,
    window: Value,
    avoid: Value,
    spread: Value,
    jitter: Option<Value>,
    transactional: Option<Value>,
    cooldown: Value,
}

impl Shown {
    fn new(plan: &Plan, file: &str, days: u32, groups: &Groups) -> Self {
        let buckets = groups.buckets();
        let members = |bucket: &BucketName| {
            buckets.get(bucket).into_iter().flatten().map(|group| group.name.to_string()).collect()
        };
        Self {
            plan: plan.name.to_string(),
            file: file.to_owned(),
            timezone: plan.timezone.iana_name().unwrap_or("UTC").to_owned(),
            day_starts: plan.day_starts.strftime("%H:%M").to_string(),
            days,
            total: (1..=days).map(|day| total(plan, day)).collect(),
            lanes: plan.lanes.iter().map(|(b, lane)| ShownLane::new(b, members(b), lane, days)).collect(),
        }
    }
}

impl ShownLane {
    fn new(bucket: &BucketName, groups: Vec<String>, lane: &LanePlan, days: u32) -> Self {
        let number = |n: &std::num::NonZeroU32| grouped(n.get().into());
        Self {
            bucket: bucket.to_string(),
            groups,
            quota: (1..=days).map(|day| lane.curve.value.quota(day)).collect(),
            settles_on_day: lane.curve.value.settles(),
            curve: Value::of(&lane.curve, ToString::to_string),
            rate: lane.rate.as_ref().map(|v| Value::of(v, ToString::to_string)),
            burst: lane.burst.as_ref().map(|v| Value::of(v, number)),
            per_hour: lane.per_hour.as_ref().map(|v| Value::of(v, number)),
            connections: lane.connections.as_ref().map(|v| Value::of(v, number)),
            messages_per_connection: lane.messages_per_connection.as_ref().map(|v| Value::of(v, number)),
            window: Value::of(&lane.window, show_window),
            avoid: Value::of(&lane.avoid, show_avoid),
            spread: Value::of(&lane.spread, |s| s.as_str().to_owned()),
            jitter: lane.jitter.as_ref().map(|v| Value::of(v, ToString::to_string)),
            transactional: lane.transactional.as_ref().map(|v| Value::of(v, show_window)),
            cooldown: Value::of(&lane.cooldown, |d| show_span(*d)),
        }
    }
}

fn total(plan: &Plan, day: u32) -> u64 {
    plan.lanes.values().map(|lane| u64::from(lane.curve.value.quota(day))).sum()
}

/// Buckets whose lanes have the same of something, in the order in which the plan's entries stand.
fn alike<T: PartialEq>(plan: &Plan, of: impl Fn(&LanePlan) -> T) -> Vec<(T, Vec<&BucketName>)> {
    let mut lanes: Vec<_> = plan.lanes.iter().collect();
    lanes.sort_by_key(|(bucket, lane)| match &lane.curve.source {
        Source::Entry { group, line } => (*line, group.as_str() != bucket.as_str()),
        _ => (usize::MAX, true),
    });
    let mut found: Vec<(T, Vec<&BucketName>)> = Vec::new();
    for (bucket, lane) in lanes {
        let value = of(lane);
        match found.iter_mut().find(|(known, _)| *known == value) {
            Some((_, buckets)) => buckets.push(bucket),
            None => found.push((value, vec![bucket])),
        }
    }
    found
}

/// A curve over the days of the table, and who follows it.
struct Column<'a> {
    name: String,
    quotas: Vec<u32>,
    buckets: Vec<&'a BucketName>,
}

impl Column<'_> {
    /// Characters that its values need.
    fn width(&self) -> usize {
        let values = self.quotas.iter().map(|quota| grouped((*quota).into()).len());
        values.chain([self.name.len().min(10), 6]).max().unwrap_or(6)
    }
}

/// The different curves of a plan.
fn columns(plan: &Plan, days: u32) -> Vec<Column<'_>> {
    alike(plan, |lane| (1..=days).map(|day| lane.curve.value.quota(day)).collect())
        .into_iter()
        .map(|(quotas, buckets)| Column { name: heading(plan, &buckets), quotas, buckets })
        .collect()
}

/// The plan as a chart.
fn drawn(plan: &Plan, file: &str, days: u32, groups: &Groups) -> String {
    let zone = plan.timezone.iana_name().unwrap_or("UTC");
    let line = |column: Column<'_>| Line {
        followers: list(&column.buckets, groups),
        name: column.name,
        volumes: column.quotas,
    };
    let chart = PlanChart {
        plan: plan.name.to_string(),
        about: format!("{file}: {zone}, a plan day starts at {}", plan.day_starts.strftime("%H:%M")),
        curves: columns(plan, days).into_iter().map(line).collect(),
        total: (1..=days).map(|day| total(plan, day)).collect(),
    };
    chart.draw()
}

/// All that `show` prints about a plan that reads.
fn page(plan: &Plan, file: &str, days: u32, groups: &Groups) -> String {
    let columns = columns(plan, days);
    let zone = plan.timezone.iana_name().unwrap_or("UTC");
    let mut out =
        format!("Plan {} ({file}): {zone}, a plan day starts at {}\n", plan.name, plan.day_starts.strftime("%H:%M"));
    out += "Messages per warm-up day and lane; a lane is one bucket on one relay.\n\n";
    out += &table(plan, &columns, days);
    out += "\nEach curve over these days (a logarithmic scale of its own)\n\n";
    out += &chart(&columns);
    out += "\nWho follows which\n\n";
    for column in &columns {
        out += &hanging(&column.name, &list(&column.buckets, groups));
    }
    out += "\nLimits\n\n";
    for (limits, buckets) in alike(plan, limits) {
        out += &hanging(&heading(plan, &buckets), &limits);
        if buckets.len() > 1 {
            let names: Vec<_> = buckets.iter().map(|b| b.as_str()).collect();
            out += &hanging("", &format!("for {}", names.join(", ")));
        }
    }
    out
}

/// A column's name: `default` where it is among them, else the first.
fn heading(plan: &Plan, buckets: &[&BucketName]) -> String {
    let default = buckets.iter().find(|b| Arc::ptr_eq(plan.lane(b), &plan.default));
    default.or(buckets.first()).map(|b| b.to_string()).unwrap_or_default()
}

/// Buckets, each with its groups where it is not the group of the same name alone.
fn list(buckets: &[&BucketName], groups: &Groups) -> String {
    let all = groups.buckets();
    let one = |bucket: &&BucketName| {
        let members: Vec<_> = all.get(*bucket).into_iter().flatten().map(|group| group.name.as_str()).collect();
        if members == [bucket.as_str()] { bucket.to_string() } else { format!("{bucket} ({})", members.join(", ")) }
    };
    buckets.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn limits(lane: &LanePlan) -> String {
    let mut parts = Vec::new();
    parts.extend(lane.rate.as_ref().map(|v| v.value.to_string()));
    parts.extend(lane.per_hour.as_ref().map(|v| format!("{} per hour", grouped(v.value.get().into()))));
    parts.push(format!("window {}", show_window(&lane.window.value)));
    let avoid = show_avoid(&lane.avoid.value);
    parts.extend((avoid != "{}").then(|| format!("avoid {avoid}")));
    let jitter = lane.jitter.as_ref().map_or(String::new(), |j| format!(", jitter {}", j.value));
    parts.push(format!("spread {}{jitter}", lane.spread.value.as_str()));
    parts.push(format!("cooldown {}", show_span(lane.cooldown.value)));
    // A short part is not broken over two lines.
    let whole = |part: String| if part.len() <= 30 { part.replace(' ', "\u{a0}") } else { part };
    parts.into_iter().map(whole).collect::<Vec<_>>().join("; ")
}

/// Days down, curves across, in blocks that fit the page; sums over all lanes in the last block.
fn table(plan: &Plan, columns: &[Column<'_>], days: u32) -> String {
    const SUMS: usize = 24;
    let mut blocks: Vec<Vec<&Column<'_>>> = vec![Vec::new()];
    let mut used = 5 + SUMS;
    for column in columns {
        if used + column.width() + 1 > PAGE {
            blocks.push(Vec::new());
            used = 5 + SUMS;
        }
        used += column.width() + 1;
        blocks.last_mut().expect("there is always a block").push(column);
    }
    let last = blocks.len() - 1;
    let mut out = String::new();
    for (n, block) in blocks.iter().enumerate() {
        out += if n > 0 { "\n  day" } else { "  day" };
        for column in block {
            out += &format!(" {:>width$}", shortened(&column.name, 10), width = column.width());
        }
        out += if n == last { "   all lanes      so far\n" } else { "\n" };
        let mut so_far = 0;
        for day in 1..=days {
            out += &format!("  {day:>3}");
            for column in block {
                let quota = column.quotas.get(day as usize - 1).copied().unwrap_or_default();
                out += &format!(" {:>width$}", grouped(quota.into()), width = column.width());
            }
            let total = total(plan, day);
            so_far += total;
            out +=
                &if n == last { format!(" {:>11} {:>11}\n", grouped(total), grouped(so_far)) } else { "\n".to_owned() };
        }
    }
    out
}

fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most { name.to_owned() } else { format!("{}.", &name[..most - 1]) }
}

/// One line of bars per curve, at most 40 bars wide.
fn chart(columns: &[Column<'_>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut out = String::new();
    for Column { name, quotas, .. } in columns {
        let (first, last) = (quotas.first().copied().unwrap_or(1), quotas.last().copied().unwrap_or(1));
        let low = f64::from(quotas.iter().copied().min().unwrap_or(1)).ln();
        let high = f64::from(quotas.iter().copied().max().unwrap_or(1)).ln();
        let width = quotas.len().min(40);
        let bar = |n: usize| {
            // The last bar is the last day.
            let at = if width > 1 { n * (quotas.len() - 1) / (width - 1) } else { 0 };
            let share = if high > low { (f64::from(quotas[at]).ln() - low) / (high - low) } else { 0.5 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "share is within 0..=1")]
            let level = (share * 7.0).round() as usize;
            BARS[level.min(7)]
        };
        let bars: String = (0..width).map(bar).collect();
        let range = format!("{} to {}", grouped(first.into()), grouped(last.into()));
        out += &format!("  {:<10} {bars}  {range}\n", shortened(name, 10));
    }
    out
}

/// A name and a text wrapped beside it.
fn hanging(name: &str, text: &str) -> String {
    const INDENT: usize = 20;
    let mut out = format!("  {name:<width$}", width = INDENT - 2);
    let mut column = INDENT;
    for word in text.split(' ') {
        let width = word.chars().count() + 1;
        if column + width > PAGE && column > INDENT {
            out += &format!("\n{:INDENT$}", "");
            column = INDENT;
        }
        out += &format!(" {word}");
        column += width;
    }
    out.replace('\u{a0}', " ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_fits_eighty_columns_and_adds_up() {
        let groups = Destinations::shipped().groups;
        for name in shipped_plan_names() {
            let (file, read) = read(name, &groups);
            let plan = read.value.expect(name);
            for days in [1, 28, 400] {
                let page = page(&plan, &file.name, days, &groups);
                let longest = page.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(longest <= PAGE, "{longest}:\n{page}");
                for bucket in plan.lanes.keys() {
                    assert!(page.contains(bucket.as_str()), "{bucket} is not in\n{page}");
                }
            }
        }
        let (_, read) = read("japan-28", &groups);
        let plan = read.value.expect("japan-28");
        let page = page(&plan, "japan-28", 28, &groups);
        let so_far: u64 = (1..=28).map(|day| total(&plan, day)).sum();
        assert!(page.contains(&format!(" {}\n", grouped(so_far))) && page.contains(" 20_000 "), "{page}");
    }

    #[test]
    fn a_plan_that_is_nowhere_gets_a_word_about_the_shipped_ones() {
        let groups = Destinations::shipped().groups;
        let (_, read) = read("stedy", &groups);
        assert!(
            read.value.is_none() && read.problems[0].to_string().contains("did you mean the shipped plan \"steady\"")
        );
    }
}
