//! Owns `rules test`: one reply, read as an answer of the relay and as a report from beyond it.

use serde::Serialize;

use super::{in_force, known_group, known_kind, no_such, whose};
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::config::Config;
use crate::config::settings::{Answers, RelaySettings};
use crate::core::feedback::{Diagnostic, TEXT_MOST};
use crate::core::names::GroupName;
use crate::core::reply::{Action, Answer, Delivery, Enhanced, Reading, Reason, Reply, Rule, Rules, Signal, Stage};

/// `rules test`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The reply: `550 5.1.1 words`, `5.1.1 words`, or words alone; `\n` stands between lines
    #[arg(value_name = "REPLY")]
    reply: String,
    /// The recipient's destination group
    #[arg(long)]
    group: Option<String>,
    /// The step that it answers: rcpt, body (the final dot), ...
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Stage::ALL.map(Stage::as_str)))]
    stage: Option<String>,
    /// The relay of the configuration that it came through
    #[arg(long)]
    relay: Option<String>,
    /// The kind of relay that it came through, such as ses
    #[arg(long, conflicts_with = "relay")]
    kind: Option<String>,
    /// Read it only as a report from beyond the relay: a bounce mail, an event, a line of a log
    #[arg(long)]
    report: bool,
}

/// Everything that is asked.
struct Asked<'a> {
    said: Diagnostic,
    stage: Option<Stage>,
    group: Option<GroupName>,
    kind: Option<&'a str>,
    /// Whose words come back in-band; `None`: no relay was named.
    answers: Option<Answers>,
}

/// The answer. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct View<'a> {
    code: Option<u16>,
    enhanced: Option<String>,
    text: &'a str,
    stage: Option<&'static str>,
    group: Option<&'a str>,
    kind: Option<&'a str>,
    in_band: Option<Shown<'a>>,
    report: Shown<'a>,
}

/// A reading as it is shown. The keys of its JSON are stable.
#[derive(Debug, PartialEq, Serialize)]
struct Shown<'a> {
    rule: Option<&'a str>,
    whose: Option<String>,
    words: Option<String>,
    source: Option<&'a str>,
    meaning: String,
    reason: &'static str,
    signal: &'static str,
    action: &'static str,
    from_relay: bool,
    does: Does,
}

/// What it does, in words.
#[derive(Debug, PartialEq, Serialize)]
struct Does {
    message: &'static str,
    address: &'static str,
    lane: &'static str,
    relay: &'static str,
    campaign: &'static str,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let (known, config) = in_force(context)?;
    let relay = args.relay.as_deref().map(|name| known_relay(name, config.as_ref())).transpose()?;
    let asked = Asked {
        said: parsed(&args.reply)?,
        stage: Stage::ALL.into_iter().find(|stage| args.stage.as_deref() == Some(stage.as_str())),
        group: args.group.as_deref().map(|name| known_group(name, &known.groups)).transpose()?,
        kind: match (relay, args.kind.as_deref()) {
            (Some(relay), _) => relay.kind(),
            (None, kind) => kind.map(known_kind).transpose()?,
        },
        answers: relay.map(|relay| relay.answers),
    };
    let report = asked.of_report(&known.rules);
    let in_band = if args.report { None } else { asked.in_band(&known.rules) };
    let text = in_words(&asked, in_band.as_ref(), &report, args.report);
    let view = View {
        code: asked.said.code,
        enhanced: asked.said.enhanced.map(|e| e.to_string()),
        text: &asked.said.text,
        stage: asked.stage.map(Stage::as_str),
        group: asked.group.as_ref().map(GroupName::as_str),
        kind: asked.kind,
        in_band,
        report,
    };
    context.answer(&view, &text)?;
    Ok(Exit::Done)
}

fn known_relay<'a>(name: &str, config: Option<&'a Config>) -> Result<&'a RelaySettings, Failure> {
    let Some(config) = config else {
        return Err(Failure::refused(
            "--relay names a relay of the configuration, and there is none; --kind needs none",
        ));
    };
    let found = config.relays.iter().find(|(known, _)| known.as_str() == name);
    let near = || no_such("relay", name, config.relays.keys().map(|relay| relay.as_str()));
    found.map(|(_, relay)| &**relay).ok_or_else(near)
}

/// The codes in front, and the words.
fn parsed(reply: &str) -> Result<Diagnostic, Failure> {
    let reply = reply.replace("\\n", "\n");
    let clean: String = reply.trim().chars().filter(|c| !c.is_control() || *c == '\n').take(TEXT_MOST).collect();
    if clean.is_empty() {
        return Err(Failure::usage("expected a reply such as \"550 5.1.1 User unknown\", got nothing"));
    }
    let (first, rest) = first_word(&clean);
    let code = first.parse().ok().filter(|code| first.len() == 3 && (200..=599).contains(code));
    let behind = if code.is_some() { rest } else { &clean };
    let (next, words) = first_word(behind);
    let enhanced: Option<Enhanced> = next.parse().ok();
    let text = if enhanced.is_some() { words } else { behind };
    Ok(Diagnostic { code, enhanced, text: text.trim_start().to_owned() })
}

fn first_word(text: &str) -> (&str, &str) {
    text.split_once([' ', '-', '\n']).unwrap_or((text, ""))
}

