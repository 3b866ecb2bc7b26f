//! Owns the judgement of long worlds. It shares no code with the core: days, quotas and shares are recounted from what the
//! destinations saw, by tables and rules written here a second time.

use std::collections::{BTreeMap, BTreeSet};

use hikagen::core::campaign::MessageState;
use hikagen::core::lane::VerdictKind;
use hikagen::store::Store;
use jiff::civil::Date;

use crate::ramp::{CURVES, EDITED, Ramp, Seen};

/// A day of a lane as its destination saw it.
#[derive(Debug, Default)]
struct Day {
    handed: u32,
    tried: u32,
    put_off: u32,
    blocked: bool,
    repeats: u32,
}

fn days_of(ramp: &Ramp, bucket: &str) -> BTreeMap<Date, Day> {
    let mut days: BTreeMap<Date, Day> = BTreeMap::new();
    let mut last: BTreeMap<(Date, &str), u16> = BTreeMap::new();
    for Seen { at, recipient, code, blocks, .. } in ramp.seen.iter().filter(|s| s.bucket == bucket) {
        let date = at.to_zoned(ramp.zone.clone()).date();
        let day = days.entry(date).or_default();
        day.handed += 1;
        day.blocked |= blocks;
        day.repeats += u32::from(last.insert((date, recipient), *code).is_some());
    }
    for ((date, _), code) in last {
        let day = days.entry(date).or_default();
        day.tried += 1;
        day.put_off += u32::from(code != 250);
    }
    days
}

/// Quota of a warm-up day by the table, as the plan of that date has it; the day of an edit has the larger of both.
fn quota(ramp: &Ramp, bucket: &str, warmup: u32, nth: i64) -> (u32, u32) {
    let curve = CURVES.iter().find(|(name, ..)| *name == bucket).map(|(_, _, curve)| *curve).unwrap();
    let value = curve.get(warmup.max(1) as usize - 1).or(curve.last()).copied().unwrap();
    match ramp.ask.edited {
        true if (7..10).contains(&nth) => (value / EDITED, value / EDITED),
        true if nth == 6 || nth == 10 => (value / EDITED, value),
        _ => (value, value),
    }
}

/// Every broken promise of a long world, in words.
pub(crate) async fn broken(ramp: &Ramp) -> Vec<String> {
    let mut broken = Vec::new();
    nothing_lost(ramp, &mut broken).await;
    for (bucket, ..) in CURVES {
        lane(ramp, bucket, &mut broken).await;
        stands_still_after_a_block(ramp, bucket, &mut broken);
    }
    broken
}

/// Messages that may be in the air when the first word of a block comes: twice the relay's four connections.
const IN_THE_AIR: usize = 8;

/// From the first block word on at most what was in the air arrives within the cooldown of half an hour. At a message a minute thirty
/// would.
fn stands_still_after_a_block(ramp: &Ramp, bucket: &str, broken: &mut Vec<String>) {
    for block in ramp.seen.iter().filter(|s| s.bucket == bucket && s.blocks) {
        let over = block.at + jiff::SignedDuration::from_mins(29);
        let after = ramp.seen.iter().filter(|s| s.bucket == bucket && s.at > block.at && s.at < over).count();
        if after > IN_THE_AIR {
            broken.push(format!("{bucket}: {after} messages left after the block at {}", block.at));
        }
    }
}

/// With `spread: even` no hour of the window gets more than half as much again as its share (and one message more, where a share is
/// less than two).
pub(crate) fn uneven_hours(ramp: &Ramp) -> Vec<String> {
    let mut broken = Vec::new();
    for (bucket, ..) in CURVES {
        let mut hours: BTreeMap<(Date, i8), u32> = BTreeMap::new();
        for seen in ramp.seen.iter().filter(|s| s.bucket == bucket) {
            let at = seen.at.to_zoned(ramp.zone.clone());
            *hours.entry((at.date(), at.hour())).or_default() += 1;
        }
        let mut days: BTreeMap<Date, u32> = BTreeMap::new();
        hours.iter().for_each(|((day, _), n)| *days.entry(*day).or_default() += n);
        for ((day, hour), n) in hours {
            let share = f64::from(days[&day]) / 12.0;
            if f64::from(n) > (1.5 * share).max(share + 1.0) {
                broken.push(format!("{bucket}: {n} of {} in hour {hour} of {day}", days[&day]));
            }
        }
    }
    broken
}

