//! The file: what survives a kill, what a full disk, a read-only or a foreign file looks like, copies and what is put back.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hikagen::core::campaign::{CampaignState, Class, MessageState};
use hikagen::store::sqlite::{Limits, SqliteStore};
use hikagen::store::*;
use rusqlite::Connection;

use super::*;

/// Names the store to the process that is going to be killed.
const STORE_OF_THE_VICTIM: &str = "HIKAGEN_TEST_STORE_OF_THE_VICTIM";

/// Run by `what_was_acknowledged_survives_a_kill` in a process of its own: submits, claims and settles until it is killed.
#[tokio::test]
#[ignore = "the part of another test that runs in a process of its own"]
async fn victim() {
    let Ok(path) = std::env::var(STORE_OF_THE_VICTIM) else { return };
    let store = SqliteStore::open(path.as_ref()).unwrap();
    let id = store.create_campaign(new_campaign("spring", Class::Bulk), at(0)).await.unwrap();
    store.enqueue(id, rows(5_000), 0, false, at(0)).await.unwrap();
    store.finish_intake(id, 0, false, at(0)).await.unwrap();
    let (lease, _) = store.acquire(&relay("ses"), "victim", at(900), false, at(0)).await.unwrap();
    for _ in 0..300 {
        let mut order = order(&lease, id, 5);
        order.lanes[0].quota = 10_000;
        let claims = store.claim(order).await.unwrap().claims;
        println!("claimed {}", claims.len());
        let settlements: Vec<_> = claims.iter().map(|c| settlement(c, Disposition::Accepted)).collect();
        store.settle(&lease, settlements).await.unwrap();
        println!("settled {}", claims.len());
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    for lines in [3_usize, 20, 41] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hikagen.db");
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::filing::victim", "--ignored", "--nocapture"])
            .env(STORE_OF_THE_VICTIM, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said: Vec<String> = BufReader::new(victim.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .filter(|line| line.contains("claimed") || line.contains("settled"))
            .take(lines)
            .collect();
        victim.kill().unwrap();
        victim.wait().unwrap();
        let said = |word: &str| 5 * said.iter().filter(|line| line.contains(word)).count() as u64;

        let world = World::at(folder);
        let campaign = world.row("spring").await.id;
        let accepted = world.count(campaign, MessageState::Accepted).await;
        assert!(accepted >= said("settled"));
        assert!(u64::from(world.ledger("ses").await.spent) >= said("claimed"));
        world.check().await;
        let in_the_air = world.count(campaign, MessageState::Claimed).await;
        assert!(in_the_air <= 5);
        let (_, recovered) = world.store.acquire(&relay("ses"), "next", at(900), false, at(20)).await.unwrap();
        assert_eq!(recovered.retried, in_the_air);
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shares_a_commit_is_answered_after_it_and_a_refusal_harms_nobody_else() {
    let world = World::in_a_file();
    let campaign = world.campaign("spring", 1).await;
    let witness = world.another_process();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64 {
        let (store, witness) = (world.store.clone(), witness.clone());
        tasks.spawn(async move {
            if n % 8 == 0 {
                let again = store.create_campaign(new_campaign("spring", Class::Bulk), at(1)).await;
                assert!(matches!(again, Err(StoreError::Refused(_))), "{again:?}");
                return;
            }
            let address = format!("x{n}@docomo.ne.jp");
            store.enqueue(campaign, vec![row(&address)], 1, false, at(1)).await.unwrap();
            assert_eq!(witness.messages_to(&address).await.unwrap().len(), 1, "answered before it was committed");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(world.count(campaign, MessageState::Queued).await, 57);
    world.check().await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let world = World::in_a_file();
    let campaign = world.campaign("spring", 200).await;
    let path = world.path();
    let pages: u32 = Connection::open(&path).unwrap().query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
    let limits = Limits { max_pages: Some(pages + 1), ..Limits::default() };
    let full = SqliteStore::open_limited(&path, limits).unwrap();
    let (lease, _) = full.acquire(&relay("ses"), "host 1", at(900), false, at(0)).await.unwrap();
    let refused = full.enqueue(campaign, rows(2_000), 1, false, at(1)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("disk is full")), "{refused}");
    let mut claimed = 0;
    loop {
        match full.claim(order(&lease, campaign, 10)).await {
            Ok(claims) => claimed += claims.claims.len() as u64,
            Err(StoreError::Unavailable(_)) => break,
            Err(other) => panic!("{other}"),
        }
        assert!(claimed < 200, "the disk was never full");
    }
    drop(full);
    assert_eq!(world.count(campaign, MessageState::Claimed).await, claimed);
    assert_eq!(world.count(campaign, MessageState::Queued).await, 200 - claimed);
    world.check().await;
    assert_eq!(world.store.enqueue(campaign, rows(2_000), 1, false, at(1)).await.unwrap().added, 1_800);
    world.check().await;
}

#[tokio::test]
async fn a_read_only_file_can_be_read_and_says_why_it_cannot_be_written() {
    let world = World::in_a_file();
    let campaign = world.campaign("spring", 2).await;
    let limits = Limits { read_only: true, ..Limits::default() };
    let store = SqliteStore::open_limited(&world.path(), limits).unwrap();
    assert_eq!(store.tally(campaign).await.unwrap()[0].n, 2);
    let refused = store.enqueue(campaign, rows(3), 1, false, at(1)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("read-only")), "{refused}");
    let refused = store.acquire(&relay("ses"), "host 1", at(0), false, at(0)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)));
    world.lease("ses").await;
    world.check().await;
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "Dear diary, ".repeat(200)).unwrap();
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a); PRAGMA user_version = 1").unwrap();
    let newer = folder.path().join("newer.db");
    drop(SqliteStore::open(&newer).unwrap());
    Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    for (path, words) in [(&text, "not a Hikagen store"), (&foreign, "another program"), (&newer, "newer version")] {
        let before = std::fs::read(path).unwrap();
        let refused = SqliteStore::open(path).unwrap_err();
        let StoreError::Corrupt(why) = &refused else { panic!("{refused:?}") };
        assert!(why.contains(words) && why.contains(path.to_str().unwrap()), "{why}");
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_missing_folder_or_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("missing/hikagen.db");
    for refused in [SqliteStore::open(&nowhere).unwrap_err(), SqliteStore::open_existing(&nowhere).unwrap_err()] {
        assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("missing/hikagen.db")), "{refused}");
    }
    assert!(SqliteStore::open_existing(&folder.path().join("none.db")).is_err());
    assert!(!folder.path().join("none.db").exists());
}

