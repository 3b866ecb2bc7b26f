//! Owns the answer about one lane.

use serde::Serialize;

use super::AttemptView;
use crate::config::Config;
use crate::core::lane::Verdict;
use crate::core::names::LaneKey;
use crate::core::schedule::Because;
use crate::report::heard::HealthView;
use crate::report::holds::worker_hold;
use crate::report::overview::{LaneView, lane_view};
use crate::report::picture::Picture;
use crate::report::words::{at, number};
use crate::store::{Store, StoreError};

/// Verdicts and attempts that are shown.
const LAST: u32 = 5;
/// Plan days for which what came back is shown.
const DAYS: usize = 7;

/// One lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneWhy {
    /// Today, and what holds it.
    #[serde(flatten)]
    pub view: LaneView,
    /// Last verdicts, newest first.
    pub verdicts: Vec<Verdict>,
    /// Last attempts, newest first.
    pub attempts: Vec<AttemptView>,
    /// What came back from beyond the relay for mail of the last plan days, newest first; days without any are left out.
    pub health: Vec<HealthView>,
}

pub(super) async fn why(
    store: &dyn Store,
    picture: &Picture<'_>,
    key: &LaneKey,
) -> Result<Option<LaneWhy>, StoreError> {
    let Some(settings) = picture.relay(&key.relay) else { return Ok(None) };
    let mut view = lane_view(picture, key, settings);
    view.holds.extend(worker_hold(picture, &key.relay));
    let verdicts = store.verdicts(Some(&key.relay), jiff::civil::Date::MIN).await?;
    let verdicts =
        verdicts.into_iter().map(|(_, v)| v).filter(|v| v.bucket == key.bucket).take(LAST as usize).collect();
    let attempts = store.lane_attempts(&key.relay, &key.bucket, LAST).await?.iter().map(AttemptView::of).collect();
    let health = store.health(Some(&key.relay), jiff::civil::Date::MIN).await?;
    let of_lane = health.into_iter().filter(|(lane, _, _)| lane == key).take(DAYS);
    let health = of_lane.map(|(_, day, health)| HealthView { day, health }).collect();
    Ok(Some(LaneWhy { view, verdicts, attempts, health }))
}

impl LaneWhy {
    /// The answer as text, times in `config`'s zone.
    #[must_use]
    pub fn render(&self, config: &Config) -> String {
        let zone = &config.timezone;
        let view = &self.view;
        let n = |n: u32| number(u64::from(n));
        let mut out = format!(
            "Lane {} on {}: warm-up day {}, {} of {} spent, {} left; {} accepted, {} deferred, {} bounced; {} waiting.\n",
            view.lane,
            view.plan_day,
            view.warmup_day,
            n(view.spent),
            n(view.quota),
            n(view.left),
            n(view.accepted),
            n(view.deferred),
            n(view.bounced),
            number(view.waiting.total()),
        );
        if !view.begun {
            out.push_str("  its plan day has not begun yet: a worker's first tick begins it\n");
        }
        for hold in &view.holds {
            out.push_str(&format!("  {}\n", hold.text));
        }
        for beside in &view.overrides {
            out.push_str(&format!("  {}\n", beside.text));
        }
        if view.holds.is_empty() {
            let closes = view.window.closes.map(|t| format!(" until {}", at(t, zone))).unwrap_or_default();
            let what =
                if view.waiting.total() == 0 { Because::NothingWaits.to_string() } else { "mail leaves".to_owned() };
            out.push_str(&format!("  open{closes}: {what}\n"));
            for pace in &view.pace {
                out.push_str(&format!("    {}\n", pace.text));
            }
        }
        for verdict in &self.verdicts {
            out.push_str(&format!(
                "  {}: {} from day {} to {}: {}\n",
                verdict.day,
                verdict.kind.as_str(),
                verdict.before,
                verdict.after,
                verdict.because
            ));
        }
        for day in &self.health {
            out.push_str(&format!("  beyond the relay, mail of {}\n", day.sentence()));
        }
        for attempt in &self.attempts {
            out.push_str(&format!("  {} {}\n", attempt.message, attempt.sentence(zone)));
        }
        out
    }
}
