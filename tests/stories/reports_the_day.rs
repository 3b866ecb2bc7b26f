//! The daily report: plan, sent, accepted, deferred, bounced, the worst answers, the verdict for tomorrow and why.

use std::sync::Arc;

use hikagen::clock::{Clock as _, SystemClock};
use hikagen::core::journal::{Entry, Kind};
use hikagen::report::daily::{Daily, Lang, daily, default_day};
use hikagen::store::Store;
use jiff::Timestamp;
use jiff::civil::date;

use crate::prepared::{config, morning, tokyo};
use crate::support::chromium::measure;
use crate::support::program::Project;
use crate::support::scene::{RelayEntry, addresses, write_campaign, write_configuration, write_plan, zone_at_noon};
use crate::support::sink::{Manner, Sink};

/// The report of the prepared morning, drawn up at `now`.
async fn report(now: Timestamp) -> Daily {
    let store = morning().await;
    let entry = |kind, because: &str, before: &str, after: &str| Entry {
        at: tokyo("09:00"),
        by: "block".to_owned(),
        relay: Some("tokyo-new".parse().unwrap()),
        bucket: Some("au".parse().unwrap()),
        day: Some(date(2026, 11, 24)),
        kind,
        because: because.to_owned(),
        inputs: std::collections::BTreeMap::new(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let paused =
        entry(Kind::Paused, "421 4.7.0 <script>alert(1)</script>", "mail flows", "paused until 2026-11-24 12:00:00");
    let by_hand = Entry { day: None, relay: None, bucket: None, by: "hanako@host".to_owned(), ..paused.clone() };
    store.note(vec![paused, by_hand]).await.unwrap();
    daily(&*store, &config(), date(2026, 11, 24), None, now).await.unwrap()
}

#[tokio::test]
async fn the_days_figures_are_the_ledgers_and_the_worst_answers_come_first() {
    let daily = report(tokyo("11:15")).await;
    assert!(!daily.finished);
    let cold = &daily.relays[0];
    let docomo = cold.lanes.iter().find(|lane| lane.bucket.as_str() == "docomo").unwrap();
    let f = &docomo.figures;
    assert_eq!((f.quota, f.spent, f.accepted, f.deferred, f.bounced), (5, 5, 3, 1, 1));
    let worst: Vec<_> = cold.answers.iter().map(|answer| (answer.n, answer.action)).collect();
    assert_eq!(worst, [(1, "suppress"), (1, "retry")]);
    assert!(cold.answers[0].example.contains("550 5.1.1 Unknown user"));
    assert!(!docomo.verdict.written, "the day still runs");
    assert!(cold.lanes.iter().any(|lane| lane.bucket.as_str() == "au"), "a paused lane with mail is shown");
    assert_eq!(cold.decisions.len(), 2, "the pause of everything is of this day, too");
    assert_eq!(daily.total.spent, 5);
    let names: Vec<_> = daily.campaigns.iter().map(|campaign| campaign.campaign.as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[tokio::test]
async fn it_reads_in_english_and_in_japanese() {
    let (daily, zone) = (report(tokyo("11:15")).await, config().timezone);
    let en = daily.render(Lang::En, &zone);
    for text in [
        "Tuesday, 24 November 2026",
        "The plan day still runs",
        "5 of ",
        "Worst answers",
        "450 4.2.0 Try again / later",
        "WARM-UP DAY",
        "everything: mail flows -> paused until",
        "prices are wrong",
    ] {
        assert!(en.contains(text), "{text} is not in\n{en}");
    }
    let ja = daily.render(Lang::Ja, &zone);
    for text in [
        "2026年11月24日（火）",
        "計画日の途中です",
        "ドコモ (docomo)",
        "目立った応答",
        "宛先不明",
        "全体: 送信中 -> 2026-11-24 12:00:00 まで一時停止",
        "翌日の判定",
        "割当 5 通のうち 5 通（100 %）を引き渡し",
        "一時停止中: prices are wrong",
    ] {
        assert!(ja.contains(text), "{text} is not in\n{ja}");
    }
}

#[tokio::test]
async fn the_page_has_no_script_and_what_others_wrote_is_escaped() {
    let (daily, zone) = (report(tokyo("11:15")).await, config().timezone);
    for (lang, tag) in [(Lang::En, "<html lang=\"en\">"), (Lang::Ja, "<html lang=\"ja\">")] {
        let page = daily.html(lang, &zone);
        assert!(page.starts_with("<!doctype html>") && page.contains(tag) && page.ends_with("</html>\n"));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "{page}");
        for outside in ["http://", "https://", "url("] {
            assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside}");
        }
        let folder = tempfile::tempdir().unwrap();
        let svg = &page[page.find("<svg").unwrap()..page.find("</svg>").unwrap() + 6];
        for dark in [false, true] {
            let measured = measure(svg, folder.path(), dark);
            let none = serde_json::Value::Array(Vec::new());
            assert_eq!((&measured["outside"], &measured["over"]), (&none, &none), "{measured:#}");
            assert!(measured["letters"].as_f64().unwrap() >= 4.5, "{measured:#}");
        }
    }
}

#[tokio::test]
async fn a_day_that_is_over_has_its_written_verdict_and_the_next_quota() {
    use hikagen::core::lane::{Ledger, Verdict, VerdictKind};
    let store = morning().await;
    let (relay, day): (hikagen::core::names::RelayName, _) = ("tokyo-new".parse().unwrap(), date(2026, 11, 24));
    // The one that the morning's owner holds.
    let lease = hikagen::store::Lease { relay: relay.clone(), token: 1 };
    let verdict = Verdict {
        bucket: "docomo".parse().unwrap(),
        day,
        days: 1,
        kind: VerdictKind::Advance,
        before: 1,
        after: 2,
        because: "5 of 5 handed over".to_owned(),
        inputs: std::collections::BTreeMap::new(),
    };
    let mut next = Ledger::new(verdict.bucket.clone(), date(2026, 11, 25), 2, 8);
    next.quota = 8;
    let rolled = hikagen::store::Rolled { verdicts: vec![verdict], ledgers: vec![next], ..Default::default() };
    let morning_after: Timestamp = "2026-11-25T00:00:05+09:00".parse().unwrap();
    store.roll(&lease, rolled, morning_after).await.unwrap();
    let config = config();
    assert_eq!(default_day(&*store, &config, morning_after).await.unwrap(), day, "yesterday, since it is over");
    let daily = daily(&*store, &config, day, Some(&relay), morning_after).await.unwrap();
    assert!(daily.finished && daily.relays.len() == 1);
    let lane = daily.relays[0].lanes.iter().find(|lane| lane.bucket.as_str() == "docomo").unwrap();
    let v = &lane.verdict;
    assert_eq!((v.written, v.kind, v.before, v.after, v.quota), (true, VerdictKind::Advance, 1, 2, 8));
    assert!(daily.render(Lang::Ja, &config.timezone).contains("計画日は終了しています"));
}

#[test]
fn the_program_reports_what_it_did_today_in_the_readers_language() {
    let refused = |line: &str| line.starts_with("RCPT TO:<user3@").then(|| "550 5.1.1 <user3> User unknown".to_owned());
    let sink = Sink::with(Manner { answers: Some(Arc::new(refused)), ..Manner::default() });
    let mut project = Project::empty();
    write_configuration(&project, &[RelayEntry::new("one", sink.port).with(&["answers: carrier"])]);
    write_plan(&project, "plan.yaml", &[("docomo", 20, "100/s"), ("default", 50, "100/s")]);
    project.hikagen(&["report"]).expect(1).says("there is no store");
    let campaign = write_campaign(&project, "spring", addresses("docomo.ne.jp", 30));
    project.hikagen(&["submit", &campaign]).expect(0);
    project.hikagen(&["run", "--until-idle"]).expect(0);

    let shown = project.hikagen(&["report", "--json"]).expect(0).json();
    let lane = shown["relays"][0]["lanes"].as_array().unwrap().iter().find(|lane| lane["bucket"] == "docomo").unwrap();
    let figures = &lane["figures"];
    assert_eq!((figures["quota"].as_u64(), figures["spent"].as_u64()), (Some(20), Some(20)), "{figures}");
    assert_eq!((figures["accepted"].as_u64(), figures["bounced"].as_u64()), (Some(19), Some(1)), "{figures}");
    assert_eq!(shown["relays"][0]["answers"][0]["n"], 1);
    assert_eq!(shown["campaigns"][0]["messages"]["queued"], 10);

    project.hikagen(&["report"]).expect(0).says("Worst answers").says("WARM-UP DAY");
    project.set("LANG", "ja_JP.UTF-8");
    project.hikagen(&["report"]).expect(0).says("火加減 日報").says("翌日の判定");
    project.hikagen(&["report", "--lang", "en", "--relay", "one"]).expect(0).says("Hikagen daily report");
    project.hikagen(&["report", "--relay", "two"]).expect(1).says("there is no relay two");
    let zone = jiff::tz::TimeZone::get(&zone_at_noon()).unwrap();
    let yesterday = SystemClock.now().to_zoned(zone).date().yesterday().unwrap().to_string();
    project.hikagen(&["report", "--day", &yesterday]).expect(0).says("この日に計画日のあるレーンはありません");

    project.hikagen(&["report", "--html", "day.html"]).expect(0).says("wrote day.html");
    project.hikagen(&["report", "--html", "day.html"]).expect(0);
    assert!(project.read("day.html").contains("<html lang=\"ja\">"));
    project.write("precious.html", "mine");
    project.hikagen(&["report", "--html", "precious.html"]).expect(1).says("nothing was written");
    assert_eq!(project.read("precious.html"), "mine");
}
