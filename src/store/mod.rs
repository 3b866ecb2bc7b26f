//! Owns the meaning of the store's verbs. `sqlite` is the embedded store; another must pass `tests/contract`.
//!
//! Invariants: `now` is always an argument; what a verb acknowledged survives a crash; `claim` spends quota in the same
//! transaction that takes the messages, fenced by the lease's token; a settle counts once; a final state is never left.

pub mod care;
pub mod course;
pub mod feedback;
pub mod rows;
pub mod sqlite;
pub(crate) mod step;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::core::campaign::{CampaignId, CampaignState, MessageId, RevisionId};
use crate::core::journal::Entry;
use crate::core::lane::{Ledger, Verdict};
use crate::core::names::{BucketName, CampaignName, LaneKey, PoolName, RelayName};

pub use care::*;
pub use course::*;
pub use feedback::*;
pub use rows::*;

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another owner has the relay, or this lease's token is no longer the newest.
    #[error("relay {relay} belongs to another worker{}", .holder.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    LeaseLost {
        /// The relay.
        relay: RelayName,
        /// Who holds it, when known.
        holder: Option<String>,
    },
    /// Disk full, read-only, locked by others for too long, input or output error: nothing was changed; try again later.
    #[error("the store cannot be written: {0}")]
    Unavailable(String),
    /// The file is not a Hikagen store, is damaged, or was made by a newer version.
    #[error("the store cannot be used: {0}")]
    Corrupt(String),
    /// The request makes no sense for what is stored (no such campaign, message not parked, quota would be passed).
    #[error("{0}")]
    Refused(String),
}

/// Ownership of a relay by one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The relay owned.
    pub relay: RelayName,
    /// Fencing number; grows with every acquisition.
    pub token: i64,
}

/// The store. Object-safe, so that tests can wrap it.
#[async_trait]
pub trait Store: Send + Sync {
    // ---- intake -------------------------------------------------------------------------------------------------

    /// A campaign by name.
    async fn campaign(&self, name: &CampaignName) -> Result<Option<CampaignRow>, StoreError>;

    /// Creates a campaign in state `Loading` with its first revision.
    async fn create_campaign(&self, new: NewCampaign, now: Timestamp) -> Result<CampaignId, StoreError>;

    /// Stores a new revision (content and schedule) for a campaign that is neither finished nor cancelled; unsent mail uses it
    /// from its next claim on.
    async fn revise_campaign(
        &self,
        id: CampaignId,
        revision: Revision,
        now: Timestamp,
    ) -> Result<RevisionId, StoreError>;

    /// Takes a batch of rows in one transaction (the caller bounds it to about 20 ms of work). New keys are added as queued, or
    /// as suppressed (final) where `NewMessage::refused` says so or the suppression list holds them; for known keys still
    /// queued or deferred, columns, score and bucket are replaced; others are left alone. Every row seen is stamped with
    /// `load` when `mark` is set, for [`Store::finish_intake`].
    async fn enqueue(
        &self,
        id: CampaignId,
        rows: Vec<NewMessage>,
        load: i64,
        mark: bool,
        now: Timestamp,
    ) -> Result<Enqueued, StoreError>;

    /// Ends an intake: `Loading` becomes `Running`. With `prune`, waiting messages not stamped with `load` become cancelled;
    /// their number is returned.
    async fn finish_intake(&self, id: CampaignId, load: i64, prune: bool, now: Timestamp) -> Result<u64, StoreError>;

    /// The content of a revision.
    async fn revision(&self, id: RevisionId) -> Result<Revision, StoreError>;

    // ---- suppression --------------------------------------------------------------------------------------------

    /// Adds entries (a repeat changes nothing); returns how many were new.
    async fn suppress(&self, entries: Vec<Suppression>, now: Timestamp) -> Result<u64, StoreError>;

    /// Takes entries of an address off; returns how many there were.
    async fn unsuppress(&self, key: &str) -> Result<u64, StoreError>;

