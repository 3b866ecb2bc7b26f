//! Owns how the decision journal reads: as a list, one decision a line, and as JSON.
//!
//! Invariant: what an entry says is shown as it was written; only its time is put into the reader's zone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::words::{Table, at};
use crate::core::journal::Entry;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Its number; later ones are higher.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// `gate`, `throttling`, a reply rule, an operator (`name@host`), a worker.
    pub by: String,
    /// What was decided: `verdict`, `slowed`, `plan-applied`, ...
    pub kind: &'static str,
    /// `relay/bucket`, a relay, or null: about neither.
    pub about: Option<String>,
    /// The plan day that it is about.
    pub day: Option<Date>,
    /// What was in force before.
    pub before: String,
    /// What is in force since.
    pub after: String,
    /// Why.
    pub because: String,
    /// The figures that it rests on, by name.
    pub inputs: BTreeMap<String, String>,
}

impl Decision {
    /// From an entry of the store.
    #[must_use]
    pub fn of((number, entry): (i64, Entry)) -> Self {
        let about = match (&entry.relay, &entry.bucket) {
            (Some(relay), Some(bucket)) => Some(format!("{relay}/{bucket}")),
            (Some(relay), None) => Some(relay.to_string()),
            (None, bucket) => bucket.as_ref().map(ToString::to_string),
        };
        Self {
            number,
            at: entry.at,
            by: entry.by,
            kind: entry.kind.as_str(),
            about,
            day: entry.day,
            before: entry.before,
            after: entry.after,
            because: entry.because,
            inputs: entry.inputs,
        }
    }

    /// `warm-up day 3 -> warm-up day 4`; one of them where the other says nothing.
    fn change(&self) -> String {
        match (self.before.as_str(), self.after.as_str()) {
            ("", after) => after.to_owned(),
            (before, after) if before == after || after.is_empty() => format!("{before} (as before)"),
            (before, after) => format!("{before} -> {after}"),
        }
    }
}

/// Decisions as a list, the first one first; with `long` each with its figures below it.
#[must_use]
pub fn render(decisions: &[Decision], zone: &TimeZone, long: bool) -> String {
    let mut table = Table::new(["WHEN", "BY", "WHAT", "ABOUT", "PLAN DAY", "CHANGE", "WHY"], &[]);
    for decision in decisions {
        table.row([
            at(decision.at, zone),
            decision.by.clone(),
            decision.kind.to_owned(),
            decision.about.clone().unwrap_or_else(|| "-".to_owned()),
            decision.day.map_or_else(|| "-".to_owned(), |day| day.to_string()),
            one_line(&decision.change()),
            one_line(&decision.because),
        ]);
    }
    let text = table.render("");
    if !long {
        return text;
    }
    // The heading, then each line with what belongs to it.
    let mut lines = text.lines();
    let mut out = lines.next().map(|head| format!("{head}\n")).unwrap_or_default();
    for (line, decision) in lines.zip(decisions) {
        out += &format!("{line}\n");
        for (name, value) in &decision.inputs {
            out += &format!("    {name}: {}\n", one_line(value));
        }
    }
    out
}

/// Words of others (a reply, an operator's reason) keep to their line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::journal::Kind;

    fn decision(because: &str) -> Decision {
        Decision::of((
            7,
            Entry {
                at: "2026-11-25T15:00:00Z".parse().expect("a time"),
                by: "gate".to_owned(),
                relay: Some("tokyo".parse().expect("a name")),
                bucket: Some("docomo".parse().expect("a name")),
                day: Some(jiff::civil::date(2026, 11, 25)),
                kind: Kind::Verdict,
                because: because.to_owned(),
                inputs: [("tried".to_owned(), "100".to_owned())].into(),
                before: "warm-up day 3".to_owned(),
                after: "warm-up day 4".to_owned(),
            },
        ))
    }

    #[test]
    fn a_decision_is_one_line_and_its_figures_come_when_asked_for() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        let decisions = [decision("filled\nwell"), decision("again")];
        let text = render(&decisions, &zone, false);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("2026-11-26 00:00  gate  verdict  tokyo/docomo  2026-11-25"), "{text}");
        assert!(text.contains("warm-up day 3 -> warm-up day 4  filled well"), "{text}");
        let long = render(&decisions, &zone, true);
        assert_eq!(long.lines().nth(2), Some("    tried: 100"), "{long}");
        assert_eq!(render(&[], &zone, true), "");
    }
}
