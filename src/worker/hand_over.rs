//! Owns the hand-over: which message leaves now, by which connection, and what its answer does.
//!
//! Invariant: throttle tokens are taken just before MAIL is written, with an open connection in hand; nothing waits while it
//! holds one.

use std::time::Duration;

use super::events::{EventKind, Subject};
use super::outbox::Open;
use super::outcome;
use super::relay_loop::{Done, Job, Owner};
use crate::config::{Answers, DEFAULT_CONNECTION_AGE, DEFAULT_MESSAGES_PER_CONNECTION};
use crate::core::address::Address;
use crate::core::campaign::{CampaignState, Class};
use crate::core::lane::{Held, PauseCause};
use crate::core::moment::Moment;
use crate::core::names::{BucketName, GroupName, LaneKey};
use crate::core::reply::{Answer, Delivery, Reading, Stage};
use crate::core::schedule::{Because, Break, CLAIM_LAG, Effect};
use crate::relay::Connection;
use crate::store::{Disposition, Pause, Scope, StoreError};

/// A hold that lasts longer than this many times the claiming distance sends claims back unsent.
const PATIENCE: u32 = 3;

impl Owner {
    fn age(&self) -> Duration {
        self.settings.limits.connection_age.unwrap_or(DEFAULT_CONNECTION_AGE)
    }

    /// Most messages of a connection, for a lane.
    fn most(&self, bucket: Option<&BucketName>) -> u32 {
        let of_relay =
            self.settings.limits.messages_per_connection.map_or(DEFAULT_MESSAGES_PER_CONNECTION, |n| n.get());
        let lane = bucket.and_then(|b| self.schedule.lanes().get(b));
        lane.and_then(|l| l.plan.messages_per_connection.as_ref()).map_or(of_relay, |n| n.value.get().min(of_relay))
    }

    /// Sends back what will not leave soon: its lane is held, its campaign was stopped, or everything drains.
    pub(super) fn give_back(&mut self, now: Moment) {
        let patience = self.shared.parts.pacing.ahead * PATIENCE;
        let everything = !self.may_send();
        let held: Vec<(BucketName, Class)> = self
            .outbox
            .order()
            .into_iter()
            .filter(|(bucket, class)| {
                let holds = self.schedule.explain(bucket, *class, now);
                holds.iter().any(|h| is_lasting(&h.because) && h.lasts.is_none_or(|lasts| lasts > patience))
            })
            .collect();
        let campaigns = &self.view.campaigns;
        let back = self.outbox.take(|ready| {
            let r = &ready.claim.r;
            let stopped = campaigns.get(&r.campaign).is_none_or(|c| c.state != CampaignState::Running);
            let old = now.up.saturating_sub(ready.since) > patience.max(CLAIM_LAG);
            everything || stopped || old || held.iter().any(|(b, c)| *b == r.bucket && *c == r.class)
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
        if !self.may_send() || self.outbox.is_empty() {
            return wake;
        }
        loop {
            let mut released = false;
            for (bucket, class) in self.outbox.order() {
                if self.connections.idle() == 0 {
                    return wake;
                }
                let most = self.most(Some(&bucket));
                if !self.connections.has(most) {
                    // All idle connections have carried as many as this lane wants on one: the oldest makes room.
                    if let Some(open) = self.connections.drop_oldest() {
                        self.close(open);
                    }
                    continue;
                }
                let Some(claimed_at) = self.outbox.first(&bucket, class).map(|ready| ready.claim.r.claimed_at) else {
                    continue;
                };
                match self.schedule.release(&bucket, class, claimed_at, now) {
                    Ok(()) => released |= self.hand_over(&bucket, class, most, now),
                    Err(hold) => wake = wake.min(hold.lasts.unwrap_or(Duration::MAX)),
                }
            }
            if !released {
                return wake;
            }
        }
    }

    fn hand_over(&mut self, bucket: &BucketName, class: Class, most: u32, now: Moment) -> bool {
        let (Some(ready), Some(mut open)) = (self.outbox.pop(bucket, class), self.connections.take(most)) else {
            return false;
        };
        let job = Job { claim: ready.claim, released_at: now.at, messages_before: open.messages };
        let mail = ready.mail;
        let task = self.tasks.spawn(async move {
            let delivery = open.connection.deliver(&mail).await;
            open.messages += 1;
            Done::Delivered(open, delivery)
        });
        self.jobs.insert(task.id(), job);
        true
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
                let (most, age) = (self.most(None), self.age());
                self.connections.busy += 1;
                self.put_back(Open::new(connection, now.up), most, age, now);
            }
            Err(delivery) => {
                let reading = self.config.rules.read(&delivery, None);
                let effect = self.schedule.not_connected(&reading, delivery.stage, now.at);
                if effect != Effect::None {
                    tracing::warn!(relay = %self.settings.name, stage = delivery.stage.as_str(), answer = %delivery.answer, "no connection");
                }
                self.apply(effect, None, &delivery, &reading, now);
            }
        }
    }

