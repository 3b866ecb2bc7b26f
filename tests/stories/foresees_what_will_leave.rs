//! `plan forecast` and the word about the future at `submit`, as an operator and a build meet them.

use crate::support::program::Project;

#[test]
fn a_plan_by_itself_is_forecast_and_a_build_can_hold_it_to_a_date() {
    let project = Project::empty();
    let command = ["plan", "forecast", "japan-28", "--size", "100000", "--start", "2026-12-01"];
    let with = |more: &[&str]| project.hikagen(&[&command[..], more].concat());
    with(&[])
        .expect(0)
        .says("one relay is assumed")
        .says("evenly over 21 buckets")
        .says("the quota of the day is spent");
    with(&["--mix", "docomo=30%,gmail=40%"]).expect(0).says("mixed docomo=30%, gmail=40%, the rest default");
    with(&["--assert", "finish <= 2026-12-20", "--assert", "expired == 0", "--assert", "remaining == 0"]).expect(0);
    let late = with(&["--assert", "finish <= 2026-12-05"]).expect(1);
    assert!(late.err.contains("not met: finish <= 2026-12-05: it finishes at 2026-12-1"), "{}", late.err);
    let wrong = with(&["--assert", "finish before 2026-12-05"]).expect(2);
    assert!(wrong.err.contains("expected `finish <= 2026-12-05`"), "{}", wrong.err);
    with(&["--mix", "docomo=80%,gmail=40%"]).expect(2);
    with(&["--mix", "docmo=80%"]).expect(2);
    let json = with(&["--json", "--bounces", "1%", "--assert", "expired == 0"]).expect(0).json();
    assert_eq!(json["campaigns"][0]["waiting"], 100_000);
    assert_eq!(
        (&json["days"][0]["limit"]["code"], &json["days"][0]["verdict"]),
        (&"quota-spent".into(), &"advance".into())
    );
    assert_eq!(json["expectations"][0]["met"], true);
}

#[test]
fn what_waits_in_the_store_is_forecast_under_the_configuration() {
    let project = Project::of_examples();
    let said = project.hikagen(&["submit", "campaign.yaml", "--dry-run"]).expect(0);
    said.says("forecast: done on ");
    let answer = project.hikagen(&["submit", "campaign.yaml", "--json"]).expect(0).json();
    assert_eq!(
        (&answer["forecast"]["remaining"], &answer["forecast"]["warnings"]),
        (&0.into(), &serde_json::json!([]))
    );
    project.hikagen(&["plan", "forecast", "--assert", "remaining(spring-sale-2026) == 0"]).expect(0).says("6 messages");
    let none = project.hikagen(&["plan", "forecast", "--assert", "remaining(autumn) == 0"]).expect(1);
    assert!(none.err.contains("no open campaign is autumn"), "{}", none.err);
    let sized = project.hikagen(&["plan", "forecast", "--size", "1_000_000", "--svg=chart.svg"]).expect(0);
    sized.says("wrote chart.svg");
    assert!(project.read("chart.svg").starts_with("<svg"));
}

#[test]
fn submit_says_that_the_plans_cannot_carry_a_list_in_time() {
    let project = Project::of_examples();
    let head = project.read("recipients.csv").lines().next().unwrap().to_owned();
    let rest = ",1".repeat(head.split(',').count() - 1);
    let rows: String = (0..30_000).map(|n| format!("a{n}@docomo.ne.jp{rest}\n")).collect();
    project.write("recipients.csv", format!("{head}\n{rows}"));
    let slow = "plan: slow\ntimezone: Asia/Tokyo\ngroups: { default: { curve: [100] } }\n";
    project.write("plan.yaml", slow);
    let config = project.read("hikagen.yaml").replace("plan: steady", "plan: plan.yaml");
    project.write("hikagen.yaml", config);
    let said = project.hikagen(&["submit", "campaign.yaml"]).expect(0);
    said.says("is not met: ").says("messages would remain then").says("messages would expire at not_after");
}
