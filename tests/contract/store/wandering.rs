//! Many verbs in a random order: whatever happens, the promises hold after every step.
//!
//! Invariant: a seed tells the whole story; a failure prints it.

use std::collections::BTreeMap;

use hikagen::core::campaign::{CampaignState, Class, MessageId, MessageState};
use hikagen::store::*;

use super::*;

/// Numbers that look random (an LCG of Knuth's), the same for a seed everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

struct Walk {
    world: World,
    dice: Dice,
    lease: Lease,
    now: i64,
    air: Vec<Claim>,
    finals: BTreeMap<MessageId, MessageState>,
}

impl Walk {
    async fn begin(seed: u64) -> Self {
        let world = World::in_memory();
        world.campaign_of("spring", Class::Bulk, rows(30)).await;
        world.campaign_of("receipts", Class::Transactional, rows(10)).await;
        let lease = world.lease("ses").await;
        Self { world, dice: Dice(seed), lease, now: 20, air: Vec::new(), finals: BTreeMap::new() }
    }

    async fn step(&mut self) {
        self.now += i64::try_from(self.dice.below(40)).unwrap();
        let now = at(self.now);
        let store = &self.world.store;
        match self.dice.below(21) {
            0..=6 => self.claim().await,
            7..=12 => self.settle().await,
            13 => drop(store.feed(now, 5).await.unwrap()),
            14 => drop(store.sweep(now, 7).await.unwrap()),
            15 => self.submit().await,
            16 => self.order().await,
            17 => self.settle_parked().await,
            18 => {
                let key = format!("u{}@docomo.ne.jp", self.dice.below(40));
                let reason = SuppressionReason::Complaint;
                let entry = Suppression { key, reason, sender: None, note: String::new(), since: now };
                store.suppress(vec![entry], now).await.unwrap();
            }
            19 => drop(store.fold(fold_order(now, 3)).await.unwrap()),
            _ => self.crash().await,
        }
    }

