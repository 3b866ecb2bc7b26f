//! Owns processes: how a contestant is started, watched and charged for its CPU time.
//!
//! Invariant: a child that is dropped is ended and waited for, also when a benchmark fails half-way.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Ticks in a second of /proc: fixed on Linux, whatever the kernel's own timer.
const TICKS: f64 = 100.0;

/// Nanoseconds of the monotonic clock, which all processes share.
pub(crate) fn now_ns() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The numbers of /proc/PID/stat behind the name, which may hold blanks.
fn stat(pid: &str) -> Result<Vec<f64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, numbers) = text.rsplit_once(") ").context("/proc/PID/stat has no name")?;
    Ok(numbers.split_ascii_whitespace().map(|n| n.parse().unwrap_or(0.0)).collect())
}

/// CPU seconds of all children that were waited for.
fn reaped_cpu() -> Result<f64> {
    let stat = stat("self")?;
    Ok((stat[13] + stat[14]) / TICKS)
}

/// CPU seconds of a process with all its descendants, the dead ones that were waited for included.
pub(crate) fn tree_cpu(root: u32) -> Result<f64> {
    let mut seen: Vec<(u32, u32, f64)> = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        // One that ends meanwhile is counted by its parent.
        if let (Ok(stat), Ok(text)) = (stat(&pid.to_string()), fs::read_to_string(format!("/proc/{pid}/stat"))) {
            let parent = text.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            seen.push((pid, parent.unwrap_or(0), (stat[11] + stat[12] + stat[13] + stat[14]) / TICKS));
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() {
        let of = family[at];
        family.extend(seen.iter().filter(|(_, parent, _)| *parent == of).map(|(pid, ..)| *pid));
        at += 1;
    }
    Ok(seen.iter().filter(|(pid, ..)| family.contains(pid)).map(|(.., cpu)| cpu).sum())
}

/// What a contestant took.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// CPU seconds, user and system.
    pub(crate) cpu: f64,
    /// What it printed.
    pub(crate) said: String,
}

/// Runs a contestant to its end. Nothing else may be waited for meanwhile.
pub(crate) fn run(command: &mut Command) -> Result<Cost> {
    let before = reaped_cpu()?;
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} cannot be started"))?;
    let wall = began.elapsed();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?} failed ({}):\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(Cost { wall, cpu: reaped_cpu()? - before, said })
}

/// A process in the background.
pub(crate) struct Background(Child);

impl Background {
    /// Starts it, its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        Ok(Self(child.with_context(|| format!("{command:?} cannot be started"))?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs still.
    pub(crate) fn lives(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Most memory that it ever held, MB of 1,000,000 octets.
    pub(crate) fn peak_memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? * 1_024.0 / 1e6)
    }

    /// Asks it to end (SIGTERM) and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.ask();
        let status = self.0.wait()?;
        ensure!(status.success(), "a process in the background ended with {status}");
        Ok(())
    }

    fn ask(&self) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // One that has just ended cannot be asked.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.0.try_wait().ok().flatten().is_none() {
            self.ask();
            let _ = self.0.wait();
        }
    }
}

/// What the sink has taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) messages: u64,
    pub(crate) octets: u64,
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// Most of them at once.
    pub(crate) most_live: u64,
    /// When the first and the last message came, monotonic nanoseconds; 0: none.
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
}

impl Seen {
    /// Messages in a second, from the first to the last.
    pub(crate) fn rate(&self) -> f64 {
        let span = crate::table::float(self.last_ns - self.first_ns) / 1e9;
        if span > 0.0 { crate::table::float(self.messages.saturating_sub(1)) / span } else { 0.0 }
    }
}

/// A sink in a process of its own.
pub(crate) struct Sink {
    child: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
}

impl Sink {
    /// Starts one that answers `delay` milliseconds late and, with `log`, writes down each message.
    pub(crate) fn start(delay: u64, log: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("sink").arg("--delay").arg(delay.to_string());
        if let Some(log) = log {
            command.arg("--log").arg(log);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let words = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().context("the sink has no output")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the sink said {line:?}"))?;
        Ok(Self { child, words, answers, port })
    }

    /// What it has taken so far.
    pub(crate) fn count(&mut self) -> Result<Seen> {
        self.words.as_mut().context("the sink has been stopped")?.write_all(b"count\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Waits until it has taken `n` messages.
    pub(crate) fn wait_for(&mut self, n: u64, patience: Duration) -> Result<Seen> {
        let began = Instant::now();
        loop {
            let seen = self.count()?;
            if seen.messages >= n {
                return Ok(seen);
            }
            ensure!(began.elapsed() < patience, "the sink took {} of {n} messages in {patience:?}", seen.messages);
            std::thread::sleep(Duration::from_millis(if n == 1 { 2 } else { 50 }));
        }
    }

    /// Ends it; its log is complete then.
    pub(crate) fn stop(mut self) -> Result<Seen> {
        self.words.take();
        let mut text = String::new();
        self.answers.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the sink ended with {status}");
        Ok(serde_json::from_str(text.trim())?)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.words.take();
        let _ = self.child.wait();
    }
}
