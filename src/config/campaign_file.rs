//! Owns the campaign file: `campaign.yaml` to what is meant, with the places of the files that it names.
//!
//! Invariants: every problem at once; nothing in it can end a header; times stay as written until somebody says what time it
//! is (`Times::resolve`); paths are relative to the campaign file; templates and list are opened by others.

mod list;
mod seeds;
mod times;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use list::{ListEncoding, ListFormat, ListReading};
pub(in crate::config) use seeds::SEEDS_MAX;
pub use seeds::{Seed, Seeds};
pub use times::{Instants, Times, When};

use super::config_file::headers;
use super::fields::Fields;
use super::keys::campaign::{CAMPAIGN, UNSUBSCRIBE};
use super::problem::{Problem, Problems, Read, SourceFile, Span, did_you_mean, quoted};
use super::tree::{self, Node};
use crate::compose::{Mailbox, Unsubscribe};
use crate::core::campaign::Class;
use crate::core::names::{CampaignName, PoolName};

/// A campaign as its file says.
#[derive(Debug, Clone)]
pub struct CampaignFile {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Its name: with an address, the key of a message.
    pub name: CampaignName,
    /// `"例市場 <news@m.example.jp>"`, as written; `None`: that of `eml`.
    pub from: Option<String>,
    /// Where answers go, as written.
    pub reply_to: Option<String>,
    /// Template; `None`: that of `eml`.
    pub subject: Option<String>,
    /// File of the text template.
    pub text: Option<PathBuf>,
    /// File of the HTML template.
    pub html: Option<PathBuf>,
    /// A mail made elsewhere, in place of text and HTML template.
    pub eml: Option<PathBuf>,
    /// The CSS of `<style>` is put into the elements that it selects.
    pub inline_css: bool,
    /// The list.
    pub recipients: PathBuf,
    /// How the list is to be read, where the file says so.
    pub reading: ListReading,
    /// Who gets it first.
    pub seeds: Seeds,
    /// The relays it may use.
    pub pool: PoolName,
    /// Start, deadline, end.
    pub times: Times,
    /// Which mail goes first.
    pub class: Class,
    /// Its share beside other campaigns of its class.
    pub weight: NonZeroU32,
    /// Further headers: name and template.
    pub headers: Vec<(String, String)>,
    /// How to leave.
    pub unsubscribe: Option<Unsubscribe>,
    pool_place: Span,
}

impl CampaignFile {
    /// Says so when the configuration, which has `pools`, does not have this one.
    #[must_use]
    pub fn unknown_pool<'a>(&self, pools: impl IntoIterator<Item = &'a PoolName>) -> Option<Problem> {
        let names: Vec<&str> = pools.into_iter().map(PoolName::as_str).collect();
        if names.contains(&self.pool.as_str()) {
            return None;
        }
        let message = format!("the configuration has no pool {}", quoted(self.pool.as_str()));
        let help = match did_you_mean(self.pool.as_str(), names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("its pools: {}", names.join(", ")),
        };
        Some(Problem::at(&self.file, self.pool_place, message).help(help))
    }
}

/// Reads a campaign file. `file` is its path, `timezone` that of the configuration.
#[must_use]
pub fn read_campaign(text: &str, file: &str, timezone: &TimeZone) -> Read<CampaignFile> {
    read_campaign_file(&SourceFile::new(file, text), timezone)
}

/// Reads a campaign from a file already opened; its name is its path.
#[must_use]
pub fn read_campaign_file(file: &Arc<SourceFile>, timezone: &TimeZone) -> Read<CampaignFile> {
    let problems = Problems::new(file);
    let read = tree::parse(&problems).and_then(|root| campaign(&problems, &root, timezone));
    Read::new(read, problems.into_vec())
}

fn campaign(problems: &Problems, root: &Node, timezone: &TimeZone) -> Option<CampaignFile> {
    let fields = Fields::of(problems, root, root.span, "a campaign: campaign, from, subject, recipients, pool")?;
    fields.known(&CAMPAIGN);
    let folder = Path::new(&problems.file().name).parent().unwrap_or(Path::new(""));
    let name = fields.required("campaign", "a name such as spring-2026").and(fields.parsed("campaign", "a name"));
    let path = |key: &str| fields.read(key, |problems, node| beside(problems, node, folder));
    let (text, html, eml) = (path("text"), path("html"), path("eml"));
    // Reported where it is missing; what a mail made elsewhere brings need not be there.
    let has_eml = fields.node("eml").is_some();
    let sure = |found: Option<String>, key: &str, what: &str| {
        if has_eml || fields.required(key, what).is_some() { Some(found) } else { None }
    };
    let from = sure(fields.read("from", mailbox), "from", "\"Name <address>\"");
    let reply_to = fields.read("reply_to", mailbox);
    let subject = sure(fields.read("subject", line), "subject", "a text, columns as {{ name }}");
    one_body(&fields);
    let recipients =
        fields.required("recipients", "a CSV or JSONL file with a column \"email\"").and(path("recipients"));
    let seeds = seeds::read(&fields, folder);
    let inline_css = fields.flag("inline_css").unwrap_or(false);
    let pool = fields.required("pool", "a pool of the configuration").and(fields.parsed("pool", "the name of a pool"));
    let times = times::read(&fields, timezone);
    let class = fields.one_of("priority", &Class::ALL.map(|class| (class.as_str(), class))).unwrap_or(Class::Bulk);
    let weight = weight(&fields);
    let headers = headers(&fields);
    let unsubscribe = unsubscribe(&fields);
    if class == Class::Bulk && fields.node("unsubscribe").is_none() {
        let help =
            "add `unsubscribe: { url: \"https://.../{token}\", one_click: true }`; law and large receivers ask for it";
        problems.lint(root.span, "bulk mail without a way to unsubscribe", help);
    }
    if class == Class::Transactional
        && let Some(node) = fields.node("priority")
    {
        let help = "keep it for receipts and passwords";
        problems.lint(
            node.span,
            "transactional mail goes before all other, strictly: much of it starves the rest",
            help,
        );
    }
    Some(CampaignFile {
        file: Arc::clone(problems.file()),
        name: name?,
        from: from?,
        reply_to,
        subject: subject?,
        text,
        html,
        eml,
        inline_css,
        recipients: recipients?,
        reading: list::reading(&fields),
        seeds,
        pool: pool?,
        times,
        class,
        weight: weight?,
        headers,
        unsubscribe,
        pool_place: fields.node("pool").map_or(root.span, |node| node.span),
    })
}

