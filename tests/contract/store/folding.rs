//! Retention: what is over becomes counts, nobody can tell the sums apart, and nothing that may still matter is touched.

use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::{Clock, SystemClock};
use hikagen::core::campaign::{CampaignId, CampaignState, Class, MessageId, MessageState};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::*;
use rusqlite::Connection;

use super::*;

/// Folds all that ended at `before` or earlier.
async fn fold_all(world: &World, before: jiff::Timestamp, limit: u32) -> Folded {
    let mut sum = Folded::default();
    loop {
        let folded = world.store.fold(fold_order(before, limit)).await.unwrap();
        sum.messages += folded.messages;
        sum.attempts += folded.attempts;
        if !folded.more {
            return sum;
        }
    }
}

/// Six messages of `spring`: three accepted (one at its second attempt, one after a crash), one bounced, two expired; and a
/// later campaign that is open.
async fn over(mut world: World) -> (World, CampaignId, Lease) {
    let spring = world.campaign("spring", 6).await;
    let lease = world.lease("ses").await;
    let claims = world.claim(&lease, spring, 4).await;
    world.settle(&lease, &claims[0], Disposition::Accepted).await;
    world.settle(&lease, &claims[1], Disposition::Deferred { due: at(60) }).await;
    world.settle(&lease, &claims[2], Disposition::Bounced(Some(SuppressionReason::Unknown))).await;
    world.crash();
    let (lease, recovered) = world.store.acquire(&relay("ses"), "next", at(60), false, at(30)).await.unwrap();
    assert_eq!(recovered.retried, 1);
    world.store.feed(at(60), 10).await.unwrap();
    let mut again = order(&lease, spring, 2);
    again.lanes[0].wants[0].fresh = 0;
    for claim in world.store.claim(again).await.unwrap().claims {
        world.settle(&lease, &claim, Disposition::Accepted).await;
    }
    let not_after = Some(at(80));
    world.store.revise_campaign(spring, Revision { not_after, ..revision(Class::Bulk) }, at(70)).await.unwrap();
    world.store.sweep(at(100), 10).await.unwrap();
    assert_eq!(world.row("spring").await.state, CampaignState::Finished);
    world.campaign("summer", 2).await;
    (world, spring, lease)
}

