//! The JSON Schemas against the readers. One whole file of each kind, with every key that there is, is changed one value at a
//! time; reader and schema judge each change. A schema never refuses what its reader takes, and refuses what the reader refuses
//! wherever a schema can know (`BEYOND` names what it cannot: other files, the calendar, values against each other).

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use hikagen::config::Config;
use hikagen::config::campaign_file::read_campaign;
use hikagen::config::config_file::load_with;
use hikagen::config::groups_file::{Destinations, read_destinations};
use hikagen::config::keys::{Kind, Shape, Table, schema};
use hikagen::config::plan_file::read_plan;
use hikagen::config::problem::{Problem, Read, Severity, SourceFile};
use hikagen::config::settings::{
    DEFAULT_CONNECTION_AGE, DEFAULT_CONNECTIONS, DEFAULT_MESSAGES_PER_CONNECTION, RelaySettings,
};
use jiff::tz::TimeZone;
use jsonschema::Validator;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, write_campaign, write_configuration, write_plan};

/// Files of a kind beside its whole one, for what excludes what stands there.
const BESIDE: [(&str, &str); 1] = [("campaign", "campaign-eml")];

/// What a schema cannot know, in the reader's words.
const BEYOND: [&str; 54] = [
    "expected a time zone",
    "the file ",
    "there is no ",
    "there is no relay",
    "is in this pool twice",
    "is a directory",
    "cannot read",
    "cannot be read",
    "expected text in UTF-8",
    "environment variable",
    "the secret in",
    "expected a host name",
    "expected a domain",
    "expected an IP address",
    "would go to",
    "is written by Hikagen itself",
    "the header ",
    "has no entry",
    "like each other in a circle",
    "a curve that grows has no end",
    "is there twice",
    "may not cross day_starts",
    "expected a cooldown of at most 24h",
    "cooldown_max is shorter",
    "not a regular expression",
    "is listed twice",
    "which fits any",
    "placeholder",
    "a policy code",
    "unknown destination group",
    "is not later than",
    "the part after the @",
    "expected one name and one address",
    "expected < before >",
    "expected an address",
    "a sender's address",
    "dots may not stand together",
    "an address has",
    "the local part has a character",
    "not an address",
    "expected a span",
    "expected hours",
    "of different curves",
    "could not be",
    "scaled twice",
    "\"region\" is missing",
    "cannot be signed",
    "expected a region",
    "takes nobody without a login",
    "\"user\" is missing",
    "the DKIM key in",
    "expected a network",
    "is open beyond loopback",
    "cannot have the same address",
];

/// Values that are tried in the place of each value.
fn probes() -> Vec<Value> {
    let mut probes = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(5),
        json!(50),
        json!(101),
        json!(587),
        json!(5_000),
        json!(70_000),
        json!(5_000_000_000_u64),
        json!(-1),
        json!(0.5),
        json!(1.5),
        json!(11.5),
        json!([]),
        json!([[]]),
        json!([["nonsense"]]),
        json!(["nonsense"]),
        json!(["2h", "2h"]),
        json!([1, 0]),
        json!({}),
        json!({ "nonsense": 1 }),
        json!({ "mon": "08:00-21:00" }),
        json!({ "monday": "08:00-21:00" }),
        json!({ "start": 5 }),
        json!({ "start": 5, "grow": 1.2 }),
        json!({ "preset": "braze-moderate" }),
        json!({ "preset": "nobody" }),
        json!({ "file": "key" }),
        json!({ "env": "PASSWORD", "file": "key" }),
    ];
    probes.extend(
        "x|1_000|1_|_1|007|30/min|30 / min|0/min|1/5m|10|10/|5%|0%|150%|100%|100.01%|12.345%|1.%|2h|1h30m|1 h 30 m|0s|1h30|400ms|none|even|\
         japan|builtin|steady|on|off|true|own|retry|docomo|Docomo|a_b|08:00-21:00|8:00-21:00|22:00-02:00|25:00-26:00|08:60-09:00|\
         24:00-08:00|24:00|04:00|4:5|00-05|58-02|60|61-62|12-31|13-01|2026-12-31|2026-12-31 09:00|2026-12-31T09:00|2026-12-31 9:00|\
         2026-12-31 09:00+09:00|+12d|+x|+0d|200MB|200 MB|200XB|550|600|99|5.7.1|5.7.606-649|6.1.1|5.7|spring-2026|Spring 2026|\
         m.example.jp|localhost|192.0.2.1|300.0.0.1|::1|smtp.example.net:587|news@m.example.jp|Name <news@m.example.jp>|\
         https://example.jp/u/{token}|http://example.jp/|ftp://example.jp/|bounce+{token}@m.example.jp|{token}@{token}.jp|\
         mailto:a@example.jp|/bin/cat|/bin/cat | sh|.ocn.ne.jp|.x|[|rcpt|reset|suppress|recipient|asap|carrier"
            .split('|')
            .map(Value::from),
    );
    probes.extend(["", " ", "a\nb", "a\tb", "例え.jp", "ａ"].map(Value::from));
    probes.push(json!("x".repeat(70)));
    probes
}

