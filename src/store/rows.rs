//! Owns the plain records that go into the store and come out of it.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::core::campaign::{CampaignId, CampaignState, Class, MessageId, MessageState, RevisionId};
use crate::core::lane::{Grade, Ledger, Verdict};
use crate::core::names::{BucketName, CampaignName, LaneKey, PlanName, PoolName, RelayName};
use crate::core::reply::{Action, Answer, Signal, Stage};

/// What a campaign says and when: the part that `--update` may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Templates, headers, sender: JSON of `compose::Content`.
    pub content: String,
    /// First instant of claiming.
    pub start: Timestamp,
    /// When it should be done; warned about, never enforced.
    pub finish_by: Option<Timestamp>,
    /// When what is unsent expires.
    pub not_after: Option<Timestamp>,
    /// Which class its mail is in.
    pub class: Class,
    /// Its share against other campaigns of the same class, 1 to 1000.
    pub weight: u32,
    /// Digest of everything above, to see whether a resubmission changes anything.
    pub digest: String,
}

/// A campaign to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCampaign {
    /// Its name.
    pub name: CampaignName,
    /// Which relays may carry it; never changes.
    pub pool: PoolName,
    /// Sender as written (`from`); never changes.
    pub from: String,
    /// First revision.
    pub revision: Revision,
}

/// A campaign as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRow {
    /// Number.
    pub id: CampaignId,
    /// Name.
    pub name: CampaignName,
    /// Pool.
    pub pool: PoolName,
    /// Sender as written.
    pub from: String,
    /// State.
    pub state: CampaignState,
    /// Why it is paused or cancelled.
    pub because: Option<String>,
    /// When the state last changed.
    pub changed: Timestamp,
    /// When it was created.
    pub created: Timestamp,
    /// Current revision's number.
    pub revision: RevisionId,
    /// Current revision.
    pub current: Revision,
    /// Loads so far (the number to give the next).
    pub loads: i64,
}

/// The score of a seed, in thousandths: above any that a list may say (1e15), so that it is first in its line.
pub const SEED_SCORE: i64 = 2_000_000_000_000_000;

/// A recipient to enqueue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Address as it will be sent, `local@domain`.
    pub address: String,
    /// [`crate::core::address::Address::key`].
    pub key: String,
    /// Where it waits.
    pub bucket: BucketName,
    /// Higher leaves earlier; 0 when the list has none. Thousandths.
    pub score: i64,
    /// All columns of the list as a JSON object of texts.
    pub columns: String,
    /// Final from the start (`dead domain ...`).
    pub refused: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// New and waiting.
    pub added: u64,
    /// Known, waiting, and changed.
    pub updated: u64,
    /// Known and unchanged, or no longer waiting.
    pub known: u64,
    /// New and suppressed at once.
    pub suppressed: u64,
}

/// One entry of the suppression list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// [`crate::core::address::Address::key`].
    pub key: String,
    /// What it holds back.
    pub reason: SuppressionReason,
    /// The sending domain that an unsubscribe is about; `None`: every sender.
    pub sender: Option<String>,
    /// In words: the reply, the operator's note.
    pub note: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why an address is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuppressionReason {
    /// The destination does not know it. Holds everything.
    Unknown,
    /// Its owner complained. Holds everything.
    Complaint,
    /// An operator's entry. Holds everything.
    Manual,
    /// Its owner left the list of one sending domain. Does not hold transactional mail.
    Unsubscribe,
    /// Its mailbox was full or suspended for several messages in a row. Holds everything.
    Mailbox,
    /// Its owner wished to be forgotten: the key is a hash of the address. Holds everything.
    Forgotten,
}

impl SuppressionReason {
    /// The word used in files and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Complaint => "complaint",
            Self::Manual => "manual",
            Self::Unsubscribe => "unsubscribe",
            Self::Mailbox => "mailbox",
            Self::Forgotten => "forgotten",
        }
    }
}

/// What a pause holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// A relay with all its lanes.
    Relay(RelayName),
    /// One lane.
    Lane(LaneKey),
}

pub use crate::core::lane::{CELL, PauseCause};

/// Nothing leaves, with a cause and an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub scope: Scope,
    /// Why. One pause per scope and cause.
    pub cause: PauseCause,
    /// In words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until resumed.
    pub until: Option<Timestamp>,
    /// How often this scope was paused for this cause within the last 7 days, this time included.
    pub times: u32,
}

/// Claims of an owner that died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Put back to be tried again.
    pub retried: u64,
    /// Parked for the operator.
    pub parked: u64,
}

/// What the owner of a relay starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RelayMemory {
    /// Newest ledger of each lane.
    pub ledgers: Vec<Ledger>,
    /// Spending of the last 24 hours: bucket, start of the cell ([`CELL`] long), messages.
    pub cells: Vec<(BucketName, Timestamp, u32)>,
    /// Pauses of the relay and its lanes that are in force or began within 7 days: what [`Pause::times`] counts on.
    pub pauses: Vec<Pause>,
    /// Number of the last report that its owner acted on.
    pub heard: i64,
    /// Plan days of the last days with a handover and their verdicts, oldest first: late answers may still change them.
    pub judged: Vec<(Ledger, Verdict)>,
}