stories! {
    async fn what_is_over_becomes_counts_and_every_sum_stays(world: World) {
        let (world, spring, _lease) = over(world).await;
        let (tally, recount) = (world.store.tally(spring).await.unwrap(), world.store.recount(DAY).await.unwrap());
        let suppressed = world.store.suppressions(None, None, 10).await.unwrap();
        let ledger = world.ledger("ses").await;
        assert_eq!(world.store.foldable(at(99)).await.unwrap(), []);
        assert_eq!(fold_all(&world, at(99), 100).await, Folded::default(), "it ended later");
        assert_eq!(world.store.foldable(at(100)).await.unwrap(), [(name("spring"), 6)]);

        let folded = fold_all(&world, at(100), 100).await;
        assert_eq!((folded.messages, folded.attempts), (6, 5));
        world.check_books().await;
        assert_eq!(world.store.tally(spring).await.unwrap(), tally);
        let mut again = world.store.recount(DAY).await.unwrap();
        assert_eq!(again[0].folded, 5);
        again[0].folded = 0;
        assert_eq!(again, recount);
        assert_eq!(again[0].lost, 1);
        assert_eq!(world.store.suppressions(None, None, 10).await.unwrap(), suppressed);
        assert_eq!(world.ledger("ses").await, ledger);

        let days = world.store.folded(Some(spring)).await.unwrap();
        let row = |state, n| FoldedRow { bucket: bucket("docomo"), state, day: DAY, n };
        assert_eq!(days, [
            row(MessageState::Accepted, 3),
            row(MessageState::Bounced, 1),
            row(MessageState::Expired, 2)
        ]);
        assert_eq!(world.store.folded(None).await.unwrap(), days);
        assert!(world.store.messages_of(spring, &[], None, 10).await.unwrap().is_empty());
        assert!(world.store.message(MessageId(1)).await.unwrap().is_none());
        assert!(world.store.is_folded(MessageId(1)).await.unwrap());
        for other in [0, 7, 8, 9] {
            assert!(!world.store.is_folded(MessageId(other)).await.unwrap(), "m{other}");
        }
        assert!(world.store.lane_attempts(&relay("ses"), &bucket("docomo"), 10).await.unwrap().is_empty());
        assert_eq!(fold_all(&world, at(100), 100).await, Folded::default());
    }

    /// A fold that is cut off at any row is whole, and the next goes on.
    async fn a_fold_touches_few_rows_at_a_time(world: World) {
        let (world, spring, _lease) = over(world).await;
        let tally = world.store.tally(spring).await.unwrap();
        let mut steps = 0;
        loop {
            let folded = world.store.fold(fold_order(at(100), 2)).await.unwrap();
            world.check_books().await;
            assert_eq!(world.store.tally(spring).await.unwrap(), tally);
            if !folded.more {
                break;
            }
            // A message whose attempts pass the bound is folded whole, and nothing after it.
            assert!((1..=3).contains(&(folded.messages + folded.attempts)), "{folded:?}");
            steps += 1;
        }
        assert!(steps >= 4, "{steps}");
    }

    async fn an_open_campaign_keeps_every_key(world: World) {
        let campaign = world.campaign("spring", 4).await;
        let lease = world.lease("ses").await;
        for claim in world.claim(&lease, campaign, 3).await {
            world.settle(&lease, &claim, Disposition::Accepted).await;
        }
        world.store.order_campaign(&name("spring"), CampaignState::Paused, "wait", at(20)).await.unwrap();
        world.store.sweep(at(30), 10).await.unwrap();
        world.campaign("summer", 1).await;
        assert_eq!(fold_all(&world, at(90_000_000), 100).await, Folded::default());
        let again = world.store.enqueue(campaign, rows(4), 1, false, at(90_000_000)).await.unwrap();
        assert_eq!((again.added, again.known), (0, 4), "whoever had it is known for as long as it could come again");
        world.check().await;
    }

    async fn what_ended_takes_no_list_any_more_folded_or_not(world: World) {
        let (world, spring, _lease) = over(world).await;
        fold_all(&world, at(100), 100).await;
        let refused = world.store.enqueue(spring, rows(6), 1, false, at(200)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        let refused = world.store.create_campaign(new_campaign("spring", Class::Bulk), at(200)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    }

    async fn a_cancelled_campaign_ends_with_its_last_answer(world: World) {
        let spring = world.campaign("spring", 5).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, spring, 2).await;
        world.store.order_campaign(&name("spring"), CampaignState::Cancelled, "", at(20)).await.unwrap();
        world.store.sweep(at(30), 10).await.unwrap();
        world.campaign("summer", 1).await;
        assert_eq!(fold_all(&world, at(90_000_000), 100).await, Folded::default(), "two are in the air");
        for claim in claims {
            world.settle(&lease, &claim, Disposition::Accepted).await;
        }
        world.store.sweep(at(500), 10).await.unwrap();
        assert_eq!(fold_all(&world, at(499), 100).await, Folded::default());
        assert_eq!(fold_all(&world, at(500), 100).await.messages, 5);
        world.check_books().await;
    }

    /// A machine that booted into the past notes ends that are long over; nothing is folded before its time for that.
    async fn an_end_noted_by_a_wrong_clock_is_not_believed(world: World) {
        let spring = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        for claim in world.claim(&lease, spring, 3).await {
            world.settle(&lease, &claim, Disposition::Accepted).await;
        }
        world.campaign("summer", 2).await;
        world.store.order_campaign(&name("summer"), CampaignState::Cancelled, "", at(-80_000_000)).await.unwrap();
        world.store.sweep(at(-90_000_000), 10).await.unwrap();
        assert_eq!(world.row("spring").await.state, CampaignState::Finished);
        world.campaign("autumn", 1).await;
        assert_eq!(world.store.foldable(at(-1)).await.unwrap(), [], "nothing ended before it was made");
        assert_eq!(fold_all(&world, at(-1), 100).await, Folded::default());

        // Between the making of both and the last answer of `spring`.
        assert_eq!(world.store.foldable(at(11)).await.unwrap(), [(name("summer"), 2)]);
        assert_eq!(fold_all(&world, at(11), 100).await.messages, 2);
        assert_eq!(world.store.tally(spring).await.unwrap()[0].n, 3);
        assert_eq!(fold_all(&world, at(12), 100).await.messages, 3);
        world.check_books().await;
    }

    async fn the_newest_number_is_never_given_again(world: World) {
        let spring = world.campaign("spring", 3).await;
        let lease = world.lease("ses").await;
        for claim in world.claim(&lease, spring, 3).await {
            world.settle(&lease, &claim, Disposition::Accepted).await;
        }
        world.store.sweep(at(100), 10).await.unwrap();
        assert_eq!(fold_all(&world, at(100), 100).await.messages, 2);
        assert_eq!(world.message(MessageId(3)).await.state, MessageState::Accepted);
        let summer = world.campaign("summer", 1).await;
        assert_eq!(world.store.messages_of(summer, &[], None, 9).await.unwrap()[0].id, MessageId(4));
        assert_eq!(fold_all(&world, at(100), 100).await.messages, 1);
        world.check_books().await;
    }

    /// Of a batch over midnight each message is counted on its own day.
    async fn days_are_those_of_the_zone(world: World) {
        let spring = world.campaign("spring", 2).await;
        let lease = world.lease("ses").await;
        let claims = world.claim(&lease, spring, 2).await;
        let midnight = 12 * 3_600;
        for (claim, seconds) in claims.iter().zip([midnight - 1, midnight]) {
            let settlement = Settlement { at: at(seconds), ..settlement(claim, Disposition::Accepted) };
            world.store.settle(&lease, vec![settlement]).await.unwrap();
        }
        world.store.sweep(at(midnight), 10).await.unwrap();
        world.campaign("summer", 1).await;
        fold_all(&world, at(midnight), 100).await;
        let days: Vec<_> = world.store.folded(Some(spring)).await.unwrap().iter().map(|row| (row.day, row.n)).collect();
        assert_eq!(days, [(DAY, 1), (DAY.tomorrow().unwrap(), 1)]);
    }

    async fn free_room_goes_back_bit_by_bit(world: World) {
        let spring = world.campaign("spring", 4_000).await;
        world.store.order_campaign(&name("spring"), CampaignState::Cancelled, "", at(10)).await.unwrap();
        world.store.sweep(at(20), 10_000).await.unwrap();
        world.campaign("summer", 1).await;
        let full = world.store.space().await.unwrap();
        assert!(full.shrinks, "a new store gives its room back: {full:?}");
        assert_eq!(fold_all(&world, at(20), 500).await.messages, 4_000);
        let folded = world.store.space().await.unwrap();
        assert!(folded.free > full.bytes / 2, "{folded:?} of {full:?}");
        let one = world.store.shrink(1).await.unwrap();
        assert_eq!((one.bytes, one.free), (folded.bytes - 4_096, folded.free - 4_096));
        let all = world.store.shrink(u32::MAX).await.unwrap();
        assert_eq!((all.free, all.bytes < full.bytes / 2), (0, true), "{all:?}");
        assert_eq!(world.store.tally(spring).await.unwrap()[0].n, 4_000);
        world.check_books().await;
    }
}

/// Folds all as `store prune` does beside a worker: messages, time, longest step.
async fn prune(store: Arc<SqliteStore>) -> (u64, Duration, Duration) {
    let (began, mut longest, mut sum) = (SystemClock.elapsed(), Duration::ZERO, 0);
    loop {
        let step = SystemClock.elapsed();
        let folded = store.fold(fold_order(at(100), 500)).await.unwrap();
        let took = SystemClock.elapsed() - step;
        longest = longest.max(took);
        sum += folded.messages;
        if !folded.more {
            return (sum, SystemClock.elapsed() - began, longest);
        }
        SystemClock.sleep(took).await;
    }
}

/// Takes up to `n` fresh messages of a campaign, under a quota that is never spent.
async fn take(world: &World, lease: &Lease, campaign: CampaignId, n: u32) -> Vec<Claim> {
    let mut order = order(lease, campaign, n);
    (order.lanes[0].wants[0].retries, order.lanes[0].quota) = (0, 2_000_000);
    world.store.claim(order).await.unwrap().claims
}

/// Claims a little every 10 ms until `beside` ends, and prints how long these waited.
async fn claims_beside<T>(world: &World, lease: &Lease, campaign: CampaignId, beside: tokio::task::JoinHandle<T>) -> T {
    let mut waits = Vec::new();
    while !beside.is_finished() {
        let began = SystemClock.elapsed();
        take(world, lease, campaign, 5).await;
        waits.push(SystemClock.elapsed() - began);
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 1_000];
    let (n, half, most, all) = (waits.len(), at(500), at(990), at(1_000));
    println!("{n} claims waited {half:?} (median), {most:?} (99 %), {all:?} (most)");
    beside.await.unwrap()
}

/// Run by hand: `cargo test --test contract store::folding::figures -- --ignored --nocapture`. How long it takes to fold a
/// million messages with their attempts, and how long claims wait meanwhile.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, not a test"]
async fn figures() {
    let world = World::in_a_file();
    let lease = world.lease("ses").await;
    let spring = world.campaign("spring", 0).await;
    let list = rows(1_000_000);
    let began = SystemClock.elapsed();
    for (n, chunk) in list.chunks(10_000).enumerate() {
        let load = i64::try_from(n).unwrap() + 1;
        world.store.enqueue(spring, chunk.to_vec(), load, false, at(0)).await.unwrap();
    }
    println!("loaded in {:?}", SystemClock.elapsed() - began);
    let began = SystemClock.elapsed();
    for _ in 0..list.len() / 2_000 {
        let claims = take(&world, &lease, spring, 2_000).await;
        let done = claims.iter().map(|c| settlement(c, Disposition::Accepted)).collect();
        world.store.settle(&lease, done).await.unwrap();
    }
    println!("claimed and settled in {:?}", SystemClock.elapsed() - began);
    world.store.sweep(at(100), 10).await.unwrap();
    let summer = world.campaign("summer", 100_000).await;
    print!("alone: ");
    claims_beside(&world, &lease, summer, tokio::spawn(SystemClock.sleep(Duration::from_secs(5)))).await;
    print!("beside a prune: ");
    let (n, time, longest) = claims_beside(&world, &lease, summer, tokio::spawn(prune(world.store.clone()))).await;
    println!("{n} messages folded in {time:?}, longest step {longest:?}");

    let (began, was) = (SystemClock.elapsed(), world.store.space().await.unwrap());
    while world.store.shrink(500).await.unwrap().free > 0 {}
    let is = world.store.space().await.unwrap();
    println!("{} bytes, {} after giving back in {:?}", was.bytes, is.bytes, SystemClock.elapsed() - began);
    let began = SystemClock.elapsed();
    assert_eq!(world.store.inspect().await.unwrap(), Vec::<String>::new());
    println!("inspected in {:?}", SystemClock.elapsed() - began);
}

/// A store of version 1, as its program left it, in a file.
fn version_1() -> World {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join("hikagen.db")).unwrap().execute_batch(include_str!("version_1.sql")).unwrap();
    World::at(folder)
}

