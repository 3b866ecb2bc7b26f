//! Reports that tell the fate of a message whose fate was uncertain: it is settled, once, and not sent twice.

use hikagen::core::campaign::{CampaignState, MessageId, MessageState};
use hikagen::core::feedback::{Diagnostic, Fate, Way};
use hikagen::core::reply::{Action, Reason, Signal, Stage};
use hikagen::store::{self, Disposition, Health, Lease, Recorded, Report, Store};

use super::*;

fn report(id: &str, fate: Fate, action: Option<Action>, message: MessageId) -> Report {
    Report {
        way: Way::LOG,
        id: id.to_owned(),
        at: at(100),
        fate,
        message: Some(message),
        key: None,
        said: Diagnostic { code: None, enhanced: None, text: "said so".to_owned() },
        stage: Some(Stage::Rcpt),
        remote: None,
        signal: Signal::Recipient,
        action,
        reason: if action.is_some() { Reason::UserUnknown } else { Reason::NotARefusal },
        rule: Some("docomo-unknown".into()),
        suppress: None,
        mailbox_after: None,
        evidence: String::new(),
    }
}

fn delivered(id: &str, message: MessageId) -> Report {
    report(id, Fate::Delivered, None, message)
}

async fn record(world: &World, reports: Vec<Report>) -> Recorded {
    let recorded = world.store.record_reports(reports, at(200)).await.unwrap();
    world.check().await;
    recorded
}

/// So many parked messages of `spring`, whose campaign has one more in line.
async fn parked(world: &World, n: u32) -> (Lease, Vec<MessageId>) {
    let spring = world.campaign("spring", n as usize + 1).await;
    let lease = world.lease("ses").await;
    let claims = world.claim(&lease, spring, n).await;
    for claim in &claims {
        world.settle(&lease, claim, Disposition::Parked).await;
    }
    world.check().await;
    (lease, ids(&claims))
}

async fn state(world: &World, id: MessageId) -> (MessageState, Option<String>) {
    let message = world.message(id).await;
    (message.state, message.because)
}

fn told(state: MessageState) -> (MessageState, Option<String>) {
    (state, Some("settled by a report (by log)".to_owned()))
}

