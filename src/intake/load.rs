//! Owns the second pass: the rows that the survey took go into the store, in batches of about 20 ms.
//!
//! Invariants: running it again adds nothing twice (the store knows every key); while a worker lives it gives away twice
//! the time that it takes; the campaign begins only when its whole list is in. Without a worker the next batch is read while the store
//! takes this one. Within a batch the higher scores go in first, so that a deep queue is claimed from few pages.

use std::cmp::Reverse;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::clean::{clean, columns_json};
use super::rows::List;
use super::survey::Survey;
use super::{Progress, Refused};
use crate::clock::Clock;
use crate::core::campaign::CampaignId;
use crate::core::plan::Groups;
use crate::store::step::Step;
use crate::store::{Enqueued, NewMessage, Store, StoreError};

/// So many times as long as a batch took, the store is left to a living worker.
const YIELD: u32 = 2;
/// Rows of the first batch, and of any.
const BATCH_FIRST: u32 = 2_000;
const BATCH: RangeInclusive<u32> = 100..=20_000;
/// Batches between two looks for a living worker.
const LOOK: u64 = 25;

/// Where the rows go.
pub(super) struct Target {
    pub(super) campaign: CampaignId,
    pub(super) load: i64,
    pub(super) prune: bool,
}

/// Loads what the survey took; how many messages became what, and how many were pruned.
///
/// # Errors
/// The list changed since the survey, or the store refused; what is loaded stays, and the same submission goes on from there.
pub(super) async fn load(
    list: &List,
    survey: &Survey,
    groups: &Groups,
    target: &Target,
    store: &dyn Store,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Enqueued, u64), Refused> {
    let changed =
        || Refused::Problems(vec!["the list was changed while it was read; submit again to go on".to_owned()]);
    if !list.is_unchanged() {
        return Err(changed());
    }
    let mut loader = Loader {
        target,
        store,
        clock,
        step: Step::new(BATCH_FIRST, BATCH),
        batches: 0,
        worker_lives: false,
        flight: None,
        done: Enqueued::default(),
    };
    let mut rows = list.rows().map_err(|e| Refused::Problems(vec![e]))?;
    // In front of the list: the first in their lines.
    let mut batch: Vec<NewMessage> = survey.seeds.messages().into_iter().map(|(_, message)| message).collect();
    let (mut at, mut taken) = (0_u64, 0_u64);
    while let Some((_, record)) = rows.next_row().map_err(|e| Refused::Problems(vec![e]))? {
        at += 1;
        if !survey.taken.contains(at - 1) {
            continue;
        }
        let Some(Ok(row)) = clean(record, &list.header, groups) else { return Err(changed()) };
        taken += 1;
        batch.push(NewMessage {
            address: row.address.to_string(),
            key: row.address.key(),
            bucket: row.group.bucket.clone(),
            score: row.score,
            columns: columns_json(record, &list.header, &row.address),
            refused: row.dead,
        });
        if batch.len() >= loader.step.size() as usize {
            loader.enqueue(std::mem::take(&mut batch)).await?;
            progress(Progress::Loading { rows: taken, of: survey.recipients });
        }
    }
    if taken != survey.recipients || !list.is_unchanged() {
        return Err(changed());
    }
    if !batch.is_empty() {
        loader.enqueue(batch).await?;
    }
    loader.land().await?;
    progress(Progress::Loading { rows: taken, of: survey.recipients });
    let pruned = store.finish_intake(target.campaign, target.load, target.prune, clock.now()).await?;
    Ok((loader.done, pruned))
}

struct Loader<'a> {
    target: &'a Target,
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    step: Step,
    batches: u64,
    worker_lives: bool,
    /// The batch that the store is taking.
    flight: Option<Flight<'a>>,
    done: Enqueued,
}

/// A batch on its way into the store.
struct Flight<'a> {
    rows: usize,
    began: Duration,
    enqueue: Pin<Box<dyn Future<Output = Result<Enqueued, StoreError>> + Send + 'a>>,
    answer: Option<Result<Enqueued, StoreError>>,
}

impl Loader<'_> {
    async fn enqueue(&mut self, mut batch: Vec<NewMessage>) -> Result<(), StoreError> {
        // A claim takes the highest scores first and reads every page that they are spread over: what leaves together is put
        // in together. Equal scores stay in the order of the list.
        batch.sort_by_key(|message| Reverse(message.score));
        self.land().await?;
        if self.batches.is_multiple_of(LOOK) {
            self.worker_lives = self.store.owners().await?.iter().any(|owner| owner.alive);
        }
        self.batches += 1;
        let (rows, began, target) = (batch.len(), self.clock.elapsed(), self.target);
        let mut enqueue = self.store.enqueue(target.campaign, batch, target.load, target.prune, self.clock.now());
        let mut answer = None;
        // One look sets it off.
        poll_fn(|context| {
            if let Poll::Ready(done) = enqueue.as_mut().poll(context) {
                answer = Some(done);
            }
            Poll::Ready(())
        })
        .await;
        self.flight = Some(Flight { rows, began, enqueue, answer });
        if self.worker_lives { self.land().await } else { Ok(()) }
    }

    /// Waits for the batch that the store is taking.
    async fn land(&mut self) -> Result<(), StoreError> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let done = match flight.answer {
            Some(done) => done?,
            None => flight.enqueue.await?,
        };
        let took = self.clock.elapsed().saturating_sub(flight.began);
        self.done.added += done.added;
        self.done.updated += done.updated;
        self.done.known += done.known;
        self.done.suppressed += done.suppressed;
        self.step.took(flight.rows as u64, took);
        if self.worker_lives {
            self.clock.sleep(took * YIELD).await;
        }
        Ok(())
    }
}
