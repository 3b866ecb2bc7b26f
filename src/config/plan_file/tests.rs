//! Owns the tests of plans: the semantics of curves as tables, the resolving of groups, and reading what was printed.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::config::groups_file::Destinations;
use crate::config::problem::Severity;
use crate::config::shipped::{shipped_plan, shipped_plan_names};
use crate::core::names::BucketName;
use crate::core::plan::{
    AddressForm, AvoidDate, Group, GroupKind, GroupStatus, LanePlan, Limits, Source, Spread, WeekHours,
};
use crate::core::units::Rate;

fn group(name: &str, bucket: &str, kind: GroupKind, rate: &str) -> Group {
    Group {
        name: GroupName::new(name).expect("a name"),
        bucket: BucketName::new(bucket).expect("a name"),
        title: name.to_owned(),
        kind,
        status: GroupStatus::Active,
        confidence: "inferred".to_owned(),
        limits: Limits {
            rate: rate.parse().ok(),
            connections: NonZeroU32::new(2),
            cooldown: Some(Duration::from_secs(3_600)),
            ..Limits::default()
        },
        irregular: AddressForm::Refused,
        notes: Vec::new(),
    }
}

/// Every name that the shipped plans use, with few limits.
fn groups() -> Groups {
    let mut groups = Groups::new(group("default", "default", GroupKind::Global, "1/s"));
    for name in ["docomo", "docomo-legacy", "au", "rakuten", "mvno"] {
        groups.add_group(group(name, name, GroupKind::Carrier, "1/s"));
    }
    groups.add_group(group("softbank", "softbank", GroupKind::Carrier, "1/s"));
    groups.add_group(group("ymobile", "softbank", GroupKind::Carrier, "30/min"));
    groups.add_group(Group { status: GroupStatus::Dead, ..group("au-legacy", "au", GroupKind::Carrier, "1/min") });
    let isps = ["ocn", "plala", "nifty", "biglobe", "sonet", "jcom", "kddi-isp", "jp-isp-other", "jp-freemail-other"];
    for name in isps.iter().chain(&["yahoo-jp"]) {
        groups.add_group(group(name, name, GroupKind::Isp, "2/s"));
    }
    groups.add_group(group("gmail", "google", GroupKind::Global, "5/s"));
    for name in ["outlook", "microsoft365", "icloud", "yahoo-inc"] {
        groups.add_group(group(name, name, GroupKind::Global, "2/s"));
    }
    groups
}

/// The example that operators start from.
const EXAMPLE: &str = include_str!("../../../examples/plan.yaml");

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{} {p}\n", p.severity.as_str())).collect()
}

fn plan(text: &str) -> Plan {
    let read = read_plan(text, "plan.yaml", &groups());
    read.value.unwrap_or_else(|| panic!("{}", told(&read.problems)))
}

/// A plan of one group, docomo.
fn docomo(entry: &str) -> Plan {
    plan(&one(entry))
}

fn one(entry: &str) -> String {
    format!("plan: p\ntimezone: UTC\ngroups:\n  docomo: {entry}\n  default: {{ curve: [50] }}\n")
}

fn lane<'a>(plan: &'a Plan, bucket: &str) -> &'a LanePlan {
    plan.lane(&BucketName::new(bucket).expect("a name"))
}

fn quotas(lane: &LanePlan, days: std::ops::RangeInclusive<u32>) -> Vec<u32> {
    days.map(|day| lane.curve.value.quota(day)).collect()
}

fn refused(entry: &str, words: &str) {
    let read = read_plan(&one(entry), "plan.yaml", &groups());
    assert!(read.value.is_none() && told(&read.problems).contains(words), "{entry}: {}", told(&read.problems));
}

