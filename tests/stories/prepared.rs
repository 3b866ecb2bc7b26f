//! Owns a prepared store: two relays, three campaigns, one morning of sending, at a moment that never moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use hikagen::config::plan_file::read_plan;
use hikagen::config::{
    Answers, Config, FeedbackSettings, ListenSettings, RelayLimits, RelaySettings, RetrySettings, Timeouts, TlsMode,
    Uncertain, Warmup, WorkerSettings,
};
use hikagen::core::campaign::{CampaignId, Class};
use hikagen::core::lane::Grade;
use hikagen::core::plan::{AddressForm, Group, GroupKind, GroupStatus, Groups, Limits};
use hikagen::core::reply::{Action, Answer, Enhanced, Reply, Rules, Signal, Stage};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::*;
use jiff::Timestamp;
use jiff::tz::TimeZone;

const PLAN: &str = "plan: spring\ntimezone: Asia/Tokyo\ndefaults: { window: \"08:00-21:00\", rate: 1/s, spread: even }\n\
groups:\n  docomo: { curve: [5, 8, 12], rate: 60/min }\n  au: { like: docomo }\n  softbank: { curve: [20], per_hour: 30 }\n  default: { curve: [10] }\n";
const STEADY: &str = "plan: steady\ntimezone: Asia/Tokyo\ndefaults: { window: \"00:00-24:00\", spread: asap }\ngroups:\n  default: { curve: [1_000] }\n";

/// A moment of 24 November 2026, Tokyo time.
pub(crate) fn tokyo(clock: &str) -> Timestamp {
    format!("2026-11-24T{clock}:00+09:00").parse().unwrap()
}

fn group(name: &str) -> Group {
    Group {
        name: name.parse().unwrap(),
        bucket: name.parse().unwrap(),
        title: name.to_owned(),
        kind: GroupKind::Carrier,
        status: GroupStatus::Active,
        confidence: "published".to_owned(),
        limits: Limits::default(),
        irregular: AddressForm::Quoted,
        notes: Vec::new(),
    }
}

fn relay(name: &str, port: u16, plan: &str, groups: &Groups) -> Arc<RelaySettings> {
    let read = read_plan(plan, "plan.yaml", groups);
    let shown: Vec<String> = read.problems.iter().map(|p| p.render(false)).collect();
    Arc::new(RelaySettings {
        name: name.parse().unwrap(),
        known: None,
        host: "127.0.0.1".to_owned(),
        port,
        tls: TlsMode::None,
        ca: None,
        auth: None,
        domain: "m.example.jp".to_owned(),
        hello: None,
        plan: Arc::new(read.value.unwrap_or_else(|| panic!("{}", shown.join("\n")))),
        plan_source: "plan.yaml".to_owned(),
        ears: Vec::new(),
        next_plan: None,
        warmup: Warmup { day: 1, started: None },
        limits: RelayLimits::default(),
        envelope_from: None,
        headers: Vec::new(),
        answers: Answers::Carrier,
        signs: None,
        dkim: None,
        source_address: None,
        pipelining: true,
        uncertain: Uncertain::Retry,
        timeouts: Timeouts::default(),
        retry: RetrySettings::default(),
    })
}

/// Two relays: `tokyo-new` warms up, `tokyo-warm` is warm; pool `news` has both, pool `cold` the first.
pub(crate) fn config() -> Config {
    let mut groups = Groups::new(group("default"));
    for name in ["docomo", "au", "softbank"] {
        groups.add_group(group(name));
    }
    let cold = relay("tokyo-new", 2525, PLAN, &groups);
    let warm = relay("tokyo-warm", 2526, STEADY, &groups);
    Config {
        path: "hikagen.yaml".into(),
        store: "hikagen.db".into(),
        timezone: TimeZone::get("Asia/Tokyo").unwrap(),
        groups: Arc::new(groups),
        rules: Arc::new(Rules::default()),
        pools: BTreeMap::from([
            ("news".parse().unwrap(), vec![cold.name.clone(), warm.name.clone()]),
            ("cold".parse().unwrap(), vec![cold.name.clone()]),
        ]),
        relays: BTreeMap::from([(cold.name.clone(), cold), (warm.name.clone(), warm)]),
        worker: WorkerSettings::default(),
        listen: ListenSettings::default(),
        feedback: FeedbackSettings::default(),
        signing_key: None,
    }
}

/// The same configuration with other settings of relay `tokyo-new`.
pub(crate) fn config_with(edit: impl FnOnce(&mut RelaySettings)) -> Config {
    let mut config = config();
    let mut settings = (*config.relays[&"tokyo-new".parse().unwrap()]).clone();
    edit(&mut settings);
    config.relays.insert(settings.name.clone(), Arc::new(settings));
    config
}

/// A campaign of `bucket` with `n` recipients, `pool`, running since 08:00.
pub(crate) async fn campaign(store: &dyn Store, name: &str, pool: &str, bucket: &str, n: usize) -> CampaignId {
    campaign_of(store, name, pool, bucket, n, Class::Bulk, tokyo("08:00")).await
}

