//! Owns the first part: how fast a stored queue leaves, beside what else sends mail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::children::{self, Cost, Seen, Sink};
use crate::postfix::Postfix;
use crate::scene::{Scene, addresses};
use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float};

/// Connections that every contestant has.
pub(crate) const CONNECTIONS: u32 = 20;
const SIZE: &str = "5120";
const PATIENCE: Duration = Duration::from_secs(900);
/// Milliseconds added to each round trip of the far relay.
const FAR: u64 = 20;

/// What a contestant did, round by round.
#[derive(Default)]
struct Lane {
    rate: Samples,
    cpu: Samples,
    octets: Samples,
}

impl Lane {
    fn add(&mut self, seen: &Seen, cpu: f64) {
        self.rate.push(seen.rate());
        self.cpu.push(cpu * 1e6 / float(seen.messages));
        self.octets.push(float(seen.octets) / float(seen.messages));
    }

    fn figure(&self, report: &mut Report, what: &str, n: u64) {
        let (rate, cpu, octets) = (self.rate.show(), self.cpu.show(), self.octets.median());
        let n = crate::table::number(float(n));
        report.figure(what, format!("{rate} messages/s, {cpu} µs CPU each; {n} of {octets:.0} octets"));
    }
}

/// The counts.
struct Counts {
    all: u64,
    peers: u64,
    far: u64,
    far_peer: u64,
}

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    let counts = if rounds.quick {
        Counts { all: 20_000, peers: 2_000, far: 2_000, far_peer: 400 }
    } else {
        Counts { all: 200_000, peers: 20_000, far: 20_000, far_peer: 2_000 }
    };
    let [mut ours, mut source, mut postfix, mut nodemailer, mut far, mut lettre]: [Lane; 6] = Default::default();
    for round in 0..rounds.n {
        say(&format!("drain, round {}: Hikagen", round + 1));
        let (seen, cost) = drain(rounds, counts.all, 0)?;
        ours.add(&seen, cost.cpu);
        say("smtp-source");
        let (seen, cost) = direct(|port| smtp_source(port, counts.all), counts.all, 0)?;
        source.add(&seen, cost.cpu);
        say("Postfix");
        let (seen, cpu) = relayed(&rounds.folder.join("postfix"), counts.peers)?;
        postfix.add(&seen, cpu);
        say("nodemailer");
        let (seen, cost) = direct(|port| node(&rounds.nodemailer, port, counts.peers), counts.peers, 0)?;
        nodemailer.add(&seen, cost.cpu);
        say("Hikagen, 20 ms away");
        let (seen, cost) = drain(rounds, counts.far, FAR)?;
        far.add(&seen, cost.cpu);
        say("lettre, 20 ms away");
        let (seen, cost) = direct(|port| pool(port, counts.far_peer), counts.far_peer, FAR)?;
        lettre.add(&seen, cost.cpu);
    }
    let ratio = ours.rate.over(&source.rate);
    report.goal(
        "draining, of the rate of `smtp-source`, sessions kept open (goal 0.5)",
        &ratio,
        Bar::AtLeast(0.35),
        "",
    );
    report.goal("draining, times Postfix relaying", &ours.rate.over(&postfix.rate), Bar::AtLeast(10.0), "");
    report.goal("draining, times nodemailer's pool", &ours.rate.over(&nodemailer.rate), Bar::AtLeast(5.0), "");
    let ratio = far.rate.over(&lettre.rate);
    report.goal("draining over 20 ms of added round trip, times lettre's pool", &ratio, Bar::AtLeast(3.0), "");
    ours.figure(report, "Hikagen drains", counts.all);
    source.figure(report, "smtp-source sends", counts.all);
    postfix.figure(report, "Postfix relays", counts.peers);
    nodemailer.figure(report, "nodemailer sends", counts.peers);
    far.figure(report, "Hikagen drains, 20 ms away", counts.far);
    lettre.figure(report, "lettre's pool sends, 20 ms away", counts.far_peer);
    Ok(())
}

/// A queue of `n` goes into the store, unmeasured, then leaves.
fn drain(rounds: &Rounds, n: u64, delay: u64) -> Result<(Seen, Cost)> {
    let folder = rounds.folder.join("drain");
    let scene = Scene::new(&folder, &rounds.program)?;
    scene.campaign("spring", addresses(n))?;
    children::run(&mut scene.program(&["submit", "spring.yaml"]))?;
    let sink = Sink::start(delay, None)?;
    scene.point_at(sink.port)?;
    let cost = children::run(&mut scene.program(&["run", "--until-idle"]))?;
    let seen = sink.stop()?;
    ensure!(seen.messages == n, "{} of {n} messages came", seen.messages);
    std::fs::remove_dir_all(folder)?;
    Ok((seen, cost))
}

/// A contestant that sends to the sink by itself.
fn direct(command: impl FnOnce(u16) -> Result<Command>, n: u64, delay: u64) -> Result<(Seen, Cost)> {
    let sink = Sink::start(delay, None)?;
    let cost = children::run(&mut command(sink.port)?)?;
    let seen = sink.stop()?;
    ensure!(seen.messages == n, "{} of {n} messages came", seen.messages);
    Ok((seen, cost))
}

/// Postfix takes the mail from `smtp-source` and relays it; measured at the sink.
fn relayed(folder: &Path, n: u64) -> Result<(Seen, f64)> {
    let mut sink = Sink::start(0, None)?;
    let postfix = Postfix::start(folder, sink.port)?;
    let before = postfix.cpu()?;
    children::run(&mut smtp_source(postfix.port, n)?)?;
    let seen = sink.wait_for(n, PATIENCE)?;
    let cpu = postfix.cpu()? - before;
    drop(postfix);
    sink.stop()?;
    std::fs::remove_dir_all(folder)?;
    Ok((seen, cpu))
}

fn smtp_source(port: u16, n: u64) -> Result<Command> {
    let mut command = Command::new("smtp-source");
    command.args(["-s", &CONNECTIONS.to_string(), "-l", SIZE, "-m", &n.to_string(), "-d", "-N"]);
    command.args(["-f", "news@m.example.jp", "-t", "user@example.jp", "-M", "load.example"]);
    command.arg(format!("127.0.0.1:{port}"));
    Ok(command)
}

fn node(script: &PathBuf, port: u16, n: u64) -> Result<Command> {
    let mut command = Command::new("node");
    // Where Debian keeps its packages; a Node from elsewhere does not look there.
    command.env("NODE_PATH", "/usr/share/nodejs").arg(script);
    command.args([port.to_string(), n.to_string(), CONNECTIONS.to_string()]);
    Ok(command)
}

fn pool(port: u16, n: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("lettre-pool").args(["--port", &port.to_string()]);
    command.args(["--connections", &CONNECTIONS.to_string(), "--messages", &n.to_string()]);
    Ok(command)
}
