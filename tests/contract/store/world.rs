//! Owns the builders that stories are told with.

use std::path::PathBuf;
use std::sync::Arc;

use hikagen::core::campaign::{CampaignId, CampaignState, Class, MessageId, MessageState};
use hikagen::core::lane::Grade;
use hikagen::core::names::{BucketName, CampaignName, PoolName, RelayName};
use hikagen::core::reply::{Action, Answer, Enhanced, Fault, Reply, Signal, Stage};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::*;
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};

pub(crate) const DAY: Date = date(2026, 3, 2);

/// Noon in Tokyo on [`DAY`], and so many seconds later.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-03-02T03:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn relay(name: &str) -> RelayName {
    RelayName::new(name).unwrap()
}

pub(crate) fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

/// A store with what a story needs beside it.
pub(crate) struct World {
    pub(crate) store: Arc<SqliteStore>,
    folder: Option<tempfile::TempDir>,
}

impl World {
    pub(crate) fn in_memory() -> Self {
        Self { store: Arc::new(SqliteStore::in_memory()), folder: None }
    }

    pub(crate) fn in_a_file() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// The store `hikagen.db` in a folder.
    pub(crate) fn at(folder: tempfile::TempDir) -> Self {
        let store = Arc::new(SqliteStore::open(&folder.path().join("hikagen.db")).unwrap());
        Self { store, folder: Some(folder) }
    }

    /// Closes the store; the folder stays.
    pub(crate) fn close(self) -> (PathBuf, tempfile::TempDir) {
        let path = self.path();
        drop(self.store);
        (path, self.folder.unwrap())
    }

    /// The file, when there is one.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("hikagen.db")
    }

    /// The file, where there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|_| self.path())
    }

    /// What another process sees of the same store.
    pub(crate) fn another_process(&self) -> Arc<SqliteStore> {
        Arc::new(match self.store.another_handle() {
            Some(handle) => handle,
            None => SqliteStore::open_existing(&self.path()).unwrap(),
        })
    }

    /// The process dies: its locks are free, its claims are as they were.
    pub(crate) fn crash(&mut self) {
        self.store = self.another_process();
    }

    /// A running campaign of bulk mail with `n` recipients in bucket `docomo`.
    pub(crate) async fn campaign(&self, name: &str, n: usize) -> CampaignId {
        self.campaign_of(name, Class::Bulk, rows(n)).await
    }

    pub(crate) async fn campaign_of(&self, name: &str, class: Class, rows: Vec<NewMessage>) -> CampaignId {
        let id = self.store.create_campaign(new_campaign(name, class), at(0)).await.unwrap();
        self.store.enqueue(id, rows, 0, false, at(0)).await.unwrap();
        self.store.finish_intake(id, 0, false, at(0)).await.unwrap();
        id
    }

    pub(crate) async fn lease(&self, name: &str) -> Lease {
        self.store.acquire(&relay(name), "host 1", at(900), false, at(0)).await.unwrap().0
    }

    /// Claims up to `n` messages for docomo under a quota of 1000.
    pub(crate) async fn claim(&self, lease: &Lease, campaign: CampaignId, n: u32) -> Vec<Claim> {
        self.store.claim(order(lease, campaign, n)).await.unwrap().claims
    }

    pub(crate) async fn settle(&self, lease: &Lease, claim: &Claim, disposition: Disposition) -> Settled {
        self.store.settle(lease, vec![settlement(claim, disposition)]).await.unwrap()
    }

    pub(crate) async fn row(&self, name: &str) -> CampaignRow {
        self.store.campaign(&CampaignName::new(name).unwrap()).await.unwrap().unwrap()
    }

    pub(crate) async fn message(&self, id: MessageId) -> MessageRow {
        self.store.message(id).await.unwrap().unwrap()
    }

    /// How many messages of a campaign are in `state`, by the tally and by the messages themselves, which must agree.
    pub(crate) async fn count(&self, id: CampaignId, state: MessageState) -> u64 {
        let tally = self.store.tally(id).await.unwrap();
        let counted: u64 = tally.iter().filter(|t| t.state == state).map(|t| t.n).sum();
        let found = self.store.messages_of(id, &[state], None, 100_000).await.unwrap();
        assert!(found.iter().all(|m| m.state == state));
        assert_eq!(counted, found.len() as u64, "the tally and the messages disagree about {}", state.as_str());
        counted
    }

    pub(crate) async fn ledger(&self, name: &str) -> hikagen::core::lane::Ledger {
        self.store.ledgers(Some(&relay(name)), DAY).await.unwrap().into_iter().next().unwrap().1
    }

    /// The promises that hold at any moment: every message is somewhere exactly once, no ledger is over its quota, and ledgers
    /// agree with a recount.
    pub(crate) async fn check(&self) {
        self.check_books().await;
        for campaign in self.store.campaigns().await.unwrap() {
            let all = self.store.messages_of(campaign.id, &[], None, 100_000).await.unwrap();
            let mut counted = 0;
            for state in MessageState::ALL {
                counted += self.count(campaign.id, state).await;
            }
            assert_eq!(counted, all.len() as u64, "messages of {} are lost or double", campaign.name);
        }
    }

    /// The part of [`World::check`] that looks at tables and ledgers only.
    pub(crate) async fn check_books(&self) {
        assert_eq!(self.store.inspect().await.unwrap(), Vec::<String>::new());
        for row in self.store.recount(Date::MIN).await.unwrap() {
            let spent = u64::from(row.spent.unwrap());
            assert!(spent <= u64::from(row.quota_peak.unwrap()), "over quota: {row:?}");
            assert_eq!(spent, row.counted + row.in_the_air + row.lost, "ledger and recount differ: {row:?}");
            assert_eq!(row.warmup_days.len().max(1), 1, "two warm-up days on one plan day: {row:?}");
        }
    }
}

