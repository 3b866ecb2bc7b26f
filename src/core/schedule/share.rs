//! Owns the sharing of a lane between campaigns of one class: by weight, the one that had least goes next.
//!
//! Invariants: same shares and lines, same answer; over any stretch in which two campaigns wait, what they get differs from
//! their weights by at most one message each; a campaign that joins gets no arrears.

use std::collections::BTreeMap;

use crate::core::campaign::{CampaignId, Class};

/// A campaign's mail that waits for a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Campaign.
    pub campaign: CampaignId,
    /// Its class.
    pub class: Class,
    /// Its weight, from 1.
    pub weight: u32,
    /// Never tried.
    pub fresh: u64,
    /// Tried before and due.
    pub retries: u64,
}

/// Messages to take from one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignWant {
    /// Campaign.
    pub campaign: CampaignId,
    /// At most so many that were tried before.
    pub retries: u32,
    /// At most so many never tried.
    pub fresh: u32,
}

/// What each campaign had so far, per unit of weight.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    had: BTreeMap<CampaignId, u64>,
}

/// A message of weight 1 counts so much; divisible by all small weights.
const ONE: u64 = 720_720;

impl Shares {
    /// Counts `n` messages of a campaign.
    pub fn count(&mut self, campaign: CampaignId, weight: u32, n: u32) {
        let floor = self.had.values().copied().min().unwrap_or(0);
        let had = self.had.entry(campaign).or_insert(floor);
        *had += ONE / u64::from(weight.max(1)) * u64::from(n);
    }

    /// Takes the campaigns that wait now: who joins starts level with the one that had least, who left is forgotten.
    pub fn join(&mut self, waiting: &[CampaignId]) {
        self.had.retain(|campaign, _| waiting.contains(campaign));
        let floor = self.had.values().copied().min().unwrap_or(0);
        for campaign in waiting {
            self.had.entry(*campaign).or_insert(floor);
        }
    }

    /// Divides `n` messages, at most `retries` of them retries, between the lines.
    #[must_use]
    pub fn divide(&self, lines: &[&Line], n: u32, mut retries: u32) -> Vec<CampaignWant> {
        let floor = lines.iter().filter_map(|l| self.had.get(&l.campaign)).copied().min().unwrap_or(0);
        let mut rows: Vec<(u64, u64, u64, u64, CampaignWant)> = lines
            .iter()
            .map(|l| {
                let had = self.had.get(&l.campaign).copied().unwrap_or(floor);
                let want = CampaignWant { campaign: l.campaign, retries: 0, fresh: 0 };
                (had, ONE / u64::from(l.weight.max(1)), l.fresh, l.retries, want)
            })
            .collect();
        for _ in 0..n {
            let open = |r: &&mut (u64, u64, u64, u64, CampaignWant)| r.2 > 0 || (r.3 > 0 && retries > 0);
            let Some(row) = rows.iter_mut().filter(open).min_by_key(|r| (r.0, r.4.campaign)) else { break };
            row.0 += row.1;
            if row.3 > 0 && retries > 0 {
                row.3 -= 1;
                row.4.retries += 1;
                retries -= 1;
            } else {
                row.2 -= 1;
                row.4.fresh += 1;
            }
        }
        rows.into_iter().map(|r| r.4).filter(|w| w.retries + w.fresh > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: i64, weight: u32, fresh: u64, retries: u64) -> Line {
        Line { campaign: CampaignId(id), class: Class::Bulk, weight, fresh, retries }
    }

    #[test]
    fn campaigns_share_by_weight_whatever_the_size_of_a_claim() {
        let (a, b) = (line(1, 3, 10_000, 0), line(2, 1, 10_000, 0));
        for step in [1, 2, 7, 400] {
            let mut shares = Shares::default();
            shares.join(&[CampaignId(1), CampaignId(2)]);
            let mut had = [0u32; 2];
            for _ in 0..400 / step {
                for want in shares.divide(&[&a, &b], step, u32::MAX) {
                    let i = usize::from(want.campaign == CampaignId(2));
                    had[i] += want.fresh;
                    shares.count(want.campaign, [3, 1][i], want.fresh);
                }
            }
            assert!(had[0].abs_diff(had[1] * 3) <= 4, "{had:?} in steps of {step}");
        }
    }

    #[test]
    fn retries_go_first_up_to_their_share_and_nothing_is_taken_twice() {
        let a = line(1, 1, 2, 5);
        let shares = Shares::default();
        assert_eq!(shares.divide(&[&a], 10, 3), [CampaignWant { campaign: CampaignId(1), retries: 3, fresh: 2 }]);
        assert_eq!(shares.divide(&[&a], 1, 0), [CampaignWant { campaign: CampaignId(1), retries: 0, fresh: 1 }]);
        assert_eq!(shares.divide(&[], 10, 3), []);
    }

    #[test]
    fn a_campaign_that_joins_gets_no_arrears() {
        let (a, b) = (line(1, 1, 100, 0), line(2, 1, 100, 0));
        let mut shares = Shares::default();
        shares.join(&[CampaignId(1)]);
        shares.count(CampaignId(1), 1, 50);
        shares.join(&[CampaignId(1), CampaignId(2)]);
        let wants = shares.divide(&[&a, &b], 10, 0);
        assert_eq!(wants.iter().map(|w| w.fresh).collect::<Vec<_>>(), [5, 5]);
    }
}
