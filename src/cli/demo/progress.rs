//! Owns what is shown while the day passes: a bar for each destination group on a terminal, a line now and then elsewhere.
//!
//! Invariant: it only reads, and what it shows is what the store holds.

use std::io::IsTerminal as _;
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::cli::Failure;
use crate::config::Config;
use crate::core::campaign::CampaignId;
use crate::core::names::{BucketName, CampaignName};
use crate::report::overview::Counts;
use crate::report::words::number;
use crate::store::{EventRow, Pause, Scope, Store, TallyRow};

/// Buckets with a bar of their own; the smaller ones share one.
const BARS: usize = 12;
/// Lines printed over the day where there is no terminal.
const LINES: i64 = 12;
/// Events looked at between two drawings.
const EVENTS: u32 = 50;

pub(super) struct Progress {
    store: Arc<dyn Store>,
    config: Arc<Config>,
    campaign: CampaignName,
    id: Option<CampaignId>,
    opens: Timestamp,
    ends: Timestamp,
    screen: Option<Screen>,
    lines: i64,
    told: Vec<EventRow>,
}

struct Screen {
    all: MultiProgress,
    day: ProgressBar,
    bars: Vec<(Option<BucketName>, ProgressBar)>,
}

impl Progress {
    pub(super) fn new(
        store: Arc<dyn Store>,
        config: Arc<Config>,
        campaign: CampaignName,
        opens: Timestamp,
        ends: Timestamp,
    ) -> Self {
        let screen = std::io::stderr().is_terminal().then(|| Screen::new(seconds(opens, ends)));
        Self { store, config, campaign, id: None, opens, ends, screen, lines: 0, told: Vec::new() }
    }

    /// Shows how things stand at `now`.
    pub(super) async fn draw(&mut self, now: Timestamp) -> Result<(), Failure> {
        let id = match self.id {
            Some(id) => id,
            None => {
                let row = self.store.campaign(&self.campaign).await?;
                let id = row.map(|row| row.id).ok_or_else(|| Failure::refused("the campaign is gone"))?;
                *self.id.insert(id)
            }
        };
        let tally = self.store.tally(id).await?;
        let pauses = self.store.outlook(now).await?.pauses;
        let mut events = self.store.events(EVENTS).await?;
        events.retain(|event| !self.told.contains(event));
        events.reverse();
        for event in &events {
            self.tell(event);
        }
        self.told.extend(events);
        let passed = seconds(self.opens, now);
        match &mut self.screen {
            Some(screen) => {
                screen.draw(&tally, &pauses, &self.config);
                screen.day.set_position(passed);
                screen.day.set_message(clock_face(now, &self.config));
            }
            None => self.line(now, passed, &Counts::of(&tally)),
        }
        Ok(())
    }

    /// Leaves the last picture standing.
    pub(super) fn finish(self) {
        if let Some(screen) = self.screen {
            for (_, bar) in &screen.bars {
                bar.abandon();
            }
            screen.day.abandon();
        }
    }

    fn tell(&self, event: &EventRow) {
        let time = clock_face(event.at, &self.config);
        let text = event.text.lines().next().unwrap_or_default();
        let line = format!("  {time}  {}: {text}", event.subject);
        match &self.screen {
            // A screen that cannot be written shows nothing else either.
            Some(screen) => _ = screen.all.println(line),
            None => eprintln!("{line}"),
        }
    }

    fn line(&mut self, now: Timestamp, passed: u64, counts: &Counts) {
        let of_the_day =
            i64::try_from(passed).unwrap_or(0) * LINES / self.ends.duration_since(self.opens).as_secs().max(1);
        if of_the_day < self.lines {
            return;
        }
        self.lines = of_the_day + 1;
        eprintln!(
            "  {}  accepted {}, bounced {}, deferred for now {}, waiting {}",
            clock_face(now, &self.config),
            number(counts.accepted),
            number(counts.bounced),
            number(counts.deferred),
            number(counts.waiting()),
        );
    }
}

impl Screen {
    fn new(day_seconds: u64) -> Self {
        let all = MultiProgress::new();
        let day = all.add(ProgressBar::new(day_seconds));
        day.set_style(style("  {msg:16.bold} {wide_bar:.yellow/dim}", "━╸─"));
        Self { all, day, bars: Vec::new() }
    }

    fn draw(&mut self, tally: &[TallyRow], pauses: &[Pause], config: &Config) {
        if self.bars.is_empty() {
            self.add_bars(tally);
        }
        let with_a_bar: Vec<BucketName> = self.bars.iter().filter_map(|(bucket, _)| bucket.clone()).collect();
        for (bucket, bar) in &self.bars {
            let rows = tally.iter().filter(|row| match bucket {
                Some(bucket) => row.bucket == *bucket,
                None => !with_a_bar.contains(&row.bucket),
            });
            let counts = Counts::of(rows);
            bar.set_length(counts.total());
            bar.set_position(counts.total() - counts.waiting());
            let pause =
                pauses.iter().find(|p| matches!((&p.scope, bucket), (Scope::Lane(l), Some(b)) if l.bucket == *b));
            bar.set_message(message(&counts, pause, config));
        }
    }

    fn add_bars(&mut self, tally: &[TallyRow]) {
        let mut buckets: Vec<(BucketName, u64)> = Vec::new();
        for row in tally {
            match buckets.iter_mut().find(|(bucket, _)| *bucket == row.bucket) {
                Some((_, n)) => *n += row.n,
                None => buckets.push((row.bucket.clone(), row.n)),
            }
        }
        buckets.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let others = buckets.len() > BARS;
        let named = buckets.into_iter().take(BARS).map(|(bucket, _)| Some(bucket));
        for bucket in named.chain(others.then_some(None)) {
            let bar = self.all.add(ProgressBar::new(1));
            bar.set_style(style("  {prefix:12} {bar:28.green/dim} {pos:>5}/{len:<5} {msg}", "━╸─"));
            bar.set_prefix(bucket.as_ref().map_or_else(|| "others".to_owned(), ToString::to_string));
            self.bars.push((bucket, bar));
        }
    }
}

fn message(counts: &Counts, pause: Option<&Pause>, config: &Config) -> String {
    let mut parts = vec![format!("accepted {}", number(counts.accepted))];
    for (n, what) in [(counts.bounced, "bounced"), (counts.deferred, "deferred"), (counts.suppressed, "suppressed")] {
        if n > 0 {
            parts.push(format!("{what} {}", number(n)));
        }
    }
    if let Some(until) = pause.and_then(|p| p.until) {
        parts.push(format!("paused until {}", clock_face(until, config)));
    }
    parts.join(", ")
}

/// The template is a constant; should it not parse, a plain bar is shown.
fn style(template: &str, chars: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars(chars)
}

fn clock_face(at: Timestamp, config: &Config) -> String {
    at.to_zoned(config.timezone.clone()).strftime("%a %H:%M").to_string()
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}
