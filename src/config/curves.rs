//! Owns the published curves that a plan can name: `plans/curves.yaml`, built into the program.
//! Its shape is ours, so it is read by serde; a test reads every curve of it.
//!
//! Invariant: a preset's values are the published ones, whichever way the source wrote them down: each rung as many days as it
//! lasts, the days between two points by the rule that the file names, a volume per hour as 24 of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use crate::core::units;

/// Hours of a day, for sources that count by the hour.
const HOURS: u32 = 24;

/// A published curve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Messages on warm-up day 1, 2, ...; at least one.
    pub values: Vec<u32>,
    /// What the source meant by one curve.
    pub unit: String,
    /// How the source goes from one day to the next.
    pub advance: String,
    /// Who published it.
    pub publisher: String,
    /// Where it was published.
    pub source: String,
}

/// A curve as `plans/curves.yaml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    values: Vec<Count>,
    #[serde(default = "one")]
    hold_days: usize,
    #[serde(default)]
    points: BTreeMap<u32, Count>,
    between: Option<Between>,
    start: Option<Count>,
    grow: Option<f64>,
    days: Option<u32>,
    #[serde(default)]
    per: Per,
    unit: String,
    advance: String,
    publisher: String,
    source: String,
}

/// What holds on the days between two points.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Between {
    /// The volume of the point before.
    Step,
    /// Equal differences.
    Line,
    /// Equal factors.
    Factor,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    #[default]
    Day,
    Hour,
}

/// `1_000` is a text in YAML.
#[derive(Debug, Clone, Copy)]
struct Count(u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u32),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => units::count(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

fn one() -> usize {
    1
}

impl Written {
    /// The curve as meant, or what is wrong with it.
    fn read(self) -> Result<Preset, String> {
        let values = match (self.values.is_empty(), self.points.is_empty(), self.start) {
            (false, true, None) => {
                self.values.iter().flat_map(|value| std::iter::repeat_n(value.0, self.hold_days)).collect()
            }
            (true, false, None) => between_points(&self.points, self.between.ok_or("points need `between`")?)?,
            (true, true, Some(start)) => {
                let (grow, days) = self.grow.zip(self.days).ok_or("start needs `grow` and `days`")?;
                (0..days).map(|day| rounded(f64::from(start.0) * grow.powf(f64::from(day)))).collect()
            }
            _ => return Err("expected one of values, points and start".to_owned()),
        };
        let hours = if self.per == Per::Hour { HOURS } else { 1 };
        let daily = |value: u32| value.checked_mul(hours).filter(|n| *n > 0).ok_or("a day of zero, or too large");
        let values: Vec<u32> = values.into_iter().map(daily).collect::<Result<_, _>>()?;
        let Self { unit, advance, publisher, source, .. } = self;
        Ok(Preset { values, unit, advance, publisher, source })
    }
}

/// The volumes from day 1 to the last point.
fn between_points(points: &BTreeMap<u32, Count>, between: Between) -> Result<Vec<u32>, &'static str> {
    if points.keys().next() != Some(&1) {
        return Err("points begin with day 1");
    }
    let mut values = Vec::new();
    for ((from, low), (to, high)) in points.iter().zip(points.iter().skip(1)) {
        let (low, high) = (f64::from(low.0), f64::from(high.0));
        for day in 0..to - from {
            let way = f64::from(day) / f64::from(to - from);
            values.push(rounded(match between {
                Between::Step => low,
                Between::Line => low + (high - low) * way,
                Between::Factor => low * (high / low).powf(way),
            }));
        }
    }
    values.extend(points.values().last().map(|last| last.0));
    Ok(values)
}

/// The nearest whole number.
fn rounded(volume: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
    let whole = volume.round() as u32;
    whole
}

static PRESETS: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    let written: BTreeMap<String, Written> = serde_yaml::from_str(include_str!("../../plans/curves.yaml"))
        .expect("plans/curves.yaml is well formed: a test reads it");
    let read = |(name, written): (String, Written)| written.read().map(|preset| (name, preset));
    written.into_iter().map(read).collect::<Result<_, _>>().expect("every curve is whole: a test reads them")
});

/// The published curve of this name.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.get(name)
}

/// All published curves by name.
pub fn presets() -> impl Iterator<Item = (&'static str, &'static Preset)> {
    PRESETS.iter().map(|(name, preset)| (name.as_str(), preset))
}

/// The names of all published curves.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.keys().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str) -> &'static [u32] {
        &preset(name).expect(name).values
    }

    #[test]
    fn every_published_curve_is_read_and_says_where_it_comes_from() {
        for (name, preset) in presets() {
            let said = [&preset.unit, &preset.advance, &preset.publisher, &preset.source];
            assert!(said.iter().all(|text| !text.is_empty()), "{name}");
            assert!(!preset.values.is_empty() && preset.values.is_sorted() && preset.values[0] > 0, "{name} falls");
        }
        assert_eq!(values("sendgrid-manual-2017")[..5], [50, 100, 500, 1_000, 5_000]);
    }

    #[test]
    fn a_rung_lasts_as_many_days_as_it_says() {
        assert_eq!(values("braze-conservative").len(), 21);
        assert_eq!(values("braze-conservative")[..7], [50, 50, 50, 100, 100, 100, 500]);
    }

    #[test]
    fn days_between_points_follow_the_rule_of_their_curve() {
        let steps = values("mailrush-90");
        assert_eq!((steps.len(), &steps[..4], steps[89], steps[90]), (91, &[150, 150, 150, 200][..], 750, 1_000));
        let line = values("e2a-linear");
        assert_eq!((line.len(), &line[..3], line[29]), (30, &[50, 117, 184][..], 2_000));
        // 8_000 to 15_000 in three days: the points themselves are the published figures.
        let factor = values("acelle-sparse");
        assert_eq!((factor.len(), &factor[3..7], factor[29]), (30, &[8_000, 9_865, 12_164, 15_000][..], 250_000));
        assert_eq!(values("onesignal-growth")[..4], [300, 360, 432, 518]);
    }

    #[test]
    fn a_volume_per_hour_is_a_day_of_24() {
        let hourly = values("sendgrid-auto-hourly");
        assert_eq!((hourly.len(), hourly[0], hourly[41]), (42, 480, 470_425_344));
        assert_eq!((values("momentum-yahoo")[0], values("momentum-yahoo")[28]), (50_000, 2_400_000));
    }

    #[test]
    fn a_curve_that_is_not_whole_is_refused() {
        let about = "unit: u\nadvance: a\npublisher: p\nsource: s\n";
        for (shape, words) in [
            ("", "expected one of"),
            ("values: [1]\nstart: 1\ngrow: 1.2\ndays: 2\n", "expected one of"),
            ("points: {1: 5, 3: 7}\n", "need `between`"),
            ("points: {2: 5, 3: 7}\nbetween: line\n", "begin with day 1"),
            ("start: 5\n", "needs `grow`"),
            ("values: [0]\n", "zero"),
            ("values: [4_000_000_000]\nper: hour\n", "too large"),
        ] {
            let written: Written = serde_yaml::from_str(&format!("{about}{shape}")).expect(shape);
            let refused = written.read().expect_err(shape);
            assert!(refused.contains(words), "{shape}: {refused}");
        }
        assert!(serde_yaml::from_str::<Written>(&format!("{about}valeus: [1]\n")).is_err());
    }
}
