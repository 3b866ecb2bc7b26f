//! Owns the reply rules: data with a source each, tried in order, the first that fits is the reading.
//!
//! Invariant: `Rules::read` is total. Where no rule fits, the code's first digit and the stage decide and the
//! signal is `Unclassified`.

use std::sync::Arc;

use super::{Action, Answer, Delivery, Enhanced, Fault, Reading, Signal, Stage};
use crate::core::names::GroupName;

/// Whose words a rule knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// A destination group's receiving system.
    Group(GroupName),
    /// A kind of relay (`ses`, `sendgrid`, ...): its own limits and login.
    Relay(Arc<str>),
    /// Anybody: applied last.
    Generic,
}

/// A reply text with placeholders: `{addr}` and such stand for any text; compared without case; it may stand anywhere in the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern {
    /// Literal pieces, lower case, in order; any text may stand between two of them.
    pieces: Vec<String>,
    /// The whole text had to match, nothing before the first piece.
    anchored: bool,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Short id, unique, as shown by `why`.
    pub id: Arc<str>,
    /// Whose words.
    pub provider: Provider,
    /// Only at this stage; `None`: at any.
    pub stage: Option<Stage>,
    /// Reply code; `None`: any.
    pub code: Option<u16>,
    /// Enhanced code, inclusive range of details (`5.7.606-649`); `None`: any.
    pub enhanced: Option<(Enhanced, u16)>,
    /// Text; `None`: any.
    pub text: Option<TextPattern>,
    /// A fault instead of a reply (`reset` at au).
    pub fault: bool,
    /// Whose fault.
    pub signal: Signal,
    /// What to do.
    pub action: Action,
    /// In words.
    pub meaning: Arc<str>,
    /// Where the fact comes from.
    pub source: Arc<str>,
}

/// All rules in force, most specific provider first.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl TextPattern {
    /// Reads `text`: `{...}` stands for anything, a leading `^` ties it to the reply's beginning.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (anchored, text) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
        let mut pieces = vec![String::new()];
        let mut depth = 0_u32;
        for c in text.chars() {
            match c {
                '{' => {
                    depth += 1;
                    if depth == 1 {
                        pieces.push(String::new());
                    }
                }
                '}' if depth > 0 => depth -= 1,
                _ if depth == 0 => {
                    if let Some(last) = pieces.last_mut() {
                        last.extend(c.to_lowercase());
                    }
                }
                _ => {}
            }
        }
        let anchored = anchored && pieces.first().is_some_and(|p| !p.is_empty());
        let pieces = pieces
            .iter()
            .map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|p| !p.is_empty())
            .collect();
        Self { pieces, anchored }
    }

    /// Whether `text` (lower case, single blanks) fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let mut at = 0;
        for (i, piece) in self.pieces.iter().enumerate() {
            match text[at..].find(piece.as_str()) {
                Some(found) if i > 0 || !self.anchored || found == 0 => at += found + piece.len(),
                _ => return false,
            }
        }
        true
    }
}

impl Rule {
    fn fits(&self, stage: Stage, code: u16, enhanced: Option<Enhanced>, text: &str) -> bool {
        !self.fault
            && self.stage.is_none_or(|s| s == stage)
            && self.code.is_none_or(|c| c == code)
            && self.enhanced.is_none_or(|(low, high)| {
                enhanced.is_some_and(|e| (e.0, e.1) == (low.0, low.1) && (low.2..=high).contains(&e.2))
            })
            && self.text.as_ref().is_none_or(|t| t.fits(text))
    }

    fn reading(&self) -> Reading {
        Reading {
            rule: Some(self.id.clone()),
            signal: self.signal,
            action: self.action,
            from_relay: matches!(self.provider, Provider::Relay(_)) || self.signal == Signal::Relay,
            meaning: self.meaning.clone(),
        }
    }

    /// More conditions first, longer text before shorter.
    fn weight(&self) -> (usize, usize) {
        let text = self.text.as_ref().map_or(0, |t| t.pieces.iter().map(String::len).sum());
        let conditions =
            usize::from(self.stage.is_some()) + usize::from(self.code.is_some()) + usize::from(self.enhanced.is_some());
        (text, conditions)
    }
}

impl Rules {
    /// Takes the rules; the operator's (later in `rules`) win over the shipped ones where they are as specific.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut rules: Vec<Rule> = rules.into_iter().rev().collect();
        rules.sort_by_key(|r| std::cmp::Reverse(r.weight()));
        Self { rules }
    }

    /// All rules, in the order in which they are tried.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// What `delivery` means. `group`: whose words may be in the reply (`answers: carrier`, or a report from beyond the
    /// relay); `None` when only the relay itself speaks (`answers: own`).
    #[must_use]
    pub fn read(&self, delivery: &Delivery, group: Option<&GroupName>) -> Reading {
        match &delivery.answer {
            Answer::Reply(reply) => {
                let text = reply.text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
                let passes: [&dyn Fn(&Provider) -> bool; 3] = [
                    &|p| matches!(p, Provider::Group(g) if Some(g) == group),
                    &|p| matches!(p, Provider::Relay(_)),
                    &|p| *p == Provider::Generic,
                ];
                for pass in passes {
                    let fits =
                        |r: &&Rule| pass(&r.provider) && r.fits(delivery.stage, reply.code, reply.enhanced, &text);
                    if let Some(rule) = self.rules.iter().find(fits) {
                        return rule.reading();
                    }
                }
                by_code(delivery.stage, reply.code, group.is_some())
            }
            Answer::Fault(fault) => self.read_fault(delivery.stage, fault, group),
        }
    }

    fn read_fault(&self, stage: Stage, fault: &Fault, group: Option<&GroupName>) -> Reading {
        let carrier = group.filter(|_| matches!(fault, Fault::Reset | Fault::Closed));
        if let Some(group) = carrier {
            let own = |r: &&Rule| r.fault && matches!(&r.provider, Provider::Group(g) if g == group);
            if let Some(rule) = self.rules.iter().find(own) {
                return rule.reading();
            }
            return plain(Signal::Volume, Action::Throttle, false, "the carrier reset or closed the connection");
        }
        match fault {
            Fault::NotOffered(_) | Fault::Tls(_) => {
                plain(Signal::Relay, Action::Block, true, "the relay cannot be used as configured")
            }
            _ if stage <= Stage::Auth => plain(Signal::Relay, Action::Throttle, true, "the relay cannot be reached"),
            _ => plain(Signal::Relay, Action::Throttle, true, "the connection to the relay was lost"),
        }
    }
}

fn plain(signal: Signal, action: Action, from_relay: bool, meaning: &str) -> Reading {
    Reading { rule: None, signal, action, from_relay, meaning: meaning.into() }
}

/// The reading of last resort: RFC 5321 4.2.1 by the first digit, and the stage.
fn by_code(stage: Stage, code: u16, carrier: bool) -> Reading {
    match (stage, code) {
        (Stage::Auth, 500..=599) => plain(Signal::Relay, Action::Block, true, "the relay refused the login"),
        (s, 400..=599) if s <= Stage::Auth => {
            plain(Signal::Relay, Action::Throttle, !carrier, "the server does not take connections now")
        }
        (_, 421) => plain(Signal::Volume, Action::Throttle, !carrier, "the server closes the connection: slow down"),
        (_, 400..=499) => plain(Signal::Unclassified, Action::Retry, false, "temporary refusal"),
        (_, 500..=599) => plain(Signal::Unclassified, Action::Fail, false, "permanent refusal"),
        _ => plain(Signal::Relay, Action::Retry, true, "an answer out of place"),
    }
}
