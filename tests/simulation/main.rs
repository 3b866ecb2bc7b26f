//! Worlds in virtual time: the real worker, core and SQLite (in memory) against relays that answer, refuse and break off, with
//! a crash or a stall at one outside call each. A failing world prints the ask that repeats it.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_precision_loss)]

mod auditor;
mod carrier;
mod faulty;
mod foreseen;
mod judge;
mod ramp;
#[path = "../support/settings.rs"]
#[allow(dead_code, unreachable_pub)]
mod settings;
mod world;

use std::time::Duration;

use carrier::{Mood, mix};
use faulty::{Planted, Trouble};
use ramp::{Ramp, RampAsk};
use world::{Ask, World, live};

fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

fn judged(ask: Ask) -> (World, Vec<String>) {
    in_virtual_time(async {
        let world = live(ask).await;
        let broken = judge::broken_promises(&world).await;
        (world, broken)
    })
}

/// How many worlds: 200 here, 2,000 by `tests/run --long`, or as `HIKAGEN_WORLDS` says.
fn worlds() -> u32 {
    let asked = std::env::var("HIKAGEN_WORLDS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(if std::env::var_os("HIKAGEN_LONG").is_some() { 2_000 } else { 200 }).max(50)
}

/// Runs worlds on both processors' worth of threads and gathers what is broken.
fn all_hold(asks: Vec<Ask>) {
    all_hold_by(asks, |ask| judged(ask).1);
}

fn all_hold_by<A: Copy + Sync + std::fmt::Debug>(asks: Vec<A>, judged: impl Fn(A) -> Vec<String> + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(ask) = asks.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                    let broken = judged(*ask);
                    if !broken.is_empty() {
                        failures.lock().unwrap().push(format!("{ask:?}: {broken:#?}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} worlds broke a promise:\n{}",
        failures.len(),
        asks.len(),
        failures[..failures.len().min(3)].join("\n")
    );
}

#[test]
fn a_quiet_world_keeps_every_promise_and_ends() {
    for seed in 0..4 {
        let (world, broken) = judged(Ask::new(seed, Trouble::None));
        assert!(broken.is_empty(), "{:?}: {broken:#?}", world.ask);
        assert!(world.calls > 100, "only {} outside calls", world.calls);
    }
}

#[test]
fn promises_hold_over_a_crash_at_any_outside_call() {
    let mut asks = Vec::new();
    let (seeds, n) = (u64::from(worlds() / 25), worlds() / 2);
    let calls: Vec<u32> = (0..seeds).map(|seed| judged(Ask::new(seed, Trouble::None)).0.calls).collect();
    for i in 0..n {
        let seed = u64::from(i) % seeds;
        let at = (mix(7, &i.to_string()) % u64::from(calls[usize::try_from(seed).unwrap()])) as u32;
        asks.push(Ask::new(seed, if i % 2 == 0 { Trouble::DiesBefore(at) } else { Trouble::DiesAfter(at) }));
    }
    all_hold(asks);
}

#[test]
fn promises_hold_over_a_stall_at_any_outside_call() {
    let mut asks = Vec::new();
    let (seeds, n) = (u64::from(worlds() / 25), worlds() / 2);
    for i in 0..n {
        let seed = 1_000 + u64::from(i) % seeds;
        let at = (mix(11, &i.to_string()) % 600) as u32;
        let span = Duration::from_secs([30, 300, 2_700, 19_800][(i % 4) as usize]);
        asks.push(Ask::new(seed, Trouble::Stalls(at, span)));
    }
    all_hold(asks);
}

#[test]
fn planted_faults_are_found() {
    let plant = |planted, mood, restart| Ask { planted, mood, restart, ..Ask::new(3, Trouble::None) };
    for (ask, sign) in [
        (plant(Planted::ForgetsQuota, Mood::Honest, true), "quota"),
        (plant(Planted::DropsSettles, Mood::Honest, false), "not finished"),
        (plant(Planted::ClaimsTwice, Mood::Honest, false), "not finished"),
        (plant(Planted::Nothing, Mood::ShiftedByOne, false), "called"),
        (plant(Planted::SharesLeases, Mood::Honest, false), "in an hour"),
    ] {
        let (_, broken) = judged(ask);
        assert!(broken.iter().any(|b| b.contains(sign)), "{ask:?}: {broken:#?}");
    }
}

fn ramp_judged(ask: RampAsk) -> (Ramp, Vec<String>) {
    in_virtual_time(async {
        let ramp = ramp::live(ask).await;
        let broken = auditor::broken(&ramp).await;
        (ramp, broken)
    })
}

#[test]
fn ramps_hold_back_when_the_destination_is_unhappy_and_climb_when_it_is_content() {
    let n = worlds() / 5;
    let calls = ramp_judged(RampAsk::new(0, Trouble::None)).0.calls;
    let ask = |i: u32| {
        let at = (mix(13, &i.to_string()) % u64::from(calls)) as u32;
        let trouble = [Trouble::None, Trouble::DiesBefore(at), Trouble::DiesAfter(at)][(i % 3) as usize];
        RampAsk::new(u64::from(i), trouble)
    };
    all_hold_by((0..n).map(ask).collect(), |ask| ramp_judged(ask).1);
}

/// Each fault of the gate, and the sign by which the auditor sees it in some world of these seeds.
#[test]
fn planted_faults_of_the_gate_are_found() {
    for (planted, sign) in [
        (Planted::DeafToDeferrals, "deferred"),
        (Planted::DeafToBlocks, "blocked"),
        (Planted::DeafToAll, "no advance after a full day"),
        (Planted::ClimbsTwice, "more than a rung up"),
        (Planted::AlwaysClimbs, "advanced though"),
    ] {
        let caught = (0..12).find(|seed| {
            let calm = RampAsk { set_by: None, edited: false, idles: false, ..RampAsk::new(*seed, Trouble::None) };
            ramp_judged(RampAsk { planted, ..calm }).1.iter().any(|b| b.contains(sign))
        });
        assert!(caught.is_some(), "{planted:?} was not seen in any world");
    }
}

#[test]
fn a_forecast_of_each_groups_end_is_within_one_percent_of_what_the_worker_then_does() {
    let worlds = if std::env::var_os("HIKAGEN_LONG").is_some() { 200 } else { 12 };
    let next = std::sync::atomic::AtomicU64::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if seed >= worlds {
                        break;
                    }
                    let lived = in_virtual_time(foreseen::live(seed));
                    found.lock().unwrap().extend(foreseen::off(seed, &lived));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{} groups of {worlds} worlds:\n{}", found.len(), found.join("\n"));
}

/// Two months of backlog and content destinations: the auditor holds that every day is used to 99 % and followed by the next.
#[test]
fn every_quota_is_used_up_over_sixty_days_and_no_hour_gets_much_more_than_its_share() {
    let even = |seed: &u64| mix(*seed, "spread").is_multiple_of(2);
    let asks = (0..40).filter(even).take(3).map(|seed| RampAsk {
        set_by: None,
        edited: false,
        idles: false,
        calm: true,
        days: 60,
        ..RampAsk::new(seed, Trouble::None)
    });
    all_hold_by(asks.collect(), |ask| {
        let (ramp, mut broken) = ramp_judged(ask);
        broken.extend(auditor::uneven_hours(&ramp));
        let days = ramp.seen.iter().map(|s| s.at.to_zoned(ramp.zone.clone()).date());
        let days = days.collect::<std::collections::BTreeSet<_>>().len();
        broken.extend((days < 60).then(|| format!("mail left on {days} days of 60")));
        broken
    });
}
