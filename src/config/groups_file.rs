//! Owns the files of destination groups and reply rules: the shipped ones, and an operator's own laid over them.
//!
//! Invariants: a later file wins where it speaks (an entry for a known group changes only what it names, its domains move to
//! it); every group has a bucket; a domain stands once in a file; the shipped files have no problems (a test holds them to it).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex_lite::Regex;

use super::fields::Fields;
use super::keys::Table;
use super::keys::destinations::{DESTINATIONS, GROUP, GROUP_LIMITS, HINTS, MX, NOTE, PUBLISHED};
use super::presets;
use super::problem::{Problem, Problems, Read, SourceFile, Span, quoted};
use super::replies_file::read_replies;
use super::tree::{self, Node};
use crate::core::names::{BucketName, GroupName};
use crate::core::plan::{AddressForm, DomainPattern, Group, GroupKind, GroupStatus, Groups, Limits};
use crate::core::reply::{Rule, Rules};

/// Destination groups and the rules for what their systems say.
#[derive(Debug, Clone)]
pub struct Destinations {
    /// The groups.
    pub groups: Groups,
    /// The rules.
    pub rules: Rules,
}

impl Destinations {
    /// Nothing but the group `default`, and the words of the known relays (`plans/relays.yaml`).
    ///
    /// # Panics
    /// Never: `default` is a name, and a test reads the file.
    #[must_use]
    pub fn bare() -> Self {
        let default = GroupName::new("default").expect("\"default\" is a name");
        let groups = Groups::new(fresh(&default));
        let rules = relay_rules(&groups).value.expect("the words of the known relays have no problems");
        Self { groups, rules: Rules::new(rules) }
    }

    /// What is shipped in `plans/groups.yaml`, `plans/replies.yaml` and `plans/relays.yaml`, with the phrases and hints of anybody
    /// (`plans/phrases.yaml`, `plans/hints.yaml`).
    ///
    /// # Panics
    /// Never: the files are part of the program, and a test reads them.
    #[must_use]
    pub fn shipped() -> Self {
        SHIPPED.clone()
    }

    fn read_shipped() -> Self {
        let groups = SourceFile::new("groups.yaml", include_str!("../../plans/groups.yaml"));
        let replies = SourceFile::new("replies.yaml", include_str!("../../plans/replies.yaml"));
        let groups = read_destinations(&groups, Self::bare()).value.expect("the shipped groups have no problems");
        let Self { groups, rules } =
            read_destinations(&replies, groups).value.expect("the shipped reply rules have no problems");
        let phrases = SourceFile::new("phrases.yaml", include_str!("../../plans/phrases.yaml"));
        let hints = SourceFile::new("hints.yaml", include_str!("../../plans/hints.yaml"));
        let of = |file| rules_alone(file, &groups).value.expect("the shipped phrases and hints have no problems");
        let rules = rules.with_phrases(of(&phrases), of(&hints));
        Self { groups, rules }
    }
}

/// Read once: they are a page of rules, and a plan is judged with them each time.
static SHIPPED: LazyLock<Destinations> = LazyLock::new(Destinations::read_shipped);

/// The known relays' own words.
fn relay_rules(groups: &Groups) -> Read<Vec<Rule>> {
    rules_alone(&presets::shipped_file(), groups)
}

/// The rules under `replies:` of a file, in the order in which they are written.
fn rules_alone(file: &Arc<SourceFile>, groups: &Groups) -> Read<Vec<Rule>> {
    let problems = Problems::new(file);
    let read = tree::parse(&problems).and_then(|root| {
        let top = Fields::of(&problems, &root, root.span, "replies")?;
        top.map("replies", "reply rules by id").map(|fields| read_replies(fields, groups))
    });
    Read::new(read, problems.into_vec())
}

/// Reads `groups:` and `replies:` of `file`, laid over `base`.
#[must_use]
pub fn read_destinations(file: &Arc<SourceFile>, base: Destinations) -> Read<Destinations> {
    let problems = Problems::new(file);
    let read = tree::parse(&problems).and_then(|root| {
        let top = Fields::of(&problems, &root, root.span, "groups and replies")?;
        top.known(&DESTINATIONS);
        let Destinations { mut groups, mut rules } = base;
        if let Some(fields) = top.map("groups", "destination groups by name") {
            read_groups(fields, &mut groups);
        }
        if let Some(fields) = top.map("replies", "reply rules by id") {
            rules = rules.overridden_by(read_replies(fields, &groups));
        }
        Some(Destinations { groups, rules })
    });
    Read::new(read, problems.into_vec())
}

/// A group of which nothing is known yet.
fn fresh(name: &GroupName) -> Group {
    Group {
        name: name.clone(),
        bucket: BucketName::of_group(name),
        title: name.to_string(),
        kind: GroupKind::Global,
        status: GroupStatus::Active,
        confidence: "unknown".to_owned(),
        limits: Limits::default(),
        irregular: AddressForm::Refused,
        notes: Vec::new(),
    }
}

/// Where each domain, suffix and pattern of this file was first written, and for which group.
type Seen = BTreeMap<String, (GroupName, Span)>;

