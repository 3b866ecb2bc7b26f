//! Owns the known relays: `plans/relays.yaml`, built in; what a relay's `kind` fills in, and which document says so.
//!
//! Invariants: what a relay writes itself wins, setting by setting; every setting of a preset is one that a relay could write,
//! and has a document with a confidence (a test holds the file to it).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::fields::Fields;
use super::problem::{Problems, Read, SourceFile, Span, did_you_mean, quoted};
use super::tree::{self, Entry, Kind, Node};

/// The text of the shipped file.
const TEXT: &str = include_str!("../../plans/relays.yaml");

static SHIPPED: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    read_presets(&shipped_file()).value.expect("the shipped relays have no problems: a test reads them")
});

/// The shipped file.
pub(super) fn shipped_file() -> Arc<SourceFile> {
    SourceFile::new("relays.yaml", TEXT)
}

/// Every known relay.
#[must_use]
pub fn presets() -> &'static [Preset] {
    &SHIPPED
}

/// The names of the known relays.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    presets().iter().map(|preset| preset.kind.as_str())
}

/// The known relay of this name.
#[must_use]
pub fn preset(kind: &str) -> Option<&'static Preset> {
    presets().iter().find(|preset| preset.kind == kind)
}

/// The known relay whose host this is, in any region.
#[must_use]
pub fn preset_of_host(host: &str) -> Option<&'static Preset> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    presets().iter().find(|preset| preset.hosts().any(|known| is_host(&host, known)))
}

/// Whether `host` is `known`, in which `{region}` stands for one part of a name.
fn is_host(host: &str, known: &str) -> bool {
    let Some((before, after)) = known.split_once("{region}") else { return host == known };
    let region = host.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    region.is_some_and(|region| !region.is_empty() && !region.contains('.'))
}

/// Reports that no relay of this name is known.
pub(super) fn unknown_kind(problems: &Problems, node: &Node, kind: &str) {
    let help = match did_you_mean(kind, kinds()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known kinds: {}", kinds().collect::<Vec<_>>().join(", ")),
    };
    problems.at_with(node.span, format!("there is no kind of relay {}", quoted(kind)), help);
}

/// A relay known by name.
#[derive(Debug, PartialEq)]
pub struct Preset {
    /// What the configuration calls it: `ses`.
    pub kind: String,
    /// What people call it: `Amazon SES`.
    pub title: String,
    /// Whether it takes nobody without a login.
    pub needs_login: bool,
    /// Settings that depend on the account, such as `limits.rate`.
    pub account: Vec<String>,
    /// Headers that it changes, in lower case.
    pub rewrites: Vec<String>,
    /// What no setting says, each with its document.
    pub notes: Vec<String>,
    settings: Vec<Entry>,
    sources: BTreeMap<String, String>,
    ports: Vec<(String, Vec<String>)>,
    regions: Regions,
}

/// Where a relay's host depends on a region.
#[derive(Debug, Default, PartialEq)]
enum Regions {
    /// It does not.
    #[default]
    None,
    /// The region is a part of the host's name. More than these may exist.
    Named(Vec<String>),
    /// Each region has a host; without one there is a usual host.
    Hosts(Vec<(String, String)>),
}

