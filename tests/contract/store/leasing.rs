//! Leases: one owner at a time, and what a dead one leaves behind.

use hikagen::core::campaign::MessageState;
use hikagen::core::lane::{Ledger, Verdict, VerdictKind};
use hikagen::store::*;

use super::*;

stories! {
    async fn a_relay_has_one_owner_at_a_time(world: World) {
        let lease = world.lease("ses").await;
        let other = world.another_process();
        for store in [&world.store, &other] {
            let refused = store.acquire(&relay("ses"), "host 2", at(0), false, at(0)).await;
            let Err(StoreError::LeaseLost { relay: of, holder }) = refused else { panic!("{refused:?}") };
            assert_eq!((of, holder.as_deref()), (relay("ses"), Some("host 1")));
        }
        assert_eq!(other.acquire(&relay("sendgrid"), "host 2", at(0), false, at(0)).await.unwrap().0.token, 1);
        world.store.release(&lease).await.unwrap();
        let (next, recovered) = other.acquire(&relay("ses"), "host 2", at(0), false, at(1)).await.unwrap();
        assert_eq!((next.token, recovered), (2, Recovered::default()));
        let owners = world.store.owners().await.unwrap();
        let ses = owners.iter().find(|o| o.relay == relay("ses")).unwrap();
        assert_eq!((ses.owner.as_deref(), ses.alive, ses.since), (Some("host 2"), true, at(1)));
    }

    async fn an_old_token_is_refused(world: World) {
        let campaign = world.campaign("spring", 3).await;
        let old = world.lease("ses").await;
        world.store.release(&old).await.unwrap();
        assert!(matches!(world.store.claim(order(&old, campaign, 1)).await, Err(StoreError::LeaseLost { .. })));
        let new = world.lease("ses").await;
        assert!(matches!(world.store.claim(order(&old, campaign, 1)).await, Err(StoreError::LeaseLost { .. })));
        let rolled = world.store.roll(&old, Rolled { ledgers: vec![Ledger::new(bucket("docomo"), DAY, 1, 9)], ..Rolled::default() }, at(0)).await;
        assert!(matches!(rolled, Err(StoreError::LeaseLost { .. })));
        assert!(matches!(world.store.release(&old).await, Err(StoreError::LeaseLost { .. })));
        assert!(world.store.ledgers(None, DAY).await.unwrap().is_empty());
        assert_eq!(world.claim(&new, campaign, 1).await.len(), 1);
        world.check().await;
    }

    async fn a_settle_is_taken_after_the_lease_was_given_back(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        world.store.release(&lease).await.unwrap();
        assert_eq!(world.settle(&lease, &claim, Disposition::Accepted).await.done, 1);
        world.check().await;
    }

    async fn claims_of_a_dead_owner_are_tried_once_more_and_the_second_time_parked(world: World) {
        let mut world = world;
        let campaign = world.campaign("spring", 3).await;
        let first = world.lease("ses").await;
        let claims = world.claim(&first, campaign, 2).await;
        world.crash();
        assert!(!world.store.owners().await.unwrap()[0].alive);
        assert_eq!(world.store.owners().await.unwrap()[0].in_the_air, 2);
        let (second, recovered) =
            world.store.acquire(&relay("ses"), "host 2", at(900), false, at(20)).await.unwrap();
        assert_eq!((second.token, recovered), (2, Recovered { retried: 2, parked: 0 }));
        assert_eq!(world.ledger("ses").await.spent, 2, "quota of what was in the air stays spent");
        let message = world.message(claims[0].r.message).await;
        assert_eq!((message.state, message.due, message.attempts), (MessageState::Deferred, Some(at(900)), 1));
        assert!(message.because.unwrap().contains("perhaps sent"));
        assert_eq!(world.settle(&first, &claims[0], Disposition::Accepted).await.stale, 1);
        world.check().await;

        world.store.feed(at(900), 10).await.unwrap();
        let again = world.claim(&second, campaign, 2).await;
        assert_eq!(ids(&again)[..2], ids(&claims)[..]);
        assert!(again[0].was_uncertain && again[0].r.retry);
        let late = world.settle(&first, &claims[0], Disposition::Accepted).await;
        assert_eq!(late.stale, 1, "the old owner's answer is not taken for the new owner's claim");
        world.settle(&second, &again[0], Disposition::Accepted).await;
        world.crash();
        let (_, recovered) = world.store.acquire(&relay("ses"), "host 3", at(2_000), false, at(1_000)).await.unwrap();
        assert_eq!(recovered, Recovered { retried: 1, parked: 1 }, "one was fresh, one was uncertain before");
        assert_eq!(world.message(claims[1].r.message).await.state, MessageState::Parked);
        let row = &world.store.recount(DAY).await.unwrap()[0];
        assert_eq!((row.counted, row.in_the_air, row.lost, row.spent), (1, 0, 4, Some(5)));
        world.check().await;
    }

    async fn with_park_the_first_uncertain_message_waits_for_the_operator(world: World) {
        let mut world = world;
        let campaign = world.campaign("spring", 2).await;
        let lease = world.lease("ses").await;
        world.claim(&lease, campaign, 2).await;
        world.crash();
        let (_, recovered) = world.store.acquire(&relay("ses"), "host 2", at(900), true, at(20)).await.unwrap();
        assert_eq!(recovered, Recovered { retried: 0, parked: 2 });
        assert_eq!(world.count(campaign, MessageState::Parked).await, 2);
        world.check().await;
    }

    async fn claims_of_other_relays_are_left_alone(world: World) {
        let mut world = world;
        let campaign = world.campaign("spring", 2).await;
        let ses = world.lease("ses").await;
        world.claim(&ses, campaign, 1).await;
        let other = world.another_process();
        let sendgrid = other.acquire(&relay("sendgrid"), "host 2", at(0), false, at(0)).await.unwrap().0;
        let claim = other.claim(order(&sendgrid, campaign, 1)).await.unwrap().claims.remove(0);
        world.crash();
        world.lease("ses").await;
        let settled = other.settle(&sendgrid, vec![settlement(&claim, Disposition::Accepted)]).await.unwrap();
        assert_eq!(settled.done, 1);
        world.check().await;
    }

    async fn a_new_plan_day_is_written_with_its_verdicts_and_keeps_what_was_spent(world: World) {
        let campaign = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        world.claim(&lease, campaign, 2).await;
        let next = DAY.tomorrow().unwrap();
        let verdict = Verdict {
            bucket: bucket("docomo"),
            day: DAY,
            days: 1,
            kind: VerdictKind::Advance,
            before: 3,
            after: 4,
            because: "800 of 1000 handed over".to_owned(),
            inputs: [("quota".to_owned(), "9".to_owned())].into(),
        };
        let mut today = Ledger::new(bucket("docomo"), DAY, 3, 500);
        today.emptied = true;
        let ledgers = vec![today, Ledger::new(bucket("docomo"), next, 4, 2_000)];
        let rolled = Rolled { verdicts: vec![verdict.clone()], ledgers, ..Rolled::default() };
        world.store.roll(&lease, rolled, at(86_400)).await.unwrap();
        let rows = world.store.ledgers(Some(&relay("ses")), DAY).await.unwrap();
        assert_eq!((rows[0].1.day, rows[0].1.warmup_day, rows[0].1.spent), (next, 4, 0));
        assert_eq!((rows[1].1.spent, rows[1].1.quota, rows[1].1.quota_peak, rows[1].1.emptied), (2, 500, 1_000, true));
        assert_eq!(world.store.memory(&lease, at(86_400)).await.unwrap().ledgers, [rows[0].1.clone()]);
        assert_eq!(world.store.verdicts(None, DAY).await.unwrap(), [(relay("ses"), verdict)]);
        assert!(world.store.verdicts(Some(&relay("nobody")), DAY).await.unwrap().is_empty());
        world.check().await;
    }
}
