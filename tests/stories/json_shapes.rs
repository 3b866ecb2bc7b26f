//! The keys of every `--json` answer of the operators' commands: programs rest on them.

use hikagen::report::audit::{gather, judge};
use hikagen::report::overview::overview;
use hikagen::report::why::why;
use hikagen::store::Store as _;
use jiff::civil::date;
use serde_json::Value;

use crate::prepared::{config, morning, tokyo};

/// Every key of a JSON text, as `a.b[].c: kind`, sorted.
fn keys(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    out.push(path.clone());
                    walk(value, &path, out);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(value, "", &mut out);
    out.sort();
    out.dedup();
    out
}

/// `a{b,c[]{d}}` spelt out.
fn under(path: &str, names: &str) -> Vec<String> {
    names.split_whitespace().map(|name| format!("{path}{name}")).collect()
}

fn all(parts: &[(&str, &str)]) -> Vec<String> {
    let mut out: Vec<String> = parts.iter().flat_map(|(path, names)| under(path, names)).collect();
    out.sort();
    out
}

const LANE: &str = "lane plan_day begun warmup_day quota spent left accepted deferred bounced rate pace window waiting holds overrides";
const HOLD: &str = "because text until";
const WINDOW: &str = "open closes opens";
const WAITING: &str = "fresh retries later";
const STATES: &str = "queued deferred claimed parked accepted bounced expired suppressed cancelled";
const RETURNED: &str = "delivered delayed bounced complaints unsubscribed auto_replies";
const CAMPAIGN: &str = "campaign state because class pool created start finish_by not_after messages came_back holds";
const ATTEMPT: &str = "message at lane stage code enhanced text signal action rule counted";

#[tokio::test]
async fn the_keys_of_status_are_stable() {
    let (store, config) = (morning().await, config());
    store
        .pause(hikagen::store::Pause {
            scope: hikagen::store::Scope::All,
            cause: hikagen::store::PauseCause::Operator,
            reason: "look".to_owned(),
            since: tokyo("11:00"),
            until: None,
            times: 1,
        })
        .await
        .unwrap();
    let shown = serde_json::to_value(overview(&*store, &config, tokyo("11:15"), false).await.unwrap()).unwrap();
    let expected = all(&[
        ("", "at store pauses relays campaigns events"),
        ("pauses[].", "scope cause reason since until times text"),
        ("relays[].", "relay address plan owner in_the_air pauses lanes"),
        ("relays[].owner.", "owner since alive"),
        ("relays[].lanes[].", LANE),
        ("relays[].lanes[].window.", WINDOW),
        ("relays[].lanes[].waiting.", WAITING),
        ("relays[].lanes[].holds[].", HOLD),
        ("relays[].lanes[].pace[].", HOLD),
        ("campaigns[].", CAMPAIGN),
        ("campaigns[].messages.", STATES),
        ("campaigns[].came_back.", RETURNED),
        ("campaigns[].holds[].", HOLD),
        ("events[].", "at kind subject text"),
    ]);
    assert_eq!(keys(&shown), expected);
    assert_eq!(shown["at"], "2026-11-24T02:15:00Z");
    assert_eq!(shown["pauses"][0]["cause"], "operator");
    assert_eq!(shown["relays"][0]["lanes"][1]["plan_day"], "2026-11-24");
    assert_eq!(shown["relays"][0]["lanes"][1]["lane"], "tokyo-new/docomo");
    assert_eq!(shown["campaigns"][0]["messages"]["queued"], 1);
}

#[tokio::test]
async fn the_keys_of_why_are_stable() {
    let (store, config) = (morning().await, config());
    let ask = |asked: &'static str| {
        let (store, config) = (store.clone(), config.clone());
        async move { serde_json::to_value(why(&*store, &config, tokyo("11:15"), asked).await.unwrap()).unwrap() }
    };
    let top = ("", "asked kind at messages suppressions campaign lanes folded reports");
    let message = "message campaign address bucket seed class state because since due relay holds lanes before turn attempts reports";
    let deferred = ask("m5").await;
    let expected = all(&[
        top,
        ("messages[].", message),
        ("messages[].holds[].", HOLD),
        ("messages[].lanes[].", "lane left holds"),
        ("messages[].lanes[].holds[].", HOLD),
        ("messages[].attempts[].", ATTEMPT),
    ]);
    assert_eq!(keys(&deferred), expected);
    assert_eq!((&deferred["kind"], &deferred["messages"][0]["attempts"][0]["code"]), (&"message".into(), &450.into()));
    let waiting = ask("m9").await;
    assert_eq!(keys(&waiting["messages"][0]["turn"]), ["day", "until_then"]);
    assert_eq!(waiting["messages"][0]["before"], 3);
    let suppressed = ask("sale3@docomo.example").await;
    assert_eq!(keys(&suppressed["suppressions"][0]), ["key", "note", "reason", "sender", "since"]);
    let campaign = ask("sale").await;
    let expected = all(&[
        ("", CAMPAIGN),
        ("", "seeds buckets done folded reported"),
        ("came_back.", RETURNED),
        ("messages.", STATES),
        ("done.", "day until_then"),
        ("buckets[].", "bucket messages lanes done"),
        ("buckets[].messages.", STATES),
        ("buckets[].done.", "day until_then"),
        ("buckets[].lanes[].", "lane left holds"),
        ("buckets[].lanes[].holds[].", HOLD),
    ]);
    assert_eq!(keys(&campaign["campaign"]), expected);
    let lane = ask("tokyo-new/docomo").await;
    let expected = all(&[
        ("", LANE),
        ("", "verdicts attempts health"),
        ("window.", WINDOW),
        ("waiting.", WAITING),
        ("holds[].", HOLD),
        ("pace[].", HOLD),
        ("attempts[].", ATTEMPT),
    ]);
    assert_eq!(keys(&lane["lanes"][0]), expected);
}

#[tokio::test]
async fn the_keys_of_audit_are_stable() {
    let (store, config) = (morning().await, config());
    let since = date(2026, 11, 1);
    let mut evidence = gather(&*store, &config, since).await.unwrap();
    evidence[0].days[0].row.spent = Some(4);
    let audit = serde_json::to_value(judge(&evidence, since)).unwrap();
    let expected = all(&[
        ("", "since releases days violations remarks"),
        ("days[].", "lane day warmup_day quota attempts in_the_air lost folded spent"),
        ("violations[].", "rule relay lane day text"),
    ]);
    assert_eq!(keys(&audit), expected);
    assert_eq!(
        (&audit["violations"][0]["rule"], &audit["days"][0]["lane"]),
        (&"ledger".into(), &"tokyo-new/docomo".into())
    );
}