#[test]
fn each_group_of_the_example_means_what_it_says() {
    let plan = plan(EXAMPLE);
    let (docomo, au, softbank) = (lane(&plan, "docomo"), lane(&plan, "au"), lane(&plan, "softbank"));
    assert_eq!(quotas(docomo, 1..=13), [50, 75, 100, 150, 200, 300, 400, 550, 750, 1_000, 1_150, 1_323, 1_521]);
    assert_eq!(quotas(au, 1..=13), quotas(docomo, 1..=13));
    assert_eq!(quotas(softbank, 1..=12), [40, 60, 80, 120, 160, 240, 320, 440, 600, 800, 920, 1_058]);
    assert_eq!((docomo.curve.value.quota(40), softbank.curve.value.quota(400)), (20_000, 20_000));
    assert_eq!(docomo.avoid.value.minutes, [(0, 2), (30, 32)]);
    assert!(docomo.avoid.value.holidays.japan && au.avoid == docomo.avoid);
    let yearly = |month, day| AvoidDate::Yearly { month, day };
    assert_eq!(docomo.avoid.value.dates, [yearly(12, 31), yearly(1, 1)]);
    assert_eq!(docomo.window.value.days[6], [(480, 1_260)]);
    assert_eq!(docomo.window.source, Source::Defaults { line: 16 });
    let entry = |group: &str, line| Source::Entry { group: GroupName::new(group).expect("a name"), line };
    assert_eq!(
        docomo.rate.as_ref().map(|r| (r.value.to_string(), r.source.clone())),
        Some(("60/min".into(), entry("docomo", 24)))
    );
    assert_eq!(au.rate, docomo.rate, "a copied value names the entry it was written in");

    let gmail = lane(&plan, "google");
    assert_eq!(quotas(gmail, 1..=6), [100, 140, 196, 274, 384, 538]);
    assert_eq!(gmail.curve.value.quota(60), 100_000);
    assert_eq!((&gmail.window.value.days[0], &gmail.window.value.days[5]), (&vec![(0, 1_440)], &vec![(540, 1_080)]));
    assert_eq!(quotas(&plan.default, 1..=8), [5, 10, 50, 100, 500, 1_000, 2_000, 4_000]);
    assert_eq!(plan.default.curve.value.quota(400), 10_000);
    let yahoo = lane(&plan, "yahoo-jp");
    assert_eq!((&yahoo.curve.value, yahoo.spread.value), (&plan.default.curve.value, Spread::Even));
    assert_eq!(yahoo.jitter.as_ref().map(|j| j.value.to_string()).as_deref(), Some("20%"));
    assert_eq!(plan.default.gate.advance.complaints.to_string(), "0.1%");
}

#[test]
fn scale_works_on_what_follows_and_up_to_on_what_is_scaled() {
    let days = |entry: &str| quotas(lane(&docomo(entry), "docomo"), 1..=5);
    assert_eq!(days("{ curve: [10, 20, 30] }"), [10, 20, 30, 30, 30]);
    assert_eq!(days("{ curve: [10, 20], then: { grow: 1.5 } }"), [10, 20, 30, 45, 68]);
    assert_eq!(days("{ curve: [10, 20], then: { grow: 1.5, up_to: 40 } }"), [10, 20, 30, 40, 40]);
    assert_eq!(days("{ curve: [10, 20], scale: 50%, then: { grow: 2, up_to: 30 } }"), [5, 10, 20, 30, 30]);
    assert_eq!(days("{ curve: [10, 20], scale: 200%, up_to: 30 }"), [20, 30, 30, 30, 30]);
    assert_eq!(days("{ curve: [1, 2, 3], scale: 10% }"), [1, 1, 1, 1, 1]);
    assert_eq!(days("{ curve: { start: 10, grow: 2, up_to: 50 } }"), [10, 20, 40, 50, 50]);
    assert_eq!(days("{ curve: { start: 10, grow: 2, scale: 50%, up_to: 50 }, scale: 50% }"), [3, 5, 10, 20, 40]);
    assert_eq!(days("{ curve: { preset: vectis-30, scale: 10% } }"), [5, 5, 10, 10, 20]);
}

