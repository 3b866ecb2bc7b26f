//! Owns where the daily report's figures come from: ledgers, verdicts, answers, reports, the journal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::reasons::in_japanese;
use super::{Daily, DailyCampaign, DailyLane, DailyRelay, DailyVerdict, Figures, HistoryDay, WorstAnswer};
use crate::config::{Config, RelaySettings};
use crate::core::campaign::CampaignState;
use crate::core::journal::{Entry, Kind};
use crate::core::lane::calendar::{day_bounds, plan_day};
use crate::core::lane::{Ledger, PauseCause, Verdict};
use crate::core::names::{BucketName, LaneKey, RelayName};
use crate::core::schedule::{Day, next_day};
use crate::report::journal::Decision;
use crate::report::overview::Counts;
use crate::report::picture::Picture;
use crate::store::{Health, JournalFilter, Scope, Store, StoreError};

/// Kinds of answers that are asked for per lane.
const ANSWERS_OF_LANE: u32 = 50;
/// Kinds of answers that are shown per relay.
const ANSWERS: usize = 15;
/// Entries of the journal that are looked through.
const ENTRIES: u32 = 20_000;
/// Decisions that are shown per relay, the last ones.
const DECISIONS: usize = 40;
/// Campaigns that are shown.
const CAMPAIGNS: usize = 100;
/// Revisions of a plan that are looked through.
const REVISIONS: u32 = 200;
/// Days of the history, the day itself included.
const HISTORY: i64 = 14;

/// The day that is meant where none is asked for: yesterday, where anything has a plan day of it; else today.
///
/// # Errors
/// When the store cannot be read.
pub async fn default_day(store: &dyn Store, config: &Config, now: Timestamp) -> Result<Date, StoreError> {
    let days = config.relays.values().map(|relay| plan_day(&relay.plan.timezone, relay.plan.day_starts, now));
    let today = days.min().unwrap_or_else(|| now.to_zoned(TimeZone::UTC).date());
    let Ok(yesterday) = today.yesterday() else { return Ok(today) };
    let begun = store.ledgers(None, yesterday).await?.iter().any(|(_, ledger)| ledger.day == yesterday);
    Ok(if begun { yesterday } else { today })
}

/// Draws up the report of `day`, of one relay or all.
///
/// # Errors
/// When the store cannot be read.
pub async fn daily(
    store: &dyn Store,
    config: &Config,
    day: Date,
    relay: Option<&RelayName>,
    now: Timestamp,
) -> Result<Daily, StoreError> {
    let picture = Picture::take(store, config, now).await?;
    let mut relays = Vec::new();
    for settings in config.relays.values().filter(|settings| relay.is_none_or(|wanted| *wanted == settings.name)) {
        let source = Source::read(store, settings, day).await?;
        relays.push(source.relay(store, &picture, settings, day).await?);
    }
    let begins = relays.iter().map(|relay| relay.begins).min();
    let ends = relays.iter().map(|relay| relay.ends).max();
    let (campaigns, more_campaigns) = campaigns(store, begins.unwrap_or(now), ends.unwrap_or(now)).await?;
    Ok(Daily {
        day,
        at: now,
        finished: relays.iter().all(|relay| relay.finished),
        total: Figures::sum(relays.iter().map(|relay| &relay.total)),
        relays,
        campaigns,
        more_campaigns,
    })
}

/// What the store knows of a relay's days around the one that is told of.
struct Source {
    ledgers: Vec<Ledger>,
    verdicts: Vec<Verdict>,
    health: BTreeMap<BucketName, Health>,
}

impl Source {
    async fn read(store: &dyn Store, settings: &RelaySettings, day: Date) -> Result<Self, StoreError> {
        let name = &settings.name;
        let since = day.checked_sub(Span::new().days(HISTORY - 1)).unwrap_or(day);
        let ledgers = store.ledgers(Some(name), since).await?.into_iter().map(|(_, ledger)| ledger).collect();
        let verdicts = store.verdicts(Some(name), day).await?.into_iter().map(|(_, verdict)| verdict).collect();
        let health = store.health(Some(name), day).await?.into_iter().filter(|(_, of, _)| *of == day);
        let health = health.map(|(lane, _, health)| (lane.bucket, health)).collect();
        Ok(Self { ledgers, verdicts, health })
    }

