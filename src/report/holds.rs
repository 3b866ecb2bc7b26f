//! Owns the words for what holds a lane or a campaign, and until when.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::picture::Picture;
use super::words::at;
use crate::config::RelaySettings;
use crate::core::campaign::{CampaignState, Class};
use crate::core::lane::calendar::plan_day;
use crate::core::names::{BucketName, LaneKey, RelayName};
use crate::core::plan::Spread;
use crate::core::schedule::Because;
use crate::store::{CampaignRow, Pause, PauseCause, Scope};

/// Something that holds mail back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// A word for programs: `paused`, `quota-spent`, `window-closed`, ...
    pub because: String,
    /// A sentence for people.
    pub text: String,
    /// When it ends; null: when somebody ends it.
    pub until: Option<Timestamp>,
}

impl Hold {
    pub(super) fn new(because: &str, text: String, until: Option<Timestamp>) -> Self {
        Self { because: because.to_owned(), text, until }
    }
}

/// The hold that ends last: the one that binds. Without an end is later than any.
#[must_use]
pub fn binding(holds: &[Hold]) -> Option<&Hold> {
    holds.iter().max_by_key(|hold| hold.until.unwrap_or(Timestamp::MAX))
}

/// A pause as a sentence, with the command that ends it.
#[must_use]
pub fn pause_text(pause: &Pause, zone: &TimeZone) -> String {
    let (what, resume) = match &pause.scope {
        Scope::All => ("everything".to_owned(), "hikagen resume --all".to_owned()),
        Scope::Relay(relay) => (format!("relay {relay}"), format!("hikagen resume --relay {relay}")),
        Scope::Lane(lane) => (format!("lane {lane}"), format!("hikagen lane resume {lane}")),
    };
    let why = match pause.cause {
        PauseCause::Operator => "paused by an operator",
        PauseCause::Block => "paused after a block",
        PauseCause::Throttle => "slowed down",
        PauseCause::Stop => "stopped",
        PauseCause::Fault => "paused for a fault",
    };
    let again = if pause.times > 1 { format!(" (time {} in 7 days)", pause.times) } else { String::new() };
    let end = match pause.until {
        Some(until) => format!("until {}", at(until, zone)),
        None => format!("until `{resume}`"),
    };
    format!("{what} is {why} since {}{again}: {}; {end}", at(pause.since, zone), pause.reason)
}

/// Everything that holds `class` on a lane at the picture's moment, as the core says; the one that binds first.
#[must_use]
pub fn lane_holds(picture: &Picture<'_>, key: &LaneKey, settings: &RelaySettings, class: Class) -> Vec<Hold> {
    let zone = &picture.config.timezone;
    let mut holds: Vec<Hold> =
        picture.pauses_on(key).map(|pause| Hold::new("paused", pause_text(pause, zone), pause.until)).collect();
    let lane = settings.plan.lane(&key.bucket);
    let today = picture.today(key, settings);
    let ends = picture.hours(settings, lane, today.day).ends();
    let plan_day = plan_day(&settings.plan.timezone, settings.plan.day_starts, picture.now);
    if today.day > plan_day {
        holds.push(told(&Because::DayAhead { day: today.day }, None, zone));
    }
    for hold in picture.explain(key, class) {
        let lasts = hold.lasts.and_then(|span| picture.now.checked_add(span).ok());
        let until = match &hold.because {
            // Its own words, with the command that ends it, are there already.
            Because::Paused(_) => continue,
            Because::QuotaSpent { .. } | Because::KeptForTransactional { .. } => picture.opening(settings, lane, ends),
            Because::WindowClosed => picture.opening(settings, lane, lasts.unwrap_or(picture.now)),
            Because::NotStarted { .. } => lasts.and_then(|start| picture.opening(settings, lane, start)),
            _ => lasts,
        };
        holds.push(told(&hold.because, until, zone));
    }
    holds.sort_by_key(|hold| std::cmp::Reverse(hold.until.unwrap_or(Timestamp::MAX)));
    holds
}