#[test]
fn a_chain_of_likes_multiplies_its_scales_and_keeps_what_is_nearest() {
    let text = one("{ like: au, scale: 50%, rate: 5/min }")
        + "  au: { like: ocn, scale: 50%, window: \"10:00-12:00\" }\n  ocn: { curve: [100, 200], rate: 9/min, up_to: 150 }\n";
    let plan = plan(&text);
    assert_eq!(quotas(lane(&plan, "docomo"), 1..=2), [25, 50]);
    assert_eq!(quotas(lane(&plan, "au"), 1..=2), [50, 100]);
    assert_eq!(quotas(lane(&plan, "ocn"), 1..=2), [100, 150]);
    let rate = |bucket: &str| lane(&plan, bucket).rate.as_ref().map(|r| r.value.to_string());
    assert_eq!((rate("docomo").as_deref(), rate("au").as_deref()), (Some("5/min"), Some("9/min")));
    assert_eq!(lane(&plan, "docomo").window, lane(&plan, "au").window);
}

#[test]
fn an_own_value_wins_and_otherwise_the_stricter_of_defaults_and_group() {
    let with = |defaults: &str, entry: &str| {
        let text = format!(
            "plan: p\ntimezone: UTC\ndefaults: {{ {defaults} }}\ngroups:\n  docomo: {{ curve: [50], {entry} }}\n  default: {{ curve: [50] }}\n"
        );
        let plan = plan(&text);
        let rate = lane(&plan, "docomo").rate.clone().expect("a rate");
        let source = match rate.source {
            Source::Entry { .. } => "entry",
            Source::Defaults { .. } => "defaults",
            Source::Group(_) => "group",
            Source::BuiltIn => "built in",
        };
        (rate.value.to_string(), source)
    };
    assert_eq!(with("rate: 2/s", "rate: 9/s"), ("9/s".to_owned(), "entry"));
    assert_eq!(with("rate: 2/s", "burst: 5"), ("1/s".to_owned(), "group"));
    assert_eq!(with("rate: 30/min", "burst: 5"), ("30/min".to_owned(), "defaults"));
    assert_eq!(with("spread: even", "burst: 5"), ("1/s".to_owned(), "group"));
}

#[test]
fn groups_of_one_bucket_share_one_lane_and_the_strictest_wins() {
    let rate = |plan: &Plan| lane(plan, "softbank").rate.as_ref().map(|r| r.value);
    let text = |softbank: &str, rest: &str| {
        plan(&format!("plan: p\ntimezone: UTC\ngroups:\n  softbank: {softbank}\n{rest}  default: {{ curve: [50] }}\n"))
    };
    let per = |text: &str| text.parse::<Rate>().ok();
    assert_eq!(rate(&text("{ curve: [60] }", "")), per("30/min"), "the shipped limit of ymobile binds the bucket");
    assert_eq!(rate(&text("{ curve: [60], rate: 2/s }", "")), per("2/s"), "an own value speaks for the bucket");
    assert_eq!(rate(&text("{ curve: [60], rate: 2/s }", "  ymobile: { rate: 10/min }\n")), per("10/min"));
    let joined = text("{ curve: [60], window: \"08:00-12:00\" }", "  ymobile: { window: \"10:00-20:00\" }\n");
    assert_eq!(lane(&joined, "softbank").window.value.days[0], [(600, 720)]);
    assert_eq!(quotas(lane(&joined, "softbank"), 1..=1), [60]);

    let two = "plan: p\ntimezone: UTC\ngroups:\n  softbank: { curve: [60] }\n  ymobile: { curve: [70] }\n  default: { curve: [50] }\n";
    let read = read_plan(two, "plan.yaml", &groups());
    assert!(told(&read.problems).contains("one receiving system"), "{}", told(&read.problems));
    assert!(read_plan(&two.replace("70", "60"), "plan.yaml", &groups()).value.is_some());
    let apart = two.replace("[60]", "[60], window: \"08:00-09:00\"").replace("curve: [70]", "window: \"10:00-11:00\"");
    assert!(told(&read_plan(&apart, "plan.yaml", &groups()).problems).contains("no hour in common"));
}

