//! Orders, time and reports.

use hikagen::core::campaign::{CampaignState, Class, MessageState};
use hikagen::core::names::{LaneKey, PlanName, PoolName};
use hikagen::store::*;

use super::*;

fn pause(scope: Scope, cause: PauseCause, until: Option<jiff::Timestamp>) -> Pause {
    Pause { scope, cause, reason: "why".to_owned(), since: at(0), until, times: 1 }
}

stories! {
    async fn pauses_stand_side_by_side_and_end_by_time_or_order(world: World) {
        let lane = Scope::Lane(LaneKey { relay: relay("ses"), bucket: bucket("au") });
        let block = pause(lane.clone(), PauseCause::Block, Some(at(100)));
        let operator = pause(lane.clone(), PauseCause::Operator, None);
        let all = pause(Scope::All, PauseCause::Operator, None);
        for p in [&block, &operator, &all, &pause(Scope::Relay(relay("ses-2")), PauseCause::Fault, None)] {
            world.store.pause(p.clone()).await.unwrap();
        }
        let again = Pause { times: 2, until: Some(at(200)), ..block.clone() };
        world.store.pause(again.clone()).await.unwrap();
        let pauses = world.store.outlook(at(199)).await.unwrap().pauses;
        assert_eq!(pauses.len(), 4);
        assert!(pauses.contains(&again) && pauses.contains(&operator) && pauses.contains(&all));
        assert_eq!(world.store.outlook(at(200)).await.unwrap().pauses.len(), 3);
        let lease = world.lease("ses").await;
        world.store.sweep(at(300), 10).await.unwrap();
        let remembered = world.store.memory(&lease, at(300)).await.unwrap().pauses;
        assert_eq!(remembered, [operator.clone(), again], "an ended block still counts for a week");
        assert_eq!(world.store.resume(&lane, Some(PauseCause::Operator)).await.unwrap(), 1);
        assert_eq!(world.store.resume(&Scope::All, None).await.unwrap(), 1);
        assert_eq!(world.store.resume(&Scope::All, None).await.unwrap(), 0);
        assert_eq!(world.store.outlook(at(300)).await.unwrap().pauses.len(), 1);
        world.store.sweep(at(8 * 86_400), 10).await.unwrap();
        assert!(world.store.memory(&lease, at(8 * 86_400)).await.unwrap().pauses.is_empty());
    }

    async fn orders_that_make_no_sense_are_refused_with_the_reason(world: World) {
        world.campaign("spring", 1).await;
        world.store.create_campaign(new_campaign("loading", Class::Bulk), at(0)).await.unwrap();
        let order = async |of: &str, state| world.store.order_campaign(&name(of), state, "because", at(1)).await;
        let because = |result: Result<(), StoreError>| match result {
            Err(StoreError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(because(order("autumn", CampaignState::Paused).await).contains("no campaign autumn"));
        assert!(because(order("loading", CampaignState::Paused).await).contains("being loaded"));
        order("spring", CampaignState::Paused).await.unwrap();
        assert_eq!(world.row("spring").await.because.as_deref(), Some("because"));
        order("spring", CampaignState::Running).await.unwrap();
        assert_eq!(world.row("spring").await.because, None);
        order("spring", CampaignState::Cancelled).await.unwrap();
        assert!(because(order("spring", CampaignState::Running).await).contains("cannot be undone"));
        assert!(because(order("spring", CampaignState::Finished).await).contains("cancelled"));
        order("loading", CampaignState::Cancelled).await.unwrap();
    }

    async fn a_large_cancel_is_done_in_pieces_and_goes_on_after_a_crash(world: World) {
        let mut world = world;
        let campaign = world.campaign("spring", 25).await;
        world.store.order_campaign(&name("spring"), CampaignState::Cancelled, "", at(1)).await.unwrap();
        let swept = world.store.sweep(at(2), 10).await.unwrap();
        assert_eq!((swept.cancelled, swept.more), (10, true));
        world.check().await;
        world.crash();
        assert_eq!(world.store.sweep(at(3), 10).await.unwrap().cancelled, 10);
        let last = world.store.sweep(at(4), 10).await.unwrap();
        assert_eq!((last.cancelled, last.more), (5, false));
        assert_eq!(world.store.sweep(at(5), 10).await.unwrap(), Swept::default());
        assert_eq!(world.count(campaign, MessageState::Cancelled).await, 25);
        assert_eq!(world.row("spring").await.state, CampaignState::Cancelled);
        world.check().await;
    }

    async fn what_is_unsent_at_the_end_expires_and_what_may_have_left_says_so(world: World) {
        let campaign = world.campaign("spring", 5).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 4).await;
        for (claim, disposition) in claims.iter().zip([
            Disposition::Accepted,
            Disposition::Deferred { due: at(500) },
            Disposition::Parked,
        ]) {
            world.settle(&lease, claim, disposition).await;
        }
        let ending = Revision { not_after: Some(at(60)), ..revision(Class::Bulk) };
        world.store.revise_campaign(campaign, ending, at(20)).await.unwrap();
        assert_eq!(world.store.sweep(at(59), 100).await.unwrap(), Swept::default());
        let swept = world.store.sweep(at(60), 100).await.unwrap();
        assert_eq!((swept.expired, swept.finished.len()), (3, 0), "one is still in the air");
        let parked = world.message(claims[2].r.message).await;
        assert_eq!(parked.state, MessageState::Expired);
        assert!(parked.because.unwrap().contains("perhaps sent"));
        let deferred = world.message(claims[1].r.message).await;
        assert_eq!((deferred.because.as_deref(), deferred.attempts), (Some("not_after has passed"), 1));
        world.settle(&lease, &claims[3], Disposition::Accepted).await;
        assert_eq!(world.store.sweep(at(61), 100).await.unwrap().finished, [name("spring")]);
        assert_eq!(world.row("spring").await.state, CampaignState::Finished);
        world.check().await;
    }

    async fn the_outlook_shows_what_a_decision_needs(world: World) {
        let news = world.campaign("spring", 3).await;
        let done = world.campaign("done", 0).await;
        world.store.sweep(at(1), 10).await.unwrap();
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, news, 1).await;
        let outlook = world.store.outlook(at(2)).await.unwrap();
        assert_eq!(outlook.campaigns.iter().map(|c| c.id).collect::<Vec<_>>(), [news]);
        assert_ne!(news, done);
        let waiting =
            WaitingRow { campaign: news, bucket: bucket("docomo"), fresh: 2, retries: 0, later: 0 };
        assert_eq!(outlook.waiting, [waiting]);
        assert!(outlook.transactional_pools.is_empty());
        world.settle(&lease, &claims[0], Disposition::Accepted).await;

        world.campaign_of("receipts", Class::Transactional, rows(1)).await;
        let needs = vec![(bucket("docomo"), 5), (bucket("au"), 0)];
        world.store.write_needs(&relay("ses"), needs, at(30)).await.unwrap();
        world.store.write_needs(&relay("sendgrid"), vec![(bucket("au"), 9)], at(20)).await.unwrap();
        let outlook = world.store.outlook(at(19)).await.unwrap();
        assert_eq!(outlook.needs.len(), 3);
        assert_eq!(outlook.transactional_pools, [PoolName::new("news").unwrap()]);
        world.store.write_needs(&relay("ses"), vec![(bucket("docomo"), 4)], at(50)).await.unwrap();
        let needs = world.store.outlook(at(20)).await.unwrap().needs;
        assert_eq!(needs, [(relay("ses"), bucket("docomo"), 4)]);
        let outlook = world.store.outlook(at(8 * 86_400)).await.unwrap();
        assert!(outlook.transactional_pools.is_empty() && outlook.needs.is_empty());
        assert_eq!(world.store.pools_in_use().await.unwrap(), [PoolName::new("news").unwrap()]);
    }

    async fn the_place_in_line_counts_what_leaves_before(world: World) {
        let campaign = world.campaign("spring", 10).await;
        let found = world.store.messages_of(campaign, &[], None, 10).await.unwrap();
        assert_eq!(world.store.place_in_line(found[0].id).await.unwrap(), Some(0));
        assert_eq!(world.store.place_in_line(found[7].id).await.unwrap(), Some(7));
        world.campaign_of("receipts", Class::Transactional, rows(2)).await;
        assert_eq!(world.store.place_in_line(found[7].id).await.unwrap(), Some(9));
        world.campaign_of("summer", Class::Bulk, rows(4)).await;
        assert_eq!(world.store.place_in_line(found[7].id).await.unwrap(), Some(13));
        assert_eq!(world.store.place_in_line(found[2].id).await.unwrap(), Some(6), "of equal weight: turn by turn");
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 2).await;
        world.settle(&lease, &claims[0], Disposition::Deferred { due: at(60) }).await;
        for claim in &claims {
            assert_eq!(world.store.place_in_line(claim.r.message).await.unwrap(), None);
        }
        world.store.feed(at(60), 10).await.unwrap();
        assert_eq!(world.store.place_in_line(claims[0].r.message).await.unwrap(), Some(2), "a retry passes fresh mail");
    }

    async fn events_and_plans_are_kept_newest_first(world: World) {
        let event = |n: i64| EventRow {
            at: at(n),
            kind: "lane-paused".to_owned(),
            subject: "ses/au".to_owned(),
            text: format!("the {n}th time"),
        };
        for n in 0..3 {
            world.store.record_event(event(n)).await.unwrap();
        }
        assert_eq!(world.store.events(2).await.unwrap(), [event(2), event(1)]);
        let plan = |text: &str| PlanRevision {
            name: PlanName::new("japan").unwrap(),
            text: text.to_owned(),
            by: "taro".to_owned(),
        };
        let record =
            async |text: &str, seconds| world.store.record_plan(&relay("ses"), plan(text), at(seconds)).await;
        assert!(record("a: 1", 0).await.unwrap());
        assert!(!record("a: 1", 1).await.unwrap());
        assert!(record("a: 2", 2).await.unwrap());
        assert!(record("a: 1", 3).await.unwrap());
        let history = world.store.plan_history(&relay("ses"), 2).await.unwrap();
        assert_eq!(history, [(at(3), plan("a: 1")), (at(2), plan("a: 2"))]);
        assert!(world.store.plan_history(&relay("nobody"), 2).await.unwrap().is_empty());
    }

    async fn the_suppression_list_is_read_in_pages_that_skip_nothing(world: World) {
        let entry = |key: &str, reason, sender: Option<&str>| Suppression {
            key: key.to_owned(),
            reason,
            sender: sender.map(str::to_owned),
            note: "note".to_owned(),
            since: at(0),
        };
        let entries = vec![
            entry("b@x.jp", SuppressionReason::Unsubscribe, Some("two.jp")),
            entry("b@x.jp", SuppressionReason::Unsubscribe, Some("one.jp")),
            entry("a@x.jp", SuppressionReason::Manual, None),
            entry("c@x.jp", SuppressionReason::Unknown, None),
        ];
        assert_eq!(world.store.suppress(entries, at(0)).await.unwrap(), 4);
        let mut seen = Vec::new();
        loop {
            let after = seen.last().map(|e: &Suppression| e.key.clone());
            let page = world.store.suppressions(None, after.as_deref(), 1).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["a@x.jp", "b@x.jp", "b@x.jp", "c@x.jp"]);
        assert_eq!(world.store.suppressions(Some("b@x.jp"), None, 10).await.unwrap().len(), 2);
        assert_eq!(world.store.unsuppress("b@x.jp").await.unwrap(), 2);
        assert_eq!(world.store.unsuppress("b@x.jp").await.unwrap(), 0);
        assert!(world.store.suppressions(Some("b@x.jp"), None, 10).await.unwrap().is_empty());
    }

    async fn messages_are_shown_by_address_and_in_pages_by_campaign(world: World) {
        let spring = world.campaign("spring", 5).await;
        world.campaign("summer", 2).await;
        let to = world.store.messages_to("u1@docomo.ne.jp").await.unwrap();
        assert_eq!(to.iter().map(|m| m.campaign.as_str()).collect::<Vec<_>>(), ["summer", "spring"]);
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, spring, 1).await.remove(0);
        world.settle(&lease, &claim, Disposition::Accepted).await;
        let queued = [MessageState::Queued];
        let first = world.store.messages_of(spring, &queued, None, 3).await.unwrap();
        let rest = world.store.messages_of(spring, &queued, Some(first[2].id), 3).await.unwrap();
        assert_eq!((first.len(), rest.len()), (3, 1));
        assert_eq!(rest[0].address, "u4@docomo.ne.jp");
        assert_eq!(world.store.campaigns().await.unwrap()[0].name, name("summer"));
        assert!(world.store.message(hikagen::core::campaign::MessageId(999)).await.unwrap().is_none());
    }

    async fn the_recount_shows_attempts_beside_the_ledger(world: World) {
        let campaign = world.campaign("spring", 4).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 4).await;
        world.settle(&lease, &claims[0], Disposition::Accepted).await;
        world.settle(&lease, &claims[1], Disposition::Deferred { due: at(60) }).await;
        world.settle(&lease, &claims[2], Disposition::Unsent).await;
        let rows = world.store.recount(DAY).await.unwrap();
        assert_eq!(rows, [RecountRow {
            lane: LaneKey { relay: relay("ses"), bucket: bucket("docomo") },
            day: DAY,
            warmup_days: vec![3],
            counted: 2,
            in_the_air: 1,
            lost: 0,
            folded: 0,
            spent: Some(3),
            quota_peak: Some(1_000),
        }]);
        assert!(world.store.recount(DAY.tomorrow().unwrap()).await.unwrap().is_empty());
        let docomo = bucket("docomo");
        let releases = world.store.releases(&relay("ses"), Some(&docomo), DAY).await.unwrap();
        assert_eq!(releases, [Release { at: at(11).as_microsecond(), class: Class::Bulk }; 2]);
        assert!(world.store.releases(&relay("ses"), Some(&bucket("au")), DAY).await.unwrap().is_empty());
    }
}
