//! Owns the worst answers of a plan day: alike ones together, with an example and what they mean.

use serde::Serialize;

use crate::config::{Config, RelaySettings};
use crate::core::names::LaneKey;
use crate::core::reply::{Action, Answer, Delivery, Reason, Signal, Stage};
use crate::report::words::shown_one;
use crate::store::AnswerCount;

/// Answers that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorstAnswer {
    /// `relay/bucket`
    #[serde(serialize_with = "shown_one")]
    pub lane: LaneKey,
    /// How many attempts were answered so.
    pub n: u64,
    /// The last of them in the server's words, or the fault.
    pub example: String,
    /// At which stage.
    pub stage: &'static str,
    /// Why, in the field's words.
    pub reason: &'static str,
    /// Whose fault.
    pub signal: &'static str,
    /// What the rule asks for.
    pub action: &'static str,
    /// The rule; null: read by its code alone.
    pub rule: Option<String>,
    /// What it means.
    pub meaning: String,
    #[serde(skip)]
    pub(super) words: (Reason, Signal, Action),
}

/// Longest example, in characters.
const EXAMPLE: usize = 300;

impl WorstAnswer {
    /// From what the store counted. `None`: it was no refusal.
    pub(super) fn of(count: &AnswerCount, settings: &RelaySettings, config: &Config) -> Option<Self> {
        let attempt = &count.last.attempt;
        let action = attempt.action?;
        let lane = count.last.lane.clone();
        let buckets = config.groups.buckets();
        let group = buckets.get(&lane.bucket).and_then(|groups| groups.first()).map(|group| group.name.clone());
        let delivery = Delivery {
            stage: attempt.stage,
            answer: attempt.answer.clone(),
            rcpt_written: attempt.stage >= Stage::Rcpt,
            dot_begun: attempt.stage >= Stage::Body,
        };
        // Rules may have changed since: what was decided then is the stored rule's, where there still is one.
        let reading = config.rules.read_from(settings.kind(), &delivery, group.as_ref());
        let rule = attempt.rule.as_ref();
        let known = config.rules.all().iter().find(|known| rule == Some(&known.id));
        let (reason, meaning) = match known {
            Some(known) => (known.reason, known.meaning.to_string()),
            None => (reading.reason, reading.meaning.to_string()),
        };
        Some(Self {
            lane,
            n: count.n,
            example: example(&attempt.answer),
            stage: attempt.stage.as_str(),
            reason: reason.as_str(),
            signal: attempt.signal.as_str(),
            action: action.as_str(),
            rule: rule.map(ToString::to_string),
            meaning,
            words: (reason, attempt.signal, action),
        })
    }

    /// Worst first: what stops more comes before what stops less, then what came more often.
    pub(super) fn weight(&self) -> (u8, std::cmp::Reverse<u64>) {
        let rank = match self.words.2 {
            Action::StopCampaign => 0,
            Action::Block => 1,
            Action::Throttle => 2,
            Action::Suppress => 3,
            Action::Fail => 4,
            Action::Retry => 5,
        };
        (rank, std::cmp::Reverse(self.n))
    }
}

fn example(answer: &Answer) -> String {
    let text: String = answer.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(EXAMPLE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
