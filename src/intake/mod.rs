//! Owns the way of a list into the store: check everything, then load.
//!
//! Invariants: nothing is written before the whole list and the templates were looked through; a refused row costs nothing but
//! itself; submitting the same again goes on where it stopped and adds nothing twice; what a campaign is from and through
//! (`from`, pool) never changes.

mod clean;
mod encoding;
mod first_day;
mod jsonl;
mod load;
mod preview;
mod rejects;
mod resubmit;
mod rows;
mod seeds;
mod suppressions;
mod survey;
mod trial;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::compose::{Content, Identity, Part, Places, Templates, Tokens};
use crate::config::campaign_file::{ListReading, Seeds};
use crate::config::{Config, RelaySettings};
use crate::core::campaign::{CampaignState, Class};
use crate::core::names::{CampaignName, PoolName};
use crate::store::{CampaignRow, NewCampaign, Revision, Store, StoreError};

pub use clean::Rule;
pub use encoding::Encoding;
pub use first_day::LaneFirstDay;
pub use preview::Preview;
pub use rejects::Reject;
pub use seeds::SeedView;
pub use suppressions::{clean_key, read_suppressions, reason_of};
pub use survey::GroupCount;
pub use trial::Trial;

use load::{Target, load};
use rejects::Rejects;
use resubmit::Resubmission;
use rows::List;
use seeds::Planted;
use survey::{Survey, survey};

/// A campaign as its file says it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Name.
    pub name: CampaignName,
    /// Pool.
    pub pool: PoolName,
    /// What it says; templates read from their files.
    pub content: Content,
    /// Where that was written.
    pub places: Places,
    /// The list.
    pub list: PathBuf,
    /// How it is to be read, where that is said.
    pub reading: ListReading,
    /// Who gets it first.
    pub seeds: Seeds,
    /// First instant of claiming.
    pub start: Timestamp,
    /// When it should be done.
    pub finish_by: Option<Timestamp>,
    /// When what is unsent expires.
    pub not_after: Option<Timestamp>,
    /// Class.
    pub class: Class,
    /// Share, 1 to 1000.
    pub weight: u32,
    /// `start`, `finish_by` and `not_after` as written: `+12d` of a resubmission is the same deadline as before, not a later one.
    pub written: String,
}

impl Submission {
    /// The revision to store.
    #[must_use]
    pub fn revision(&self) -> Revision {
        // A struct of texts always has a JSON form.
        let content = serde_json::to_string(&self.content).unwrap_or_default();
        let mut digest = Sha256::new();
        for part in [content.as_str(), &self.written, self.class.as_str(), &self.weight.to_string()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
        // The list's name is told where its addresses turn out to be bad; a list that was renamed is no other campaign.
        let named = Content { list: Some(self.list.display().to_string()), ..self.content.clone() };
        let content = serde_json::to_string(&named).unwrap_or_default();
        Revision {
            content,
            start: self.start,
            finish_by: self.finish_by,
            not_after: self.not_after,
            class: self.class,
            weight: self.weight,
            digest,
        }
    }
}

/// How to submit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Check and count only.
    pub dry_run: bool,
    /// Templates, headers and schedule of unsent mail may change.
    pub update: bool,
    /// Waiting messages that are no longer on the list are cancelled.
    pub prune: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Finding the encoding: octets read.
    Reading {
        /// Octets so far.
        bytes: u64,
    },
    /// The first pass.
    Checking {
        /// Octets so far.
        bytes: u64,
        /// Octets of the file.
        of: u64,
    },
    /// The second pass.
    Loading {
        /// Rows so far.
        rows: u64,
        /// Rows in all.
        of: u64,
    },
}

/// Why nothing was submitted.
#[derive(Debug)]
pub enum Refused {
    /// Every problem found, in words.
    Problems(Vec<String>),
    /// The store.
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<String> for Refused {
    fn from(problem: String) -> Self {
        Self::Problems(vec![problem])
    }
}

/// What a submission did with the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// Nothing: a dry run.
    Checked,
    /// The campaign is new.
    Created,
    /// An earlier submission had stopped half-way.
    Resumed,
    /// The list went in again.
    Resubmitted,
    /// The list went in again, and unsent mail says something new.
    Updated,
}