/// The same, of a class and from a start.
pub(crate) async fn campaign_of(
    store: &dyn Store,
    name: &str,
    pool: &str,
    bucket: &str,
    n: usize,
    class: Class,
    start: Timestamp,
) -> CampaignId {
    let revision = Revision {
        content: "{}".to_owned(),
        start,
        finish_by: None,
        not_after: None,
        class,
        weight: 100,
        digest: name.to_owned(),
    };
    let new = NewCampaign {
        name: name.parse().unwrap(),
        pool: pool.parse().unwrap(),
        from: "news@m.example.jp".to_owned(),
        revision,
    };
    let id = store.create_campaign(new, tokyo("07:00")).await.unwrap();
    let rows = (0..n).map(|i| NewMessage {
        address: format!("{name}{i}@{bucket}.example"),
        key: format!("{name}{i}@{bucket}.example"),
        bucket: bucket.parse().unwrap(),
        score: 0,
        columns: "{}".to_owned(),
        refused: None,
    });
    store.enqueue(id, rows.collect(), 1, false, tokyo("07:00")).await.unwrap();
    store.finish_intake(id, 1, false, tokyo("07:00")).await.unwrap();
    id
}

/// What a server says.
pub(crate) fn reply(code: u16, enhanced: (u8, u16, u16), text: &str) -> Answer {
    let enhanced = Some(Enhanced(enhanced.0, enhanced.1, enhanced.2));
    Answer::Reply(Reply { code, enhanced, text: text.to_owned() })
}

/// Takes `n` messages for `tokyo-new/bucket` at `at`, a plan day of warm-up day 1 with `quota`.
pub(crate) async fn claim(
    store: &dyn Store,
    lease: &Lease,
    (campaign, bucket): (CampaignId, &str),
    n: u32,
    quota: u32,
    at: Timestamp,
) -> Vec<Claim> {
    let lane = LaneClaim {
        bucket: bucket.parse().unwrap(),
        day: at.to_zoned(TimeZone::get("Asia/Tokyo").unwrap()).date(),
        warmup_day: 1,
        quota,
        wants: vec![Want { campaign, retries: 0, fresh: n }],
    };
    let order = ClaimOrder { lease: lease.clone(), now: at, sender: "m.example.jp".to_owned(), lanes: vec![lane] };
    store.claim(order).await.unwrap().claims
}

/// Records what became of a claim that left at `at`.
pub(crate) async fn settle(
    store: &dyn Store,
    lease: &Lease,
    claim: &Claim,
    at: Timestamp,
    (stage, answer, signal, action): (Stage, Answer, Signal, Option<Action>),
    disposition: Disposition,
) {
    let rule = action.map(|_| "docomo-450".into());
    let attempt = Attempt { released_at: at, finished_at: at, stage, answer, signal, action, rule };
    let settlement = Settlement {
        claim: claim.r.clone(),
        attempt: Some(attempt),
        disposition,
        refund: false,
        grade: Grade::default(),
        at,
    };
    store.settle(lease, vec![settlement]).await.unwrap();
}

/// A morning: `sale` has sent its quota of 5 to docomo (three accepted, one bounced, one deferred until 11:45), five more wait;
/// lane `tokyo-new/au` is blocked until noon with three messages; `later` starts tomorrow; `held` is paused.
pub(crate) async fn morning() -> Arc<SqliteStore> {
    let store = Arc::new(SqliteStore::in_memory());
    let s: &dyn Store = &*store;
    let sale = campaign(s, "sale", "cold", "docomo", 10).await;
    campaign(s, "news", "cold", "au", 3).await;
    let tomorrow = "2026-11-25T09:00:00+09:00".parse().unwrap();
    campaign_of(s, "later", "news", "softbank", 2, Class::Bulk, tomorrow).await;
    campaign(s, "held", "news", "softbank", 1).await;
    let held = "held".parse().unwrap();
    let paused = hikagen::core::campaign::CampaignState::Paused;
    s.order_campaign(&held, paused, "prices are wrong", tokyo("09:30")).await.unwrap();
    let relay = "tokyo-new".parse().unwrap();
    let (lease, _) = s.acquire(&relay, "host-a, process 4711", tokyo("09:00"), false, tokyo("08:00")).await.unwrap();
    let claims = claim(s, &lease, (sale, "docomo"), 5, 5, tokyo("08:05")).await;
    let accepted = || (Stage::Body, reply(250, (2, 0, 0), "ok"), Signal::Unclassified, None);
    for (i, claim) in claims.iter().enumerate() {
        let at = tokyo(&format!("08:{:02}", 10 + i));
        match i {
            3 => {
                let answer = reply(550, (5, 1, 1), "Unknown user");
                let told = (Stage::Rcpt, answer, Signal::Recipient, Some(Action::Suppress));
                settle(s, &lease, claim, at, told, Disposition::Bounced(Some(SuppressionReason::Unknown))).await;
            }
            4 => {
                let told =
                    (Stage::Rcpt, reply(450, (4, 2, 0), "Try again\nlater"), Signal::Volume, Some(Action::Retry));
                settle(s, &lease, claim, at, told, Disposition::Deferred { due: tokyo("11:45") }).await;
            }
            _ => settle(s, &lease, claim, at, accepted(), Disposition::Accepted).await,
        }
    }
    let block = Pause {
        scope: Scope::Lane("tokyo-new/au".parse().unwrap()),
        cause: PauseCause::Block,
        reason: "421 4.7.0 too many connections".to_owned(),
        since: tokyo("09:00"),
        until: Some(tokyo("12:00")),
        times: 2,
    };
    s.pause(block).await.unwrap();
    let event = EventRow {
        at: tokyo("09:00"),
        kind: "lane-paused".to_owned(),
        subject: "tokyo-new/au".to_owned(),
        text: "block: 421 4.7.0 too many connections".to_owned(),
    };
    s.record_event(event).await.unwrap();
    store
}
