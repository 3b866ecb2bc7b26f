//! Owns the daily report as text for a terminal or a mail.

use jiff::tz::TimeZone;

use super::{Daily, DailyLane, DailyRelay, Figures, Lang};
use crate::report::words::{Table, at, number};

impl Daily {
    /// As text, times in `zone`.
    #[must_use]
    pub fn render(&self, lang: Lang, zone: &TimeZone) -> String {
        let mut out = format!("{}: {}\n", lang.pick("Hikagen daily report", "火加減 日報"), lang.date(self.day));
        out += &format!("{}\n", self.standing(lang, zone));
        for relay in &self.relays {
            out += &relay.render(lang, zone);
        }
        if self.relays.len() > 1 {
            out += &format!("\n{}\n  {}\n", lang.pick("All relays", "全リレー合計"), sentence(&self.total, lang));
        }
        out += &self.render_campaigns(lang, zone);
        out
    }

    /// Whether the day is over, and when the report was drawn up.
    pub(super) fn standing(&self, lang: Lang, zone: &TimeZone) -> String {
        let at = at(self.at, zone);
        match (self.finished, lang) {
            (true, Lang::En) => format!("The plan day is over; drawn up {at}."),
            (false, Lang::En) => format!("The plan day still runs; figures and verdicts as of {at}."),
            (true, Lang::Ja) => format!("計画日は終了しています（作成 {at}）"),
            (false, Lang::Ja) => format!("計画日の途中です。数値と判定は {at} 時点のものです"),
        }
    }

    fn render_campaigns(&self, lang: Lang, zone: &TimeZone) -> String {
        let mut table = Table::new(lang.pick(CAMPAIGN_EN, CAMPAIGN_JA), &[2, 3, 4, 5, 6]);
        for row in self.campaign_rows(lang, zone) {
            table.row(row);
        }
        let rows = table.render("  ");
        let mut out = format!("\n{}\n", lang.pick("Campaigns", "キャンペーン"));
        if rows.is_empty() {
            out += &format!("  {}\n", none_of_campaigns(lang));
        }
        out += &rows;
        if self.more_campaigns > 0 {
            out += &format!("  {}\n", self.more(lang));
        }
        out
    }

    pub(super) fn more(&self, lang: Lang) -> String {
        let n = number(self.more_campaigns);
        lang.pick(format!("and {n} more"), format!("ほか {n} 件"))
    }

    /// Campaigns, cell by cell.
    pub(super) fn campaign_rows(&self, lang: Lang, zone: &TimeZone) -> Vec<[String; 8]> {
        let row = |campaign: &super::DailyCampaign| {
            let m = &campaign.messages;
            let end = match (campaign.ended, campaign.finish_by) {
                (Some(ended), _) => {
                    lang.pick(format!("ended {}", at(ended, zone)), format!("{} 終了", at(ended, zone)))
                }
                (None, Some(by)) => lang.pick(format!("due {}", at(by, zone)), format!("期限 {}", at(by, zone))),
                (None, None) => "-".to_owned(),
            };
            let because = campaign.because.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            [
                campaign.campaign.clone(),
                format!("{}{because}", lang.campaign_state(campaign.state)),
                number(m.total()),
                number(m.accepted),
                number(m.bounced),
                number(m.expired + m.suppressed + m.cancelled),
                number(m.waiting()),
                end,
            ]
        };
        self.campaigns.iter().map(row).collect()
    }
}

/// Headings of the lanes' table.
pub(super) const LANES_EN: [&str; 9] =
    ["LANE", "DAY", "QUOTA", "SENT", "", "ACCEPTED", "DEFERRED", "BOUNCED", "UNKNOWN"];
pub(super) const LANES_JA: [&str; 9] =
    ["レーン", "日目", "割当", "引き渡し", "", "受理", "一時拒否", "バウンス", "宛先不明"];
pub(super) const CAMPAIGN_EN: [&str; 8] =
    ["CAMPAIGN", "STATE", "MESSAGES", "ACCEPTED", "BOUNCED", "NOT SENT", "LEFT", "END"];
pub(super) const CAMPAIGN_JA: [&str; 8] =
    ["キャンペーン", "状態", "通数", "受理", "バウンス", "送信対象外", "残り", "終了・期限"];
pub(super) const ANSWERS_EN: [&str; 5] = ["TIMES", "LANE", "ANSWER", "MEANING", "THEN"];
pub(super) const ANSWERS_JA: [&str; 5] = ["回数", "レーン", "応答", "意味", "対応"];

pub(super) const VERDICTS_EN: [&str; 5] = ["LANE", "VERDICT", "WARM-UP DAY", "QUOTA", "WHY"];
pub(super) const VERDICTS_JA: [&str; 5] = ["レーン", "判定", "ウォームアップ日", "割当", "理由"];

