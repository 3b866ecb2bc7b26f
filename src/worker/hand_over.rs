//! Owns the hand-over: which message leaves now, by which connection, and what its answer does.
//!
//! Invariant: throttle tokens are taken just before MAIL is written, with an open connection in hand; nothing waits while it
//! holds one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::Id;

use super::bookkeeping::STORE_REST;
use super::course::from_where;
use super::events::{EventKind, Subject};
use super::line::serve;
use super::outbox::{Open, Ready};
use super::outcome;
use super::relay_loop::{Done, FreshPause, Job, Owner};
use crate::config::{Answers, DEFAULT_CONNECTION_AGE, DEFAULT_MESSAGES_PER_CONNECTION, RelaySettings};
use crate::core::address::Address;
use crate::core::campaign::{CampaignId, CampaignState, Class};
use crate::core::journal::Kind;
use crate::core::lane::{Grade, Held, PauseCause};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, GroupName, LaneKey};
use crate::core::reply::{Answer, Delivery, Reading, Stage};
use crate::core::schedule::{Because, Break, CLAIM_LAG, Effect, Schedule};
use crate::relay::{Connection, Outgoing};
use crate::store::{Disposition, Pause, Scope, StoreError};

/// A hold that lasts longer than this many times the claiming distance sends claims back unsent.
const PATIENCE: u32 = 3;

impl Owner {
    fn age(&self) -> Duration {
        self.settings.limits.connection_age.unwrap_or(DEFAULT_CONNECTION_AGE)
    }

    /// Sends back what will not leave soon: its lane is held, its campaign was stopped, or everything drains. Looks when
    /// something of that may have changed, and now and then.
    pub(super) fn give_back(&mut self, now: Moment) {
        let every = self.shared.parts.pacing.poll / 2;
        if self.outbox.is_empty() || self.sifted_at.is_some_and(|at| self.may_send() && now.up < at + every) {
            return;
        }
        self.sifted_at = Some(now.up);
        let patience = self.shared.parts.pacing.ahead * PATIENCE;
        let everything = !self.may_send();
        let lasting = |bucket: &BucketName, class| {
            let holds = self.schedule.explain(bucket, class, now);
            holds.iter().any(|h| is_lasting(&h.because) && h.lasts.is_none_or(|lasts| lasts > patience))
        };
        let held: BTreeSet<(BucketName, Class)> =
            self.outbox.lanes().filter(|(b, c)| lasting(b, *c)).map(|(b, c)| (b.clone(), c)).collect();
        let campaigns = &self.view.campaigns;
        let back = self.outbox.take(|ready| {
            let r = &ready.claim.r;
            let stopped = campaigns.get(&r.campaign).is_none_or(|c| c.state != CampaignState::Running);
            let old = now.up.saturating_sub(ready.since) > patience.max(CLAIM_LAG);
            everything || stopped || old || (!held.is_empty() && held.contains(&(r.bucket.clone(), r.class)))
        });
        for ready in back {
            let r = &ready.claim.r;
            let same_day = r.day == self.schedule.today();
            let refund = same_day.then_some((r.day, r.claimed_at));
            self.schedule.given_back(&r.bucket, r.class, r.retry, refund);
            self.to_settle.push(outcome::unsent(&ready.claim, same_day, now.at));
        }
    }

    /// Hands over all that may leave now; says how long until more may.
    pub(super) fn release(&mut self, now: Moment) -> Duration {
        let mut wake = Duration::MAX;
        for open in self.connections.expired(self.age(), self.shared.parts.pacing.idle, now.up) {
            self.close(open);
        }
        if !self.may_send() {
            return wake;
        }
        while self.connections.idle() > 0 {
            let (schedule, connections) = (&mut self.schedule, &self.connections);
            let of_relay = most_of(&self.settings);
            let mut worn_out = false;
            let found = self.outbox.find(|ready| {
                let r = &ready.claim.r;
                if !connections.has(most_for(schedule, of_relay, &r.bucket)) {
                    worn_out = true;
                    return false;
                }
                let released = schedule.release(&r.bucket, r.class, r.claimed_at, false, now);
                wake = released.as_ref().err().map_or(wake, |hold| wake.min(hold.lasts.unwrap_or(Duration::MAX)));
                released.is_ok()
            });
            match found {
                Some(ready) => self.hand_over(ready, now),
                // All idle connections have carried as many as some lane wants on one: the oldest makes room.
                None if worn_out => self.connections.drop_oldest().into_iter().for_each(|open| self.close(open)),
                None => return wake,
            }
        }
        wake
    }