#[tokio::test]
async fn damage_is_told_from_what_can_be_tried_again() {
    let world = World::in_a_file();
    let campaign = world.campaign("spring", 2_000).await;
    let (path, folder) = world.close();
    let mut bytes = std::fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4_096 * 2..length].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let refused = match SqliteStore::open(&path) {
        Err(error) => error,
        Ok(store) => store.enqueue(campaign, rows(3_000), 1, false, at(1)).await.unwrap_err(),
    };
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.contains("restore a backup")), "{refused}");
    drop(folder);
}

#[tokio::test]
async fn nobody_else_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::in_a_file();
    assert_eq!(std::fs::metadata(world.path()).unwrap().permissions().mode() & 0o077, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_moment_s_view_while_work_goes_on() {
    let world = World::in_a_file();
    let campaign = world.campaign("spring", 3_000).await;
    let lease = world.lease("ses").await;
    let writing = {
        let (store, lease) = (world.store.clone(), lease.clone());
        tokio::spawn(async move {
            for _ in 0..40 {
                let claims = store.claim(order(&lease, campaign, 5)).await.unwrap().claims;
                let done = claims.iter().map(|c| settlement(c, Disposition::Accepted)).collect();
                store.settle(&lease, done).await.unwrap();
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("hikagen.db");
    world.store.backup(&copy).await.unwrap();
    writing.await.unwrap();
    let again = world.store.backup(&copy).await.unwrap_err();
    assert!(matches!(&again, StoreError::Refused(why) if why.contains("exists")), "{again}");
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["hikagen.db"]);

    let copied = World::at(folder);
    assert_eq!(copied.row("spring").await, world.row("spring").await);
    let all = copied.store.messages_of(campaign, &[], None, 10_000).await.unwrap();
    assert_eq!(all.len(), 3_000);
    copied.check().await;
    world.check().await;
}

#[tokio::test]
async fn a_backup_of_an_idle_store_is_equal_to_it() {
    for world in [World::in_memory(), World::in_a_file()] {
        let campaign = world.campaign("spring", 50).await;
        let lease = world.lease("ses").await;
        for claim in world.claim(&lease, campaign, 10).await {
            world.settle(&lease, &claim, Disposition::Bounced(Some(SuppressionReason::Unknown))).await;
        }
        let folder = tempfile::tempdir().unwrap();
        world.store.backup(&folder.path().join("hikagen.db")).await.unwrap();
        let copy = World::at(folder);
        let (a, b) = (&world.store, &copy.store);
        assert_eq!(a.campaigns().await, b.campaigns().await);
        assert_eq!(a.messages_of(campaign, &[], None, 100).await, b.messages_of(campaign, &[], None, 100).await);
        assert_eq!(a.ledgers(None, DAY).await, b.ledgers(None, DAY).await);
        assert_eq!(a.suppressions(None, None, 100).await, b.suppressions(None, None, 100).await);
        let (ses, docomo) = (relay("ses"), bucket("docomo"));
        assert_eq!(a.lane_attempts(&ses, &docomo, 100).await, b.lane_attempts(&ses, &docomo, 100).await);
    }
}

async fn is_paused(store: &SqliteStore) -> bool {
    let pauses = store.outlook(at(100)).await.unwrap().pauses;
    pauses.iter().any(|p| p.scope == Scope::All && p.cause == PauseCause::Fault && p.until.is_none())
}

#[tokio::test]
async fn a_store_restored_from_a_backup_starts_paused_and_says_so() {
    let world = World::in_a_file();
    world.campaign("spring", 5).await;
    assert_eq!(world.store.begin(at(0)).await.unwrap(), None);
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("copy.db");
    world.store.backup(&copy).await.unwrap();
    let (path, folder) = world.close();

    let world = World::at(folder);
    assert_eq!(world.store.begin(at(1)).await.unwrap(), None);
    assert!(!is_paused(&world.store).await);
    let (_, folder) = world.close();

    std::fs::copy(&copy, &path).unwrap();
    let world = World::at(folder);
    let warning = world.store.begin(at(2)).await.unwrap().unwrap();
    assert!(warning.contains("restored from a backup") && warning.contains("resume"), "{warning}");
    assert!(is_paused(&world.store).await);
    let (_, folder) = world.close();

    let world = World::at(folder);
    assert_eq!(world.store.begin(at(3)).await.unwrap(), None, "said once");
    assert!(is_paused(&world.store).await, "and paused until resumed");
    world.store.resume(&Scope::All, None).await.unwrap();
    assert!(!is_paused(&world.store).await);
}

#[tokio::test]
async fn a_backup_put_back_before_the_worker_ever_restarted_is_noticed() {
    let world = World::in_a_file();
    world.store.begin(at(0)).await.unwrap();
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("copy.db");
    world.store.backup(&copy).await.unwrap();
    let (path, folder) = world.close();
    std::fs::copy(&copy, &path).unwrap();
    let world = World::at(folder);
    assert!(world.store.begin(at(1)).await.unwrap().is_some());
    assert!(is_paused(&world.store).await);
}

#[tokio::test]
async fn a_copy_of_the_file_made_while_the_worker_ran_is_noticed_too() {
    let world = World::in_a_file();
    world.store.begin(at(0)).await.unwrap();
    Connection::open(world.path()).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let copy = std::fs::read(world.path()).unwrap();
    world.store.sweep(at(300), 10).await.unwrap();
    world.store.sweep(at(700), 10).await.unwrap();
    let (path, folder) = world.close();
    std::fs::write(&path, copy).unwrap();
    let world = World::at(folder);
    assert!(world.store.begin(at(800)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lock_file_that_a_dead_process_left_does_not_hold_the_relay() {
    let world = World::in_a_file();
    std::fs::write(world.path().with_file_name("hikagen.db.ses.lock"), "").unwrap();
    assert_eq!(world.lease("ses").await.token, 1);
}

#[tokio::test]
async fn what_one_process_orders_another_sees_at_once() {
    let world = World::in_a_file();
    let campaign = world.campaign("spring", 5).await;
    let lease = world.lease("ses").await;
    let operator = world.another_process();
    operator.order_campaign(&name("spring"), CampaignState::Paused, "wait", at(1)).await.unwrap();
    assert!(world.claim(&lease, campaign, 5).await.is_empty());
    operator.order_campaign(&name("spring"), RUNNING, "", at(2)).await.unwrap();
    assert_eq!(world.claim(&lease, campaign, 5).await.len(), 5);
    let two: [&Arc<SqliteStore>; 2] = [&world.store, &operator];
    for store in two {
        assert_eq!(store.owners().await.unwrap()[0].in_the_air, 5);
        assert!(store.owners().await.unwrap()[0].alive);
    }
}