pub(super) fn none_of_campaigns(lang: Lang) -> &'static str {
    lang.pick("none was open, none ended", "実施中・終了したキャンペーンはありません")
}

pub(super) fn none_of_lanes(lang: Lang) -> &'static str {
    lang.pick("no lane had a plan day on this date", "この日に計画日のあるレーンはありません")
}

/// All figures in one sentence.
pub(super) fn sentence(f: &Figures, lang: Lang) -> String {
    let n = number;
    let text = match lang {
        Lang::En => format!(
            "{} of {} handed over ({}): {} accepted, {} deferred, {} bounced, {} unknown users",
            n(f.spent),
            n(f.quota),
            share(f),
            n(f.accepted),
            n(f.deferred),
            n(f.bounced),
            n(f.unknown)
        ),
        Lang::Ja => format!(
            "割当 {} 通のうち {} 通（{}）を引き渡し。受理 {}、一時拒否 {}、バウンス {}、宛先不明 {}",
            n(f.quota),
            n(f.spent),
            share(f),
            n(f.accepted),
            n(f.deferred),
            n(f.bounced),
            n(f.unknown)
        ),
    };
    let back = came_back(f, lang);
    if back.is_empty() { text } else { format!("{text}{}{back}", lang.pick("; ", "。")) }
}

/// What came back from beyond the relay; nothing where nothing did.
pub(super) fn came_back(f: &Figures, lang: Lang) -> String {
    if !f.came_back() {
        return String::new();
    }
    let parts = [
        (f.delivered, "reported delivered", "配信の報告"),
        (f.bounced_later, "bounced later", "後でバウンス"),
        (f.delayed, "delayed beyond the relay", "リレーの先で遅延"),
        (f.complaints, "complained of", "苦情"),
    ];
    let told = parts.into_iter().filter(|(n, _, _)| *n > 0);
    match lang {
        Lang::En => told.map(|(n, en, _)| format!("{} {en}", number(n))).collect::<Vec<_>>().join(", "),
        Lang::Ja => told.map(|(n, _, ja)| format!("{ja} {}", number(n))).collect::<Vec<_>>().join("、"),
    }
}

pub(super) fn share(f: &Figures) -> String {
    format!("{} %", f.spent * 100 / f.quota.max(1))
}

impl DailyRelay {
    pub(super) fn heading(&self, lang: Lang) -> String {
        lang.pick(
            format!("Relay {}, plan {}", self.relay, self.plan),
            format!("リレー {}（計画 {}）", self.relay, self.plan),
        )
    }

    /// From when to when the plan day runs.
    pub(super) fn span(&self, lang: Lang, zone: &TimeZone) -> String {
        let (begins, ends) = (at(self.begins, zone), at(self.ends, zone));
        lang.pick(format!("plan day from {begins} to {ends}"), format!("計画日 {begins} 〜 {ends}"))
    }

    fn render(&self, lang: Lang, zone: &TimeZone) -> String {
        let mut out = format!("\n{}: {}\n", self.heading(lang), self.span(lang, zone));
        if self.lanes.is_empty() {
            return out + &format!("  {}\n", none_of_lanes(lang));
        }
        let mut table = Table::new(lang.pick(LANES_EN, LANES_JA), &[1, 2, 3, 4, 5, 6, 7, 8]);
        for lane in &self.lanes {
            table.row(lane.cells(lang));
        }
        out += &table.render("  ");
        out += &format!("  {}: {}\n", lang.pick("all lanes", "全レーン"), sentence(&self.total, lang));
        let returned: Vec<String> = self.lanes.iter().filter_map(|lane| lane.returned(lang)).collect();
        out += &block(lang.pick("Came back from beyond the relay", "リレーの先から戻ったもの"), &returned);
        let times = lang.pick("x", "回");
        let answers: Vec<String> = self
            .answer_rows(lang)
            .into_iter()
            .map(|[n, lane, answer, meaning, then]| format!("{n} {times}  {lane}  {answer}\n        {meaning}: {then}"))
            .collect();
        out += &block(lang.pick("Worst answers", "目立った応答（重い順）"), &answers);
        out += &block(lang.pick("Pauses and other decisions", "一時停止などの決定"), &self.decision_lines(lang, zone));
        let mut table = Table::new(lang.pick(VERDICTS_EN, VERDICTS_JA), &[]);
        for lane in &self.lanes {
            let [verdict, day, quota] = lane.next(lang);
            table.row([lang.bucket(&lane.bucket), verdict, day, quota, lane.why(lang)]);
        }
        let note = self.unwritten(lang).map(|note| format!("    {note}\n")).unwrap_or_default();
        let head = lang.pick("Verdict for the next day", "翌日の判定");
        out + &format!("\n  {head}\n{note}{}", table.render("    "))
    }

