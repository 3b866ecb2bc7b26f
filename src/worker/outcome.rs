//! Owns what becomes of an attempt: from what the relay answered to what the store records.

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{RelaySettings, Uncertain};
use crate::core::lane::Grade;
use crate::core::reply::{Action, Answer, Delivery, Fault, Reading, Reason, Signal, Stage};
use crate::core::retry::{Fate, History, RetryTerms, fate};
use crate::store::{Attempt, Claim, Disposition, Settlement, SuppressionReason};

/// The relay's retry schedule as the core takes it.
pub(crate) fn retry_terms(settings: &RelaySettings) -> RetryTerms {
    RetryTerms {
        after: settings.retry.after.clone(),
        lifetime: settings.retry.lifetime,
        uncertain: settings.retry.uncertain,
        park: settings.uncertain == Uncertain::Park,
    }
}

/// What the store records of an attempt. `same_day`: its plan day is still running, so that quota can be given back; `own`: the
/// relay's answers are its own.
pub(crate) fn settlement(
    claim: &Claim,
    delivery: Delivery,
    reading: &Reading,
    terms: &RetryTerms,
    (released_at, now): (Timestamp, Timestamp),
    (same_day, own): (bool, bool),
) -> Settlement {
    let history =
        History { attempts: claim.attempts, first_attempt: claim.first_attempt, was_uncertain: claim.was_uncertain };
    let disposition = match fate(&delivery, reading, history, terms, now) {
        Fate::Accepted => Disposition::Accepted,
        Fate::Bounced { suppress } => Disposition::Bounced(suppress.then_some(SuppressionReason::Unknown)),
        Fate::Deferred(due) => Disposition::Deferred { due },
        Fate::Uncertain(due) => Disposition::Uncertain { due },
        Fate::Parked => Disposition::Parked,
        Fate::Expired(why) => Disposition::Expired(why),
    };
    let accepted = delivery.is_accepted();
    let refund = same_day && !delivery.rcpt_written && !accepted;
    let attempt = Attempt {
        released_at,
        finished_at: now,
        stage: delivery.stage,
        answer: delivery.answer,
        signal: reading.signal,
        action: (!accepted).then_some(reading.action),
        rule: reading.rule.clone(),
    };
    let grade = if accepted { Grade::default() } else { Grade::of(reading, own) };
    Settlement { claim: claim.r.clone(), attempt: Some(attempt), disposition, refund, grade, at: now }
}

/// A claim that goes back unsent.
pub(crate) fn unsent(claim: &Claim, same_day: bool, now: Timestamp) -> Settlement {
    let (disposition, grade) = (Disposition::Unsent, Grade::default());
    Settlement { claim: claim.r.clone(), attempt: None, disposition, refund: same_day, grade, at: now }
}

/// A claim whose message could not be made: it bounces, with the reason, and costs nothing.
pub(crate) fn not_composed(claim: &Claim, why: String, same_day: bool, now: Timestamp) -> Settlement {
    let attempt = Attempt {
        released_at: now,
        finished_at: now,
        stage: Stage::Connect,
        answer: Answer::Fault(Fault::Io(format!("the message could not be composed: {why}"))),
        signal: Signal::Content,
        action: Some(Action::Fail),
        rule: None,
    };
    let (disposition, grade) = (Disposition::Bounced(None), Grade::default());
    Settlement { claim: claim.r.clone(), attempt: Some(attempt), disposition, refund: same_day, grade, at: now }
}

/// What an accepted delivery reads as.
pub(crate) fn accepted_reading() -> Reading {
    Reading {
        rule: None,
        reason: Reason::NotARefusal,
        signal: Signal::Unclassified,
        action: Action::Retry,
        from_relay: false,
        meaning: Arc::from("accepted by the relay"),
    }
}

/// A connection that was kept and is found closed when the next message is written: the message is at once tried on another
/// one, and nobody is to blame.
pub(crate) fn is_stale_connection(delivery: &Delivery, messages_before: u32) -> bool {
    let closed = matches!(delivery.answer, Answer::Fault(Fault::Closed | Fault::Reset));
    messages_before > 0 && delivery.stage == Stage::Mail && closed
}

/// A task that broke down in the middle of a message: what it wrote is not known.
pub(crate) fn broken_down() -> Delivery {
    let answer = Answer::Fault(Fault::Io("the connection's task broke down".to_owned()));
    Delivery { stage: Stage::Body, answer, rcpt_written: true, dot_begun: true }
}
