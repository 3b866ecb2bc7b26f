//! Owns the checks of a world: the promises, recounted from what the relays saw, independently of the ledger.

use std::collections::BTreeMap;

use hikagen::core::campaign::MessageState;
use hikagen::core::lane::{Hours, calendar};
use hikagen::core::names::BucketName;
use hikagen::report::audit;
use hikagen::store::Store;
use jiff::civil::Date;

use crate::carrier::Arrival;
use crate::world::World;

fn bucket_of(recipient: &str) -> BucketName {
    let name: String = recipient.chars().take_while(char::is_ascii_alphabetic).collect();
    BucketName::new(&name).unwrap()
}

/// Every broken promise of a world, in words.
pub(crate) async fn broken_promises(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let arrivals = world.seen.lock().unwrap().arrivals.clone();
    never_lost(world, &arrivals, &mut broken).await;
    known_duplicates_only(world, &arrivals, &mut broken);
    let mut lanes: BTreeMap<(String, BucketName), Vec<&Arrival>> = BTreeMap::new();
    for arrival in &arrivals {
        lanes.entry((arrival.relay.clone(), bucket_of(&arrival.recipient))).or_default().push(arrival);
    }
    for ((relay, bucket), mut seen) in lanes {
        seen.sort_by_key(|a| a.at);
        never_over_plan(world, &relay, &bucket, &seen, &mut broken).await;
    }
    let since = "2026-11-01".parse().unwrap();
    let audit = audit::judge(&audit::gather(&world.store, &world.config, since).await.unwrap(), since);
    broken.extend(audit.violations.into_iter().map(|v| format!("audit [{}]: {}", v.rule.as_str(), v.text)));
    broken
}

async fn never_lost(world: &World, arrivals: &[Arrival], broken: &mut Vec<String>) {
    let states = world.states().await;
    let total: u64 = states.values().sum();
    if total != world.submitted as u64 {
        broken.push(format!("{} submitted, {total} known: {states:?}", world.submitted));
    }
    if !world.finished {
        broken.push(format!("not finished in time: {states:?}"));
    }
    let mut after = None;
    loop {
        let page = world.store.messages_of(world.campaign, &[], after, 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for message in page {
            let taken = arrivals.iter().filter(|a| a.recipient == message.address && a.accepted).count();
            match message.state {
                MessageState::Accepted if taken == 0 => {
                    broken.push(format!("{} is called accepted, but no relay took it", message.address));
                }
                MessageState::Accepted | MessageState::Parked => {}
                other if taken > 0 => {
                    broken.push(format!("a relay took {}, but it is called {}", message.address, other.as_str()))
                }
                _ => {}
            }
        }
    }
}

fn known_duplicates_only(world: &World, arrivals: &[Arrival], broken: &mut Vec<String>) {
    let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in arrivals.iter().filter(|a| a.accepted) {
        *taken.entry(&arrival.recipient).or_default() += 1;
    }
    let repeats: u64 = taken.values().map(|n| n - 1).sum();
    let lost_answers = arrivals.iter().filter(|a| a.answer_lost).count() as u64;
    if repeats > world.in_the_air + lost_answers {
        broken.push(format!(
            "{repeats} repeats, though only {} were in the air and {lost_answers} answers lost",
            world.in_the_air
        ));
    }
    if taken.values().any(|n| *n > 3) {
        broken.push("a message was taken more than three times".to_owned());
    }
}

async fn never_over_plan(world: &World, relay: &str, bucket: &BucketName, seen: &[&Arrival], broken: &mut Vec<String>) {
    let plan = &world.plan;
    let lane = plan.lane(bucket);
    let rows = world.store.ledgers(Some(&relay.parse().unwrap()), "2026-11-01".parse().unwrap()).await.unwrap();
    let warmup_day =
        |day: Date| rows.iter().find(|(_, l)| l.bucket == *bucket && l.day == day).map(|(_, l)| l.warmup_day);
    let mut days: BTreeMap<Date, u32> = BTreeMap::new();
    for arrival in seen {
        let day = calendar::plan_day(&plan.timezone, plan.day_starts, arrival.at);
        *days.entry(day).or_default() += 1;
        let hours = Hours::of(&plan.timezone, plan.day_starts, &lane.window.value, Some(&lane.avoid.value), day);
        if !hours.is_open(arrival.at) {
            broken.push(format!("{relay}/{bucket}: a message left at {}, outside the window", arrival.at));
        }
    }
    let (mut before, mut n) = (0, 0);
    for (day, count) in days {
        let Some(warmup) = warmup_day(day) else {
            broken.push(format!("{relay}/{bucket}: no ledger for {day}"));
            continue;
        };
        n += 1;
        if warmup > n || warmup < before || warmup > before + 1 {
            broken.push(format!("{relay}/{bucket}: {day} is called warm-up day {warmup} after {before}"));
        }
        before = warmup;
        let quota = lane.curve.value.quota(warmup);
        if count > quota {
            broken.push(format!("{relay}/{bucket}: {count} on {day}, quota {quota}"));
        }
    }
    if let Some(rate) = &lane.rate {
        let burst = lane.burst.as_ref().map_or(rate.value.default_burst(), |b| b.value);
        for (i, from) in seen.iter().enumerate() {
            for (j, to) in seen.iter().enumerate().skip(i) {
                let span = to.at.duration_since(from.at).as_secs_f64();
                if (j - i + 1) as f64 > f64::from(burst.get()) + rate.value.per_second() * span + 1e-6 {
                    broken.push(format!("{relay}/{bucket}: {} messages in {span:.3} s at {}", j - i + 1, rate.value));
                    return;
                }
            }
        }
    }
    if let Some(cap) = &lane.per_hour {
        for (i, from) in seen.iter().enumerate() {
            let inside =
                seen.iter().skip(i).take_while(|a| a.at.duration_since(from.at).as_secs_f64() < 3_600.0).count();
            if inside > cap.value.get() as usize {
                broken.push(format!("{relay}/{bucket}: {inside} in an hour, cap {}", cap.value));
                return;
            }
        }
    }
}
