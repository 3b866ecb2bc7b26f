//! Courses of small worlds, reckoned by hand.

use jiff::Timestamp;

use super::*;
use crate::config::bare::bare_config_of;
use crate::config::groups_file::Destinations;
use crate::config::plan_file::read_plan;
use crate::config::{Config, settings::RelayLimits};
use crate::core::campaign::CampaignState;
use crate::store::{Pause, PauseCause, Scope};

const BEGIN: &str = "2026-12-01T00:00:00+09:00";

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// Relays that follow a curve each, in one pool in this order, mail leaving evenly from 08:00 to 20:00.
fn config(relays: &[(&str, &str)]) -> Config {
    let groups = Destinations::shipped().groups;
    let plan = |name: &str, curve: &str| {
        let text = format!(
            "plan: {name}\ntimezone: Asia/Tokyo\ndefaults: {{ window: \"08:00-20:00\" }}\ngroups: {{ default: {{ curve: [{curve}] }} }}\n"
        );
        read_plan(&text, name, &groups).value.expect(name)
    };
    let name = |name: &str| name.parse().expect(name);
    let plans = relays.iter().map(|(relay, curve)| (name(relay), plan(relay, curve))).collect();
    let mut config = bare_config_of(groups.clone(), plans);
    config.pools.insert("news".parse().expect("a name"), relays.iter().map(|(relay, _)| name(relay)).collect());
    config
}

fn scene(relays: &[(&str, &str)], lists: &[(&str, u64)]) -> Scene {
    let mut scene = Scene::without_store(config(relays));
    for (list, n) in lists {
        let name = list.parse().expect(list);
        let campaign = made_up_campaign(name, "news".parse().expect("a name"), at(BEGIN));
        scene.add(campaign, [("default".parse().expect("a name"), *n)]);
    }
    scene
}

fn all_well(scene: &Scene, days: u32) -> Forecast {
    forecast(scene, &Outcomes::default(), at(BEGIN), days, STEP)
}

fn leaves(forecast: &Forecast, relay: &str) -> Vec<u64> {
    forecast.days.iter().filter(|day| day.relay.as_str() == relay).map(|day| day.leaves).collect()
}

#[test]
fn the_cold_relay_gets_what_it_needs_and_the_warm_one_the_rest() {
    let foreseen = all_well(&scene(&[("zcold", "50, 70, 100"), ("awarm", "200")], &[("list", 560)]), 10);
    assert_eq!((leaves(&foreseen, "zcold"), leaves(&foreseen, "awarm")), (vec![50, 70, 40], vec![200, 200]));
    let course = foreseen.campaign("list").expect("it is there");
    assert_eq!((course.accepted, course.remaining), (560, 0));
}

#[test]
fn a_deadline_says_what_would_remain_and_what_would_expire() {
    let mut scene = scene(&[("cold", "10")], &[("list", 35)]);
    let schedule = &mut scene.outlook.campaigns[0].current;
    schedule.finish_by = Some(at("2026-12-02T23:59:59+09:00"));
    let course = all_well(&scene, 45).campaigns.remove(0);
    assert_eq!((course.remaining_at_finish_by, course.meets_finish_by()), (Some(15), Some(false)));
    assert_eq!(course.ends.map(|ends| ends.to_string()[..10].to_owned()).as_deref(), Some("2026-12-04"));
    scene.outlook.campaigns[0].current.not_after = Some(at("2026-12-03T00:00:00+09:00"));
    let course = all_well(&scene, 45).campaigns.remove(0);
    assert_eq!((course.accepted, course.expired, course.remaining), (20, 15, 0));
}

#[test]
fn lanes_together_keep_the_accounts_cap_in_any_24_hours() {
    let mut scene = scene(&[("cold", "400")], &[]);
    let relay = scene.config.relays.values_mut().next().map(std::sync::Arc::make_mut).expect("a relay");
    relay.limits = RelayLimits { per_day: std::num::NonZeroU32::new(300), ..RelayLimits::default() };
    let campaign = made_up_campaign("list".parse().expect("a name"), "news".parse().expect("a name"), at(BEGIN));
    scene.add(campaign, ["docomo", "au", "google"].map(|bucket| (bucket.parse().expect("a name"), 1_000)));
    let foreseen = all_well(&scene, 30);
    for day in foreseen.days.chunk_by(|a, b| a.day == b.day) {
        assert!(day.iter().map(|lane| lane.leaves).sum::<u64>() <= 300, "{day:?}");
        assert!(day.iter().filter_map(|lane| lane.limit.as_ref()).all(|limit| limit.code != "quota-spent"), "{day:?}");
    }
    assert_eq!(foreseen.remaining(), 0);
    let codes: Vec<_> = foreseen.days.iter().filter_map(|day| day.limit.as_ref()).map(|limit| limit.code).collect();
    assert!(codes.contains(&"relay-day-full"), "{codes:?}");
}