    fn hand_over(&mut self, ready: Ready, now: Moment) {
        let most = most_for(&self.schedule, most_of(&self.settings), &ready.claim.r.bucket);
        let Some(open) = self.connections.take(most) else { return self.outbox.push(ready) };
        let (messages_before, opened) = (open.messages, open.opened);
        let job = Job { claim: ready.claim, released_at: now.at, messages_before, opened };
        let (mail, words) = (ready.mail, self.words.clone());
        let task = self.tasks.spawn(async move { Done::Free(serve(open, mail, words).await) });
        self.jobs.insert(task.id(), VecDeque::from([job]));
    }

    /// The message whose envelope leaves behind the one that a busy connection is about to write. None where another lane
    /// would wait for a connection meanwhile, and where the relay passes a carrier's answers on none of another lane: it would
    /// wait for a carrier that is not its own.
    pub(super) fn next_behind(&mut self, id: Id, now: Moment) -> Option<Outgoing> {
        let job = self.jobs.get(&id)?.back()?;
        let (lane, opened, messages_before) = (job.claim.r.bucket.clone(), job.opened, job.messages_before + 1);
        if !self.may_send() || self.connections.idle() > 0 || now.up.saturating_sub(opened) >= self.age() {
            return None;
        }
        let own = self.settings.answers == Answers::Own;
        let (schedule, of_relay) = (&mut self.schedule, most_of(&self.settings));
        let mut others_wait = false;
        let ready = self.outbox.find(|ready| {
            let r = &ready.claim.r;
            let same = r.bucket == lane;
            let fits = messages_before < most_for(schedule, of_relay, &r.bucket) && (own || same);
            if !fits {
                others_wait |= schedule.may_release(&r.bucket, r.class, now);
            }
            fits && !others_wait && schedule.release(&r.bucket, r.class, r.claimed_at, same, now).is_ok()
        })?;
        let job = Job { claim: ready.claim, released_at: now.at, messages_before, opened };
        self.jobs.entry(id).or_default().push_back(job);
        Some(ready.mail)
    }

    /// Opens connections for what waits to leave.
    pub(super) fn open_connections(&mut self, now: Moment) {
        if !self.may_send() || self.schedule.is_held(now) {
            return;
        }
        let waiting = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        let ready = self.connections.opening + u32::try_from(self.connections.idle()).unwrap_or(u32::MAX);
        let room = self.schedule.terms().connections.saturating_sub(self.connections.open());
        for _ in 0..waiting.saturating_sub(ready).min(room) {
            self.connections.opening += 1;
            let relay = self.relay.clone();
            self.tasks.spawn(async move { Done::Opened(relay.connect().await) });
        }
    }

    pub(super) fn opened(&mut self, result: Result<Box<dyn Connection>, Delivery>, now: Moment) {
        self.connections.opening = self.connections.opening.saturating_sub(1);
        match result {
            Ok(connection) => {
                self.connections.busy += 1;
                self.freed(Open::new(connection, now.up), now);
            }
            Err(delivery) => {
                let reading = self.config.rules.read_from(self.settings.kind(), &delivery, None);
                let effect = self.schedule.not_connected(&reading, delivery.stage, now.at);
                if effect != Effect::None {
                    tracing::warn!(relay = %self.settings.name, stage = delivery.stage.as_str(), answer = %delivery.answer, "no connection");
                }
                self.apply(effect, None, &delivery, &reading, now);
            }
        }
    }

    /// A busy connection may carry the next message, or is over.
    pub(super) fn freed(&mut self, open: Open, now: Moment) {
        self.connections.busy = self.connections.busy.saturating_sub(1);
        if let Some(over) = self.connections.put(open, most_of(&self.settings), self.age(), now.up) {
            self.close(over);
        }
    }

    fn close(&mut self, open: Open) {
        self.tasks.spawn(async move {
            open.connection.close().await;
            Done::Nothing
        });
    }

    pub(super) fn close_idle(&mut self) {
        for open in self.connections.take_idle() {
            self.close(open);
        }
    }

    fn group_of(&self, address: &str) -> GroupName {
        let domain = Address::parse(address).map(|a| a.domain().to_owned()).unwrap_or_default();
        self.config.groups.route(&domain).group.name.clone()
    }