#[tokio::test]
async fn a_store_of_version_1_is_brought_up_to_date_and_loses_nothing() {
    let world = version_1();
    world.check().await;
    let states: Vec<_> =
        world.store.campaigns().await.unwrap().iter().map(|row| (row.name.to_string(), row.state)).collect();
    let expected =
        [("autumn", CampaignState::Paused), ("summer", CampaignState::Cancelled), ("spring", CampaignState::Finished)];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)));
    assert_eq!(
        world.message(MessageId(3)).await.because.unwrap(),
        "550 5.1.1 <a2@example.co.jp>: Recipient address rejected: User unknown in virtual alias table"
    );
    let sums = |rows: Vec<TallyRow>| rows.iter().map(|row| row.n).sum::<u64>();
    let (spring, summer) = (world.row("spring").await, world.row("summer").await);
    let tally = world.store.tally(summer.id).await.unwrap();
    assert_eq!((sums(world.store.tally(spring.id).await.unwrap()), sums(tally.clone())), (8, 4));

    // Both have ended: with their last message, not with the order that cancelled one of them.
    let recount = world.store.recount(jiff::civil::Date::MIN).await.unwrap();
    assert_eq!(fold_all(&world, summer.changed, 3).await.messages, 8, "summer's last message came after the order");
    let later = summer.changed + jiff::SignedDuration::from_secs(1);
    assert_eq!(fold_all(&world, later, 3).await.messages, 4);
    world.check_books().await;
    assert_eq!(world.store.tally(summer.id).await.unwrap(), tally);
    let again = world.store.recount(jiff::civil::Date::MIN).await.unwrap();
    assert_eq!(
        again.iter().map(|row| (row.counted, row.spent)).collect::<Vec<_>>(),
        recount.iter().map(|row| (row.counted, row.spent)).collect::<Vec<_>>()
    );
    assert_eq!(world.count(world.row("autumn").await.id, MessageState::Queued).await, 3);

    // The old file keeps its room until it is written anew.
    assert!(!world.store.space().await.unwrap().shrinks);
    assert!(!world.store.shrink(10).await.unwrap().shrinks);
    let compact = world.store.compact().await.unwrap();
    assert!(compact.shrinks && compact.free == 0, "{compact:?}");
    assert_eq!(world.store.space().await.unwrap(), compact);
    world.check_books().await;
    let (path, folder) = world.close();
    let version: i64 = Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 4);
    drop(folder);
}

