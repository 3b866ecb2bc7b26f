//! Owns `demo`: one plan day of a newsletter in about half a minute, against the carrier simulator on loopback.
//!
//! The same submit, worker, store, relay and reports as in real runs; only the clock is faster. Invariant: every figure shown is
//! read from the store, and compared with what the simulator counted by itself.

mod files;
mod list;
mod outcome;
mod progress;

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, Weekday, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::run as worker_run;
use super::submit::{read_submission, refused};
use super::{Context, Exit, Failure, Outcome};
use crate::clock::{PacedClock, SharedClock};
use crate::config::Config;
use crate::core::lane::holidays::holiday;
use crate::core::names::{BucketName, CampaignName};
use crate::core::units::Share;
use crate::intake::{self, Intake, Report};
use crate::sim::{Manners, Tolerance};
use crate::simulator::{Options, Simulator};
use crate::store::Store;
use crate::worker::{self, Control, Pacing};
use outcome::Figures;
use progress::Progress;

/// `demo`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the plan day takes
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=3_600))]
    seconds: u32,
    /// Folder for its files; must be new or empty [default: hikagen-demo-1, -2, ...]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// The zone of everything here.
const ZONE: &str = "Asia/Tokyo";
/// Where the simulator listens when nobody else does, so that `hikagen simulate` can take its place later.
const PORT: u16 = 2525;
/// How often the display is drawn, in real time.
const DRAWN: Duration = Duration::from_millis(100);

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let zone = TimeZone::get(ZONE).map_err(|error| Failure::later(format!("{ZONE}: {error}")))?;
    let dir =
        files::make_folder(args.dir).map_err(|error| Failure::refused(format!("no folder to work in: {error}")))?;
    let day = latest_working_day(context.clock.now(), &zone);
    let figures = context.block_on(demonstrate(context, &dir, Day::new(day, &zone, args.seconds)?))?;
    context.answer(&figures, &figures.render(&dir))?;
    Ok(if figures.agree { Exit::Done } else { Exit::Refused })
}

/// The latest day that is over and on which newsletters are sent: its store makes sense when looked at today.
fn latest_working_day(now: Timestamp, zone: &TimeZone) -> Date {
    let mut day = now.to_zoned(zone.clone()).date().saturating_sub(SignedDuration::from_hours(24));
    while matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) || holiday(day).is_some() {
        day = day.saturating_sub(SignedDuration::from_hours(24));
    }
    day
}

/// The plan day that is played.
#[derive(Debug, Clone)]
struct Day {
    date: Date,
    /// Shortly before the windows open.
    starts: Timestamp,
    opens: Timestamp,
    /// Shortly after they close.
    ends: Timestamp,
    speed: f64,
}

impl Day {
    fn new(date: Date, zone: &TimeZone, seconds: u32) -> Result<Self, Failure> {
        let at = |hour, minute| {
            let local = date.to_datetime(time(hour, minute, 0, 0)).to_zoned(zone.clone());
            local.map(|z| z.timestamp()).map_err(|error| Failure::later(format!("{date}: {error}")))
        };
        let (starts, opens, ends) = (at(7, 50)?, at(8, 0)?, at(21, 1)?);
        let speed = ends.duration_since(starts).as_secs_f64() / f64::from(seconds);
        Ok(Self { date, starts, opens, ends, speed })
    }
}

async fn demonstrate(context: &Context, dir: &Path, day: Day) -> Result<Figures, Failure> {
    let listener = listen().await?;
    let port = listener.local_addr().map_err(|error| Failure::later(error.to_string()))?.port();
    let config_path = files::write(dir, port, day.date)
        .map_err(|error| Failure::refused(format!("{} cannot be written: {error}", dir.display())))?;
    let project = Context::new(config_path, context.json, context.verbose);
    let mut config = project.load_config()?;
    // What is in the air at the day's end takes as long as ever, however fast the clock runs.
    config.worker.drain = config.worker.drain.mul_f64(day.speed.max(1.0));
    let config = Arc::new(config);
    let store = project.open_store(&config)?;

    let before: SharedClock = Arc::new(PacedClock::new(day.starts - SignedDuration::from_mins(30), 1.0));
    let report = submit(&config, &*store, &before, &dir.join("campaign.yaml")).await?;
    context.remark(&introduction(dir, &day, &report, port));

    let clock: SharedClock = Arc::new(PacedClock::new(day.starts, day.speed));
    let options = Options {
        listen: ([127, 0, 0, 1], port).into(),
        groups: config.groups.clone(),
        manners: manners(),
        login: None,
    };
    let simulator = Simulator::serve(listener, options, clock.clone())
        .map_err(|error| Failure::later(format!("the simulator cannot run: {error}")))?;
    let name = CampaignName::new(files::CAMPAIGN).map_err(|error| Failure::refused(error.to_string()))?;
    let stopped_early = play(&config, &store, &clock, &day, &name).await?;
    let now = clock.now();
    let counts = simulator.stop().await;
    let mut figures =
        Figures::of(&*store, &config, &name, now, counts, report.rows, report.rejected + report.duplicates).await?;
    figures.stopped_early = stopped_early;
    Ok(figures)
}

