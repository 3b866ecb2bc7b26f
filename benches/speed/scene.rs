//! Owns a project of Hikagen for benchmarks: configuration, plan, templates of a 5 KB newsletter, and lists.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

/// Groups with a pace of their own in a scene of many lanes.
pub(crate) const PACED: usize = 20;
/// Messages a second that each of them asks for.
pub(crate) const PACE: u32 = 20;

/// A folder with everything that the program reads.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
    program: PathBuf,
}

impl Scene {
    /// Writes all but the lists.
    pub(crate) fn new(folder: &Path, program: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let scene = Self { folder: folder.to_owned(), program: program.to_owned() };
        scene.write("newsletter.html", &html())?;
        scene.write("newsletter.txt", &text())?;
        let mut groups = String::from("groups:\n");
        let mut plan = String::from(
            "plan: plan\ntimezone: Etc/UTC\ndefaults: { window: \"00:00-24:00\", spread: asap }\ngroups:\n  \
             default: { curve: [100_000_000], rate: 50_000/s, connections: 100, messages_per_connection: 100000 }\n",
        );
        for lane in 0..PACED {
            writeln!(groups, "  paced-{lane:02}: {{ domains: [{}] }}", paced_domain(lane))?;
            writeln!(
                plan,
                "  paced-{lane:02}: {{ curve: [10_000_000], rate: {PACE}/s, connections: 100, messages_per_connection: 100000 }}"
            )?;
        }
        scene.write("groups.yaml", &groups)?;
        scene.write("plan.yaml", &plan)?;
        scene.point_at(9)?;
        Ok(scene)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.join(name), text)?)
    }

    /// The relay is a sink at this port of loopback, over 20 connections.
    pub(crate) fn point_at(&self, port: u16) -> Result<()> {
        self.write(
            "hikagen.yaml",
            &format!(
                "store: hikagen.db\ntimezone: Etc/UTC\ngroups: [builtin, groups.yaml]\nworker: {{ disk_floor: 1MiB }}\n\
                 relays:\n  one:\n    host: 127.0.0.1\n    port: {port}\n    tls: none\n    domain: m.example.jp\n    \
                 plan: plan.yaml\n    warmup: {{ day: 1 }}\n    \
                 limits: {{ connections: {}, messages_per_connection: 100000 }}\n    \
                 envelope_from: \"bounce+{{token}}@m.example.jp\"\npools:\n  news: [one]\n",
                crate::drain::CONNECTIONS
            ),
        )
    }

    /// As [`Scene::point_at`], and the relay's log is followed.
    pub(crate) fn hear(&self, port: u16, log: &str) -> Result<()> {
        self.point_at(port)?;
        let file = self.folder.join("hikagen.yaml");
        let text = fs::read_to_string(&file)?;
        Ok(fs::write(file, format!("{text}feedback:\n  logs: [{{ relay: one, file: {log} }}]\n"))?)
    }

    /// Writes the campaign `name` with these addresses.
    pub(crate) fn campaign(&self, name: &str, addresses: impl Iterator<Item = String>) -> Result<()> {
        self.write(
            &format!("{name}.yaml"),
            &format!(
                "campaign: {name}\nfrom: \"News <news@m.example.jp>\"\nsubject: \"To {{{{ name }}}}\"\ntext: newsletter.txt\n\
                 html: newsletter.html\nrecipients: {name}.csv\npool: news\n\
                 unsubscribe: {{ url: \"https://example.jp/u/{{token}}\", one_click: true }}\n"
            ),
        )?;
        let mut list = BufWriter::new(File::create(self.folder.join(format!("{name}.csv")))?);
        writeln!(list, "email,name,city,score")?;
        for (i, address) in addresses.enumerate() {
            writeln!(list, "{address},山田 {i},横浜{},{}", i % 97, i % 100)?;
        }
        Ok(list.flush()?)
    }

    /// The program, in this folder.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(arguments);
        command
    }

    /// The store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("hikagen.db")
    }
}

/// `n` addresses of 50 domains that no group names.
pub(crate) fn addresses(n: u64) -> impl Iterator<Item = String> {
    (0..n).map(|i| format!("user{i}@example{}.jp", i % 50))
}

/// The domain of a paced group.
pub(crate) fn paced_domain(lane: usize) -> String {
    format!("paced{lane:02}.example.jp")
}

fn html() -> String {
    let personal =
        "<p>The spring sale begins now; come to our shop in {{ city }} and see the new things we have.</p>\n";
    let plain = "<p>This is a line of the newsletter of about one hundred characters, which stands for the content of it.</p>\n";
    format!(
        "<!doctype html>\n<html lang=\"ja\"><body>\n<p>{{{{ name }}}} 様</p>\n{}{}<p><a href=\"{{{{ unsubscribe_url }}}}\">unsubscribe</a></p></body></html>\n",
        personal.repeat(4),
        plain.repeat(30)
    )
}

fn text() -> String {
    format!(
        "{{{{ name }}}} 様\n\n{}{}{{{{ unsubscribe_url }}}}\n",
        "The spring sale begins. Our shop in {{ city }} awaits you.\n".repeat(4),
        "One line of text here.\n".repeat(12)
    )
}
