//! Owns the reply rules as written: from YAML to `core::reply::Rule`.
//!
//! Invariants: a rule asks for something that a reply (or its absence) can show; only a recipient's fault suppresses an
//! address, and never a bare policy code (5.7.x); a rule speaks of groups that exist; every rule has a reason, written or implied,
//! and one that speaks of the address only where the fault is the recipient's.

use super::fields::Fields;
use super::keys::destinations::{MEANING, RULE, WHEN};
use super::presets;
use super::problem::{Problems, did_you_mean, quoted};
use super::tree::{Kind, Node};
use crate::core::names::GroupName;
use crate::core::plan::Groups;
use crate::core::reply::{Action, Enhanced, FaultKind, Provider, Reason, Rule, Signal, Stage, TextPattern};

const SIGNALS: [(&str, Signal); 6] = [
    ("recipient", Signal::Recipient),
    ("content", Signal::Content),
    ("volume", Signal::Volume),
    ("reputation", Signal::Reputation),
    ("sender-setup", Signal::SenderSetup),
    ("relay", Signal::Relay),
];

const ACTIONS: [(&str, Action); 6] = [
    ("suppress", Action::Suppress),
    ("fail", Action::Fail),
    ("retry", Action::Retry),
    ("throttle", Action::Throttle),
    ("block", Action::Block),
    ("stop-campaign", Action::StopCampaign),
];

const FAULTS: [(&str, FaultKind); 3] =
    [("reset", FaultKind::Reset), ("closed", FaultKind::Closed), ("timeout", FaultKind::Timeout)];

/// The rules of one file. A rule for several groups or texts becomes one for each, under the same id.
pub(super) fn read_replies(fields: Fields<'_>, groups: &Groups) -> Vec<Rule> {
    let mut rules = Vec::new();
    for entry in fields.entries {
        let problems = fields.problems();
        if let Err(error) = GroupName::new(&entry.key) {
            problems.at(entry.key_span, error.to_string());
            continue;
        }
        if let Some(own) = Fields::of(problems, &entry.value, entry.key_span, "a reply rule") {
            rules.extend(read_rule(&entry.key, own, groups).unwrap_or_default());
        }
    }
    rules
}

fn read_rule(id: &str, fields: Fields<'_>, groups: &Groups) -> Option<Vec<Rule>> {
    fields.known(&RULE);
    let when = fields.required("when", "what the reply looks like").and(fields.map("when", "conditions"));
    let then = fields.required("then", "{ signal: ..., action: ... }").and(fields.map("then", "signal and action"));
    let source = match (fields.text("source"), fields.text("confidence")) {
        (Some(source), Some(confidence)) => format!("{source} ({confidence})"),
        (source, _) => source.unwrap_or_default().to_owned(),
    };
    let meaning = fields.text("meaning").unwrap_or(id);
    let (when, then) = (when?, then?);
    then.known(&MEANING);
    let signal = then
        .required("signal", "recipient, content, volume, reputation, sender-setup or relay")
        .and(then.one_of("signal", &SIGNALS));
    let action = then
        .required("action", "suppress, fail, retry, throttle, block or stop-campaign")
        .and(then.one_of("action", &ACTIONS));
    let reason = then.node("reason").is_some().then(|| then.one_of("reason", &reasons()));
    let conditions = read_conditions(when, groups);
    let (signal, action, conditions) = (signal?, action?, conditions?);
    cautious(then, &conditions, signal, action);
    let reason = match reason {
        Some(read) => agreeing(then, read?, signal)?,
        None => implied(&conditions, signal, action),
    };
    let rule = |provider, text: Option<TextPattern>| Rule {
        id: id.into(),
        provider,
        stage: conditions.stage,
        code: conditions.code,
        enhanced: conditions.enhanced,
        text,
        fault: conditions.fault,
        reason,
        signal,
        action,
        meaning: meaning.into(),
        source: source.as_str().into(),
    };
    let texts =
        if conditions.texts.is_empty() { vec![None] } else { conditions.texts.iter().cloned().map(Some).collect() };
    let each = |provider: &Provider| texts.iter().map(|text| rule(provider.clone(), text.clone())).collect::<Vec<_>>();
    Some(conditions.providers.iter().flat_map(each).collect())
}

