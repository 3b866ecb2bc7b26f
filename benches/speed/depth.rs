//! Owns the third part: what a deep queue costs, in claims, at a start and in memory.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::children::{self, Background, Sink, now_ns};
use crate::scene::{Scene, addresses};
use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float, number};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long the worker sends before its memory is read.
const SENDING: Duration = Duration::from_secs(5);

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    let deep = if rounds.quick { 50_000 } else { 1_000_000 };
    at_depth(rounds, report, deep, 150.0, true)?;
    if rounds.long {
        at_depth(rounds, report, 10_000_000, 250.0, false)?;
    }
    Ok(())
}

fn at_depth(rounds: &Rounds, report: &mut Report, n: u64, memory_most: f64, starts: bool) -> Result<()> {
    let name = number(float(n));
    say(&format!("depth: a queue of {name}"));
    let scene = queue(rounds, "deep", n)?;
    let [mut deep, mut shallow, mut late, mut early]: [Samples; 4] = Default::default();
    for round in 0..rounds.n {
        say(&format!("claims at both depths, round {}", round + 1));
        let small = queue(rounds, "shallow", 10_000)?;
        // Neither is always the one that comes behind the other's writing.
        if round % 2 == 0 {
            shallow.push(claims(&small)?);
            deep.push(claims(&scene)?);
        } else {
            deep.push(claims(&scene)?);
            shallow.push(claims(&small)?);
        }
        std::fs::remove_dir_all(small.folder)?;
        if starts {
            let small = queue(rounds, "short", 1_000)?;
            early.push(first_message(&small)?);
            late.push(first_message(&scene)?);
            std::fs::remove_dir_all(small.folder)?;
        }
    }
    let what = format!("claim and settle with {name} queued, times their cost with 10,000");
    report.goal(&what, &deep.over(&shallow), Bar::AtMost(1.5), "");
    if starts {
        let what = format!("first message after a start with {name} queued, times as late as with 1,000");
        report.goal(&what, &late.over(&early), Bar::AtMost(1.5), "");
        report.figure("start to first message, 1,000 queued", format!("{} ms", early.show()));
        report.figure(&format!("start to first message, {name} queued"), format!("{} ms", late.show()));
    }
    let memory = memory(&scene)?;
    report.goal(&format!("memory of a worker that sends, {name} queued"), &memory, Bar::AtMost(memory_most), " MB");
    report.figure("claim and settle, 10,000 queued", format!("{} µs a message, two commits per 500", shallow.show()));
    report.figure(&format!("claim and settle, {name} queued"), format!("{} µs a message", deep.show()));
    std::fs::remove_dir_all(scene.folder)?;
    Ok(())
}

/// A project with `n` messages queued.
fn queue(rounds: &Rounds, name: &str, n: u64) -> Result<Scene> {
    let folder: PathBuf = rounds.folder.join(name);
    let scene = Scene::new(&folder, &rounds.program)?;
    scene.campaign("spring", addresses(n))?;
    children::run(&mut scene.program(&["submit", "spring.yaml"]))?;
    Ok(scene)
}

/// Microseconds a message, the median of its turns. What earlier steps wrote is on the disk before it begins.
fn claims(scene: &Scene) -> Result<f64> {
    children::run(&mut Command::new("sync"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["claims", "--campaign", "spring"]).arg("--store").arg(scene.store());
    children::run(&mut command)?.said.trim().parse().context("no figure")
}

/// Milliseconds from the start of the worker to the first message at the sink.
fn first_message(scene: &Scene) -> Result<f64> {
    let mut sink = Sink::start(0, None)?;
    scene.point_at(sink.port)?;
    let began = now_ns();
    let worker = Background::start(&mut scene.program(&["run"]), &scene.folder.join("run.log"))?;
    let seen = sink.wait_for(1, PATIENCE)?;
    worker.stop()?;
    Ok(float(seen.first_ns - began) / 1e6)
}

/// Most memory of a worker that has sent at full speed for a while.
fn memory(scene: &Scene) -> Result<Samples> {
    let mut sink = Sink::start(0, None)?;
    scene.point_at(sink.port)?;
    let worker = Background::start(&mut scene.program(&["run"]), &scene.folder.join("run.log"))?;
    sink.wait_for(1, PATIENCE)?;
    std::thread::sleep(SENDING);
    let peak = worker.peak_memory()?;
    worker.stop()?;
    Ok(Samples(vec![peak]))
}
