//! Owns `feedback import`: reports from files or standard input, each told with what it means and does.
//!
//! Signatures of providers are not asked for: whoever may run this may write the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::run::open_tokens;
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::compose::Tokens;
use crate::config::Config;
use crate::config::bare::{Remembered, bare_config};
use crate::core::campaign::{CampaignId, MessageId};
use crate::core::feedback::Heard;
use crate::core::names::RelayName;
use crate::core::reply::{Action, Consequence};
use crate::feedback::import::{Form, Piece, Readers, of_path, of_stream};
use crate::feedback::{AT_ONCE, Desk, add, mail, provider};
use crate::report::words::{count, number};
use crate::store::{Recorded, Report, ReportRow, Store, SuppressionReason};

/// `feedback import`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, Maildir folders, or folders of files [default: standard input, which `-` names, too]
    #[arg(value_name = "FILE|FOLDER")]
    from: Vec<PathBuf>,
    /// What they hold [default: guessed from how each begins]
    #[arg(long, value_enum, value_name = "FORM")]
    form: Option<Written>,
    /// The relay that they are about: of relays' own words only those of its kind are heard
    #[arg(long, value_name = "RELAY")]
    relay: Option<RelayName>,
    /// Only say what each report means; nothing is recorded, and mail of others is told of, too
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Written {
    /// One mail
    Mail,
    /// Many mails in one file
    Mbox,
    /// A folder with new and cur
    Maildir,
    /// The log of a Postfix relay
    Log,
    /// Events of Amazon SES, as SNS, a queue or a bucket hold them
    Ses,
    /// Events of SendGrid
    Sendgrid,
}

impl From<Written> for Form {
    fn from(written: Written) -> Self {
        match written {
            Written::Mail => Self::Mail,
            Written::Mbox => Self::Mbox,
            Written::Maildir => Self::Maildir,
            Written::Log => Self::Log,
            Written::Ses => Self::Events("ses"),
            Written::Sendgrid => Self::Events("sendgrid"),
        }
    }
}

/// A report as it is shown. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct Shown {
    /// Where it stood.
    from: String,
    recipient: Option<String>,
    fate: &'static str,
    reason: &'static str,
    /// The address or its mailbox is at fault.
    at_fault: bool,
    signal: Option<&'static str>,
    action: Option<&'static str>,
    rule: Option<String>,
    code: Option<u16>,
    enhanced: Option<String>,
    stage: Option<&'static str>,
    said: String,
    remote: Option<String>,
    at: Timestamp,
    way: String,
    /// What it does to the address.
    does: &'static str,
    message: Option<String>,
    campaign: Option<String>,
    /// It was recorded before: nothing changed.
    known: bool,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    from: String,
    why: String,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    dry_run: bool,
    reports: Vec<Shown>,
    unreadable: Vec<Unreadable>,
    recorded: Recorded,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let config = configuration(args, context)?;
    if let Some(relay) = args.relay.as_ref().filter(|relay| !config.relays.contains_key(*relay)) {
        return Err(Failure::refused(format!("there is no relay {relay} in the configuration")));
    }
    let (store, tokens) = if args.dry_run {
        let store = config.store.exists().then(|| context.open_existing_store(&config)).transpose()?;
        let keyed = config.signing_key.is_some() || Tokens::key_file(&config.store).exists();
        (store, keyed.then(|| open_tokens(&config)).transpose()?)
    } else {
        (Some(context.open_existing_store(&config)?), Some(open_tokens(&config)?))
    };
    let desk = Desk { config: &config, tokens: tokens.as_ref(), store: store.as_deref(), relay: args.relay.as_ref() };
    let mut taker = Taker {
        context,
        desk,
        store: store.as_ref(),
        dry_run: args.dry_run,
        batch: Vec::new(),
        answer: Answer {
            dry_run: args.dry_run,
            reports: Vec::new(),
            unreadable: Vec::new(),
            recorded: Recorded::default(),
        },
        names: BTreeMap::new(),
        told: 0,
    };
    let readers = readers(&config, context.clock.now());
    for piece in pieces(args, &readers) {
        taker.take(piece)?;
    }
    taker.flush()?;
    taker.end()
}

