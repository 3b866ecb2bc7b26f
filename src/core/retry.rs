//! Owns the fate of one attempt's message: final, or when it may be tried again.
//!
//! Invariants: lifetime runs from the first attempt and is judged only when an attempt fails, so waiting for quota never
//! expires mail; a lost connection before the final dot is a deferral, after it the message is uncertain: once retried, then parked.

use std::time::Duration;

use jiff::Timestamp;

use crate::core::reply::{Action, Delivery, Reading, Stage};

/// When to try again, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryTerms {
    /// Waiting time after the first, second, ... failed attempt; the last repeats.
    pub after: Vec<Duration>,
    /// From the first attempt on.
    pub lifetime: Duration,
    /// Waiting time of an uncertain message.
    pub uncertain: Duration,
    /// Uncertain messages are parked at once.
    pub park: bool,
}

/// What is known of the message before this attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Attempts before this one.
    pub attempts: u32,
    /// First attempt, when there was one.
    pub first_attempt: Option<Timestamp>,
    /// It was uncertain before.
    pub was_uncertain: bool,
}

/// What becomes of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Final: accepted.
    Accepted,
    /// Final: refused for good.
    Bounced {
        /// The address is never tried again.
        suppress: bool,
    },
    /// Tried again at this time.
    Deferred(Timestamp),
    /// Unknown; tried once more at this time.
    Uncertain(Timestamp),
    /// Unknown; waits for the operator.
    Parked,
    /// Final: its lifetime is over.
    Expired(String),
}

/// What becomes of the message of `delivery`, read as `reading`.
#[must_use]
pub fn fate(delivery: &Delivery, reading: &Reading, history: History, terms: &RetryTerms, now: Timestamp) -> Fate {
    if delivery.is_accepted() {
        return Fate::Accepted;
    }
    if delivery.is_uncertain() {
        let due = now.checked_add(terms.uncertain).unwrap_or(Timestamp::MAX);
        return if history.was_uncertain || terms.park { Fate::Parked } else { Fate::Uncertain(due) };
    }
    match reading.action {
        Action::Suppress => Fate::Bounced { suppress: true },
        Action::Fail => Fate::Bounced { suppress: false },
        Action::Retry | Action::Throttle | Action::Block | Action::StopCampaign => {
            let first = history.first_attempt.unwrap_or(now);
            // A connection that never came to MAIL says nothing about the message: it waits without growing older.
            let tried = delivery.stage >= Stage::Mail;
            if tried && now.duration_since(first).unsigned_abs() >= terms.lifetime {
                let attempts = history.attempts + 1;
                return Fate::Expired(format!("not accepted within its lifetime, in {attempts} attempts"));
            }
            let step = usize::try_from(history.attempts).unwrap_or(usize::MAX).min(terms.after.len().saturating_sub(1));
            let wait = terms.after.get(step).copied().unwrap_or(Duration::from_secs(900));
            let wait = if tried { wait } else { Duration::ZERO };
            Fate::Deferred(now.checked_add(wait).unwrap_or(Timestamp::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::reply::{Answer, Fault, Reason, Reply, Signal};

    fn terms() -> RetryTerms {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        let after = vec![minutes(15), minutes(60)];
        RetryTerms { after, lifetime: minutes(24 * 60), uncertain: minutes(15), park: false }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("in range")
    }

    fn deferred() -> (Delivery, Reading) {
        let answer = Answer::Reply(Reply { code: 451, enhanced: None, text: "later".into() });
        let delivery = Delivery { stage: Stage::Rcpt, answer, rcpt_written: true, dot_begun: false };
        let reading = Reading {
            rule: None,
            reason: Reason::Undefined,
            signal: Signal::Unclassified,
            action: Action::Retry,
            from_relay: false,
            meaning: "".into(),
        };
        (delivery, reading)
    }

    #[test]
    fn the_schedule_steps_and_its_last_value_repeats() {
        let (delivery, reading) = deferred();
        for (attempts, minutes) in [(0, 15), (1, 60), (2, 60), (9, 60)] {
            let history = History { attempts, first_attempt: Some(at(0)), was_uncertain: false };
            assert_eq!(fate(&delivery, &reading, history, &terms(), at(100)), Fate::Deferred(at(100 + minutes)));
        }
    }

    #[test]
    fn a_lifetime_is_judged_when_an_attempt_fails() {
        let (delivery, reading) = deferred();
        let history = History { attempts: 3, first_attempt: Some(at(0)), was_uncertain: false };
        assert!(matches!(fate(&delivery, &reading, history, &terms(), at(24 * 60)), Fate::Expired(_)));
        let waited = History { attempts: 0, first_attempt: None, was_uncertain: false };
        assert!(matches!(fate(&delivery, &reading, waited, &terms(), at(90 * 24 * 60)), Fate::Deferred(_)));
    }

    #[test]
    fn a_lost_reply_is_retried_once_and_then_parked() {
        let (mut delivery, reading) = deferred();
        delivery.answer = Answer::Fault(Fault::Reset);
        delivery.stage = Stage::Body;
        let history = History { attempts: 0, first_attempt: None, was_uncertain: false };
        assert!(matches!(fate(&delivery, &reading, history, &terms(), at(0)), Fate::Deferred(_)));
        delivery.dot_begun = true;
        assert_eq!(fate(&delivery, &reading, history, &terms(), at(0)), Fate::Uncertain(at(15)));
        let again = History { was_uncertain: true, ..history };
        assert_eq!(fate(&delivery, &reading, again, &terms(), at(0)), Fate::Parked);
        assert_eq!(fate(&delivery, &reading, history, &RetryTerms { park: true, ..terms() }, at(0)), Fate::Parked);
    }
}
