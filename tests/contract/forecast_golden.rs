//! Golden forecasts: what the core makes of every published curve and every shipped plan, day by day, so that a change of the core
//! shows as a changed table. `BLESS=1 cargo test --test contract golden` writes them anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hikagen::config::curves::presets;
use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use hikagen::config::shipped::{shipped_plan, shipped_plan_names};
use hikagen::core::names::BucketName;
use hikagen::core::plan::Plan;
use hikagen::forecast::{OutcomeShares, Outcomes, STEP, Scene, assumed_config, forecast, made_up_campaign};
use hikagen::report::forecast::render_forecast;

const BEGIN: &str = "2026-12-01T00:00:00+09:00";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forecast_golden")
}

/// The forecast of lists to these buckets over one relay that follows a plan, with some deferrals and bounces.
fn table(text: &str, name: &str, waiting: impl Fn(&Plan) -> Vec<(BucketName, u64)>) -> String {
    let groups = Destinations::shipped().groups;
    let read = read_plan(text, name, &groups);
    let plan = read.value.unwrap_or_else(|| panic!("{name}: {:?}", read.problems));
    let (waiting, begin) = (waiting(&plan), BEGIN.parse().unwrap());
    let mut scene = Scene::without_store(assumed_config(plan, groups));
    let pool = scene.config.pools.keys().next().unwrap().clone();
    scene.add(made_up_campaign("list".parse().unwrap(), pool, begin), waiting);
    let all = OutcomeShares { deferrals: 0.02, bounces: 0.01, unknown: 0.005 };
    let outcomes = Outcomes { all, takes: Duration::from_millis(1), ..Outcomes::default() };
    let foreseen = forecast(&scene, &outcomes, begin, 120, STEP);
    for course in &foreseen.campaigns {
        let sum = course.accepted + course.bounced + course.expired + course.remaining;
        assert_eq!(sum, course.waiting, "{name}: every message ends once");
    }
    for day in &foreseen.days {
        assert!(day.leaves <= u64::from(day.quota), "{name}: {day:?}");
    }
    render_forecast(&foreseen, &scene.config.timezone)
}

/// A plan that follows one curve everywhere, at any hour.
fn plan_of(curve: &str) -> String {
    format!(
        "plan: golden\ntimezone: Asia/Tokyo\ndefaults: {{ window: \"00:00-24:00\", spread: asap }}\ngroups:\n  \
         default: {{ curve: {{ preset: {curve} }}, rate: 1_000/s, connections: 100 }}\n"
    )
}

fn tables() -> Vec<(String, String)> {
    let mut tables = Vec::new();
    for (name, preset) in presets() {
        let last = u64::from(preset.values.last().copied().unwrap_or(1));
        let size = preset.values.iter().map(|n| u64::from(*n)).sum::<u64>() + last;
        let waiting = |_: &Plan| vec![("default".parse().unwrap(), size)];
        tables.push((name.to_owned(), table(&plan_of(name), name, waiting)));
    }
    for name in shipped_plan_names() {
        let waiting = |plan: &Plan| plan.lanes.keys().map(|bucket| (bucket.clone(), 20_000)).collect();
        tables.push((format!("plan-{name}"), table(shipped_plan(name).unwrap(), name, waiting)));
    }
    tables
}

#[test]
fn every_published_curve_has_its_golden_forecast() {
    let (folder, mut wrong) = (folder(), Vec::new());
    let bless = std::env::var_os("BLESS").is_some();
    let tables = tables();
    if bless {
        std::fs::create_dir_all(&folder).unwrap();
    }
    for (name, table) in &tables {
        let path = folder.join(format!("{name}.txt"));
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if *table == expected {
            continue;
        }
        if bless {
            std::fs::write(&path, table).unwrap();
        } else {
            let changed = table.lines().zip(expected.lines()).find(|(now, then)| now != then);
            wrong.push(format!("{name}: {changed:?}"));
        }
    }
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().trim_end_matches(".txt").to_owned())
        .collect();
    files.retain(|file| !tables.iter().any(|(name, _)| name == file));
    assert!(files.is_empty(), "tables of no curve: {files:?}");
    assert!(wrong.is_empty(), "{}\nthe core plays them otherwise; BLESS=1 writes the tables anew", wrong.join("\n"));
}