    /// An attempt came back. `took_over`: a message of the same lane is behind it on its connection.
    pub(super) fn came_back(&mut self, job: Job, took_over: bool, delivery: Delivery, now: Moment) {
        let r = job.claim.r.clone();
        let accepted = delivery.is_accepted();
        let stale = outcome::is_stale_connection(&delivery, job.messages_before);
        let reading = if accepted {
            outcome::accepted_reading()
        } else {
            let carrier = self.settings.answers == Answers::Carrier;
            let group = carrier.then(|| self.group_of(&job.claim.address));
            self.config.rules.read_from(self.settings.kind(), &delivery, group.as_ref())
        };
        let same_day = r.day == self.schedule.today();
        let times = (job.released_at, now.at);
        let own = self.settings.answers == Answers::Own;
        let mut settlement =
            outcome::settlement(&job.claim, delivery.clone(), &reading, &self.terms, times, (same_day, own));
        if stale {
            settlement.disposition = Disposition::Deferred { due: now.at };
            settlement.grade = Grade::default();
        }
        let refund = settlement.refund.then_some((r.class, r.retry, r.day, job.released_at));
        let told = (!accepted && !stale).then_some((&reading, delivery.stage));
        let effect = self.schedule.answered(&r.bucket, took_over, told, refund, now);
        log_attempt(&self.settings.name, &job, &delivery, &reading, &settlement.disposition);
        self.to_settle.push(settlement);
        self.apply(effect, Some(&job), &delivery, &reading, now);
    }

    /// Does what an answer does beyond its message.
    fn apply(&mut self, effect: Effect, job: Option<&Job>, delivery: &Delivery, reading: &Reading, now: Moment) {
        let words = format!("{} at {}: {}", reading.meaning, delivery.stage.as_str(), delivery.answer);
        let login = delivery.stage == Stage::Auth && matches!(delivery.answer, Answer::Reply(_));
        let kind = match (login, delivery.stage < Stage::Mail) {
            (true, _) => EventKind::RelayRefusedLogin,
            (false, true) => EventKind::RelayDown,
            (false, false) => EventKind::RelayPaused,
        };
        let about = job.map(|job| (job.claim.r.bucket.clone(), job.claim.r.campaign));
        self.act(effect, about, kind, words, now);
    }

    /// Pauses or stops as `effect` says. `about`: the lane's bucket and the campaign whose mail was answered; `kind`: what it
    /// is called when the relay pauses.
    pub(super) fn act(
        &mut self,
        effect: Effect,
        about: Option<(BucketName, CampaignId)>,
        kind: EventKind,
        words: String,
        now: Moment,
    ) {
        let relay = self.settings.name.clone();
        match (effect, about) {
            (Effect::PauseLane(pause), Some((bucket, _))) => {
                let scope = Scope::Lane(LaneKey { relay, bucket });
                self.begin_pause(pause, scope, EventKind::LanePaused, words, now);
            }
            (Effect::PauseRelay(pause), _) => self.begin_pause(pause, Scope::Relay(relay), kind, words, now),
            (Effect::StopCampaign, Some((_, campaign))) => self.stop_campaign(campaign, words, now),
            (Effect::StopLane(spent), Some((bucket, _))) => self.stop_lane(bucket, &spent, now),
            _ => {}
        }
    }

