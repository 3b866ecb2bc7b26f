//! Owns the watching of a relay's log in the systemd journal, through `journalctl`.
//!
//! Invariants: bounded in the length of a line and in what is read before it is handed over (the program waits meanwhile); the
//! program ends with its watcher; one that ends is started again after a growing wait.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};

use super::trouble::Trouble;
use super::{Desk, LOOK, PATIENCE};
use crate::core::names::RelayName;
use crate::feedback::log::{LINE_MOST, Reader};
use crate::program::Running;

/// The program that reads the journal.
pub(super) const PROGRAM: &str = "journalctl";
/// Lines that are handed over together at most.
const LINES: usize = 1_000;
/// Bytes of what the program says when it fails that are told on.
const COMPLAINT: u64 = 500;

/// Follows the journal of `unit` until it is aborted.
pub(super) async fn follow(desk: Desk, relay: RelayName, unit: String, program: PathBuf) {
    let name = format!("the journal of relay {relay}, {unit}");
    let mut trouble = Trouble::new(format!("{name}, cannot be read"));
    let mut watch = Watch {
        unwritten: Trouble::new(format!("how far {name}, was read cannot be written down")),
        cursor: desk.places.journal(&unit),
        reader: Reader::new(desk.zone.clone()),
        written: None,
        desk,
        name,
        unit,
    };
    let mut wait = LOOK;
    loop {
        let began = watch.desk.clock.elapsed();
        let why = watch.run(&program, &mut trouble).await;
        trouble.is(&why);
        let lasted = watch.desk.clock.elapsed().saturating_sub(began);
        wait = if lasted > PATIENCE { LOOK } else { wait };
        watch.desk.clock.sleep(wait).await;
        wait = (wait * 2).min(PATIENCE);
    }
}

struct Watch {
    desk: Desk,
    name: String,
    unit: String,
    reader: Reader,
    /// Behind what was taken.
    cursor: Option<String>,
    /// When the cursor was written down last.
    written: Option<Duration>,
    unwritten: Trouble,
}

/// What is used of a line here.
#[derive(Deserialize)]
struct Cursor {
    #[serde(rename = "__CURSOR")]
    cursor: String,
}

impl Watch {
    /// Runs the program once, and says why it ended.
    async fn run(&mut self, program: &PathBuf, trouble: &mut Trouble) -> String {
        let mut command = Command::new(program);
        command
            .args(["--quiet", "--follow", "--no-tail", "--all", "--output=json"])
            .arg("--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_HOSTNAME")
            .arg(format!("--unit={}", self.unit))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let mut running = match Running::start(&mut command) {
            Ok(running) => running,
            Err(error) => {
                return format!("{}: {error}; name a file instead where there is no journal", program.display());
            }
        };
        let pipes = running.pipes();
        let (Some(out), Some(err)) = (pipes.stdout.take(), pipes.stderr.take()) else {
            return "its output cannot be read".to_owned();
        };
        let complaint = tokio::spawn(complaint(err));
        let mut out = BufReader::with_capacity(LINE_MOST, out);
        let mut line = Vec::new();
        while let Ok(true) = next_line(&mut out, &mut line).await {
            trouble.over("it is read again");
            let mut heard = self.line(&line);
            let mut lines = 1;
            while lines < LINES && memchr::memchr(b'\n', out.buffer()).is_some() {
                match next_line(&mut out, &mut line).await {
                    Ok(true) => heard.extend(self.line(&line)),
                    _ => break,
                }
                lines += 1;
            }
            let some = !heard.is_empty();
            self.desk.hand_over(heard, &self.name).await;
            self.write_down(some).await;
        }
        self.write_down(true).await;
        let status = running.end().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = complaint.await.unwrap_or_default();
        if said.is_empty() {
            format!("{PROGRAM} ended ({status})")
        } else {
            format!("{PROGRAM} ended ({status}): {said}")
        }
    }

    fn line(&mut self, line: &[u8]) -> Vec<crate::core::feedback::Heard> {
        if let Ok(Cursor { cursor }) = serde_json::from_slice(line) {
            self.cursor = Some(cursor);
        }
        self.reader.read(line, self.desk.clock.now())
    }

    /// Writes the cursor down: at once after something was heard, else once in a while.
    async fn write_down(&mut self, at_once: bool) {
        let now = self.desk.clock.elapsed();
        let due = self.written.is_none_or(|before| now.saturating_sub(before) >= LOOK);
        let Some(cursor) = self.cursor.clone().filter(|_| at_once || due) else { return };
        let (places, unit) = (self.desk.places.clone(), self.unit.clone());
        match tokio::task::spawn_blocking(move || places.set_journal(&unit, cursor)).await {
            Ok(Err(error)) => self.unwritten.is(&error.to_string()),
            _ => self.unwritten.over("it is written again"),
        }
        self.written = Some(now);
    }
}

/// The next line without its end, cut at [`LINE_MOST`]; `false`: there is none.
async fn next_line(out: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    loop {
        let bytes = out.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = memchr::memchr(b'\n', bytes);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        line.extend_from_slice(&piece[..piece.len().min(LINE_MOST.saturating_sub(line.len()))]);
        let used = end.map_or(bytes.len(), |end| end + 1);
        out.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The beginning of what the program complains of, all of it read so that the program is not held up.
async fn complaint(mut err: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = (&mut err).take(COMPLAINT).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut err, &mut tokio::io::sink()).await;
    let text = String::from_utf8_lossy(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
