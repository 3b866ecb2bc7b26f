//! Owns the Japanese of a verdict's reason, told from the figures that it rests on.
//!
//! Invariant: the reason follows the order in which the gate decides; where the figures do not tell it, there is none, and the reader
//! gets the reason as it was written.

use crate::core::lane::{Ledger, Verdict, VerdictKind};
use crate::core::plan::{Blind, Gate};
use crate::core::units::Share;
use crate::report::words::number;

/// Why, in Japanese.
pub(super) fn in_japanese(verdict: &Verdict, ledger: &Ledger, gate: &Gate) -> Option<String> {
    if let Some(idle) = verdict.inputs.get("idle_days") {
        return Some(idle_days(verdict, idle, gate));
    }
    let figures = Figures::of(verdict)?;
    if let Some(reason) = ledger.ramp.held.as_ref().filter(|_| verdict.kind == VerdictKind::Hold) {
        return Some(format!("オペレーターの指示により据え置き中: {reason}"));
    }
    match verdict.kind {
        VerdictKind::Stop => {
            let (_, why) = verdict.because.split_once(": ")?;
            Some(format!("オペレーターが再開するまで停止中: {why}"))
        }
        VerdictKind::StepBack if figures.blocks > 0 => {
            Some(format!("宛先からブロックされました（応答 {} 件）", number(figures.blocks)))
        }
        VerdictKind::StepBack => figures.breach(gate, true),
        VerdictKind::Hold if !figures.counts(gate) => {
            Some(format!("{}。{} に届かないため、この日を繰り返します", figures.handed(), percent_of(gate.filled)))
        }
        VerdictKind::Hold => figures.breach(gate, false).or_else(|| {
            let blind = gate.blind == Blind::Hold && figures.ears == "none";
            blind.then(|| "リレーの先からの報告がなく、計画が据え置きを求めています".to_owned())
        }),
        VerdictKind::NoVerdict => Some(format!(
            "{}。試行 {} 通は判定に足りません（必要 {} 通）。この日を繰り返します",
            figures.handed(),
            number(figures.tried),
            number(figures.sample)
        )),
        VerdictKind::Advance if figures.ears == "none" => Some(format!(
            "{}。リレーの先からの報告がないため、翌日の割当は今日の {} までです",
            figures.handed(),
            percent_of(gate.blind_growth)
        )),
        VerdictKind::Advance => Some(format!(
            "{}。試行 {} 通の一時拒否・バウンス・宛先不明・苦情の割合はすべて基準内です（情報源: {}）",
            figures.handed(),
            number(figures.tried),
            ears(&figures.ears)
        )),
    }
}

fn idle_days(verdict: &Verdict, idle: &str, gate: &Gate) -> String {
    if verdict.kind == VerdictKind::NoVerdict {
        return match idle {
            "1" => "引き渡しがなかったため、この日を繰り返します".to_owned(),
            _ => format!("{idle} 日間引き渡しがなく、日数に数えません"),
        };
    }
    let restarted = idle.parse::<u32>().is_ok_and(|days| days >= gate.restart_days);
    if restarted {
        return format!("{idle} 日間引き渡しがなく、低い通数から始め直します");
    }
    format!("{idle} 日間引き渡しがなく、{} 日目から 1 日に一段ずつ戻します", gate.idle_days)
}

fn percent_of(share: Share) -> String {
    share.to_string().replace('%', " %")
}

/// Who tells, in Japanese.
fn ears(ears: &str) -> String {
    let one = |ear: &str| {
        match ear {
            "the session" => "SMTP の応答",
            "bounce mail" => "バウンスメール",
            "the relay's log" => "リレーのログ",
            "SES events" => "SES のイベント",
            "SendGrid events" => "SendGrid のイベント",
            other => other,
        }
        .to_owned()
    };
    ears.split(", ").map(one).collect::<Vec<_>>().join("、")
}

/// The figures of a judged day.
struct Figures {
    quota: u64,
    spent: u64,
    emptied: bool,
    tried: u64,
    accepted: u64,
    deferred: u64,
    bounced: u64,
    unknown: u64,
    complaints: u64,
    blocks: u64,
    sample: u64,
    ears: String,
}

impl Figures {
    fn of(verdict: &Verdict) -> Option<Self> {
        let number = |name: &str| verdict.inputs.get(name)?.parse::<u64>().ok();
        Some(Self {
            quota: number("quota")?,
            spent: number("spent")?,
            emptied: verdict.inputs.get("emptied").is_some_and(|emptied| emptied == "true"),
            tried: number("tried")?,
            accepted: number("accepted")?,
            deferred: number("deferred")?,
            bounced: number("bounced")?,
            unknown: number("unknown_users")?,
            complaints: number("complaints")?,
            blocks: number("blocks")?,
            sample: number("sample")?,
            ears: verdict.inputs.get("ears")?.clone(),
        })
    }

