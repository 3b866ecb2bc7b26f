//! Owns what a report from beyond the relay means: a bounce mail's diagnostic, a provider's event, a line of a relay's log.
//!
//! Invariants: `Rules::read_report` is total; a policy refusal (x.7.x anywhere in it) suppresses an address only where the
//! destination's or the operator's own rule says so; a refusal for now never does by general rules; where two readings of a
//! destination's words fit, the one that harms the address least is taken.

use super::quoted::{View, names_policy, told_stage, views};
use super::rules::Provider;
use super::status::{Meaning, Weight, meaning, of_code};
use super::{Action, Reading, Reason, Rule, Rules, Signal, Stage};
use crate::core::feedback::Diagnostic;
use crate::core::names::GroupName;

/// What decided.
enum Found<'a> {
    /// A destination's, a relay's or the operator's own rule: taken at its word.
    Own(&'a Rule),
    /// A rule that knows neither: never against the address where policy refuses, and patient where the refusal is for now.
    General(&'a Rule, bool),
    /// A code, and whether the refusal is for now.
    Code(Meaning, bool),
}

/// A report, taken apart.
struct Parts<'a> {
    kind: Option<&'a str>,
    views: Vec<View>,
    stage: Option<Stage>,
    group: Option<&'a GroupName>,
    policy: bool,
}

impl Rules {
    /// What a report from beyond the relay means. `kind`: of the relay that handed the message on; `group`: of the recipient;
    /// `stage`: where the report tells it, else the relay's words may (`in reply to RCPT TO command`).
    ///
    /// A reply that the report quotes is read before the words around it: by the group's rules, the relay's, the operator's own,
    /// the phrases, the enhanced code (RFC 3463), the hints, and at last by the bare code.
    #[must_use]
    pub fn read_report(
        &self,
        kind: Option<&str>,
        said: &Diagnostic,
        stage: Option<Stage>,
        group: Option<&GroupName>,
    ) -> Reading {
        let parts = Parts::of(kind, said, stage, group);
        let (found, of_rule) = match self.find(&parts) {
            Found::Own(rule) => return rule.reading(parts.stage.unwrap_or(Stage::Body), false),
            Found::General(rule, transient) => {
                ((rule.reason, rule.signal, gently(rule.action, parts.policy, transient)), Some(rule))
            }
            Found::Code((reason, signal, action), transient) => {
                ((reason, signal, gently(action, parts.policy, transient)), None)
            }
        };
        let (reason, signal, action) = found;
        Reading {
            rule: of_rule.map(|rule| rule.id.clone()),
            reason,
            signal,
            action,
            from_relay: false,
            meaning: of_rule.map_or_else(|| words_of(reason).into(), |rule| rule.meaning.clone()),
        }
    }

    /// The rule by which [`Rules::read_report`] reads a report; `None` where the codes decide.
    #[must_use]
    pub fn rule_of_report(
        &self,
        kind: Option<&str>,
        said: &Diagnostic,
        stage: Option<Stage>,
        group: Option<&GroupName>,
    ) -> Option<&Rule> {
        match self.find(&Parts::of(kind, said, stage, group)) {
            Found::Own(rule) | Found::General(rule, _) => Some(rule),
            Found::Code(..) => None,
        }
    }

