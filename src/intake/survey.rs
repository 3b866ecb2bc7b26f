//! Owns the first pass over a list: everything that can be wrong is found before anything is written.
//!
//! Invariants: what the survey took is exactly what the load takes (one bit per row); memory is 16 octets per address plus
//! one bit per row, whatever the rows hold; templates are tried on the first rows and on the longest of every group.

use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::hash::{BuildHasher, RandomState};

use csv::StringRecord;
use jiff::Timestamp;
use serde::Serialize;

use super::Progress;
use super::clean::{Clean, Refusal, Rule, clean, columns_json};
use super::rejects::Rejects;
use super::rows::{List, Row};
use super::seeds::Planted;
use crate::compose::{Composer, Identity, Recipient};
use crate::core::campaign::MessageId;
use crate::core::names::{BucketName, GroupName};
use crate::core::plan::Groups;

/// Rows composed from the top of the list.
const FIRST: usize = 100;
/// Longest rows composed of every group.
const LONGEST: usize = 16;
/// Problems of composing told at once.
const PROBLEMS: usize = 10;
/// Rows between two reports of progress.
const STEP: u64 = 10_000;

/// What a group gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupCount {
    /// Destination group.
    pub group: GroupName,
    /// Its bucket.
    pub bucket: BucketName,
    /// Recipients, seeds too.
    pub recipients: u64,
    /// Of these: suppressed at once, because their domain is out of service.
    pub dead: u64,
}

/// One bit per row.
#[derive(Debug, Default, Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn push(&mut self, at: u64, taken: bool) {
        let word = usize::try_from(at / 64).unwrap_or(usize::MAX);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if taken {
            self.0[word] |= 1 << (at % 64);
        }
    }

    fn clear(&mut self, at: u64) {
        if let Some(word) = usize::try_from(at / 64).ok().and_then(|word| self.0.get_mut(word)) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(super) fn contains(&self, at: u64) -> bool {
        let word = usize::try_from(at / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// A row kept to be composed. The longest come out of the heap last, so that it keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    length: usize,
    at: u64,
    line: u64,
    raw: String,
    address: String,
    columns: String,
    group: GroupName,
    dead: bool,
}

impl Ord for Sample {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.length.cmp(&self.length).then(self.at.cmp(&other.at))
    }
}

impl PartialOrd for Sample {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What the first pass found.
#[derive(Debug)]
pub(super) struct Survey {
    /// Rows to take.
    pub(super) taken: Bits,
    /// Rows below the header, blank ones too.
    pub(super) rows: u64,
    pub(super) recipients: u64,
    pub(super) duplicates: u64,
    pub(super) rejects: Rejects,
    pub(super) rules: BTreeMap<Rule, u64>,
    pub(super) groups: Vec<GroupCount>,
    pub(super) seeds: Planted,
    first: Vec<Sample>,
    longest: BTreeMap<GroupName, BinaryHeap<Sample>>,
}

/// Reads the whole list.
///
/// # Errors
/// In words: the list cannot be read to its end.
pub(super) fn survey(
    list: &List,
    groups: &Groups,
    rejects: Rejects,
    seeds: Planted,
    progress: &mut dyn FnMut(Progress),
) -> Result<Survey, String> {
    let mut found = Survey {
        taken: Bits::default(),
        rows: 0,
        recipients: 0,
        duplicates: 0,
        rejects,
        rules: BTreeMap::new(),
        groups: Vec::new(),
        seeds,
        first: Vec::new(),
        longest: BTreeMap::new(),
    };
    let mut counts: BTreeMap<GroupName, GroupCount> = BTreeMap::new();
    let mut seen = Seen::default();
    for key in found.seeds.keys() {
        seen.insert(key);
    }
    for (group, bucket) in found.seeds.places() {
        count_of(&mut counts, group, bucket).recipients += 1;
    }
    let mut rows = list.rows()?;
    loop {
        let position = rows.position();
        let Some(Row { line, record, refusal }) = rows.next_checked()? else { break };
        let at = found.rows;
        found.rows += 1;
        if at.is_multiple_of(STEP) {
            progress(Progress::Checking { bytes: position, of: list.bytes });
        }
        let judged = refusal.map_or_else(|| clean(record, &list.header, groups), |refusal| Some(Err(refusal)));
        let row = match judged {
            None => {
                found.taken.push(at, false);
                continue;
            }
            Some(Err(refusal)) => {
                found.taken.push(at, false);
                found.refuse(line, record.get(list.header.email).unwrap_or_default(), refusal)?;
                continue;
            }
            Some(Ok(row)) => row,
        };
        let key = row.address.key();
        let is_new = seen.insert(&key);
        found.seeds.meet(&key, || columns_json(record, &list.header, &row.address));
        found.taken.push(at, is_new);
        if !is_new {
            found.duplicates += 1;
            continue;
        }
        found.recipients += 1;
        let count = count_of(&mut counts, &row.group.name, &row.group.bucket);
        count.recipients += 1;
        count.dead += u64::from(row.dead.is_some());
        found.sample(at, line, record, list, &row);
    }
    found.groups = counts.into_values().collect();
    Ok(found)
}

fn count_of<'a>(
    counts: &'a mut BTreeMap<GroupName, GroupCount>,
    group: &GroupName,
    bucket: &BucketName,
) -> &'a mut GroupCount {
    let none = || GroupCount { group: group.clone(), bucket: bucket.clone(), recipients: 0, dead: 0 };
    counts.entry(group.clone()).or_insert_with(none)
}