pub(crate) fn revision(class: Class) -> Revision {
    Revision {
        content: "{}".to_owned(),
        start: at(0),
        finish_by: None,
        not_after: None,
        class,
        weight: 100,
        digest: "d1".to_owned(),
    }
}

pub(crate) fn new_campaign(name: &str, class: Class) -> NewCampaign {
    NewCampaign {
        name: CampaignName::new(name).unwrap(),
        pool: PoolName::new("news").unwrap(),
        from: "火加減 <news@mail.example.jp>".to_owned(),
        revision: revision(class),
    }
}

pub(crate) fn row(address: &str) -> NewMessage {
    NewMessage {
        address: address.to_owned(),
        key: address.to_lowercase(),
        bucket: bucket("docomo"),
        score: 0,
        columns: format!("{{\"email\":\"{address}\"}}"),
        refused: None,
    }
}

pub(crate) fn rows(n: usize) -> Vec<NewMessage> {
    (0..n).map(|i| row(&format!("u{i}@docomo.ne.jp"))).collect()
}

pub(crate) fn lane(campaign: CampaignId, retries: u32, fresh: u32, quota: u32) -> LaneClaim {
    LaneClaim {
        bucket: bucket("docomo"),
        day: DAY,
        warmup_day: 3,
        quota,
        wants: vec![Want { campaign, retries, fresh }],
    }
}

pub(crate) fn order(lease: &Lease, campaign: CampaignId, n: u32) -> ClaimOrder {
    ClaimOrder {
        lease: lease.clone(),
        now: at(10),
        sender: "mail.example.jp".to_owned(),
        lanes: vec![lane(campaign, n, n, 1_000)],
    }
}

pub(crate) fn attempt(answer: Answer) -> Attempt {
    Attempt {
        released_at: at(11),
        finished_at: at(12),
        stage: Stage::Body,
        answer,
        signal: Signal::Unclassified,
        action: None,
        rule: None,
    }
}

/// A settlement with an attempt such as the disposition comes from.
pub(crate) fn settlement(claim: &Claim, disposition: Disposition) -> Settlement {
    let reply =
        |code, enhanced, text: &str| Answer::Reply(Reply { code, enhanced: Some(enhanced), text: text.to_owned() });
    let tried = match &disposition {
        Disposition::Accepted => Some(attempt(reply(250, Enhanced(2, 0, 0), "Ok: queued as 4XyZ"))),
        Disposition::Bounced(_) => Some(Attempt {
            stage: Stage::Rcpt,
            signal: Signal::Recipient,
            action: Some(Action::Suppress),
            rule: Some("docomo-550-unknown".into()),
            ..attempt(reply(550, Enhanced(5, 1, 1), "User unknown"))
        }),
        Disposition::Deferred { .. } | Disposition::Expired(_) => Some(Attempt {
            stage: Stage::Rcpt,
            signal: Signal::Volume,
            action: Some(Action::Retry),
            ..attempt(reply(451, Enhanced(4, 7, 1), "Try later"))
        }),
        Disposition::Uncertain { .. } | Disposition::Parked => Some(attempt(Answer::Fault(Fault::Reset))),
        Disposition::Unsent => None,
    };
    let refund = disposition == Disposition::Unsent;
    Settlement { claim: claim.r.clone(), attempt: tried, disposition, refund, grade: Grade::default(), at: at(12) }
}

/// Folds what ended at `before` or earlier, so many rows at most, by days of Tokyo.
pub(crate) fn fold_order(before: Timestamp, limit: u32) -> FoldOrder {
    FoldOrder { before, limit, zone: jiff::tz::TimeZone::get("Asia/Tokyo").unwrap() }
}

pub(crate) fn ids(claims: &[Claim]) -> Vec<MessageId> {
    claims.iter().map(|c| c.r.message).collect()
}

pub(crate) fn addresses(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|c| c.address.as_str()).collect()
}

pub(crate) fn name(text: &str) -> CampaignName {
    CampaignName::new(text).unwrap()
}

pub(crate) const RUNNING: CampaignState = CampaignState::Running;
