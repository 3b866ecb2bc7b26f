//! Owns the judgement of outages: no lane is blamed for what was the relay's alone, and mail flows again soon after.

use std::collections::BTreeMap;
use std::time::Duration;

use hikagen::core::journal::Kind;
use hikagen::store::{JournalFilter, Store};
use jiff::civil::Date;

use super::orders::Orders;
use super::{Day, eased_lately, quota};
use crate::destination::Outage;
use crate::ramp::Ramp;

/// The relay rests for half an hour at most, and the first day's quota leaves one message an hour.
const RECOVERY: Duration = Duration::from_secs(2 * 3_600);
/// From the world's beginning (06:55) on, days end at 19:00; an hour less where the clocks change.
const CLOSES: Duration = Duration::from_secs(11 * 3_600);

/// A lane is slowed or paused only by a destination that was not content lately.
pub(super) async fn blames(ramp: &Ramp, bucket: &str, days: &BTreeMap<Date, Day>, broken: &mut Vec<String>) {
    let filter = JournalFilter { bucket: Some(bucket.parse().unwrap()), ..JournalFilter::default() };
    for (_, entry) in ramp.store.journal(filter, 100_000).await.unwrap() {
        let paused = entry.kind == Kind::Paused && ["block", "throttle"].contains(&entry.by.as_str());
        let (true, Some(day)) = (paused || entry.kind == Kind::Slowed, entry.day) else { continue };
        // Its last answers may be those of the days before.
        let grumbled = days.get(&day).is_some_and(|d| d.grumbled) || eased_lately(days, day);
        if !grumbled && !ramp.is_disturbed(day) {
            broken.push(format!("{bucket}: slowed or paused on {day} for the relay's trouble: {}", entry.because));
        }
    }
}

/// Within two hours of an outage's end something leaves again.
pub(super) fn recovers(ramp: &Ramp, bucket: &str, days: &BTreeMap<Date, Day>, broken: &mut Vec<String>) {
    let orders = Orders::about(ramp, bucket);
    for outage in Outage::all(&ramp.ask) {
        let end = outage.until + RECOVERY;
        let day = ramp.first.checked_add(jiff::Span::new().days(outage.day)).unwrap();
        let begins = Duration::from_secs(outage.day.unsigned_abs() * 86_400);
        let closed = end > begins + CLOSES;
        if closed || ramp.ask.idles || ramp.is_disturbed(day) || orders.touch(day) || eased_lately(days, day) {
            continue;
        }
        let of_day = |s: &&crate::destination::Seen| s.bucket == bucket && ramp.day_of(s.at) == day;
        let by_then = ramp.seen.iter().filter(of_day).filter(|s| s.up <= end).count();
        let again = ramp.seen.iter().filter(of_day).any(|s| !s.relays && s.up >= outage.until && s.up <= end);
        let (least, _) = quota(ramp, bucket, 1, ramp.nth(day));
        let grumbled = days.get(&day).is_some_and(|d| d.grumbled);
        if !again && !grumbled && by_then < least as usize {
            broken.push(format!("{bucket}: nothing left within two hours of the outage {outage:?}"));
        }
    }
}

/// Whether the relay was down on that day.
pub(super) fn touch(ramp: &Ramp, day: Date) -> bool {
    Outage::all(&ramp.ask).iter().any(|outage| outage.day == ramp.nth(day))
}