    fn find(&self, parts: &Parts<'_>) -> Found<'_> {
        let of_group = |r: &Rule| matches!(&r.provider, Provider::Group(g) if Some(g) == parts.group);
        // Bare codes may be the carrier's: only words tell a relay.
        let of_relay = |r: &Rule| {
            let named = matches!(&r.provider, Provider::Relay(of) if parts.kind.is_none_or(|kind| **of == *kind));
            named && r.text.is_some()
        };
        if let Some(rule) = self.told(parts, &of_group).or_else(|| self.told(parts, &of_relay)) {
            return Found::Own(rule);
        }
        let plain = parts.views.iter().find_map(|view| self.plain(parts, view));
        let vague = || parts.views.iter().find_map(|view| self.vague(parts, view));
        plain.or_else(vague).unwrap_or_else(|| {
            let whole = parts.views.last();
            let code = whole.and_then(|view| view.code);
            Found::Code(of_code(code, parts.stage), whole.is_some_and(View::is_transient))
        })
    }

    /// The first rule of `whose` that fits as it stands; else, where the report tells too little (no stage, no code), the one
    /// with most of its words in it. Where several have as much and differ, the one that harms the address least.
    fn told(&self, parts: &Parts<'_>, whose: &dyn Fn(&Rule) -> bool) -> Option<&Rule> {
        let rules = || self.rules.iter().filter(|r| whose(r));
        let exact = |view: &View| rules().find(|r| r.fits_report(view, parts.stage, true));
        let nearly = |view: &View| {
            let fits: Vec<&Rule> = rules().filter(|r| r.fits_report(view, parts.stage, false)).collect();
            let most = fits.iter().map(|r| r.weight().0).max()?;
            fits.into_iter().filter(|r| r.weight().0 == most).min_by_key(|r| harm(r.action))
        };
        parts.views.iter().find_map(exact).or_else(|| parts.views.iter().find_map(nearly))
    }

    /// What says one thing.
    fn plain<'a>(&'a self, parts: &Parts<'_>, view: &View) -> Option<Found<'a>> {
        let stage = parts.stage;
        let generic = |r: &&Rule| r.provider == Provider::Generic;
        let (own, shipped) = self.rules.split_at(self.own.min(self.rules.len()));
        if let Some(rule) = own.iter().filter(generic).find(|r| r.fits_report(view, stage, false)) {
            return Some(Found::Own(rule));
        }
        let transient = view.is_transient();
        let with_words = shipped.iter().filter(generic).filter(|r| r.text.is_some()).chain(&self.phrases);
        let by_words =
            with_words.into_iter().find(|r| r.is_of_anybody(view, stage) && !(parts.policy && r.is_a_guess()));
        let by_code = || {
            let plain = |r: &&Rule| {
                r.text.is_none() && r.enhanced.is_some_and(|(e, _)| meaning(e).is_some_and(|m| m.1 == Weight::Plain))
            };
            shipped.iter().filter(generic).filter(plain).find(|r| r.is_of_anybody(view, stage))
        };
        by_words
            .or_else(by_code)
            .map(|rule| Found::General(rule, transient))
            .or_else(|| {
                let known = view.enhanced.and_then(meaning).filter(|(_, weight)| *weight == Weight::Plain);
                known.filter(|(m, _)| is_heard(m.0, m.1, stage)).map(|(m, _)| Found::Code(m, transient))
            })
            .or_else(|| {
                let hint =
                    self.hints.iter().find(|r| r.is_of_anybody(view, stage) && !(parts.policy && r.is_a_guess()));
                hint.map(|rule| Found::General(rule, transient))
            })
    }

    /// What may mean several things: heard where nothing else in the report says more.
    fn vague<'a>(&'a self, parts: &Parts<'_>, view: &View) -> Option<Found<'a>> {
        let bare = self.rules.iter().filter(|r| r.provider == Provider::Generic && r.text.is_none());
        let rule = bare.into_iter().find(|r| r.fits_report(view, parts.stage, true));
        let by_rule = rule.map(|rule| Found::General(rule, view.is_transient()));
        let known = view.enhanced.and_then(meaning).filter(|(m, _)| is_heard(m.0, m.1, parts.stage));
        let by_code = known.map(|(m, _)| Found::Code(m, view.is_transient()));
        // Of mailbox, system and network the enhanced code says more than the reply code; of policy, and of itself, less.
        match view.enhanced {
            Some(told) if told.1 < 5 && rule.is_some_and(|rule| rule.enhanced.is_none()) => by_code.or(by_rule),
            _ => by_rule.or(by_code),
        }
    }
}

impl<'a> Parts<'a> {
    fn of(kind: Option<&'a str>, said: &Diagnostic, stage: Option<Stage>, group: Option<&'a GroupName>) -> Self {
        let stage = stage.or_else(|| told_stage(&said.text));
        Self { kind, views: views(said), stage, group, policy: names_policy(said) }
    }
}

impl Rule {
    /// Whether it fits what a report says. `exact`: as it would in-band, but for a stage that nobody tells; else words make up for
    /// a stage and codes that are missing, never for ones that differ.
    fn fits_report(&self, view: &View, stage: Option<Stage>, exact: bool) -> bool {
        let words = self.text.is_some();
        let of_stage = match (self.stage, stage) {
            (None, _) => true,
            (Some(asked), Some(told)) => asked == told,
            (Some(_), None) => !exact,
        };
        let of_code = match (self.code, view.code) {
            (None, _) => true,
            (Some(asked), Some(told)) => asked == told,
            (Some(asked), None) => {
                let class = view.enhanced.is_none_or(|e| u16::from(e.0) == asked / 100);
                !exact && class && (words || (self.enhanced.is_some() && view.enhanced.is_some()))
            }
        };
        let of_enhanced = match (self.enhanced, view.enhanced) {
            (None, _) => true,
            (Some((low, high)), Some(told)) => (told.0, told.1) == (low.0, low.1) && (low.2..=high).contains(&told.2),
            (Some(_), None) => !exact && words,
        };
        self.fault.is_none()
            && (self.action != Action::Suppress || stage.is_none_or(|s| s >= Stage::Rcpt))
            && of_stage
            && of_code
            && of_enhanced
            && self.text.as_ref().is_none_or(|t| t.fits_with(&view.text, || view.senses()))
    }

