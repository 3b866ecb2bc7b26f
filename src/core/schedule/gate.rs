//! Owns the end of a plan day: what the day showed, and which warm-up day follows.
//!
//! Invariants: a day is judged by volume first and then by how its messages were answered; a day without a handover never counts, so
//! one that was not used never ages a ramp; the warm-up day moves by one rung at a verdict, and idleness only ever lowers it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::core::lane::{Ledger, Showing, Verdict, VerdictKind};
use crate::core::plan::{Blind, Curve, Gate};
use crate::core::units::{Share, grouped};

/// What a plan day is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Day<'a> {
    /// What was handed over, and how it was answered.
    pub ledger: &'a Ledger,
    /// Who tells how the destination answered; empty: nobody.
    pub ears: &'a [String],
    /// The lane is stopped until the operator resumes it, for this reason.
    pub stopped: Option<&'a str>,
}

/// What a gate decides about one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The decision.
    pub kind: VerdictKind,
    /// Why, in words, with the figures.
    pub because: String,
    /// The figures.
    pub inputs: BTreeMap<String, String>,
}

/// Judges a day with a handover.
#[must_use]
pub fn judge(day: Day<'_>, gate: &Gate) -> Judgement {
    let (kind, because) = decide(&day, gate);
    Judgement { kind, because, inputs: inputs(&day, gate) }
}

/// A share of the day's messages that is watched.
struct Watched {
    what: &'static str,
    n: u32,
    of: u32,
    advance: Share,
    hold: Share,
}

impl Watched {
    fn reaches(&self, share: Share) -> bool {
        f64::from(self.n) >= share.fraction() * f64::from(self.of)
    }

    fn words(&self, limit: Share) -> String {
        format!("{} of {} {} ({}, limit {limit})", self.n, grouped(self.of.into()), self.what, percent(self.n, self.of))
    }
}

fn watched(s: &Showing, gate: &Gate) -> [Watched; 4] {
    let of = |what, n, of, advance, hold| Watched { what, n, of, advance, hold };
    let (a, h) = (&gate.advance, &gate.hold);
    [
        of("deferred", s.put_off, s.tried, a.deferrals, h.deferrals),
        of("bounced", s.bounced, s.tried, a.bounces, h.bounces),
        of("unknown users", s.unknown, s.tried, a.unknown_users, h.unknown_users),
        of("complained of", s.complaints, s.accepted, a.complaints, h.complaints),
    ]
}

fn decide(day: &Day<'_>, gate: &Gate) -> (VerdictKind, String) {
    let (ledger, showing) = (day.ledger, day.ledger.showing);
    if let Some(reason) = &ledger.ramp.held {
        return (VerdictKind::Hold, format!("the operator holds the lane: {reason}"));
    }
    if let Some(why) = day.stopped {
        return (VerdictKind::Stop, format!("stopped until the operator resumes it: {why}"));
    }
    if showing.blocks > 0 {
        return (VerdictKind::StepBack, format!("the destination blocked the lane ({} answers)", showing.blocks));
    }
    let shares = watched(&showing, gate);
    let above = shares.iter().find(|w| w.n >= gate.step_back_from && w.reaches(w.hold));
    let sample = gate.sample_of(ledger.quota);
    if let Some(w) = above.filter(|_| showing.tried >= sample) {
        return (VerdictKind::StepBack, w.words(w.hold));
    }
    let handed = handed(ledger);
    let enough = |share: Share| u64::from(ledger.spent) >= share.of(u64::from(ledger.quota)).max(1);
    let counts = match (enough(gate.filled), ledger.emptied && enough(gate.emptied)) {
        (true, _) => format!("{handed}, at least {}", gate.filled),
        (_, true) => format!("{handed}, at least {}, and the backlog ran empty", gate.emptied),
        _ => return (VerdictKind::Hold, format!("{handed}: less than {}, the day repeats", gate.filled)),
    };
    if showing.tried < sample {
        let few = format!("{handed}, {} tried: too few to judge (sample {sample}), the day repeats", showing.tried);
        return (VerdictKind::NoVerdict, few);
    }
    if let Some(w) = shares.iter().find(|w| w.n >= gate.hold_from && w.reaches(w.advance)) {
        return (VerdictKind::Hold, w.words(w.advance));
    }
    if day.ears.is_empty() {
        let blind = "nobody tells what became of the mail beyond the relay (blind)";
        return match gate.blind {
            Blind::Hold => (VerdictKind::Hold, format!("{blind}: the plan says hold")),
            Blind::Advance => {
                (VerdictKind::Advance, format!("{counts}; {blind}: at most {} of today's quota", gate.blind_growth))
            }
        };
    }
    let ears = day.ears.join(", ");
    (
        VerdictKind::Advance,
        format!("{counts}; {} tried, every share in its limits (by {ears})", grouped(showing.tried.into())),
    )
}

