//! Owns the answer about one campaign.

use std::collections::BTreeMap;

use serde::Serialize;

use super::message::LaneChoice;
use super::turn::{Carrier, Turn, turn};
use crate::config::Config;
use crate::core::campaign::CampaignState;
use crate::core::names::BucketName;
use crate::report::heard::{Returned, render_came_back};
use crate::report::holds::{Hold, binding, carriers};
use crate::report::overview::{CampaignView, Counts, campaign_view};
use crate::report::picture::Picture;
use crate::report::seeds::{SeedState, render_seeds, seeds};
use crate::report::words::{at, count, number};
use crate::store::{CameBack, CampaignRow, Store, StoreError, TallyRow};

/// One campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CampaignWhy {
    /// State, times, messages per state, what holds it by itself.
    #[serde(flatten)]
    pub view: CampaignView,
    /// Who gets it first, and what became of that.
    pub seeds: Vec<SeedState>,
    /// What waits in each bucket.
    pub buckets: Vec<BucketWhy>,
    /// The earliest day on which everything may have been handed over; null where nothing tells.
    pub done: Option<Turn>,
    /// Messages whose details were folded into counts.
    pub folded: u64,
    /// What came back from beyond the relay.
    pub reported: Vec<CameBack>,
}

/// A campaign's mail in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketWhy {
    /// Bucket.
    pub bucket: String,
    /// Messages per state.
    pub messages: Counts,
    /// The lanes that may take them, in order of need.
    pub lanes: Vec<LaneChoice>,
    /// The earliest day on which all of them may have been handed over.
    pub done: Option<Turn>,
}

pub(super) async fn why(store: &dyn Store, picture: &Picture<'_>, row: CampaignRow) -> Result<CampaignWhy, StoreError> {
    let tally = store.tally(row.id).await?;
    let reported = store.came_back(row.id).await?;
    let view = campaign_view(picture, &row, Counts::of(&tally), Returned::of(&reported));
    let mut per_bucket: BTreeMap<&BucketName, Vec<&TallyRow>> = BTreeMap::new();
    for line in &tally {
        per_bucket.entry(&line.bucket).or_default().push(line);
    }
    let buckets: Vec<BucketWhy> = per_bucket
        .into_iter()
        .map(|(bucket, lines)| bucket_why(picture, &row, &view.holds, bucket, Counts::of(lines)))
        .collect();
    let waiting = buckets.iter().filter(|b| b.messages.waiting() > 0);
    let ends: Option<Vec<Turn>> = waiting.map(|b| b.done.clone()).collect();
    let done = ends.and_then(|ends| ends.into_iter().max_by_key(|turn| turn.day));
    let folded = store.folded(Some(row.id)).await?.iter().map(|row| row.n).sum();
    let seeds = seeds(store, row.id).await?;
    Ok(CampaignWhy { view, seeds, buckets, done, folded, reported })
}

fn bucket_why(
    picture: &Picture<'_>,
    row: &CampaignRow,
    own: &[Hold],
    bucket: &BucketName,
    messages: Counts,
) -> BucketWhy {
    let over = matches!(row.state, CampaignState::Finished | CampaignState::Cancelled);
    let mut answer = BucketWhy { bucket: bucket.to_string(), messages, lanes: Vec::new(), done: None };
    if over || messages.waiting() == 0 {
        return answer;
    }
    let found = carriers(picture, row, bucket, messages.queued == 0);
    answer.lanes = found.iter().map(|(key, settings, holds)| LaneChoice::of(picture, key, settings, holds)).collect();
    let free = match binding(own) {
        Some(Hold { until: None, .. }) => return answer,
        Some(Hold { until: Some(until), .. }) => *until,
        None => picture.now,
    };
    let lanes: Vec<Carrier<'_>> =
        found.iter().map(|(lane, settings, holds)| Carrier { lane, settings, holds }).collect();
    let last = (messages.queued + messages.deferred).saturating_sub(1);
    answer.done = turn(picture, &lanes, last, free);
    answer
}

impl CampaignWhy {
    /// The answer as text, times in `config`'s zone.
    #[must_use]
    pub fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let view = &self.view;
        let m = &view.messages;
        let mut out = format!(
            "Campaign {} is {}: {} of {} accepted, {} waiting.\n",
            view.campaign,
            view.state,
            number(m.accepted),
            count(m.total(), "message"),
            number(m.waiting())
        );
        for hold in &view.holds {
            out.push_str(&format!("  {}\n", hold.text));
        }
        if self.folded > 0 {
            out.push_str(&format!(
                "  the details of {} were folded into counts (`retention`)\n",
                count(self.folded, "message")
            ));
        }
        if m.parked > 0 {
            let name = &view.campaign;
            out.push_str(&format!(
                "  {} parked: their fate at the relay is unknown (`hikagen message list --parked --campaign {name}`, `hikagen message settle`)\n",
                number(m.parked)
            ));
        }
        out.push_str(&render_came_back(&self.reported, "  "));
        out.push_str(&render_seeds(&self.seeds, config, "  "));
        for bucket in self.buckets.iter().filter(|b| b.messages.waiting() > 0) {
            out.push_str(&format!("  {}: {} waiting", bucket.bucket, number(bucket.messages.waiting())));
            if let Some(turn) = &bucket.done {
                out.push_str(&format!(", handed over by {} at the earliest", turn.day));
            }
            out.push('\n');
            for lane in &bucket.lanes {
                out.push_str(&lane.render("    "));
            }
        }
        if let Some(turn) = &self.done {
            out.push_str(&format!("  everything may have been handed over by {} at the earliest\n", turn.day));
            if let Some(finish_by) = view.finish_by.filter(|t| t.to_zoned(zone.clone()).date() < turn.day) {
                out.push_str(&format!("  that is after its finish_by, {}\n", at(finish_by, zone)));
            }
        }
        out
    }
}
