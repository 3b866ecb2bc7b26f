//! Owns the forecast as text: campaigns and their ends, what leaves per plan day and bucket with the limit that binds, lanes.
//!
//! Invariant: lines stay within 100 columns; buckets of which the same leaves day for day share a column.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::words::{Table, at, count, number, width};
use crate::core::campaign::CampaignState;
use crate::core::names::BucketName;
use crate::forecast::{CampaignForecast, DayForecast, Forecast};

/// Widest line.
const PAGE: usize = 100;

/// Each limit with its letter in the table of days, and in words.
const LIMITS: [(&str, char, &str); 15] = [
    ("quota-spent", 'q', "the quota of the day is spent"),
    ("paced", 'e', "the quota is spread evenly over the window"),
    ("throttled", 'r', "the lane's rate"),
    ("eased", 'd', "slowed down after deferrals"),
    ("hour-full", 'h', "the lane's cap in 60 minutes"),
    ("relay-throttled", 'R', "the relay account's rate"),
    ("relay-hour-full", 'H', "the relay account's cap in 60 minutes"),
    ("relay-day-full", 'D', "the relay account's cap in 24 hours"),
    ("busy", 'c', "all connections are busy"),
    ("window-closed", 'w', "the window is closed"),
    ("paused", 'p', "paused"),
    ("not-started", 's', "the warm-up has not started"),
    ("left-to-earlier-relay", 'l', "left to an earlier relay of the pool"),
    ("kept-for-transactional", 'k', "kept for transactional mail"),
    ("retries-had-their-share", 't', "retries had their share of the quota"),
];

/// The letter of a limit, and what it means.
fn sign(code: &str) -> (char, &'static str) {
    LIMITS
        .into_iter()
        .find(|(known, ..)| *known == code)
        .map_or(('?', "another reason"), |(_, sign, words)| (sign, words))
}

/// The forecast for people; times are of `zone`.
#[must_use]
pub fn render_forecast(forecast: &Forecast, zone: &TimeZone) -> String {
    let mut out = campaigns(forecast, zone);
    for campaign in &forecast.campaigns {
        for sentence in judged(campaign, forecast.until, zone) {
            out += &format!("{}: {sentence}\n", campaign.campaign);
        }
    }
    if !forecast.days.is_empty() {
        out += "\nWhat leaves on each plan day; a letter names the limit that holds back what still waits\n\n";
        out += &days(forecast);
        out += "\nLanes\n\n";
        out += &lanes(forecast);
        out += &paused(forecast);
    }
    out
}

fn campaigns(forecast: &Forecast, zone: &TimeZone) -> String {
    let mut table =
        Table::new(["CAMPAIGN", "WAITING", "ACCEPTED", "BOUNCED", "EXPIRED", "REMAINING", "ENDS"], &[1, 2, 3, 4, 5]);
    for c in &forecast.campaigns {
        let ends = match (c.ends, c.waiting) {
            (Some(ends), _) => at(minute(ends), zone),
            (None, 0) => "nothing waits".to_owned(),
            (None, _) => format!("not before {}", at(minute(forecast.until), zone)),
        };
        table.row([
            c.campaign.to_string(),
            number(c.waiting),
            number(c.accepted),
            number(c.bounced),
            number(c.expired),
            number(c.remaining),
            ends,
        ]);
    }
    table.render("  ")
}

/// The minute in which a time lies.
fn minute(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(time)
}

/// What is to say of a campaign's deadlines, as sentences.
#[must_use]
pub fn judged(campaign: &CampaignForecast, until: Timestamp, zone: &TimeZone) -> Vec<String> {
    let mut out = Vec::new();
    let time = |t| at(minute(t), zone);
    if campaign.state == CampaignState::Paused {
        out.push("it is paused, and nothing leaves until it is resumed".to_owned());
    }
    if let (Some(by), Some(late)) = (campaign.finish_by, campaign.remaining_at_finish_by) {
        let earliest = match campaign.ends {
            Some(_) if campaign.expired > 0 => format!("{} would never leave", count(campaign.expired, "message")),
            Some(ends) => format!("the earliest possible end is {}", time(ends)),
            None => format!("it does not end before {}", time(until)),
        };
        out.push(match late {
            0 => format!("finish_by {} is met", time(by)),
            n => format!("finish_by {} is not met: {} would remain then; {earliest}", time(by), count(n, "message")),
        });
    }
    if campaign.expired > 0 {
        let when = campaign
            .not_after
            .map_or("as too old to be tried again".to_owned(), |end| format!("at not_after, {}", time(end)));
        out.push(format!("{} would expire {when}", count(campaign.expired, "message")));
    }
    if campaign.remaining > 0 && campaign.state == CampaignState::Running {
        let text = "more waits than the plans carry";
        out.push(format!("{text}: {} would remain on {}", count(campaign.remaining, "message"), time(until)));
    }
    out
}

