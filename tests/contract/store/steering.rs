//! How plan days were answered, orders about lanes, and the journal.

use hikagen::core::journal::{Entry, Kind};
use hikagen::core::lane::{Grade, Ledger, Ramp};
use hikagen::core::names::LaneKey;
use hikagen::core::schedule::Course;
use hikagen::store::*;

use super::*;

fn put_off() -> Grade {
    Grade { put_off: true, ..Grade::default() }
}

fn graded(claim: &Claim, disposition: Disposition, grade: Grade) -> Settlement {
    Settlement { grade, ..settlement(claim, disposition) }
}

fn lane() -> LaneKey {
    LaneKey { relay: relay("ses"), bucket: bucket("docomo") }
}

fn entry(kind: Kind, seconds: i64, bucket: Option<&str>) -> Entry {
    Entry {
        at: at(seconds),
        by: "hanako@host".to_owned(),
        relay: Some(relay("ses")),
        bucket: bucket.map(super::bucket),
        day: Some(DAY),
        kind,
        because: "a sales week".to_owned(),
        inputs: [("spent".to_owned(), "12".to_owned())].into(),
        before: "one".to_owned(),
        after: "other".to_owned(),
    }
}

stories! {
    async fn a_message_that_is_tried_again_on_its_day_is_one_message_with_its_last_answer(world: World) {
        let campaign = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, campaign, 3).await;
        let deferred = || Disposition::Deferred { due: at(60) };
        let first = vec![
            graded(&claims[0], deferred(), put_off()),
            graded(&claims[1], deferred(), put_off()),
            graded(&claims[2], Disposition::Bounced(None), Grade { unknown: true, ..Grade::default() }),
        ];
        world.store.settle(&lease, first).await.unwrap();
        let shown = world.ledger("ses").await.showing;
        assert_eq!((shown.tried, shown.put_off, shown.bounced, shown.unknown), (3, 2, 1, 1));
        world.store.feed(at(60), 10).await.unwrap();
        let again = world.claim(&lease, campaign, 3).await;
        assert_eq!(again.len(), 2);
        let second = vec![
            graded(&again[0], Disposition::Accepted, Grade::default()),
            graded(&again[1], Disposition::Deferred { due: at(120) }, put_off()),
        ];
        world.store.settle(&lease, second).await.unwrap();
        let shown = world.ledger("ses").await.showing;
        assert_eq!((shown.tried, shown.put_off, shown.accepted), (3, 1, 1), "each message once");
        world.check().await;
    }

    async fn an_attempt_that_costs_nothing_shows_nothing(world: World) {
        let campaign = world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        let s = Settlement { refund: true, ..graded(&claim, Disposition::Deferred { due: at(60) }, put_off()) };
        world.store.settle(&lease, vec![s]).await.unwrap();
        assert_eq!(world.ledger("ses").await.showing, hikagen::core::lane::Showing::default());
    }

    async fn an_order_waits_for_the_owner_and_is_done_once_with_its_ledger_and_entry(world: World) {
        world.campaign("spring", 1).await;
        let lease = world.lease("ses").await;
        let order = |course| LaneOrder {
            at: at(1), lane: lane(), course, by: "hanako@host".to_owned(), reason: "a sales week".to_owned(),
        };
        for course in [Course::Hold, Course::SetDay(7), Course::Lift, Course::GoOn] {
            world.store.order_lane(order(course)).await.unwrap();
        }
        let courses = world.store.courses(&relay("ses"), DAY).await.unwrap();
        let seen: Vec<_> = courses.orders.iter().map(|(_, order)| order.course.clone()).collect();
        assert_eq!(seen, [Course::Hold, Course::SetDay(7), Course::Lift, Course::GoOn]);
        assert!(world.store.courses(&relay("other"), DAY).await.unwrap().orders.is_empty());
        let mut ledger = Ledger::new(bucket("docomo"), DAY, 7, 90);
        ledger.ramp = Ramp {
            idle: 2, peak: 80, ceiling: Some(120), held: Some("a sales week".to_owned()), eased: 500,
            eased_because: Some("too much mail".to_owned()),
        };
        let rolled = Rolled {
            ledgers: vec![ledger.clone()],
            entries: vec![entry(Kind::DaySet, 2, Some("docomo"))],
            orders: courses.orders[..3].iter().map(|(id, _)| *id).collect(),
            ..Rolled::default()
        };
        world.store.roll(&lease, rolled, at(2)).await.unwrap();
        let courses = world.store.courses(&relay("ses"), DAY).await.unwrap();
        assert_eq!(courses.orders.len(), 1);
        assert_eq!(courses.ledgers, [ledger.clone()]);
        assert_eq!(world.store.memory(&lease, at(3)).await.unwrap().ledgers, [ledger]);
    }

    async fn the_journal_grows_and_is_read_by_what_it_is_about(world: World) {
        world.campaign("spring", 1).await;
        let entries = [
            entry(Kind::Held, 1, Some("docomo")), entry(Kind::Paused, 2, None), entry(Kind::Held, 3, Some("au")),
        ];
        world.store.note(entries.to_vec()).await.unwrap();
        let read = async |filter: JournalFilter| -> Vec<Entry> {
            world.store.journal(filter, 10).await.unwrap().into_iter().map(|(_, entry)| entry).collect()
        };
        let [first, second, third] = entries;
        let all = JournalFilter::default();
        assert_eq!(read(all.clone()).await, [third.clone(), second.clone(), first.clone()]);
        assert_eq!(read(JournalFilter { kind: Some(Kind::Paused), ..all.clone() }).await, [second]);
        assert_eq!(read(JournalFilter { bucket: Some(bucket("docomo")), ..all.clone() }).await, [first]);
        assert_eq!(read(JournalFilter { since: Some(at(3)), ..all.clone() }).await, [third]);
        assert!(read(JournalFilter { relay: Some(relay("other")), ..all.clone() }).await.is_empty());
        assert_eq!(world.store.journal(all, 1).await.unwrap().len(), 1);
    }

    async fn unknown_users_are_told_by_the_campaign_they_came_from(world: World) {
        let (spring, autumn) = (world.campaign("spring", 3).await, world.campaign("autumn", 2).await);
        let lease = world.lease("ses").await;
        let unknown = Grade { unknown: true, ..Grade::default() };
        for (campaign, n) in [(spring, 3), (autumn, 2)] {
            let claims = world.claim(&lease, campaign, n).await;
            let bad = claims.iter().skip(1).map(|claim| {
                let mut s = graded(claim, Disposition::Bounced(None), unknown);
                s.attempt = s.attempt.map(|a| Attempt { action: Some(hikagen::core::reply::Action::Suppress), ..a });
                s
            });
            world.store.settle(&lease, bad.collect()).await.unwrap();
        }
        let told = world.store.unknowns(&lane(), DAY).await.unwrap();
        let told: Vec<_> = told.iter().map(|of| (of.campaign.as_str(), of.n)).collect();
        assert_eq!(told, [("spring", 2), ("autumn", 1)]);
        assert!(world.store.unknowns(&lane(), DAY.tomorrow().unwrap()).await.unwrap().is_empty());
    }

    async fn days_that_were_judged_come_back_with_their_verdicts(world: World) {
        let campaign = world.campaign("spring", 2).await;
        let lease = world.lease("ses").await;
        let claim = world.claim(&lease, campaign, 1).await.remove(0);
        world.settle(&lease, &claim, Disposition::Accepted).await;
        let verdict = hikagen::core::lane::Verdict {
            bucket: bucket("docomo"), day: DAY, days: 1, kind: hikagen::core::lane::VerdictKind::Hold, before: 3, after: 3,
            because: "few".to_owned(), inputs: [("tried".to_owned(), "1".to_owned())].into(),
        };
        let next = Ledger::new(bucket("docomo"), DAY.tomorrow().unwrap(), 3, 9);
        let rolled = Rolled { verdicts: vec![verdict.clone()], ledgers: vec![next], ..Rolled::default() };
        world.store.roll(&lease, rolled, at(86_400)).await.unwrap();
        let judged = world.store.memory(&lease, at(86_400)).await.unwrap().judged;
        assert_eq!(judged.len(), 1);
        assert_eq!((judged[0].0.day, judged[0].0.showing.tried, &judged[0].1), (DAY, 1, &verdict));
        let entries = world.store.journal(JournalFilter::default(), 10).await.unwrap();
        assert_eq!(entries.len(), 1, "a verdict is an entry of the journal");
        assert_eq!((entries[0].1.kind, entries[0].1.by.as_str()), (Kind::Verdict, "gate"));
    }
}
