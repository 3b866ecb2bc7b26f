//! Owns what a forecast says. The keys of its JSON are stable.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::core::campaign::{CampaignState, Class};
use crate::core::lane::VerdictKind;
use crate::core::names::{BucketName, CampaignName, RelayName};

/// A forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// When it begins.
    pub from: Timestamp,
    /// How far it looks.
    pub until: Timestamp,
    /// Lanes by plan day, relays in the order in which their pools name them; days on which nothing waited and left are left out.
    pub days: Vec<DayForecast>,
    /// Campaigns, the oldest first.
    pub campaigns: Vec<CampaignForecast>,
}

/// One lane's plan day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayForecast {
    /// Relay.
    pub relay: RelayName,
    /// Plan day.
    pub day: Date,
    /// Bucket.
    pub bucket: BucketName,
    /// Warm-up day.
    pub warmup_day: u32,
    /// Quota.
    pub quota: u32,
    /// Spent of it before the forecast began.
    pub spent_before: u32,
    /// Attempts handed over.
    pub leaves: u64,
    /// Of these: messages tried before.
    pub retries: u64,
    /// Accepted.
    pub accepted: u64,
    /// Deferred.
    pub deferred: u64,
    /// Refused for good.
    pub bounced: u64,
    /// What held back what still waited; null: nothing waited any more.
    pub limit: Option<LimitForecast>,
    /// The gate's verdict on the day; null: the forecast ends within it.
    pub verdict: Option<VerdictKind>,
}

/// A limit that binds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LimitForecast {
    /// As in `why`: `quota-spent`, `throttled`, ...
    pub code: &'static str,
    /// In words.
    pub because: String,
}

/// A campaign's course.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CampaignForecast {
    /// Name.
    pub campaign: CampaignName,
    /// State.
    pub state: CampaignState,
    /// Class.
    pub class: Class,
    /// First instant of claiming.
    pub start: Timestamp,
    /// When it should be done.
    pub finish_by: Option<Timestamp>,
    /// When what is unsent expires.
    pub not_after: Option<Timestamp>,
    /// Messages that wait when the forecast begins.
    pub waiting: u64,
    /// Of these: accepted.
    pub accepted: u64,
    /// Refused for good.
    pub bounced: u64,
    /// Expired, at `not_after` or after their lifetime.
    pub expired: u64,
    /// Not at their end when the forecast ends.
    pub remaining: u64,
    /// When the last message comes to its end; null: not within the forecast, or nothing waits.
    pub ends: Option<Timestamp>,
    /// Messages that would not have left at `finish_by`; null without one, or where it lies beyond the forecast.
    pub remaining_at_finish_by: Option<u64>,
    /// By bucket.
    pub groups: Vec<GroupForecast>,
}

/// A campaign's mail in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupForecast {
    /// Bucket.
    pub bucket: BucketName,
    /// Messages that wait when the forecast begins.
    pub waiting: u64,
    /// Of these: accepted.
    pub accepted: u64,
    /// Refused for good.
    pub bounced: u64,
    /// Expired.
    pub expired: u64,
    /// Not at their end when the forecast ends.
    pub remaining: u64,
    /// When the last message comes to its end; null: not within the forecast.
    pub ends: Option<Timestamp>,
}

impl Forecast {
    /// Messages that are not at their end when the forecast ends.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.campaigns.iter().map(|c| c.remaining).sum()
    }

    /// Messages that expire.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.campaigns.iter().map(|c| c.expired).sum()
    }

    /// When the last campaign ends; `None` where something remains or nothing waits.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        if self.remaining() > 0 { None } else { self.campaigns.iter().filter_map(|c| c.ends).max() }
    }

    /// A campaign's course.
    #[must_use]
    pub fn campaign(&self, name: &str) -> Option<&CampaignForecast> {
        self.campaigns.iter().find(|c| c.campaign.as_str() == name)
    }
}

impl CampaignForecast {
    /// Whether `finish_by` is met; `None` without one, or where the forecast does not reach it.
    #[must_use]
    pub fn meets_finish_by(&self) -> Option<bool> {
        self.remaining_at_finish_by.map(|n| n == 0)
    }
}