/// What came of a submission. The keys of its JSON are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Campaign.
    pub campaign: CampaignName,
    /// What was done.
    pub done: Done,
    /// State of the campaign now.
    pub state: CampaignState,
    /// Pool.
    pub pool: PoolName,
    /// The list.
    pub list: PathBuf,
    /// How it is written.
    pub encoding: &'static str,
    /// Its columns.
    pub columns: Vec<String>,
    /// Rows below the header.
    pub rows: u64,
    /// Recipients: rows less refused ones, duplicates and rows of seeds.
    pub recipients: u64,
    /// Who gets it first, beside the recipients.
    pub seeds: Vec<SeedView>,
    /// Rows that repeat an address, the first counts; or that of a seed.
    pub duplicates: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Of these, by rule.
    pub rejected_by_rule: BTreeMap<Rule, u64>,
    /// The first refused rows.
    pub first_rejects: Vec<Reject>,
    /// File with all refused rows.
    pub rejects_file: Option<PathBuf>,
    /// Recipients per destination group.
    pub groups: Vec<GroupCount>,
    /// Messages that wait now and did not before.
    pub added: u64,
    /// Waiting messages whose columns or score changed.
    pub updated: u64,
    /// Messages known before and left as they are.
    pub known: u64,
    /// Messages suppressed at once: dead domains and the suppression list.
    pub suppressed: u64,
    /// Waiting messages cancelled because the list no longer has them.
    pub pruned: u64,
    /// First instant of claiming.
    pub start: Timestamp,
    /// When it should be done.
    pub finish_by: Option<Timestamp>,
    /// When what is unsent expires.
    pub not_after: Option<Timestamp>,
    /// Most that can leave on the first plan day, per lane.
    pub first_day: Vec<LaneFirstDay>,
    /// Worth knowing.
    pub warnings: Vec<String>,
}

/// What every submission needs.
#[derive(Clone, Copy)]
pub struct Intake<'a> {
    /// Configuration in force.
    pub config: &'a Config,
    /// Signing key.
    pub tokens: &'a Arc<Tokens>,
    /// The store.
    pub store: &'a dyn Store,
    /// The clock.
    pub clock: &'a dyn Clock,
}

/// How far back ledgers are looked for: an older lane starts from its plan again.
const LEDGERS: SignedDuration = SignedDuration::from_hours(24 * 400);

