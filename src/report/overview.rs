//! Owns the overview: relays, lanes, campaigns, pauses and what happened last, as `status` and `lane list` show it.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::heard::Returned;
use super::holds::{Hold, binding, campaign_holds, lane_holds, paces, pause_text};
use super::overrides::{Override, overrides};
use super::picture::{Picture, Waiting};
use super::words::{Table, at, count, number};
use crate::config::{Config, RelaySettings};
use crate::core::campaign::{CampaignState, Class, MessageState};
use crate::core::names::{LaneKey, RelayName};
use crate::store::{CampaignRow, EventRow, Pause, Scope, Store, StoreError, TallyRow};

/// Events that the overview shows.
const EVENTS: u32 = 5;

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The moment it shows.
    pub at: Timestamp,
    /// The store's file.
    pub store: String,
    /// Pauses of everything.
    pub pauses: Vec<PauseView>,
    /// Relays by name.
    pub relays: Vec<RelayView>,
    /// Campaigns, newest first.
    pub campaigns: Vec<CampaignView>,
    /// What happened last, newest first.
    pub events: Vec<EventRow>,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseView {
    /// `all`, a relay's or a lane's name.
    pub scope: String,
    /// `operator`, `block`, `throttle`, `stop`, `fault`.
    pub cause: &'static str,
    /// In words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Its end; null: until resumed.
    pub until: Option<Timestamp>,
    /// How often within 7 days.
    pub times: u32,
    /// The whole as a sentence.
    pub text: String,
}

/// One relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelayView {
    /// Name.
    pub relay: RelayName,
    /// `host:port`
    pub address: String,
    /// Plan's name.
    pub plan: String,
    /// The worker that owns it; null: none ever did.
    pub owner: Option<OwnerView>,
    /// Claimed and not yet settled.
    pub in_the_air: u64,
    /// Pauses of the relay as a whole.
    pub pauses: Vec<PauseView>,
    /// Lanes in use (or all that were asked for), by bucket.
    pub lanes: Vec<LaneView>,
}

/// A relay's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerView {
    /// Host and process; `None`: the last one ended and gave the relay back.
    pub owner: Option<String>,
    /// Since when it runs, or when the last one began.
    pub since: Timestamp,
    /// It runs.
    pub alive: bool,
}

/// One lane today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneView {
    /// `relay/bucket`
    pub lane: String,
    /// Plan day.
    pub plan_day: Date,
    /// The worker has begun this plan day.
    pub begun: bool,
    /// Index into the curve.
    pub warmup_day: u32,
    /// Messages that may be handed over today.
    pub quota: u32,
    /// Of these: handed over, or about to be.
    pub spent: u32,
    /// Of these: left.
    pub left: u32,
    /// Accepted by the relay, of today's.
    pub accepted: u32,
    /// Deferrals, of today's.
    pub deferred: u32,
    /// Bounces, of today's.
    pub bounced: u32,
    /// Rate inside the day; null: none but the relay's.
    pub rate: Option<String>,
    /// What sets the pace while it is open.
    pub pace: Vec<Hold>,
    /// Hours.
    pub window: WindowView,
    /// Mail that this lane may take.
    pub waiting: Waiting,
    /// What holds its normal and bulk mail now, the one that binds first.
    pub holds: Vec<Hold>,
    /// What is in force beside its plan.
    pub overrides: Vec<Override>,
}

/// A lane's hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowView {
    /// Open now.
    pub open: bool,
    /// When it closes, where it is open.
    pub closes: Option<Timestamp>,
    /// When it opens, where it is not.
    pub opens: Option<Timestamp>,
}

/// One campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CampaignView {
    /// Name.
    pub campaign: String,
    /// `loading`, `running`, `paused`, `cancelled`, `finished`.
    pub state: &'static str,
    /// Why it is paused or cancelled.
    pub because: Option<String>,
    /// `transactional`, `normal`, `bulk`.
    pub class: &'static str,
    /// Pool.
    pub pool: String,
    /// When it was submitted.
    pub created: Timestamp,
    /// First instant of claiming.
    pub start: Timestamp,
    /// When it should be done.
    pub finish_by: Option<Timestamp>,
    /// When what is unsent expires.
    pub not_after: Option<Timestamp>,
    /// Messages per state.
    pub messages: Counts,
    /// What came back from beyond the relay: distinct messages.
    pub came_back: Returned,
    /// What holds it by itself.
    pub holds: Vec<Hold>,
}

/// Messages per state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is the state of that name")]
pub struct Counts {
    pub queued: u64,
    pub deferred: u64,
    pub claimed: u64,
    pub parked: u64,
    pub accepted: u64,
    pub bounced: u64,
    pub expired: u64,
    pub suppressed: u64,
    pub cancelled: u64,
}