/// Reports a campaign that says nothing, or the same twice.
fn one_body(fields: &Fields<'_>) {
    let problems = fields.problems();
    let body = fields.node("text").or_else(|| fields.node("html"));
    match (fields.entry("eml"), body) {
        (None, None) => {
            let help = "add `text: FILE`, `html: FILE` or both, or `eml: FILE`";
            problems.at_with(fields.span, "expected text, html or both, got neither", help);
        }
        (Some(eml), Some(_)) => {
            let help = "a mail made elsewhere has its own parts; take the other keys away";
            problems.at_with(eml.key_span, "expected eml, or text and html, got both", help);
        }
        _ => {}
    }
    if let (Some(inline), None, None) = (fields.entry("inline_css"), fields.node("html"), fields.node("eml")) {
        problems.at_with(inline.key_span, "inline_css without an HTML part", "add `html: FILE`, or take the key away");
    }
}

/// `Name <address>` or `address`, as written; the address is one that SMTP can carry.
fn mailbox(problems: &Problems, node: &Node) -> Option<String> {
    let text = line(problems, node)?;
    match Mailbox::parse(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            let help = "write \"Name <address>\" or the address alone";
            problems.at_with(node.span, format!("{}, got {}", error.why, quoted(&text)), help);
            None
        }
    }
}

/// One line of text without control characters.
fn line(problems: &Problems, node: &Node) -> Option<String> {
    let text = problems.text(node, "a text")?;
    if text.chars().any(char::is_control) {
        let help = "a line break would begin another header; in a `>` block the last one is cut off by `>-`";
        problems.at_with(node.span, format!("expected one line, got {}", quoted(text)), help);
        return None;
    }
    Some(text.to_owned())
}

/// A file that the campaign names.
fn beside(problems: &Problems, node: &Node, folder: &Path) -> Option<PathBuf> {
    let path = folder.join(problems.text(node, "the path of a file")?);
    if path.is_file() {
        return Some(path);
    }
    let what = if path.is_dir() { "is a directory" } else { "is not there" };
    let help = "paths are relative to the campaign file's directory";
    problems.at_with(node.span, format!("the file {} {what}", path.display()), help);
    None
}

fn weight(fields: &Fields<'_>) -> Option<NonZeroU32> {
    let Some(node) = fields.node("weight") else { return Some(NonZeroU32::MIN) };
    let weight = fields.count("weight")?;
    if weight.get() > 100 {
        fields.problems().at(node.span, format!("expected a weight from 1 to 100, got {weight}"));
        return None;
    }
    Some(weight)
}

fn unsubscribe(fields: &Fields<'_>) -> Option<Unsubscribe> {
    let map = fields.map("unsubscribe", "url, mailto, one_click")?;
    map.known(&UNSUBSCRIBE);
    let problems = map.problems();
    let url = map.read("url", link);
    let mailto = map.read("mailto", |problems, node| {
        let text = problems.text(node, "an address")?;
        let address = text.strip_prefix("mailto:").unwrap_or(text).replace("{token}", "t");
        let (plain, _) = address.split_once('?').unwrap_or((&address, ""));
        let fits =
            Mailbox::parse(plain).is_ok_and(|sender| sender.name.is_none()) && !text.contains([' ', '<', '>', ',']);
        if !fits {
            problems.expected(node, "an address such as leave+{token}@m.example.jp");
        }
        fits.then(|| text.to_owned())
    });
    let one_click = map.flag("one_click").unwrap_or(false);
    if map.node("url").or_else(|| map.node("mailto")).is_none() {
        problems.at_with(
            map.span,
            "expected url, mailto or both, got neither",
            "url: \"https://example.jp/u/{token}\"",
        );
        return None;
    }
    if one_click && !url.as_deref().is_some_and(|url| url.starts_with("https://")) {
        let at = map.node("one_click").map_or(map.span, |node| node.span);
        problems.at_with(
            at,
            "one_click wants a url that begins with https:// (RFC 8058)",
            "add it, or write one_click: false",
        );
    }
    if let (Some(url), Some(node)) = (&url, map.node("url"))
        && !url.contains('{')
    {
        let help = "write {token} into it; columns as {{ name }}";
        problems.lint(node.span, "the url is the same for everybody: it cannot tell who leaves", help);
    }
    Some(Unsubscribe { url, mailto, one_click })
}

fn link(problems: &Problems, node: &Node) -> Option<String> {
    const WHAT: &str = "an address such as https://example.jp/u/{token}";
    let text = line(problems, node)?;
    // Between braces a template may have blanks; elsewhere they would end the header's <...>.
    let outside = text.split("{{").map(|part| part.split_once("}}").map_or(part, |(_, rest)| rest));
    let fits = text.starts_with("https://") || text.starts_with("http://");
    let clean = outside.into_iter().all(|part| !part.contains([' ', '<', '>', ',']));
    if !fits || !clean {
        problems.expected(node, WHAT);
    }
    (fits && clean).then_some(text)
}

#[cfg(test)]
mod tests;
