//! `status`, `why` and `audit` on a prepared store: the words to the letter, and each reason that the core knows.

use hikagen::core::campaign::Class;
use hikagen::report::audit::{gather, judge};
use hikagen::report::overview::overview;
use hikagen::report::why::{WhyError, why};
use hikagen::store::*;
use jiff::civil::date;

use crate::prepared::{campaign, campaign_of, claim, config, config_with, morning, settle, tokyo};

async fn text(store: &dyn Store, asked: &str, clock: &str) -> String {
    let config = config();
    why(store, &config, tokyo(clock), asked).await.unwrap().render(&config)
}

#[tokio::test]
async fn status_shows_relays_lanes_campaigns_pauses_and_events() {
    let (store, config) = (morning().await, config());
    let shown = overview(&*store, &config, tokyo("11:15"), false).await.unwrap().render(&config);
    let expected = "\
2026-11-24 11:15, store hikagen.db

Relay tokyo-new (127.0.0.1:2525, plan spring): worker host-a, process 4711 since 2026-11-24 08:00, 0 messages in the air
  LANE                DAY  QUOTA  SPENT  LEFT  ACCEPTED  DEFERRED  BOUNCED  WAITING    RATE  NOW
  tokyo-new/au          1      5      0     5         0         0        0        3  60/min  paused, until 2026-11-24 12:00
  tokyo-new/docomo      1      5      5     0         3         1        1        6  60/min  quota-spent, until 2026-11-25 08:00
  tokyo-new/softbank    1     20      0    20         0         0        0        3     1/s  open until 2026-11-24 21:00

Relay tokyo-warm (127.0.0.1:2526, plan steady): no worker ever ran, 0 messages in the air
  LANE                 DAY  QUOTA  SPENT   LEFT  ACCEPTED  DEFERRED  BOUNCED  WAITING  RATE  NOW
  tokyo-warm/softbank    1  1,000      0  1,000         0         0        0        3     -  open until 2026-11-25 00:00

Campaigns
  CAMPAIGN  STATE    CLASS  MESSAGES  WAITING  PARKED  ACCEPTED  BOUNCED  EXPIRED  SUPPRESSED  CANCELLED
  held      paused   bulk          1        1       0         0        0        0           0          0
  later     running  bulk          2        2       0         0        0        0           0          0
  news      running  bulk          3        3       0         0        0        0           0          0
  sale      running  bulk         10        6       0         3        1        0           0          0
  campaign held is paused since 2026-11-24 09:30: prices are wrong; until `hikagen campaign resume held`
  campaign later starts 2026-11-25 09:00

Last events
  2026-11-24 09:00  lane-paused  tokyo-new/au: block: 421 4.7.0 too many connections
";
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn status_says_when_the_last_worker_began_after_it_ended() {
    let (store, config) = (morning().await, config());
    let owned = store.owners().await.unwrap().remove(0);
    store.release(&Lease { relay: owned.relay, token: owned.token }).await.unwrap();
    let shown = overview(&*store, &config, tokyo("11:15"), false).await.unwrap().render(&config);
    assert!(shown.contains("plan spring): no worker runs, the last began 2026-11-24 08:00, 0 messages"), "{shown}");
    assert!(shown.contains("plan steady): no worker ever ran, "), "{shown}");
}

#[tokio::test]
async fn a_message_says_what_holds_it_when_that_opens_and_its_place_in_line() {
    let store = morning().await;
    assert_eq!(
        text(&*store, "m9", "11:15").await,
        "m9 to sale8@docomo.example (sale, docomo) waits; it was never tried.\n  \
         tokyo-new/docomo: the quota of warm-up day 1 is spent (5 of 5); opens 2026-11-25 08:00\n  \
         about 3 messages before it; its turn comes on 2026-11-25 at the earliest\n"
    );
    assert_eq!(
        text(&*store, "m5", "11:15").await,
        "m5 to sale4@docomo.example (sale, docomo) was deferred: 450 4.2.0 Try again / later.\n  \
         it was tried once and is due again 2026-11-24 11:45\n  \
         tokyo-new/docomo: the quota of warm-up day 1 is spent (5 of 5); opens 2026-11-25 08:00\n  \
         2026-11-24 08:14  tokyo-new/docomo  rcpt: 450 4.2.0 Try again / later (volume: retry, rule docomo-450)\n"
    );
}

#[tokio::test]
async fn an_address_shows_its_suppression_and_every_message_to_it() {
    let store = morning().await;
    assert_eq!(
        text(&*store, "Sale0@DOCOMO.example", "11:15").await,
        "m1 to sale0@docomo.example (sale, docomo) was accepted by relay tokyo-new at 2026-11-24 08:10.\n  \
         2026-11-24 08:10  tokyo-new/docomo  body: 250 2.0.0 ok\n"
    );
    let bounced = text(&*store, "sale3@docomo.example", "11:15").await;
    assert!(
        bounced.starts_with("sale3@docomo.example is on the suppression list (unknown) since 2026-11-24 08:13"),
        "{bounced}"
    );
    assert!(bounced.contains("m4 to sale3@docomo.example (sale, docomo) bounced since 2026-11-24 08:13"), "{bounced}");
    assert_eq!(
        text(&*store, "nobody@docomo.example", "11:15").await,
        "No campaign has a message to nobody@docomo.example.\n"
    );
}

#[tokio::test]
async fn a_campaign_shows_each_bucket_and_when_it_may_be_done() {
    let store = morning().await;
    assert_eq!(
        text(&*store, "sale", "11:15").await,
        "Campaign sale is running: 3 of 10 messages accepted, 6 waiting.\n  \
         docomo: 6 waiting, handed over by 2026-11-25 at the earliest\n    \
         tokyo-new/docomo: the quota of warm-up day 1 is spent (5 of 5); opens 2026-11-25 08:00\n  \
         everything may have been handed over by 2026-11-25 at the earliest\n"
    );
    let blocked = text(&*store, "news", "11:15").await;
    assert!(
        blocked.contains(
            "lane tokyo-new/au is paused after a block since 2026-11-24 09:00 (time 2 in 7 days): \
             421 4.7.0 too many connections; until 2026-11-24 12:00"
        ),
        "{blocked}"
    );
    assert!(text(&*store, "later", "11:15").await.contains("campaign later starts 2026-11-25 09:00"));
    assert!(text(&*store, "held", "11:15").await.contains("prices are wrong; until `hikagen campaign resume held`"));
}

#[tokio::test]
async fn a_long_backlog_comes_up_by_the_curve_of_the_coming_days() {
    let store = morning().await;
    let big = campaign(&*store, "big", "cold", "au", 40).await;
    assert_eq!(big.0, 5);
    // Quotas 5, 8, 12, 12, ... : three of `news` go first, then 40 of `big`; 43 are reached on the fifth day.
    let said = text(&*store, "big", "11:15").await;
    assert!(said.contains("au: 40 waiting, handed over by 2026-11-28 at the earliest"), "{said}");
    let last = text(&*store, "big39@au.example", "11:15").await;
    assert!(last.contains("about 42 messages before it; its turn comes on 2026-11-28 at the earliest"), "{last}");
}

#[tokio::test]
async fn a_lane_shows_its_day_its_last_attempts_and_what_sets_its_pace() {
    let store = morning().await;
    let lane = text(&*store, "tokyo-new/docomo", "11:15").await;
    let head = "Lane tokyo-new/docomo on 2026-11-24: warm-up day 1, 5 of 5 spent, 0 left; 3 accepted, 1 deferred, 1 bounced; 6 waiting.\n";
    assert!(lane.starts_with(head), "{lane}");
    assert_eq!(lane.matches("tokyo-new/docomo  ").count(), 5, "{lane}");
    let open = text(&*store, "tokyo-new/softbank", "11:15").await;
    for words in ["open until 2026-11-24 21:00: mail leaves", "the lane's rate is 1/s", "spread evenly over the window"]
    {
        assert!(open.contains(words), "{open}");
    }
    assert!(text(&*store, "tokyo-new/default", "11:15").await.contains("nothing waits"));
    assert_eq!(text(&*store, "tokyo-new", "11:15").await.matches("Lane tokyo-new/").count(), 3);
    assert_eq!(text(&*store, "softbank", "11:15").await.matches("/softbank on").count(), 2);
}

/// The reasons that hold a lane, by their code.
async fn codes(store: &dyn Store, config: &hikagen::config::Config, lane: &str, clock: &str) -> Vec<String> {
    let answer = why(store, config, tokyo(clock), lane).await.unwrap();
    let held = answer.lanes.into_iter().flat_map(|lane| lane.view.holds);
    held.map(|hold| {
        assert!(!hold.text.is_empty(), "{} has no sentence", hold.because);
        hold.because
    })
    .filter(|code| code != "no-worker")
    .collect()
}

#[tokio::test]
async fn every_reason_that_holds_a_lane_is_told() {
    let store = morning().await;
    let plain = config();
    let held = |lane: &'static str, clock: &'static str| codes(&*store, &plain, lane, clock);
    assert_eq!(held("tokyo-new/docomo", "11:15").await, ["quota-spent"]);
    assert_eq!(held("tokyo-new/au", "11:15").await, ["paused"]);
    assert_eq!(held("tokyo-new/softbank", "21:15").await, ["window-closed"]);
    assert_eq!(held("tokyo-new/softbank", "11:15").await, Vec::<String>::new());
    let december = config_with(|relay| relay.warmup.started = Some(date(2026, 12, 1)));
    assert_eq!(codes(&*store, &december, "tokyo-new/softbank", "11:15").await, ["not-started"]);
    let limit = std::num::NonZeroU32::new(5);
    let capped = config_with(|relay| relay.limits.per_day = limit);
    assert_eq!(codes(&*store, &capped, "tokyo-new/softbank", "11:15").await, ["relay-day-full"]);
    let capped = config_with(|relay| relay.limits.per_hour = limit);
    assert_eq!(codes(&*store, &capped, "tokyo-new/softbank", "08:30").await, ["relay-hour-full"]);
    assert_eq!(codes(&*store, &capped, "tokyo-new/softbank", "09:30").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_lanes_own_hour_is_told() {
    let store = hikagen::store::sqlite::SqliteStore::in_memory();
    let receipts = campaign_of(&store, "receipts", "cold", "softbank", 1, Class::Transactional, tokyo("08:00")).await;
    let sale = campaign(&store, "sale", "cold", "softbank", 40).await;
    let relay = "tokyo-new".parse().unwrap();
    let (lease, _) = store.acquire(&relay, "host-a", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
    let first = claim(&store, &lease, (receipts, "softbank"), 1, 20, tokyo("10:00")).await;
    let told = || (hikagen::core::reply::Stage::Body, crate::prepared::reply(250, (2, 0, 0), "ok"));
    let accepted = |(stage, answer)| (stage, answer, hikagen::core::reply::Signal::Unclassified, None);
    settle(&store, &lease, &first[0], tokyo("10:00"), accepted(told()), Disposition::Accepted).await;
    claim(&store, &lease, (sale, "softbank"), 19, 20, tokyo("10:01")).await;
    let plain = config();
    assert_eq!(codes(&store, &plain, "tokyo-new/softbank", "10:30").await, ["quota-spent"]);
    let hourly = config_with(|relay| {
        let mut plan = (*relay.plan).clone();
        let bucket = "softbank".parse().unwrap();
        let mut lane = (*plan.lanes[&bucket]).clone();
        lane.per_hour.as_mut().unwrap().value = std::num::NonZeroU32::new(20).unwrap();
        plan.lanes.insert(bucket, std::sync::Arc::new(lane));
        relay.plan = std::sync::Arc::new(plan);
    });
    assert_eq!(codes(&store, &hourly, "tokyo-new/softbank", "10:30").await, ["quota-spent", "hour-full"]);
}

#[tokio::test]
async fn what_is_kept_for_transactional_mail_is_told() {
    let store = hikagen::store::sqlite::SqliteStore::in_memory();
    campaign_of(&store, "receipts", "cold", "au", 1, Class::Transactional, tokyo("08:00")).await;
    let sale = campaign(&store, "sale", "cold", "softbank", 40).await;
    let relay = "tokyo-new".parse().unwrap();
    let (lease, _) = store.acquire(&relay, "host-a", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
    claim(&store, &lease, (sale, "softbank"), 19, 20, tokyo("10:01")).await;
    assert_eq!(codes(&store, &config(), "tokyo-new/softbank", "10:30").await, ["kept-for-transactional"]);
    let said = text(&store, "tokyo-new/softbank", "10:30").await;
    assert!(said.contains("the last 1 of the quota are kept for transactional mail; opens 2026-11-25 08:00"), "{said}");
}

#[tokio::test]
async fn retries_that_had_their_share_are_told() {
    use hikagen::core::reply::{Action, Signal, Stage};
    let store = hikagen::store::sqlite::SqliteStore::in_memory();
    let sale = campaign(&store, "sale", "cold", "softbank", 40).await;
    let relay = "tokyo-new".parse().unwrap();
    let (lease, _) = store.acquire(&relay, "host-a", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
    for (clock, retries, fresh) in [("09:00", 0, 4), ("10:00", 4, 0)] {
        let lane = LaneClaim {
            bucket: "softbank".parse().unwrap(),
            day: date(2026, 11, 24),
            warmup_day: 1,
            quota: 20,
            wants: vec![Want { campaign: sale, retries, fresh }],
        };
        let (lease, sender) = (lease.clone(), "m.example.jp".to_owned());
        let order = ClaimOrder { lease: lease.clone(), now: tokyo(clock), sender, lanes: vec![lane] };
        for claim in store.claim(order).await.unwrap().claims {
            let answer = crate::prepared::reply(450, (4, 2, 0), "later");
            let told = (Stage::Rcpt, answer, Signal::Volume, Some(Action::Retry));
            settle(&store, &lease, &claim, tokyo(clock), told, Disposition::Deferred { due: tokyo("10:00") }).await;
        }
        store.feed(tokyo("10:00"), 100).await.unwrap();
    }
    let said = text(&store, "m1", "10:30").await;
    assert!(said.contains("retries had their share of the quota today (4) while fresh mail waits"), "{said}");
    assert!(!text(&store, "m9", "10:30").await.contains("retries had their share"));
}

#[tokio::test]
async fn a_ledger_ahead_of_the_clock_is_told() {
    let (store, config) = (morning().await, config());
    let yesterday = "2026-11-23T11:15:00+09:00".parse().unwrap();
    let said = why(&*store, &config, yesterday, "tokyo-new/docomo").await.unwrap().render(&config);
    assert!(said.contains("the ledger is already at plan day 2026-11-24, which this clock has not reached"), "{said}");
}

#[test]
fn every_reason_has_a_word_and_a_sentence_of_its_own() {
    use hikagen::core::lane::{Held, PauseCause};
    use hikagen::core::schedule::Because;
    let rate = "10/s".parse().unwrap();
    let held = Held { cause: PauseCause::Block, reason: "421".to_owned(), until: None };
    let all = [
        Because::QuotaSpent { spent: 1_200, quota: 1_200, warmup_day: 3 },
        Because::KeptForTransactional { kept: 4 },
        Because::RetriesHadTheirShare { retries: 240 },
        Because::Throttled { rate },
        Because::Paced,
        Because::HourFull { cap: 300 },
        Because::RelayThrottled { rate },
        Because::RelayHourFull { cap: 50_000 },
        Because::RelayDayFull { cap: 200_000 },
        Because::WindowClosed,
        Because::NotStarted { started: date(2026, 12, 1) },
        Because::Paused(held),
        Because::Busy { connections: 4 },
        Because::ClockWrong,
        Because::DayAhead { day: date(2026, 12, 1) },
        Because::LeftToEarlierRelay,
        Because::NothingWaits,
    ];
    let mut seen = std::collections::BTreeSet::new();
    for because in &all {
        let sentence = because.to_string();
        assert!(sentence.len() > 12 && !sentence.contains('{'), "{sentence}");
        assert!(seen.insert(because.code().to_owned()) && seen.insert(sentence), "{because:?} is said twice");
    }
}

#[tokio::test]
async fn mail_that_an_earlier_relay_still_needs_is_told() {
    let store = morning().await;
    let relay = "tokyo-new".parse().unwrap();
    let until = tokyo("11:20");
    store.write_needs(&relay, vec![("softbank".parse().unwrap(), 20)], until).await.unwrap();
    let said = text(&*store, "later", "11:15").await;
    assert!(said.contains("tokyo-warm/softbank: an earlier relay of the pool still needs what waits"), "{said}");
}

#[tokio::test]
async fn a_name_that_nothing_has_is_refused_with_what_is_near() {
    let (store, config) = (morning().await, config());
    for (asked, near) in [
        ("tokyo-new/docmo", "did you mean \"tokyo-new/docomo\"?"),
        ("sael", "did you mean \"sale\"?"),
        ("m999", "there is no message m999"),
        ("a b@docomo.example", "a b@docomo.example: "),
        ("", "is no campaign, lane"),
    ] {
        match why(&*store, &config, tokyo("11:15"), asked).await {
            Err(WhyError::Unknown(text)) => assert!(text.contains(near), "{asked}: {text}"),
            other => panic!("{asked}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_audit_recounts_a_morning_and_finds_what_was_planted() {
    let (store, plain) = (morning().await, config());
    let since = date(2026, 11, 1);
    let audit = judge(&gather(&*store, &plain, since).await.unwrap(), since);
    assert_eq!(
        audit.render(),
        "Audit of 1 lane day since 2026-11-01: 5 releases recounted.\n\n  \
         LANE              PLAN DAY    DAY  QUOTA  ATTEMPTS  IN AIR  LOST  LEDGER\n  \
         tokyo-new/docomo  2026-11-24    1      5         5       0     0       5\n\n\
         Every promise was kept: quota, ledger, warm-up day, hours, rates and account limits.\n"
    );
    // A relay that let one message too many out: the store takes the quota that it is given.
    let lease = Lease { relay: "tokyo-new".parse().unwrap(), token: store.owners().await.unwrap()[0].token };
    let sale = store.campaign(&"sale".parse().unwrap()).await.unwrap().unwrap().id;
    claim(&*store, &lease, (sale, "docomo"), 1, 6, tokyo("12:00")).await;
    let audit = judge(&gather(&*store, &plain, since).await.unwrap(), since);
    let found: Vec<&str> = audit.violations.iter().map(|v| v.text.as_str()).collect();
    assert_eq!(found, ["tokyo-new/docomo on 2026-11-24: 6 messages handed over, but warm-up day 1 allows 5"]);
}
