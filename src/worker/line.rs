//! Owns the life of a busy connection: it offers, hands over, asks for the message to send behind, tells what became of each.
//!
//! Invariants: it holds no limit and decides nothing: whether a message may leave is asked of the relay's task just before its
//! envelope is written; what became of a message is told before the next is offered.

use tokio::sync::{mpsc, oneshot};
use tokio::task::Id;

use super::bookkeeping::Taken;
use super::outbox::{Open, Ready};
use crate::core::reply::Delivery;
use crate::relay::Outgoing;
use crate::store::Claim;

/// What comes to a relay's task from beside it, in order.
pub(super) enum Word {
    /// A message of the connection that this task serves has its outcome: always the oldest that has none.
    Delivered(Id, Delivery),
    /// Its message is about to be written: which one's envelope may leave behind it?
    Asks(Id, oneshot::Sender<Option<Outgoing>>),
    /// The store's answer to a claim; what was composed of it follows.
    Claimed(Taken),
    /// Claims that were composed, in order.
    Composed(Vec<Ready>),
    /// Claims that could not be, and why.
    NotComposed(Vec<(Claim, String)>),
}

/// Where words go.
pub(super) type Words = mpsc::UnboundedSender<Word>;

/// Serves a connection from `mail` on, until there is nothing to send behind. Run in a task of its own, whose number names the
/// connection. A relay's task that is gone has no more use for words; its claims are settled by the next owner.
pub(super) async fn serve(mut open: Open, mut mail: Outgoing, words: Words) -> Open {
    let id = tokio::task::id();
    loop {
        if let Some(delivery) = open.connection.offer(&mail).await {
            open.messages += 1;
            drop(words.send(Word::Delivered(id, delivery)));
            return open;
        }
        let next = if open.connection.pipelines() { ask(id, &words).await } else { None };
        let delivery = open.connection.hand_over(&mail, next.as_ref()).await;
        open.messages += 1;
        drop(words.send(Word::Delivered(id, delivery)));
        match next {
            Some(next) => mail = next,
            None => return open,
        }
    }
}

async fn ask(id: Id, words: &Words) -> Option<Outgoing> {
    let (answer, next) = oneshot::channel();
    words.send(Word::Asks(id, answer)).ok()?;
    next.await.ok().flatten()
}
