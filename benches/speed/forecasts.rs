//! Owns the part about looking ahead: 1,000,000 recipients in 15 groups over 3 relays, 45 days.

use std::time::Instant;

use anyhow::{Context, Result};
use hikagen::config::bare::bare_config_of;
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::shipped::shipped_plan;
use hikagen::core::names::{BucketName, RelayName};
use hikagen::forecast::{OutcomeShares, Outcomes, STEP, Scene, forecast, made_up_campaign};

use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float};

const DAYS: u32 = 45;
const GROUPS: usize = 15;
const RELAYS: [&str; 3] = ["cold", "mild", "warm"];
const RECIPIENTS: u64 = 1_000_000;

fn scene() -> Result<Scene> {
    let groups = Destinations::shipped().groups;
    // Volumes that stay at 600 a day, so that the list lasts.
    let text = shipped_plan("japan-28").context("a shipped plan")?;
    let mut plans = std::collections::BTreeMap::new();
    for name in RELAYS {
        let mut plan = read_plan(text, name, &groups).value.context("a plan that reads")?;
        for lane in plan.lanes.values_mut() {
            std::sync::Arc::make_mut(lane).curve.value.up_to = Some(600);
        }
        plans.insert(name.parse::<RelayName>()?, plan);
    }
    let buckets: Vec<BucketName> =
        plans.values().next().context("a plan")?.lanes.keys().take(GROUPS).cloned().collect();
    let mut config = bare_config_of(groups, plans);
    let pool: hikagen::core::names::PoolName = "news".parse()?;
    config.pools.insert(pool.clone(), RELAYS.iter().map(|name| name.parse()).collect::<Result<_, _>>()?);
    let mut scene = Scene::without_store(config);
    let campaign = made_up_campaign("list".parse()?, pool, "2026-12-01T00:00:00+09:00".parse()?);
    scene.add(campaign, buckets.into_iter().map(|bucket| (bucket, RECIPIENTS / GROUPS as u64)));
    Ok(scene)
}

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    say("forecast");
    let scene = scene()?;
    let all = OutcomeShares { deferrals: 0.02, bounces: 0.01, unknown: 0.005 };
    let outcomes = Outcomes { all, ..Outcomes::default() };
    let (mut seconds, mut leaves) = (Samples::default(), 0);
    for _ in 0..rounds.n {
        let began = Instant::now();
        let foreseen = forecast(&scene, &outcomes, "2026-12-01T00:00:00+09:00".parse()?, DAYS, STEP);
        seconds.push(float(began.elapsed().as_micros()) / 1e6);
        leaves = foreseen.days.iter().map(|day| day.leaves).sum();
    }
    report.goal("a forecast of 1,000,000 recipients, 15 groups, 3 relays, 45 days", &seconds, Bar::AtMost(2.0), " s");
    report.figure("messages that leave in it", leaves.to_string());
    Ok(())
}