impl Survey {
    fn refuse(&mut self, line: u64, raw: &str, refusal: Refusal) -> Result<(), String> {
        *self.rules.entry(refusal.rule).or_default() += 1;
        self.rejects.add(line, raw, refusal)
    }

    fn sample(&mut self, at: u64, line: u64, record: &StringRecord, list: &List, row: &Clean<'_>) {
        let length = record.as_slice().len();
        let make = || Sample {
            length,
            at,
            line,
            raw: record.get(list.header.email).unwrap_or_default().to_owned(),
            address: row.address.to_string(),
            columns: columns_json(record, &list.header, &row.address),
            group: row.group.name.clone(),
            dead: row.dead.is_some(),
        };
        if row.dead.is_none() && self.first.len() < FIRST {
            self.first.push(make());
        }
        if row.dead.is_some() {
            return;
        }
        let heap = match self.longest.get_mut(&row.group.name) {
            Some(heap) => heap,
            None => self.longest.entry(row.group.name.clone()).or_default(),
        };
        // The shortest of the longest is on top.
        if heap.len() < LONGEST || heap.peek().is_some_and(|least| least.length < length) {
            heap.push(make());
            if heap.len() > LONGEST {
                heap.pop();
            }
        }
    }

    /// Composes the samples as every relay would. A template that fails on one of the first rows, or a group that takes none of
    /// its longest rows, is a problem of the whole; single rows too long for their group are refused.
    ///
    /// # Errors
    /// The problems, each with its line.
    pub(super) fn try_composing(
        &mut self,
        composer: &dyn Composer,
        identities: &[Identity],
        now: Timestamp,
    ) -> Result<(), Vec<String>> {
        let compose = |address: &str, columns: &str| {
            let recipient = Recipient { message: MessageId(i64::MAX), address, columns };
            identities.iter().find_map(|identity| composer.compose(recipient, identity, now).err())
        };
        let attempt = |sample: &Sample| compose(&sample.address, &sample.columns);
        let mut problems: Vec<String> = Vec::new();
        let longest = std::mem::take(&mut self.longest);
        let mut tried: HashSet<u64> = HashSet::new();
        for (group, heap) in &longest {
            let failed: Vec<(&Sample, String)> =
                heap.iter().filter_map(|s| attempt(s).map(|e| (s, without_number(&e.0)))).collect();
            tried.extend(heap.iter().map(|s| s.at));
            if failed.len() == heap.len() {
                problems.extend(
                    failed
                        .iter()
                        .take(1)
                        .map(|(s, why)| format!("nothing could be composed for group {group}; line {}: {why}", s.line)),
                );
                continue;
            }
            for (sample, why) in failed {
                self.taken.clear(sample.at);
                self.recipients -= 1;
                self.groups.iter_mut().filter(|g| g.group == *group).for_each(|g| g.recipients -= 1);
                self.refuse(sample.line, &sample.raw, Refusal::new(Rule::Composed, why)).map_err(|e| vec![e])?;
            }
        }
        let first = self.first.iter().filter(|s| !tried.contains(&s.at));
        problems.extend(first.filter_map(|s| attempt(s).map(|e| format!("line {}: {}", s.line, without_number(&e.0)))));
        let more = problems.len().saturating_sub(PROBLEMS);
        problems.truncate(PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more such rows among the first {FIRST}"));
        }
        let seeds = self.seeds.messages();
        let failed = seeds.iter().filter_map(|(place, m)| compose(&m.address, &m.columns).map(|e| (place, e)));
        problems.extend(failed.map(|(place, e)| format!("{place}: a seed: {}", without_number(&e.0))).take(PROBLEMS));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// The samples have no message number yet; the address says enough.
fn without_number(why: &str) -> String {
    why.strip_prefix(&format!("{} ", MessageId(i64::MAX))).unwrap_or(why).to_owned()
}

/// Keys seen, as 128 bits of two independent hashes: among ten million addresses the chance that two look like one is 1 in 10^24.
#[derive(Default)]
struct Seen {
    first: RandomState,
    second: RandomState,
    keys: HashSet<u128>,
}

impl Seen {
    fn insert(&mut self, key: &str) -> bool {
        self.keys.insert(u128::from(self.first.hash_one(key)) << 64 | u128::from(self.second.hash_one(key)))
    }
}
