//! Owns the figures at the end: what became of every recipient, what waits and why, and whether the simulator counted the same.
//!
//! Invariant: the two sides are counted apart, one from the store's messages and attempts, one by the simulator's systems.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Failure;
use crate::config::Config;
use crate::core::names::{BucketName, CampaignName, GroupName};
use crate::core::reply::{Action, Stage};
use crate::report::holds::binding;
use crate::report::overview::{Counts, Overview, overview};
use crate::report::words::{Table, at, count, number};
use crate::sim;
use crate::store::{Store, StoreError};

/// What the demonstration came to. The keys of its JSON are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    /// The plan day's last moment that was played.
    at: Timestamp,
    /// `at` in local time, for people.
    #[serde(skip)]
    at_local: String,
    /// Rows of the list.
    rows: u64,
    /// Of these: refused or repeated.
    left_out: u64,
    /// By bucket.
    groups: Vec<GroupFigures>,
    /// Sum of all.
    all: GroupFigures,
    /// What waits, and why.
    waiting: Vec<WaitingWhy>,
    /// What the carriers said instead of taking a mail, most often first.
    said: Vec<SaidFigures>,
    /// Both sides counted the same.
    pub(super) agree: bool,
    /// Ctrl-C came before the day was over.
    pub(super) stopped_early: bool,
}

/// One bucket, counted twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct GroupFigures {
    /// Bucket.
    group: String,
    /// Recipients taken from the list.
    recipients: u64,
    /// Counted by Hikagen.
    hikagen: Sides,
    /// Counted by the simulator.
    simulator: Sides,
    /// Suppressed at submit or later.
    suppressed: u64,
    /// Not in a final state.
    waiting: u64,
}

/// What both sides can count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Sides {
    /// Messages accepted.
    accepted: u64,
    /// Messages bounced.
    bounced: u64,
    /// Answers that meant later, resets included; a message may have several.
    deferrals: u64,
}

/// What holds the mail of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct WaitingWhy {
    group: String,
    messages: u64,
    because: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SaidFigures {
    group: String,
    times: u64,
    words: String,
}

/// More attempts than the demonstration can make.
const ATTEMPTS: u32 = 1_000_000;

impl Figures {
    /// Reads the store, and compares with `counts`.
    pub(super) async fn of(
        store: &dyn Store,
        config: &Config,
        campaign: &CampaignName,
        now: Timestamp,
        counts: BTreeMap<GroupName, sim::Counts>,
        rows: u64,
        left_out: u64,
    ) -> Result<Self, Failure> {
        let row = store.campaign(campaign).await?.ok_or_else(|| Failure::refused("the campaign is gone"))?;
        let tally = store.tally(row.id).await?;
        let overview = overview(store, config, now, true).await?;
        let mut groups = Vec::new();
        let mut waiting = Vec::new();
        for bucket in config.groups.buckets().into_keys() {
            let messages = Counts::of(tally.iter().filter(|t| t.bucket == bucket));
            let simulated = simulated(&counts, config, &bucket);
            let deferrals = deferrals(store, config, &bucket).await?;
            if messages.total() == 0 && simulated == Sides::default() {
                continue;
            }
            if messages.waiting() > 0 {
                let because = because(&overview, &bucket);
                waiting.push(WaitingWhy { group: bucket.to_string(), messages: messages.waiting(), because });
            }
            groups.push(GroupFigures {
                group: bucket.to_string(),
                recipients: messages.total(),
                hikagen: Sides { accepted: messages.accepted, bounced: messages.bounced, deferrals },
                simulator: simulated,
                suppressed: messages.suppressed,
                waiting: messages.waiting(),
            });
        }
        groups.sort_by_key(|g| std::cmp::Reverse(g.recipients));
        let agree = groups.iter().all(|g| g.hikagen == g.simulator);
        let all = sum(&groups);
        let at_local = at(now, &config.timezone);
        let said = said(&counts);
        Ok(Self { at: now, at_local, rows, left_out, groups, all, waiting, said, agree, stopped_early: false })
    }

    /// The figures as text, with where the files are and what to try next.
    pub(super) fn render(&self, dir: &Path) -> String {
        let mut out = if self.stopped_early {
            format!("\nStopped at {}. What became of {} until then:\n\n", self.at_local, count(self.rows, "row"))
        } else {
            format!("\n{}: what became of {}\n\n", self.at_local, count(self.rows, "row"))
        };
        out.push_str(&self.table());
        out.push_str(&format!("  {} refused or repeated on the list\n", number(self.left_out)));
        if !self.said.is_empty() {
            let mut table = Table::new(["GROUP", "TIMES", "WHAT THE CARRIER SAID"], &[1]);
            for said in &self.said {
                table.row([said.group.clone(), number(said.times), said.words.clone()]);
            }
            out.push('\n');
            out.push_str(&table.render("  "));
        }
        if !self.waiting.is_empty() {
            out.push_str("\nWhat waits, and why\n");
        }
        for waiting in &self.waiting {
            out.push_str(&format!("  {}: {}\n", waiting.group, count(waiting.messages, "message")));
            for because in &waiting.because {
                out.push_str(&format!("    {because}\n"));
            }
        }
        out.push_str(&self.comparison());
        out.push_str(&next_steps(dir));
        out
    }

