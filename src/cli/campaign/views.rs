//! Owns campaigns as people see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::config::Config;
use crate::core::campaign::{CampaignState, Class, MessageState};
use crate::core::names::{BucketName, CampaignName, PoolName};
use crate::report::heard::render_came_back;
use crate::report::seeds::{SeedState, render_seeds};
use crate::report::words::{Table, at, number};
use crate::store::{CameBack, CampaignRow, FoldedRow, TallyRow};

/// A campaign. The keys of its JSON are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CampaignView {
    pub(super) campaign: CampaignName,
    pub(super) state: CampaignState,
    pub(super) because: Option<String>,
    pub(super) changed: Timestamp,
    pub(super) created: Timestamp,
    pub(super) pool: PoolName,
    pub(super) from: String,
    pub(super) class: Class,
    pub(super) weight: u32,
    pub(super) start: Timestamp,
    pub(super) finish_by: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
    /// Messages in all.
    pub(super) messages: u64,
    /// Messages per state; states without any are left out.
    pub(super) states: BTreeMap<MessageState, u64>,
    /// The same per bucket.
    pub(super) buckets: BTreeMap<BucketName, BTreeMap<MessageState, u64>>,
    /// Messages of these whose details were folded into counts.
    pub(super) folded: u64,
    /// Folded messages by the day on which their state began.
    pub(super) folded_days: BTreeMap<Date, BTreeMap<MessageState, u64>>,
}

/// A campaign with its seeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CampaignShown {
    #[serde(flatten)]
    pub(super) view: CampaignView,
    /// Who gets it first, and what became of that.
    pub(super) seeds: Vec<SeedState>,
    /// What came back from beyond the relay: distinct messages per bucket, fate, reason and way.
    pub(super) reported: Vec<CameBack>,
}

impl CampaignShown {
    pub(super) fn render(&self, config: &Config) -> String {
        let seeds = render_seeds(&self.seeds, config, "");
        let gap = if seeds.is_empty() { "" } else { "\n" };
        let came_back = render_came_back(&self.reported, "");
        let line = if came_back.is_empty() { "" } else { "\n" };
        format!("{}{line}{came_back}{gap}{seeds}", self.view.render(config))
    }
}

impl CampaignView {
    pub(super) fn of(row: &CampaignRow, tally: &[TallyRow], folded: &[FoldedRow]) -> Self {
        let mut states = BTreeMap::new();
        let mut buckets: BTreeMap<BucketName, BTreeMap<MessageState, u64>> = BTreeMap::new();
        for TallyRow { bucket, state, n } in tally.iter().filter(|row| row.n > 0) {
            *states.entry(*state).or_default() += n;
            *buckets.entry(bucket.clone()).or_default().entry(*state).or_default() += n;
        }
        let mut folded_days: BTreeMap<Date, BTreeMap<MessageState, u64>> = BTreeMap::new();
        for FoldedRow { day, state, n, .. } in folded {
            *folded_days.entry(*day).or_default().entry(*state).or_default() += n;
        }
        Self {
            campaign: row.name.clone(),
            state: row.state,
            because: row.because.clone().filter(|because| !because.is_empty()),
            changed: row.changed,
            created: row.created,
            pool: row.pool.clone(),
            from: row.from.clone(),
            class: row.current.class,
            weight: row.current.weight,
            start: row.current.start,
            finish_by: row.current.finish_by,
            not_after: row.current.not_after,
            messages: tally.iter().map(|row| row.n).sum(),
            states,
            buckets,
            folded: folded.iter().map(|row| row.n).sum(),
            folded_days,
        }
    }

    fn in_state(&self, states: &[MessageState]) -> u64 {
        states.iter().filter_map(|state| self.states.get(state)).sum()
    }

    pub(super) fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let because = self.because.as_ref().map(|b| format!(" ({b})")).unwrap_or_default();
        let mut text = format!(
            "campaign {}: {}{because} since {}\nfrom {}, {} mail, weight {}, pool {}\nstart {}",
            self.campaign,
            self.state.as_str(),
            at(self.changed, zone),
            self.from,
            self.class.as_str(),
            self.weight,
            self.pool,
            at(self.start, zone)
        );
        for (word, time) in [("finish by", self.finish_by), ("not after", self.not_after)] {
            text.push_str(&time.map(|t| format!(", {word} {}", at(t, zone))).unwrap_or_default());
        }
        text.push_str(&format!("\n\n{} messages\n", number(self.messages)));
        let mut table = Table::new(["bucket", "state", "messages"], &[2]);
        for (bucket, states) in &self.buckets {
            for (state, n) in states {
                table.row([bucket.to_string(), state.as_str().to_owned(), number(*n)]);
            }
        }
        text.push_str(&table.render("  "));
        text.push_str(&self.render_folded());
        text
    }

    fn render_folded(&self) -> String {
        if self.folded == 0 {
            return String::new();
        }
        let mut table = Table::new(["day", "state", "messages"], &[2]);
        for (day, states) in &self.folded_days {
            for (state, n) in states {
                table.row([day.to_string(), state.as_str().to_owned(), number(*n)]);
            }
        }
        let n = number(self.folded);
        format!("\ndetails of {n} of these were folded into counts (`retention`):\n{}", table.render("  "))
    }
}

pub(super) fn render_list(views: &[CampaignView], config: &Config) -> String {
    use MessageState::{Accepted, Bounced, Claimed, Deferred, Parked, Queued};
    let head = ["campaign", "state", "class", "pool", "start", "messages", "waiting", "accepted", "bounced", "other"];
    let mut table = Table::new(head, &[5, 6, 7, 8, 9]);
    for view in views {
        let waiting = view.in_state(&[Queued, Deferred, Claimed, Parked]);
        let (accepted, bounced) = (view.in_state(&[Accepted]), view.in_state(&[Bounced]));
        table.row([
            view.campaign.to_string(),
            view.state.as_str().to_owned(),
            view.class.as_str().to_owned(),
            view.pool.to_string(),
            at(view.start, &config.timezone),
            number(view.messages),
            number(waiting),
            number(accepted),
            number(bounced),
            number(view.messages - waiting - accepted - bounced),
        ]);
    }
    table.render("")
}