impl Counts {
    /// Adds up the rows of a tally.
    #[must_use]
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a TallyRow>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            *match row.state {
                MessageState::Queued => &mut counts.queued,
                MessageState::Deferred => &mut counts.deferred,
                MessageState::Claimed => &mut counts.claimed,
                MessageState::Parked => &mut counts.parked,
                MessageState::Accepted => &mut counts.accepted,
                MessageState::Bounced => &mut counts.bounced,
                MessageState::Expired => &mut counts.expired,
                MessageState::Suppressed => &mut counts.suppressed,
                MessageState::Cancelled => &mut counts.cancelled,
            } += row.n;
        }
        counts
    }

    /// All messages.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.waiting() + self.accepted + self.bounced + self.expired + self.suppressed + self.cancelled
    }

    /// Messages that are not in a final state.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.queued + self.deferred + self.claimed + self.parked
    }
}

/// Draws the overview. `every_lane` shows the lanes that nothing uses, too.
///
/// # Errors
/// When the store cannot be read.
pub async fn overview(
    store: &dyn Store,
    config: &Config,
    now: Timestamp,
    every_lane: bool,
) -> Result<Overview, StoreError> {
    let picture = Picture::take(store, config, now).await?;
    let mut campaigns = Vec::new();
    for row in store.campaigns().await? {
        let counts = Counts::of(&store.tally(row.id).await?);
        let returned = Returned::of(&store.came_back(row.id).await?);
        campaigns.push(campaign_view(&picture, &row, counts, returned));
    }
    let events = store.events(EVENTS).await?;
    let pauses = pauses_of(&picture, |scope| *scope == Scope::All);
    let relays = config.relays.values().map(|settings| relay_view(&picture, settings, every_lane)).collect();
    Ok(Overview { at: now, store: config.store.display().to_string(), pauses, relays, campaigns, events })
}

fn pauses_of(picture: &Picture<'_>, wanted: impl Fn(&Scope) -> bool) -> Vec<PauseView> {
    let zone = &picture.config.timezone;
    let view = |pause: &Pause| PauseView {
        scope: match &pause.scope {
            Scope::All => "all".to_owned(),
            Scope::Relay(relay) => relay.to_string(),
            Scope::Lane(lane) => lane.to_string(),
        },
        cause: pause.cause.as_str(),
        reason: pause.reason.clone(),
        since: pause.since,
        until: pause.until,
        times: pause.times,
        text: pause_text(pause, zone),
    };
    picture.outlook.pauses.iter().filter(|p| wanted(&p.scope)).map(view).collect()
}

fn relay_view(picture: &Picture<'_>, settings: &RelaySettings, every_lane: bool) -> RelayView {
    let owner = picture.owners.iter().find(|o| o.relay == settings.name);
    let lanes = picture.all_lanes();
    let shown = lanes.iter().filter(|l| l.relay == settings.name && (every_lane || picture.is_in_use(l)));
    RelayView {
        relay: settings.name.clone(),
        address: format!("{}:{}", settings.host, settings.port),
        plan: settings.plan.name.to_string(),
        owner: owner.map(|o| OwnerView { owner: o.owner.clone(), since: o.since, alive: o.alive }),
        in_the_air: owner.map_or(0, |o| o.in_the_air),
        pauses: pauses_of(picture, |scope| *scope == Scope::Relay(settings.name.clone())),
        lanes: shown.map(|lane| lane_view(picture, lane, settings)).collect(),
    }
}

/// One lane of the picture.
#[must_use]
pub fn lane_view(picture: &Picture<'_>, key: &LaneKey, settings: &RelaySettings) -> LaneView {
    let today = picture.today(key, settings);
    let lane = settings.plan.lane(&key.bucket);
    let hours = picture.hours(settings, lane, today.day);
    let closes = hours.closes(picture.now);
    let opens = if closes.is_some() { None } else { picture.opening(settings, lane, picture.now) };
    let ledger = &today.ledger;
    LaneView {
        lane: key.to_string(),
        plan_day: today.day,
        begun: today.begun,
        warmup_day: ledger.warmup_day,
        quota: ledger.quota,
        spent: ledger.spent,
        left: ledger.quota.saturating_sub(ledger.spent),
        accepted: ledger.accepted,
        deferred: ledger.deferred,
        bounced: ledger.bounced,
        rate: lane.rate.as_ref().map(|rate| rate.value.to_string()),
        window: WindowView { open: closes.is_some(), closes, opens },
        waiting: picture.waiting(key),
        holds: lane_holds(picture, key, settings, Class::Bulk),
        pace: paces(settings, key),
        overrides: overrides(key, ledger, lane, picture.now, &picture.config.timezone),
    }
}

/// One campaign of the picture.
#[must_use]
pub fn campaign_view(picture: &Picture<'_>, row: &CampaignRow, messages: Counts, came_back: Returned) -> CampaignView {
    let over = matches!(row.state, CampaignState::Finished | CampaignState::Cancelled);
    CampaignView {
        campaign: row.name.to_string(),
        state: row.state.as_str(),
        because: row.because.clone(),
        class: Class::as_str(row.current.class),
        pool: row.pool.to_string(),
        created: row.created,
        start: row.current.start,
        finish_by: row.current.finish_by,
        not_after: row.current.not_after,
        messages,
        came_back,
        holds: if over { Vec::new() } else { campaign_holds(picture, row) },
    }
}