/// What leaves of some buckets, day by day.
struct Column {
    name: String,
    buckets: Vec<BucketName>,
    cells: Vec<String>,
}

/// Days down, buckets across, in blocks that fit the page, the sum in every first one.
fn days(forecast: &Forecast) -> String {
    let dates: BTreeSet<Date> = forecast.days.iter().map(|row| row.day).collect();
    let mut columns: Vec<Column> = Vec::new();
    let buckets: BTreeSet<&BucketName> = forecast.days.iter().map(|row| &row.bucket).collect();
    let mut by_place: BTreeMap<(&BucketName, Date), Vec<&DayForecast>> = BTreeMap::new();
    for row in &forecast.days {
        by_place.entry((&row.bucket, row.day)).or_default().push(row);
    }
    let mut seen = BTreeSet::new();
    for bucket in buckets {
        let mut cells = Vec::new();
        for date in &dates {
            let (cell, code) = by_place.get(&(bucket, *date)).map_or((String::new(), None), |rows| cell(rows));
            seen.extend(code);
            cells.push(cell);
        }
        match columns.iter_mut().find(|column| column.cells == cells) {
            Some(column) => column.buckets.push(bucket.clone()),
            None => columns.push(Column { name: bucket.to_string(), buckets: vec![bucket.clone()], cells }),
        }
    }
    for column in columns.iter_mut().filter(|column| column.buckets.len() > 1) {
        column.name = format!("{} +{}", column.name, column.buckets.len() - 1);
    }
    let sums = dates.iter().map(|date| {
        let sum: u64 = forecast.days.iter().filter(|row| row.day == *date).map(|row| row.leaves).sum();
        format!("{} ", number(sum))
    });
    let sum = Column { name: "ALL".to_owned(), buckets: Vec::new(), cells: sums.collect() };
    let mut out = blocks(&dates.into_iter().collect::<Vec<_>>(), &sum, &columns);
    for column in columns.iter().filter(|column| column.buckets.len() > 1) {
        let members: Vec<&str> = column.buckets.iter().map(BucketName::as_str).collect();
        out += &wrapped(&format!("{}: each of {}", column.name, members.join(", ")));
    }
    let legend: Vec<String> = seen.iter().map(|code| format!("{} {}", sign(code).0, sign(code).1)).collect();
    if !legend.is_empty() {
        out += &wrapped(&legend.join("; "));
    }
    out
}

/// What leaves of a bucket on a day through all relays, and the limit: none where one relay had nothing left to take, else that
/// of the first relay whose limit is not another relay's need.
fn cell(rows: &[&DayForecast]) -> (String, Option<&'static str>) {
    let leaves: u64 = rows.iter().map(|row| row.leaves).sum();
    let code = if rows.iter().any(|row| row.limit.is_none()) {
        None
    } else {
        let codes = || rows.iter().filter_map(|row| row.limit.as_ref()).map(|limit| limit.code);
        codes().find(|code| *code != "left-to-earlier-relay").or_else(|| codes().next())
    };
    (format!("{}{}", number(leaves), code.map_or(' ', |code| sign(code).0)), code)
}