#[test]
fn lanes_have_even_shares_of_a_cap_that_is_too_small_for_them() {
    for limits in [
        RelayLimits { per_day: std::num::NonZeroU32::new(70), ..RelayLimits::default() },
        RelayLimits { per_hour: std::num::NonZeroU32::new(4), ..RelayLimits::default() },
    ] {
        let mut scene = scene(&[("cold", "400")], &[]);
        scene.config.relays.values_mut().map(std::sync::Arc::make_mut).for_each(|relay| relay.limits = limits.clone());
        let campaign = made_up_campaign("list".parse().expect("a name"), "news".parse().expect("a name"), at(BEGIN));
        scene.add(campaign, ["docomo", "au", "google"].map(|bucket| (bucket.parse().expect("a name"), 1_000)));
        let foreseen = all_well(&scene, 20);
        for day in foreseen.days.chunk_by(|a, b| a.day == b.day) {
            let leaves = || day.iter().map(|lane| lane.leaves);
            assert!(day.len() == 3 && leaves().max() <= leaves().min().map(|least| least + 1), "{limits:?}: {day:?}");
        }
    }
}

#[test]
fn campaigns_share_by_weight_and_a_paused_one_stays() {
    let mut scene = scene(&[("cold", "100")], &[("one", 400), ("three", 400), ("resting", 50)]);
    (scene.outlook.campaigns[0].current.weight, scene.outlook.campaigns[1].current.weight) = (10, 30);
    scene.outlook.campaigns[2].state = CampaignState::Paused;
    let foreseen = all_well(&scene, 4);
    let accepted = |name: &str| foreseen.campaign(name).expect(name).accepted;
    assert_eq!((accepted("one"), accepted("three"), accepted("resting")), (100, 300, 0));
}

#[test]
fn a_pause_ends_when_it_says_and_one_without_end_holds_everything() {
    let mut scene = scene(&[("cold", "10")], &[("list", 10)]);
    let pause = |until| Pause {
        scope: Scope::All,
        cause: PauseCause::Operator,
        reason: "a holiday".to_owned(),
        since: at(BEGIN),
        until,
        times: 1,
    };
    scene.outlook.pauses = vec![pause(Some(at("2026-12-03T00:00:00+09:00")))];
    let ends = all_well(&scene, 45).ends().expect("it ends");
    assert_eq!(&ends.to_string()[..10], "2026-12-03");
    scene.outlook.pauses = vec![pause(None)];
    let foreseen = all_well(&scene, 45);
    assert_eq!((foreseen.ends(), foreseen.remaining()), (None, 10));
    assert!(
        foreseen.days.iter().all(|day| day.limit.as_ref().is_some_and(|limit| limit.because.contains("a holiday")))
    );
}

#[test]
fn deferrals_come_back_and_spend_anew_and_too_many_hold_the_warm_up() {
    let groups = Destinations::shipped().groups;
    let text = "plan: p\ntimezone: Asia/Tokyo\ngroups: { default: { curve: [1_000, 2_000, 4_000] } }\n";
    let plan = read_plan(text, "p", &groups).value.expect("a plan");
    let mut scene = Scene::without_store(assumed_config(plan, groups));
    let campaign = made_up_campaign("list".parse().expect("a name"), ASSUMED.parse().expect("a name"), at(BEGIN));
    scene.add(campaign, [("default".parse().expect("a name"), 5_000)]);
    let with = |shares| forecast(&scene, &Outcomes { all: shares, ..Outcomes::default() }, at(BEGIN), 45, STEP);
    let some = with(OutcomeShares { deferrals: 0.02, ..OutcomeShares::default() });
    let attempts: u64 = some.days.iter().map(|day| day.leaves).sum();
    assert!((5_095..=5_110).contains(&attempts), "{attempts}");
    assert_eq!(some.days.iter().map(|day| day.warmup_day).collect::<Vec<_>>(), [1, 2, 3]);
    let bounces = with(OutcomeShares { bounces: 0.04, ..OutcomeShares::default() });
    assert!(bounces.days.iter().all(|day| day.warmup_day == 1), "{:?}", bounces.days);
    let unknown = with(OutcomeShares { unknown: 0.2, ..OutcomeShares::default() });
    assert!(unknown.remaining() > 4_000, "it stops: {:?}", unknown.days);
}