impl Overview {
    /// The overview as text, times in `config`'s zone.
    #[must_use]
    pub fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let mut out = format!("{}, store {}\n", at(self.at, zone), self.store);
        for pause in &self.pauses {
            out.push_str(&format!("\n!! {}\n", pause.text));
        }
        for relay in &self.relays {
            out.push('\n');
            out.push_str(&relay.render(config));
        }
        out.push_str(&render_campaigns(&self.campaigns));
        if !self.events.is_empty() {
            out.push_str("\nLast events\n");
        }
        for event in &self.events {
            out.push_str(&format!("  {}  {}  {}: {}\n", at(event.at, zone), event.kind, event.subject, event.text));
        }
        out
    }
}

impl RelayView {
    /// The relay with its lanes as text.
    #[must_use]
    pub fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let owner = match &self.owner {
            Some(OwnerView { owner: Some(owner), since, alive: true }) => {
                format!("worker {owner} since {}", at(*since, zone))
            }
            Some(owner) => format!("no worker runs, the last began {}", at(owner.since, zone)),
            None => "no worker ever ran".to_owned(),
        };
        let air = count(self.in_the_air, "message");
        let mut out =
            format!("Relay {} ({}, plan {}): {owner}, {air} in the air\n", self.relay, self.address, self.plan);
        for pause in &self.pauses {
            out.push_str(&format!("  !! {}\n", pause.text));
        }
        if self.lanes.is_empty() {
            out.push_str("  no lane is in use yet\n");
        }
        out.push_str(&render_lanes(&self.lanes, config));
        out
    }
}

/// Lanes as a table: one line each, with what binds now.
#[must_use]
pub fn render_lanes(lanes: &[LaneView], config: &Config) -> String {
    let mut table = Table::new(
        ["LANE", "DAY", "QUOTA", "SPENT", "LEFT", "ACCEPTED", "DEFERRED", "BOUNCED", "WAITING", "RATE", "NOW"],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    let n = |n: u32| number(u64::from(n));
    for lane in lanes {
        table.row([
            lane.lane.clone(),
            n(lane.warmup_day),
            n(lane.quota),
            n(lane.spent),
            n(lane.left),
            n(lane.accepted),
            n(lane.deferred),
            n(lane.bounced),
            number(lane.waiting.total()),
            lane.rate.clone().unwrap_or_else(|| "-".to_owned()),
            now_text(lane, config),
        ]);
    }
    let mut out = table.render("  ");
    for beside in lanes.iter().flat_map(|lane| &lane.overrides) {
        out.push_str(&format!("  {}\n", beside.text));
    }
    out
}

fn now_text(lane: &LaneView, config: &Config) -> String {
    let zone = &config.timezone;
    match (binding(&lane.holds), lane.window.closes) {
        (Some(hold), _) => match hold.until {
            Some(until) => format!("{}, until {}", hold.because, at(until, zone)),
            None => format!("{}, until resumed", hold.because),
        },
        (None, Some(closes)) => format!("open until {}", at(closes, zone)),
        (None, None) => "open".to_owned(),
    }
}

/// Campaigns as a table, with what holds them below.
#[must_use]
pub fn render_campaigns(campaigns: &[CampaignView]) -> String {
    let mut table = Table::new(
        [
            "CAMPAIGN",
            "STATE",
            "CLASS",
            "MESSAGES",
            "WAITING",
            "PARKED",
            "ACCEPTED",
            "BOUNCED",
            "EXPIRED",
            "SUPPRESSED",
            "CANCELLED",
        ],
        &[3, 4, 5, 6, 7, 8, 9, 10],
    );
    for campaign in campaigns {
        let m = &campaign.messages;
        table.row([
            campaign.campaign.clone(),
            campaign.state.to_owned(),
            campaign.class.to_owned(),
            number(m.total()),
            number(m.waiting() - m.parked),
            number(m.parked),
            number(m.accepted),
            number(m.bounced),
            number(m.expired),
            number(m.suppressed),
            number(m.cancelled),
        ]);
    }
    let mut out = table.render("  ");
    if out.is_empty() {
        return "\nNo campaign was submitted yet.\n".to_owned();
    }
    out.insert_str(0, "\nCampaigns\n");
    for campaign in campaigns {
        let returned = campaign.came_back.in_words();
        if !returned.is_empty() {
            out.push_str(&format!("  {}: {returned}\n", campaign.campaign));
        }
    }
    for hold in campaigns.iter().flat_map(|c| &c.holds) {
        out.push_str(&format!("  {}\n", hold.text));
    }
    out
}
