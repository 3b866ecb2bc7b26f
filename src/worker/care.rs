//! Owns the care of the store beside the sending: what is over is folded, free room given back, the file looked at once a day.
//!
//! Invariants: each step is bounded in time and a longer rest follows it, so that claims and settles find the writer free;
//! nothing is folded by a clock that jumped; what fails is said and tried again later, and never holds up mail.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Shared;
use super::events::{EventKind, Subject};
use crate::config::Config;
use crate::core::moment::{ClockWatch, Trust};
use crate::store::step::Step;
use crate::store::{FoldOrder, Folded, Space, StoreError};

/// From the start of a worker to its first look: a start has better things to do.
const FIRST: Duration = Duration::from_secs(600);
/// Between two looks for something to fold.
const LOOK: Duration = Duration::from_secs(3_600);
/// Between two checks of the file.
const CHECK: Duration = Duration::from_secs(24 * 3_600);
/// Rows (messages and attempts) that the first step folds, and any.
const FOLD_FIRST: u32 = 500;
const FOLD: RangeInclusive<u32> = 10..=5_000;
/// Pages that the first step gives back, and any.
const SHRINK_FIRST: u32 = 250;
const SHRINK: RangeInclusive<u32> = 10..=2_500;
/// The writer is left alone so many times as long as a step took, and at least for a poll.
const REST: u32 = 4;
/// Free room that is kept: new lists are written into it.
const KEEP_FREE: u64 = 16 * 1024 * 1024;

/// Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, config: watch::Receiver<Arc<Config>>) {
    let clock = shared.parts.clock.clone();
    let mut check_at = clock.elapsed() + FIRST;
    let mut watch = ClockWatch::default();
    watch.observe(shared.moments.now());
    clock.sleep(FIRST).await;
    loop {
        match watch.observe(shared.moments.now()) {
            Trust::Yes(_) => fold(&shared, &config).await,
            // What is folded is gone: a clock set a year ahead must not decide it.
            Trust::No { .. } => {
                tracing::warn!("the time of day jumped since the last look: nothing is folded for an hour");
            }
        }
        if clock.elapsed() >= check_at {
            check(&shared).await;
            check_at = clock.elapsed() + CHECK;
        }
        clock.sleep(LOOK).await;
    }
}

/// Folds all that is over for longer than it is kept, then gives room back.
async fn fold(shared: &Shared, config: &watch::Receiver<Arc<Config>>) {
    let mut sum = 0;
    let done = match fold_all(shared, config, &mut sum).await {
        Ok(()) => shrink_all(shared).await,
        Err(error) => Err(error),
    };
    if sum > 0 {
        tracing::info!("{sum} messages of campaigns that ended long ago were folded into counts (`retention`)");
    }
    if let Err(error) = done {
        tracing::warn!(%error, "old messages cannot be folded; tried again in an hour");
    }
}

/// Adds to `sum` what was folded.
async fn fold_all(shared: &Shared, config: &watch::Receiver<Arc<Config>>, sum: &mut u64) -> Result<(), StoreError> {
    let mut step = Step::new(FOLD_FIRST, FOLD);
    loop {
        let began = shared.parts.clock.elapsed();
        let folded = fold_step(shared, config, step.size()).await?;
        if !folded.more {
            return Ok(());
        }
        *sum += folded.messages;
        rest(shared, &mut step, folded.messages + folded.attempts, began).await;
    }
}

async fn shrink_all(shared: &Shared) -> Result<(), StoreError> {
    let mut step = Step::new(SHRINK_FIRST, SHRINK);
    loop {
        let began = shared.parts.clock.elapsed();
        if !shrink_step(shared, step.size()).await? {
            return Ok(());
        }
        let pages = step.size().into();
        rest(shared, &mut step, pages, began).await;
    }
}

/// After a step that took `n` since `began`: measures the next, and leaves the writer to claims and settles.
async fn rest(shared: &Shared, step: &mut Step, n: u64, began: Duration) {
    let (clock, poll) = (&shared.parts.clock, shared.parts.pacing.poll);
    let took = clock.elapsed().saturating_sub(began);
    step.took(n, took);
    clock.sleep(poll.max(took * REST)).await;
}

/// Folds a little; without `more` there is nothing to fold.
async fn fold_step(shared: &Shared, config: &watch::Receiver<Arc<Config>>, limit: u32) -> Result<Folded, StoreError> {
    let config = config.borrow().clone();
    let Some(keep) = config.worker.retention else { return Ok(Folded::default()) };
    let Ok(before) = shared.parts.clock.now().checked_sub(keep) else { return Ok(Folded::default()) };
    shared.parts.store.fold(FoldOrder { before, limit, zone: config.timezone.clone() }).await
}

/// Whether there is more to give back.
async fn shrink_step(shared: &Shared, pages: u32) -> Result<bool, StoreError> {
    let store = &shared.parts.store;
    if !has_too_much(store.space().await?) {
        return Ok(false);
    }
    Ok(has_too_much(store.shrink(pages).await?))
}

