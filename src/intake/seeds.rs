//! Owns the seeds of a submission: addresses of the operator's own, in front of the list.
//!
//! Invariants: a seed is a message like any other (plan, limits, suppression, resubmission), only first in its line; an address
//! that is a seed and in the list gets one mail; its columns are its own, then those of its row in the list, then the first row's;
//! but what its unsubscribe link is made of is never the first row's, whom a click on it would take off the list.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::clean::{Clean, clean, clean_address};
use super::rows::{Header, List, Row};
use crate::config::campaign_file::{ListReading, Seed, Seeds};
use crate::config::problem::did_you_mean;
use crate::core::address::Address;
use crate::core::names::{BucketName, GroupName};
use crate::core::plan::{AddressForm, Group, Groups};
use crate::store::{NewMessage, SEED_SCORE};

/// Most seeds of a campaign.
const SEEDS_MAX: usize = 1_000;

/// A seed as a report shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeedView {
    /// Its address.
    pub address: String,
    /// Its destination group.
    pub group: GroupName,
    /// Where it waits.
    pub bucket: BucketName,
    /// The list has it too.
    pub in_list: bool,
}

/// The seeds of a submission.
#[derive(Debug, Default)]
pub(super) struct Planted {
    seeds: Vec<Sown>,
    by_key: HashMap<String, usize>,
    /// Columns of the first row that was taken.
    sample: Option<String>,
}

#[derive(Debug)]
struct Sown {
    address: Address,
    group: GroupName,
    bucket: BucketName,
    place: String,
    own: Vec<(String, String)>,
    /// Columns of its row in the list.
    row: Option<String>,
}

impl Planted {
    /// Looks through the seeds of a campaign whose list has these columns.
    ///
    /// # Errors
    /// Every problem, with its place: seeds are the operator's own, so none is passed over.
    pub(super) fn of(seeds: &Seeds, header: &Header, groups: &Groups) -> Result<Self, Vec<String>> {
        let mut planted = Self::default();
        let mut problems = Vec::new();
        for seed in &seeds.listed {
            match listed(seed, header, groups) {
                Ok(sown) => planted.plant(sown),
                Err(why) => problems.push(format!("{}: seed {}: {why}", seed.place, seed.email.escape_debug())),
            }
        }
        if let Some(path) = &seeds.file {
            let read = planted.read(path, header, groups, &mut problems);
            problems.extend(read.err());
        }
        if problems.is_empty() { Ok(planted) } else { Err(problems) }
    }

    fn read(
        &mut self,
        path: &Path,
        header: &Header,
        groups: &Groups,
        problems: &mut Vec<String>,
    ) -> Result<(), String> {
        let list = List::open(path, ListReading::default(), &mut |_| {})?;
        let mut rows = list.rows()?;
        while let Some(Row { line, record, refusal }) = rows.next_checked()? {
            let place = format!("{}:{line}", path.display());
            let judged = refusal.map_or_else(|| clean(record, &list.header, groups), |refusal| Some(Err(refusal)));
            match judged {
                None => {}
                Some(Err(refusal)) => problems.push(format!("{place}: {}", refusal.why)),
                Some(Ok(Clean { dead: Some(why), .. })) => problems.push(format!("{place}: {why}")),
                Some(Ok(row)) => {
                    let named = list.header.names.iter().zip(record);
                    // An empty cell has nothing of its own; a column that the list does not have is nobody's.
                    let own = named.filter(|(name, value)| is_column(name, header) && !value.is_empty());
                    let own = own.map(|(name, value)| (name.clone(), value.to_owned())).collect();
                    self.plant(Sown::new(row.address, row.group, place, own));
                }
            }
            if self.seeds.len() > SEEDS_MAX {
                return Err(format!("{}:{line}: more than {SEEDS_MAX} seeds", path.display()));
            }
        }
        Ok(())
    }

    /// The first of two that are one address counts.
    fn plant(&mut self, sown: Sown) {
        let key = sown.address.key();
        if !self.by_key.contains_key(&key) {
            self.by_key.insert(key, self.seeds.len());
            self.seeds.push(sown);
        }
    }

