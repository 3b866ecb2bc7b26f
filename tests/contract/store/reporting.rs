//! What came back from beyond the relay: recorded once, counted for the send's day, and never in the way of a final state.

use std::borrow::Cow;

use hikagen::core::campaign::{CampaignId, Class, MessageId, MessageState};
use hikagen::core::feedback::{Diagnostic, Fate, Way};
use hikagen::core::names::LaneKey;
use hikagen::core::reply::{Action, Enhanced, Reason, Signal, Stage};
use hikagen::store::{
    CameBack, Claim, ClaimOrder, Disposition, Health, Lease, Recorded, Report, Revision, Store, SuppressionReason,
};
use jiff::civil::date;

use super::*;

fn report(id: &str, fate: Fate, message: Option<MessageId>) -> Report {
    let refused = fate == Fate::Refused;
    Report {
        way: Way::MAIL,
        id: id.to_owned(),
        at: at(100),
        fate,
        message,
        key: None,
        said: Diagnostic {
            code: refused.then_some(550),
            enhanced: refused.then_some(Enhanced(5, 1, 1)),
            text: "User unknown".to_owned(),
        },
        stage: Some(Stage::Rcpt),
        remote: Some("mx.example.jp".to_owned()),
        signal: Signal::Recipient,
        action: refused.then_some(Action::Suppress),
        reason: if refused { Reason::UserUnknown } else { Reason::NotARefusal },
        rule: Some("docomo-unknown".into()),
        suppress: refused.then_some(SuppressionReason::Unknown),
        mailbox_after: None,
        evidence: "550 5.1.1 User unknown".to_owned(),
    }
}

async fn record(world: &World, reports: Vec<Report>) -> Recorded {
    let recorded = world.store.record_reports(reports, at(200)).await.unwrap();
    world.check_books().await;
    recorded
}

/// `n` messages of `spring` that a relay accepted.
async fn sent(world: &World, n: u32) -> (CampaignId, Lease, Vec<Claim>) {
    let spring = world.campaign("spring", n as usize + 1).await;
    let lease = world.lease("ses").await;
    let claims = world.claim(&lease, spring, n).await;
    for claim in &claims {
        world.settle(&lease, claim, Disposition::Accepted).await;
    }
    (spring, lease, claims)
}

async fn health(world: &World) -> Health {
    let all = world.store.health(None, DAY).await.unwrap();
    assert!(all.len() <= 1, "{all:?}");
    all.first().map_or(Health::default(), |(lane, day, health)| {
        assert_eq!((lane, *day), (&"ses/docomo".parse::<LaneKey>().unwrap(), DAY));
        *health
    })
}