/// A folder in which the whole files find what they name.
struct Judge {
    folder: TempDir,
    kind: Kind,
    validator: Validator,
}

/// A certificate with an RSA key, as Amazon SNS has one.
static CERTIFICATE: LazyLock<String> = LazyLock::new(|| {
    let arguments = "req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -days 30 -subj /CN=sns.example";
    let output =
        Command::new("openssl").args(arguments.split(' ')).output().expect("openssl is missing: see ./tests/run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
});

impl Judge {
    fn new(kind: Kind) -> Self {
        // Ten thousand files are written one after the other: in memory where the system has such a place.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let plan = "plan: p\ntimezone: Asia/Tokyo\ngroups: { default: { curve: [10] } }\n";
        let (groups, key, base64) = (whole("groups"), "ab".repeat(32), format!("{}=", "A".repeat(43)));
        for (name, text) in [
            ("sns.pem", CERTIFICATE.as_str()),
            ("plan.yaml", plan),
            ("groups.yaml", &groups),
            ("ca.pem", "-----BEGIN CERTIFICATE-----\n"),
            ("key", &key),
            ("password", "secret\n"),
            ("dkim", &base64),
            ("news.txt", "text\n"),
            ("news.html", "<p>text</p>\n"),
            ("list.csv", "email\n"),
            ("autumn.eml", "From: news@m.example.jp\n\ntext\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, kind, validator: jsonschema::validator_for(&schema(kind)).unwrap() }
    }

    /// The reader's problems.
    fn read(&self, text: &str) -> Vec<Problem> {
        let found = match self.kind {
            Kind::Plan => read_plan(text, "plan.yaml", &Destinations::shipped().groups).problems,
            Kind::Groups | Kind::Replies => {
                read_destinations(&SourceFile::new("groups.yaml", text), Destinations::shipped()).problems
            }
            Kind::Campaign => {
                let path = self.folder.path().join("campaign.yaml").display().to_string();
                read_campaign(text, &path, &TimeZone::UTC).problems
            }
            Kind::Config => self.load(text).problems,
        };
        found.into_iter().filter(|problem| problem.severity == Severity::Problem).collect()
    }

    /// The configuration.
    fn load(&self, text: &str) -> Read<Config> {
        let path = self.folder.path().join("hikagen.yaml");
        std::fs::write(&path, text).unwrap();
        load_with(&path, &|name| (name == "PASSWORD").then(|| "secret".to_owned())).0
    }

    /// What the schema says against it.
    fn refusals(&self, value: &Value) -> Vec<String> {
        self.validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    /// How reader and schema differ about a changed file, in words.
    fn differ(&self, change: &Change) -> Option<String> {
        let Change { what, value, .. } = change;
        let problems = self.read(&format!("{value:#}"));
        let refusals = self.refusals(value);
        let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        let beyond = told.iter().any(|message| BEYOND.iter().any(|words| message.contains(words)));
        match (problems.is_empty(), refusals.is_empty()) {
            (true, false) if self.refusals(&change.in_quotes()).is_empty() => None,
            (true, false) => Some(format!("{what}: the reader takes it, the schema says {refusals:?}")),
            (false, true) if !beyond => Some(format!("{what}: the schema takes it, the reader says {told:?}")),
            _ => None,
        }
    }
}

fn whole(kind: &str) -> String {
    let name = if kind == "replies" { "groups" } else { kind };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/bad/whole/{name}.yaml"));
    std::fs::read_to_string(path).unwrap()
}

/// The whole file of a kind, and what stands beside it.
fn wholes(kind: Kind) -> Vec<String> {
    let beside = BESIDE.iter().filter(|(of, _)| *of == kind.as_str());
    std::iter::once(kind.as_str()).chain(beside.map(|(_, name)| *name)).map(whole).collect()
}

fn parsed(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// The place of every value below `value`, as a JSON pointer.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let mut each = |key: String, value: &Value| {
        let place = format!("{at}/{key}");
        out.push(place.clone());
        places(value, &place, out);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| each(escaped(key), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| each(n.to_string(), value)),
        _ => {}
    }
}

/// A file with one value changed.
struct Change {
    what: String,
    place: Option<String>,
    value: Value,
}

impl Change {
    fn new(what: String, value: Value) -> Self {
        Self { what, place: None, value }
    }

    /// The same with the changed value as a text. What YAML takes for something else (a name `true`, a domain `1.5`) a schema
    /// may want in quotes.
    fn in_quotes(&self) -> Value {
        let mut value = self.value.clone();
        if let Some(place) = self.place.as_ref().and_then(|place| value.pointer_mut(place))
            && (place.is_boolean() || place.is_f64())
        {
            *place = json!(place.to_string());
        }
        value
    }
}

/// Every change of one value that is tried.
fn changes_of(whole: &Value) -> Vec<Change> {
    let mut all = Vec::new();
    places(whole, "", &mut all);
    let mut changes = Vec::new();
    let probes = probes();
    for place in &all {
        for probe in &probes {
            let mut changed = whole.clone();
            *changed.pointer_mut(place).unwrap() = probe.clone();
            let what = format!("{place} = {probe}");
            changes.push(Change { what, place: Some(place.clone()), value: changed });
        }
        let (above, name) = place.rsplit_once('/').unwrap();
        let mut without = whole.clone();
        if let Some(map) = without.pointer_mut(above).unwrap().as_object_mut() {
            map.remove(name);
            changes.push(Change::new(format!("{place} taken away"), without));
        }
    }
    let maps = all.iter().map(String::as_str).chain([""]).filter(|place| whole.pointer(place).unwrap().is_object());
    for place in maps {
        let mut more = whole.clone();
        let map = more.pointer_mut(place).unwrap().as_object_mut().unwrap();
        map.insert("no_such_key".to_owned(), json!(1));
        changes.push(Change::new(format!("{place}/no_such_key added"), more));
    }
    changes
}

fn agree(kind: Kind) {
    let judge = Judge::new(kind);
    let mut changes = Vec::new();
    for text in wholes(kind) {
        let problems = judge.read(&text);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "the whole file has problems: {told:#?}");
        let whole = parsed(&text);
        assert_eq!(judge.refusals(&whole), Vec::<String>::new());
        changes.extend(changes_of(&whole));
    }
    assert!(changes.len() > 1_000);
    let wrong: Vec<String> = changes.iter().filter_map(|change| judge.differ(change)).collect();
    let shown: Vec<&str> = wrong.iter().take(100).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {} changes:\n{}\n", wrong.len(), changes.len(), shown.join("\n"));
}

#[test]
fn the_schema_of_a_plan_agrees_with_its_reader() {
    agree(Kind::Plan);
}

#[test]
fn the_schema_of_a_configuration_agrees_with_its_reader() {
    agree(Kind::Config);
}

#[test]
fn the_schema_of_a_campaign_agrees_with_its_reader() {
    agree(Kind::Campaign);
}

#[test]
fn the_schema_of_groups_and_replies_agrees_with_their_reader() {
    agree(Kind::Groups);
    assert_eq!(schema(Kind::Groups)["definitions"], schema(Kind::Replies)["definitions"]);
}

/// Notes `table.key` for every key of `value`, and the value of each scalar under its shape.
fn met(table: &'static Table, value: &Value, keys: &mut BTreeSet<String>) {
    for key in table.keys() {
        if let Some(value) = value.get(key.name) {
            keys.insert(format!("{}.{}", table.name, key.name));
            met_below(&key.shape, value, keys);
        }
    }
}

fn met_below(shape: &Shape, value: &Value, keys: &mut BTreeSet<String>) {
    match (shape, value) {
        (Shape::Map(table), Value::Object(map)) if map.keys().all(|name| table.keys().any(|key| key.name == name)) => {
            met(table, value, keys);
        }
        (Shape::Names(names), Value::Object(map)) => map.values().for_each(|value| met_below(&names.of, value, keys)),
        (Shape::List(of, ..) | Shape::Few(of), Value::Array(items)) => {
            items.iter().for_each(|item| met_below(of, item, keys));
        }
        (Shape::Either(shapes), _) => shapes.iter().for_each(|shape| met_below(shape, value, keys)),
        _ => {}
    }
}

/// `table.key` for every key below `table`, and whether its value can be a single word.
fn known(table: &'static Table, keys: &mut BTreeSet<String>) {
    for key in table.keys() {
        if keys.insert(format!("{}.{}", table.name, key.name)) {
            known_below(&key.shape, keys);
        }
    }
}

fn known_below(shape: &Shape, keys: &mut BTreeSet<String>) {
    match shape {
        Shape::Map(table) => known(table, keys),
        Shape::Names(names) => known_below(&names.of, keys),
        Shape::List(of, ..) | Shape::Few(of) => known_below(of, keys),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| known_below(shape, keys)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_tables_stands_in_the_whole_file_of_its_kind() {
    for kind in Kind::ALL {
        let (mut all, mut there) = (BTreeSet::new(), BTreeSet::new());
        known(kind.table(), &mut all);
        wholes(kind).iter().for_each(|text| met(kind.table(), &parsed(text), &mut there));
        let missing: Vec<&String> = all.difference(&there).collect();
        let name = kind.as_str();
        assert!(
            missing.is_empty(),
            "{missing:?}: write them into tests/bad/whole for `{name}`, so that they are tried"
        );
    }
}

/// A nonsense value of a key that nobody reads would pass.
#[test]
fn every_key_of_the_tables_is_read() {
    for kind in Kind::ALL {
        let judge = Judge::new(kind);
        for whole in wholes(kind).iter().map(|text| parsed(text)) {
            let mut all = Vec::new();
            places(&whole, "", &mut all);
            for place in all {
                let mut changed = whole.clone();
                *changed.pointer_mut(&place).unwrap() = json!([[["nonsense"]]]);
                let problems = judge.read(&format!("{changed:#}"));
                assert!(!problems.is_empty(), "{}{place}: in the table of keys, but nothing reads it", kind.as_str());
            }
        }
    }
}

/// The reader names all words that it takes when it gets another.
#[test]
fn the_words_of_a_schema_are_those_of_the_reader() {
    fn words(schema: &Value, path: &str, out: &mut Vec<(String, Vec<String>)>) {
        let Some(map) = schema.as_object() else {
            return schema.as_array().into_iter().flatten().for_each(|item| words(item, path, out));
        };
        for (key, value) in map {
            match (key.as_str(), value.as_array()) {
                ("enum", Some(items)) => {
                    let items = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                    out.push((path.to_owned(), items));
                }
                ("if" | "then" | "not", _) => {}
                _ => words(value, &format!("{path}/{key}"), out),
            }
        }
    }
    let mut checked = 0;
    for kind in [Kind::Plan, Kind::Config, Kind::Campaign, Kind::Groups] {
        let judge = Judge::new(kind);
        let mut enums = Vec::new();
        words(&schema(kind), "", &mut enums);
        let whole = parsed(&whole(kind.as_str()));
        let mut all = Vec::new();
        places(&whole, "", &mut all);
        let mut told = Vec::new();
        for place in &all {
            let mut changed = whole.clone();
            *changed.pointer_mut(place).unwrap() = json!("nonsense");
            told.extend(judge.read(&format!("{changed:#}")).into_iter().map(|problem| problem.message));
        }
        let shipped = ["/preset", "/plan/", "/kind", "/when/properties/relay/", "/auth/oneOf/"];
        // Names that are built in are listed by other commands; a flag's words are its kind.
        for (place, words) in enums.into_iter().filter(|(place, _)| !shipped.iter().any(|key| place.contains(key))) {
            let listed = format!("expected {}, got", words.join(" or "));
            let builtin = words == ["builtin"] || words == ["none"] || words == ["forever"];
            assert!(builtin || told.iter().any(|message| message.contains(&listed)), "{place}: {listed}\n{told:#?}");
            checked += 1;
        }
    }
    assert!(checked > 12, "{checked}");
}

#[test]
fn what_holds_without_a_key_is_what_its_schema_says() {
    for kind in [Kind::Plan, Kind::Config, Kind::Campaign, Kind::Groups] {
        let judge = Judge::new(kind);
        let whole = parsed(&whole(kind.as_str()));
        let mut all = Vec::new();
        places(&whole, "", &mut all);
        let mut tried = 0;
        for place in all {
            let Some(default) = default_of(&schema(kind), &place) else { continue };
            let (above, name) = place.rsplit_once('/').unwrap();
            let mut without = whole.clone();
            without.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(name);
            let mut with = whole.clone();
            *with.pointer_mut(&place).unwrap() = default.clone();
            let (without, with) = (meaning(&judge, &without), meaning(&judge, &with));
            assert!(without.is_some() || place == "/groups", "{}{place}", kind.as_str());
            assert_eq!(without, with, "{}{place}: the schema says {default}", kind.as_str());
            tried += 1;
        }
        assert!(tried >= 3, "{}: {tried}", kind.as_str());
    }
}

/// The default at a place of a file, by the schema.
fn default_of(schema: &Value, place: &str) -> Option<Value> {
    let follow = |mut at: Value| {
        while let Some(name) = at.get("$ref").and_then(Value::as_str) {
            let mut there = schema.pointer(name.trim_start_matches('#')).unwrap().clone();
            if let (Some(there), Some(here)) = (there.as_object_mut(), at.get("default")) {
                there.insert("default".to_owned(), here.clone());
            }
            at = there;
        }
        at
    };
    let mut options = vec![schema.clone()];
    for part in place.split('/').skip(1) {
        let mut next = Vec::new();
        for option in options {
            let option = follow(option);
            let more = option.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
            for option in more.into_iter().map(follow).chain([option]) {
                let named = option.get("properties").and_then(|properties| properties.get(part));
                let other = option.get("additionalProperties").filter(|value| value.is_object());
                next.extend(named.or(other).or_else(|| option.get("items")).cloned());
            }
        }
        options = next;
    }
    options.into_iter().find_map(|option| option.get("default").cloned())
}

/// What a file comes to, as text; `None` when it is refused.
fn meaning(judge: &Judge, value: &Value) -> Option<String> {
    use hikagen::config::plan_file::show_plan;
    let text = format!("{value:#}");
    match judge.kind {
        Kind::Plan => {
            let groups = Destinations::shipped().groups;
            let plan = read_plan(&text, "plan.yaml", &groups).value?;
            Some(show_plan(&plan, &groups))
        }
        Kind::Groups | Kind::Replies => {
            let read = read_destinations(&SourceFile::new("groups.yaml", &text), Destinations::shipped()).value;
            read.map(|all| format!("{:?} {:?}", all.groups.iter().collect::<Vec<_>>(), all.rules))
        }
        Kind::Campaign => {
            let path = judge.folder.path().join("campaign.yaml").display().to_string();
            let read = read_campaign(&text, &path, &TimeZone::UTC).value?;
            Some(format!("{:?} {:?} {:?}", read.class, read.weight, read.unsubscribe))
        }
        Kind::Config => {
            let config = judge.load(&text).value?;
            let relays: Vec<RelaySettings> = config.relays.values().map(|relay| with_limits(relay)).collect();
            Some(format!("{relays:?} {:?} {:?}", config.worker, config.feedback))
        }
    }
}

/// Where a limit's default is known only to those who apply it.
fn with_limits(relay: &RelaySettings) -> RelaySettings {
    let mut relay = relay.clone();
    let limits = &mut relay.limits;
    limits.connections = limits.connections.or(NonZeroU32::new(DEFAULT_CONNECTIONS));
    limits.messages_per_connection =
        limits.messages_per_connection.or(NonZeroU32::new(DEFAULT_MESSAGES_PER_CONNECTION));
    limits.connection_age = limits.connection_age.or(Some(DEFAULT_CONNECTION_AGE));
    relay
}

/// The kind that a file's first line names.
fn named(path: &Path) -> Kind {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().next().unwrap_or_default();
    let schema = line.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| {
        panic!("{}: the first line names no schema: # yaml-language-server: $schema=...", path.display())
    });
    let there = path.parent().unwrap().join(schema);
    assert!(there.is_file(), "{}: there is no {schema} beside it", path.display());
    let kind = Kind::ALL.into_iter().find(|kind| there.file_name().unwrap() == &*format!("{}.json", kind.as_str()));
    kind.unwrap_or_else(|| panic!("{}: {schema} is no kind of file", path.display()))
}

#[test]
fn every_shipped_file_names_its_schema_and_keeps_to_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Files of forms that nobody writes but us.
    let ours = ["curves.yaml", "relays.yaml"];
    let files = ["examples", "plans"].into_iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let yaml: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "yaml")
                && !ours.iter().any(|name| path.ends_with(name))
        })
        .collect();
    assert!(yaml.len() >= 7, "{yaml:?}");
    for path in yaml {
        let judge = Judge::new(named(&path));
        let refusals = judge.refusals(&parsed(&std::fs::read_to_string(&path).unwrap()));
        assert!(refusals.is_empty(), "{}: {refusals:#?}", path.display());
    }
}

