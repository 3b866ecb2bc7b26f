//! Owns what the worker tells the world: the kinds of event, the `on_event` program, the space left on the disk.
//!
//! Invariants: telling never makes the worker wait: programs run beside it, few at a time, each for a bounded time, and a
//! program that fails is a line in the log. Every event is a row in the store too; that is the worker's part.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::core::names::{CampaignName, LaneKey, RelayName};
use crate::program::Running;
use crate::store::EventRow;

/// Programs that run at once.
const AT_ONCE: usize = 4;
/// Events that may wait for a program; further ones reach the store and the log only.
const WAITING_MOST: usize = 256;
/// Longest time that a program may run (real time: it is somebody else's program).
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Nothing leaves a lane any more.
    LanePaused,
    /// A lane may send again.
    LaneResumed,
    /// Nothing leaves a relay any more.
    RelayPaused,
    /// A relay may send again.
    RelayResumed,
    /// A relay did not take the login.
    RelayRefusedLogin,
    /// A relay cannot be reached or does not answer.
    RelayDown,
    /// The disk of the store has less room than the floor.
    DiskLow,
    /// The store cannot be written.
    StoreUnavailable,
    /// The file of the store is damaged.
    StoreDamaged,
    /// The clock jumped.
    ClockJumped,
    /// A campaign was paused by a reply that blames the sender's set-up.
    CampaignStopped,
    /// Every message of a campaign is in a final state.
    CampaignEnded,
    /// Changed files were put in force.
    Reloaded,
    /// Changed files were refused; the old ones stay in force.
    ReloadRefused,
    /// After a crash the fate of messages that were in the air is unknown.
    Uncertain,
    /// A plan day began or was judged.
    PlanDay,
    /// Somebody left a list, or complained.
    Left,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::LanePaused,
        Self::LaneResumed,
        Self::RelayPaused,
        Self::RelayResumed,
        Self::RelayRefusedLogin,
        Self::RelayDown,
        Self::DiskLow,
        Self::StoreUnavailable,
        Self::StoreDamaged,
        Self::ClockJumped,
        Self::CampaignStopped,
        Self::CampaignEnded,
        Self::Reloaded,
        Self::ReloadRefused,
        Self::Uncertain,
        Self::PlanDay,
        Self::Left,
    ];

    /// The word used in the store, in JSON and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LanePaused => "lane-paused",
            Self::LaneResumed => "lane-resumed",
            Self::RelayPaused => "relay-paused",
            Self::RelayResumed => "relay-resumed",
            Self::RelayRefusedLogin => "relay-refused-login",
            Self::RelayDown => "relay-down",
            Self::DiskLow => "disk-low",
            Self::StoreUnavailable => "store-unavailable",
            Self::StoreDamaged => "store-damaged",
            Self::ClockJumped => "clock-jumped",
            Self::CampaignStopped => "campaign-stopped",
            Self::CampaignEnded => "campaign-ended",
            Self::Reloaded => "reloaded",
            Self::ReloadRefused => "reload-refused",
            Self::Uncertain => "uncertain",
            Self::PlanDay => "plan-day",
            Self::Left => "left",
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The worker as a whole.
    Worker,
    /// A relay.
    Relay(RelayName),
    /// A lane.
    Lane(LaneKey),
    /// A campaign.
    Campaign(CampaignName),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker => f.write_str("worker"),
            Self::Relay(relay) => write!(f, "{relay}"),
            Self::Lane(lane) => write!(f, "{lane}"),
            Self::Campaign(campaign) => write!(f, "{campaign}"),
        }
    }
}

/// Something an operator should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// To what.
    pub subject: Subject,
    /// In words.
    pub text: String,
    /// Who left; for the operator's program alone, never stored with the event.
    pub address: Option<String>,
}

impl Event {
    /// The row that the store keeps.
    #[must_use]
    pub fn row(&self) -> EventRow {
        EventRow {
            at: self.at,
            kind: self.kind.as_str().to_owned(),
            subject: self.subject.to_string(),
            text: self.text.clone(),
        }
    }

    /// What the program reads on its standard input: one object, one line. `relay`, `lane` and `campaign` are null where the
    /// event is not about one; a lane's event names its relay too.
    #[must_use]
    pub fn json(&self) -> String {
        let (relay, lane, campaign) = match &self.subject {
            Subject::Worker => (None, None, None),
            Subject::Relay(relay) => (Some(relay.to_string()), None, None),
            Subject::Lane(lane) => (Some(lane.relay.to_string()), Some(lane.to_string()), None),
            Subject::Campaign(campaign) => (None, None, Some(campaign.to_string())),
        };
        let object = json!({
            "kind": self.kind.as_str(),
            "at": self.at.to_string(),
            "subject": self.subject.to_string(),
            "text": self.text,
            "relay": relay,
            "lane": lane,
            "campaign": campaign,
            "address": self.address,
        });
        format!("{object}\n")
    }
}

