//! Intake: lists go in once, whatever is submitted again.

use hikagen::core::campaign::{CampaignId, CampaignState, Class, MessageState};
use hikagen::store::*;

use super::*;

stories! {
    async fn submitting_twice_adds_nothing(world: World) {
        let campaign = world.campaign("spring", 5).await;
        assert_eq!(world.row("spring").await.loads, 1);
        let again = world.store.enqueue(campaign, rows(7), 1, false, at(1)).await.unwrap();
        assert_eq!(again, Enqueued { added: 2, known: 5, ..Enqueued::default() });
        assert_eq!(world.count(campaign, MessageState::Queued).await, 7);
        assert_eq!(world.row("spring").await.loads, 2);
        world.check().await;
    }

    async fn the_first_row_of_a_mailbox_wins_within_a_list_and_spelling_does_not_matter(world: World) {
        let campaign = world.campaign("spring", 0).await;
        let batch = vec![row("Taro@docomo.ne.jp"), row("taro@docomo.ne.jp")];
        let done = world.store.enqueue(campaign, batch, 1, false, at(1)).await.unwrap();
        assert_eq!(done, Enqueued { added: 1, known: 1, ..Enqueued::default() });
        let found = world.store.messages_to("taro@docomo.ne.jp").await.unwrap();
        assert_eq!(found.iter().map(|m| m.address.as_str()).collect::<Vec<_>>(), ["Taro@docomo.ne.jp"]);
    }

    async fn queued_rows_take_new_columns_score_and_bucket_and_others_are_left_alone(world: World) {
        let campaign = world.campaign("spring", 4).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 3).await;
        world.settle(&lease, &claims[0], Disposition::Accepted).await;
        world.settle(&lease, &claims[1], Disposition::Deferred { due: at(60) }).await;
        let changed: Vec<NewMessage> = rows(4)
            .into_iter()
            .map(|r| NewMessage { columns: "{\"new\":\"1\"}".to_owned(), score: 7, bucket: bucket("au"), ..r })
            .collect();
        let done = world.store.enqueue(campaign, changed.clone(), 1, false, at(20)).await.unwrap();
        assert_eq!(done, Enqueued { updated: 2, known: 2, ..Enqueued::default() });
        let all = world.store.messages_of(campaign, &[], None, 10).await.unwrap();
        assert_eq!(
            all.iter().map(|m| (m.bucket.as_str(), m.score, m.columns.contains("new"))).collect::<Vec<_>>(),
            [("docomo", 0, false), ("au", 7, true), ("docomo", 0, false), ("au", 7, true)]
        );
        assert_eq!(world.store.enqueue(campaign, changed, 1, false, at(21)).await.unwrap().known, 4);
        world.check().await;
        world.store.feed(at(60), 10).await.unwrap();
        let mut order = order(&lease, campaign, 5);
        order.lanes[0].bucket = bucket("au");
        let claims = world.store.claim(order).await.unwrap().claims;
        assert_eq!(addresses(&claims), ["u1@docomo.ne.jp", "u3@docomo.ne.jp"]);
        assert!(claims.iter().all(|c| c.columns.contains("new")));
        world.check().await;
    }

    async fn pruning_cancels_what_the_new_list_lacks_and_is_still_waiting(world: World) {
        let campaign = world.campaign("spring", 6).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 3).await;
        world.settle(&lease, &claims[0], Disposition::Accepted).await;
        world.settle(&lease, &claims[1], Disposition::Deferred { due: at(60) }).await;
        let load = world.row("spring").await.loads;
        let list = vec![row("u3@docomo.ne.jp"), row("new@docomo.ne.jp")];
        world.store.enqueue(campaign, list, load, true, at(20)).await.unwrap();
        assert_eq!(world.store.finish_intake(campaign, load, true, at(20)).await.unwrap(), 3);
        for (state, n) in [
            (MessageState::Accepted, 1),
            (MessageState::Claimed, 1),
            (MessageState::Cancelled, 3),
            (MessageState::Queued, 2),
        ] {
            assert_eq!(world.count(campaign, state).await, n);
        }
        world.check().await;
    }

    async fn a_load_that_was_broken_off_does_not_save_its_rows_from_the_next_one_s_pruning(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let broken_off = world.row("spring").await.loads;
        world.store.enqueue(campaign, rows(3), broken_off, true, at(1)).await.unwrap();
        let load = world.row("spring").await.loads;
        assert_ne!(load, broken_off);
        world.store.enqueue(campaign, rows(1), load, true, at(2)).await.unwrap();
        assert_eq!(world.store.finish_intake(campaign, load, true, at(2)).await.unwrap(), 2);
        world.check().await;
    }

    async fn a_row_refused_or_suppressed_is_final_from_the_start(world: World) {
        let entry = Suppression {
            key: "u1@docomo.ne.jp".to_owned(),
            reason: SuppressionReason::Unsubscribe,
            sender: Some("mail.example.jp".to_owned()),
            note: "one click".to_owned(),
            since: at(0),
        };
        world.store.suppress(vec![entry], at(0)).await.unwrap();
        let mut list = rows(3);
        list[0].refused = Some("dead domain: closed in 2021".to_owned());
        let campaign = world.store.create_campaign(new_campaign("spring", Class::Bulk), at(0)).await.unwrap();
        let done = world.store.enqueue(campaign, list.clone(), 0, false, at(0)).await.unwrap();
        assert_eq!(done, Enqueued { added: 1, suppressed: 2, ..Enqueued::default() });
        assert_eq!(world.store.enqueue(campaign, list, 0, false, at(0)).await.unwrap().known, 3);
        let found = world.store.messages_of(campaign, &[MessageState::Suppressed], None, 10).await.unwrap();
        assert_eq!(found[0].because.as_deref(), Some("dead domain: closed in 2021"));
        assert!(found[1].because.as_ref().unwrap().starts_with("unsubscribe from mail.example.jp"));
        world.check().await;
    }

    async fn a_campaign_runs_when_its_list_is_in(world: World) {
        let id = world.store.create_campaign(new_campaign("spring", Class::Normal), at(0)).await.unwrap();
        let row = world.row("spring").await;
        assert_eq!((row.id, row.state, row.pool.as_str()), (id, CampaignState::Loading, "news"));
        assert_eq!(row.current, revision(Class::Normal));
        assert_eq!(world.store.sweep(at(1), 10).await.unwrap().finished, []);
        world.store.enqueue(id, rows(1), 0, false, at(1)).await.unwrap();
        world.store.finish_intake(id, 0, false, at(2)).await.unwrap();
        let row = world.row("spring").await;
        assert_eq!((row.state, row.changed, row.created), (RUNNING, at(2), at(0)));
    }

    async fn the_name_of_a_campaign_is_its_own_for_ever(world: World) {
        let campaign = world.campaign("spring", 0).await;
        let again = || world.store.create_campaign(new_campaign("spring", Class::Bulk), at(1));
        assert!(matches!(again().await, Err(StoreError::Refused(_))));
        assert_eq!(world.store.sweep(at(1), 10).await.unwrap().finished, [name("spring")]);
        assert!(matches!(again().await, Err(StoreError::Refused(_))));
        assert!(matches!(
            world.store.enqueue(campaign, rows(1), 1, false, at(2)).await,
            Err(StoreError::Refused(_))
        ));
        assert!(matches!(
            world.store.revise_campaign(campaign, revision(Class::Bulk), at(2)).await,
            Err(StoreError::Refused(_))
        ));
        assert!(matches!(
            world.store.enqueue(CampaignId(99), rows(1), 1, false, at(2)).await,
            Err(StoreError::Refused(_))
        ));
        assert!(world.store.campaign(&name("autumn")).await.unwrap().is_none());
    }

    async fn a_revision_is_kept_beside_the_ones_before(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let first = world.row("spring").await.revision;
        let new = Revision {
            content: "{\"subject\":\"春\"}".to_owned(),
            finish_by: Some(at(50)),
            not_after: Some(at(60)),
            weight: 300,
            ..revision(Class::Normal)
        };
        let second = world.store.revise_campaign(campaign, new.clone(), at(5)).await.unwrap();
        let row = world.row("spring").await;
        assert_eq!((row.revision, &row.current), (second, &new));
        assert_eq!(world.store.revision(first).await.unwrap(), revision(Class::Bulk));
        assert_eq!(world.store.revision(second).await.unwrap(), new);
        let lease = world.lease("ses").await;
        assert_eq!(world.claim(&lease, campaign, 1).await[0].r.class, Class::Normal);
    }

    async fn a_refused_batch_leaves_nothing_behind(world: World) {
        let campaign = world.campaign("spring", 0).await;
        world.store.sweep(at(1), 10).await.unwrap();
        world.store.enqueue(campaign, rows(3), 1, false, at(2)).await.unwrap_err();
        assert!(world.store.messages_of(campaign, &[], None, 10).await.unwrap().is_empty());
        world.check().await;
    }
}