    /// Entries by key, after `after`, at most `limit`; `key` narrows to one address.
    async fn suppressions(
        &self,
        key: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Suppression>, StoreError>;

    // ---- orders -------------------------------------------------------------------------------------------------

    /// Sets a campaign's state: `Paused` (with a cause), `Running` (resume) or `Cancelled` (its waiting messages are then
    /// cancelled by [`Store::sweep`]). Refused where the state is final.
    async fn order_campaign(
        &self,
        name: &CampaignName,
        state: CampaignState,
        because: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes or replaces the pause of a scope and cause.
    async fn pause(&self, pause: Pause) -> Result<(), StoreError>;

    /// Takes pauses of a scope off (`cause: None`: all causes); returns how many there were.
    async fn resume(&self, scope: &Scope, cause: Option<PauseCause>) -> Result<u64, StoreError>;

    /// Ends the parking of messages, in one transaction (the caller bounds it): accepted or bounced for good, or queued again.
    /// Those that are not parked are left alone and counted in `stale`.
    async fn settle_parked(&self, ids: Vec<MessageId>, fate: Fate, now: Timestamp) -> Result<Settled, StoreError>;

    /// Copies the store, online, to a new file. Refused when it exists.
    async fn backup(&self, to: &std::path::Path) -> Result<(), StoreError>;

    // ---- worker -------------------------------------------------------------------------------------------------

    /// A worker begins. When the store was restored from an older backup, everything is paused until resumed and the warning
    /// is returned.
    async fn begin(&self, now: Timestamp) -> Result<Option<String>, StoreError>;

    /// Takes the relay: its token grows by one. Claims of earlier owners are uncertain: on the first time they wait for
    /// `retry_at`, on the second (or when `park`) they are parked. Fails with `LeaseLost` while another process owns the relay.
    async fn acquire(
        &self,
        relay: &RelayName,
        owner: &str,
        retry_at: Timestamp,
        park: bool,
        now: Timestamp,
    ) -> Result<(Lease, Recovered), StoreError>;

    /// Gives the relay back. Claims must have been settled.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    /// What the relay's owner must know: newest ledger of each lane and spending of the last 24 hours in cells. Only read, so
    /// the lease's token does not matter: reports ask with a lease that nobody holds.
    async fn memory(&self, lease: &Lease, now: Timestamp) -> Result<RelayMemory, StoreError>;

    /// Everything a decision looks at: campaigns with their waiting mail per bucket, pauses, needs of other relays.
    async fn outlook(&self, now: Timestamp) -> Result<Outlook, StoreError>;

    /// Takes messages and spends their quota in one transaction, durable when it returns. The ledger rows are created where
    /// missing. Messages whose address is suppressed go to `Suppressed` and cost nothing. Fewer than wanted is normal.
    /// Refused (nothing changed) when a ledger's `spent` would pass the quota given.
    async fn claim(&self, order: ClaimOrder) -> Result<Claimed, StoreError>;

    /// Records what became of claims, in one transaction, durable when it returns. A settlement whose claim is gone (settled
    /// before, or taken over) is ignored and counted in `stale`.
    async fn settle(&self, lease: &Lease, settlements: Vec<Settlement>) -> Result<Settled, StoreError>;

    /// Writes what the relay's owner decided (a new plan day, a late answer, an order), in one transaction; existing rows of the same
    /// day keep what was spent.
    async fn roll(&self, lease: &Lease, rolled: Rolled, now: Timestamp) -> Result<(), StoreError>;

    /// How the relay's plan days since `since` were answered by now, and which orders wait for its owner.
    async fn courses(&self, relay: &RelayName, since: Date) -> Result<Courses, StoreError>;

    /// Leaves an order about a lane for the relay's owner, who does it once.
    async fn order_lane(&self, order: LaneOrder) -> Result<(), StoreError>;

    /// Campaigns whose mail met unknown users on a lane's plan day, the most first, at most 20.
    async fn unknowns(&self, lane: &LaneKey, day: Date) -> Result<Vec<UnknownsOf>, StoreError>;

    /// Adds to the journal.
    async fn note(&self, entries: Vec<Entry>) -> Result<(), StoreError>;

    /// Moves messages whose time has come back into line, at most `limit`; says when the next is due.
    async fn feed(&self, now: Timestamp, limit: u32) -> Result<Fed, StoreError>;

    /// Finishes what time and operators decided, at most `limit` messages: expires campaigns past `not_after`, cancels the waiting
    /// messages of cancelled campaigns, marks campaigns without waiting mail finished, forgets cells older than 25 hours and
    /// pauses that have ended. Notes when campaigns ended, for [`Store::fold`].
    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<Swept, StoreError>;

    /// Says what this relay can still send today, per bucket, good until `until`.
    async fn write_needs(
        &self,
        relay: &RelayName,
        needs: Vec<(BucketName, u32)>,
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Stores the plan in force for a relay when it differs from the last one stored; says whether it did.
    async fn record_plan(&self, relay: &RelayName, plan: PlanRevision, now: Timestamp) -> Result<bool, StoreError>;

    /// Keeps an event for `status` and `why`.
    async fn record_event(&self, event: EventRow) -> Result<(), StoreError>;

    // ---- reports ------------------------------------------------------------------------------------------------

    /// All campaigns, newest first.
    async fn campaigns(&self) -> Result<Vec<CampaignRow>, StoreError>;

    /// Messages of a campaign per bucket and state.
    async fn tally(&self, id: CampaignId) -> Result<Vec<TallyRow>, StoreError>;

    /// Ledgers of a relay (or all), newest day first, since `since`.
    async fn ledgers(&self, relay: Option<&RelayName>, since: Date) -> Result<Vec<(RelayName, Ledger)>, StoreError>;

    /// Verdicts of a relay (or all), newest first, since `since`.
    async fn verdicts(&self, relay: Option<&RelayName>, since: Date) -> Result<Vec<(RelayName, Verdict)>, StoreError>;

    /// Entries of the journal with their numbers, newest first.
    async fn journal(&self, filter: JournalFilter, limit: u32) -> Result<Vec<(i64, Entry)>, StoreError>;

    /// Who owns which relay, or owned it last, and what is in the air there.
    async fn owners(&self) -> Result<Vec<OwnerRow>, StoreError>;

    /// A message.
    async fn message(&self, id: MessageId) -> Result<Option<MessageRow>, StoreError>;

    /// All messages to an address, newest first, at most 100.
    async fn messages_to(&self, key: &str) -> Result<Vec<MessageRow>, StoreError>;

    /// A page of a campaign's messages in list order, after `after`, optionally of some states only.
    async fn messages_of(
        &self,
        id: CampaignId,
        states: &[crate::core::campaign::MessageState],
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<MessageRow>, StoreError>;

    /// A page of the messages that `filter` means, by number, after `after`.
    async fn messages_like(
        &self,
        filter: MessageFilter,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<MessageRow>, StoreError>;
    /// The messages to a campaign's seeds, in the order of their intake, at most 1,000.
    async fn seeds_of(&self, id: CampaignId) -> Result<Vec<MessageRow>, StoreError>;

    /// How many messages leave before this one in its bucket and pool (same or earlier class; an estimate across campaigns that
    /// share). `None` when it is not in line.
    async fn place_in_line(&self, id: MessageId) -> Result<Option<u64>, StoreError>;

    /// Attempts of a message, oldest first.
    async fn attempts(&self, id: MessageId) -> Result<Vec<AttemptRow>, StoreError>;

    /// Last attempts of a lane, newest first.
    async fn lane_attempts(
        &self,
        relay: &RelayName,
        bucket: &BucketName,
        limit: u32,
    ) -> Result<Vec<AttemptRow>, StoreError>;

    /// How a lane's attempts of a plan day were answered where they were not accepted: alike answers together, the most frequent
    /// first, at most `limit` kinds. What was folded is not among them.
    async fn day_answers(&self, lane: &LaneKey, day: Date, limit: u32) -> Result<Vec<AnswerCount>, StoreError>;

    /// The raw material of an audit: attempts per lane and plan day, recounted from the attempts themselves (and the counts of
    /// those that were folded), with what is in the air.
    async fn recount(&self, since: Date) -> Result<Vec<RecountRow>, StoreError>;

    /// When a lane's (or a whole relay's) counted attempts of a plan day left, ascending.
    async fn releases(
        &self,
        relay: &RelayName,
        bucket: Option<&BucketName>,
        day: Date,
    ) -> Result<Vec<Release>, StoreError>;

    /// Newest events first.
    async fn events(&self, limit: u32) -> Result<Vec<EventRow>, StoreError>;

    /// Plans that were in force, newest first.
    async fn plan_history(&self, relay: &RelayName, limit: u32) -> Result<Vec<(Timestamp, PlanRevision)>, StoreError>;

    /// Buckets, pools and campaigns known to the store whose names the configuration must still have.
    async fn pools_in_use(&self) -> Result<Vec<PoolName>, StoreError>;

    // ---- what came back from beyond the relay ---------------------------------------------------------------------

    /// Records reports, in one transaction (the caller bounds it). For each that is new: it is matched with its message and the
    /// attempt that a relay accepted; the [`Health`] of that attempt's lane and plan day counts it, once per message and fate;
    /// its address is suppressed where asked (waiting mail to it is then found by the claim); a reply without a rule is collected; a
    /// message that is parked or waits after an uncertain attempt, and that the report names by its token, is settled: as accepted
    /// where it was delivered, as bounced where it was refused for good. A repeat changes nothing. No message leaves its final state.
    async fn record_reports(&self, reports: Vec<Report>, now: Timestamp) -> Result<Recorded, StoreError>;

    /// Reports that count about messages of this relay, after number `after`, at most `limit`: what its owner acts on.
    async fn reports_of(&self, relay: &RelayName, after: i64, limit: u32) -> Result<Vec<ReportRow>, StoreError>;

    /// Remembers that the relay's owner has acted on reports up to number `until`; [`RelayMemory::heard`] brings it back.
    async fn note_heard(&self, lease: &Lease, until: i64) -> Result<(), StoreError>;

    /// Everything that was heard about a message, oldest first, at most 100.
    async fn reports_about(&self, message: MessageId) -> Result<Vec<ReportRow>, StoreError>;

    /// Everything that was heard about an address, newest first, at most 100.
    async fn reports_to(&self, key: &str) -> Result<Vec<ReportRow>, StoreError>;

    /// What was heard about a campaign's messages, those that a lane sent, or all (where neither is asked about), newest first.
    async fn reports(
        &self,
        campaign: Option<CampaignId>,
        lane: Option<&LaneKey>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, StoreError>;

    /// What came back for a campaign.
    async fn came_back(&self, id: CampaignId) -> Result<Vec<CameBack>, StoreError>;

    /// What came back per lane and plan day, newest day first, since `since`.
    async fn health(&self, relay: Option<&RelayName>, since: Date) -> Result<Vec<(LaneKey, Date, Health)>, StoreError>;

    /// Replies that no rule knows, in-band ones too, the most frequent first.
    async fn unknown_replies(&self, limit: u32) -> Result<Vec<UnknownReply>, StoreError>;

    /// Whom messages went to, also after their details were folded, in one look; those that the store does not know are left out.
    async fn recipients_of(&self, messages: Vec<MessageId>) -> Result<Vec<Recipient>, StoreError>;

    /// Whom a message went to.
    async fn recipient_of(&self, message: MessageId) -> Result<Option<Recipient>, StoreError> {
        Ok(self.recipients_of(vec![message]).await?.pop())
    }

    /// Removes what is known of a person: address, columns and words of every message and report; waiting messages are cancelled. A
    /// hash of the address stays in the suppression list, so that a later list that has it is still held back. Counts stay.
    async fn forget(&self, key: &str, now: Timestamp) -> Result<Forgotten, StoreError>;

    // ---- care ---------------------------------------------------------------------------------------------------

    /// Folds a bounded part of the campaigns that are over: messages and their attempts become counts per campaign, bucket,
    /// state and day, and per lane, plan day and warm-up day. Tallies and recounts stay what they were. A campaign that is open
    /// is never touched, so a resubmission finds every key that it had; the name of one that is over cannot be submitted
    /// again. A message that became final after `before` stays, whatever was noted of its campaign's end. The newest message of
    /// the store stays, so that its number is never given to another.
    async fn fold(&self, order: FoldOrder) -> Result<Folded, StoreError>;

    /// The campaigns that [`Store::fold`] would fold, each with its messages, the one that ended first first.
    async fn foldable(&self, before: Timestamp) -> Result<Vec<(CampaignName, u64)>, StoreError>;

    /// What was folded of a campaign (`None`: of all together), by day.
    async fn folded(&self, campaign: Option<CampaignId>) -> Result<Vec<FoldedRow>, StoreError>;

    /// Whether there was a message of that number, whose details were folded.
    async fn is_folded(&self, id: MessageId) -> Result<bool, StoreError>;

    /// How large the store's file is, and how much of it is free.
    async fn space(&self) -> Result<Space, StoreError>;

    /// Gives at most `pages` free pages (4,096 octets each) back to the file system, and says what is left. Does nothing where
    /// [`Space::shrinks`] is false.
    async fn shrink(&self, pages: u32) -> Result<Space, StoreError>;

    /// Writes the whole file anew without its free room; afterwards it shrinks. Holds every writer for as long as that takes,
    /// and needs as much room on the disk again: for a store that no worker uses.
    async fn compact(&self) -> Result<Space, StoreError>;

    /// Looks whether the store is whole: the file's structure and indexes, every reference, every message in exactly one place,
    /// every counter right, every ledger no less than its attempts. Problems in words; none when all is well. Reads
    /// everything (seconds for a million messages): never at start.
    async fn inspect(&self) -> Result<Vec<String>, StoreError>;

    /// Looks at the file's structure alone, table by table, so that others read in between. Problems in words.
    async fn quick_check(&self) -> Result<Vec<String>, StoreError>;
}
