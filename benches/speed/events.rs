//! Owns the sixth part: reports of a relay's log are taken in while the worker sends at full speed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hikagen::compose::Tokens;
use hikagen::core::campaign::MessageId;
use hikagen::store::Store;
use hikagen::store::sqlite::SqliteStore;

use crate::children::{Background, Sink, now_ns, run as run_child};
use crate::scene::{Scene, addresses};
use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float, number};

/// The measured time before the log is there, and again after it was taken in: a machine that grows slower or faster on its own
/// is not taken for the log.
const ALONE: Duration = Duration::from_secs(8);
/// The start is not counted.
const WARM: Duration = Duration::from_secs(3);
/// The longest that the taking in is waited for: a queue for so long must be there.
const LONGEST: Duration = Duration::from_secs(90);
/// So many reports the relay wrote in a second.
const A_SECOND: i64 = 200;
/// One message in so many bounced.
const BOUNCED: usize = 20;

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    let (queued, events) = if rounds.quick { (800_000, 5_000) } else { (2_500_000, 100_000) };
    let [mut kept, mut alone, mut beside, mut rate_of_events]: [Samples; 4] = Default::default();
    let folder = rounds.folder.join("events");
    for round in 0..rounds.n {
        say(&format!("events, round {}", round + 1));
        let scene = Scene::new(&folder, &rounds.program)?;
        scene.campaign("winter", (0..events).map(|i| format!("reader{i}@example{}.jp", i % 50)))?;
        run_child(&mut scene.program(&["submit", "winter.yaml"]))?;
        let sink = Sink::start(0, None)?;
        scene.point_at(sink.port)?;
        run_child(&mut scene.program(&["run", "--until-idle"]))?;
        sink.stop()?;
        let log = log_of(&scene)?;
        scene.campaign("spring", addresses(queued))?;
        run_child(&mut scene.program(&["submit", "spring.yaml"]))?;
        let seen = watch(&scene, &log, events)?;
        kept.push(100.0 * (1.0 - seen.beside / seen.alone));
        alone.push(seen.alone);
        beside.push(seen.beside);
        rate_of_events.push(seen.rate);
        std::fs::remove_dir_all(&folder)?;
    }
    let name = number(float(events));
    report.goal(&format!("taking in {name} reports slows sending at full speed by"), &kept, Bar::AtMost(10.0), " %");
    report.figure(
        "full speed alone, and while reports are taken in",
        format!("{} and {} messages/s", alone.show(), beside.show()),
    );
    report.figure(
        &format!("{name} reports of a relay's log, beside it"),
        format!("{} reports/s, matched, classified and durable", rate_of_events.show()),
    );
    Ok(())
}

/// The log that a Postfix relay would have written about everything that was sent so far.
fn log_of(scene: &Scene) -> Result<String> {
    let tokens = Tokens::open(&Tokens::key_file(&scene.store()))?;
    let store = SqliteStore::open_existing(&scene.store())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let messages = runtime.block_on(async {
        let campaign = store.campaign(&"winter".parse()?).await?.context("no such campaign")?.id;
        let (mut all, mut after): (Vec<(MessageId, String)>, _) = (Vec::new(), None);
        loop {
            let page = store.messages_of(campaign, &[], after, 5_000).await?;
            let Some(last) = page.last() else { return anyhow::Ok(all) };
            after = Some(last.id);
            all.extend(page.into_iter().map(|m| (m.id, m.address)));
        }
    })?;
    let mut log = String::new();
    let gone = jiff::SignedDuration::from_secs(i64::try_from(messages.len())? / A_SECOND);
    let began = jiff::Timestamp::now() - gone;
    for (i, (id, address)) in messages.iter().enumerate() {
        let now = began + jiff::SignedDuration::from_millis(1_000 * i64::try_from(i)? / A_SECOND);
        let (queue, token) = (format!("4F{i:07X}"), tokens.token(*id));
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        writeln!(log, "{now} relay postfix/cleanup[71]: {queue}: message-id=<{token}@m.example.jp>")?;
        writeln!(
            log,
            "{now} relay postfix/qmgr[72]: {queue}: from=<bounce+{token}@m.example.jp>, size=5387, nrcpt=1 (queue active)"
        )?;
        let end = if i % BOUNCED == 0 {
            format!(
                "dsn=5.1.1, status=bounced (host mx.{domain}[192.0.2.1] said: 550 5.1.1 <{address}>: Recipient address rejected: User unknown (in reply to RCPT TO command))"
            )
        } else {
            format!("dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9A{i:07X})")
        };
        writeln!(
            log,
            "{now} relay postfix/smtp[73]: {queue}: to=<{address}>, relay=mx.{domain}[192.0.2.1]:25, delay=0.4, delays=0.1/0/0.1/0.2, {end}"
        )?;
        writeln!(log, "{now} relay postfix/qmgr[72]: {queue}: removed")?;
    }
    Ok(log)
}

/// Messages a second alone and beside the log, and reports a second.
struct Watched {
    alone: f64,
    beside: f64,
    rate: f64,
}

fn watch(scene: &Scene, log: &str, events: u64) -> Result<Watched> {
    let arrivals = scene.folder.join("arrivals");
    let mut sink = Sink::start(0, Some(&arrivals))?;
    scene.hear(sink.port, "relay.log")?;
    let worker = Background::start(&mut scene.program(&["run"]), &scene.folder.join("run.log"))?;
    sink.wait_for(1, Duration::from_secs(60))?;
    std::thread::sleep(WARM);
    let start = now_ns();
    std::thread::sleep(ALONE);
    let beside = scene.folder.join("relay.log.new");
    std::fs::write(&beside, log)?;
    let began = now_ns();
    std::fs::rename(&beside, scene.folder.join("relay.log"))?;
    let store = SqliteStore::open_existing(&scene.store())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let since = Instant::now();
    let taken = loop {
        let health = runtime.block_on(store.health(None, jiff::civil::Date::MIN))?;
        let taken: u64 = health.iter().map(|(_, _, health)| health.delivered + health.bounced).sum();
        // Where it takes too long, the rate of what was taken tells so.
        if taken >= events || since.elapsed() >= LONGEST {
            break taken;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(taken > 0, "no report was taken in within {LONGEST:?}");
    let end = now_ns();
    std::thread::sleep(ALONE);
    let over = now_ns();
    worker.stop()?;
    sink.stop()?;
    let (mut alone, mut meanwhile, mut last) = (0_u64, 0_u64, start);
    for line in std::fs::read_to_string(&arrivals)?.lines() {
        let at: i64 = line.split_once('\t').context("the sink's log is damaged")?.0.parse()?;
        alone += u64::from((start..began).contains(&at) || (end..over).contains(&at));
        meanwhile += u64::from((began..end).contains(&at));
        last = last.max(at);
    }
    ensure!(over - last < 1_000_000_000, "the queue was sent before the end: there must be more of it");
    let seconds = |from: i64, to: i64| float(to - from) / 1e9;
    Ok(Watched {
        alone: float(alone) / (seconds(start, began) + seconds(end, over)),
        beside: float(meanwhile) / seconds(began, end),
        rate: float(taken) / seconds(began, end),
    })
}