/// The configuration in force. To try what a mail means none is needed: then the shipped rules answer.
fn configuration(args: &Args, context: &Context) -> Result<Config, Failure> {
    if args.dry_run && context.store.is_none() && !context.config_path.exists() {
        context
            .remark(&format!("there is no configuration {}: the shipped rules answer", context.config_path.display()));
        return Ok(bare_config(Path::new("none"), &Remembered::default()));
    }
    context.config_to_look()
}

fn readers(config: &Config, now: Timestamp) -> Readers {
    let zone: TimeZone = config.timezone.clone();
    Readers {
        mail: |bytes| mail::read(bytes).map_err(|why| why.to_string()),
        providers: provider::by_hand(),
        zone,
        now,
    }
}

fn pieces<'a>(args: &'a Args, readers: &'a Readers) -> Box<dyn Iterator<Item = Piece> + 'a> {
    let form = args.form.map(Form::from);
    let stdin = move || of_stream("standard input", std::io::stdin(), form, readers);
    if args.from.is_empty() {
        return stdin();
    }
    Box::new(args.from.iter().flat_map(
        move |path| {
            if path.as_os_str() == "-" { stdin() } else { of_path(path, form, readers) }
        },
    ))
}

/// Takes piece by piece.
struct Taker<'a> {
    context: &'a Context,
    desk: Desk<'a>,
    store: Option<&'a Arc<dyn Store>>,
    dry_run: bool,
    batch: Vec<(String, Heard)>,
    answer: Answer,
    /// Names of campaigns that were looked up.
    names: BTreeMap<CampaignId, String>,
    told: u64,
}

impl Taker<'_> {
    fn take(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece.heard {
            Ok(heard) => self.batch.extend(heard.into_iter().map(|one| (piece.place.clone(), one))),
            Err(why) => {
                self.flush()?;
                self.context.remark(&format!("{}: {}", piece.place, why.escape_debug()));
                self.answer.unreadable.push(Unreadable { from: piece.place, why });
            }
        }
        if self.batch.len() >= AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let mut batch = std::mem::take(&mut self.batch);
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(AT_ONCE));
            let shown = self.context.block_on(record(
                &self.desk,
                self.store,
                self.dry_run,
                &mut self.names,
                batch,
                self.context.clock.now(),
            ))?;
            add(&mut self.answer.recorded, shown.1);
            self.told += shown.0.len() as u64;
            if self.context.json {
                self.answer.reports.extend(shown.0);
            } else {
                let lines: String = shown.0.iter().map(|one| one.line() + "\n").collect();
                self.context.print(&lines)?;
            }
            batch = rest;
        }
        Ok(())
    }

    fn end(self) -> Outcome {
        let exit = if self.answer.unreadable.is_empty() { Exit::Done } else { Exit::Refused };
        let (r, unreadable) = (self.answer.recorded, self.answer.unreadable.len() as u64);
        let reports = count(self.told, "report");
        let text = if self.dry_run {
            format!("{reports}, {} unreadable; nothing was recorded", number(unreadable))
        } else {
            format!(
                "{reports}: {} new, {} known before, {} of no message of this store; {} suppressed, {} unreadable",
                number(r.new),
                number(r.repeated),
                number(r.unmatched),
                count(r.suppressed, "address").replace("addresss", "addresses"),
                number(unreadable)
            )
        };
        self.context.answer(&self.answer, &text)?;
        Ok(exit)
    }
}

/// Reads a batch, records it unless this is a trial, and finds what each report was matched with.
async fn record(
    desk: &Desk<'_>,
    store: Option<&Arc<dyn Store>>,
    dry_run: bool,
    names: &mut BTreeMap<CampaignId, String>,
    batch: Vec<(String, Heard)>,
    now: Timestamp,
) -> Result<(Vec<Shown>, Recorded), Failure> {
    let (from, heard): (Vec<String>, Vec<Heard>) = batch.into_iter().unzip();
    let reports: Vec<(String, Report)> = from.into_iter().zip(desk.reports(heard, now).await?).collect();
    let mut recorded = Recorded::default();
    if let Some(store) = store.filter(|_| !dry_run) {
        recorded = store.record_reports(reports.iter().map(|(_, report)| report.clone()).collect(), now).await?;
    }
    let mut shown = Vec::with_capacity(reports.len());
    for (from, report) in reports {
        let mut one = Shown::of(from, &report);
        if let Some(store) = store {
            one.match_with(&**store, &report, names, now, dry_run).await?;
        }
        shown.push(one);
    }
    Ok((shown, recorded))
}