#[test]
fn the_schemas_beside_the_examples_are_those_of_the_program() {
    for kind in Kind::ALL {
        let name = kind.as_str();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/schema/{name}.json"));
        let printed = Project::empty().hikagen(&["schema", name]).expect(0).out;
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &printed).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == printed,
            "examples/schema/{name}.json is not what `hikagen schema {name}` prints: BLESS=1 writes it"
        );
    }
    let project = Project::empty();
    let wrote = project.hikagen(&["schema", "--dir", "schema", "--json"]).expect(0).json();
    assert_eq!(wrote["files"].as_array().unwrap().len(), 5);
    let printed = project.hikagen(&["schema", "plan"]).expect(0).out;
    assert_eq!(project.read("schema/plan.json"), printed);
    project.hikagen(&["schema"]).expect(2);
    project.hikagen(&["schema", "nonsense"]).expect(2).says("possible values: plan, config, campaign, groups, replies");
}

/// Files that the stories write, and those of this folder that are sound but for lints.
#[test]
fn what_the_tests_write_keeps_to_the_schemas() {
    let project = Project::empty();
    let relay = RelayEntry::new("warm", 2525).with(&["auth: { user: u, password: { env: P } }", "answers: carrier"]);
    let written = [
        (Kind::Config, write_configuration(&project, &[relay])),
        (Kind::Plan, write_plan(&project, "plan.yaml", &[("docomo", 100, "10/s"), ("default", 100, "10/s")])),
        (Kind::Campaign, project.path(&write_campaign(&project, "spring", ["a@docomo.ne.jp".to_owned()]))),
    ];
    let lints = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad/plans-strict");
    let lints = std::fs::read_dir(lints).unwrap().map(|entry| (Kind::Plan, entry.unwrap().path().join("plan.yaml")));
    for (kind, path) in written.into_iter().chain(lints) {
        let refusals = Judge::new(kind).refusals(&parsed(&std::fs::read_to_string(&path).unwrap()));
        assert!(refusals.is_empty(), "{}: {refusals:#?}", path.display());
    }
}

/// Settings that a page of the documentation shows as an indented block.
#[test]
fn what_the_readmes_show_keeps_to_the_schemas() {
    let mut shown = 0;
    for page in ["README.md", "README.ja.md", "examples/README.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        for block in text.split("\n\n").filter(|block| block.lines().all(|line| line.starts_with("    "))) {
            let Ok(value @ Value::Object(_)) = serde_yaml::from_str::<Value>(block) else { continue };
            let fits = |kind: Kind| {
                let whole = schema(kind);
                let definitions = whole["definitions"].clone();
                let parts =
                    definitions.as_object().unwrap().clone().into_values().chain([whole.clone()]).map(|mut part| {
                        if let Some(part) = part.as_object_mut() {
                            for together in ["required", "if", "then", "else"] {
                                part.remove(together);
                            }
                            part.insert("definitions".to_owned(), definitions.clone());
                        }
                        part
                    });
                parts.into_iter().any(|part| jsonschema::is_valid(&part, &value))
            };
            assert!(Kind::ALL.into_iter().any(fits), "{page} shows what no schema takes:\n{block}");
            shown += 1;
        }
    }
    assert!(shown > 0);
}