/// A worker of version 1 that still runs while another program brings its store up to date knows no note.
#[tokio::test]
async fn what_an_earlier_version_finished_is_noted_later() {
    let (world, spring, _lease) = over(World::in_a_file()).await;
    let undo = "UPDATE campaign SET ended = NULL";
    Connection::open(world.path()).unwrap().execute_batch(undo).unwrap();
    assert_eq!(fold_all(&world, at(9_000), 100).await.messages, 0);
    world.store.sweep(at(500), 10).await.unwrap();
    assert_eq!(world.store.foldable(at(499)).await.unwrap(), []);
    assert_eq!(fold_all(&world, at(500), 100).await.messages, 6);
    assert_eq!(world.store.tally(spring).await.unwrap().iter().map(|row| row.n).sum::<u64>(), 6);
}

#[tokio::test]
async fn an_inspection_finds_what_is_planted() {
    let plants = [
        ("INSERT INTO parked VALUES (8, 2, 3, 0, 0, 'x')", "m8 is in 2 places"),
        ("DELETE FROM final WHERE message = 2", "m2 of campaign number 1 is nowhere"),
        ("UPDATE ready SET campaign = 1 WHERE message = 7", "has message m7, which is not theirs"),
        ("DELETE FROM message WHERE id = 1", "m1 has a final state and does not exist"),
        ("UPDATE message SET campaign = 9 WHERE id = 1", "m1 is of campaign number 9"),
        ("UPDATE campaign SET revision = 99 WHERE id = 1", "campaign number 1 has no revision number 99"),
        ("UPDATE attempt SET message = 99 WHERE id = 1", "attempt number 1 is of message m99"),
        ("UPDATE final SET last_attempt = 77 WHERE message = 1", "attempt number 77, the last of message m1"),
        ("UPDATE counter SET n = n + 1 WHERE place = 14", "the counter of place 14 is wrong, 3 are there"),
        ("INSERT INTO folded VALUES (1, 1, 4, 20260302, 5)", "the counter of place 14"),
        ("UPDATE ledger SET spent = 4", "6 were handed over, but the ledger says 4"),
        ("DELETE FROM ledger", "6 were handed over, but there is no ledger"),
    ];
    for (plant, words) in plants {
        let (world, ..) = over(World::in_a_file()).await;
        assert_eq!(world.store.inspect().await.unwrap(), Vec::<String>::new());
        Connection::open(world.path()).unwrap().execute_batch(plant).unwrap();
        let problems = world.store.inspect().await.unwrap();
        let found = problems.iter().any(|problem| problem.contains(words));
        assert!(found, "{plant}: {problems:#?}");
        assert_eq!(world.store.quick_check().await.unwrap(), Vec::<String>::new(), "the file itself is sound");
    }
}

#[tokio::test]
async fn both_checks_see_a_damaged_page() {
    let world = World::in_a_file();
    world.campaign("spring", 3_000).await;
    let (path, folder) = world.close();
    let conn = Connection::open(&path).unwrap();
    let page: u32 =
        conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'ready'", [], |row| row.get(0)).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(conn);
    let page = usize::try_from(page).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The order of the cells on one inner page, so that the rest stays readable.
    bytes[(page - 1) * 4_096 + 12..(page - 1) * 4_096 + 20].reverse();
    std::fs::write(&path, bytes).unwrap();
    let world = World::at(folder);
    for problems in [world.store.quick_check().await, world.store.inspect().await] {
        let seen = match &problems {
            Ok(problems) => problems.iter().any(|problem| problem.contains("the file is damaged")),
            Err(error) => matches!(error, StoreError::Corrupt(_)),
        };
        assert!(seen, "{problems:?}");
    }
}
