//! Owns the published curves that a plan can name: `plans/curves.yaml`, built into the program.
//! Its shape is ours, so it is read by serde; a test reads every curve of it.
//!
//! Invariant: a preset's values are the published ones, each repeated for as many days as its rung lasts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use crate::core::units;

/// A published curve.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    #[serde(deserialize_with = "counts")]
    values: Vec<u32>,
    #[serde(default = "one")]
    hold_days: usize,
    /// What the source meant by one curve.
    pub unit: String,
    /// How the source goes from one day to the next.
    pub advance: String,
    /// Where it was published.
    pub source: String,
}

impl Preset {
    /// Messages on warm-up day 1, 2, ...
    #[must_use]
    pub fn values(&self) -> Vec<u32> {
        self.values.iter().flat_map(|value| std::iter::repeat_n(*value, self.hold_days)).collect()
    }
}

fn one() -> usize {
    1
}

/// `1_000` is a text in YAML.
fn counts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(u32),
        Text(String),
    }
    let written = Vec::<Count>::deserialize(deserializer)?;
    let read = |count| match count {
        Count::Number(number) => Ok(number),
        Count::Text(text) => units::count(&text).map_err(serde::de::Error::custom),
    };
    written.into_iter().map(read).collect()
}

static PRESETS: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    serde_yaml::from_str(include_str!("../../plans/curves.yaml"))
        .expect("plans/curves.yaml is well formed: a test reads it")
});

/// The published curve of this name.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.get(name)
}

/// The names of all published curves.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.keys().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_curve_is_read_and_has_a_source() {
        assert!(preset_names().count() >= 8);
        for name in preset_names() {
            let preset = preset(name).expect(name);
            assert!(!preset.source.is_empty() && preset.values().iter().all(|v| *v > 0), "{name}");
            assert!(preset.values().is_sorted(), "{name} falls");
        }
        assert_eq!(
            preset("sendgrid-manual-2017").map(|p| p.values()[..5].to_vec()),
            Some(vec![50, 100, 500, 1_000, 5_000])
        );
    }

    #[test]
    fn a_rung_lasts_as_many_days_as_it_says() {
        let values = preset("braze-conservative").map(Preset::values).unwrap_or_default();
        assert_eq!(values.len(), 21);
        assert_eq!(values[..7], [50, 50, 50, 100, 100, 100, 500]);
    }
}
