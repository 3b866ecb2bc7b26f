//! Owns the fifth part: a list of a million comes in while the worker sends at full speed beside paced lanes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::children::{Background, Sink, now_ns};
use crate::scene::{PACE, PACED, Scene, addresses, paced_domain};
use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float, number};

/// The measured time before the list comes in.
const ALONE: Duration = Duration::from_secs(12);
/// The start is not counted.
const WARM: Duration = Duration::from_secs(3);
/// The longest that an intake is waited for: a queue for so long must be there.
const LONGEST: Duration = Duration::from_secs(150);

/// Arrivals of a lane, monotonic nanoseconds, ascending; the last lane is the one at full speed.
type Arrivals = Vec<Vec<i64>>;

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    let (queued, list) = if rounds.quick { (700_000, 50_000) } else { (2_000_000, 1_000_000) };
    let [mut kept, mut alone, mut beside, mut lag_alone, mut lag, mut took, mut used]: [Samples; 7] =
        Default::default();
    say("together: the queue");
    let folder = rounds.folder.join("together");
    for round in 0..rounds.n {
        say(&format!("together, round {}", round + 1));
        let scene = Scene::new(&folder, &rounds.program)?;
        let paced = u64::from(PACE) * (ALONE + WARM * 3 + LONGEST).as_secs();
        let of_lanes = (0..paced).flat_map(|i| (0..PACED).map(move |lane| format!("user{i}@{}", paced_domain(lane))));
        scene.campaign("spring", of_lanes.chain(addresses(queued)))?;
        crate::children::run(&mut scene.program(&["submit", "spring.yaml"]))?;
        scene.campaign("summer", (0..list).map(|i| format!("other{i}@example{}.jp", i % 50)))?;
        let (arrivals, start, submit, end) = watch(&scene)?;
        let rate = |from, to| float(count(&arrivals[PACED], from, to)) * 1e9 / float(to - from);
        let (before, during) = (rate(start, submit), rate(submit, end));
        kept.push(100.0 * (1.0 - during / before));
        alone.push(before);
        beside.push(during);
        took.push(float(end - submit) / 1e9);
        lag_alone.push(worst_lag(&arrivals, start, submit)?);
        lag.push(worst_lag(&arrivals, submit, end)?);
        let paced = arrivals[..PACED].iter().map(|lane| float(count(lane, submit, end))).sum::<f64>();
        used.push(100.0 * paced * 1e9 / float(end - submit) / float(PACE) / float(PACED));
        std::fs::remove_dir_all(&folder)?;
    }
    let name = number(float(list));
    report.goal(&format!("intake of {name} slows sending at full speed by"), &kept, Bar::AtMost(10.0), " %");
    report.goal("longest time by which a paced lane was late meanwhile", &lag, Bar::AtMost(200.0), " ms");
    report.figure(
        "full speed alone, and during the intake",
        format!("{} and {} messages/s", alone.show(), beside.show()),
    );
    report.figure(
        &format!("{PACED} lanes at {PACE}/s beside it"),
        format!("late by at most {} ms alone; {} % of their pace during the intake", lag_alone.show(), used.show()),
    );
    report.figure(&format!("intake of {name} beside it"), format!("{} s", took.show()));
    Ok(())
}

/// One run of the worker: alone for a while, then beside a `submit`. Arrivals, and when each time began and the last ended.
fn watch(scene: &Scene) -> Result<(Arrivals, i64, i64, i64)> {
    let log = scene.folder.join("arrivals");
    let mut sink = Sink::start(0, Some(&log))?;
    scene.point_at(sink.port)?;
    let worker = Background::start(&mut scene.program(&["run"]), &scene.folder.join("run.log"))?;
    sink.wait_for(1, Duration::from_secs(60))?;
    std::thread::sleep(WARM);
    let start = now_ns();
    std::thread::sleep(ALONE);
    let began = now_ns();
    let mut submit =
        Background::start(&mut scene.program(&["submit", "summer.yaml"]), &scene.folder.join("submit.log"))?;
    let since = Instant::now();
    while submit.lives()? && since.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(20));
    }
    let end = now_ns();
    ensure!(!submit.lives()?, "the intake was not done within {LONGEST:?}");
    worker.stop()?;
    sink.stop()?;
    let mut arrivals = vec![Vec::new(); PACED + 1];
    for line in std::fs::read_to_string(&log)?.lines() {
        let (at, recipient) = line.split_once('\t').context("the sink's log is damaged")?;
        let paced = recipient.split_once("@paced").and_then(|(_, rest)| rest.get(..2)?.parse::<usize>().ok());
        arrivals[paced.unwrap_or(PACED)].push(at.parse::<i64>()?);
    }
    Ok((arrivals, start, began, end))
}

fn count(lane: &[i64], from: i64, to: i64) -> usize {
    lane.partition_point(|at| *at < to) - lane.partition_point(|at| *at < from)
}

/// Milliseconds by which an arrival of any paced lane came later than one interval after the one before it, at most.
fn worst_lag(arrivals: &Arrivals, from: i64, to: i64) -> Result<f64> {
    let mut worst = 0.0_f64;
    for lane in &arrivals[..PACED] {
        let inside: Vec<i64> = lane.iter().copied().filter(|at| (from..to).contains(at)).collect();
        ensure!(inside.len() > 1, "a paced lane sent nothing");
        let ends = std::iter::once(from).chain(inside.iter().copied()).zip(inside.iter().copied().chain([to]));
        for (a, b) in ends {
            worst = worst.max(float(b - a) / 1e6 - 1_000.0 / float(PACE));
        }
    }
    Ok(worst)
}