    fn table(&self) -> String {
        let mut table = Table::new(
            ["GROUP", "RECIPIENTS", "ACCEPTED", "BOUNCED", "SUPPRESSED", "WAITING", "DEFERRALS"],
            &[1, 2, 3, 4, 5, 6],
        );
        for group in self.groups.iter().chain([&self.all]) {
            table.row([
                group.group.clone(),
                number(group.recipients),
                number(group.hikagen.accepted),
                number(group.hikagen.bounced),
                number(group.suppressed),
                number(group.waiting),
                number(group.hikagen.deferrals),
            ]);
        }
        table.render("  ")
    }

    fn comparison(&self) -> String {
        let (ours, theirs) = (self.all.hikagen, self.all.simulator);
        let mut out = "\nCounted twice: by Hikagen from its store, by the simulator by itself\n".to_owned();
        let mut table = Table::new(["", "ACCEPTED", "BOUNCED", "DEFERRALS"], &[1, 2, 3]);
        for (who, sides) in [("Hikagen", ours), ("simulator", theirs)] {
            table.row([who.to_owned(), number(sides.accepted), number(sides.bounced), number(sides.deferrals)]);
        }
        out.push_str(&table.render("  "));
        if self.agree {
            out.push_str("  They agree, in every group.\n");
        }
        for group in self.groups.iter().filter(|g| g.hikagen != g.simulator) {
            let show = |s: Sides| format!("{} accepted, {} bounced, {} deferrals", s.accepted, s.bounced, s.deferrals);
            out.push_str(&format!(
                "  They DISAGREE on {}: Hikagen {}; simulator {}\n",
                group.group,
                show(group.hikagen),
                show(group.simulator)
            ));
        }
        out
    }
}

fn sum(groups: &[GroupFigures]) -> GroupFigures {
    let mut all = GroupFigures { group: "all".to_owned(), ..GroupFigures::default() };
    let add = |to: &mut Sides, of: Sides| {
        to.accepted += of.accepted;
        to.bounced += of.bounced;
        to.deferrals += of.deferrals;
    };
    for group in groups {
        all.recipients += group.recipients;
        all.suppressed += group.suppressed;
        all.waiting += group.waiting;
        add(&mut all.hikagen, group.hikagen);
        add(&mut all.simulator, group.simulator);
    }
    all
}

fn simulated(counts: &BTreeMap<GroupName, sim::Counts>, config: &Config, bucket: &BucketName) -> Sides {
    let mut sides = Sides::default();
    for (group, counts) in counts {
        if config.groups.get(group).is_some_and(|g| g.bucket == *bucket) {
            sides.accepted += counts.accepted;
            sides.bounced += counts.bounced;
            sides.deferrals += counts.deferred + counts.reset;
        }
    }
    sides
}

/// Attempts that reached the recipient's system and ended in neither acceptance nor bounce.
async fn deferrals(store: &dyn Store, config: &Config, bucket: &BucketName) -> Result<u64, StoreError> {
    let mut later = 0;
    for relay in config.relays.keys() {
        let attempts = store.lane_attempts(relay, bucket, ATTEMPTS).await?;
        let asked = attempts.iter().filter(|a| a.attempt.stage >= Stage::Rcpt);
        later += asked.filter(|a| a.attempt.action.is_some_and(means_later)).count();
    }
    Ok(u64::try_from(later).unwrap_or(u64::MAX))
}

fn means_later(action: Action) -> bool {
    !matches!(action, Action::Suppress | Action::Fail)
}

/// What binds each lane of `bucket`, as `status` and `why` say it.
fn because(overview: &Overview, bucket: &BucketName) -> Vec<String> {
    let end = format!("/{bucket}");
    let lanes = overview.relays.iter().flat_map(|relay| &relay.lanes).filter(|lane| lane.lane.ends_with(&end));
    lanes.filter_map(|lane| binding(&lane.holds).map(|hold| format!("{}: {}", lane.lane, hold.text))).collect()
}

fn said(counts: &BTreeMap<GroupName, sim::Counts>) -> Vec<SaidFigures> {
    let mut all: Vec<SaidFigures> = counts
        .iter()
        .flat_map(|(group, counts)| {
            counts.said.iter().map(move |(words, times)| SaidFigures {
                group: group.to_string(),
                times: *times,
                words: words.replacen(" - ", " ", 1),
            })
        })
        .collect();
    all.sort_by_key(|said| std::cmp::Reverse(said.times));
    all
}

fn next_steps(dir: &Path) -> String {
    let config = dir.join("hikagen.yaml");
    let config = config.display();
    format!(
        "\nThe files stay in {dir}. Look around:\n\n\
         \x20 hikagen -c {config} status\n\
         \x20 hikagen -c {config} why docomo\n\
         \x20 hikagen -c {config} why tokyo-warm/yahoo-jp\n\
         \x20 hikagen -c {config} audit\n\
         \x20 hikagen plan show {plan}\n\n\
         Send the rest, in real time: `hikagen simulate` in one terminal, `hikagen -c {config} run` in another.\n",
        dir = dir.display(),
        plan = dir.join("plan.yaml").display(),
    )
}