    fn put_back(&mut self, open: Open, most: u32, age: Duration, now: Moment) {
        self.connections.busy = self.connections.busy.saturating_sub(1);
        if let Some(over) = self.connections.put(open, most, age, now.up) {
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

    /// An attempt came back.
    pub(super) fn came_back(&mut self, job: Job, open: Option<Open>, delivery: Delivery, now: Moment) {
        let r = job.claim.r.clone();
        match open {
            Some(open) => {
                let (most, age) = (self.most(None), self.age());
                self.put_back(open, most, age, now);
            }
            None => self.connections.busy = self.connections.busy.saturating_sub(1),
        }
        let accepted = delivery.is_accepted();
        let stale = outcome::is_stale_connection(&delivery, job.messages_before);
        let group = self.group_of(&job.claim.address);
        let carrier = self.settings.answers == Answers::Carrier;
        let reading = if accepted {
            outcome::accepted_reading()
        } else {
            self.config.rules.read(&delivery, carrier.then_some(&group))
        };
        let same_day = r.day == self.schedule.today();
        let times = (job.released_at, now.at);
        let mut settlement = outcome::settlement(&job.claim, delivery.clone(), &reading, &self.terms, times, same_day);
        if stale {
            settlement.disposition = Disposition::Deferred { due: now.at };
        }
        let refund = settlement.refund.then_some((r.class, r.retry, r.day, job.released_at));
        let told = (!accepted && !stale).then_some((&reading, delivery.stage));
        let effect = self.schedule.answered(&r.bucket, told, refund, now.at);
        log_attempt(&self.settings.name, &job, &delivery, &reading, &settlement.disposition);
        self.to_settle.push(settlement);
        self.apply(effect, Some(&job), &delivery, &reading, now);
    }

    /// Does what an answer does beyond its message.
    fn apply(&mut self, effect: Effect, job: Option<&Job>, delivery: &Delivery, reading: &Reading, now: Moment) {
        let name = self.settings.name.clone();
        let words = format!("{} at {}: {}", reading.meaning, delivery.stage.as_str(), delivery.answer);
        match (effect, job) {
            (Effect::PauseLane(pause), Some(job)) => {
                let lane = LaneKey { relay: name, bucket: job.claim.r.bucket.clone() };
                self.begin_pause(pause, Scope::Lane(lane), EventKind::LanePaused, words, now);
            }
            (Effect::PauseRelay(pause), _) => {
                let login = delivery.stage == Stage::Auth && matches!(delivery.answer, Answer::Reply(_));
                let kind = match (login, delivery.stage < Stage::Mail) {
                    (true, _) => EventKind::RelayRefusedLogin,
                    (false, true) => EventKind::RelayDown,
                    (false, false) => EventKind::RelayPaused,
                };
                self.begin_pause(pause, Scope::Relay(name), kind, words, now);
            }
            (Effect::StopCampaign, Some(job)) => self.stop_campaign(job, words, now),
            _ => {}
        }
    }

    fn begin_pause(&mut self, pause: Break, scope: Scope, kind: EventKind, reason: String, now: Moment) {
        let held = Held { cause: pause.cause, reason: reason.clone(), until: pause.until };
        let (bucket, subject) = match &scope {
            Scope::Lane(lane) => (Some(lane.bucket.clone()), Subject::Lane(lane.clone())),
            _ => (None, Subject::Relay(self.settings.name.clone())),
        };
        self.schedule.pause(bucket.as_ref(), held.clone());
        self.fresh_pauses.push((bucket, held, now.up));
        let until = self.end_in_words(pause.until);
        let text = match pause.cause {
            PauseCause::Stop => format!("stopped until {until} (block number {} within 7 days): {reason}", pause.times),
            _ => format!("paused until {until}: {reason}"),
        };
        let row = Pause { scope, cause: pause.cause, reason, since: now.at, until: pause.until, times: pause.times };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            if let Err(error) = shared.parts.store.pause(row).await {
                tracing::warn!(%error, "the pause holds here, but could not be recorded");
            }
            shared.tell(kind, subject, text).await;
            Done::Nothing
        });
    }

    fn stop_campaign(&mut self, job: &Job, reason: String, now: Moment) {
        let Some(row) = self.view.campaigns.get_mut(&job.claim.r.campaign) else { return };
        if row.state != CampaignState::Running {
            return;
        }
        row.state = CampaignState::Paused;
        let name = row.name.clone();
        for pools in self.view.backlog.lanes.values_mut() {
            for lines in pools {
                lines.clear_campaign(job.claim.r.campaign);
            }
        }
        let (shared, at) = (self.shared.clone(), now.at);
        self.tasks.spawn(async move {
            let because = format!("the sender's set-up is at fault: {reason}");
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