impl RelayMemory {
    /// Lanes that a carrier blocked lately, and when.
    #[must_use]
    pub fn blocks(&self) -> Vec<(BucketName, Timestamp)> {
        self.of_lanes(PauseCause::Block).map(|(bucket, pause)| (bucket.clone(), pause.since)).collect()
    }

    /// Lanes that are stopped until the operator resumes them: since when, and why.
    #[must_use]
    pub fn stops(&self) -> Vec<(BucketName, Timestamp, String)> {
        let stop = |(bucket, pause): (&BucketName, &Pause)| (bucket.clone(), pause.since, pause.reason.clone());
        self.of_lanes(PauseCause::Stop).map(stop).collect()
    }

    fn of_lanes(&self, cause: PauseCause) -> impl Iterator<Item = (&BucketName, &Pause)> {
        self.pauses.iter().filter(move |pause| pause.cause == cause).filter_map(|pause| match &pause.scope {
            Scope::Lane(lane) => Some((&lane.bucket, pause)),
            Scope::All | Scope::Relay(_) => None,
        })
    }
}

/// A campaign's waiting mail in one bucket, due now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRow {
    /// Campaign.
    pub campaign: CampaignId,
    /// Bucket.
    pub bucket: BucketName,
    /// Never tried.
    pub fresh: u64,
    /// Tried before and due again.
    pub retries: u64,
    /// Tried before and due later.
    pub later: u64,
}

/// What a decision looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlook {
    /// Campaigns that are neither finished nor cancelled, by id.
    pub campaigns: Vec<CampaignRow>,
    /// Their waiting mail; rows without any are left out.
    pub waiting: Vec<WaitingRow>,
    /// All pauses in force at the time given.
    pub pauses: Vec<Pause>,
    /// What relays can still send today, unexpired.
    pub needs: Vec<(RelayName, BucketName, u32)>,
    /// Whether the pool had transactional mail within 7 days.
    pub transactional_pools: Vec<PoolName>,
}

/// Messages wanted from one campaign for one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Campaign.
    pub campaign: CampaignId,
    /// At most so many that were tried before; taken first.
    pub retries: u32,
    /// At most so many never tried.
    pub fresh: u32,
}

/// What one lane takes in a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneClaim {
    /// The lane's bucket.
    pub bucket: BucketName,
    /// Plan day that pays.
    pub day: Date,
    /// Its warm-up day.
    pub warmup_day: u32,
    /// Its quota: `spent` never passes it.
    pub quota: u32,
    /// What to take, in this order.
    pub wants: Vec<Want>,
}

/// A claim: all lanes of a tick, one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimOrder {
    /// Fence.
    pub lease: Lease,
    /// Time of the claim.
    pub now: Timestamp,
    /// The relay's sending domain: which unsubscribes hold.
    pub sender: String,
    /// Lanes.
    pub lanes: Vec<LaneClaim>,
}

use super::Lease;

/// What identifies a claim when it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRef {
    /// Message.
    pub message: MessageId,
    /// Lease token at the claim.
    pub token: i64,
    /// Campaign.
    pub campaign: CampaignId,
    /// Lane's bucket.
    pub bucket: BucketName,
    /// Class.
    pub class: Class,
    /// Plan day that paid.
    pub day: Date,
    /// Its warm-up day.
    pub warmup_day: u32,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// It was tried before.
    pub retry: bool,
}

/// A message taken for sending.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Fence and accounting.
    pub r: ClaimRef,
    /// Address, `local@domain`.
    pub address: String,
    /// JSON object of texts.
    pub columns: String,
    /// Attempts so far.
    pub attempts: u32,
    /// First attempt, when there was one.
    pub first_attempt: Option<Timestamp>,
    /// It was uncertain before.
    pub was_uncertain: bool,
}

/// What a claim brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claimed {
    /// The messages.
    pub claims: Vec<Claim>,
    /// Messages found suppressed on the way.
    pub suppressed: u64,
}

/// One attempt for the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// When MAIL was about to be written (throttle token taken).
    pub released_at: Timestamp,
    /// When the answer was in.
    pub finished_at: Timestamp,
    /// Stage of the answer.
    pub stage: Stage,
    /// The answer.
    pub answer: Answer,
    /// Whose fault.
    pub signal: Signal,
    /// What its rule asked for; `None` when accepted.
    pub action: Option<Action>,
    /// The rule.
    pub rule: Option<std::sync::Arc<str>>,
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Final: accepted.
    Accepted,
    /// Final: refused for good; with a reason, the address is suppressed too.
    Bounced(Option<SuppressionReason>),
    /// Waits and is tried again.
    Deferred {
        /// When.
        due: Timestamp,
    },
    /// Its fate is unknown; waits and is tried once more.
    Uncertain {
        /// When.
        due: Timestamp,
    },
    /// Its fate is unknown for the second time (or `uncertain: park`): waits for the operator.
    Parked,
    /// Given back unsent: queued where it was.
    Unsent,
    /// Final: too old, with the reason in words.
    Expired(String),
}