    /// Their keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.by_key.keys()
    }

    /// A row of the list that can be taken, seed or not; `columns` makes its columns.
    pub(super) fn meet(&mut self, key: &str, columns: impl Fn() -> String) {
        if self.seeds.is_empty() {
            return;
        }
        if self.sample.is_none() {
            self.sample = Some(columns());
        }
        if let Some(sown) = self.by_key.get(key).and_then(|at| self.seeds.get_mut(*at))
            && sown.row.is_none()
        {
            sown.row = Some(columns());
        }
    }

    /// Holds what they have of their own against the columns of which an unsubscribe link is made; after the whole list was met.
    ///
    /// # Errors
    /// Every seed whose link would be that of a recipient, with its place.
    pub(super) fn check_links(&self, columns: &[String]) -> Result<(), Vec<String>> {
        let lacks = |sown: &Sown, column: &str| !sown.own.iter().any(|(name, _)| name == column);
        let mut problems = Vec::new();
        for sown in self.seeds.iter().filter(|sown| sown.row.is_none()) {
            let lacking: Vec<&str> = columns.iter().filter(|c| lacks(sown, c)).map(String::as_str).collect();
            if !lacking.is_empty() {
                let names = lacking.join("`, `");
                problems.push(format!(
                    "{}: seed {}: its unsubscribe link would be that of the list's first recipient; give the seed its own \
                     `{names}`, or use {{token}} in the link",
                    sown.place, sown.address
                ));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether the list has any of them.
    pub(super) fn any_in_list(&self) -> bool {
        self.seeds.iter().any(|sown| sown.row.is_some())
    }

    /// Group and bucket of each.
    pub(super) fn places(&self) -> impl Iterator<Item = (&GroupName, &BucketName)> {
        self.seeds.iter().map(|sown| (&sown.group, &sown.bucket))
    }

    /// As a report shows them.
    pub(super) fn views(&self) -> Vec<SeedView> {
        let view = |sown: &Sown| SeedView {
            address: sown.address.to_string(),
            group: sown.group.clone(),
            bucket: sown.bucket.clone(),
            in_list: sown.row.is_some(),
        };
        self.seeds.iter().map(view).collect()
    }

    /// Where each was written, with the message to store for it, in their order.
    pub(super) fn messages(&self) -> Vec<(&str, NewMessage)> {
        let message = |sown: &Sown| NewMessage {
            address: sown.address.to_string(),
            key: sown.address.key(),
            bucket: sown.bucket.clone(),
            score: SEED_SCORE,
            columns: self.columns(sown),
            refused: None,
        };
        self.seeds.iter().map(|sown| (sown.place.as_str(), message(sown))).collect()
    }

    fn columns(&self, sown: &Sown) -> String {
        let base = sown.row.as_ref().or(self.sample.as_ref());
        let mut columns: Map<String, Value> = base.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        columns.insert("email".to_owned(), sown.address.to_string().into());
        for (name, value) in &sown.own {
            columns.insert(name.clone(), value.as_str().into());
        }
        Value::Object(columns).to_string()
    }
}

impl Sown {
    fn new(address: Address, group: &Group, place: String, own: Vec<(String, String)>) -> Self {
        Self { address, group: group.name.clone(), bucket: group.bucket.clone(), place, own, row: None }
    }
}

fn is_column(name: &str, header: &Header) -> bool {
    name != "email" && name != "score" && header.names.iter().any(|column| column == name)
}

/// A seed of the campaign file itself.
fn listed(seed: &Seed, header: &Header, groups: &Groups) -> Result<Sown, String> {
    let address = clean_address(&seed.email).map_err(|refusal| refusal.why)?;
    let route = groups.route(address.domain());
    if route.dead {
        return Err(format!("the domain {} is out of service", address.domain()));
    }
    if address.is_irregular() && route.group.irregular == AddressForm::Refused {
        return Err(format!("group {} never gave such addresses out", route.group.name));
    }
    if let Some((name, _)) = seed.columns.iter().find(|(name, _)| !is_column(name, header)) {
        let near = did_you_mean(name, header.names.iter().map(String::as_str));
        let near = near.map_or_else(|| ".".to_owned(), |n| format!("; did you mean \"{n}\"?"));
        let columns = header.names.join(", ");
        return Err(format!("the list has no column \"{}\"{near} Its columns: {columns}", name.escape_debug()));
    }
    Ok(Sown::new(address, route.group, seed.place.clone(), seed.columns.clone()))
}