#[test]
fn windows_are_read_per_weekday_and_over_midnight() {
    let days = |window: &str, starts: &str| {
        let text = format!("day_starts: \"{starts}\"\n{}", one(&format!("{{ curve: [50], window: {window} }}")));
        lane(&plan(&text), "docomo").window.value.clone()
    };
    let all = |ranges: &[(u16, u16)]| WeekHours { days: std::array::from_fn(|_| ranges.to_vec()) };
    assert_eq!(days("\"08:00-21:00\"", "00:00"), all(&[(480, 1_260)]));
    assert_eq!(days("[\"13:00-24:00\", 08:00-12:00]", "00:00"), all(&[(480, 720), (780, 1_440)]));
    assert_eq!(days("[\"08:00-12:00\", \"11:00-13:00\"]", "00:00"), all(&[(480, 780)]));
    assert_eq!(days("\"22:00-02:00\"", "04:00"), all(&[(1_320, 1_560)]));
    assert_eq!(days("\"22:00-00:00\"", "00:00"), all(&[(1_320, 1_440)]));
    let some = days("{ fri-mon: \"09:00-10:00\", \"tue,thu\": [\"11:00-12:00\"] }", "00:00");
    assert_eq!(some.days.each_ref().map(Vec::len), [1, 1, 0, 1, 1, 1, 1]);
    assert_eq!((some.days[0][0], some.days[3][0]), ((540, 600), (660, 720)));
    refused("{ curve: [50], window: \"22:00-02:00\" }", "may not cross day_starts (00:00)");
    for bad in
        ["\"8-21\"", "\"08:00-25:00\"", "\"08:00-08:00\"", "\"24:00-08:00\"", "{}", "{ monday: \"08:00-09:00\" }", "[]"]
    {
        refused(&format!("{{ curve: [50], window: {bad} }}"), "expected");
    }
    refused("{ curve: [50], window: { mon-wed: \"08:00-09:00\", tue: \"10:00-11:00\" } }", "tue is there twice");
}

