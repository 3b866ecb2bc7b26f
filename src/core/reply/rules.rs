//! Owns the reply rules: data with a source each, tried in order, the first that fits is the reading.
//!
//! Invariants: `Rules::read` is total; where no rule fits, the code's first digit and the stage decide and the signal is
//! `Unclassified`. Before RCPT no recipient was named: nothing said there suppresses an address. Phrases and hints are heard in
//! reports from beyond the relay alone (`super::report`).

use std::sync::Arc;

use super::{Action, Answer, Delivery, Enhanced, Fault, Reading, Reason, Signal, Stage, TextPattern};
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

/// The faults that a rule can speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The connection was reset (au, when it blocks).
    Reset,
    /// The connection was closed without an answer.
    Closed,
    /// No answer in time.
    Timeout,
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
    /// A fault instead of a reply; then `code`, `enhanced` and `text` are `None`.
    pub fault: Option<FaultKind>,
    /// Why, in the field's words.
    pub reason: Reason,
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
    /// In the order in which they are tried.
    pub(super) rules: Vec<Rule>,
    /// How many of these, from the first, came on top of the phrases: the operator's own.
    pub(super) own: usize,
    /// What anybody says in a report, as written: the first that fits is the reading.
    pub(super) phrases: Vec<Rule>,
    /// Single words that tell something where nothing else does.
    pub(super) hints: Vec<Rule>,
}

impl Rule {
    fn fits(&self, stage: Stage, code: u16, enhanced: Option<Enhanced>, text: &str) -> bool {
        self.fault.is_none()
            && (self.action != Action::Suppress || stage >= Stage::Rcpt)
            && self.stage.is_none_or(|s| s == stage)
            && self.code.is_none_or(|c| c == code)
            && self.enhanced.is_none_or(|(low, high)| {
                enhanced.is_some_and(|e| (e.0, e.1) == (low.0, low.1) && (low.2..=high).contains(&e.2))
            })
            && self.text.as_ref().is_none_or(|t| t.fits(text))
    }

    /// Where the relay alone speaks (`own`), whatever asks for patience is its own, and what it refuses at MAIL is the account
    /// or the sender: the next message would fare no better. A rule that knows the message's content, or names MAIL, is
    /// taken at its word.
    pub(super) fn reading(&self, stage: Stage, own: bool) -> Reading {
        let of_sender = self.action == Action::Fail && self.signal != Signal::Content && self.stage.is_none();
        if own && stage == Stage::Mail && of_sender {
            let rule = Some(self.id.clone());
            return Reading {
                rule,
                ..plain(Reason::SenderRejected, Signal::Relay, Action::Block, true, REFUSED_SENDER)
            };
        }
        let slows = matches!(self.action, Action::Throttle | Action::Block);
        Reading {
            rule: Some(self.id.clone()),
            reason: self.reason,
            signal: self.signal,
            action: self.action,
            from_relay: matches!(self.provider, Provider::Relay(_)) || (own && slows),
            meaning: self.meaning.clone(),
        }
    }

    /// Longer text first, then an enhanced code (the narrower the range, the better), a stage, a code.
    pub(super) fn weight(&self) -> (usize, u16, bool, bool) {
        let text = self.text.as_ref().map_or(0, TextPattern::length);
        let narrow = self.enhanced.map_or(0, |(low, high)| u16::MAX - high.saturating_sub(low.2));
        (text, narrow, self.stage.is_some(), self.code.is_some())
    }
}

impl Rules {
    /// Takes the rules of one file; of two that are as specific, the later is tried first.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut rules: Vec<Rule> = rules.into_iter().rev().collect();
        rules.sort_by_key(|r| std::cmp::Reverse(r.weight()));
        Self { rules, ..Self::default() }
    }

    /// With what is heard in reports alone: `phrases` in the order in which they are tried, `hints` after the codes.
    #[must_use]
    pub fn with_phrases(self, phrases: Vec<Rule>, hints: Vec<Rule>) -> Self {
        Self { phrases, hints, ..self }
    }

    /// Puts `rules` before these: an operator's own are tried first, and take the place of those with the same id.
    #[must_use]
    pub fn overridden_by(self, rules: Vec<Rule>) -> Self {
        let new = Self::new(rules).rules;
        let is_kept = |rule: &Rule| new.iter().all(|n| n.id != rule.id);
        let before = self.rules.iter().take(self.own).filter(|r| is_kept(r)).count();
        let own = if self.phrases.is_empty() { 0 } else { new.len() + before };
        let keep = |rules: Vec<Rule>| rules.into_iter().filter(|r| is_kept(r)).collect::<Vec<_>>();
        let (kept, phrases, hints) = (keep(self.rules), keep(self.phrases), keep(self.hints));
        Self { rules: new.into_iter().chain(kept).collect(), own, phrases, hints }
    }

    /// All rules, in the order in which they are tried.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// What is heard in reports alone, in the order in which it is tried: the phrases, then the hints.
    pub fn of_reports(&self) -> impl Iterator<Item = &Rule> {
        self.phrases.iter().chain(&self.hints)
    }

    /// What `delivery` means, whatever kind of relay it came from. `group`: whose words may be in the reply (`answers: carrier`,
    /// or a report from beyond the relay); `None` when only the relay itself speaks (`answers: own`).
    #[must_use]
    pub fn read(&self, delivery: &Delivery, group: Option<&GroupName>) -> Reading {
        self.read_from(None, delivery, group)
    }

    /// What `delivery` through a relay of this `kind` means: of the relays' words only those of its kind are heard. `None`: of a
    /// kind that is not known, so all are.
    #[must_use]
    pub fn read_from(&self, kind: Option<&str>, delivery: &Delivery, group: Option<&GroupName>) -> Reading {
        let own = group.is_none();
        match (&delivery.answer, self.rule_of(kind, delivery, group)) {
            (_, Some(rule)) => rule.reading(delivery.stage, own),
            (Answer::Fault(fault), None) => read_fault(delivery.stage, fault, own),
            (Answer::Reply(reply), None) => by_code(delivery.stage, reply.code, own),
        }
    }

    /// The rule by which [`Rules::read_from`] reads `delivery`; `None` where the code or the fault decides.
    #[must_use]
    pub fn rule_of(&self, kind: Option<&str>, delivery: &Delivery, group: Option<&GroupName>) -> Option<&Rule> {
        let reply = match &delivery.answer {
            Answer::Reply(reply) => reply,
            Answer::Fault(fault) => return self.rule_of_fault(delivery.stage, fault, group),
        };
        let text = plain_text(&reply.text);
        let own = group.is_none();
        let passes: [&dyn Fn(&Rule) -> bool; 3] = [
            &|r| matches!(&r.provider, Provider::Group(g) if Some(g) == group),
            // Where the carrier's replies come through, a bare code may be the carrier's: only words tell a relay then.
            &|r| {
                matches!(&r.provider, Provider::Relay(of) if kind.is_none_or(|kind| **of == *kind))
                    && (own || r.text.is_some())
            },
            &|r| r.provider == Provider::Generic,
        ];
        passes.iter().find_map(|pass| {
            self.rules.iter().find(|r| pass(r) && r.fits(delivery.stage, reply.code, reply.enhanced, &text))
        })
    }

    fn rule_of_fault(&self, stage: Stage, fault: &Fault, group: Option<&GroupName>) -> Option<&Rule> {
        let (kind, group) = (fault_kind(fault)?, group?);
        self.rules.iter().find(|r| {
            r.fault == Some(kind)
                && r.stage.is_none_or(|s| s == stage)
                && matches!(&r.provider, Provider::Group(g) if g == group)
        })
    }
}

