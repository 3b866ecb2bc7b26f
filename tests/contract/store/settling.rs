//! Settles: what becomes of claims, once and for all.

use hikagen::core::campaign::{CampaignState, Class, MessageState};
use hikagen::core::names::LaneKey;
use hikagen::core::reply::{Action, Answer, Fault, Signal, Stage};
use hikagen::store::*;

use super::*;

stories! {
    async fn a_final_state_is_never_left(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        world.settle(&lease, &claim, Disposition::Accepted).await;
        for late in [
            Disposition::Bounced(Some(SuppressionReason::Unknown)),
            Disposition::Deferred { due: at(60) },
            Disposition::Uncertain { due: at(60) },
            Disposition::Parked,
            Disposition::Unsent,
            Disposition::Accepted,
        ] {
            assert_eq!(world.settle(&lease, &claim, late).await, Settled { done: 0, stale: 1 });
        }
        assert_eq!(world.message(claim.r.message).await.state, MessageState::Accepted);
        assert!(world.store.suppressions(None, None, 10).await.unwrap().is_empty());
        assert_eq!(world.store.attempts(claim.r.message).await.unwrap().len(), 1);
        let ledger = world.ledger("ses").await;
        assert_eq!((ledger.spent, ledger.accepted, ledger.bounced, ledger.deferred), (1, 1, 0, 0));
        world.check().await;
    }

    async fn a_settle_without_the_claim_s_token_or_of_another_relay_changes_nothing(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        let mut forged = settlement(&claim, Disposition::Accepted);
        forged.claim.token += 1;
        assert_eq!(world.store.settle(&lease, vec![forged]).await.unwrap(), Settled { done: 0, stale: 1 });
        let other = world.lease("sendgrid").await;
        assert_eq!(other.token, lease.token);
        assert_eq!(world.settle(&other, &claim, Disposition::Accepted).await, Settled { done: 0, stale: 1 });
        assert_eq!(world.count(campaign, MessageState::Claimed).await, 1);
        assert_eq!(world.settle(&lease, &claim, Disposition::Accepted).await.done, 1);
        world.check().await;
    }

    async fn the_same_claim_twice_in_one_settle_counts_once(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        let both = vec![settlement(&claim, Disposition::Accepted), settlement(&claim, Disposition::Bounced(None))];
        assert_eq!(world.store.settle(&lease, both).await.unwrap(), Settled { done: 1, stale: 1 });
        assert_eq!(world.message(claim.r.message).await.state, MessageState::Accepted);
        world.check().await;
    }

    async fn a_message_given_back_unsent_stands_where_it_stood_and_its_quota_is_given_back(world: World) {
        let campaign = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 2).await;
        world.settle(&lease, &claims[0], Disposition::Unsent).await;
        world.settle(&lease, &claims[1], Disposition::Accepted).await;
        assert_eq!(world.ledger("ses").await.spent, 1);
        assert_eq!(world.store.memory(&lease, at(10)).await.unwrap().cells, [(bucket("docomo"), at(0), 1)]);
        let again = world.claim(&lease, campaign, 1).await;
        assert_eq!(addresses(&again), ["u0@docomo.ne.jp"]);
        assert!(!again[0].r.retry);
        assert_eq!((again[0].attempts, again[0].first_attempt), (0, None));
        world.check().await;
    }

    async fn an_attempt_that_wrote_no_rcpt_is_kept_for_the_record_and_does_not_count(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        let refused = Attempt { stage: Stage::Connect, ..attempt(Answer::Fault(Fault::Refused)) };
        let s = Settlement {
            attempt: Some(refused.clone()),
            refund: true,
            ..settlement(&claim, Disposition::Deferred { due: at(60) })
        };
        world.store.settle(&lease, vec![s]).await.unwrap();
        let ledger = world.ledger("ses").await;
        assert_eq!((ledger.spent, ledger.deferred), (0, 0));
        let attempts = world.store.attempts(claim.r.message).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].counted, &attempts[0].attempt), (1, false, &refused));
        assert!(world.store.releases(&relay("ses"), None, DAY).await.unwrap().is_empty());
        world.check().await;
    }

    async fn a_deferral_waits_for_its_time_and_remembers_its_attempts(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        world.settle(&lease, &claim, Disposition::Deferred { due: at(600) }).await;
        let message = world.message(claim.r.message).await;
        assert_eq!((message.state, message.due, message.attempts), (MessageState::Deferred, Some(at(600)), 1));
        assert_eq!(message.because.as_deref(), Some("451 4.7.1 Try later"));
        assert_eq!(world.store.feed(at(599), 10).await.unwrap(), Fed { moved: 0, next: Some(at(600)) });
        assert!(world.claim(&lease, campaign, 1).await.is_empty());
        assert_eq!(world.store.outlook(at(599)).await.unwrap().waiting[0].later, 1);
        world.store.feed(at(600), 10).await.unwrap();
        assert_eq!(world.store.outlook(at(600)).await.unwrap().waiting[0].retries, 1);
        let again = world.claim(&lease, campaign, 1).await.remove(0);
        assert_eq!((again.attempts, again.first_attempt, again.was_uncertain), (1, Some(at(11)), false));
        world.settle(&lease, &again, Disposition::Bounced(None)).await;
        let attempts = world.store.attempts(claim.r.message).await.unwrap();
        assert_eq!(attempts.iter().map(|a| a.attempt.signal).collect::<Vec<_>>(), [Signal::Volume, Signal::Recipient]);
        let lane = LaneKey { relay: relay("ses"), bucket: bucket("docomo") };
        let answers = world.store.day_answers(&lane, DAY, 10).await.unwrap();
        let kinds: Vec<_> = answers.iter().map(|a| (a.n, a.last.attempt.signal)).collect();
        assert_eq!(kinds, [(1, Signal::Recipient), (1, Signal::Volume)], "of what came as often, the last one first");
        assert_eq!(world.store.day_answers(&lane, DAY, 1).await.unwrap().len(), 1);
        assert!(world.store.day_answers(&lane, DAY.tomorrow().unwrap(), 10).await.unwrap().is_empty());
        let last = &world.store.lane_attempts(&relay("ses"), &bucket("docomo"), 1).await.unwrap()[0];
        assert_eq!((last.attempt.action, last.attempt.rule.as_deref()), (
            Some(Action::Suppress),
            Some("docomo-550-unknown")
        ));
        let message = world.message(claim.r.message).await;
        assert_eq!((message.state, message.attempts), (MessageState::Bounced, 2));
        world.check().await;
    }

    async fn a_bounce_suppresses_its_address_only_when_the_settle_says_so(world: World) {
        let campaign = world.campaign("spring", 2).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 2).await;
        world.settle(&lease, &claims[0], Disposition::Bounced(None)).await;
        world.settle(&lease, &claims[1], Disposition::Bounced(Some(SuppressionReason::Unknown))).await;
        let list = world.store.suppressions(None, None, 10).await.unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].key.as_str(), list[0].reason), ("u1@docomo.ne.jp", SuppressionReason::Unknown));
        assert!(list[0].note.contains("User unknown"));
        assert_eq!(world.ledger("ses").await.bounced, 2);
        world.check().await;
    }

    async fn an_uncertain_message_is_tried_once_more_and_then_parked(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        world.settle(&lease, &claim, Disposition::Uncertain { due: at(900) }).await;
        world.store.feed(at(900), 10).await.unwrap();
        let again = world.claim(&lease, campaign, 1).await.remove(0);
        assert!(again.was_uncertain);
        world.settle(&lease, &again, Disposition::Parked).await;
        let parked = world.message(claim.r.message).await;
        assert_eq!((parked.state, parked.attempts), (MessageState::Parked, 2));
        assert_eq!(world.store.sweep(at(1_000), 10).await.unwrap().finished, []);
        world.check().await;
        world.store.settle_parked(vec![claim.r.message], Fate::Retry, at(1_000)).await.unwrap();
        let third = world.claim(&lease, campaign, 1).await.remove(0);
        assert_eq!((third.attempts, third.was_uncertain), (2, true));
        world.settle(&lease, &third, Disposition::Parked).await;
        world.store.settle_parked(vec![claim.r.message], Fate::Accepted, at(1_001)).await.unwrap();
        assert_eq!(world.message(claim.r.message).await.state, MessageState::Accepted);
        let again = world.store.settle_parked(vec![claim.r.message], Fate::Bounced, at(1_002)).await.unwrap();
        assert_eq!(again, Settled { done: 0, stale: 1 }, "a final state is never left");
        assert_eq!(world.message(claim.r.message).await.state, MessageState::Accepted);
        world.check().await;
    }

    async fn what_is_in_the_air_when_a_campaign_is_cancelled_still_settles(world: World) {
        let campaign = world.campaign("spring", 7).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 5).await;
        world.store.order_campaign(&name("spring"), CampaignState::Cancelled, "wrong price", at(12)).await.unwrap();
        assert!(world.claim(&lease, campaign, 5).await.is_empty());
        for (claim, disposition) in claims.iter().zip([
            Disposition::Accepted,
            Disposition::Deferred { due: at(60) },
            Disposition::Uncertain { due: at(60) },
            Disposition::Unsent,
            Disposition::Bounced(None),
        ]) {
            world.settle(&lease, claim, disposition).await;
        }
        assert_eq!(world.store.sweep(at(13), 100).await.unwrap().cancelled, 2);
        for (state, n) in [(MessageState::Accepted, 1), (MessageState::Bounced, 1), (MessageState::Cancelled, 5)] {
            assert_eq!(world.count(campaign, state).await, n);
        }
        let uncertain = world.message(claims[2].r.message).await;
        assert!(uncertain.because.unwrap().contains("perhaps sent"));
        assert_eq!(world.ledger("ses").await.deferred, 1);
        world.check().await;
    }

    async fn what_comes_back_after_the_end_expires(world: World) {
        let campaign = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        let ending = Revision { not_after: Some(at(12)), ..revision(Class::Bulk) };
        world.store.revise_campaign(campaign, ending, at(1)).await.unwrap();
        let claims = world.claim(&lease, campaign, 3).await;
        world.settle(&lease, &claims[0], Disposition::Accepted).await;
        world.settle(&lease, &claims[1], Disposition::Deferred { due: at(60) }).await;
        world.settle(&lease, &claims[2], Disposition::Uncertain { due: at(60) }).await;
        assert_eq!(world.count(campaign, MessageState::Expired).await, 2);
        assert!(world.message(claims[2].r.message).await.because.unwrap().contains("perhaps sent"));
        assert_eq!(world.store.sweep(at(13), 10).await.unwrap().finished, [name("spring")]);
        world.check().await;
    }
}