    fn handed(&self) -> String {
        let percent = self.spent * 100 / self.quota.max(1);
        let emptied = if self.emptied { "、待ちメールなし" } else { "" };
        format!("割当 {} 通のうち {} 通（{percent} %）を引き渡し{emptied}", number(self.quota), number(self.spent))
    }

    /// Whether enough was handed over for the day to count.
    fn counts(&self, gate: &Gate) -> bool {
        let enough = |share: Share| self.spent >= share.of(self.quota).max(1);
        enough(gate.filled) || (self.emptied && enough(gate.emptied))
    }

    /// The share that was passed.
    fn breach(&self, gate: &Gate, back: bool) -> Option<String> {
        let (limits, from) = if back { (&gate.hold, gate.step_back_from) } else { (&gate.advance, gate.hold_from) };
        let shares = [
            ("一時拒否", self.deferred, self.tried, limits.deferrals),
            ("バウンス", self.bounced, self.tried, limits.bounces),
            ("宛先不明", self.unknown, self.tried, limits.unknown_users),
            ("苦情", self.complaints, self.accepted, limits.complaints),
        ];
        #[expect(clippy::cast_precision_loss, reason = "counts of one day")]
        let passed = |(_, n, of, limit): &(&str, u64, u64, Share)| {
            *n >= u64::from(from) && *n as f64 >= limit.fraction() * *of as f64
        };
        let (what, n, of, limit) = shares.into_iter().find(passed)?;
        #[expect(clippy::cast_precision_loss, reason = "counts of one day")]
        let share = n as f64 * 100.0 / of.max(1) as f64;
        Some(format!(
            "{what}が {} 通中 {} 通（{share:.1} %）で、基準の {} 以上です",
            number(of),
            number(n),
            percent_of(limit)
        ))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::core::lane::Showing;
    use crate::core::plan::{Curve, CurveShape, Then};
    use crate::core::schedule::{Day, next_day};

    fn told(spent: u32, showing: Showing, ears: &[String], edit: impl FnOnce(&mut Ledger)) -> (VerdictKind, String) {
        let shape = CurveShape::Listed { values: vec![400, 800], preset: None };
        let curve = Curve { shape, scale: None, then: Then::Last, up_to: None };
        let mut ledger = Ledger::new("docomo".parse().expect("a name"), date(2026, 11, 24), 1, 400);
        (ledger.spent, ledger.showing) = (spent, showing);
        edit(&mut ledger);
        let (gate, day) = (Gate::default(), date(2026, 11, 25));
        let (verdicts, _) = next_day(Day { ledger: &ledger, ears, stopped: None }, &gate, &curve, day);
        let verdict = &verdicts[0];
        (verdict.kind, in_japanese(verdict, &ledger, &gate).expect("a reason"))
    }

    #[test]
    fn each_verdict_of_the_gate_is_told_by_its_figures() {
        let ears = ["the session".to_owned(), "bounce mail".to_owned()];
        let good = Showing { tried: 400, accepted: 400, ..Showing::default() };
        for (spent, showing, expected) in [
            (400, good, "情報源: SMTP の応答、バウンスメール"),
            (100, good, "70 % に届かないため"),
            (400, Showing { tried: 10, ..good }, "試行 10 通は判定に足りません（必要 200 通）"),
            (400, Showing { bounced: 10, ..good }, "バウンスが 400 通中 10 通（2.5 %）で、基準の 2 % 以上です"),
            (400, Showing { put_off: 60, ..good }, "一時拒否が 400 通中 60 通（15.0 %）で、基準の 10 % 以上です"),
            (400, Showing { blocks: 2, ..good }, "ブロックされました（応答 2 件）"),
            (0, good, "引き渡しがなかったため"),
        ] {
            let (kind, reason) = told(spent, showing, &ears, |_| {});
            assert!(reason.contains(expected), "{kind:?}: {reason}");
        }
        let (_, blind) = told(400, good, &[], |_| {});
        assert!(blind.contains("今日の 150 % まで"), "{blind}");
        let (kind, held) = told(400, good, &ears, |ledger| ledger.ramp.held = Some("様子を見る".to_owned()));
        assert!(kind == VerdictKind::Hold && held.contains("様子を見る"), "{held}");
    }
}