fn read_groups(fields: Fields<'_>, groups: &mut Groups) {
    let mut seen = Seen::new();
    for entry in fields.entries {
        let name = match GroupName::new(&entry.key) {
            Ok(name) => name,
            Err(error) => {
                fields.problems().at(entry.key_span, error.to_string());
                continue;
            }
        };
        let Some(own) = Fields::of(fields.problems(), &entry.value, entry.key_span, "the facts of a group") else {
            continue;
        };
        own.known(&GROUP);
        let group = groups.get(&name).cloned().unwrap_or_else(|| fresh(&name));
        groups.add_group(read_group(own, group));
        Domains { fields: own, group: &name, seen: &mut seen }.read(groups);
    }
}

fn read_group(fields: Fields<'_>, known: Group) -> Group {
    const KINDS: [(&str, GroupKind); 4] = [
        ("carrier", GroupKind::Carrier),
        ("isp", GroupKind::Isp),
        ("freemail", GroupKind::Freemail),
        ("global", GroupKind::Global),
    ];
    const STATUS: [(&str, GroupStatus); 3] =
        [("active", GroupStatus::Active), ("legacy", GroupStatus::Legacy), ("dead", GroupStatus::Dead)];
    const FORMS: [(&str, AddressForm); 3] =
        [("quoted", AddressForm::Quoted), ("verbatim", AddressForm::Verbatim), ("refused", AddressForm::Refused)];
    let mut notes = known.notes;
    notes.extend(read_published(fields));
    notes.extend(read_hints(fields));
    notes.extend(read_notes(fields));
    Group {
        name: known.name,
        bucket: fields.parsed("bucket", "the name of a bucket").unwrap_or(known.bucket),
        title: fields.text("title").map_or(known.title, str::to_owned),
        kind: fields.one_of("kind", &KINDS).unwrap_or(known.kind),
        status: fields.one_of("status", &STATUS).unwrap_or(known.status),
        confidence: fields.text("confidence").map_or(known.confidence, str::to_owned),
        limits: fields.map("limits", "limits").map_or(known.limits.clone(), |l| read_limits(l, known.limits)),
        irregular: fields.one_of("irregular", &FORMS).unwrap_or(known.irregular),
        notes,
    }
}

fn read_limits(fields: Fields<'_>, known: Limits) -> Limits {
    fields.known(&GROUP_LIMITS);
    let bytes = |key: &str| fields.count(key).map(std::num::NonZeroU32::get);
    let limits = Limits {
        rate: fields.rate("rate").or(known.rate),
        connections: fields.count("connections").or(known.connections),
        messages_per_connection: fields.count("messages_per_connection").or(known.messages_per_connection),
        message_bytes_max: bytes("message_bytes").or(known.message_bytes_max),
        header_bytes_max: bytes("header_bytes").or(known.header_bytes_max),
        line_bytes_max: bytes("line_bytes").or(known.line_bytes_max),
        cooldown: fields.duration("cooldown").or(known.cooldown),
        cooldown_max: fields.duration("cooldown_max").or(known.cooldown_max),
    };
    if let (Some(cooldown), Some(longest)) = (limits.cooldown, limits.cooldown_max)
        && longest < cooldown
    {
        let at = fields.node("cooldown_max").or_else(|| fields.node("cooldown")).map_or(fields.span, |n| n.span);
        fields.problems().at(at, "cooldown_max is shorter than cooldown");
    }
    limits
}

/// `published`: figures of the provider itself.
fn read_published(fields: Fields<'_>) -> Vec<String> {
    facts(fields, "published", &PUBLISHED, |fact| {
        Some(format!("{}: {} (published: {})", fact("what")?, fact("is")?, fact("source")?))
    })
}

fn read_notes(fields: Fields<'_>) -> Vec<String> {
    facts(fields, "notes", &NOTE, |fact| {
        Some(format!("{} ({}: {})", fact("note")?, fact("confidence")?, fact("source")?))
    })
}

fn facts(
    fields: Fields<'_>,
    key: &str,
    table: &Table,
    show: impl Fn(&dyn Fn(&str) -> Option<String>) -> Option<String>,
) -> Vec<String> {
    let items = fields.list(key, "facts").unwrap_or_default();
    let read = |item: &Node| {
        let names: Vec<&str> = table.keys().map(|key| key.name).collect();
        let fact = Fields::of(fields.problems(), item, item.span, &names.join(", "))?;
        fact.known(table);
        show(&|key| {
            fact.required(key, "a text")?;
            fact.text(key).map(str::to_owned)
        })
    };
    items.iter().filter_map(read).collect()
}

/// `hints`: what a plan may want to follow.
fn read_hints(fields: Fields<'_>) -> Vec<String> {
    let Some(hints) = fields.map("hints", "hints for plans") else { return Vec::new() };
    hints.known(&HINTS);
    let minutes = hints.list("avoid_minutes", "minutes such as \"00-05\"").map(|items| {
        let texts: Vec<_> = items.iter().filter_map(|n| hints.problems().text(n, "minutes")).collect();
        format!("busy minutes of the hour {} (our suggestion)", texts.join(", "))
    });
    let quiet = hints.text("quiet").map(|hours| format!("quiet hours {hours} (our suggestion)"));
    let session = hints
        .duration("session_at_most")
        .map(|span| format!("sessions of at most {} (our suggestion)", crate::core::units::show_span(span)));
    [quiet, minutes, session].into_iter().flatten().collect()
}