async fn lane(ramp: &Ramp, bucket: &str, broken: &mut Vec<String>) {
    let seen = days_of(ramp, bucket);
    let rows = ramp.store.ledgers(None, "2026-01-01".parse().unwrap()).await.unwrap();
    let ledgers: BTreeMap<Date, u32> =
        rows.into_iter().filter(|(_, l)| l.bucket.as_str() == bucket).map(|(_, l)| (l.day, l.warmup_day)).collect();
    let verdicts = ramp.verdicts(bucket).await;
    let nth = |day: Date| i64::from(ramp.first.until(day).unwrap().get_days());
    for (date, day) in &seen {
        let Some(warmup) = ledgers.get(date) else {
            broken.push(format!("{bucket}: mail left on {date}, of which the ledgers know nothing"));
            continue;
        };
        let (_, most) = quota(ramp, bucket, *warmup, nth(*date));
        if day.handed > most {
            broken.push(format!("{bucket}: {} left on {date}, quota {most} of warm-up day {warmup}", day.handed));
        }
    }
    let mut last: Option<(Date, u32)> = None;
    for (date, warmup) in &ledgers {
        if let Some((before, was)) = last {
            moved(ramp, bucket, (before, was), (*date, *warmup), &seen, broken);
        }
        last = Some((*date, *warmup));
    }
    for v in &verdicts {
        if v.kind == VerdictKind::Advance && v.after != v.before + 1 {
            broken.push(format!("{bucket}: advance from {} to {} on {}", v.before, v.after, v.day));
        }
        if v.inputs.is_empty() {
            broken.push(format!("{bucket}: the verdict of {} has no inputs", v.day));
        }
    }
}

/// From one plan day that the ledgers know to the next: did the warm-up day move as the destination's answers ask?
fn moved(
    ramp: &Ramp,
    bucket: &str,
    (before, was): (Date, u32),
    (date, is): (Date, u32),
    seen: &BTreeMap<Date, Day>,
    broken: &mut Vec<String>,
) {
    let nth = i64::from(ramp.first.until(before).unwrap().get_days());
    let (least, most) = quota(ramp, bucket, was, nth);
    let fault = |what: &str| {
        format!("{bucket}: {what}: warm-up day {was} on {before}, {is} on {date}: {:?}", seen.get(&before))
    };
    if is > was + 1 {
        broken.push(fault("more than a rung up"));
    }
    let Some(day) = seen.get(&before) else {
        if is > was {
            broken.push(fault("aged without a handover"));
        }
        return;
    };
    // A crash may hide an answer, a clock that was set may cut a day in two.
    let disturbed = ramp.died_on.is_some_and(|died| (died == before) || died.tomorrow().unwrap() == before)
        || (ramp.ask.set_by.is_some() && (3..=8).contains(&nth))
        || day.repeats > 0;
    let sample = 200.min(least / 2).max(1);
    let share = |limit: u32| day.put_off * 100 >= limit * day.tried;
    if day.tried >= 200.min(most / 2).max(1) {
        if day.put_off >= 5 && share(10) && is >= was && was > 1 && !disturbed {
            broken.push(fault("no step back though a tenth was deferred"));
        }
        if day.put_off >= 3 && share(5) && is > was && !disturbed {
            broken.push(fault("advanced though a twentieth was deferred"));
        }
    }
    if day.blocked && (is > was || (is == was && was > 1)) && !disturbed {
        broken.push(fault("no step back though it was blocked"));
    }
    let content = day.put_off == 0 && !day.blocked && day.tried >= sample && day.handed * 100 >= 70 * most;
    if content && !disturbed && date == before.tomorrow().unwrap() && is != was + 1 {
        broken.push(fault("no advance after a full day of acceptances"));
    }
    // Full use: with backlog, an open window and a content destination at least 99 % leaves.
    let backlog = !ramp.ask.idles && nth < ramp.ask.days - 1;
    let calm = day.put_off == 0 && !day.blocked && !disturbed && nth > 0;
    let whole = least == most && !blocked_lately(ramp, bucket, before);
    if backlog && calm && whole && day.handed * 100 < 99 * most && !eased_lately(seen, before) {
        broken.push(fault("a content day was not used"));
    }
}

/// A cooldown may reach into the next day.
fn blocked_lately(ramp: &Ramp, bucket: &str, day: Date) -> bool {
    let since = day.yesterday().unwrap();
    ramp.seen.iter().any(|s| s.blocks && s.bucket == bucket && s.at.to_zoned(ramp.zone.clone()).date() >= since)
}

/// A lane that was slowed down climbs back over the next days.
fn eased_lately(seen: &BTreeMap<Date, Day>, day: Date) -> bool {
    let since = day.checked_sub(jiff::Span::new().days(3)).unwrap();
    seen.range(since..day).any(|(_, day)| day.put_off > 0)
}

async fn nothing_lost(ramp: &Ramp, broken: &mut Vec<String>) {
    let mut known = 0;
    let mut after = None;
    let taken: BTreeSet<&str> = ramp.seen.iter().filter(|s| s.code == 250).map(|s| s.recipient.as_str()).collect();
    let times = ramp.seen.iter().filter(|s| s.code == 250).count();
    if times > taken.len() + ramp.in_the_air as usize {
        broken.push(format!("{} repeats, {} were in the air", times - taken.len(), ramp.in_the_air));
    }
    loop {
        let page = ramp.store.messages_of(ramp.campaign, &[], after, 1_000).await.unwrap();
        let Some(end) = page.last() else { break };
        after = Some(end.id);
        known += page.len();
        for message in page {
            let was_taken = taken.contains(message.address.as_str());
            match message.state {
                MessageState::Accepted if !was_taken => broken.push(format!("{} was never taken", message.address)),
                MessageState::Queued if was_taken => broken.push(format!("{} was taken", message.address)),
                _ => {}
            }
        }
    }
    if known != ramp.submitted {
        broken.push(format!("{} submitted, {known} known", ramp.submitted));
    }
}