#[test]
fn avoided_times_take_every_written_form() {
    let avoid = |text: &str| lane(&docomo(&format!("{{ curve: [50], avoid: {text} }}")), "docomo").avoid.value.clone();
    assert_eq!(avoid("{ minutes: [\"58-02\", 30, \"31-33\"] }").minutes, [(0, 2), (30, 33), (58, 59)]);
    let dates = avoid("{ dates: [\"02-29\", 2026-12-30] }").dates;
    assert_eq!(dates, [AvoidDate::Yearly { month: 2, day: 29 }, AvoidDate::Once(date(2026, 12, 30))]);
    let holidays = avoid("{ holidays: { japan: true, also: [2026-08-13], except: [2026-11-23] } }").holidays;
    assert!(holidays.japan && holidays.also == [date(2026, 8, 13)] && holidays.except == [date(2026, 11, 23)]);
    for bad in
        ["{ dates: [\"02-30\"] }", "{ dates: [\"2026-02-29\"] }", "{ minutes: [60] }", "{ holidays: france }", "now"]
    {
        refused(&format!("{{ curve: [50], avoid: {bad} }}"), "expected");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (entry, words) in [
        ("{ curve: [] }", "expected 1 to 1000 daily volumes"),
        ("{ curve: [50, 0] }", "above zero"),
        ("{ curve: { start: 50, grow: 0.9 } }", "above 1"),
        ("{ curve: { start: 50, grow: NaN } }", "above 1"),
        ("{ curve: { start: 50 } }", "\"grow\" is missing"),
        ("{ curve: { preset: braze-moderat } }", "did you mean \"braze-moderate\""),
        ("{ curve: { start: 50, grow: 1.1 }, then: { grow: 1.1 } }", "no end for \"then\""),
        ("{ scale: 50% }", "needs a curve"),
        ("{ like: au }", "the plan has no entry \"au\""),
        ("{ like: docomo }", "in a circle: docomo, like docomo"),
        ("{ curve: [50], rate: 1/day, burst: 1_000_000 }", "more than the throttle can count"),
        ("{ curve: [50], jitter: 120% }", "at most 100%"),
        ("{ curve: [50], cooldown: 2d }", "at most 24h"),
        ("{ curve: [50], spread: evn }", "did you mean \"even\""),
        ("{ curve: [50], rate: ~ }", "got nothing"),
        ("50", "expected a map"),
    ] {
        refused(entry, words);
    }
}

#[test]
fn a_deep_default_burst_is_reported_once() {
    let text = one("{ curve: [50] }").replace("groups:", "defaults: { rate: 1/day, burst: 1_000_000 }\ngroups:");
    let read = read_plan(&text, "plan.yaml", &groups());
    assert_eq!(read.problems.len(), 1, "{}", told(&read.problems));
}

#[test]
fn lints_point_at_what_was_probably_not_meant() {
    let lints = |entry: &str, rest: &str| {
        let read = read_plan(&(one(entry) + rest), "plan.yaml", &groups());
        assert!(read.value.is_some(), "{}", told(&read.problems));
        assert!(read.problems.iter().all(|p| p.severity == Severity::Lint));
        told(&read.problems)
    };
    assert_eq!(lints("{ curve: [50, 75, 150] }", ""), "");
    assert!(
        lints("{ curve: [50, 75, 151, 400] }", "")
            .contains("day 3 steps up from 75 to 151, more than twice; so does day 4")
    );
    assert!(lints("{ curve: [201] }", "").contains("much for the first day of a new IP: docomo 201"));
    assert!(lints("{ curve: [100, 20] }", "").contains("day 2 falls from 100 to 20"));
    assert!(lints("{ rate: 1/s }", "").contains("docomo has no curve"));
    assert_eq!(lints("{ like: default }", ""), "");
    let slow = lints("{ curve: [50, 100, 200], rate: 1/min, window: \"10:00-12:00\" }", "  au: { like: docomo }\n");
    assert!(slow.contains("a rate of 1/min adds up to 120 in a day at best; from warm-up day 3"), "{slow}");
    assert!(slow.contains("(200): au, docomo"), "{slow}");
    let hourly = lints("{ curve: [50, 100, 200], per_hour: 30, window: \"10:00-12:30\" }", "");
    assert!(hourly.contains("a cap of 30 per hour adds up to 90"), "{hourly}");
    assert!(
        lints("{ curve: [50], avoid: { minutes: [\"00-59\"] } }", "").contains("nothing would ever leave for docomo")
    );
}

#[test]
fn another_zone_than_the_configurations_is_pointed_out() {
    let file = SourceFile::new("plan.yaml", &one("{ curve: [50] }"));
    let plan = read_plan_file(&file, &groups()).value.expect("a plan");
    let tokyo = TimeZone::get("Asia/Tokyo").expect("a zone");
    let lint = timezone_differs(&file, &plan, &tokyo).expect("a lint");
    assert_eq!((lint.severity, lint.span.map(|s| s.line)), (Severity::Lint, Some(2)));
    assert_eq!(timezone_differs(&file, &plan, &TimeZone::get("UTC").expect("a zone")), None);
}

#[test]
fn every_shipped_plan_reads_without_a_problem() {
    for name in shipped_plan_names() {
        let text = shipped_plan(name).expect(name);
        let read = read_plan(text, name, &Destinations::shipped().groups);
        let plan = read.value.unwrap_or_else(|| panic!("{}", told(&read.problems)));
        assert_eq!(plan.name.as_str(), name);
        let unexpected: Vec<_> =
            read.problems.iter().filter(|p| !p.message.contains("much for the first day")).collect();
        assert!(unexpected.is_empty(), "{}", told(&read.problems));
        assert!(name == "steady" || read.problems.is_empty());
    }
    let japan = plan(shipped_plan("japan-28").expect("japan-28"));
    for (bucket, days) in [
        ("docomo", [50, 75, 100, 200, 400, 1_000, 2_500, 8_000, 20_000]),
        ("yahoo-jp", [50, 75, 100, 250, 500, 1_500, 4_000, 15_000, 40_000]),
        ("ocn", [30, 40, 60, 120, 250, 600, 1_500, 5_000, 12_000]),
        ("google", [100, 200, 400, 1_000, 2_000, 5_000, 12_000, 40_000, 100_000]),
        ("icloud", [50, 100, 150, 400, 800, 2_000, 5_000, 15_000, 40_000]),
    ] {
        let read: Vec<_> =
            [1, 2, 3, 5, 7, 10, 14, 21, 28].map(|day| lane(&japan, bucket).curve.value.quota(day)).into();
        assert_eq!(read, days, "{bucket}");
    }
}

/// What a plan means, without where it was written.
fn meaning(plan: &Plan) -> String {
    let lanes: Vec<_> = plan.lanes.iter().map(|(bucket, lane)| (bucket, lane_meaning(lane))).collect();
    format!("{} {:?} {} {lanes:#?} {}", plan.name, plan.timezone, plan.day_starts, lane_meaning(&plan.default))
}

fn lane_meaning(lane: &LanePlan) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        lane.gate,
        lane.throttling,
        lane.unknown_budget.value,
        lane.curve.value,
        lane.rate.as_ref().map(|v| v.value),
        lane.burst.as_ref().map(|v| v.value),
        lane.per_hour.as_ref().map(|v| v.value),
        lane.connections.as_ref().map(|v| v.value),
        lane.messages_per_connection.as_ref().map(|v| v.value),
        lane.window.value,
        lane.avoid.value,
        lane.spread.value,
        lane.jitter.as_ref().map(|v| v.value),
        lane.transactional.as_ref().map(|v| &v.value),
        lane.cooldown.value,
    )
}