impl Preset {
    /// The document that says `key` (`limits.rate`), with its confidence.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&str> {
        self.sources.get(key).map(String::as_str)
    }

    /// Its hosts, with `{region}` where the region stands.
    fn hosts(&self) -> impl Iterator<Item = &str> {
        let usual = self.settings.iter().filter(|e| e.key == "host").filter_map(|e| e.value.as_text());
        let regions = if let Regions::Hosts(hosts) = &self.regions { hosts.as_slice() } else { &[] };
        usual.chain(regions.iter().map(|(_, host)| host.as_str()))
    }

    /// Whether any of its ports is known.
    pub(super) fn has_ports(&self) -> bool {
        !self.ports.is_empty()
    }

    /// How its login is written, for who forgot it.
    pub(super) fn login_example(&self) -> String {
        let auth = self.settings.iter().find(|e| e.key == "auth").map(|e| &e.value.kind);
        let inner = |key: &str| match auth {
            Some(Kind::Map(entries)) => entries.iter().find(|e| e.key == key).and_then(|e| e.value.as_text()),
            _ => None,
        };
        let user = if inner("user").is_some() { "" } else { "user: USER, " };
        match inner("mechanism") {
            Some("xoauth2") => format!(
                "write `auth: {{ {user}token: {{ command: [PROGRAM, ...] }} }}`, or {{ env: NAME }}, {{ file: PATH }}"
            ),
            _ => format!("write `auth: {{ {user}password: {{ env: NAME }} }}`"),
        }
    }

    /// How the connection to `port` is protected, when it is one that is known.
    #[must_use]
    pub fn tls_of(&self, port: u16) -> Option<&str> {
        let port = port.to_string();
        self.ports.iter().find(|(_, ports)| ports.contains(&port)).map(|(tls, _)| tls.as_str())
    }

    /// The entry of a relay that writes `own`, with everything that it leaves to its kind, at the place of `kind`. A missing or
    /// unknown region is reported.
    pub(super) fn fill(&self, own: Fields<'_>, at: Span) -> Vec<Entry> {
        let mut filled = own.entries.to_vec();
        for entry in &self.settings {
            match entry.key.as_str() {
                "host" => filled.extend(self.host(own, at)),
                "tls" | "port" => {}
                key => match filled.iter_mut().find(|e| e.key == key) {
                    Some(written) => lay_under(written, entry, at),
                    // Whether somebody logs in is the account's affair; how, the relay's.
                    None if key == "auth" => {}
                    None => filled.push(placed(entry, at)),
                },
            }
        }
        filled.extend(self.protection(own, at));
        filled
    }

    /// `tls` and `port` where one of them, or both, are not written. Each follows from the other.
    fn protection(&self, own: Fields<'_>, at: Span) -> Vec<Entry> {
        let usual = |key: &str| self.settings.iter().find(|e| e.key == key).map(|e| placed(e, at));
        match (own.node("tls"), own.node("port")) {
            (None, None) => ["tls", "port"].into_iter().filter_map(usual).collect(),
            (Some(tls), None) => {
                let tls = tls.as_text().unwrap_or_default();
                let port = self.ports.iter().find(|(known, _)| known == tls).and_then(|(_, ports)| ports.first());
                port.map(|port| scalar("port", port, at)).into_iter().collect()
            }
            (None, Some(port)) => {
                let known = port.as_text().and_then(|port| port.parse().ok()).and_then(|port| self.tls_of(port));
                known.map(|tls| scalar("tls", tls, at)).or_else(|| usual("tls")).into_iter().collect()
            }
            (Some(_), Some(_)) => Vec::new(),
        }
    }

    /// The host of the relay's region. Where the region is at fault, and that was said, the host is not missing too.
    fn host(&self, own: Fields<'_>, at: Span) -> Option<Entry> {
        if own.node("host").is_some() {
            return None;
        }
        let usual = self.settings.iter().find(|e| e.key == "host").and_then(|e| e.value.as_text())?;
        let refused =
            Some(Entry { key: "host".to_owned(), key_span: at, value: Node { span: at, kind: Kind::Refused } });
        let region = own.entry("region").and_then(|entry| Some((entry.value.as_text()?, entry.value.span)));
        let host = match (&self.regions, region) {
            (Regions::Named(known), Some((region, _))) if known.iter().any(|k| k == region) => {
                usual.replace("{region}", region)
            }
            (Regions::Named(known), Some((region, span))) => {
                if region.is_empty() || !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    own.problems()
                        .at(span, format!("expected a region such as {}, got {}", first(known), quoted(region)));
                    return refused;
                }
                let message = format!("{} is not a region of {} that is known here", quoted(region), self.kind);
                own.problems().lint(span, message, nearest(region, known.iter()));
                usual.replace("{region}", region)
            }
            (Regions::Named(known), None) => {
                let message = format!("\"region\" is missing: the host of {} is {usual}", self.kind);
                let help = format!("add `region:` with the region of the account, such as {}", first(known));
                own.problems().at_with(at, message, help);
                return refused;
            }
            (Regions::Hosts(hosts), Some((region, span))) => {
                let Some((_, host)) = hosts.iter().find(|(known, _)| known == region) else {
                    let message = format!("{} has no region {}", self.kind, quoted(region));
                    own.problems().at_with(span, message, nearest(region, hosts.iter().map(|(name, _)| name)));
                    return refused;
                };
                host.clone()
            }
            (_, None) => usual.to_owned(),
            (Regions::None, Some((_, span))) => {
                own.problems().at_with(span, format!("the host of {} has no region", self.kind), "take `region` away");
                return refused;
            }
        };
        Some(scalar("host", &host, at))
    }
}

fn first(known: &[String]) -> &str {
    known.first().map_or("ap-northeast-1", String::as_str)
}

fn nearest<'a>(got: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match did_you_mean(got, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known regions: {}", known.join(", ")),
    }
}

/// Puts what `written` leaves open under it. What is written may rule a part of the preset out.
fn lay_under(written: &mut Entry, preset: &Entry, at: Span) {
    let (Kind::Map(own), Kind::Map(more)) = (&mut written.value.kind, &preset.value.kind) else { return };
    let has = |key: &str| own.iter().any(|e| e.key == key);
    // A burst belongs to its rate; who gives a password or a token has chosen how to log in.
    let chosen = has("password") || has("token");
    let ruled_out = |key: &str| has(key) || (key == "burst" && has("rate")) || (key == "mechanism" && chosen);
    let more: Vec<Entry> = more.iter().filter(|e| !ruled_out(&e.key)).map(|e| placed(e, at)).collect();
    own.extend(more);
}

