//! Owns the judgement of long worlds. It shares no code with the core: days, quotas and shares are recounted from what the
//! destinations saw, by tables and rules written here a second time.

mod orders;
mod outages;

use std::collections::{BTreeMap, BTreeSet};

use hikagen::core::campaign::MessageState;
use hikagen::core::lane::VerdictKind;
use hikagen::store::Store;
use jiff::civil::Date;

use crate::destination::Seen;
use crate::ramp::{CURVES, EDITED, Ramp};
use orders::Orders;

/// A day of a lane as its destination saw it.
#[derive(Debug, Default)]
struct Day {
    handed: u32,
    tried: u32,
    put_off: u32,
    unknown: u32,
    blocked: bool,
    /// The destination said at least once that it wants less.
    grumbled: bool,
    repeats: u32,
}

fn days_of(ramp: &Ramp, bucket: &str) -> BTreeMap<Date, Day> {
    let mut days: BTreeMap<Date, Day> = BTreeMap::new();
    let mut last: BTreeMap<(Date, &str), u16> = BTreeMap::new();
    for Seen { at, recipient, code, blocks, relays, .. } in ramp.seen.iter().filter(|s| s.bucket == bucket) {
        let date = ramp.day_of(*at);
        let day = days.entry(date).or_default();
        day.handed += 1;
        day.blocked |= blocks;
        // What the relay alone is to blame for is no opinion of the destination.
        let code = if *relays { 250 } else { *code };
        day.grumbled |= matches!(code, 421 | 451);
        day.repeats += u32::from(last.insert((date, recipient), code).is_some());
    }
    for ((date, _), code) in last {
        let day = days.entry(date).or_default();
        day.tried += 1;
        day.put_off += u32::from(matches!(code, 421 | 451));
        day.unknown += u32::from(code == 550);
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
        Orders::about(ramp, bucket).broken(&mut broken);
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
    let orders = Orders::about(ramp, bucket);
    let rows = ramp.store.ledgers(None, "2026-01-01".parse().unwrap()).await.unwrap();
    let ledgers: BTreeMap<Date, u32> =
        rows.into_iter().filter(|(_, l)| l.bucket.as_str() == bucket).map(|(_, l)| (l.day, l.warmup_day)).collect();
    let verdicts = ramp.verdicts(bucket).await;
    // A day that was set in its course began as the verdict before it says.
    let began = |date: Date, is: u32| match orders.days_set(date).is_empty() {
        true => is,
        false => verdicts.iter().rev().find(|v| v.day < date).map_or(is, |v| v.after),
    };
    for (date, day) in &seen {
        let Some(warmup) = ledgers.get(date) else {
            broken.push(format!("{bucket}: mail left on {date}, of which the ledgers know nothing"));
            continue;
        };
        let set = orders.days_set(*date);
        let rungs = set.iter().map(|(_, n)| *n).chain([*warmup, began(*date, *warmup)]);
        let most = rungs.map(|rung| quota(ramp, bucket, rung, ramp.nth(*date)).1).max().unwrap();
        if day.handed > most {
            broken.push(format!("{bucket}: {} left on {date}, quota {most} of warm-up day {warmup}", day.handed));
        }
        let last = set.last().filter(|_| !ramp.is_disturbed(*date));
        if let Some((_, n)) = last.filter(|(_, n)| n != warmup) {
            broken.push(format!("{bucket}: set to warm-up day {n} on {date}, and it is {warmup}"));
        }
    }
    let mut last: Option<(Date, u32)> = None;
    for (date, warmup) in &ledgers {
        if let Some((before, was)) = last {
            let is = began(*date, *warmup);
            Moved { ramp, bucket, orders: &orders, seen: &seen, before, was, date: *date, is }.judge(broken);
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
    outages::blames(ramp, bucket, &seen, broken).await;
    outages::recovers(ramp, bucket, &seen, broken);
}

/// From one plan day that the ledgers know to the next.
struct Moved<'a> {
    ramp: &'a Ramp,
    bucket: &'a str,
    orders: &'a Orders<'a>,
    seen: &'a BTreeMap<Date, Day>,
    before: Date,
    was: u32,
    date: Date,
    is: u32,
}

impl Moved<'_> {
    fn fault(&self, what: &str) -> String {
        let Self { bucket, before, was, date, is, seen, .. } = self;
        format!("{bucket}: {what}: warm-up day {was} on {before}, {is} on {date}: {:?}", seen.get(before))
    }

    /// Did the warm-up day move as the destination's answers and the operator ask?
    fn judge(&self, broken: &mut Vec<String>) {
        let Self { ramp, before, was, is, .. } = *self;
        if is > was + 1 {
            broken.push(self.fault("more than a rung up"));
        }
        let Some(day) = self.seen.get(&before) else {
            if is > was {
                broken.push(self.fault("aged without a handover"));
            }
            return;
        };
        if ramp.is_disturbed(before) || day.repeats > 0 {
            return;
        }
        let next = self.date == before.tomorrow().unwrap();
        if self.orders.holds(before) || self.orders.is_stopped(before) {
            let held = self.orders.holds(before);
            let expected = if held { was } else { (was - 1).max(1) };
            if next && is != expected {
                broken.push(self.fault(if held {
                    "moved though the operator held it"
                } else {
                    "stopped, and no step back"
                }));
            }
            return;
        }
        self.judge_by_answers(day, next, broken);
    }

    fn judge_by_answers(&self, day: &Day, next: bool, broken: &mut Vec<String>) {
        let Self { ramp, bucket, before, was, is, .. } = *self;
        let nth = ramp.nth(before);
        let (least, most) = quota(ramp, bucket, was, nth);
        let sample = |quota: u32| 200.min(quota / 2).max(1);
        let share = |n: u32, limit: u32| n * 100 >= limit * day.tried;
        let (put_off, unknown) = (day.put_off, day.unknown);
        if day.tried >= sample(most) {
            let back = (put_off >= 5 && share(put_off, 10)) || (unknown >= 5 && share(unknown, 3));
            if back && is >= was && was > 1 {
                broken.push(self.fault("no step back though a tenth was deferred, or three in a hundred unknown"));
            }
            let stay = (put_off >= 3 && share(put_off, 5)) || (unknown >= 3 && share(unknown, 1));
            if stay && is > was {
                broken.push(self.fault("advanced though a twentieth was deferred, or one in a hundred unknown"));
            }
        }
        if day.blocked && (is > was || (is == was && was > 1)) {
            broken.push(self.fault("no step back though it was blocked"));
        }
        let content = put_off == 0 && unknown == 0 && !day.blocked;
        if content && next && is < was {
            broken.push(self.fault("a step back though the destination was content"));
        }
        let full = day.tried >= sample(least) && day.handed * 100 >= 70 * most;
        if content && full && next && is != was + 1 {
            broken.push(self.fault("no advance after a full day of acceptances"));
        }
        // Full use: with backlog, an open window, a relay that is there and a content destination at least 99 % leaves.
        let backlog = !ramp.ask.idles && nth < ramp.ask.days - 1;
        let calm =
            put_off == 0 && !day.blocked && nth > 0 && !outages::touch(ramp, before) && !self.orders.touch(before);
        let whole = least == most && !blocked_lately(ramp, bucket, before);
        if backlog && calm && whole && day.handed * 100 < 99 * most && !eased_lately(self.seen, before) {
            broken.push(self.fault("a content day was not used"));
        }
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
    seen.range(since..day).any(|(_, day)| day.grumbled)
}

async fn nothing_lost(ramp: &Ramp, broken: &mut Vec<String>) {
    let mut known = 0;
    let mut after = None;
    let with = |code: u16| ramp.seen.iter().filter(move |s| s.code == code && !s.relays).map(|s| s.recipient.as_str());
    let (taken, refused): (BTreeSet<&str>, BTreeSet<&str>) = (with(250).collect(), with(550).collect());
    let times = with(250).count();
    if times > taken.len() + ramp.in_the_air as usize {
        broken.push(format!("{} repeats, {} were in the air", times - taken.len(), ramp.in_the_air));
    }
    loop {
        let page = ramp.store.messages_of(ramp.campaign, &[], after, 1_000).await.unwrap();
        let Some(end) = page.last() else { break };
        after = Some(end.id);
        known += page.len();
        for message in page {
            let address = message.address.as_str();
            let (was_taken, was_refused) = (taken.contains(address), refused.contains(address));
            match message.state {
                MessageState::Accepted if !was_taken => broken.push(format!("{address} was never taken")),
                MessageState::Queued if was_taken => broken.push(format!("{address} was taken")),
                MessageState::Bounced if !was_refused => {
                    broken.push(format!("{address} is called bounced, and no destination refused it"));
                }
                MessageState::Expired | MessageState::Cancelled => {
                    broken.push(format!("{address} is called {}", message.state.as_str()));
                }
                _ => {}
            }
        }
    }
    if known != ramp.submitted {
        broken.push(format!("{} submitted, {known} known", ramp.submitted));
    }
}