fn blocks(dates: &[Date], sum: &Column, columns: &[Column]) -> String {
    let wide = |column: &Column| {
        column.cells.iter().map(|cell| width(cell)).chain([width(&column.name) + 1]).max().unwrap_or(0)
    };
    let mut out = String::new();
    let mut rest = columns;
    while !rest.is_empty() {
        let mut used = 2 + 4 + 2 + 10 + 2 + wide(sum);
        let fits = rest.iter().take_while(|column| {
            used += 2 + wide(column);
            used <= PAGE
        });
        let n = fits.count().max(1);
        let block: Vec<&Column> = [sum].into_iter().chain(&rest[..n]).collect();
        if !out.is_empty() {
            out.push('\n');
        }
        let line = |day: &str, date: &str, cells: Vec<&str>| {
            let cells: Vec<String> =
                block.iter().zip(cells).map(|(column, cell)| format!("{cell:>width$}", width = wide(column))).collect();
            let line = format!("  {day:>4}  {date:<10}  {}", cells.join("  "));
            format!("{}\n", line.trim_end())
        };
        let names: Vec<String> = block.iter().map(|column| format!("{} ", column.name)).collect();
        out += &line("DAY", "DATE", names.iter().map(String::as_str).collect());
        for (i, date) in dates.iter().enumerate() {
            let cells = block.iter().map(|column| column.cells[i].as_str()).collect();
            out += &line(&(i + 1).to_string(), &date.to_string(), cells);
        }
        rest = &rest[n..];
    }
    out
}

fn wrapped(text: &str) -> String {
    let (mut out, mut column) = (" ".to_owned(), 1);
    for word in text.split(' ') {
        if column + 1 + width(word) > PAGE {
            out += "\n   ";
            column = 3;
        }
        out += &format!(" {word}");
        column += 1 + width(word);
    }
    out + "\n"
}

/// Each lane's course; lanes of one relay with the same course share a line.
fn lanes(forecast: &Forecast) -> String {
    let mut courses: Vec<(String, Vec<&DayForecast>)> = Vec::new();
    for row in &forecast.days {
        let lane = format!("{}/{}", row.relay, row.bucket);
        match courses.iter_mut().find(|(name, _)| *name == lane) {
            Some((_, rows)) => rows.push(row),
            None => courses.push((lane, vec![row])),
        }
    }
    courses.sort_by(|a, b| a.0.cmp(&b.0));
    let mut lines: Vec<([String; 5], usize, String)> = Vec::new();
    for (lane, rows) in courses {
        let of = |day: &DayForecast| format!("{} ({})", day.warmup_day, number(day.quota.into()));
        let (first, last) =
            (rows.first().map_or(String::new(), |r| of(r)), rows.last().map_or(String::new(), |r| of(r)));
        let leaves: u64 = rows.iter().map(|row| row.leaves).sum();
        let cells = [number(leaves), rows.len().to_string(), first, last, most_bound(&rows)];
        let relay = lane.split('/').next().unwrap_or_default().to_owned();
        match lines.iter_mut().find(|(known, _, name)| *known == cells && name.split('/').next() == Some(&relay)) {
            Some((_, more, _)) => *more += 1,
            None => lines.push((cells, 0, lane)),
        }
    }
    let mut table =
        Table::new(["LANE", "LEAVES", "DAYS", "FIRST DAY (QUOTA)", "LAST DAY (QUOTA)", "BOUND MOST OFTEN BY"], &[1, 2]);
    for ([leaves, days, first, last, bound], more, lane) in lines {
        let lane = if more > 0 { format!("{lane} +{more}") } else { lane };
        table.row([lane, leaves, days, first, last, bound]);
    }
    table.render("  ")
}

/// Lanes that are paused, each from when on and why.
fn paused(forecast: &Forecast) -> String {
    let (mut seen, mut out) = (BTreeSet::new(), String::new());
    for row in &forecast.days {
        if let Some(limit) = row.limit.as_ref().filter(|limit| limit.code == "paused")
            && seen.insert((&row.relay, &row.bucket, &limit.because))
        {
            out += &wrapped(&format!("{}/{} on {}: {}", row.relay, row.bucket, row.day, limit.because));
        }
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// The limit that bound on most days, in words.
fn most_bound(rows: &[&DayForecast]) -> String {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for limit in rows.iter().filter_map(|row| row.limit.as_ref()) {
        *times.entry(limit.code).or_default() += 1;
    }
    let most = times.iter().max_by_key(|(_, n)| **n);
    most.map_or("nothing".to_owned(), |(code, n)| format!("{} ({})", sign(code).1, count(*n as u64, "day")))
}