    /// Whether it fits, said by anybody: names in addresses are no words.
    fn is_of_anybody(&self, view: &View, stage: Option<Stage>) -> bool {
        is_heard(self.reason, self.signal, stage)
            && self.stage.is_none_or(|asked| stage == Some(asked))
            && self.fits_report(view, stage, true)
            && self.text.as_ref().is_none_or(|t| t.is_form() || t.fits(&view.blotted))
    }
}

impl Rule {
    /// Whether it takes words for an unknown user's that it would not suppress for: beside a code of policy the policy is meant.
    fn is_a_guess(&self) -> bool {
        self.reason == Reason::UserUnknown && self.action != Action::Suppress
    }
}

/// Before RCPT nobody spoke of a recipient; but a domain may have been looked for in vain.
fn is_heard(reason: Reason, signal: Signal, stage: Option<Stage>) -> bool {
    signal != Signal::Recipient
        || stage.is_none_or(|s| s >= Stage::Rcpt || (reason == Reason::HostUnknown && s != Stage::Mail))
}

/// How much an action harms the address of a message.
fn harm(action: Action) -> u8 {
    match action {
        Action::Suppress => 2,
        Action::Fail => 1,
        Action::Retry | Action::Throttle | Action::Block | Action::StopCampaign => 0,
    }
}

fn gently(action: Action, policy: bool, transient: bool) -> Action {
    match action {
        Action::Suppress | Action::Fail if transient => Action::Retry,
        Action::Suppress if policy => Action::Fail,
        action => action,
    }
}

/// What a reason means, in words.
fn words_of(reason: Reason) -> &'static str {
    match reason {
        Reason::UserUnknown => "the address does not exist, by the status code",
        Reason::HostUnknown => "the domain does not exist or takes no mail, by the status code",
        Reason::HasMoved => "the address has moved, by the status code",
        Reason::MailboxFull => "the mailbox is full, by the status code",
        Reason::Suspended => "the mailbox is switched off, by the status code",
        Reason::Filtered => "refused for this recipient, by the status code",
        Reason::MessageTooBig => "the message is too large, by the status code",
        Reason::Content | Reason::Spam | Reason::Virus => "refused for what it contains, by the status code",
        Reason::Blocked | Reason::BadReputation => "the sender is not let in, by the status code",
        Reason::RateLimited => "too much or too fast, by the status code",
        Reason::AuthFailure => "SPF, DKIM, DMARC or the name of the sending IP, by the status code",
        Reason::SenderRejected => "the sender's address is refused, by the status code",
        Reason::PolicyViolation => "a policy's refusal, by the status code: never a reason to suppress",
        Reason::SecurityError => "TLS or login between the hosts, by the status code",
        Reason::Expired => "tried for too long, by the status code",
        Reason::NetworkError => "no connection to the destination, by the status code",
        Reason::SystemError | Reason::SystemFull => "trouble of the destination's own, by the status code",
        Reason::NotAccept => "the host takes no mail, by the status code",
        Reason::NoRelaying | Reason::SyntaxError => "the hosts did not understand each other, by the status code",
        Reason::NotARefusal | Reason::Undefined => "refused; nothing says why",
    }
}