/// The part of an entry that says which domains belong to it.
struct Domains<'a> {
    fields: Fields<'a>,
    group: &'a GroupName,
    seen: &'a mut Seen,
}

impl Domains<'_> {
    fn read(mut self, groups: &mut Groups) {
        let group = self.group;
        self.each("domains", "domains such as example.jp", domain, |d| groups.add_domain(d, group));
        self.each("domains_hosted", "domains such as example.jp", domain, |d| groups.add_domain(d, group));
        self.each("dead", "domains such as example.jp", domain, |d| groups.add_dead(d, group));
        let suffix = |text: &str| {
            let rest = text.strip_prefix('.').ok_or("expected a suffix that begins with a dot, such as .ocn.ne.jp")?;
            domain(rest).map(|d| format!(".{d}"))
        };
        self.each("suffixes", "suffixes such as .ocn.ne.jp", suffix, |s| groups.add_suffix(s, group));
        self.patterns(groups);
        if let Some(mx) = self.fields.map("mx", "suffixes and observed") {
            mx.known(&MX);
            for key in ["suffixes", "observed"] {
                for item in mx.list(key, "names of mail hosts").unwrap_or_default() {
                    mx.problems().text(item, "the name of a mail host");
                }
            }
        }
    }

    fn each(
        &mut self,
        key: &str,
        what: &str,
        read: impl Fn(&str) -> Result<String, &'static str>,
        mut add: impl FnMut(&str),
    ) {
        let problems = self.fields.problems();
        for item in self.fields.list(key, what).unwrap_or_default() {
            let Some(text) = problems.text(item, what) else { continue };
            match read(text) {
                Ok(text) if self.is_new(&text, item) => add(&text),
                Ok(_) => {}
                Err(error) => problems.at(item.span, format!("{error}, got {}", quoted(text))),
            }
        }
    }

    fn patterns(&mut self, groups: &mut Groups) {
        let problems = self.fields.problems();
        for item in self.fields.list("patterns", "regular expressions").unwrap_or_default() {
            let Some(text) = problems.text(item, "a regular expression") else { continue };
            match Regex::new(&format!("^(?:{text})$")) {
                Ok(regex) if self.is_new(text, item) => {
                    let end = literal_end(text);
                    // Lists hold millions of addresses, and few of them are of these domains.
                    let fits = Arc::new(move |domain: &str| domain.ends_with(&end) && regex.is_match(domain));
                    groups.add_pattern(DomainPattern { text: text.to_owned(), fits }, self.group);
                }
                Ok(_) => {}
                Err(error) => {
                    let help = "it is matched against the whole domain, in lower case; a dot is written \\.";
                    problems.at_with(item.span, format!("not a regular expression: {error}"), help);
                }
            }
        }
    }

    fn is_new(&mut self, text: &str, item: &Node) -> bool {
        let problems = self.fields.problems();
        let Some((group, first)) = self.seen.get(text) else {
            self.seen.insert(text.to_owned(), (self.group.clone(), item.span));
            return true;
        };
        let message = format!("{} is listed twice", quoted(text));
        let problem = Problem::at(problems.file(), item.span, message);
        problems.push(problem.also(*first, format!("first here, in {group}")).help("a domain belongs to one group"));
        false
    }
}

/// A domain in lower case and A-label form.
fn domain(text: &str) -> Result<String, &'static str> {
    const WHAT: &str = "expected a domain such as example.jp";
    let ascii = idna::domain_to_ascii_strict(text).map_err(|_| WHAT)?;
    if ascii.contains('.') && !ascii.starts_with('.') { Ok(ascii) } else { Err(WHAT) }
}

/// What every text that fits the expression ends with, as far as that is plain to see; empty where it is not.
fn literal_end(expression: &str) -> String {
    let octets = expression.as_bytes();
    let mut at = octets.len();
    let mut end = Vec::new();
    while at > 0 {
        let escaped = at > 1 && octets[at - 2] == b'\\';
        match octets[at - 1] {
            b'.' if escaped => at -= 2,
            b'a'..=b'z' | b'0'..=b'9' | b'-' if !escaped => at -= 1,
            _ => break,
        }
        end.push(if octets[at] == b'\\' { b'.' } else { octets[at] });
    }
    // Alternatives may end otherwise; they are harmless inside brackets that are closed before.
    let rest = &octets[..at];
    let depths = rest.iter().scan(0_i32, |depth, octet| {
        *depth += i32::from(*octet == b'(') - i32::from(*octet == b')');
        Some((*depth, *octet))
    });
    let mut plain = 0;
    for (depth, octet) in depths {
        if depth <= 0 && octet == b'|' {
            return String::new();
        }
        plain = depth;
    }
    if plain != 0 {
        return String::new();
    }
    end.reverse();
    String::from_utf8(end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
