//! Rates hold: measured at the release log of the real program against a sink on loopback, with and without reply time.
//!
//! This measures time, so it runs alone: a binary of its own, one test at a time. A machine that stalls for a moment makes the worker
//! lose releases (it may never catch up beyond its burst), which is right but looks like poor use; one retry tells the two
//! apart. A limit passed is never retried.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod lanes_do_not_wait_for_each_other;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::insight;
use support::program::Project;
use support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan};
use support::sink::{Manner, Sink};

static MACHINE: Mutex<()> = Mutex::new(());

/// The machine for oneself.
fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One run: messages a second, seconds, reply time of the sink, connections that this needs.
struct Case {
    rate: usize,
    seconds: usize,
    delay: Duration,
    connections: u32,
}

/// Releases in microseconds, ascending.
fn releases(case: &Case) -> Vec<i64> {
    let sink = Sink::with(Manner { delay: case.delay, ..Manner::default() });
    let project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port).connections(case.connections)]);
    write_plan(&project, "plan.yaml", &[("default", 1_000_000, &format!("{}/s", case.rate))]);
    let campaign = write_campaign(&project, "spring", addresses("example.co.jp", case.rate * case.seconds));
    project.hikagen(&["submit", &campaign]).expect(0);
    project.start("run", &["run", "--until-idle"]).wait(Duration::from_secs(60)).expect(0);
    assert_eq!(sink.count(), case.rate * case.seconds);
    let times = insight::releases(&project.path("hikagen.db"), "one/default");
    assert_eq!(times.len(), case.rate * case.seconds);
    times
}

/// The most releases in any window of one second.
fn most_in_a_second(times: &[i64]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while times[first] <= time - 1_000_000 {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

/// Releases per second between the first and the last, as a share of the rate.
#[allow(clippy::cast_precision_loss)]
fn used(times: &[i64], rate: usize) -> f64 {
    let span = (times[times.len() - 1] - times[0]) as f64 / 1e6;
    (times.len() - 1) as f64 / span / rate as f64
}

#[test]
fn rates_of_ten_a_hundred_and_a_thousand_a_second_hold_and_are_used() {
    let _alone = alone();
    for (rate, seconds) in [(10, 12), (100, 8), (1000, 6)] {
        for (delay, connections) in [(0, 8), (50, 80)] {
            let case = Case { rate, seconds, delay: Duration::from_millis(delay), connections };
            let burst = 2.max(rate / 20);
            let mut shares = Vec::new();
            for _ in 0..2 {
                let times = releases(&case);
                let most = most_in_a_second(&times);
                assert!(most <= rate + burst, "{rate}/s, {delay} ms: {most} left within one second");
                shares.push(used(&times, rate));
                eprintln!(
                    "{rate}/s, {delay} ms: most in a second {most}, used {:.2} %",
                    shares[shares.len() - 1] * 100.0
                );
                if shares[shares.len() - 1] >= 0.99 {
                    break;
                }
            }
            assert!(shares.iter().any(|share| *share >= 0.99), "{rate}/s, {delay} ms: used {shares:?}");
        }
    }
}

#[test]
fn the_measure_sees_a_window_wherever_it_begins() {
    assert_eq!(most_in_a_second(&[0, 999_999, 1_000_000, 1_500_000]), 3);
    assert_eq!(most_in_a_second(&[0, 500_000, 1_000_000, 1_500_000]), 2);
    assert!((used(&[0, 100_000, 200_000], 10) - 1.0).abs() < 1e-9);
}