/// A claim and what became of it. In a cancelled campaign `Deferred`, `Uncertain`, `Parked` and `Unsent` become cancelled; past
/// `not_after` they become expired (`perhaps sent` where uncertain).
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// Which claim.
    pub claim: ClaimRef,
    /// The attempt; `None` when nothing was tried.
    pub attempt: Option<Attempt>,
    /// What becomes of it.
    pub disposition: Disposition,
    /// The quota is given back (no RCPT was written, same plan day).
    pub refund: bool,
    /// What the answer says of the lane.
    pub grade: Grade,
    /// When.
    pub at: Timestamp,
}

/// What a settle did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Recorded.
    pub done: u64,
    /// Ignored: their claim was gone.
    pub stale: u64,
}

/// What a feed did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fed {
    /// Messages put back into line.
    pub moved: u64,
    /// When the next one is due.
    pub next: Option<Timestamp>,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Messages expired.
    pub expired: u64,
    /// Messages cancelled.
    pub cancelled: u64,
    /// Campaigns that came to their end.
    pub finished: Vec<CampaignName>,
    /// There is more to do at once.
    pub more: bool,
}

/// A plan as it was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRevision {
    /// Name.
    pub name: PlanName,
    /// The file's text.
    pub text: String,
    /// Who applied it (user and program).
    pub by: String,
}

/// Something an operator should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// When.
    pub at: Timestamp,
    /// `lane-paused`, `relay-refused-login`, `disk-low`, `campaign-ended`, ...
    pub kind: String,
    /// Relay, lane or campaign.
    pub subject: String,
    /// In words.
    pub text: String,
}

/// Messages of a campaign per bucket and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyRow {
    /// Bucket.
    pub bucket: BucketName,
    /// State.
    pub state: MessageState,
    /// How many.
    pub n: u64,
}

/// Who owns a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRow {
    /// Relay.
    pub relay: RelayName,
    /// Token.
    pub token: i64,
    /// Host and process; `None`: the last owner gave it back.
    pub owner: Option<String>,
    /// Since when the owner has it, or the last one had it.
    pub since: Timestamp,
    /// Whether the owner lives (its lock is held).
    pub alive: bool,
    /// Messages in the air.
    pub in_the_air: u64,
}

/// A message as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Number.
    pub id: MessageId,
    /// Campaign.
    pub campaign: CampaignName,
    /// Campaign number.
    pub campaign_id: CampaignId,
    /// Pool.
    pub pool: PoolName,
    /// Class.
    pub class: Class,
    /// Bucket.
    pub bucket: BucketName,
    /// Address.
    pub address: String,
    /// JSON object of texts.
    pub columns: String,
    /// Thousandths.
    pub score: i64,
    /// State.
    pub state: MessageState,
    /// Why it is in that state, in words.
    pub because: Option<String>,
    /// When that state began, where known.
    pub since: Option<Timestamp>,
    /// When it is due, when it is deferred.
    pub due: Option<Timestamp>,
    /// Relay of the claim or of the last attempt.
    pub relay: Option<RelayName>,
    /// Attempts so far.
    pub attempts: u32,
}

impl MessageRow {
    /// Whether it goes to a seed of its campaign: an address of the operator's own that gets it first.
    #[must_use]
    pub fn is_seed(&self) -> bool {
        self.score >= SEED_SCORE
    }
}

/// An attempt as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Message.
    pub message: MessageId,
    /// Lane.
    pub lane: LaneKey,
    /// Plan day that paid.
    pub day: Date,
    /// What was recorded.
    pub attempt: Attempt,
    /// It counts against quota.
    pub counted: bool,
}

/// Answers of one kind on a lane's plan day: refusals and deferrals with the same code, rule and consequence.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerCount {
    /// How many attempts were answered so.
    pub n: u64,
    /// The last of them.
    pub last: AttemptRow,
}

/// When a counted attempt left. The class is that of its claim ([`ClaimRef::class`]): transactional mail obeys no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// [`Attempt::released_at`] in microseconds since the epoch, rounded down.
    pub at: i64,
    /// Class.
    pub class: Class,
}

/// A lane's plan day, recounted from attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecountRow {
    /// Lane.
    pub lane: LaneKey,
    /// Plan day.
    pub day: Date,
    /// Warm-up days under which its claims were stamped (one, unless something is wrong).
    pub warmup_days: Vec<u32>,
    /// Attempts that count against quota.
    pub counted: u64,
    /// Claims of that day still in the air.
    pub in_the_air: u64,
    /// Claims of that day lost in a crash (uncertain without an attempt row).
    pub lost: u64,
    /// Attempts whose times of release were folded away; those that count are in `counted`, too.
    pub folded: u64,
    /// The ledger's own figure; `None` when there is no ledger row.
    pub spent: Option<u32>,
    /// The ledger's highest quota.
    pub quota_peak: Option<u32>,
}
