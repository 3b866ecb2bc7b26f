//! Owns the end of a plan day: what the day showed, and which warm-up day follows.
//!
//! By volume: a day counts when enough of its quota was handed over, or when the backlog ran empty after enough of it. A day
//! without a handover never counts, so one that was not used never ages a ramp.

use jiff::civil::Date;

use crate::core::lane::{Ledger, Verdict, VerdictKind};
use crate::core::plan::{Curve, Gate};

/// Ends the ledger's plan day and begins `today`'s. A gap of days without a handover gets one row.
#[must_use]
pub fn next_day(ledger: &Ledger, gate: &Gate, curve: &Curve, today: Date) -> (Vec<Verdict>, Ledger) {
    let mut verdicts = Vec::new();
    let after_day = days_between(ledger.day, today);
    let (handed, quota) = (ledger.spent, ledger.quota);
    let percent = u64::from(handed) * 100 / u64::from(quota.max(1));
    let share = format!("{handed} of {quota} handed over ({percent} %)");
    let enough = |share: crate::core::units::Share| u64::from(handed) >= share.of(u64::from(quota)).max(1);
    let verdict = |kind, day, days, after, because| Verdict {
        bucket: ledger.bucket.clone(),
        day,
        days,
        kind,
        before: ledger.warmup_day,
        after,
        because,
    };
    let mut warmup_day = ledger.warmup_day;
    if handed == 0 {
        let last = today.yesterday().unwrap_or(today).max(ledger.day);
        let because = "nothing was handed over: the day repeats".to_owned();
        verdicts.push(verdict(VerdictKind::NoVerdict, last, after_day.max(1), warmup_day, because));
    } else {
        let (kind, because) = if enough(gate.filled) {
            (VerdictKind::Advance, format!("{share}: at least {} filled", gate.filled))
        } else if ledger.emptied && enough(gate.emptied) {
            (VerdictKind::Advance, format!("{share} and the backlog ran empty: at least {} emptied", gate.emptied))
        } else {
            (VerdictKind::Hold, format!("{share}: less than {} filled, the day repeats", gate.filled))
        };
        if kind == VerdictKind::Advance {
            warmup_day += 1;
        }
        verdicts.push(verdict(kind, ledger.day, 1, warmup_day, because));
        if after_day > 1 {
            let last = today.yesterday().unwrap_or(today);
            let because = "nothing was handed over on these days: they do not count".to_owned();
            let mut gap = verdict(VerdictKind::NoVerdict, last, after_day - 1, warmup_day, because);
            gap.before = warmup_day;
            verdicts.push(gap);
        }
    }
    let next = Ledger::new(ledger.bucket.clone(), today, warmup_day, curve.quota(warmup_day));
    (verdicts, next)
}

fn days_between(from: Date, to: Date) -> u32 {
    u32::try_from(from.until(to).map_or(0, |span| span.get_days()).max(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::names::BucketName;
    use crate::core::plan::{CurveShape, Then};
    use crate::core::units::Share;
    use jiff::civil::date;

    fn gate() -> Gate {
        Gate {
            filled: Share::percent(70),
            emptied: Share::percent(50),
            sample: 200,
            deferrals: Share::percent(5),
            bounces: Share::percent(2),
            unknown_users: Share::percent(1),
            complaints: Share::percent(1),
        }
    }

    fn curve() -> Curve {
        let shape = CurveShape::Listed { values: vec![50, 75, 100], preset: None };
        Curve { shape, scale: None, then: Then::Last, up_to: None }
    }

    fn ledger(spent: u32, emptied: bool) -> Ledger {
        let bucket = BucketName::new("docomo").expect("a name");
        let mut ledger = Ledger::new(bucket, date(2026, 11, 24), 1, 50);
        (ledger.spent, ledger.emptied) = (spent, emptied);
        ledger
    }

    #[test]
    fn a_day_counts_when_filled_or_emptied() {
        for (spent, emptied, kind, after) in [
            (50, false, VerdictKind::Advance, 2),
            (35, false, VerdictKind::Advance, 2),
            (34, false, VerdictKind::Hold, 1),
            (34, true, VerdictKind::Advance, 2),
            (24, true, VerdictKind::Hold, 1),
            (0, true, VerdictKind::NoVerdict, 1),
        ] {
            let (verdicts, next) = next_day(&ledger(spent, emptied), &gate(), &curve(), date(2026, 11, 25));
            assert_eq!((verdicts.len(), verdicts[0].kind, verdicts[0].after), (1, kind, after), "{spent} {emptied}");
            assert_eq!((next.day, next.warmup_day, next.spent), (date(2026, 11, 25), after, 0));
            assert_eq!(next.quota, curve().quota(after));
        }
    }

    #[test]
    fn a_gap_gets_one_row_and_one_day_of_advance_at_most() {
        let (verdicts, next) = next_day(&ledger(50, false), &gate(), &curve(), date(2026, 12, 4));
        assert_eq!(
            verdicts.iter().map(|v| (v.kind, v.days)).collect::<Vec<_>>(),
            [(VerdictKind::Advance, 1), (VerdictKind::NoVerdict, 9)]
        );
        assert_eq!(next.warmup_day, 2);
        let (verdicts, next) = next_day(&ledger(0, false), &gate(), &curve(), date(2026, 12, 4));
        assert_eq!((verdicts.len(), verdicts[0].days, next.warmup_day), (1, 10, 1));
    }
}
