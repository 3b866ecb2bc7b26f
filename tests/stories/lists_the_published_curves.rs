//! The published curves: every one as the program lists it and as the core plays it, day by day, against a table; and every
//! entry of the collection that they were taken from, with the reason where it is no curve.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::read_plan;
use serde_json::Value;

use crate::support::program::Project;

/// Days beyond a curve's end that the table shows: the last value stays.
const BEYOND: u32 = 2;

enum Fate {
    /// Is the preset of this name.
    Preset(&'static str),
    /// Is several: a curve for each provider.
    Presets(&'static [&'static str]),
    /// Is no curve, because.
    LeftOut(&'static str),
}
use Fate::{LeftOut, Preset, Presets};

/// What was found published, by the collection's own names.
const FOUND: [(&str, Fate); 25] = [
    ("sparkpost_auto_29", Preset("sparkpost-auto-29")),
    ("sendgrid_auto_hourly", Preset("sendgrid-auto-hourly")),
    ("sendgrid_manual_2017", Preset("sendgrid-manual-2017")),
    ("braze_conservative", Preset("braze-conservative")),
    ("braze_moderate", Preset("braze-moderate")),
    ("hyvor_default_30", Preset("hyvor-default-30")),
    ("mailtrap_21_daily", Preset("mailtrap-21-daily")),
    ("mailtrap_21_hourly", LeftOut("the hourly cap inside mailtrap-21-daily: 24 of them are far above its day")),
    ("leadconnector_15_stages", Preset("leadconnector-15-stages")),
    ("mailgun_stages", LeftOut("one example answer of an API; the table of stages is not published")),
    ("vectis_30", Preset("vectis-30")),
    ("acelle_sparse", Preset("acelle-sparse")),
    (
        "acelle_by_isp_percent",
        Presets(&["acelle-gmail-percent", "acelle-outlook-percent", "acelle-yahoo-percent", "acelle-icloud-percent"]),
    ),
    ("mailrush_90", Preset("mailrush-90")),
    ("agentmail_21", LeftOut("a range of volumes for each span of days, and nothing that picks one of them")),
    ("postscale_phases", LeftOut("a range of volumes for each two weeks, and nothing that picks one of them")),
    ("onesignal_growth", Preset("onesignal-growth")),
    ("engagednation_levels", Preset("engagednation-levels")),
    ("e2a_linear", Preset("e2a-linear")),
    ("momentum_yahoo", Preset("momentum-yahoo")),
    ("momentum_aol", Preset("momentum-aol")),
    ("momentum_gmail_and_hotmail", Preset("momentum-gmail-and-hotmail")),
    ("momentum_other", Preset("momentum-other")),
    ("warmbly_mailbox", Preset("warmbly-mailbox")),
    ("amazon_ses_standard", LeftOut("45 days without figures: the percentages are not published")),
];

fn listed() -> Vec<Value> {
    let answer = Project::empty().hikagen(&["plan", "curves", "--json"]).expect(0).json();
    answer.as_array().unwrap().clone()
}

/// What the core allows on each day of a plan whose every lane follows the curve, in lines of at most 120 characters.
fn played(name: &str, days: u32) -> String {
    let text = format!("plan: p\ntimezone: UTC\ngroups:\n  default: {{ curve: {{ preset: {name} }} }}\n");
    let plan = read_plan(&text, name, &Destinations::shipped().groups).value.expect(name);
    let quotas: Vec<u32> = (1..=days).map(|day| plan.default.curve.value.quota(day)).collect();
    let mut lines = vec![String::from(" ")];
    for quota in quotas {
        let word = format!(" {quota}");
        if lines.last().unwrap().len() + word.len() > 120 {
            lines.push(String::from(" "));
        }
        lines.last_mut().unwrap().push_str(&word);
    }
    lines.join("\n")
}

#[test]
fn every_curve_plays_as_the_table_says() {
    let mut table = String::new();
    for curve in listed() {
        let days = u32::try_from(curve["days"].as_u64().unwrap()).unwrap();
        let name = curve["curve"].as_str().unwrap();
        let _ = writeln!(table, "{name}: {days} days, {}", curve["publisher"].as_str().unwrap());
        let _ = writeln!(table, "  {}", curve["source"].as_str().unwrap());
        let _ = writeln!(table, "{}", played(name, days + BEYOND));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/curves.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let changed = table.lines().zip(expected.lines().chain(std::iter::repeat(""))).find(|(now, then)| now != then);
    assert!(table == expected, "{changed:?}: a curve or the core plays otherwise; BLESS=1 writes the table anew");
}

#[test]
fn every_entry_of_the_collection_is_a_curve_or_left_out_for_a_reason() {
    let mut presets = BTreeSet::new();
    for (name, fate) in &FOUND {
        match fate {
            Preset(preset) => assert!(presets.insert((*preset).to_owned()), "{preset} comes from two entries"),
            Presets(several) => presets.extend(several.iter().map(|preset| (*preset).to_owned())),
            LeftOut(because) => assert!(because.len() > 20, "{name}: say why"),
        }
    }
    let shipped: BTreeSet<String> = listed().iter().map(|curve| curve["curve"].as_str().unwrap().to_owned()).collect();
    assert_eq!(shipped, presets, "plans/curves.yaml and the table of this test differ");
}

#[test]
fn curves_are_listed_with_days_ends_and_source() {
    let ran = Project::empty().hikagen(&["plan", "curves"]).expect(0);
    let line = ran.out.lines().find(|line| line.contains("braze-conservative")).expect("braze-conservative");
    let cells: Vec<&str> = line.split_whitespace().take(5).collect();
    assert_eq!(cells, ["braze-conservative", "21", "50", "8,000", "Braze"], "{}", ran.out);
    assert!(line.ends_with("braze-inc/braze-docs, ip_warming.md"), "{line}");
    ran.says("`curve: { preset: NAME");
    let curve = listed().into_iter().find(|curve| curve["curve"] == "braze-conservative").unwrap();
    let keys: Vec<&String> = curve.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["curve", "days", "first", "last", "publisher", "unit", "advance", "source", "values"],
        "programs rest on them"
    );
    assert_eq!((&curve["first"], &curve["last"], &curve["values"][3]), (&50.into(), &8_000.into(), &100.into()));
}
