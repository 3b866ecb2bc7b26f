//! Owns a measurement: what a claim and a settle cost, by the store's own verbs.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use hikagen::core::campaign::CampaignId;
use hikagen::core::lane::Grade;
use hikagen::core::reply::{Answer, Enhanced, Reply, Signal, Stage};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{Attempt, Claim, ClaimOrder, Disposition, LaneClaim, Lease, Settlement, Store, Want};
use jiff::{SignedDuration, Timestamp};

use crate::table::{Samples, float};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store
    #[arg(long)]
    store: PathBuf,
    /// The campaign to take from
    #[arg(long)]
    campaign: String,
    /// Claims that are measured
    #[arg(long, default_value_t = 18)]
    claims: u32,
    /// Messages in each
    #[arg(long, default_value_t = 500)]
    size: u32,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(args: &Args) -> Result<()> {
    let store = SqliteStore::open_existing(&args.store)?;
    let campaign = store.campaign(&args.campaign.parse()?).await?.context("no such campaign")?.id;
    let now = Timestamp::now();
    let (lease, _) = store.acquire(&"measure".parse()?, "bench", now, false, now).await?;
    // The first one also reads what every later one finds in memory.
    turn(&store, &lease, campaign, args.size).await?;
    let mut turns = Samples::default();
    for _ in 0..args.claims {
        let began = Instant::now();
        turn(&store, &lease, campaign, args.size).await?;
        turns.push(began.elapsed().as_secs_f64() * 1e6 / float(args.size));
    }
    // A commit waits for the disk: the median leaves out those that met somebody else's writing.
    println!("{}", turns.median());
    Ok(store.release(&lease).await?)
}

async fn turn(store: &SqliteStore, lease: &Lease, campaign: CampaignId, size: u32) -> Result<()> {
    let now = Timestamp::now();
    let lane = LaneClaim {
        bucket: "default".parse()?,
        day: jiff::civil::date(2026, 3, 2),
        warmup_day: 1,
        quota: 100_000_000,
        wants: vec![Want { campaign, retries: 0, fresh: size }],
    };
    let order = ClaimOrder { lease: lease.clone(), now, sender: "m.example.jp".to_owned(), lanes: vec![lane] };
    let claims = store.claim(order).await?.claims;
    ensure!(float(claims.len()) == float(size), "{} of {size} could be claimed", claims.len());
    let settlements = claims.iter().map(|claim| accepted(claim, now)).collect();
    let settled = store.settle(lease, settlements).await?;
    ensure!(settled.stale == 0, "{} settlements were stale", settled.stale);
    Ok(())
}

fn accepted(claim: &Claim, now: Timestamp) -> Settlement {
    let reply = Reply { code: 250, enhanced: Some(Enhanced(2, 0, 0)), text: "taken".to_owned() };
    let attempt = Attempt {
        released_at: now,
        finished_at: now + SignedDuration::from_millis(1),
        stage: Stage::Body,
        answer: Answer::Reply(reply),
        signal: Signal::Unclassified,
        action: None,
        rule: None,
    };
    let at = attempt.finished_at;
    Settlement {
        claim: claim.r.clone(),
        attempt: Some(attempt),
        disposition: Disposition::Accepted,
        refund: false,
        grade: Grade::default(),
        at,
    }
}
