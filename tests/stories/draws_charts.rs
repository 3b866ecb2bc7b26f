//! Charts as their reader sees them: drawn by a real browser, light and dark, measured there.

use hikagen::report::chart::status_chart;
use hikagen::report::overview::overview;
use serde_json::Value;

use crate::commands_answer::submitted;
use crate::prepared::{config, morning, tokyo};
use crate::support::chromium::measure;
use crate::support::program::Project;

/// Draws it light and dark; fails where something leaves the picture, covers something else or can hardly be seen.
fn looked_at(svg: &str, marks: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let [light, dark] = [false, true].map(|dark| measure(svg, folder.path(), dark));
    assert_ne!(light["ground"], dark["ground"], "the chart does not follow the reader's setting");
    for measured in [&light, &dark] {
        let none = Value::Array(Vec::new());
        assert_eq!((&measured["outside"], &measured["over"]), (&none, &none), "{measured:#}");
        assert!(measured["letters"].as_f64().unwrap() >= 4.5, "{measured:#}");
        for mark in marks {
            assert!(measured[*mark].as_f64().unwrap() >= 3.0, "{mark}: {measured:#}");
        }
    }
    let texts = light["texts"].as_array().unwrap();
    texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_is_drawn_with_every_curve_its_days_and_who_follows() {
    let project = Project::empty();
    let svg = project.hikagen(&["plan", "show", "japan-28", "--svg"]).expect(0).out;
    let texts = looked_at(&svg, &["lines"]);
    for text in ["Plan japan-28", "docomo: 50 to 20,000", "google: 100 to 100,000", "1", "27", "100", "1,000,000"] {
        assert!(texts.iter().any(|shown| shown == text), "{text} is not in {texts:?}");
    }
    assert!(texts.iter().any(|text| text.contains("softbank (softbank, ymobile)")), "{texts:?}");
}

#[test]
fn a_forecast_is_drawn_with_what_leaves_each_day_and_what_still_waits() {
    let project = Project::empty();
    let command = ["plan", "forecast", "japan-28", "--size", "1000000", "--start", "2026-12-01", "--svg"];
    let texts = looked_at(&project.hikagen(&command).expect(0).out, &["lines"]);
    for text in ["Forecast", "120,000", "12-01", "assumed: 1,000,000 messages"] {
        assert!(texts.iter().any(|shown| shown == text), "{text} is not in {texts:?}");
    }
}

#[test]
fn a_plan_of_many_curves_in_a_file_with_a_japanese_name_is_drawn() {
    let project = Project::empty();
    let name = "春の予熱計画（新しいIPアドレスと、とても長い名前のついたファイル）＜＆＞ <b>&amp;.yaml".repeat(2);
    let groups = "docomo au softbank gmail outlook icloud yahoo-jp ocn nifty biglobe sonet";
    let mut text = "plan: many\ntimezone: Asia/Tokyo\ngroups:\n  default: { curve: [4_000_000_000] }\n".to_owned();
    for (n, group) in groups.split(' ').enumerate() {
        text += &format!("  {group}: {{ curve: {{ start: {}, grow: 1.{} }} }}\n", n + 1, n + 1);
    }
    project.write(&name, text);
    project.hikagen(&["plan", "show", &name, "--days", "300", "--svg=chart.svg"]).expect(0).says("wrote chart.svg");
    let svg = project.read("chart.svg");
    assert!(svg.contains("stroke-dasharray:7 4"), "the ninth curve has the first one's colour, and dashes");
    let texts = looked_at(&svg, &["lines"]);
    assert!(texts.iter().any(|text| text.starts_with("春の予熱計画") && text.ends_with('…')), "{texts:?}");
}

#[test]
fn the_plan_day_is_drawn_with_spent_and_planned_of_each_lane() {
    let project = submitted();
    project.hikagen(&["pause", "--all", "--reason", "価格が<間違い>でした", "--json"]).expect(0);
    let svg = project.hikagen(&["status", "--svg"]).expect(0).out;
    let texts = looked_at(&svg, &["bars"]);
    let lane = texts.iter().position(|text| text == "docomo").unwrap_or_else(|| panic!("{texts:?}"));
    assert!(texts[lane + 1].starts_with("0 of 50, day 1, "), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("価格が<間違い>でした")), "{texts:?}");
    let all = project.hikagen(&["status", "--all", "--svg"]).expect(0).out;
    assert!(looked_at(&all, &["bars"]).len() > 2 * texts.len());
}

/// The widths of a lane's two bars: its quota and what is spent of it.
fn bars(svg: &str, lane: &str) -> Vec<f64> {
    let of_lane = svg.lines().filter(|line| line.starts_with("<rect") && line.contains(&format!("<title>{lane}: ")));
    of_lane.map(|bar| bar.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_bar_is_as_long_as_the_share_that_is_spent() {
    let (store, config) = (morning().await, config());
    let mut overview = overview(&*store, &config, tokyo("11:15"), false).await.unwrap();
    let lanes = &mut overview.relays[0].lanes;
    let docomo = lanes.iter().position(|lane| lane.lane == "tokyo-new/docomo").unwrap();
    assert_eq!((lanes[docomo].spent, lanes[docomo].quota), (5, 5));
    let full = bars(&status_chart(&overview, &config), "tokyo-new/docomo");
    assert!(full.len() == 2 && full[0] > 100.0 && (full[0] - full[1]).abs() < 0.2, "{full:?}");
    for (spent, quota, share) in [(1, 4, 0.25), (0, 4, 0.0), (9, 4, 1.0), (0, 0, 0.0)] {
        let lane = &mut overview.relays[0].lanes[docomo];
        (lane.spent, lane.quota) = (spent, quota);
        let drawn = bars(&status_chart(&overview, &config), "tokyo-new/docomo");
        assert!((drawn[0] * share - drawn[1]).abs() < 0.2, "{spent} of {quota}: {drawn:?}");
    }
}

#[test]
fn a_chart_goes_where_it_is_told_and_over_no_other_file() {
    let project = Project::of_examples();
    let show = |option: &str, more: &[&str]| project.hikagen(&[&["plan", "show", "plan.yaml", option], more].concat());
    let before = project.read("plan.yaml");
    show("--svg=plan.yaml", &[]).expect(1).says("plan.yaml is there and is no chart: nothing was written");
    assert_eq!(project.read("plan.yaml"), before);
    assert_eq!(show("--svg=a.svg", &["--json"]).expect(0).json()["svg"], "a.svg");
    show("--svg=a.svg", &[]).expect(0).says("wrote a.svg");
    show("--svg=no/such/folder.svg", &[]).expect(1).says("no/such/folder.svg");
    show("--svg", &["--json"]).expect(2).says("take one of them");
    show("--svg", &["--yaml"]).expect(2);
    assert!(show("--svg", &["--days", "3"]).expect(0).out.starts_with("<svg xmlns="));
}
