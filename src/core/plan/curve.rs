//! Owns the curve: messages per plan day as a function of the warm-up day.
//!
//! Invariants: `quota` is total for every day from 1, at least 1, and does not depend on anything but the day; a curve
//! that ends keeps its last value unless the plan says otherwise; every curve prints back.

use std::fmt;

use crate::core::units::{Share, grouped};

/// Daily volumes, by warm-up day from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// How it was written.
    pub shape: CurveShape,
    /// Applied to every value, then rounded, at least 1.
    pub scale: Option<Share>,
    /// What follows a listed curve's end.
    pub then: Then,
    /// Cap, after scale.
    pub up_to: Option<u32>,
}

/// How a curve was written.
#[derive(Debug, Clone, PartialEq)]
pub enum CurveShape {
    /// Listed values; a preset keeps its name.
    Listed {
        /// Volumes of day 1, 2, ...; never empty.
        values: Vec<u32>,
        /// The preset that it came from.
        preset: Option<String>,
    },
    /// `start * grow ^ (day - 1)`.
    Growing {
        /// Volume of day 1.
        start: u32,
        /// Factor per day, above 1 (1.4 is 40 % more each day).
        grow: f64,
    },
}

/// What follows the last listed day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Then {
    /// The last value stays.
    Last,
    /// It goes on growing.
    Grow {
        /// Factor per day, above 1.
        grow: f64,
        /// Cap, after scale.
        up_to: Option<u32>,
    },
}

impl Curve {
    /// The quota of warm-up day `day` (from 1; 0 counts as 1).
    #[must_use]
    pub fn quota(&self, day: u32) -> u32 {
        let index = day.max(1) - 1;
        let (value, growing_cap) = match &self.shape {
            CurveShape::Growing { start, grow } => (grown(*start, *grow, index), None),
            CurveShape::Listed { values, .. } => {
                let last = values.last().copied().unwrap_or(1);
                let ended = u32::try_from(values.len()).unwrap_or(u32::MAX);
                match (values.get(index as usize), self.then) {
                    (Some(value), _) => (f64::from(*value), None),
                    (None, Then::Last) => (f64::from(last), None),
                    (None, Then::Grow { grow, up_to }) => (grown(last, grow, index + 1 - ended), up_to),
                }
            }
        };
        let scaled = value * self.scale.map_or(1.0, Share::fraction);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=u32::MAX")]
        let quota = (scaled * NUDGE).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        let cap = self.up_to.into_iter().chain(growing_cap).min().unwrap_or(u32::MAX);
        quota.min(cap.max(1))
    }

    /// The first warm-up day from which the quota no longer changes, looked for up to day 400.
    #[must_use]
    pub fn settles(&self) -> u32 {
        (1..400).rev().find(|d| self.quota(*d) != self.quota(d + 1)).map_or(1, |d| d + 1)
    }
}

/// 1_000 grown twice by 1.15 is 1_322.5 on paper and a hair less in binary; people check plans on paper, where halves go up.
const NUDGE: f64 = 1.0 + 1e-12;

fn grown(start: u32, grow: f64, steps: u32) -> f64 {
    let steps = i32::try_from(steps.min(10_000)).unwrap_or(10_000);
    (f64::from(start) * grow.powi(steps)).min(f64::from(u32::MAX))
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            CurveShape::Listed { preset: Some(name), .. } => write!(f, "preset {name}")?,
            CurveShape::Listed { values, preset: None } => {
                let values: Vec<_> = values.iter().map(|v| grouped(u64::from(*v))).collect();
                write!(f, "[{}]", values.join(", "))?;
            }
            CurveShape::Growing { start, grow } => write!(f, "start {}, grow {grow}", grouped(u64::from(*start)))?,
        }
        if let Some(scale) = self.scale {
            write!(f, ", scale {scale}")?;
        }
        if let Some(cap) = self.up_to {
            write!(f, ", up to {}", grouped(u64::from(cap)))?;
        }
        match self.then {
            Then::Last => Ok(()),
            Then::Grow { grow, up_to: None } => write!(f, ", then grow {grow}"),
            Then::Grow { grow, up_to: Some(cap) } => write!(f, ", then grow {grow} up to {}", grouped(u64::from(cap))),
        }
    }
}