fn fault_kind(fault: &Fault) -> Option<FaultKind> {
    match fault {
        Fault::Reset => Some(FaultKind::Reset),
        Fault::Closed => Some(FaultKind::Closed),
        Fault::Timeout => Some(FaultKind::Timeout),
        _ => None,
    }
}

/// A fault that no rule knows. `own`: only the relay speaks.
fn read_fault(stage: Stage, fault: &Fault, own: bool) -> Reading {
    let lost = |signal, of_relay, words| plain(Reason::NetworkError, signal, Action::Throttle, of_relay, words);
    match fault {
        // Before MAIL no destination was named yet: what failed is the relay.
        _ if fault_kind(fault).is_some() && !own && stage >= Stage::Mail => {
            lost(Signal::Volume, false, "the carrier cut the connection or fell silent")
        }
        Fault::NotOffered(_) | Fault::Tls(_) => {
            plain(Reason::SecurityError, Signal::Relay, Action::Block, true, "the relay cannot be used as configured")
        }
        Fault::Token(_) => {
            let words = "there is no access token for the login";
            plain(Reason::SecurityError, Signal::Relay, Action::Throttle, true, words)
        }
        _ if stage <= Stage::Auth => lost(Signal::Relay, true, "the relay cannot be reached"),
        _ => lost(Signal::Relay, true, "the connection to the relay was lost"),
    }
}

/// Lower case, single blanks, without the enhanced code that servers repeat in each line of a long reply.
pub(super) fn plain_text(text: &str) -> String {
    let words = text.lines().flat_map(|line| {
        let mut words = line.split_whitespace().peekable();
        words.next_if(|word| word.parse::<Enhanced>().is_ok());
        words
    });
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

fn plain(reason: Reason, signal: Signal, action: Action, from_relay: bool, meaning: &str) -> Reading {
    Reading { rule: None, reason, signal, action, from_relay, meaning: meaning.into() }
}

const REFUSED_SENDER: &str =
    "the relay refused the sender before it knew the recipient: its account or set-up is at fault";

/// The reading of last resort: RFC 5321 4.2.1 by the first digit, and the stage. `own`: only the relay speaks.
fn by_code(stage: Stage, code: u16, own: bool) -> Reading {
    match (stage, code) {
        (Stage::Auth, 500..=599) => {
            plain(Reason::SecurityError, Signal::Relay, Action::Block, true, "the relay refused the login")
        }
        (s, 400..=599) if s <= Stage::Auth => {
            plain(Reason::RateLimited, Signal::Relay, Action::Throttle, true, "the relay does not take connections now")
        }
        (_, 421) => plain(
            Reason::RateLimited,
            Signal::Volume,
            Action::Throttle,
            own,
            "the server closes the connection: slow down",
        ),
        // What relays say when their own limit is reached (SES 454, Exchange Online 432, OCI 455).
        (_, 432 | 454 | 455) if own => {
            plain(Reason::RateLimited, Signal::Relay, Action::Throttle, true, "the relay asks to slow down")
        }
        (Stage::Mail, 500..=599) if own => {
            plain(Reason::SenderRejected, Signal::Relay, Action::Block, true, REFUSED_SENDER)
        }
        (_, 400..=499) => plain(Reason::Undefined, Signal::Unclassified, Action::Retry, false, "temporary refusal"),
        (_, 500..=599) => plain(Reason::Undefined, Signal::Unclassified, Action::Fail, false, "permanent refusal"),
        _ => plain(Reason::SyntaxError, Signal::Relay, Action::Retry, true, "an answer out of place"),
    }
}

#[cfg(test)]
mod tests;
