//! Claims and settles: quota, order, fences.

use hikagen::core::campaign::{Class, MessageState};
use hikagen::store::*;

use super::*;

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
        world.check().await;
    }
}
