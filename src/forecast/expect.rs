//! Owns what is expected of a forecast: `finish <= 2026-12-05`, `remaining(spring) == 0`; for a check before something is merged.
//!
//! Invariant: what cannot be judged (a campaign that is not there, an end beyond the forecast) is not met.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::answer::Forecast;
use crate::core::names::CampaignName;
use crate::core::units;

/// Why a text is no expectation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `finish <= 2026-12-05`, `finish(CAMPAIGN) <= 2026-12-05T18:00`, `remaining == 0` or `expired == 0` (or <, >=, >), \
     got \"{0}\"{1}"
)]
pub struct ExpectationError(String, &'static str);

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    text: String,
    campaign: Option<CampaignName>,
    what: What,
    relation: Relation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Finish(When),
    Remaining(u64),
    Expired(u64),
}

/// A day counts as a whole: `<=` it is until its last instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Day(Date),
    Time(DateTime),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    AtMost,
    Below,
    Equal,
    AtLeast,
    Above,
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::AtMost => ordering != Ordering::Greater,
            Self::Below => ordering == Ordering::Less,
            Self::Equal => ordering == Ordering::Equal,
            Self::AtLeast => ordering != Ordering::Less,
            Self::Above => ordering == Ordering::Greater,
        }
    }
}

impl FromStr for Expectation {
    type Err = ExpectationError;

    fn from_str(text: &str) -> Result<Self, ExpectationError> {
        let wrong = |why| ExpectationError(text.to_owned(), why);
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("==", Relation::Equal),
            ("<", Relation::Below),
            (">", Relation::Above),
        ];
        let split = relations.into_iter().find_map(|(sign, relation)| {
            let (left, right) = text.split_once(sign)?;
            Some((left.trim(), relation, right.trim()))
        });
        let (left, relation, right) = split.ok_or_else(|| wrong(": it compares nothing"))?;
        let (metric, campaign) = match left.split_once('(') {
            None => (left, None),
            Some((metric, rest)) => {
                let name = rest.strip_suffix(')').ok_or_else(|| wrong(": the bracket is not closed"))?;
                let name = name.trim().parse().map_err(|_| wrong(": in the brackets stands no campaign's name"))?;
                (metric.trim(), Some(name))
            }
        };
        let number = || units::count(right).map(u64::from).map_err(|_| wrong(": the right side is no whole number"));
        let what = match metric {
            "finish" => What::Finish(when(right).ok_or_else(|| wrong(": the right side is no date"))?),
            "remaining" => What::Remaining(number()?),
            "expired" => What::Expired(number()?),
            _ => return Err(wrong(": the left side is none of finish, remaining, expired")),
        };
        Ok(Self { text: text.trim().to_owned(), campaign, what, relation })
    }
}

fn when(text: &str) -> Option<When> {
    let day = text.parse::<Date>().ok().filter(|_| text.len() <= 10).map(When::Day);
    day.or_else(|| text.parse().ok().map(When::Time))
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expectation {
    /// Whether it holds; where it does not, what came instead, in words. Dates are of `zone`.
    ///
    /// # Errors
    /// What came instead.
    pub fn judge(&self, forecast: &Forecast, zone: &TimeZone) -> Result<(), String> {
        let one = match &self.campaign {
            None => None,
            Some(name) => Some(
                forecast.campaign(name.as_str()).ok_or_else(|| format!("{}: no open campaign is {name}", self.text))?,
            ),
        };
        let count = |got: u64, wanted: u64, word: &str| {
            let met = self.relation.holds(got.cmp(&wanted));
            if met { Ok(()) } else { Err(format!("{}: {got} {word}", self.text)) }
        };
        let remaining = one.map_or_else(|| forecast.remaining(), |c| c.remaining);
        match self.what {
            What::Remaining(n) => count(remaining, n, "would remain"),
            What::Expired(n) => count(one.map_or_else(|| forecast.expired(), |c| c.expired), n, "would expire"),
            What::Finish(when) => {
                let waits = one.map_or_else(|| forecast.campaigns.iter().map(|c| c.waiting).sum(), |c| c.waiting);
                if waits == 0 {
                    return Ok(());
                }
                let ends = one.map_or_else(|| forecast.ends(), |c| c.ends.filter(|_| c.remaining == 0));
                let Some(ends) = ends else {
                    let late = matches!(self.relation, Relation::AtLeast | Relation::Above);
                    let beyond = format!("{}: {remaining} would remain when the forecast ends", self.text);
                    return if late { Ok(()) } else { Err(beyond) };
                };
                let local = ends.to_zoned(zone.clone()).datetime();
                let ordering = match when {
                    When::Day(day) => local.date().cmp(&day),
                    When::Time(time) => local.cmp(&time),
                };
                let met = self.relation.holds(ordering);
                if met { Ok(()) } else { Err(format!("{}: it finishes at {}", self.text, minute(ends, zone))) }
            }
        }
    }
}

fn minute(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_read_and_say_what_was_expected() {
        for text in [
            "finish <= 2026-12-05",
            "finish(spring-2026) < 2026-12-05T18:00",
            "expired == 0",
            "remaining(spring) == 0",
            "remaining<=1_000",
        ] {
            assert_eq!(text.parse::<Expectation>().map(|e| e.to_string()).as_deref(), Ok(text));
        }
        for (text, why) in [
            ("finish", "compares nothing"),
            ("finish <= tomorrow", "no date"),
            ("finish(Spring) <= 2026-12-05", "no campaign's name"),
            ("finish(spring <= 2026-12-05", "not closed"),
            ("end <= 2026-12-05", "none of finish"),
            ("expired == none", "no whole number"),
        ] {
            let error = text.parse::<Expectation>().expect_err(text).to_string();
            assert!(error.contains(why) && error.contains("finish <= 2026-12-05"), "{error}");
        }
    }
}