    async fn relay(
        self,
        store: &dyn Store,
        picture: &Picture<'_>,
        settings: &RelaySettings,
        day: Date,
    ) -> Result<DailyRelay, StoreError> {
        let plan = &settings.plan;
        let (begins, ends) = day_bounds(&plan.timezone, plan.day_starts, day);
        let lane = |bucket: &BucketName| LaneKey { relay: settings.name.clone(), bucket: bucket.clone() };
        let mut lanes: BTreeMap<BucketName, Ledger> = BTreeMap::new();
        for ledger in self.ledgers.iter().filter(|ledger| ledger.day == day) {
            lanes.insert(ledger.bucket.clone(), ledger.clone());
        }
        for key in picture.all_lanes().into_iter().filter(|key| key.relay == settings.name && picture.is_in_use(key)) {
            let today = picture.today(&key, settings);
            if today.day == day {
                // The schedule knows an edited plan's quota before its owner has stored it.
                let known = lanes.entry(key.bucket).or_insert_with(|| today.ledger.clone());
                (known.quota, known.warmup_day) = (today.ledger.quota, today.ledger.warmup_day);
            }
        }
        let mut answers = Vec::new();
        for bucket in lanes.keys() {
            let counts = store.day_answers(&lane(bucket), day, ANSWERS_OF_LANE).await?;
            answers.extend(counts.iter().filter_map(|count| WorstAnswer::of(count, settings, picture.config)));
        }
        answers.sort_by_key(WorstAnswer::weight);
        answers.truncate(ANSWERS);
        let told: Vec<DailyLane> = lanes.values().map(|ledger| self.lane(ledger, picture, settings)).collect();
        Ok(DailyRelay {
            relay: settings.name.clone(),
            plan: plan_at(store, settings, ends).await?,
            finished: picture.now >= ends,
            begins,
            ends,
            total: Figures::sum(told.iter().map(|lane| &lane.figures)),
            lanes: told,
            answers,
            decisions: decisions(store, &settings.name, day, (begins, ends)).await?,
            history: self.history(day),
        })
    }

    fn lane(&self, ledger: &Ledger, picture: &Picture<'_>, settings: &RelaySettings) -> DailyLane {
        let health = self.health.get(&ledger.bucket).copied().unwrap_or_default();
        DailyLane {
            bucket: ledger.bucket.clone(),
            warmup_day: ledger.warmup_day,
            figures: Figures {
                quota: ledger.quota.into(),
                spent: ledger.spent.into(),
                accepted: ledger.accepted.into(),
                deferred: ledger.deferred.into(),
                bounced: ledger.bounced.into(),
                unknown: u64::from(ledger.showing.unknown).max(health.unknown),
                delivered: health.delivered,
                bounced_later: health.bounced,
                delayed: health.delayed,
                complaints: health.complaints,
                blocks: u64::from(ledger.showing.blocks).max(health.blocks),
            },
            held: ledger.ramp.held.clone(),
            eased: ledger.ramp.eased,
            verdict: self.verdict(ledger, picture, settings),
        }
    }

    /// The written verdict, or what the core would decide now.
    fn verdict(&self, ledger: &Ledger, picture: &Picture<'_>, settings: &RelaySettings) -> DailyVerdict {
        let lane = settings.plan.lane(&ledger.bucket);
        let tomorrow = ledger.day.tomorrow().unwrap_or(ledger.day);
        let mut of_lane = self.verdicts.iter().filter(|verdict| verdict.bucket == ledger.bucket);
        let covers = |verdict: &&Verdict| {
            let first = verdict.day.checked_sub(Span::new().days(i64::from(verdict.days.saturating_sub(1))));
            first.unwrap_or(verdict.day) <= ledger.day && ledger.day <= verdict.day
        };
        let (written, verdict, quota) = if let Some(verdict) = of_lane.find(covers) {
            let next = self.ledgers.iter().find(|next| next.bucket == ledger.bucket && next.day == tomorrow);
            let quota = next.map_or_else(|| lane.curve.value.quota(verdict.after), |next| next.quota);
            (true, verdict.clone(), quota)
        } else {
            let stopped = picture.outlook.pauses.iter().find(|pause| {
                pause.cause == PauseCause::Stop
                    && matches!(&pause.scope, Scope::Lane(key) if key.relay == settings.name && key.bucket == ledger.bucket)
            });
            let terms = settings.terms();
            let day = Day { ledger, ears: &terms.ears, stopped: stopped.map(|pause| pause.reason.as_str()) };
            let (verdicts, next) = next_day(day, &lane.gate, &lane.curve.value, tomorrow);
            let Some(verdict) = verdicts.into_iter().next() else { return unjudged(ledger) };
            (false, verdict, next.quota)
        };
        DailyVerdict {
            written,
            kind: verdict.kind,
            before: verdict.before,
            after: verdict.after,
            quota,
            because_ja: in_japanese(&verdict, ledger, &lane.gate),
            because: verdict.because,
            inputs: verdict.inputs,
        }
    }