impl Shown {
    fn of(from: String, report: &Report) -> Self {
        let consequence = match (report.suppress, report.mailbox_after) {
            (Some(SuppressionReason::Unknown), _) => Consequence::Unknown,
            (Some(SuppressionReason::Complaint), _) => Consequence::Complaint,
            (Some(SuppressionReason::Unsubscribe), _) => Consequence::Unsubscribe,
            (_, Some(_)) => Consequence::Mailbox,
            _ => Consequence::Nothing,
        };
        Self {
            from,
            recipient: report.key.clone(),
            fate: report.fate.as_str(),
            reason: report.reason.as_str(),
            at_fault: report.reason.is_recipients(),
            signal: report.action.map(|_| report.signal.as_str()),
            action: report.action.map(Action::as_str),
            rule: report.rule.as_ref().map(ToString::to_string),
            code: report.said.code,
            enhanced: report.said.enhanced.map(|e| e.to_string()),
            stage: report.stage.map(|stage| stage.as_str()),
            said: report.said.text.clone(),
            remote: report.remote.clone(),
            at: report.at,
            way: report.way.as_str().to_owned(),
            does: consequence.as_str(),
            message: report.message.map(|id| id.to_string()),
            campaign: None,
            known: false,
        }
    }

    /// The message and campaign: where it is recorded as it was matched there, else by its token.
    async fn match_with(
        &mut self,
        store: &dyn Store,
        report: &Report,
        names: &mut BTreeMap<CampaignId, String>,
        now: Timestamp,
        dry_run: bool,
    ) -> Result<(), Failure> {
        let rows = match (report.message, &report.key) {
            (Some(id), _) => store.reports_about(id).await?,
            (None, Some(key)) => store.reports_to(key).await?,
            (None, None) => Vec::new(),
        };
        let same = |row: &&ReportRow| row.report.way == report.way && row.report.id == report.id;
        if let Some(row) = rows.iter().find(same) {
            // The store keeps microseconds.
            self.known = row.recorded.as_microsecond() < now.as_microsecond() || dry_run;
            self.message = row.report.message.map(|id| id.to_string()).or(self.message.take());
            if let Some(id) = row.campaign {
                if !names.contains_key(&id) {
                    names.extend(store.campaigns().await?.into_iter().map(|row| (row.id, row.name.to_string())));
                }
                self.campaign = names.get(&id).cloned();
            }
        }
        if let (None, Some(MessageId(_))) = (&self.campaign, report.message)
            && let Some(id) = report.message
        {
            self.campaign = store.recipient_of(id).await?.map(|recipient| recipient.campaign.to_string());
        }
        Ok(())
    }

    fn line(&self) -> String {
        let said =
            [self.code.map(|code| code.to_string()), self.enhanced.clone(), Some(self.said.replace('\n', " / "))];
        let said: Vec<String> = said.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {}", said.join(" ")) };
        let why = match (self.action, &self.rule) {
            (Some(action), Some(rule)) => format!(" ({}, {action}, rule {rule})", self.reason),
            (Some(action), None) => format!(" ({}, {action})", self.reason),
            (None, _) => String::new(),
        };
        let whose = match (&self.message, &self.campaign) {
            (Some(message), Some(campaign)) => format!("{message} of {campaign}"),
            (Some(message), None) => message.clone(),
            (None, _) => "no message of this store".to_owned(),
        };
        let does = if self.does == Consequence::Nothing.as_str() { String::new() } else { format!("; {}", self.does) };
        let known = if self.known { "; known before" } else { "" };
        let recipient = self.recipient.as_deref().unwrap_or("no recipient");
        format!("{recipient}  {}{why}{said}{does}; {whose}{known}", self.fate)
    }
}