    pub(super) fn begin_pause(&mut self, pause: Break, scope: Scope, kind: EventKind, reason: String, now: Moment) {
        let held = Held { cause: pause.cause, reason: reason.clone(), until: pause.until };
        let (bucket, subject) = match &scope {
            Scope::Lane(lane) => (Some(lane.bucket.clone()), Subject::Lane(lane.clone())),
            _ => (None, Subject::Relay(self.settings.name.clone())),
        };
        self.schedule.pause(bucket.as_ref(), held.clone());
        self.sifted_at = None;
        let recorded = Arc::new(OnceLock::new());
        // Nobody waits for it any more where it was lifted meanwhile.
        let wanted = Arc::downgrade(&recorded);
        self.fresh_pauses.push(FreshPause { bucket, held, recorded });
        let until = self.end_in_words(pause.until);
        let blocks = pause.cause == PauseCause::Stop && pause.times > 1;
        let begun = match (pause.cause, blocks) {
            (_, true) => format!("stopped until {until} (block number {} within 7 days)", pause.times),
            (PauseCause::Stop, false) => format!("stopped until {until}"),
            _ => format!("paused until {until}"),
        };
        // Stopped for unknown users: the operator wants to know whose list they were on.
        let whose = match (&scope, pause.cause, blocks) {
            (Scope::Lane(lane), PauseCause::Stop, false) => Some((lane.clone(), self.schedule.today())),
            _ => None,
        };
        let mut row =
            Pause { scope, cause: pause.cause, reason, since: now.at, until: pause.until, times: pause.times };
        let mut entry = self.entry(Kind::Paused, pause.cause.as_str(), now.at);
        (entry.bucket, entry.before, entry.after) = (bucket_of(&row.scope), "mail flows".to_owned(), begun.clone());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            if let Some((lane, day)) = whose {
                // What is in the air is settled later; what was settled by now tells whose list it is.
                let unknowns = shared.parts.store.unknowns(&lane, day).await.unwrap_or_default();
                row.reason = format!("{}: {}", row.reason, from_where(&unknowns));
            }
            entry.because.clone_from(&row.reason);
            let text = format!("{begun}: {}", row.reason);
            let mut told = false;
            while let Err(error) = shared.parts.store.pause(row.clone()).await {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "a pause holds here, but cannot be recorded yet");
                    shared.tell(kind, subject.clone(), text.clone()).await;
                }
                shared.parts.clock.sleep(STORE_REST).await;
                if wanted.strong_count() == 0 {
                    return Done::Nothing;
                }
            }
            if let Some(recorded) = wanted.upgrade() {
                recorded.set(shared.moments.now().up).ok();
            }
            shared.note(entry).await;
            if !told {
                shared.tell(kind, subject, text).await;
            }
            Done::Nothing
        });
    }

    fn stop_campaign(&mut self, campaign: CampaignId, reason: String, now: Moment) {
        let Some(row) = self.view.campaigns.get_mut(&campaign) else { return };
        if row.state != CampaignState::Running {
            return;
        }
        row.state = CampaignState::Paused;
        self.sifted_at = None;
        let name = row.name.clone();
        for pools in self.view.backlog.lanes.values_mut() {
            for lines in pools {
                lines.clear_campaign(campaign);
            }
        }
        let (shared, at) = (self.shared.clone(), now.at);
        let mut entry = self.entry(Kind::CampaignStopped, "rules", now.at);
        (entry.before, entry.after) = (format!("campaign {name} runs"), format!("campaign {name} is paused"));
        self.tasks.spawn(async move {
            let because = format!("the sender's set-up is at fault: {reason}");
            entry.because.clone_from(&because);
            shared.note(entry).await;
            let result = shared.parts.store.order_campaign(&name, CampaignState::Paused, &because, at).await;
            match result {
                Ok(()) | Err(StoreError::Refused(_)) => {}
                Err(error) => tracing::warn!(%error, campaign = %name, "the campaign could not be paused"),
            }
            shared.tell(EventKind::CampaignStopped, Subject::Campaign(name), because).await;
            Done::Nothing
        });
    }
}

fn bucket_of(scope: &Scope) -> Option<BucketName> {
    match scope {
        Scope::Lane(lane) => Some(lane.bucket.clone()),
        Scope::All | Scope::Relay(_) => None,
    }
}

/// Most messages that the relay wants on a connection.
fn most_of(settings: &RelaySettings) -> u32 {
    settings.limits.messages_per_connection.map_or(DEFAULT_MESSAGES_PER_CONNECTION, |n| n.get())
}

/// The same where a lane wants fewer.
fn most_for(schedule: &Schedule, of_relay: u32, bucket: &BucketName) -> u32 {
    let lane = schedule.lanes().get(bucket).and_then(|lane| lane.plan.messages_per_connection.as_ref());
    lane.map_or(of_relay, |n| n.value.get().min(of_relay))
}

/// Holds that outlast a claim: sent back rather than kept in the air.
fn is_lasting(because: &Because) -> bool {
    !matches!(
        because,
        Because::QuotaSpent { .. }
            | Because::KeptForTransactional { .. }
            | Because::HourFull { .. }
            | Because::RelayHourFull { .. }
            | Because::RelayDayFull { .. }
            | Because::Busy { .. }
    )
}

fn log_attempt(
    relay: &crate::core::names::RelayName,
    job: &Job,
    delivery: &Delivery,
    reading: &Reading,
    disposition: &Disposition,
) {
    let message = job.claim.r.message;
    if delivery.is_accepted() {
        tracing::debug!(%relay, lane = %job.claim.r.bucket, %message, answer = %delivery.answer, "accepted");
    } else {
        let outcome = match disposition {
            Disposition::Accepted => "accepted",
            Disposition::Bounced(Some(_)) => "bounced, suppressed",
            Disposition::Bounced(None) => "bounced",
            Disposition::Deferred { .. } => "deferred",
            Disposition::Uncertain { .. } => "uncertain",
            Disposition::Parked => "parked",
            Disposition::Unsent => "unsent",
            Disposition::Expired(_) => "expired",
        };
        tracing::info!(
            %relay, lane = %job.claim.r.bucket, %message, stage = delivery.stage.as_str(), answer = %delivery.answer,
            signal = reading.signal.as_str(), rule = reading.rule.as_deref().unwrap_or("-"), "{outcome}"
        );
    }
}
