//! Owns a scene for stories: relays on loopback sinks, a plan that asks for a pace, a campaign with a list.
//!
//! Plan days turn at midnight; the plan's zone is chosen so that midnight is at least six hours away, so that no story that
//! runs for a minute sees two plan days.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::program::Project;

/// A relay of a scene.
#[derive(Clone)]
pub struct RelayEntry {
    /// Name.
    pub name: String,
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Plan: a file in the folder, or a shipped one.
    pub plan: String,
    /// Connections at once.
    pub connections: u32,
    /// Further lines of the entry (`ca: ...`), without indentation; they may replace `tls: none`.
    pub more: Vec<String>,
}

impl RelayEntry {
    /// A relay in clear with four connections, retries after a second, and the plan `plan.yaml`.
    pub fn new(name: &str, port: u16) -> Self {
        Self { name: name.to_owned(), port, plan: "plan.yaml".to_owned(), connections: 4, more: Vec::new() }
    }

    /// With further lines.
    pub fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|line| (*line).to_owned()));
        self
    }

    /// With so many connections.
    pub fn connections(mut self, n: u32) -> Self {
        self.connections = n;
        self
    }
}

/// A zone in which it is about noon now, whatever the hour of the machine.
pub fn zone_at_noon() -> String {
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    // POSIX signs: Etc/GMT+3 is three hours behind UTC.
    match i32::from(hour) - 12 {
        0 => "Etc/UTC".to_owned(),
        behind if behind > 0 => format!("Etc/GMT+{behind}"),
        ahead => format!("Etc/GMT-{}", -ahead),
    }
}

/// Writes `hikagen.yaml` with these relays, all in the pool `news`, and each in a pool of its own name too.
pub fn write_configuration(project: &Project, relays: &[RelayEntry]) -> PathBuf {
    let mut text = format!(
        "store: hikagen.db\ntimezone: {}\ngroups: [builtin]\nworker: {{ disk_floor: 1MiB }}\nrelays:\n",
        zone_at_noon()
    );
    for relay in relays {
        let _ = write!(
            text,
            "  {}:\n    host: 127.0.0.1\n    port: {}\n    domain: m.example.jp\n    plan: {}\n    warmup: {{ day: 1 }}\n    \
             limits: {{ connections: {}, messages_per_connection: 1000 }}\n",
            relay.name, relay.port, relay.plan, relay.connections
        );
        if !relay.more.iter().any(|line| line.starts_with("tls:")) {
            text.push_str("    tls: none\n");
        }
        if !relay.more.iter().any(|line| line.starts_with("retry:")) {
            text.push_str("    retry: { after: [1s], lifetime: 1d, uncertain: 1s }\n");
        }
        for line in &relay.more {
            let _ = writeln!(text, "    {line}");
        }
    }
    let names: Vec<&str> = relays.iter().map(|relay| relay.name.as_str()).collect();
    let _ = write!(text, "pools:\n  news: [{}]\n", names.join(", "));
    for name in names {
        let _ = writeln!(text, "  {name}: [{name}]");
    }
    project.write("hikagen.yaml", text)
}

/// Writes a plan that is open all day and as fast as its rates: group, quota, rate.
pub fn write_plan(project: &Project, name: &str, groups: &[(&str, u32, &str)]) -> PathBuf {
    let mut text = format!(
        "plan: {}\ntimezone: {}\ndefaults: {{ window: \"00:00-24:00\", spread: asap }}\ngroups:\n",
        name.trim_end_matches(".yaml"),
        zone_at_noon()
    );
    for (group, quota, rate) in groups {
        let _ = writeln!(
            text,
            "  {group}: {{ curve: [{quota}], rate: {rate}, connections: 100, messages_per_connection: 1000, \
             avoid: {{ minutes: [] }} }}"
        );
    }
    project.write(name, text)
}

/// Lets the lanes of `plan.yaml` show their destinations any number of unknown users.
pub fn without_budget(project: &Project) {
    let text = project.read("plan.yaml");
    assert!(text.contains("defaults: {"), "{text}");
    project.write("plan.yaml", text.replacen("defaults: {", "defaults: { unknown_budget: 100%,", 1));
}

/// Writes `NAME.yaml`, `NAME.txt` and `NAME.csv`, and gives the campaign file's name.
pub fn write_campaign(project: &Project, name: &str, addresses: impl IntoIterator<Item = String>) -> String {
    write_campaign_with(project, name, "", addresses)
}

/// The same, with further lines.
pub fn write_campaign_with(
    project: &Project,
    name: &str,
    more: &str,
    addresses: impl IntoIterator<Item = String>,
) -> String {
    let mut list = String::from("email,name\n");
    for (n, address) in addresses.into_iter().enumerate() {
        let _ = writeln!(list, "{address},Nr {n}");
    }
    project.write(&format!("{name}.csv"), list);
    project.write(&format!("{name}.txt"), "{{ name }}\n{{ unsubscribe_url }}\n");
    let file = format!("{name}.yaml");
    project.write(
        &file,
        format!(
            "campaign: {name}\nfrom: \"News <news@m.example.jp>\"\nsubject: \"To {{{{ name }}}}\"\ntext: {name}.txt\n\
             recipients: {name}.csv\npool: news\npriority: bulk\n\
             unsubscribe: {{ url: \"https://example.jp/u/{{token}}\", one_click: true }}\n{more}"
        ),
    );
    file
}

/// `n` addresses of a domain.
pub fn addresses(domain: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("user{i}@{domain}")).collect()
}