    fn history(&self, day: Date) -> Vec<HistoryDay> {
        let mut days: BTreeMap<Date, HistoryDay> = BTreeMap::new();
        for ledger in self.ledgers.iter().filter(|ledger| ledger.day <= day) {
            let empty = HistoryDay { day: ledger.day, quota: 0, spent: 0, accepted: 0 };
            let sum = days.entry(ledger.day).or_insert(empty);
            sum.quota += u64::from(ledger.quota);
            sum.spent += u64::from(ledger.spent);
            sum.accepted += u64::from(ledger.accepted);
        }
        days.into_values().collect()
    }
}

/// The name of the plan that was in force last before `ends`; of the configured one where none was applied by then.
async fn plan_at(store: &dyn Store, settings: &RelaySettings, ends: Timestamp) -> Result<String, StoreError> {
    let applied = store.plan_history(&settings.name, REVISIONS).await?.into_iter().find(|(since, _)| *since < ends);
    Ok(applied.map_or_else(|| settings.plan.name.to_string(), |(_, plan)| plan.name.to_string()))
}

fn unjudged(ledger: &Ledger) -> DailyVerdict {
    DailyVerdict {
        written: false,
        kind: crate::core::lane::VerdictKind::NoVerdict,
        before: ledger.warmup_day,
        after: ledger.warmup_day,
        quota: ledger.quota,
        because: String::new(),
        inputs: BTreeMap::new(),
        because_ja: None,
    }
}

/// What was decided about a relay and its lanes on a day, verdicts left out: they stand beside the lanes.
async fn decisions(
    store: &dyn Store,
    relay: &RelayName,
    day: Date,
    (begins, ends): (Timestamp, Timestamp),
) -> Result<Vec<Decision>, StoreError> {
    let about = JournalFilter { relay: Some(relay.clone()), day: Some(day), ..JournalFilter::default() };
    let mut found: Vec<(i64, Entry)> = store.journal(about, ENTRIES).await?;
    // Operators' pauses, of everything too, are about no plan day: they count by their time.
    let within = JournalFilter { since: Some(begins), ..JournalFilter::default() };
    let timed = store.journal(within, ENTRIES).await?.into_iter();
    let ours = |entry: &Entry| entry.relay.as_ref().is_none_or(|about| about == relay);
    found.extend(timed.filter(|(_, entry)| entry.day.is_none() && entry.at < ends && ours(entry)));
    found.retain(|(_, entry)| entry.kind != Kind::Verdict);
    found.sort_by_key(|(number, _)| *number);
    let mut seen = BTreeSet::new();
    found.retain(|(number, _)| seen.insert(*number));
    let hidden = found.len().saturating_sub(DECISIONS);
    Ok(found.into_iter().skip(hidden).map(Decision::of).collect())
}

/// Campaigns that are open, or ended on the day; and how many more there are.
async fn campaigns(
    store: &dyn Store,
    begins: Timestamp,
    ends: Timestamp,
) -> Result<(Vec<DailyCampaign>, u64), StoreError> {
    let over = |state| matches!(state, CampaignState::Finished | CampaignState::Cancelled);
    let mut rows = store.campaigns().await?;
    rows.retain(|row| row.created < ends && (!over(row.state) || (begins <= row.changed && row.changed < ends)));
    let more = rows.len().saturating_sub(CAMPAIGNS);
    let mut found = Vec::new();
    for row in rows.into_iter().take(CAMPAIGNS) {
        found.push(DailyCampaign {
            messages: Counts::of(&store.tally(row.id).await?),
            campaign: row.name.to_string(),
            state: row.state.as_str(),
            ended: over(row.state).then_some(row.changed),
            because: row.because,
            finish_by: row.current.finish_by,
        });
    }
    Ok((found, more as u64))
}