    /// What is to be said where verdicts are not written yet.
    pub(super) fn unwritten(&self, lang: Lang) -> Option<&'static str> {
        if self.lanes.iter().all(|lane| lane.verdict.written) {
            return None;
        }
        Some(match self.finished {
            true => lang.pick(
                "Not written yet: the worker writes it when it begins the next plan day.",
                "未確定です。ワーカーが次の計画日を始めるときに確定します。",
            ),
            false => lang.pick(
                "As things stand: the plan day still runs.",
                "現時点の見込みです。計画日はまだ終わっていません。",
            ),
        })
    }

    /// Worst answers, cell by cell.
    pub(super) fn answer_rows(&self, lang: Lang) -> Vec<[String; 5]> {
        let row = |answer: &super::WorstAnswer| {
            let (reason, signal, action) = answer.words;
            let rule = answer.rule.as_ref();
            let meaning = match lang {
                Lang::En => {
                    let rule = rule.map(|rule| format!(", rule {rule}")).unwrap_or_default();
                    format!("{} ({}{rule})", answer.meaning, lang.signal(signal))
                }
                Lang::Ja => {
                    let rule = rule.map(|rule| format!("、ルール {rule}")).unwrap_or_default();
                    format!("{}（{}{rule}）", lang.reason(reason), lang.signal(signal))
                }
            };
            [
                number(answer.n),
                lang.bucket(&answer.lane.bucket),
                format!("{}: {}", answer.stage, answer.example),
                meaning,
                lang.action(action).to_owned(),
            ]
        };
        self.answers.iter().map(row).collect()
    }

    /// Decisions of the day, one line each.
    pub(super) fn decision_lines(&self, lang: Lang, zone: &TimeZone) -> Vec<String> {
        let line = |decision: &crate::report::journal::Decision| {
            let about = match (&decision.about, lang) {
                (Some(about), _) => about.clone(),
                (None, Lang::En) => "everything".to_owned(),
                (None, Lang::Ja) => "全体".to_owned(),
            };
            let (before, after) = (lang.state(&decision.before), lang.state(&decision.after));
            let change = if before == after { after } else { format!("{before} -> {after}") };
            let because = lang.because(&decision.because);
            let why: String = because.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let (open, close) = lang.pick((" (by ", ")"), ("（", "）"));
            format!(
                "{}  {}  {about}: {change}; {why}{open}{}{close}",
                at(decision.at, zone),
                lang.decision(decision.kind),
                lang.by(&decision.by)
            )
        };
        self.decisions.iter().map(line).collect()
    }
}

fn block(head: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("\n  {head}\n{}", lines.concat())
}

impl DailyLane {
    /// Its figures, cell by cell.
    pub(super) fn cells(&self, lang: Lang) -> [String; 9] {
        let f = &self.figures;
        [
            lang.bucket(&self.bucket),
            self.warmup_day.to_string(),
            number(f.quota),
            number(f.spent),
            share(f),
            number(f.accepted),
            number(f.deferred),
            number(f.bounced),
            number(f.unknown),
        ]
    }

    fn returned(&self, lang: Lang) -> Option<String> {
        let back = came_back(&self.figures, lang);
        (!back.is_empty()).then(|| format!("{}: {back}", lang.bucket(&self.bucket)))
    }

    /// What follows: the verdict, the next warm-up day, the next quota.
    pub(super) fn next(&self, lang: Lang) -> [String; 3] {
        let v = &self.verdict;
        let change =
            |before: String, after: String| if before == after { after } else { format!("{before} -> {after}") };
        let day = change(v.before.to_string(), v.after.to_string());
        let quota = change(number(self.figures.quota), number(v.quota.into()));
        [lang.verdict(v.kind).to_owned(), day, quota]
    }

    /// Why, in the reader's language where the figures tell it.
    pub(super) fn why(&self, lang: Lang) -> String {
        let v = &self.verdict;
        let eased = match (self.eased < crate::core::lane::Ramp::WHOLE, lang) {
            (false, _) => String::new(),
            (true, Lang::En) => format!("; at last slowed to {} % of the plan's pace", self.eased / 10),
            (true, Lang::Ja) => format!("。最後のペースは計画の {} % に減速中", self.eased / 10),
        };
        let because = match lang {
            Lang::En => &v.because,
            Lang::Ja => v.because_ja.as_ref().unwrap_or(&v.because),
        };
        format!("{because}{eased}")
    }
}