/// A piece of the preset as if it stood at `at`, so that whatever is said of it points there.
fn placed(entry: &Entry, at: Span) -> Entry {
    fn node(from: &Node, at: Span) -> Node {
        let kind = match &from.kind {
            Kind::List(items) => Kind::List(items.iter().map(|item| node(item, at)).collect()),
            Kind::Map(entries) => Kind::Map(entries.iter().map(|entry| placed(entry, at)).collect()),
            other => other.clone(),
        };
        Node { span: at, kind }
    }
    Entry { key: entry.key.clone(), key_span: at, value: node(&entry.value, at) }
}

fn scalar(key: &str, text: &str, at: Span) -> Entry {
    let kind = Kind::Scalar { text: text.to_owned(), quoted: false };
    Entry { key: key.to_owned(), key_span: at, value: Node { span: at, kind } }
}

/// Reads the known relays of `file`.
fn read_presets(file: &Arc<SourceFile>) -> Read<Vec<Preset>> {
    let problems = Problems::new(file);
    let read = tree::parse(&problems).and_then(|root| {
        let top = Fields::of(&problems, &root, root.span, "relays and replies")?;
        top.known_names(&["relays", "replies"]);
        let map = top.map("relays", "known relays by name")?;
        let read = |entry: &Entry| {
            let fields = Fields::of(&problems, &entry.value, entry.key_span, "a known relay")?;
            read_preset(&entry.key, fields)
        };
        Some(map.entries.iter().filter_map(read).collect())
    });
    Read::new(read, problems.into_vec())
}

fn read_preset(kind: &str, fields: Fields<'_>) -> Option<Preset> {
    fields.known_names(&["title", "facts"]);
    let title = fields.required("title", "what people call it").and(fields.text("title"))?;
    let mut preset = Preset {
        kind: kind.to_owned(),
        title: title.to_owned(),
        needs_login: false,
        account: Vec::new(),
        rewrites: Vec::new(),
        notes: Vec::new(),
        settings: Vec::new(),
        sources: BTreeMap::new(),
        ports: Vec::new(),
        regions: Regions::None,
    };
    for item in fields.list("facts", "facts with their documents").unwrap_or_default() {
        read_facts(&mut preset, Fields::of(fields.problems(), item, item.span, "facts of one document")?);
    }
    Some(preset)
}

fn read_facts(preset: &mut Preset, facts: Fields<'_>) {
    const KEYS: [&str; 9] =
        ["source", "confidence", "settings", "ports", "regions", "needs", "account", "rewrites", "note"];
    facts.known_names(&KEYS);
    let word = |key: &str| facts.required(key, "a text").and(facts.text(key)).unwrap_or_default();
    let source = format!("{} ({})", word("source"), word("confidence"));
    if let Some(settings) = facts.map("settings", "keys of a relay") {
        for entry in settings.entries {
            if let Kind::Map(inner) = &entry.value.kind {
                preset.sources.extend(inner.iter().map(|e| (format!("{}.{}", entry.key, e.key), source.clone())));
            }
            preset.sources.insert(entry.key.clone(), source.clone());
            match preset.settings.iter_mut().find(|known| known.key == entry.key) {
                Some(known) => lay_under(known, entry, entry.key_span),
                None => preset.settings.push(entry.clone()),
            }
        }
    }
    if let Some(ports) = facts.map("ports", "ports by protection") {
        let read = |entry: &Entry| (entry.key.clone(), texts(facts.problems(), &entry.value));
        preset.ports.extend(ports.entries.iter().map(read));
    }
    if let Some(node) = facts.node("regions") {
        preset.regions = match &node.kind {
            Kind::Map(entries) => {
                let host = |e: &Entry| Some((e.key.clone(), facts.problems().text(&e.value, "a host")?.to_owned()));
                Regions::Hosts(entries.iter().filter_map(host).collect())
            }
            _ => Regions::Named(texts(facts.problems(), node)),
        };
    }
    preset.needs_login |= facts.one_of("needs", &[("login", true)]).unwrap_or(false);
    for (key, list) in [("account", &mut preset.account), ("rewrites", &mut preset.rewrites)] {
        list.extend(facts.node(key).map(|node| texts(facts.problems(), node)).unwrap_or_default());
    }
    preset.notes.extend(facts.text("note").map(|note| format!("{note} ({source})")));
}

fn texts(problems: &Problems, node: &Node) -> Vec<String> {
    let items = problems.list(node, "texts").unwrap_or_default();
    items.iter().filter_map(|item| problems.text(item, "a text")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