fn prints_back(text: &str) {
    let first = plan(text);
    let printed = show_plan(&first, &groups());
    let read = read_plan(&printed, "printed.yaml", &groups());
    let second = read.value.unwrap_or_else(|| panic!("{printed}\n{}", told(&read.problems)));
    assert_eq!(meaning(&first), meaning(&second), "{printed}");
    assert_eq!(show_plan(&second, &groups()), printed);
}

#[test]
fn plans_print_back_what_was_read() {
    prints_back(EXAMPLE);
    for name in shipped_plan_names() {
        prints_back(shipped_plan(name).expect(name));
    }
}

fn curves() -> impl Strategy<Value = String> {
    let share = (1_u32..30_000).prop_map(|n| format!("{}.{:02}%", n / 100, n % 100));
    let scale = prop::option::of(share).prop_map(|s| s.map_or(String::new(), |s| format!(", scale: {s}")));
    let up_to = prop::option::of(1_u32..).prop_map(|n| n.map_or(String::new(), |n| format!(", up_to: {n}")));
    let grow = (1_001_u32..3_000).prop_map(|n| f64::from(n) / 1_000.0);
    let then = prop::option::of((grow.clone(), up_to.clone()))
        .prop_map(|t| t.map_or(String::new(), |(grow, up_to)| format!(", then: {{ grow: {grow}{up_to} }}")));
    let list = prop::collection::vec(1_u32.., 1..20);
    prop_oneof![
        (list, scale.clone(), up_to.clone(), then.clone()).prop_map(|(l, s, u, t)| format!("curve: {l:?}{s}{u}{t}")),
        (1_u32.., grow, scale.clone(), up_to.clone())
            .prop_map(|(start, grow, s, u)| format!("curve: {{ start: {start}, grow: {grow}{s}{u} }}")),
        (prop::sample::select(vec!["vectis-30", "braze-moderate"]), scale, up_to, then)
            .prop_map(|(name, s, u, t)| format!("curve: {{ preset: {name}{s} }}{u}{t}")),
    ]
}

