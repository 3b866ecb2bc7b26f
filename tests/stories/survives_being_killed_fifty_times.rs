//! kill -9 of the real program at fifty random moments: nothing lost, repeats no more than were in the air, no lane over quota.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hikagen::core::campaign::MessageState;

use crate::support::insight;
use crate::support::program::{Project, Running};
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use crate::support::sink::{Manner, Sink};
use crate::support::until;

const MESSAGES: usize = 20_000;
const KILLS: usize = 50;
/// docomo gets more mail than its quota, so that a lane that spends twice would be seen.
const DOCOMO_MAIL: usize = 5_000;
const DOCOMO_QUOTA: u32 = 4_000;

/// Random moments, told by how much has arrived: ascending, all of them inside the run.
fn moments() -> Vec<usize> {
    let mut seed = [0u8; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed = u64::from_ne_bytes(seed);
    eprintln!("moments drawn from seed {seed}");
    let mut state = seed;
    let mut draw = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let room = u64::try_from(MESSAGES - DOCOMO_MAIL).unwrap();
    let mut all: Vec<usize> = (0..KILLS).map(|_| usize::try_from(draw() % room).unwrap()).collect();
    all.sort_unstable();
    all
}

fn project(sink: &Sink) -> Project {
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port).connections(8)]);
    write_plan(
        &project,
        "plan.yaml",
        &[("docomo", DOCOMO_QUOTA, "400/s"), ("au", 100_000, "700/s"), ("default", 100_000, "700/s")],
    );
    let rest = (MESSAGES - DOCOMO_MAIL) / 2;
    let list = [
        addresses("docomo.ne.jp", DOCOMO_MAIL),
        addresses("au.com", rest),
        addresses("example.co.jp", MESSAGES - DOCOMO_MAIL - rest),
    ]
    .concat();
    let campaign = write_campaign(&project, "spring", list);
    project.hikagen(&["submit", &campaign]).expect(0);
    project
}

fn run(project: &Project) -> Running {
    project.start("run", &["run", "--until-idle"])
}

#[test]
fn fifty_kills_lose_nothing_and_repeat_only_what_was_in_the_air() {
    let sink = Sink::with(Manner::default());
    let project = project(&sink);
    let store = project.path("hikagen.db");
    let mut may_repeat = 0;
    for moment in moments() {
        let mut worker = run(&project);
        loop {
            let reached = until("the moment to kill", Duration::from_secs(60), || {
                let ended = worker.ended();
                (ended.is_some() || sink.count() >= moment).then_some(ended.is_none())
            });
            if reached {
                break;
            }
            // All that is left is parked, after so many kills: the operator has it tried again.
            let parked = insight::messages(&store, "spring", MessageState::Parked);
            assert!(!parked.is_empty(), "the worker ended by itself before {moment} had arrived:\n{}", worker.log());
            insight::retry_parked(&store, &parked);
            worker = run(&project);
        }
        worker.kill();
        may_repeat += insight::in_the_air(&store);
    }
    finish(&project);

    let (arrived, repeats) = tell_repeats(&sink);
    eprintln!("{KILLS} kills: {may_repeat} were in the air, {repeats} came twice");
    assert!(repeats <= may_repeat, "{repeats} repeats, but only {may_repeat} were in the air");
    let states = insight::states(&store, "spring");
    let of = |state| states.get(&state).copied().unwrap_or(0);
    let (accepted, waiting, deferred) =
        (of(MessageState::Accepted), of(MessageState::Queued), of(MessageState::Deferred));
    assert_eq!(accepted + waiting + deferred, MESSAGES, "{states:?}");
    assert!(waiting + deferred >= DOCOMO_MAIL - DOCOMO_QUOTA as usize, "docomo went over its quota: {states:?}");
    assert!(arrived.len() >= accepted, "{accepted} said to be accepted, {} arrived", arrived.len());
    let others = arrived.iter().filter(|address| !address.ends_with("@docomo.ne.jp")).count();
    assert_eq!(others, MESSAGES - DOCOMO_MAIL, "a lane with quota left did not finish");
    let docomo = sink.arrivals().iter().filter(|a| a.to[0].ends_with("@docomo.ne.jp")).count();
    assert!(docomo <= DOCOMO_QUOTA as usize, "docomo took {docomo} of a quota of {DOCOMO_QUOTA}");
    project.hikagen(&["audit"]).expect(0);
}

/// Runs to the end of what this plan day allows, settling what was parked on the way.
fn finish(project: &Project) {
    for _ in 0..10 {
        run(project).wait(Duration::from_secs(120)).expect(0);
        let parked = insight::messages(&project.path("hikagen.db"), "spring", MessageState::Parked);
        let [first, rest @ ..] = parked.as_slice() else { return };
        project.hikagen(&["message", "settle", &first.id.to_string(), "--retry"]).expect(0);
        insight::retry_parked(&project.path("hikagen.db"), rest);
    }
    panic!("messages are parked again and again");
}

/// Addresses that arrived, and how many arrivals were repeats. Repeats keep their Message-ID.
fn tell_repeats(sink: &Sink) -> (BTreeSet<String>, usize) {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let arrivals = sink.arrivals();
    for arrival in &arrivals {
        assert_eq!(arrival.to.len(), 1);
        ids.entry(arrival.to[0].clone()).or_default().insert(arrival.message_id.clone());
    }
    let changed: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(changed.is_empty(), "repeated under another Message-ID: {changed:?}");
    let repeats = arrivals.len() - ids.len();
    (ids.into_keys().collect(), repeats)
}