/// A quarter of the file may be free before giving back is worth the writing.
fn has_too_much(space: Space) -> bool {
    space.shrinks && space.free > KEEP_FREE.max(space.bytes / 4)
}

/// Looks at the structure of the file. Damage is told; what is sent from it is for the operator to decide.
async fn check(shared: &Shared) {
    let began = shared.parts.clock.elapsed();
    let problems = match shared.parts.store.quick_check().await {
        Ok(problems) => problems,
        Err(StoreError::Unavailable(why)) => {
            tracing::warn!("the store could not be looked at: {why}");
            return;
        }
        Err(error) => vec![error.to_string()],
    };
    let Some(first) = problems.first() else {
        let took = shared.parts.clock.elapsed().saturating_sub(began);
        tracing::info!("the structure of the store was looked at ({took:?}): nothing is wrong");
        return;
    };
    problems.iter().for_each(|problem| tracing::error!("the store: {problem}"));
    let text = format!(
        "{} found in the store, the first: {first}; stop the worker and restore a backup (`hikagen store check` looks at all)",
        match problems.len() {
            1 => "1 problem was".to_owned(),
            n => format!("{n} problems were"),
        }
    );
    shared.tell(EventKind::StoreDamaged, Subject::Worker, text).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    use jiff::SignedDuration;

    use super::*;
    use crate::clock::{Clock, PacedClock, SharedClock};
    use crate::config::config_file;
    use crate::core::campaign::{CampaignState, Class};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{NewCampaign, NewMessage, Revision, Store};
    use crate::worker::events::EventRunner;
    use crate::worker::{Pacing, Parts, moments};

    fn shared(store: Arc<dyn Store>) -> Arc<Shared> {
        shared_with(store, Arc::new(PacedClock::new("2026-11-24T00:00:00Z".parse().unwrap(), 1.0)))
    }

    fn shared_with(store: Arc<dyn Store>, clock: SharedClock) -> Arc<Shared> {
        let parts = Parts {
            store,
            clock: clock.clone(),
            relays: Arc::new(|_| Err(String::new())),
            composers: Arc::new(|_| Err(String::new())),
            owner: "test".to_owned(),
            disk: None,
            pacing: Pacing::default(),
        };
        Arc::new(Shared {
            moments: moments::Moments::new(clock, Duration::from_millis(50)),
            parts,
            composers: Mutex::new(HashMap::new()),
            events: Mutex::new(EventRunner::new(None)),
            disk_low: AtomicBool::new(false),
            next_due: AtomicU64::new(0),
            only: None,
        })
    }

    fn config(retention: &str) -> watch::Receiver<Arc<Config>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hikagen.yaml");
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hikagen.yaml")).unwrap();
        std::fs::write(&path, text.replace("plan: plan.yaml", "plan: steady") + &format!("retention: {retention}\n"))
            .unwrap();
        let config = config_file::load(&path).value.unwrap();
        // The sender may go: what it said last stays.
        watch::Sender::new(Arc::new(config)).subscribe()
    }

    /// A campaign of `n` that was cancelled at once.
    async fn over(shared: &Shared, name: &str, n: usize) {
        let (store, now) = (&shared.parts.store, shared.parts.clock.now());
        let revision = Revision {
            content: "{}".to_owned(),
            start: now,
            finish_by: None,
            not_after: None,
            class: Class::Bulk,
            weight: 1,
            digest: String::new(),
        };
        let pool = "news".parse().unwrap();
        let new = NewCampaign { name: name.parse().unwrap(), pool, from: "news@m.example.jp".to_owned(), revision };
        let id = store.create_campaign(new, now).await.unwrap();
        let row = |i: usize| NewMessage {
            address: format!("u{i}@example.jp"),
            key: format!("u{i}@example.jp"),
            bucket: "default".parse().unwrap(),
            score: 0,
            columns: "{}".to_owned(),
            refused: None,
        };
        store.enqueue(id, (0..n).map(row).collect(), 0, false, now).await.unwrap();
        store.order_campaign(&name.parse().unwrap(), CampaignState::Cancelled, "", now).await.unwrap();
        store.sweep(now, 10_000).await.unwrap();
    }

    async fn folded(shared: &Shared) -> u64 {
        shared.parts.store.folded(None).await.unwrap().iter().map(|row| row.n).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_folded_after_its_time_and_not_before() {
        let shared = shared(Arc::new(SqliteStore::in_memory()));
        over(&shared, "spring", 1_000).await;
        over(&shared, "summer", 1).await;
        let clock = shared.parts.clock.clone();
        let task = tokio::spawn(run(shared.clone(), config("2d")));
        clock.sleep(Duration::from_secs(2 * 86_400 - 60)).await;
        assert_eq!(folded(&shared).await, 0);
        clock.sleep(Duration::from_secs(2 * 3_600)).await;
        assert_eq!(folded(&shared).await, 1_000, "the newest message stays");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn forever_is_for_ever() {
        let shared = shared(Arc::new(SqliteStore::in_memory()));
        over(&shared, "spring", 10).await;
        over(&shared, "summer", 1).await;
        let clock = shared.parts.clock.clone();
        let task = tokio::spawn(run(shared.clone(), config("forever")));
        clock.sleep(Duration::from_secs(120 * 86_400)).await;
        assert_eq!(folded(&shared).await, 0);
        task.abort();
    }

    /// A machine whose time of day somebody sets, and on which each look at the clock takes a while.
    #[derive(Debug)]
    struct Troubled {
        clock: PacedClock,
        ahead: Mutex<SignedDuration>,
        slow: Duration,
        late: Mutex<Duration>,
        rests: Mutex<Vec<Duration>>,
    }

    impl Troubled {
        fn new(slow: Duration) -> Arc<Self> {
            let clock = PacedClock::new("2026-11-24T00:00:00Z".parse().unwrap(), 1.0);
            Arc::new(Self { clock, ahead: Mutex::default(), slow, late: Mutex::default(), rests: Mutex::default() })
        }
    }

    #[async_trait::async_trait]
    impl Clock for Troubled {
        fn now(&self) -> jiff::Timestamp {
            self.clock.now().checked_add(*self.ahead.lock().unwrap()).unwrap()
        }

        fn elapsed(&self) -> Duration {
            let mut late = self.late.lock().unwrap();
            *late += self.slow;
            self.clock.elapsed() + *late
        }

        async fn sleep(&self, span: Duration) {
            self.rests.lock().unwrap().push(span);
            self.clock.sleep(span).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_slow_disk_steps_are_small_and_rests_are_long() {
        let clock = Troubled::new(Duration::from_millis(100));
        let shared = shared_with(Arc::new(SqliteStore::in_memory()), clock.clone());
        over(&shared, "spring", 1_000).await;
        over(&shared, "summer", 1).await;
        clock.sleep(Duration::from_secs(2 * 86_400)).await;
        clock.rests.lock().unwrap().clear();
        fold(&shared, &config("1d")).await;
        assert_eq!(folded(&shared).await, 1_000);
        // 500 rows, a fifth of that, a fifth again, then ten at a time at least.
        let rests = clock.rests.lock().unwrap();
        assert!(rests.len() > 30, "{} steps", rests.len());
        assert!(rests.iter().all(|rest| *rest >= Duration::from_millis(400)), "{rests:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumped_folds_nothing_until_it_has_run_on_for_an_hour() {
        let clock = Troubled::new(Duration::ZERO);
        let shared = shared_with(Arc::new(SqliteStore::in_memory()), clock.clone());
        over(&shared, "spring", 100).await;
        over(&shared, "summer", 1).await;
        let task = tokio::spawn(run(shared.clone(), config("90d")));
        clock.sleep(Duration::from_secs(300)).await;
        *clock.ahead.lock().unwrap() = SignedDuration::from_hours(24 * 365);
        clock.sleep(Duration::from_secs(1_800)).await;
        assert_eq!(folded(&shared).await, 0, "a year has not passed");
        *clock.ahead.lock().unwrap() = SignedDuration::ZERO;
        clock.sleep(Duration::from_secs(7_200)).await;
        assert_eq!(folded(&shared).await, 0, "it was set right again");
        *clock.ahead.lock().unwrap() = SignedDuration::from_hours(24 * 365);
        clock.sleep(Duration::from_secs(7_300)).await;
        assert_eq!(folded(&shared).await, 100, "nothing says that it is wrong");
        task.abort();
    }

    #[test]
    fn a_file_that_is_a_quarter_free_gives_room_back() {
        let mb = 1_u64 << 20;
        let too_much = |bytes, free, shrinks| has_too_much(Space { bytes: bytes * mb, free: free * mb, shrinks });
        assert!(too_much(100, 26, true));
        assert!(!too_much(100, 25, true) && !too_much(20, 16, true) && !too_much(100, 90, false));
    }

    #[tokio::test]
    async fn damage_is_told_and_soundness_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hikagen.db");
        let kinds = async |shared: &Shared| -> Vec<String> {
            shared.parts.store.events(10).await.unwrap().into_iter().map(|event| event.kind).collect()
        };
        let sound = shared(Arc::new(SqliteStore::open(&path).unwrap()));
        over(&sound, "spring", 2_000).await;
        check(&sound).await;
        assert_eq!(kinds(&sound).await, Vec::<String>::new());
        drop(sound);
        let conn = rusqlite::Connection::open(&path).unwrap();
        let root: u32 = conn
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'message_key'", [], |row| row.get(0))
            .unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(conn);
        let mut bytes = std::fs::read(&path).unwrap();
        let page = (usize::try_from(root).unwrap() - 1) * 4_096;
        bytes[page + 12..page + 20].reverse();
        std::fs::write(&path, bytes).unwrap();
        let damaged = shared(Arc::new(SqliteStore::open(&path).unwrap()));
        check(&damaged).await;
        assert_eq!(kinds(&damaged).await, ["store-damaged"]);
        let said = &damaged.parts.store.events(1).await.unwrap()[0].text;
        assert!(said.contains("restore a backup") && said.contains("hikagen store check"), "{said}");
    }
}
