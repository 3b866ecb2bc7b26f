//! Owns the words for what holds a lane or a campaign, and until when.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::picture::Picture;
use super::words::{at, number};
use crate::config::RelaySettings;
use crate::core::campaign::{CampaignState, Class};
use crate::core::lane::calendar::day_bounds;
use crate::core::names::{LaneKey, RelayName};
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

/// Everything that holds a lane's bulk and normal mail at the picture's moment, strongest first.
#[must_use]
pub fn lane_holds(picture: &Picture<'_>, key: &LaneKey, settings: &RelaySettings) -> Vec<Hold> {
    let zone = &picture.config.timezone;
    let mut holds: Vec<Hold> = picture
        .pauses_on(key)
        .map(|pause| {
            let word = format!("paused-{}", pause.cause.as_str());
            Hold::new(&word, pause_text(pause, zone), pause.until)
        })
        .collect();
    let plan = &settings.plan;
    let today = picture.today(key, settings);
    let lane = plan.lane(&key.bucket);
    if let Some(started) = settings.warmup.started.filter(|first| today.day < *first) {
        let (starts, _) = day_bounds(&plan.timezone, plan.day_starts, started);
        let opens = picture.opening(settings, lane, starts);
        let text = format!("relay {} starts on {started}; nothing leaves before", key.relay);
        holds.push(Hold::new("not-started", text, opens));
    }
    let hours = picture.hours(settings, lane, today.day);
    if today.ledger.spent >= today.ledger.quota {
        let opens = picture.opening(settings, lane, hours.ends());
        let next = opens
            .map_or_else(|| "no plan day opens".to_owned(), |t| format!("the next plan day opens {}", at(t, zone)));
        let text = format!(
            "today's quota of {} at {} is spent ({} of {}); {next}",
            key.bucket,
            key.relay,
            number(u64::from(today.ledger.spent)),
            number(u64::from(today.ledger.quota)),
        );
        holds.push(Hold::new("quota-spent", text, opens));
    }
    if !hours.is_open(picture.now) {
        let opens = picture.opening(settings, lane, picture.now);
        let next = opens.map_or_else(|| "it never opens".to_owned(), |t| format!("it opens {}", at(t, zone)));
        holds.push(Hold::new("window-closed", format!("{key} is outside its hours; {next}"), opens));
    }
    holds
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

/// What holds mail of `class` in a lane: hours bind normal and bulk mail only.
#[must_use]
pub fn holds_of_class(mut holds: Vec<Hold>, class: Class) -> Vec<Hold> {
    if class == Class::Transactional {
        holds.retain(|hold| hold.because != "window-closed");
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