/// What a rule may name: a delivery and a complaint are no refusals.
fn reasons() -> Vec<(&'static str, Reason)> {
    Reason::ALL.into_iter().filter(|r| *r != Reason::NotARefusal).map(|r| (r.as_str(), r)).collect()
}

fn implied(conditions: &Conditions, signal: Signal, action: Action) -> Reason {
    let code = conditions.enhanced.map(|(low, _)| low.to_string());
    let words: Vec<String> = conditions.texts.iter().map(ToString::to_string).chain(code).collect();
    Reason::implied(signal, action, &words.join(" "))
}

/// Only a recipient's fault may be told with a reason that speaks of the address: such reports are counted against it.
fn agreeing(then: Fields<'_>, reason: Reason, signal: Signal) -> Option<Reason> {
    if !reason.is_recipients() || signal == Signal::Recipient {
        return Some(reason);
    }
    let at = then.node("reason").map_or(then.span, |n| n.span);
    let why = format!("expected signal recipient beside reason {reason}, got {}", signal.as_str());
    then.problems().at_with(at, why, "the reasons that speak of the address count against it");
    None
}

struct Conditions {
    providers: Vec<Provider>,
    stage: Option<Stage>,
    code: Option<u16>,
    enhanced: Option<(Enhanced, u16)>,
    texts: Vec<TextPattern>,
    fault: Option<FaultKind>,
}

fn read_conditions(when: Fields<'_>, groups: &Groups) -> Option<Conditions> {
    when.known(&WHEN);
    let shows = ["code", "enhanced", "text", "fault"];
    if shows.iter().all(|key| when.node(key).is_none()) {
        let help = "without one of them the rule would fit every reply";
        when.problems().at_with(when.span, "expected code, enhanced, text or fault, got none of them", help);
        return None;
    }
    if let Some(fault) = when.entry("fault").filter(|_| shows[..3].iter().any(|key| when.node(key).is_some())) {
        when.problems().at(fault.key_span, "a fault comes instead of a reply: it has neither code nor text");
        return None;
    }
    let read = |key: &str, was: bool| was || when.node(key).is_none();
    let providers = read_providers(when, groups);
    let stage = when.one_of("stage", &Stage::ALL.map(|stage| (stage.as_str(), stage)));
    let code = when.read("code", code);
    let enhanced = when.read("enhanced", enhanced);
    let texts = read_texts(when);
    let fault = when.one_of("fault", &FAULTS);
    let sound = read("stage", stage.is_some())
        && read("code", code.is_some())
        && read("enhanced", enhanced.is_some())
        && texts.is_some()
        && read("fault", fault.is_some());
    let (providers, texts) = (providers.filter(|_| sound)?, texts?);
    Some(Conditions { providers, stage, code, enhanced, texts, fault })
}

/// One text or several; none where the rule asks for no words.
fn read_texts(when: Fields<'_>) -> Option<Vec<TextPattern>> {
    let Some(entry) = when.entry("text") else { return Some(Vec::new()) };
    let nodes = one_or_many(&entry.value);
    if nodes.is_empty() {
        when.problems().at(entry.value.span, "expected words of the reply, got an empty list");
        return None;
    }
    let read: Vec<Option<TextPattern>> = nodes.iter().map(|node| pattern(when.problems(), node)).collect();
    read.into_iter().collect()
}

fn read_providers(when: Fields<'_>, groups: &Groups) -> Option<Vec<Provider>> {
    match (when.entry("group"), when.entry("relay")) {
        (None, None) => Some(vec![Provider::Generic]),
        (Some(_), Some(relay)) => {
            when.problems().at(relay.key_span, "the words are a group's or a relay's, not both: take one away");
            None
        }
        (None, Some(entry)) => one_or_many(&entry.value).iter().map(|node| known_kind(when.problems(), node)).collect(),
        (Some(entry), None) => {
            let known = |node| known_group(when.problems(), node, groups).map(Provider::Group);
            one_or_many(&entry.value).iter().map(known).collect()
        }
    }
}