/// A reason of the core with its end, as a sentence.
fn told(because: &Because, until: Option<Timestamp>, zone: &TimeZone) -> Hold {
    let end = until.map(|until| format!("; opens {}", at(until, zone))).unwrap_or_default();
    Hold::new(because.code(), format!("{because}{end}"), until)
}

/// What sets the pace of a lane that is open: its own rate, the even spread, the account's rate.
#[must_use]
pub fn paces(settings: &RelaySettings, key: &LaneKey) -> Vec<Hold> {
    let lane = settings.plan.lane(&key.bucket);
    let rate = lane.rate.as_ref().map(|rate| Because::Throttled { rate: rate.value });
    let spread = (lane.spread.value == Spread::Even).then_some(Because::Paced);
    let account = settings.limits.rate.map(|rate| Because::RelayThrottled { rate });
    let paces = [rate, spread, account].into_iter().flatten();
    paces.map(|because| Hold::new(because.code(), because.to_string(), None)).collect()
}

/// What holds mail of one campaign and bucket at each relay of its pool, in order of need.
#[must_use]
pub fn carriers<'a>(
    picture: &Picture<'a>,
    campaign: &CampaignRow,
    bucket: &BucketName,
    retry: bool,
) -> Vec<(LaneKey, &'a RelaySettings, Vec<Hold>)> {
    let class = campaign.current.class;
    let waiting = picture.waiting_in_pool(&campaign.pool, bucket);
    let mut needed = 0_u64;
    let mut found = Vec::new();
    for relay in picture.relays_of(campaign) {
        let Some(settings) = picture.relay(relay) else { continue };
        let key = LaneKey { relay: relay.clone(), bucket: bucket.clone() };
        let mut holds = lane_holds(picture, &key, settings, class);
        if class != Class::Transactional && needed > 0 && needed >= waiting.fresh + waiting.retries {
            holds.push(told(&Because::LeftToEarlierRelay, None, &picture.config.timezone));
        }
        let used_up = picture.schedule(relay).is_some_and(|s| s.retries_left(bucket) == 0);
        if retry && used_up && waiting.fresh > 0 {
            let retries = picture.today(&key, settings).ledger.spent_retries;
            holds.push(told(&Because::RetriesHadTheirShare { retries }, None, &picture.config.timezone));
        }
        let needs = picture.outlook.needs.iter().filter(|(r, b, _)| r == relay && b == bucket);
        needed += needs.map(|(_, _, n)| u64::from(*n)).sum::<u64>();
        found.push((key, settings, holds));
    }
    found
}

/// Everything that holds a campaign by itself, whatever its lanes do.
#[must_use]
pub fn campaign_holds(picture: &Picture<'_>, campaign: &CampaignRow) -> Vec<Hold> {
    let zone = &picture.config.timezone;
    let mut holds = Vec::new();
    let name = &campaign.name;
    match campaign.state {
        CampaignState::Loading => {
            let text = format!("the list of {name} is still being read (or its `submit` was cut off: submit it again)");
            holds.push(Hold::new("loading", text, None));
        }
        CampaignState::Paused => {
            let reason = campaign.because.as_deref().unwrap_or("no reason given");
            let since = at(campaign.changed, zone);
            let text =
                format!("campaign {name} is paused since {since}: {reason}; until `hikagen campaign resume {name}`");
            holds.push(Hold::new("campaign-paused", text, None));
        }
        CampaignState::Running | CampaignState::Cancelled | CampaignState::Finished => {}
    }
    let start = campaign.current.start;
    if start > picture.now {
        holds.push(Hold::new("before-start", format!("campaign {name} starts {}", at(start, zone)), Some(start)));
    }
    if picture.relays_of(campaign).is_empty() {
        let text = format!("the configuration has no pool {} any more: nothing can carry {name}", campaign.pool);
        holds.push(Hold::new("no-pool", text, None));
    }
    holds
}

/// A relay without a worker sends nothing.
#[must_use]
pub fn worker_hold(picture: &Picture<'_>, relay: &RelayName) -> Option<Hold> {
    let alive = picture.owners.iter().any(|owner| owner.relay == *relay && owner.alive);
    let text = || format!("no worker runs for relay {relay}: `hikagen run` starts one");
    (!alive).then(|| Hold::new("no-worker", text(), None))
}