fn handed(ledger: &Ledger) -> String {
    let (spent, quota) = (ledger.spent, ledger.quota);
    let percent = u64::from(spent) * 100 / u64::from(quota.max(1));
    format!("{} of {} handed over ({percent} %)", grouped(spent.into()), grouped(quota.into()))
}

fn percent(n: u32, of: u32) -> String {
    format!("{:.1} %", f64::from(n) * 100.0 / f64::from(of.max(1)))
}

fn inputs(day: &Day<'_>, gate: &Gate) -> BTreeMap<String, String> {
    let (l, s) = (day.ledger, day.ledger.showing);
    let ears = if day.ears.is_empty() { "none".to_owned() } else { day.ears.join(", ") };
    let figures = [
        ("quota", l.quota.to_string()),
        ("spent", l.spent.to_string()),
        ("emptied", l.emptied.to_string()),
        ("tried", s.tried.to_string()),
        ("accepted", s.accepted.to_string()),
        ("deferred", s.put_off.to_string()),
        ("bounced", s.bounced.to_string()),
        ("unknown_users", s.unknown.to_string()),
        ("complaints", s.complaints.to_string()),
        ("blocks", s.blocks.to_string()),
        ("sample", gate.sample_of(l.quota).to_string()),
        ("ears", ears),
    ];
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Ends the ledger's plan day and begins `today`'s. A gap of days without a handover gets one row.
#[must_use]
pub fn next_day(day: Day<'_>, gate: &Gate, curve: &Curve, today: Date) -> (Vec<Verdict>, Ledger) {
    let ledger = day.ledger;
    let mut verdicts = Vec::new();
    let passed = days_between(ledger.day, today);
    let mut next = Ledger::new(ledger.bucket.clone(), today, ledger.warmup_day, 1);
    next.ramp = ledger.ramp.clone();
    let mut idle = passed.max(1);
    if ledger.spent > 0 {
        let judgement = judge(day, gate);
        apply(&judgement, day, gate, curve, &mut next);
        verdicts.push(Verdict {
            bucket: ledger.bucket.clone(),
            day: ledger.day,
            days: 1,
            kind: judgement.kind,
            before: ledger.warmup_day,
            after: next.warmup_day,
            because: judgement.because,
            inputs: judgement.inputs,
        });
        (next.ramp.peak, next.ramp.idle) = (next.ramp.peak.max(ledger.quota), 0);
        idle = passed.saturating_sub(1);
    }
    if idle > 0 {
        verdicts.push(rest(ledger, idle, gate, curve, today, &mut next));
    }
    next.quota = next.quota_by(curve);
    next.quota_peak = next.quota;
    (verdicts, next)
}

/// Moves the lane as a verdict says.
fn apply(judgement: &Judgement, day: Day<'_>, gate: &Gate, curve: &Curve, next: &mut Ledger) {
    match judgement.kind {
        VerdictKind::Advance if day.ears.is_empty() => {
            let quota = u64::from(day.ledger.quota);
            let most = u32::try_from(gate.blind_growth.of(quota)).unwrap_or(u32::MAX).max(day.ledger.quota);
            // A rung that the ceiling cut is climbed before the next one begins.
            if curve.quota(next.warmup_day) <= day.ledger.quota {
                next.warmup_day = next.warmup_day.saturating_add(1);
            }
            next.ramp.ceiling = (curve.quota(next.warmup_day) > most).then_some(most);
        }
        VerdictKind::Advance => {
            next.warmup_day = next.warmup_day.saturating_add(1);
            next.ramp.ceiling = None;
        }
        VerdictKind::StepBack | VerdictKind::Stop => next.warmup_day = next.warmup_day.saturating_sub(1).max(1),
        VerdictKind::Hold | VerdictKind::NoVerdict => {}
    }
}

/// Days without a handover: they never count, and many of them lower the lane.
fn rest(ledger: &Ledger, days: u32, gate: &Gate, curve: &Curve, today: Date, next: &mut Ledger) -> Verdict {
    let before = next.warmup_day;
    let (from, to) = (next.ramp.idle, next.ramp.idle.saturating_add(days));
    next.ramp.idle = to;
    let earned = next.ramp.peak > 0;
    let mut because =
        format!("nothing was handed over for {to} {}: the day repeats", if to == 1 { "day" } else { "days" });
    let back = to.min(gate.restart_days.saturating_sub(1)).saturating_sub(from.max(gate.idle_days.saturating_sub(1)));
    if earned && back > 0 {
        next.warmup_day = before.saturating_sub(back).max(1);
        because = format!("nothing was handed over for {to} days: from day {} on, one rung back a day", gate.idle_days);
    }
    if earned && from < gate.restart_days && to >= gate.restart_days {
        let low = low_rung(next.ramp.peak, curve).min(next.warmup_day);
        (next.warmup_day, next.ramp.ceiling, next.ramp.peak) = (low, None, curve.quota(low));
        because = format!("nothing was handed over for {to} days: the lane starts again low");
    }
    let lowered = next.warmup_day < before;
    Verdict {
        bucket: ledger.bucket.clone(),
        day: today.yesterday().unwrap_or(today).max(ledger.day),
        days,
        kind: if lowered { VerdictKind::StepBack } else { VerdictKind::NoVerdict },
        before,
        after: next.warmup_day,
        because,
        inputs: [("idle_days".to_owned(), to.to_string())].into(),
    }
}

/// The largest warm-up day whose quota is at most the lower of four times the first rung and a quarter of the old peak.
fn low_rung(peak: u32, curve: &Curve) -> u32 {
    let most = curve.quota(1).saturating_mul(4).min(peak / 4);
    let mut rung = 1;
    while rung < LAST_RUNG && curve.quota(rung + 1) <= most && curve.quota(rung + 1) > curve.quota(rung) {
        rung += 1;
    }
    rung
}

/// Warm-up days that are looked at: a curve that still grows then has long passed four times its first rung.
const LAST_RUNG: u32 = 1_000;

fn days_between(from: Date, to: Date) -> u32 {
    u32::try_from(from.until(to).map_or(0, |span| span.get_days()).max(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::names::BucketName;
    use crate::core::plan::{CurveShape, Then};
    use jiff::civil::date;

    fn curve() -> Curve {
        let values = vec![50, 75, 100, 150, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600];
        Curve { shape: CurveShape::Listed { values, preset: None }, scale: None, then: Then::Last, up_to: None }
    }

    fn ledger(warmup_day: u32, spent: u32, emptied: bool) -> Ledger {
        let bucket = BucketName::new("docomo").expect("a name");
        let mut ledger = Ledger::new(bucket, date(2026, 11, 24), warmup_day, curve().quota(warmup_day));
        (ledger.spent, ledger.emptied) = (spent, emptied);
        ledger
    }

    fn showing(tried: u32) -> Showing {
        Showing { tried, accepted: tried, ..Showing::default() }
    }

    fn ears() -> Vec<String> {
        vec!["the session".to_owned()]
    }

    fn next(ledger: &Ledger, showing: Showing, today: Date) -> (Vec<Verdict>, Ledger) {
        let ledger = Ledger { showing, ..ledger.clone() };
        next_day(Day { ledger: &ledger, ears: &ears(), stopped: None }, &Gate::default(), &curve(), today)
    }

    fn tomorrow() -> Date {
        date(2026, 11, 25)
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
            let (verdicts, next) = next(&ledger(1, spent, emptied), showing(spent), tomorrow());
            assert_eq!((verdicts.len(), verdicts[0].kind, verdicts[0].after), (1, kind, after), "{spent} {emptied}");
            assert_eq!((next.day, next.warmup_day, next.spent), (tomorrow(), after, 0));
            assert_eq!(next.quota, curve().quota(after));
        }
    }

    #[test]
    fn one_mail_a_day_never_ages_a_ramp() {
        let mut ledger = ledger(3, 1, true);
        for day in 0..60 {
            let today = date(2026, 11, 25).checked_add(jiff::Span::new().days(day)).expect("in range");
            let (_, mut then) = next(&ledger, showing(1), today);
            (then.spent, then.emptied) = (1, true);
            ledger = then;
        }
        assert_eq!(ledger.warmup_day, 3);
    }

    #[test]
    fn shares_hold_and_step_back_and_a_few_messages_do_nothing() {
        use VerdictKind::{Advance, Hold, StepBack};
        // Warm-up day 6: 400 messages.
        let bad = |f: fn(&mut Showing, u32), n| {
            let mut seen = showing(400);
            f(&mut seen, n);
            next(&ledger(6, 400, false), seen, tomorrow()).0[0].kind
        };
        let put_off = |s: &mut Showing, n| s.put_off = n;
        let bounced = |s: &mut Showing, n| s.bounced = n;
        let unknown = |s: &mut Showing, n| s.unknown = n;
        let complaints = |s: &mut Showing, n| s.complaints = n;
        for (n, kind) in [(19, Advance), (20, Hold), (39, Hold), (40, StepBack)] {
            assert_eq!(bad(put_off, n), kind, "{n} deferred");
        }
        for (n, kind) in [(7, Advance), (8, Hold), (19, Hold), (20, StepBack)] {
            assert_eq!(bad(bounced, n), kind, "{n} bounced");
        }
        for (n, kind) in [(3, Advance), (4, Hold), (11, Hold), (12, StepBack)] {
            assert_eq!(bad(unknown, n), kind, "{n} unknown");
        }
        // 0.1 % of 400 is less than one: it takes three for a hold and five for a step back.
        for (n, kind) in [(2, Advance), (3, Hold), (4, Hold), (5, StepBack)] {
            assert_eq!(bad(complaints, n), kind, "{n} complaints");
        }
    }

    #[test]
    fn a_block_steps_back_however_little_was_sent() {
        let seen = Showing { tried: 4, blocks: 1, ..Showing::default() };
        let (verdicts, next) = next(&ledger(3, 4, false), seen, tomorrow());
        assert_eq!((verdicts[0].kind, next.warmup_day), (VerdictKind::StepBack, 2));
    }

    #[test]
    fn a_sample_too_small_repeats_the_day() {
        // 400 a day: the sample is 200. Handed over, but given up by the relay before the destination was tried.
        let (verdicts, next) = next(&ledger(6, 400, false), showing(150), tomorrow());
        assert_eq!((verdicts[0].kind, next.warmup_day), (VerdictKind::NoVerdict, 6));
        assert!(verdicts[0].because.contains("sample 200"), "{}", verdicts[0].because);
    }

    #[test]
    fn the_operators_hold_outweighs_a_good_day() {
        let mut ledger = ledger(2, 75, false);
        ledger.ramp.held = Some("the sales week".to_owned());
        let (verdicts, next) = next(&ledger, showing(75), tomorrow());
        assert_eq!((verdicts[0].kind, next.warmup_day), (VerdictKind::Hold, 2));
        assert_eq!(next.ramp.held.as_deref(), Some("the sales week"));
    }

    #[test]
    fn a_gap_gets_one_row_and_one_day_of_advance_at_most() {
        let (verdicts, then) = next(&ledger(1, 50, false), showing(50), date(2026, 11, 30));
        assert_eq!(
            verdicts.iter().map(|v| (v.kind, v.days)).collect::<Vec<_>>(),
            [(VerdictKind::Advance, 1), (VerdictKind::NoVerdict, 5)]
        );
        assert_eq!(then.warmup_day, 2);
        let (verdicts, next) = next(&ledger(1, 0, false), showing(0), date(2026, 12, 4));
        assert_eq!((verdicts.len(), verdicts[0].days, next.warmup_day), (1, 10, 1));
    }

    /// The warm-up day of a lane on day 12 (its peak) after `idle` days, asked once a day or once at their end.
    fn after_idle(idle: i64, every_day: bool) -> u32 {
        let gate = Gate::default();
        let mut ledger = ledger(12, 25_600, false);
        let days: Vec<i64> = if every_day { (1..=idle + 1).collect() } else { vec![idle + 1] };
        for day in days {
            let today = date(2026, 11, 24).checked_add(jiff::Span::new().days(day)).expect("in range");
            ledger.showing = Showing { tried: ledger.spent, put_off: ledger.spent / 12, ..Showing::default() };
            ledger = next_day(Day { ledger: &ledger, ears: &ears(), stopped: None }, &gate, &curve(), today).1;
        }
        ledger.warmup_day
    }

    #[test]
    fn idle_days_lower_the_lane_and_it_does_not_matter_who_looks_when() {
        for every_day in [true, false] {
            for (idle, expected) in [(0, 12), (6, 12), (7, 11), (8, 10), (16, 2), (29, 1), (30, 1), (90, 1)] {
                assert_eq!(after_idle(idle, every_day), expected, "{idle} idle days, {every_day}");
            }
        }
    }

    #[test]
    fn the_low_rung_is_the_lower_of_four_times_the_first_and_a_quarter_of_the_peak() {
        assert_eq!(low_rung(25_600, &curve()), 5, "200 is four times 50");
        assert_eq!(low_rung(400, &curve()), 3, "100 is a quarter of 400");
        assert_eq!(low_rung(10, &curve()), 1);
    }

    #[test]
    fn a_lane_that_nobody_tells_about_grows_by_half_at_most() {
        let gate = Gate::default();
        let steep = Curve {
            shape: CurveShape::Listed { values: vec![100, 1_000], preset: None },
            scale: None,
            then: Then::Last,
            up_to: None,
        };
        let (mut ledger, mut quotas) = (ledger(1, 0, false), Vec::new());
        (ledger.quota, ledger.quota_peak) = (100, 100);
        for day in 25..=30 {
            (ledger.spent, ledger.showing) = (ledger.quota, showing(ledger.quota));
            ledger = next_day(Day { ledger: &ledger, ears: &[], stopped: None }, &gate, &steep, date(2026, 11, day)).1;
            quotas.push((ledger.warmup_day, ledger.quota));
        }
        assert_eq!(quotas, [(2, 150), (2, 225), (2, 338), (2, 507), (2, 761), (2, 1_000)]);
        let hold = Gate { blind: Blind::Hold, ..gate };
        (ledger.spent, ledger.showing) = (ledger.quota, showing(ledger.quota));
        let (verdicts, _) =
            next_day(Day { ledger: &ledger, ears: &[], stopped: None }, &hold, &steep, date(2026, 12, 1));
        assert_eq!((verdicts[0].kind, verdicts[0].after), (VerdictKind::Hold, 2));
    }
}
