//! Claims: quota, order, what is passed over, suppression.

use hikagen::core::campaign::{CampaignState, Class, MessageState};
use hikagen::store::*;

use super::*;

fn unsubscribed(address: &str, sender: &str) -> Suppression {
    Suppression {
        key: address.to_owned(),
        reason: SuppressionReason::Unsubscribe,
        sender: Some(sender.to_owned()),
        note: String::new(),
        since: at(0),
    }
}

stories! {
    async fn a_message_goes_from_the_list_to_accepted(world: World) {
        let campaign = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 2).await;
        assert_eq!(addresses(&claims), ["u0@docomo.ne.jp", "u1@docomo.ne.jp"]);
        assert_eq!(world.count(campaign, MessageState::Claimed).await, 2);
        world.check().await;
        for claim in &claims {
            assert_eq!(world.settle(&lease, claim, Disposition::Accepted).await, Settled { done: 1, stale: 0 });
        }
        let message = world.message(claims[0].r.message).await;
        assert_eq!(message.state, MessageState::Accepted);
        assert_eq!(message.because.as_deref(), Some("250 2.0.0 Ok: queued as 4XyZ"));
        assert_eq!((message.attempts, message.class, message.relay), (1, Class::Bulk, Some(relay("ses"))));
        let ledger = world.ledger("ses").await;
        assert_eq!((ledger.spent, ledger.accepted, ledger.warmup_day), (2, 2, 3));
        assert_eq!(world.count(campaign, MessageState::Queued).await, 1);
        world.check().await;
    }

    async fn quota_is_spent_with_the_claim_and_never_passed(world: World) {
        let campaign = world.campaign("spring", 10).await;
        let lease = world.lease("ses").await;
        let mut order = order(&lease, campaign, 3);
        order.lanes[0].quota = 5;
        assert_eq!(world.store.claim(order.clone()).await.unwrap().claims.len(), 3);
        assert_eq!(world.ledger("ses").await.spent, 3);
        let refused = world.store.claim(order.clone()).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused(why) if why.contains("ses/docomo")), "{refused}");
        assert_eq!(world.ledger("ses").await.spent, 3);
        assert_eq!(world.count(campaign, MessageState::Queued).await, 7);
        order.lanes[0].wants[0].fresh = 2;
        assert_eq!(world.store.claim(order).await.unwrap().claims.len(), 2);
        assert_eq!(world.ledger("ses").await.spent, 5);
        world.check().await;
    }

    async fn one_lane_over_its_quota_undoes_the_whole_claim(world: World) {
        let campaign = world.campaign("spring", 4).await;
        let gmail = NewMessage { bucket: bucket("gmail"), ..row("g@gmail.com") };
        world.store.enqueue(campaign, vec![gmail], 0, false, at(0)).await.unwrap();
        let lease = world.lease("ses").await;
        let mut order = order(&lease, campaign, 1);
        order.lanes.push(LaneClaim { bucket: bucket("gmail"), quota: 0, ..order.lanes[0].clone() });
        assert!(matches!(world.store.claim(order.clone()).await, Err(StoreError::Refused(_))));
        assert_eq!(world.count(campaign, MessageState::Queued).await, 5);
        assert!(world.store.ledgers(None, DAY).await.unwrap().is_empty());
        order.lanes[1].quota = 1;
        assert_eq!(world.store.claim(order).await.unwrap().claims.len(), 2);
        assert_eq!(world.store.ledgers(None, DAY).await.unwrap().len(), 2);
        world.check().await;
    }

    async fn a_plan_edited_within_the_day_keeps_what_was_spent(world: World) {
        let campaign = world.campaign("spring", 10).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 4).await;
        let mut lower = order(&lease, campaign, 0);
        lower.lanes[0].quota = 2;
        assert_eq!(world.store.claim(lower.clone()).await.unwrap(), Claimed::default());
        let ledger = world.ledger("ses").await;
        assert_eq!((ledger.spent, ledger.quota, ledger.quota_peak), (4, 2, 1_000));
        lower.lanes[0].wants[0].fresh = 1;
        assert!(world.store.claim(lower).await.is_err());
        assert_eq!(claims.len(), 4);
        world.check().await;
    }

    async fn the_most_engaged_leave_first_then_the_list_s_order_and_retries_before_both(world: World) {
        let mut list = rows(5);
        list[3].score = 9_000;
        list[1].score = 500;
        list[4].score = -10;
        let campaign = world.campaign_of("spring", Class::Bulk, list).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 10).await;
        let order_of_leaving =
            ["u3@docomo.ne.jp", "u1@docomo.ne.jp", "u0@docomo.ne.jp", "u2@docomo.ne.jp", "u4@docomo.ne.jp"];
        assert_eq!(addresses(&claims), order_of_leaving);
        for (claim, disposition) in claims.iter().zip([
            Disposition::Unsent,
            Disposition::Unsent,
            Disposition::Deferred { due: at(60) },
            Disposition::Unsent,
            Disposition::Deferred { due: at(61) },
        ]) {
            world.settle(&lease, claim, disposition).await;
        }
        assert_eq!(world.store.feed(at(60), 10).await.unwrap(), Fed { moved: 1, next: Some(at(61)) });
        assert_eq!(world.store.feed(at(61), 10).await.unwrap(), Fed { moved: 1, next: None });
        let again = world.claim(&lease, campaign, 10).await;
        assert_eq!(
            addresses(&again),
            ["u0@docomo.ne.jp", "u4@docomo.ne.jp", "u3@docomo.ne.jp", "u1@docomo.ne.jp", "u2@docomo.ne.jp"]
        );
        assert_eq!(again.iter().map(|c| c.r.retry).collect::<Vec<_>>(), [true, true, false, false, false]);
        assert_eq!(world.ledger("ses").await.spent_retries, 2);
        world.check().await;
    }

    async fn retries_and_fresh_mail_are_wanted_apart(world: World) {
        let campaign = world.campaign("spring", 6).await;
        let lease = world.lease("ses").await;
        for claim in world.claim(&lease, campaign, 3).await {
            world.settle(&lease, &claim, Disposition::Deferred { due: at(20) }).await;
        }
        world.store.feed(at(20), 10).await.unwrap();
        let mut order = order(&lease, campaign, 0);
        order.lanes[0].wants[0] = Want { campaign, retries: 1, fresh: 2 };
        let claims = world.store.claim(order).await.unwrap().claims;
        assert_eq!(addresses(&claims), ["u0@docomo.ne.jp", "u3@docomo.ne.jp", "u4@docomo.ne.jp"]);
        world.check().await;
    }

    async fn a_campaign_that_is_loading_paused_not_begun_or_over_is_passed_over(world: World) {
        let lease = world.lease("ses").await;
        let campaign = world.store.create_campaign(new_campaign("spring", Class::Bulk), at(0)).await.unwrap();
        world.store.enqueue(campaign, rows(3), 0, false, at(0)).await.unwrap();
        assert!(world.claim(&lease, campaign, 3).await.is_empty());
        world.store.finish_intake(campaign, 0, false, at(0)).await.unwrap();
        world.store.order_campaign(&name("spring"), CampaignState::Paused, "coffee", at(1)).await.unwrap();
        assert!(world.claim(&lease, campaign, 3).await.is_empty());
        world.store.order_campaign(&name("spring"), RUNNING, "", at(2)).await.unwrap();
        let later = Revision { start: at(11), not_after: Some(at(100)), ..revision(Class::Bulk) };
        world.store.revise_campaign(campaign, later, at(3)).await.unwrap();
        assert!(world.claim(&lease, campaign, 3).await.is_empty());
        let mut order = order(&lease, campaign, 1);
        order.now = at(100);
        assert!(world.store.claim(order.clone()).await.unwrap().claims.is_empty());
        order.now = at(11);
        assert_eq!(world.store.claim(order).await.unwrap().claims.len(), 1);
        assert_eq!(world.ledger("ses").await.spent, 1);
        world.check().await;
    }

    async fn a_suppressed_address_costs_no_quota_and_the_next_takes_its_turn(world: World) {
        let campaign = world.campaign("spring", 4).await;
        let lease = world.lease("ses").await;
        let entry = |key: &str, reason| Suppression { reason, sender: None, ..unsubscribed(key, "x") };
        let entries = vec![
            entry("u0@docomo.ne.jp", SuppressionReason::Unknown),
            entry("u2@docomo.ne.jp", SuppressionReason::Complaint),
        ];
        assert_eq!(world.store.suppress(entries.clone(), at(0)).await.unwrap(), 2);
        assert_eq!(world.store.suppress(entries, at(0)).await.unwrap(), 0);
        let claimed = world.store.claim(order(&lease, campaign, 2)).await.unwrap();
        assert_eq!(addresses(&claimed.claims), ["u1@docomo.ne.jp", "u3@docomo.ne.jp"]);
        assert_eq!(claimed.suppressed, 2);
        assert_eq!(world.ledger("ses").await.spent, 2);
        assert_eq!(world.count(campaign, MessageState::Suppressed).await, 2);
        let held = &world.store.messages_to("u2@docomo.ne.jp").await.unwrap()[0];
        assert!(held.because.as_ref().unwrap().starts_with("complaint"), "{held:?}");
        world.check().await;
    }

    async fn an_unsubscribe_holds_its_sending_domain_only_and_never_transactional_mail(world: World) {
        let lease = world.lease("ses").await;
        let news = world.campaign("spring", 3).await;
        let receipts = world.campaign_of("receipts", Class::Transactional, rows(3)).await;
        let entries = vec![
            unsubscribed("u0@docomo.ne.jp", "Mail.Example.JP"),
            unsubscribed("u1@docomo.ne.jp", "other.example.com"),
            Suppression { sender: None, ..unsubscribed("u2@docomo.ne.jp", "x") },
        ];
        world.store.suppress(entries, at(0)).await.unwrap();
        assert_eq!(addresses(&world.claim(&lease, news, 3).await), ["u1@docomo.ne.jp"]);
        assert_eq!(world.claim(&lease, receipts, 3).await.len(), 3);
        assert_eq!(world.ledger("ses").await.spent_transactional, 3);
        world.check().await;
    }

    async fn a_manual_entry_holds_transactional_mail_too(world: World) {
        let lease = world.lease("ses").await;
        let receipts = world.campaign_of("receipts", Class::Transactional, rows(1)).await;
        let entry = Suppression { reason: SuppressionReason::Manual, ..unsubscribed("u0@docomo.ne.jp", "") };
        world.store.suppress(vec![Suppression { sender: None, ..entry }], at(0)).await.unwrap();
        assert!(world.claim(&lease, receipts, 1).await.is_empty());
        assert_eq!(world.count(receipts, MessageState::Suppressed).await, 1);
    }

    async fn spending_lies_in_cells_for_the_rolling_hour_and_day(world: World) {
        let campaign = world.campaign("spring", 10).await;
        let lease = world.lease("ses").await;
        let mut order = order(&lease, campaign, 2);
        for seconds in [0, 14, 15, 3_600] {
            order.now = at(seconds);
            world.store.claim(order.clone()).await.unwrap();
        }
        let memory = world.store.memory(&lease, at(3_600)).await.unwrap();
        let docomo = bucket("docomo");
        let cells = [(docomo.clone(), at(0), 4), (docomo.clone(), at(15), 2), (docomo.clone(), at(3_600), 2)];
        assert_eq!(memory.cells, cells);
        assert_eq!(memory.ledgers.len(), 1);
        let day_later = world.store.memory(&lease, at(86_400 + 20)).await.unwrap();
        assert_eq!(day_later.cells, cells[1..]);
        world.store.sweep(at(26 * 3_600), 100).await.unwrap();
        assert!(world.store.memory(&lease, at(3_600)).await.unwrap().cells.len() < 3);
    }
}