/// Puts the campaign into the store, as `submit` does.
async fn submit(config: &Config, store: &dyn Store, clock: &SharedClock, file: &Path) -> Result<Report, Failure> {
    let (submission, _) = read_submission(file, config, clock.now())?;
    let tokens = Arc::new(worker_run::open_tokens(config)?);
    let intake = Intake { config, tokens: &tokens, store, clock: &**clock };
    intake.submit(&submission, intake::Options::default(), &mut |_| {}).await.map_err(refused)
}

/// Listens where `simulate` does by default, or elsewhere when that is taken.
async fn listen() -> Result<TcpListener, Failure> {
    let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await;
    let listener = match usual {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    };
    listener.map_err(|error| Failure::later(format!("no port on 127.0.0.1 to listen on: {error}")))
}

/// The carriers of the demonstration: a few unknown users and full mailboxes, and a Yahoo! JAPAN of little patience.
fn manners() -> Manners {
    let mut manners = Manners { seed: 20, full: "0.5%".parse::<Share>().ok(), ..Manners::default() };
    let touchy = manners.tolerance(&[]);
    if let (Ok(yahoo), Ok(rate), Some(depth)) = (BucketName::new("yahoo-jp"), "1/min".parse(), NonZeroU32::new(250)) {
        manners.own.insert(yahoo, Tolerance { rate, depth, ..touchy });
    }
    manners
}

/// Runs the worker until nothing more can leave on this plan day, its end, or Ctrl-C; whether it was the last.
async fn play(
    config: &Arc<Config>,
    store: &Arc<dyn Store>,
    clock: &SharedClock,
    day: &Day,
    campaign: &CampaignName,
) -> Result<bool, Failure> {
    let (parts, _slot) = worker_run::parts_of(config, store.clone(), clock.clone(), Pacing::at_speed(day.speed))?;
    let (orders, control) = mpsc::channel(1);
    let mut worker = tokio::spawn(worker::run(parts, config.clone(), true, control));
    let mut progress = Progress::new(store.clone(), config.clone(), campaign.clone(), day.opens, day.ends);
    let frame = DRAWN.mul_f64(day.speed);
    let mut draining = false;
    let mut stopped_early = false;
    let ended = loop {
        tokio::select! {
            ended = &mut worker => break ended,
            _ = tokio::signal::ctrl_c(), if !stopped_early => stopped_early = true,
            () = clock.sleep(frame) => progress.draw(clock.now()).await?,
        }
        if !draining && (stopped_early || clock.now() >= day.ends) {
            draining = true;
            // A worker that has just ended needs no order.
            let _ = orders.send(Control::Drain).await;
        }
    };
    progress.draw(clock.now()).await?;
    progress.finish();
    match ended {
        Ok(ended) => ended.map_err(worker_run::ended)?,
        Err(error) => return Err(Failure::later(format!("the worker broke down: {error}"))),
    }
    Ok(stopped_early)
}

fn introduction(dir: &Path, day: &Day, report: &Report, port: u16) -> String {
    use crate::report::words::{count, number};
    format!(
        "火加減 Hikagen: one plan day of a newsletter, {} {}, at {:.0} times the speed of time\n\n\
         \x20 files      {}: hikagen.yaml, plan.yaml, warm.yaml, campaign.yaml, recipients.csv\n\
         \x20 list       {}: {} taken, {} refused (see recipients.rejects.csv), {} twice, {} suppressed\n\
         \x20 relays     tokyo-new, a new IP on warm-up day 1; tokyo-warm, which takes what the new one may not\n\
         \x20 carriers   the simulator on 127.0.0.1:{port}; its Yahoo! JAPAN is made touchy, to show what happens then\n",
        day.date.strftime("%A"),
        day.date,
        day.speed,
        dir.display(),
        count(report.rows, "row"),
        number(report.recipients),
        number(report.rejected),
        number(report.duplicates),
        number(report.suppressed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_played_is_over_and_a_working_day() {
        let zone = TimeZone::get(ZONE).expect("a zone");
        let day = |now: &str| latest_working_day(now.parse().expect("a time"), &zone).to_string();
        assert_eq!(day("2026-11-25T00:30:00+09:00"), "2026-11-24");
        // Monday 11-23 is a holiday, before it lies a weekend.
        assert_eq!(day("2026-11-24T12:00:00+09:00"), "2026-11-20");
    }

    #[test]
    fn the_clock_passes_the_day_in_the_seconds_asked_for() {
        let zone = TimeZone::get(ZONE).expect("a zone");
        let day = Day::new(jiff::civil::date(2026, 11, 24), &zone, 30).map_err(|f| f.text).expect("a day");
        assert!((day.speed * 30.0 - 47_460.0).abs() < 1.0);
        assert!(day.starts < day.opens && day.opens < day.ends);
    }

    #[test]
    fn yahoo_japan_is_the_touchy_one() {
        let manners = manners();
        assert_eq!(manners.own.len(), 1);
        assert!(manners.full.is_some() && manners.unknown.is_some());
    }
}