impl Intake<'_> {
    /// Checks `submission` and, unless it is a dry run, puts its list into the store.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed, or the same submission goes on where this one stopped.
    pub async fn submit(
        &self,
        submission: &Submission,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, Refused> {
        let now = self.clock.now();
        let existing = self.store.campaign(&submission.name).await?;
        let resubmission = Resubmission::judge(submission, existing.as_ref(), options).map_err(Refused::Problems)?;
        let (list, mut survey, warnings) = self.check(submission, options, progress)?;
        let rejects_file = survey.rejects.finish()?;
        let ledgers = self.store.ledgers(None, (now - LEDGERS).to_zoned(self.config.timezone.clone()).date()).await?;
        let start = existing.as_ref().filter(|_| !resubmission.revises).map_or(submission.start, |c| c.current.start);
        let mut report = Report {
            first_day: first_day::first_day(
                self.config,
                &submission.pool,
                submission.class,
                &survey.groups,
                &ledgers,
                start.max(now),
            ),
            rejects_file,
            ..report_of(submission, &list, &survey, warnings, start, existing.as_ref())
        };
        if options.dry_run {
            return Ok(report);
        }
        let target = self.target(submission, options, existing.as_ref(), &resubmission).await?;
        let (done, pruned) =
            load(&list, &survey, &self.config.groups, &target, self.store, self.clock, progress).await?;
        let state = self.store.campaign(&submission.name).await?.map_or(CampaignState::Running, |c| c.state);
        report.done = resubmission.done;
        report.state = state;
        (report.added, report.updated, report.known) = (done.added, done.updated, done.known);
        (report.suppressed, report.pruned) = (done.suppressed, pruned);
        Ok(report)
    }

    /// The first pass: list, templates against columns, samples composed.
    fn check(
        &self,
        submission: &Submission,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(List, Survey, Vec<String>), Refused> {
        let mut problems = Vec::new();
        let relays = self.relays(&submission.pool).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let templates = self.templates(submission).map_err(|errors| problems.extend(errors)).ok();
        let list = List::open(&submission.list, submission.reading, &mut |bytes| progress(Progress::Reading { bytes }));
        let list = list.map_err(|problem| problems.push(problem)).ok();
        if let (Some(templates), Some(list)) = (&templates, &list) {
            problems.extend(templates.undefined(&list.header.names).into_iter().map(|e| e.0));
        }
        let (Some(templates), Some(mut list), true) = (templates, list, problems.is_empty()) else {
            return Err(Refused::Problems(problems));
        };
        list.need(templates.used(&list.header.names));
        let groups = &self.config.groups;
        let seeds = Planted::of(&submission.seeds, &list.header, groups).map_err(Refused::Problems)?;
        let rejects = Rejects::new(&submission.list, list.encoding, !options.dry_run);
        let mut survey = survey(&list, groups, rejects, seeds, progress)?;
        survey.seeds.check_links(&templates.used_by_links(&list.header.names)).map_err(Refused::Problems)?;
        // Whether a message can be made does not hang on its signature, which costs more than all the rest.
        let unsigned = |relay: &RelaySettings| Identity { dkim: None, ..relay.identity() };
        let identities: Vec<Identity> = relays.into_iter().map(unsigned).collect();
        survey.try_composing(&templates, &identities, self.clock.now()).map_err(Refused::Problems)?;
        if survey.recipients == 0 && !survey.seeds.any_in_list() {
            let path = submission.list.display();
            let refused = survey.rejects.count;
            let first = survey.rejects.first.first().map(|r| format!(" (line {}: {})", r.line, r.reason));
            return Err(Refused::Problems(vec![match refused {
                0 => format!("{path} has no rows below its header: there is nobody to send to"),
                n => format!("{path} has no row that can be taken; {n} refused{}", first.unwrap_or_default()),
            }]));
        }
        let warnings = warnings(submission, &templates, &list);
        Ok((list, survey, warnings))
    }

    fn templates(&self, submission: &Submission) -> Result<Templates, Vec<String>> {
        let (groups, tokens) = (self.config.groups.clone(), self.tokens.clone());
        Templates::compile_from(&submission.content, submission.places.clone(), groups, tokens)
            .map_err(|errors| errors.into_iter().map(|e| e.0).collect())
    }

    fn relays(&self, pool: &PoolName) -> Result<Vec<&RelaySettings>, String> {
        let known = || self.config.pools.keys().map(PoolName::as_str).collect::<Vec<_>>().join(", ");
        match self.config.pools.get(pool) {
            Some(names) => {
                Ok(names.iter().filter_map(|name| self.config.relays.get(name)).map(AsRef::as_ref).collect())
            }
            None => Err(format!("the configuration has no pool \"{pool}\"; it has: {}", known())),
        }
    }

    async fn target(
        &self,
        submission: &Submission,
        options: Options,
        existing: Option<&CampaignRow>,
        resubmission: &Resubmission,
    ) -> Result<Target, Refused> {
        let now = self.clock.now();
        let Some(row) = existing else {
            let new = NewCampaign {
                name: submission.name.clone(),
                pool: submission.pool.clone(),
                from: submission.content.from.clone(),
                revision: submission.revision(),
            };
            let campaign = self.store.create_campaign(new, now).await?;
            return Ok(Target { campaign, load: 0, prune: options.prune });
        };
        if resubmission.revises {
            self.store.revise_campaign(row.id, submission.revision(), now).await?;
        }
        Ok(Target { campaign: row.id, load: row.loads, prune: options.prune })
    }
}

fn report_of(
    submission: &Submission,
    list: &List,
    survey: &Survey,
    warnings: Vec<String>,
    start: Timestamp,
    existing: Option<&CampaignRow>,
) -> Report {
    Report {
        campaign: submission.name.clone(),
        done: Done::Checked,
        state: existing.map_or(CampaignState::Loading, |c| c.state),
        pool: submission.pool.clone(),
        list: submission.list.clone(),
        encoding: list.encoding.as_str(),
        columns: list.header.names.clone(),
        rows: survey.rows,
        recipients: survey.recipients,
        seeds: survey.seeds.views(),
        duplicates: survey.duplicates,
        rejected: survey.rejects.count,
        rejected_by_rule: survey.rules.clone(),
        first_rejects: survey.rejects.first.clone(),
        rejects_file: None,
        groups: survey.groups.clone(),
        added: 0,
        updated: 0,
        known: 0,
        suppressed: 0,
        pruned: 0,
        start,
        finish_by: submission.finish_by,
        not_after: submission.not_after,
        first_day: Vec::new(),
        warnings,
    }
}

fn warnings(submission: &Submission, templates: &Templates, list: &List) -> Vec<String> {
    let content = &submission.content;
    let mut warnings = Vec::new();
    let mut warn = |text: &str| warnings.push(text.to_owned());
    if content.unsubscribe.as_ref().is_some_and(|u| u.url.is_some() && !u.one_click) {
        warn("unsubscribe without \"one_click: true\": Gmail and Yahoo ask bulk senders for it (RFC 8058)");
    }
    let has_text = |part: &Part| part.templates().iter().any(|(kind, _)| *kind == "text/plain");
    if content.text.is_none() && !content.parts.as_ref().is_some_and(has_text) {
        warn("no text part: some phones and filters of the carriers refuse mail that is HTML only");
    }
    if content.subject.trim().is_empty() {
        warn("the subject is empty");
    }
    for name in templates.hidden(&list.header.names) {
        warn(&format!("the list's column \"{name}\" hides the built-in variable of that name"));
    }
    warnings
}