    async fn claim(&mut self) {
        let campaigns = self.world.store.campaigns().await.unwrap();
        let wants = campaigns.iter().map(|c| Want {
            campaign: c.id,
            retries: u32::try_from(self.dice.below(4)).unwrap(),
            fresh: u32::try_from(self.dice.below(4)).unwrap(),
        });
        let day = DAY.checked_add(jiff::Span::new().days(self.now / 400)).unwrap();
        let warmup_day = u32::try_from(self.now / 400).unwrap() + 1;
        let lane = LaneClaim { bucket: bucket("docomo"), day, warmup_day, quota: 15, wants: wants.collect() };
        let order = ClaimOrder {
            lease: self.lease.clone(),
            now: at(self.now),
            sender: "mail.example.jp".to_owned(),
            lanes: vec![lane],
        };
        match self.world.store.claim(order).await {
            Ok(claimed) => self.air.extend(claimed.claims),
            Err(StoreError::Refused(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    async fn settle(&mut self) {
        let due = at(self.now + 30);
        let mut batch = Vec::new();
        for _ in 0..=self.dice.below(4) {
            if self.air.is_empty() {
                break;
            }
            let index = usize::try_from(self.dice.below(self.air.len() as u64)).unwrap();
            let claim = self.air.swap_remove(index);
            let disposition = match self.dice.below(8) {
                0 | 1 => Disposition::Deferred { due },
                2 => Disposition::Uncertain { due },
                3 => Disposition::Parked,
                4 => Disposition::Unsent,
                5 => Disposition::Bounced(Some(SuppressionReason::Unknown)),
                6 => Disposition::Expired("too old".to_owned()),
                _ => Disposition::Accepted,
            };
            batch.push(Settlement { at: at(self.now), ..settlement(&claim, disposition) });
            if self.dice.below(5) == 0 {
                // A settle that is repeated, because its answer was lost.
                batch.push(Settlement { at: at(self.now), ..settlement(&claim, Disposition::Accepted) });
            }
        }
        self.world.store.settle(&self.lease, batch).await.unwrap();
    }

    async fn submit(&mut self) {
        let row = self.world.row("spring").await;
        if matches!(row.state, CampaignState::Finished | CampaignState::Cancelled) {
            return;
        }
        let prune = self.dice.below(3) == 0;
        let skip = usize::try_from(self.dice.below(5)).unwrap();
        let mut list: Vec<_> = rows(40).into_iter().skip(skip).collect();
        for message in &mut list {
            message.score = i64::try_from(self.dice.below(3)).unwrap();
        }
        self.world.store.enqueue(row.id, list, row.loads, prune, at(self.now)).await.unwrap();
        self.world.store.finish_intake(row.id, row.loads, prune, at(self.now)).await.unwrap();
    }

    async fn order(&mut self) {
        let (now, store) = (at(self.now), self.world.store.clone());
        let row = self.world.row("spring").await;
        match self.dice.below(12) {
            0 => drop(store.order_campaign(&row.name, CampaignState::Cancelled, "", now).await),
            1..=4 => drop(store.order_campaign(&row.name, CampaignState::Paused, "", now).await),
            5 => {
                let not_after = Some(at(self.now + 200));
                drop(store.revise_campaign(row.id, Revision { not_after, ..revision(Class::Bulk) }, now).await);
            }
            _ => drop(store.order_campaign(&row.name, RUNNING, "", now).await),
        }
    }

    async fn settle_parked(&mut self) {
        let id = self.world.row("spring").await.id;
        let parked = self.world.store.messages_of(id, &[MessageState::Parked], None, 1).await.unwrap();
        if let Some(message) = parked.first() {
            let fate =
                [Fate::Accepted, Fate::Retry, Fate::Retry, Fate::Bounced][usize::try_from(self.dice.below(4)).unwrap()];
            let settled = self.world.store.settle_parked(vec![message.id], fate, at(self.now)).await.unwrap();
            assert_eq!(settled, Settled { done: 1, stale: 0 });
        }
    }

    async fn crash(&mut self) {
        if self.dice.below(3) > 0 {
            return;
        }
        self.world.crash();
        let now = at(self.now);
        let store = &self.world.store;
        let (lease, recovered) = store.acquire(&relay("ses"), "next", at(self.now + 30), false, now).await.unwrap();
        assert_eq!(recovered.retried + recovered.parked, self.air.len() as u64);
        for claim in self.air.drain(..) {
            let late = store.settle(&self.lease, vec![settlement(&claim, Disposition::Accepted)]).await.unwrap();
            assert_eq!(late, Settled { done: 0, stale: 1 });
        }
        self.lease = lease;
    }

    async fn check(&mut self) {
        for campaign in self.world.store.campaigns().await.unwrap() {
            for message in self.world.store.messages_of(campaign.id, &[], None, 1_000).await.unwrap() {
                if let Some(before) = self.finals.get(&message.id) {
                    assert_eq!(message.state, *before, "{} left its final state", message.id);
                } else if message.state.is_final() {
                    self.finals.insert(message.id, message.state);
                }
            }
            let in_the_air = self.world.count(campaign.id, MessageState::Claimed).await;
            assert_eq!(in_the_air, self.air.iter().filter(|c| c.r.campaign == campaign.id).count() as u64);
        }
    }
}

#[tokio::test]
async fn whatever_the_order_of_verbs_the_promises_hold_after_every_step() {
    let mut states: BTreeMap<MessageState, usize> = BTreeMap::new();
    for seed in 0..10 {
        println!("seed {seed}");
        let mut walk = Walk::begin(seed).await;
        for n in 1..=150 {
            walk.step().await;
            walk.world.check_books().await;
            if n % 10 == 0 {
                walk.check().await;
            }
        }
        for state in walk.finals.values() {
            *states.entry(*state).or_default() += 1;
        }
    }
    assert_eq!(states.len(), 5, "the walks must reach every final state: {states:?}");
}