/// Tells the operator's program, when there is one.
#[derive(Debug, Clone)]
pub struct EventRunner {
    command: Option<Arc<[String]>>,
    limit: Duration,
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl EventRunner {
    /// Will run `command` (program and arguments) for each event; `None` or an empty list: none is run.
    #[must_use]
    pub fn new(command: Option<Vec<String>>) -> Self {
        Self {
            command: command.filter(|words| !words.is_empty()).map(Into::into),
            limit: TIME_LIMIT,
            waiting: Arc::new(Semaphore::new(WAITING_MOST)),
            running: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: TaskTracker::new(),
        }
    }

    /// Tells the program of `event`, beside the caller's work. Must be called on a tokio runtime.
    pub fn tell(&self, event: &Event) {
        let Some(command) = self.command.clone() else { return };
        let kind = event.kind.as_str();
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::warn!(event = kind, "on_event: {WAITING_MOST} events wait already, this one is not told");
            return;
        };
        let (running, limit, text) = (Arc::clone(&self.running), self.limit, event.json());
        self.tasks.spawn(async move {
            let _turn = running.acquire().await;
            match tokio::time::timeout(limit, run(&command, &text)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::warn!(event = kind, program = command[0], "on_event: {why}"),
                Err(_) => {
                    let seconds = limit.as_secs();
                    tracing::warn!(event = kind, program = command[0], "on_event: killed after {seconds} s");
                }
            }
            drop(place);
        });
    }

    /// Waits until every program that was started has ended: at most `TIME_LIMIT` for each turn.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Runs the program once; a dropped future kills it and all that it started.
async fn run(command: &[String], text: &str) -> Result<(), String> {
    let mut program = tokio::process::Command::new(&command[0]);
    program.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::start(&mut program).map_err(|error| format!("cannot be started: {error}"))?;
    let (input, errors) = (running.pipes().stdin.take(), running.pipes().stderr.take());
    if let Some(mut input) = input {
        // A program that does not read what it is told may still do its work.
        let _ = input.write_all(text.as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(mut errors) = errors {
        errors.read_to_end(&mut said).await.map_err(|error| error.to_string())?;
    }
    let status = running.end().await.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().last().unwrap_or_default();
    Err(format!("{status} {}", last.chars().take(200).collect::<String>()))
}

/// Octets that an ordinary user may still write where `path` lies.
///
/// # Errors
/// When the file system cannot be asked.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let fs = rustix::fs::statvfs(path)?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(text: &str) -> Event {
        Event {
            at: "2026-11-24T00:00:00Z".parse().unwrap(),
            kind: EventKind::LanePaused,
            subject: Subject::Lane("tokyo-new/docomo".parse().unwrap()),
            text: text.to_owned(),
            address: None,
        }
    }

    fn shell(script: &str) -> Option<Vec<String>> {
        Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()])
    }

    #[tokio::test]
    async fn the_program_reads_one_json_object_per_event() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let runner = EventRunner::new(shell(&format!("cat >> {}", file.display())));
        runner.tell(&event("block: 5 min"));
        runner.finish().await;
        let told: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(
            told,
            json!({"kind": "lane-paused", "at": "2026-11-24T00:00:00Z", "subject": "tokyo-new/docomo", "text": "block: 5 min",
                   "relay": "tokyo-new", "lane": "tokyo-new/docomo", "campaign": null, "address": null})
        );
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_and_one_that_fails_hurts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 1000", file.display());
        let mut hanging = EventRunner::new(shell(&script));
        hanging.limit = Duration::from_millis(300);
        hanging.tell(&event("x"));
        hanging.finish().await;
        let failing = EventRunner::new(shell("echo no >&2; exit 3"));
        failing.tell(&event("x"));
        failing.finish().await;
        let missing = EventRunner::new(Some(vec!["/nonexistent/program".to_owned()]));
        missing.tell(&event("x"));
        missing.finish().await;
    }

    #[tokio::test]
    async fn a_program_that_is_given_up_ends_with_its_children() {
        crate::program::tests::ends_with_its_children(|words| async move {
            let _ = run(&words, "x").await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_flood_of_events_is_bounded() {
        let runner = EventRunner::new(shell("cat > /dev/null"));
        for _ in 0..WAITING_MOST + 50 {
            runner.tell(&event("x"));
        }
        assert_eq!(runner.tasks.len(), WAITING_MOST);
    }

    #[test]
    fn the_disk_says_how_much_room_is_left() {
        assert!(free_bytes(Path::new(".")).unwrap() > 0);
        assert!(free_bytes(Path::new("/nonexistent/place")).is_err());
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|k| k.as_str()).collect();
        assert_eq!(words.len(), EventKind::ALL.len());
    }
}
