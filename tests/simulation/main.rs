//! Worlds in virtual time: the real worker, core and SQLite (in memory) against relays that answer, refuse and break off, with
//! a crash or a stall at one outside call each. A failing world prints the ask that repeats it.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_precision_loss)]

mod auditor;
mod carrier;
mod destination;
mod faulty;
mod foreseen;
mod judge;
mod life;
mod operator;
mod ramp;
#[path = "../support/settings.rs"]
#[allow(dead_code, unreachable_pub)]
mod settings;
mod small;
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

/// The first world of these seeds in which the fault shows by its sign; says which, and in which words.
fn caught<A>(fault: &str, sign: &str, seeds: u64, ask: impl Fn(u64) -> A, judged: impl Fn(A) -> Vec<String>) {
    let by = |seed| judged(ask(seed)).into_iter().find(|words| words.contains(sign)).map(|words| (seed, words));
    let (seed, words) = (0..seeds).find_map(by).unwrap_or_else(|| panic!("{fault} was not seen in any world"));
    let words: String = words.chars().take(150).collect();
    println!("| {fault} | {seed} | {words} |");
}

#[test]
fn planted_faults_are_found() {
    let plant = |seed, planted, mood, restart| Ask { planted, mood, restart, ..Ask::new(seed, Trouble::None) };
    for (planted, mood, restart, sign) in [
        (Planted::ForgetsQuota, Mood::Honest, true, "quota"),
        (Planted::DropsSettles, Mood::Honest, false, "not finished"),
        (Planted::ClaimsTwice, Mood::Honest, false, "not finished"),
        (Planted::Nothing, Mood::ShiftedByOne, false, "called"),
        (Planted::SharesLeases, Mood::Honest, false, "in an hour"),
    ] {
        let fault = if mood == Mood::Honest { format!("{planted:?}") } else { format!("{mood:?}") };
        caught(&fault, sign, 4, |seed| plant(seed, planted, mood, restart), |ask| judged(ask).1);
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

/// The process dies just when it is to write down that a lane stops: the next one must find it out.
#[test]
fn a_lane_that_stops_stands_still_over_a_crash_before_that_was_written_down() {
    let floods = |seed| RampAsk { floods: true, calm: true, days: 8, ..RampAsk::plain(seed) };
    let asks: Vec<RampAsk> = (0..6).map(floods).collect();
    let stops = std::sync::atomic::AtomicU32::new(0);
    all_hold_by(asks, |ask| {
        let at = ramp_judged(ask).0.first_stop;
        stops.fetch_add(u32::from(at > 0), std::sync::atomic::Ordering::SeqCst);
        if at == 0 { Vec::new() } else { ramp_judged(RampAsk { trouble: Trouble::DiesBefore(at), ..ask }).1 }
    });
    assert!(stops.into_inner() > 3, "too few worlds in which a lane stops");
}

/// What is asked of a world, by its seed.
type Worlds<'a> = &'a dyn Fn(u64) -> RampAsk;

/// Each fault of the gate, and the sign by which the auditor sees it in some world of these seeds.
#[test]
fn planted_faults_of_the_gate_are_found() {
    let (plain, days) = (RampAsk::plain, |seed| RampAsk { calm: true, ..RampAsk::plain(seed) });
    let down = |seed| RampAsk { outages: true, own: mix(seed, "own").is_multiple_of(2), ..days(seed) };
    let (flooded, ordered) =
        (|seed| RampAsk { floods: true, ..days(seed) }, |seed| RampAsk { ordered: true, ..days(seed) });
    let faults: [(Planted, Worlds<'_>, &str); 13] = [
        (Planted::DeafToDeferrals, &plain, "deferred"),
        (Planted::DeafToBlocks, &plain, "blocked"),
        (Planted::DeafToAll, &plain, "no advance after a full day"),
        (Planted::ClimbsTwice, &plain, "more than a rung up"),
        (Planted::AlwaysClimbs, &plain, "advanced though"),
        (Planted::BlamesTheLane, &down, "content"),
        (Planted::GivesUp, &down, "no destination refused it"),
        (Planted::StaysDown, &down, "of the outage"),
        (Planted::DeafToUnknowns, &flooded, "went on after its budget"),
        (Planted::ForgetsStops, &flooded, "went on after its budget"),
        (Planted::ForgetsHolds, &ordered, "the operator held it"),
        (Planted::SetsTooHigh, &ordered, "set to warm-up day"),
        (Planted::DeafToPauses, &ordered, "had paused the lane"),
    ];
    for (planted, ask, sign) in faults {
        let ask = |seed| RampAsk { planted, ..ask(seed) };
        caught(&format!("{planted:?}"), sign, 12, ask, |ask| ramp_judged(ask).1);
    }
}

#[test]
fn a_forecast_of_each_groups_end_is_within_its_bound_of_what_the_worker_then_does() {
    let worlds = if std::env::var_os("HIKAGEN_LONG").is_some() { 200 } else { 12 };
    let next = std::sync::atomic::AtomicU64::new(0);
    let (found, errors) = (std::sync::Mutex::new(Vec::new()), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if seed >= worlds {
                        break;
                    }
                    let lived = in_virtual_time(foreseen::live(seed));
                    errors.lock().unwrap().extend(lived.errors());
                    found.lock().unwrap().extend(lived.off(seed));
                }
            });
        }
    });
    let (found, errors) = (found.into_inner().unwrap(), errors.into_inner().unwrap());
    let within = errors.iter().filter(|error| **error <= 0.01).count();
    println!("{within} of {} groups ended within 1 % of the time that was forecast", errors.len());
    assert!(found.is_empty(), "{} groups of {worlds} worlds:\n{}", found.len(), found.join("\n"));
}

/// Two months of backlog and content destinations: the auditor holds that every day is used to 99 % and followed by the next.
#[test]
fn every_quota_is_used_up_over_sixty_days_and_no_hour_gets_much_more_than_its_share() {
    let even = |seed: &u64| mix(*seed, "spread").is_multiple_of(2);
    let asks = (0..40).filter(even).take(3).map(|seed| RampAsk { calm: true, days: 60, ..RampAsk::plain(seed) });
    all_hold_by(asks.collect(), |ask| {
        let (ramp, mut broken) = ramp_judged(ask);
        broken.extend(auditor::uneven_hours(&ramp));
        let days = ramp.seen.iter().map(|s| ramp.day_of(s.at));
        let days = days.collect::<std::collections::BTreeSet<_>>().len();
        broken.extend((days < 60).then(|| format!("mail left on {days} days of 60")));
        broken
    });
}

#[test]
fn what_waits_for_midnight_goes_first_through_the_relay_that_needs_it() {
    assert_eq!(in_virtual_time(small::taken_by_the_warm_relay()), Vec::<String>::new());
}

/// Its cooldown is half a day; a second message may have been in the air already.
#[test]
fn a_block_holds_though_the_store_cannot_record_it() {
    let offered = in_virtual_time(small::offered_behind_a_block_that_cannot_be_recorded());
    assert!((1..=2).contains(&offered), "{offered}");
}