stories! {
    async fn a_repeat_changes_nothing_and_a_message_counts_once_whatever_the_way(world: World) {
        let (spring, _lease, claims) = sent(&world, 3).await;
        let m = claims[0].r.message;
        let bounce = report("b1", Fate::Refused, Some(m));
        let first = record(&world, vec![bounce.clone(), bounce.clone()]).await;
        assert_eq!(first, Recorded { new: 1, repeated: 1, unmatched: 0, suppressed: 1 });
        let by_log = Report { way: Way::LOG, ..bounce.clone() };
        assert_eq!(record(&world, vec![by_log]).await, Recorded { new: 1, ..Recorded::default() });
        assert_eq!(record(&world, vec![bounce]).await, Recorded { repeated: 1, ..Recorded::default() });
        assert_eq!(health(&world).await, Health { bounced: 1, unknown: 1, ..Health::default() });
        let back = world.store.came_back(spring).await.unwrap();
        assert_eq!(back, [CameBack {
            bucket: bucket("docomo"), fate: Fate::Refused, reason: Reason::UserUnknown, way: Way::MAIL, n: 1
        }]);
        let about = world.store.reports_about(m).await.unwrap();
        assert_eq!(about.iter().map(|r| (r.report.way.as_str(), r.counts)).collect::<Vec<_>>(), [("mail", true), ("log", false)]);
        assert_eq!(about[0].report.key.as_deref(), Some("u0@docomo.ne.jp"));
        assert_eq!(world.store.reports_to("u0@docomo.ne.jp").await.unwrap().len(), 2);
        assert_eq!(world.message(m).await.state, MessageState::Accepted, "a final state is never left");
        let held = world.store.suppressions(Some("u0@docomo.ne.jp"), None, 9).await.unwrap();
        assert_eq!((held.len(), held[0].reason), (1, SuppressionReason::Unknown));
    }

    /// By its address, the newest message that was sent by then; the day is the send's, whenever the report comes.
    async fn an_address_finds_the_newest_send_and_nobody_elses(world: World) {
        let (_spring, lease, claims) = sent(&world, 1).await;
        let summer = world.campaign("summer", 1).await;
        let later = ClaimOrder { now: at(50), ..order(&lease, summer, 1) };
        let later = world.store.claim(later).await.unwrap().claims;
        let by_address = |id: &str, key: &str| Report { key: Some(key.to_owned()), ..report(id, Fate::Delivered, None) };
        // In the air: a bounce may be faster than the settle.
        record(&world, vec![by_address("d1", "u0@docomo.ne.jp")]).await;
        world.settle(&lease, &later[0], Disposition::Accepted).await;
        let found = world.store.reports_to("u0@docomo.ne.jp").await.unwrap();
        assert_eq!(found[0].report.message, Some(later[0].r.message));
        assert_ne!(claims[0].r.message, later[0].r.message);
        assert_eq!((found[0].lane.clone(), found[0].day), (Some("ses/docomo".parse().unwrap()), Some(DAY)));
        let unmatched = record(&world, vec![by_address("d2", "nobody@docomo.ne.jp")]).await;
        assert_eq!(unmatched, Recorded { new: 1, unmatched: 1, ..Recorded::default() });
        assert_eq!(record(&world, vec![report("d3", Fate::Refused, Some(MessageId(999)))]).await.unmatched, 1);
        assert_eq!(health(&world).await, Health { delivered: 1, ..Health::default() });
        assert_eq!(world.store.health(None, date(2026, 3, 3)).await.unwrap(), []);
    }

    async fn a_mailbox_is_held_back_after_so_many_messages_without_one_that_got_through(world: World) {
        let (_, _, claims) = sent(&world, 4).await;
        // One address behind all of them, as campaigns have it.
        let full = |id: &str, i: usize| Report {
            key: Some("full@docomo.ne.jp".to_owned()),
            suppress: None, mailbox_after: Some(2), reason: Reason::MailboxFull, action: Some(Action::Retry),
            ..report(id, Fate::Refused, Some(claims[i].r.message))
        };
        let to = |mut report: Report| { report.message = None; report };
        record(&world, vec![to(full("f1", 0))]).await;
        let got_through = Report { key: Some("full@docomo.ne.jp".to_owned()), ..report("d1", Fate::Delivered, None) };
        record(&world, vec![got_through, to(full("f2", 1)), to(full("f2", 1))]).await;
        assert_eq!(world.store.suppressions(None, None, 9).await.unwrap(), [], "one since the last that got through");
        assert_eq!(record(&world, vec![to(full("f3", 2))]).await.suppressed, 1);
        let held = world.store.suppressions(None, None, 9).await.unwrap();
        assert_eq!((held[0].key.as_str(), held[0].reason), ("full@docomo.ne.jp", SuppressionReason::Mailbox));
        assert!(held[0].note.starts_with("2 messages in a row"), "{}", held[0].note);
    }

    async fn who_leaves_leaves_one_sender_and_gets_receipts_still(world: World) {
        let (_, lease, claims) = sent(&world, 1).await;
        let left = Report {
            suppress: Some(SuppressionReason::Unsubscribe), way: Way(Cow::Borrowed("one-click")),
            ..report("l1", Fate::Unsubscribed, Some(claims[0].r.message))
        };
        assert_eq!(record(&world, vec![left]).await.suppressed, 1);
        let held = world.store.suppressions(None, None, 9).await.unwrap();
        assert_eq!((held[0].reason, held[0].sender.as_deref()), (SuppressionReason::Unsubscribe, Some("mail.example.jp")));
        assert_eq!(health(&world).await, Health::default(), "nothing against the lane");
        let bulk = world.campaign_of("summer", Class::Bulk, rows(1)).await;
        assert_eq!(world.count(bulk, MessageState::Suppressed).await, 1);
        let receipts = world.campaign_of("receipts", Class::Transactional, rows(1)).await;
        assert_eq!(world.claim(&lease, receipts, 1).await.len(), 1);
    }

    /// The owner reads what asks for something, and the newest of each lane that went well, and goes on from there after a crash.
    async fn an_owner_reads_each_report_once(world: World) {
        let mut world = world;
        let (_, lease, claims) = sent(&world, 4).await;
        let act = |id: &str, i: usize, action| Report {
            action: Some(action), suppress: None, signal: Signal::Reputation, reason: Reason::Blocked,
            ..report(id, Fate::Delayed, Some(claims[i].r.message))
        };
        let well = |id: &str, i: usize| report(id, Fate::Delivered, Some(claims[i].r.message));
        record(&world, vec![act("a", 0, Action::Block), well("b", 1), well("c", 2), act("d", 3, Action::Retry)]).await;
        let read = world.store.reports_of(&relay("ses"), 0, 10).await.unwrap();
        assert_eq!(read.iter().map(|r| r.report.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(health(&world).await, Health { delivered: 2, delayed: 2, blocks: 1, ..Health::default() });
        world.store.note_heard(&lease, read[1].id).await.unwrap();
        world.crash();
        let (lease, _) = world.store.acquire(&relay("ses"), "next", at(60), false, at(300)).await.unwrap();
        let heard = world.store.memory(&lease, at(300)).await.unwrap().heard;
        assert_eq!(heard, read[1].id);
        assert_eq!(world.store.reports_of(&relay("ses"), heard, 10).await.unwrap(), []);
        assert_eq!(world.store.reports_of(&relay("other"), 0, 10).await.unwrap(), []);
        record(&world, vec![act("e", 1, Action::Throttle), act("f", 2, Action::Block)]).await;
        let first = world.store.reports_of(&relay("ses"), heard, 1).await.unwrap();
        assert_eq!(first.iter().map(|r| r.report.id.as_str()).collect::<Vec<_>>(), ["e"]);
    }

    async fn replies_that_no_rule_knows_are_collected_like_with_like(world: World) {
        let (_, lease, claims) = sent(&world, 3).await;
        let odd = |id: &str, i: usize, text: &str| Report {
            rule: None, suppress: None, action: Some(Action::Fail), reason: Reason::Undefined, signal: Signal::Unclassified,
            said: Diagnostic { code: Some(550), enhanced: None, text: text.to_owned() },
            ..report(id, Fate::Refused, Some(claims[i].r.message))
        };
        record(&world, vec![
            odd("o1", 0, "<u0@docomo.ne.jp> odd thing 4711"), odd("o2", 1, "<u1@docomo.ne.jp> odd thing 4712"), odd("o3", 2, "another"),
        ]).await;
        let summer = world.campaign("summer", 1).await;
        let claim = world.claim(&lease, summer, 1).await.remove(0);
        let mut settled = settlement(&claim, Disposition::Deferred { due: at(900) });
        if let Some(attempt) = &mut settled.attempt {
            attempt.signal = Signal::Unclassified;
        }
        world.store.settle(&lease, vec![settled]).await.unwrap();
        let unknown = world.store.unknown_replies(10).await.unwrap();
        let rows: Vec<_> = unknown.iter().map(|u| (u.from.as_str(), u.shape.as_str(), u.n)).collect();
        assert_eq!(rows[0], ("docomo", "550 {addr} odd thing {n}", 2));
        assert!(rows.contains(&("docomo", "550 another", 1)), "{rows:?}");
        assert!(rows.contains(&("docomo", "451 4.7.1 try later", 1)), "{rows:?}");
    }

    async fn a_folded_message_still_finds_its_address_and_its_counts_stay(world: World) {
        let (spring, _, claims) = sent(&world, 1).await;
        let m = claims[0].r.message;
        record(&world, vec![report("b1", Fate::Refused, Some(m))]).await;
        let not_after = Some(at(80));
        world.store.revise_campaign(spring, Revision { not_after, ..revision(Class::Bulk) }, at(70)).await.unwrap();
        world.store.sweep(at(100), 10).await.unwrap();
        world.campaign("summer", 1).await;
        while world.store.fold(fold_order(at(100), 10)).await.unwrap().more {}
        assert!(world.store.message(m).await.unwrap().is_none());
        let recipient = world.store.recipient_of(m).await.unwrap().unwrap();
        assert_eq!((recipient.key.as_str(), recipient.sender_domain.as_str()), ("u0@docomo.ne.jp", "mail.example.jp"));
        assert_eq!(world.store.reports_about(m).await.unwrap(), []);
        assert_eq!(health(&world).await, Health { bounced: 1, unknown: 1, ..Health::default() });
        assert_eq!(world.store.came_back(spring).await.unwrap().len(), 1);
        let late = Report { suppress: Some(SuppressionReason::Complaint), ..report("c1", Fate::Complaint, Some(m)) };
        assert_eq!(record(&world, vec![late]).await, Recorded { new: 1, suppressed: 1, ..Recorded::default() });
        assert_eq!(world.store.recipient_of(MessageId(999)).await.unwrap(), None);
    }

    async fn a_person_is_forgotten_and_no_list_brings_them_back(world: World) {
        let (_, _, claims) = sent(&world, 1).await;
        world.campaign("summer", 2).await;
        record(&world, vec![Report { key: Some("u0@docomo.ne.jp".to_owned()), ..report("b1", Fate::Refused, Some(claims[0].r.message)) }]).await;
        let forgotten = world.store.forget("u0@docomo.ne.jp", at(300)).await.unwrap();
        assert_eq!((forgotten.messages, forgotten.cancelled, forgotten.suppressions), (2, 1, 1), "{forgotten:?}");
        if let Some(path) = world.file() {
            let wal = path.with_extension("db-wal");
            for file in [path, wal] {
                let bytes = std::fs::read(&file).unwrap_or_default();
                let address = b"u0@docomo.ne.jp";
                assert!(!bytes.windows(address.len()).any(|w| w == address), "{} has it still", file.display());
            }
        }
        world.check_books().await;
        assert!(world.store.messages_to("u0@docomo.ne.jp").await.unwrap().is_empty());
        assert!(world.store.reports_to("u0@docomo.ne.jp").await.unwrap().is_empty());
        let row = world.message(claims[0].r.message).await;
        assert_eq!((row.state, row.columns.as_str()), (MessageState::Accepted, "{}"));
        assert!(row.address.starts_with("sha256:"), "{}", row.address);
        let held = world.store.suppressions(None, None, 9).await.unwrap();
        assert_eq!((held.len(), held[0].reason), (1, SuppressionReason::Forgotten));
        let autumn = world.campaign("autumn", 2).await;
        assert_eq!(world.count(autumn, MessageState::Suppressed).await, 1);
    }
}