impl Asked<'_> {
    /// As an answer to the worker; `None` where no code was given: an answer always has one.
    fn in_band<'r>(&self, rules: &'r Rules) -> Option<Shown<'r>> {
        let Diagnostic { code, enhanced, text } = self.said.clone();
        let stage = self.stage.unwrap_or(Stage::Rcpt);
        let answer = Answer::Reply(Reply { code: code?, enhanced, text });
        let dot_begun = stage == Stage::Body;
        let delivery = Delivery { stage, answer, rcpt_written: stage >= Stage::Rcpt, dot_begun };
        // Without a relay a group says whose words they are.
        let group = self.group.as_ref().filter(|_| self.answers != Some(Answers::Own));
        let reading = rules.read_from(self.kind, &delivery, group);
        let does = in_band_does(&reading, group.is_none());
        Some(Shown::of(&reading, rules.rule_of(self.kind, &delivery, group), does))
    }

    fn of_report<'r>(&self, rules: &'r Rules) -> Shown<'r> {
        let (kind, group) = (self.kind, self.group.as_ref());
        let reading = rules.read_report(kind, &self.said, self.stage, group);
        let does = report_does(&reading);
        Shown::of(&reading, rules.rule_of_report(kind, &self.said, self.stage, group), does)
    }
}

const NOTHING: &str = "nothing";

fn in_band_does(reading: &Reading, own: bool) -> Does {
    let of_relay = own || reading.from_relay || reading.signal == Signal::Relay;
    let message = match reading.action {
        Action::Suppress | Action::Fail => "bounces",
        _ => "is tried again later",
    };
    Does { message, address: against_address(reading, false), ..does(reading.action, of_relay) }
}

fn report_does(reading: &Reading) -> Does {
    let of_relay = reading.from_relay || reading.signal == Signal::Relay;
    let message = "stays accepted by the relay; what came back is written beside it";
    Does { message, address: against_address(reading, true), ..does(reading.action, of_relay) }
}

fn against_address(reading: &Reading, report: bool) -> &'static str {
    match (reading.action, reading.reason) {
        (Action::Suppress, _) => "is suppressed: nothing is sent to it again",
        (_, Reason::MailboxFull | Reason::Suspended) if report => {
            "nothing yet; suppressed after several such reports about different messages"
        }
        _ => "nothing against it",
    }
}

fn does(action: Action, of_relay: bool) -> Does {
    let (lane, relay, campaign) = match (action, of_relay) {
        (Action::Throttle, false) => ("slows down: a short pause, longer while it goes on", NOTHING, NOTHING),
        (Action::Throttle, true) => (NOTHING, "slows down: a short pause, longer while it goes on", NOTHING),
        (Action::Block, false) => ("pauses for the group's cooldown; the day's verdict steps back", NOTHING, NOTHING),
        (Action::Block, true) => (NOTHING, "pauses with all its lanes, longer while it goes on", NOTHING),
        (Action::StopCampaign, _) => (NOTHING, NOTHING, "is paused until the operator resumes it"),
        (Action::Suppress | Action::Fail | Action::Retry, _) => (NOTHING, NOTHING, NOTHING),
    };
    Does { message: NOTHING, address: NOTHING, lane, relay, campaign }
}

impl<'a> Shown<'a> {
    fn of(reading: &Reading, rule: Option<&'a Rule>, does: Does) -> Self {
        Self {
            rule: rule.map(|rule| &*rule.id),
            whose: rule.map(whose),
            words: rule.and_then(|rule| rule.text.as_ref()).map(ToString::to_string),
            source: rule.map(|rule| &*rule.source).filter(|source| !source.is_empty()),
            meaning: reading.meaning.to_string(),
            reason: reading.reason.as_str(),
            signal: reading.signal.as_str(),
            action: reading.action.as_str(),
            from_relay: reading.from_relay,
            does,
        }
    }

    /// Whether both say the same but for what becomes of the message.
    fn agrees(&self, other: &Self) -> bool {
        let told = |shown: &Self| (shown.rule.map(str::to_owned), shown.reason, shown.signal, shown.action);
        told(self) == told(other)
    }

    fn render(&self) -> String {
        let mut lines = Vec::new();
        match (self.rule, &self.whose) {
            (Some(rule), Some(whose)) => lines.push(format!("  rule      {rule} ({whose})")),
            _ => lines.push("  rule      none: the codes decide".to_owned()),
        }
        lines.extend(self.source.map(|source| format!("  source    {source}")));
        lines.extend(self.words.as_ref().map(|words| format!("  words     \"{words}\"")));
        lines.push(format!("  meaning   {}", self.meaning));
        lines.push(format!("  reason    {}", self.reason));
        let speaks = if self.from_relay { "; it is the relay that speaks" } else { "" };
        lines.push(format!("  fault     {}{speaks}", self.signal));
        lines.push(format!("  action    {}", self.action));
        lines.push(format!("  message   {}", self.does.message));
        lines.push(format!("  address   {}", self.does.address));
        let beyond = [("lane", self.does.lane), ("relay", self.does.relay), ("campaign", self.does.campaign)];
        lines.extend(
            beyond.iter().filter(|(_, does)| *does != NOTHING).map(|(what, does)| format!("  {what:<9} {does}")),
        );
        if beyond.iter().all(|(_, does)| *does == NOTHING) {
            lines.push("  beyond    lane, relay and campaign go on".to_owned());
        }
        lines.join("\n")
    }
}

fn in_words(asked: &Asked<'_>, in_band: Option<&Shown<'_>>, report: &Shown<'_>, only_report: bool) -> String {
    let stage = asked.stage.map_or("rcpt, as no stage was given", Stage::as_str);
    let beyond = format!("as a report from beyond the relay\n{}", report.render());
    match in_band {
        Some(own) if own.agrees(report) => {
            format!(
                "as an answer (to {stage})\n{}\n\nas a report from beyond the relay: the same; the message {}",
                own.render(),
                report.does.message
            )
        }
        Some(own) => format!("as an answer (to {stage})\n{}\n\n{beyond}", own.render()),
        None if only_report => beyond,
        None => format!("as an answer: none, for an answer has a code of three digits\n\n{beyond}"),
    }
}