fn hours() -> impl Strategy<Value = String> {
    let range = (0_u16..1_439, 1_u16..=1_440).prop_filter_map("an empty range", |(from, to)| {
        // Days begin at 04:00 below: a range over midnight must keep clear of it.
        let fits = from != to && (from < to || (to <= 240 && from >= 240));
        fits.then(|| format!("\"{:02}:{:02}-{:02}:{:02}\"", from / 60, from % 60, to / 60, to % 60))
    });
    let list = prop::collection::vec(range, 1..4).prop_map(|ranges| format!("[{}]", ranges.join(", ")));
    let map = prop::collection::btree_map(
        prop::sample::select(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
        list.clone(),
        1..7,
    );
    prop_oneof![
        list,
        map.prop_map(|days| {
            let days: Vec<_> = days.into_iter().map(|(day, hours)| format!("{day}: {hours}")).collect();
            format!("{{ {} }}", days.join(", "))
        }),
    ]
}

fn entries() -> impl Strategy<Value = String> {
    let minutes = prop::collection::vec((0_u8..60, 0_u8..60).prop_map(|(a, b)| format!("\"{a:02}-{b:02}\"")), 0..4);
    let settings = (
        prop::option::of((1_u32..1_000, prop::sample::select(vec!["s", "min", "hour", "day", "10s"]))),
        prop::option::of(1_u32..100_000),
        prop::option::of(1_u32..100_000),
        prop::option::of(hours()),
        prop::option::of(minutes),
        prop::option::of(prop::sample::select(vec!["even", "asap"])),
        prop::option::of(prop::sample::select(vec!["none", "5%", "100%", "0.01%"])),
        prop::option::of(1_u32..86_400),
    );
    (curves(), settings, prop::option::of(hours())).prop_map(|(curve, settings, transactional)| {
        let (rate, burst, per_hour, window, minutes, spread, jitter, cooldown) = settings;
        let mut out = vec![curve];
        out.extend(rate.map(|(n, per)| format!("rate: {n}/{per}")));
        out.extend(burst.map(|n| format!("burst: {n}")));
        out.extend(per_hour.map(|n| format!("per_hour: {n}")));
        out.extend(window.map(|w| format!("window: {w}")));
        out.extend(
            minutes.map(|m| format!("avoid: {{ minutes: [{}], dates: [\"12-31\"], holidays: japan }}", m.join(", "))),
        );
        out.extend(spread.map(|s| format!("spread: {s}")));
        out.extend(jitter.map(|j| format!("jitter: {j}")));
        out.extend(cooldown.map(|s| format!("cooldown: {s}s")));
        out.extend(transactional.map(|w| format!("transactional: {{ window: {w} }}")));
        format!("{{ {} }}", out.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_prints_back_what_was_read(docomo in entries(), softbank in entries(), default in entries()) {
        prints_back(&format!(
            "plan: any\ntimezone: Europe/Berlin\nday_starts: \"04:00\"\ngroups:\n  docomo: {docomo}\n  \
             softbank: {softbank}\n  ocn: {{ like: docomo, scale: 50% }}\n  default: {default}\n"
        ));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\\n\\t春:{}\\[\\],\"'-]{0,200}") {
        let _ = read_plan(&text, "any.yaml", &groups());
    }

    #[test]
    fn no_damage_to_a_plan_makes_the_reader_panic(at in 0_usize..900, junk in "[ -~\\n\\t春]{0,12}", cut in 0_usize..40) {
        let (from, to) = (EXAMPLE.floor_char_boundary(at), EXAMPLE.floor_char_boundary(at + cut));
        let _ = read_plan(&format!("{}{junk}{}", &EXAMPLE[..from], &EXAMPLE[to..]), "any.yaml", &groups());
    }
}
