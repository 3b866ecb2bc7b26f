//! Owns the plan as meant: for each bucket a curve of daily volume with rates, window and what is avoided.
//! `config` reads it from YAML and resolves groups to buckets; here it cannot be wrong any more.
//!
//! Invariant: every bucket has an entry (`Plan::lane` is total), and every quota is at least 1.

mod curve;
mod gate;
mod groups;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

pub use curve::{Curve, CurveShape, Then};
pub use gate::{Blind, Gate, Shares, Throttling, UNKNOWN_BUDGET};
pub use groups::{AddressForm, DomainPattern, Group, GroupKind, GroupStatus, Groups, Limits, Route};

use super::names::{BucketName, GroupName, PlanName};
use super::units::{Rate, Share};

/// A value and where it comes from, as `check` prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    /// The value in force.
    pub value: T,
    /// Where it was written.
    pub source: Source,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The plan's entry of this group, at this line of the plan file.
    Entry {
        /// The group as written.
        group: GroupName,
        /// 1-based line.
        line: usize,
    },
    /// The plan's `defaults`, at this line of the plan file.
    Defaults {
        /// 1-based line.
        line: usize,
    },
    /// The shipped (or the operator's) destination group.
    Group(GroupName),
    /// Hikagen's own default.
    BuiltIn,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { group, line } => write!(f, "plan: {group}, line {line}"),
            Self::Defaults { line } => write!(f, "plan: defaults, line {line}"),
            Self::Group(group) => write!(f, "group {group}"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A plan for one relay.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: PlanName,
    /// The zone of plan days, windows, avoided minutes and holidays.
    pub timezone: TimeZone,
    /// When a plan day begins.
    pub day_starts: Time,
    /// One entry per bucket that the groups know (the plan's `default` entry where it does not name it).
    pub lanes: BTreeMap<BucketName, Arc<LanePlan>>,
    /// The entry of lane `default`: domains that no group lists.
    pub default: Arc<LanePlan>,
    /// The file as read, for the stored revision.
    pub text: Arc<str>,
}

impl Plan {
    /// The entry for `bucket`.
    #[must_use]
    pub fn lane(&self, bucket: &BucketName) -> &Arc<LanePlan> {
        self.lanes.get(bucket).unwrap_or(&self.default)
    }
}

/// What a plan says for one bucket, resolved: the plan's own entry, else the stricter of its defaults and the group.
#[derive(Debug, Clone)]
pub struct LanePlan {
    /// Daily volume per warm-up day.
    pub curve: Sourced<Curve>,
    /// Pace inside the day; `None`: as fast as the other limits allow.
    pub rate: Option<Sourced<Rate>>,
    /// Depth of the token bucket; `None`: [`Rate::default_burst`].
    pub burst: Option<Sourced<NonZeroU32>>,
    /// Most messages in any rolling 60 minutes.
    pub per_hour: Option<Sourced<NonZeroU32>>,
    /// Most connections used by this lane at once.
    pub connections: Option<Sourced<NonZeroU32>>,
    /// Most messages of this lane on one connection.
    pub messages_per_connection: Option<Sourced<NonZeroU32>>,
    /// When mail may leave.
    pub window: Sourced<WeekHours>,
    /// When it may not, inside the window.
    pub avoid: Sourced<Avoid>,
    /// How the quota is spread over the window.
    pub spread: Sourced<Spread>,
    /// How far a release may move from its even place: a share of the interval, at most 100 %. `None`: exactly even.
    pub jitter: Option<Sourced<Share>>,
    /// Hours of transactional mail; `None`: any time.
    pub transactional: Option<Sourced<WeekHours>>,
    /// How long the lane pauses after a block.
    pub cooldown: Sourced<Duration>,
    /// What a warm-up day must show to be followed by the next.
    pub gate: Gate,
    /// How the lane slows down and climbs back within the day.
    pub throttling: Throttling,
    /// Most unknown users among the messages answered on a plan day: before that the lane stops.
    pub unknown_budget: Sourced<Share>,
}

/// How a quota is spread over the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Evenly over what is left of the window.
    Even,
    /// As fast as the rate allows.
    Asap,
}

impl Spread {
    /// The word used in plans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Asap => "asap",
        }
    }
}

/// Half-open ranges of minutes from 00:00 for each weekday (Monday first). `end` may pass 1440: over midnight, belonging
/// to the day it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeekHours {
    /// Sorted, disjoint ranges per weekday, Monday first.
    pub days: [Vec<(u16, u16)>; 7],
}

impl WeekHours {
    /// Every minute of every day.
    #[must_use]
    pub fn always() -> Self {
        Self { days: std::array::from_fn(|_| vec![(0, 1_440)]) }
    }
}

/// What is avoided inside the window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Avoid {
    /// Minutes of every hour, both ends included (`00-02` is three minutes).
    pub minutes: Vec<(u8, u8)>,
    /// Whole days.
    pub dates: Vec<AvoidDate>,
    /// Japanese public holidays.
    pub holidays: Holidays,
}

/// A day of every year, or one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AvoidDate {
    /// `12-31`
    Yearly {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
    /// `2026-12-31`
    Once(Date),
}

/// Whether holidays are avoided, and what the operator corrects in the computed list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holidays {
    /// Japanese public holidays, substitute and citizens' holidays included, are avoided.
    pub japan: bool,
    /// Further days, as if they were holidays.
    pub also: Vec<Date>,
    /// Days that are not holidays whatever the rule says.
    pub except: Vec<Date>,
}