fn one_or_many(node: &Node) -> &[Node] {
    if let Kind::List(items) = &node.kind { items } else { std::slice::from_ref(node) }
}

fn known_kind(problems: &Problems, node: &Node) -> Option<Provider> {
    let kind = problems.text(node, "a kind of relay, such as ses")?;
    if presets::kinds().any(|known| known == kind) {
        return Some(Provider::Relay(kind.into()));
    }
    presets::unknown_kind(problems, node, kind);
    None
}

fn known_group(problems: &Problems, node: &Node, groups: &Groups) -> Option<GroupName> {
    let name: GroupName = problems.parsed(node, "the name of a group")?;
    if groups.get(&name).is_some() {
        return Some(name);
    }
    let near = did_you_mean(name.as_str(), groups.iter().map(|g| g.name.as_str())).map(str::to_owned);
    let help =
        near.map_or_else(|| "name it under `groups:` first".to_owned(), |near| format!("did you mean \"{near}\"?"));
    problems.at_with(node.span, format!("there is no group {}", quoted(name.as_str())), help);
    None
}

fn code(problems: &Problems, node: &Node) -> Option<u16> {
    let text = problems.text(node, "a reply code such as 550")?;
    let code = text.parse().ok().filter(|code| (200..=599).contains(code));
    if code.is_none() {
        problems.expected(node, "a reply code from 200 to 599");
    }
    code
}

fn enhanced(problems: &Problems, node: &Node) -> Option<(Enhanced, u16)> {
    let text = problems.text(node, "an enhanced code such as 5.7.1 or 5.7.606-649")?;
    let (low, high) = text.split_once('-').map_or((text, None), |(low, high)| (low, Some(high)));
    let read = low.parse::<Enhanced>().ok().and_then(|low| match high {
        None => Some((low, low.2)),
        Some(high) => high.parse().ok().filter(|high| *high >= low.2).map(|high| (low, high)),
    });
    if read.is_none() {
        problems.expected(node, "an enhanced code such as 5.7.1 or 5.7.606-649");
    }
    read
}

fn pattern(problems: &Problems, node: &Node) -> Option<TextPattern> {
    let text = problems.text(node, "words of the reply")?;
    let open = text.matches('{').count();
    if open != text.matches('}').count() {
        problems.at(node.span, format!("expected each {{placeholder}} closed, got {}", quoted(text)));
        return None;
    }
    if let Some(class) = TextPattern::unknown_class(text) {
        let why = format!("expected a class of words such as $mailbox or {{3}}, got {}", quoted(class));
        problems.at_with(node.span, why, "a text that begins with $ is a form: $mailbox {3} $absent");
        return None;
    }
    let pattern = TextPattern::new(text);
    if pattern.is_empty() {
        problems.at(node.span, format!("expected words of the reply, got {} which fits any", quoted(text)));
        return None;
    }
    Some(pattern)
}

/// A wrong rule may cost an address for good: what suppresses must say whose fault it is.
fn cautious(then: Fields<'_>, conditions: &Conditions, signal: Signal, action: Action) {
    if action != Action::Suppress {
        return;
    }
    let at = then.node("action").map_or(then.span, |n| n.span);
    let policy = conditions.enhanced.is_some_and(|(e, _)| e.1 == 7) && conditions.texts.is_empty();
    let early = conditions.stage.filter(|stage| *stage < Stage::Rcpt);
    let why = if let Some(stage) = early {
        Some(format!("no recipient was named yet at {}: nothing said there can suppress an address", stage.as_str()))
    } else if signal != Signal::Recipient {
        Some(format!("expected signal recipient beside action suppress, got {}", signal.as_str()))
    } else if policy {
        Some("a policy code (x.7.x) without words cannot suppress an address".to_owned())
    } else {
        None
    };
    if let Some(why) = why {
        then.problems().at_with(at, why, "`fail` lets the message bounce and keeps the address");
    }
}

#[cfg(test)]
mod tests;