stories! {
    async fn a_parked_message_is_settled_by_what_is_reported_of_it(world: World) {
        let (_, parked) = parked(&world, 7).await;
        record(&world, vec![
            delivered("a", parked[0]),
            report("b", Fate::Refused, Some(Action::Suppress), parked[1]),
            report("c", Fate::Refused, Some(Action::Fail), parked[2]),
            report("d", Fate::Refused, Some(Action::Retry), parked[3]),
            report("e", Fate::Delayed, Some(Action::Retry), parked[4]),
            report("f", Fate::Delayed, Some(Action::Fail), parked[5]),
            report("g", Fate::AutoReply, None, parked[6]),
        ]).await;
        assert_eq!(state(&world, parked[0]).await, told(MessageState::Accepted));
        assert_eq!(state(&world, parked[1]).await, told(MessageState::Bounced));
        assert_eq!(state(&world, parked[2]).await, told(MessageState::Bounced));
        for id in &parked[3..] {
            assert_eq!(state(&world, *id).await.0, MessageState::Parked, "what is not told for good stays the operator's");
        }
        let spring = world.row("spring").await.id;
        for (state, n) in [
            (MessageState::Accepted, 1), (MessageState::Bounced, 2), (MessageState::Parked, 4), (MessageState::Queued, 1),
        ] {
            assert_eq!(world.count(spring, state).await, n, "{}", state.as_str());
        }
        let health = world.store.health(None, DAY).await.unwrap().remove(0).2;
        assert_eq!((health.delivered, health.bounced, health.unknown), (1, 3, 3), "{health:?}");
        assert_eq!(world.message(parked[0]).await.attempts, 1);
    }

    async fn a_repeat_or_a_later_report_changes_nothing_of_what_was_settled(world: World) {
        let (_, parked) = parked(&world, 2).await;
        let first = delivered("a", parked[0]);
        assert_eq!(record(&world, vec![first.clone(), first.clone()]).await, Recorded { new: 1, repeated: 1, ..Recorded::default() });
        assert_eq!(record(&world, vec![first.clone()]).await, Recorded { repeated: 1, ..Recorded::default() });
        let bounce = report("b", Fate::Refused, Some(Action::Fail), parked[0]);
        record(&world, vec![bounce, Report { way: Way::MAIL, ..first.clone() }]).await;
        assert_eq!(state(&world, parked[0]).await, told(MessageState::Accepted), "a final state is never left");
        let late = world.store.settle_parked(parked.clone(), store::Fate::Bounced, at(300)).await.unwrap();
        assert_eq!((late.done, late.stale), (1, 1), "the operator settles what is left");
        // And what the operator settled stays so.
        record(&world, vec![delivered("c", parked[1])]).await;
        let by_hand = (MessageState::Bounced, Some("settled by the operator".to_owned()));
        assert_eq!(state(&world, parked[1]).await, by_hand);
        let health = world.store.health(None, DAY).await.unwrap().remove(0).2;
        assert_eq!(health, Health { delivered: 2, bounced: 1, unknown: 1, ..Health::default() });
    }

    /// Whether it still waits for its time or is in line again.
    async fn what_was_delivered_after_all_is_not_sent_again(world: World) {
        let spring = world.campaign("spring", 6).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, spring, 6).await;
        for claim in &claims[..5] {
            world.settle(&lease, claim, Disposition::Uncertain { due: at(900) }).await;
        }
        world.settle(&lease, &claims[5], Disposition::Deferred { due: at(900) }).await;
        let all = ids(&claims);
        record(&world, vec![
            delivered("a", all[0]),
            report("b", Fate::Refused, Some(Action::Suppress), all[1]),
            report("c", Fate::Delayed, Some(Action::Retry), all[2]),
            // Nobody was uncertain about this one: the relay had refused it for now.
            delivered("d", all[5]),
        ]).await;
        assert_eq!(state(&world, all[0]).await, told(MessageState::Accepted));
        assert_eq!(state(&world, all[1]).await, told(MessageState::Bounced));
        assert_eq!(world.count(spring, MessageState::Deferred).await, 4);
        world.store.feed(at(900), 10).await.unwrap();
        record(&world, vec![delivered("e", all[3])]).await;
        assert_eq!(state(&world, all[3]).await, told(MessageState::Accepted), "from the line");
        let again = ids(&world.claim(&lease, spring, 9).await);
        assert_eq!(again.len(), 3);
        assert!([all[2], all[4], all[5]].iter().all(|id| again.contains(id)), "{again:?}");
        // In the air it is the relay's answer that counts.
        record(&world, vec![delivered("f", all[4])]).await;
        assert_eq!(state(&world, all[4]).await.0, MessageState::Claimed);
    }

    async fn a_report_that_knows_the_address_alone_settles_nothing(world: World) {
        let (_, parked) = parked(&world, 1).await;
        let key = world.message(parked[0]).await.address;
        record(&world, vec![Report { message: None, key: Some(key), ..delivered("a", parked[0]) }]).await;
        assert_eq!(state(&world, parked[0]).await.0, MessageState::Parked, "it may be about an earlier message");
    }

    async fn a_crash_leaves_what_a_report_can_settle_and_the_campaign_ends(world: World) {
        let mut world = world;
        let spring = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, spring, 1).await.remove(0);
        world.crash();
        world.store.acquire(&relay("ses"), "next", at(900), true, at(20)).await.unwrap();
        record(&world, vec![delivered("a", claim.r.message)]).await;
        assert_eq!(state(&world, claim.r.message).await, told(MessageState::Accepted));
        assert_eq!(world.store.sweep(at(300), 10).await.unwrap().finished, [name("spring")]);
        assert_eq!(world.row("spring").await.state, CampaignState::Finished);
        world.check().await;
    }
}
