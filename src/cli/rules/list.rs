//! Owns `rules list`.

use serde::Serialize;

use super::{in_force, known_group, whose};
use crate::cli::{Context, Exit, Outcome};
use crate::core::reply::{FaultKind, Provider, Rule};
use crate::report::words::Table;

/// `rules list`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those that are tried for this destination group: its own, the relays' and anybody's
    #[arg(long)]
    group: Option<String>,
}

/// A rule as it is shown. The keys of its JSON are stable.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    rule: &'a str,
    whose: String,
    /// Only in reports from beyond the relay.
    report: bool,
    stage: Option<&'static str>,
    code: Option<u16>,
    enhanced: Option<String>,
    words: Option<String>,
    fault: Option<&'static str>,
    reason: &'static str,
    signal: &'static str,
    action: &'static str,
    meaning: &'a str,
    source: &'a str,
}

impl<'a> Shown<'a> {
    fn of(rule: &'a Rule, report: bool) -> Self {
        let enhanced =
            rule.enhanced.map(|(low, high)| if low.2 == high { low.to_string() } else { format!("{low}-{high}") });
        let fault = rule.fault.map(|fault| match fault {
            FaultKind::Reset => "reset",
            FaultKind::Closed => "closed",
            FaultKind::Timeout => "timeout",
        });
        Self {
            rule: &rule.id,
            whose: whose(rule),
            report,
            stage: rule.stage.map(|stage| stage.as_str()),
            code: rule.code,
            enhanced,
            words: rule.text.as_ref().map(ToString::to_string),
            fault,
            reason: rule.reason.as_str(),
            signal: rule.signal.as_str(),
            action: rule.action.as_str(),
            meaning: &rule.meaning,
            source: &rule.source,
        }
    }

    fn when(&self) -> String {
        let code = self.code.map(|code| code.to_string());
        let words = self.words.as_ref().map(|words| format!("\"{words}\""));
        let fault = self.fault.map(str::to_owned);
        let stage = self.stage.map(|stage| format!("at {stage}"));
        let parts = [code, self.enhanced.clone(), fault, words, stage];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// The order in which whose words are tried.
fn rank(rule: &Rule) -> u8 {
    match &rule.provider {
        Provider::Group(_) => 0,
        Provider::Relay(_) => 1,
        Provider::Generic => 2,
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let (known, _) = in_force(context)?;
    let group = args.group.as_deref().map(|name| known_group(name, &known.groups)).transpose()?;
    let asked = |rule: &&Rule| match &rule.provider {
        Provider::Group(of) => group.as_ref().is_none_or(|group| group == of),
        Provider::Relay(_) | Provider::Generic => true,
    };
    let mut in_band: Vec<&Rule> = known.rules.all().iter().filter(asked).collect();
    in_band.sort_by_key(|rule| rank(rule));
    let shown = in_band.into_iter().map(|rule| Shown::of(rule, false));
    let shown: Vec<Shown<'_>> = shown.chain(known.rules.of_reports().map(|rule| Shown::of(rule, true))).collect();
    let mut table = Table::new(["rule", "whose", "when", "reason", "whose fault", "action"], &[]);
    for one in &shown {
        let whose = if one.report { "anybody, in reports".to_owned() } else { one.whose.clone() };
        let cells = [one.rule.to_owned(), whose, one.when(), one.reason.to_owned(), one.signal.to_owned()];
        let [rule, whose, when, reason, signal] = cells;
        table.row([rule, whose, when, reason, signal, one.action.to_owned()]);
    }
    context.answer(&shown, &table.render(""))?;
    Ok(Exit::Done)
}
