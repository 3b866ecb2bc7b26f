//! Owns the daily report as one HTML page: to be opened, sent along or printed.
//!
//! Invariants: no script and nothing from outside; whatever others wrote is escaped.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::text::{
    ANSWERS_EN, ANSWERS_JA, CAMPAIGN_EN, CAMPAIGN_JA, LANES_EN, LANES_JA, VERDICTS_EN, VERDICTS_JA, came_back,
    none_of_campaigns, none_of_lanes, sentence, share,
};
use super::{Daily, DailyLane, DailyRelay, Figures, Lang};
use crate::core::lane::VerdictKind;
use crate::report::chart::{AnsweredChart, AnsweredLane, DaysChart, safe};
use crate::report::words::number;

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2126;--faint:#5d6771;--rule:#d8dde2;--good:#00794f;--wait:#8a6a00;--bad:#c2185b}\
@media(prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e8ebee;--faint:#a3adb7;--rule:#353c43;\
--good:#4fd1a0;--wait:#e3c04d;--bad:#ff86ad}}\
body{margin:0 auto;max-width:1008px;padding:24px;background:var(--paper);color:var(--ink);line-height:1.6;\
font:15px/1.6 system-ui,'Noto Sans JP','Noto Sans CJK JP','Hiragino Sans','Yu Gothic',IPAGothic,sans-serif}\
h1{font-size:24px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 4px;padding-top:12px;border-top:2px solid var(--rule)}\
h3{font-size:15px;margin:22px 0 6px}p{margin:4px 0}.faint{color:var(--faint)}\
.tiles{display:flex;flex-wrap:wrap;gap:8px;margin:18px 0}.tile{flex:1 1 120px;border:1px solid var(--rule);border-radius:6px;padding:8px 12px}\
.tile b{display:block;font-size:21px;font-variant-numeric:tabular-nums}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}\
th{text-align:left;font-weight:600;color:var(--faint);white-space:nowrap}\
th,td{padding:4px 14px 4px 0;border-bottom:1px solid var(--rule);vertical-align:top}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td:first-child{white-space:nowrap}\
code{font:13px ui-monospace,'Noto Sans Mono CJK JP',monospace;overflow-wrap:anywhere}\
.mark{font-weight:600;white-space:nowrap}.good{color:var(--good)}.wait{color:var(--wait)}.bad{color:var(--bad)}\
svg{max-width:100%;height:auto;display:block}ul{margin:4px 0;padding-left:20px}\
@media print{body{max-width:none;padding:0}h2,h3{break-after:avoid}tr,svg,.tile{break-inside:avoid}}";

impl Daily {
    /// As an HTML page, times in `zone`.
    #[must_use]
    pub fn html(&self, lang: Lang, zone: &TimeZone) -> String {
        let name = lang.pick("Hikagen daily report", "火加減 日報");
        let title = safe(&format!("{name}: {}", lang.date(self.day)));
        let mut out = format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p class=\"faint\">{}</p>\n",
            lang.tag(),
            safe(&self.standing(lang, zone))
        );
        out += &tiles(&self.total, lang);
        for relay in &self.relays {
            out += &relay.html(lang, zone);
        }
        let _ = writeln!(out, "<h2>{}</h2>", lang.pick("Campaigns", "キャンペーン"));
        let rows: Vec<Vec<String>> =
            self.campaign_rows(lang, zone).into_iter().map(|row| row.iter().map(|cell| safe(cell)).collect()).collect();
        if rows.is_empty() {
            let _ = writeln!(out, "<p>{}</p>", none_of_campaigns(lang));
        } else {
            out += &table(&capitals(lang.pick(CAMPAIGN_EN, CAMPAIGN_JA)), &[2, 3, 4, 5, 6], &rows);
        }
        if self.more_campaigns > 0 {
            let _ = writeln!(out, "<p class=\"faint\">{}</p>", safe(&self.more(lang)));
        }
        out + "</body>\n</html>\n"
    }
}

/// The day's sums, large.
fn tiles(f: &Figures, lang: Lang) -> String {
    let tiles = [
        (number(f.spent), lang.pick("handed over", "引き渡し")),
        (format!("{} %", f.spent * 100 / f.quota.max(1)), lang.pick("of the quota", "割当に対して")),
        (number(f.accepted), lang.pick("accepted", "受理")),
        (number(f.deferred), lang.pick("deferred", "一時拒否")),
        (number(f.bounced + f.bounced_later), lang.pick("bounced, also later", "バウンス（後日分を含む）")),
        (number(f.complaints), lang.pick("complained of", "苦情")),
    ];
    let tile = |(n, word): (String, &str)| format!("<div class=\"tile\"><b>{n}</b>{word}</div>");
    format!("<div class=\"tiles\">{}</div>\n", tiles.map(tile).concat())
}

/// Headings are in capitals in a terminal only.
fn capitals<const N: usize>(head: [&str; N]) -> Vec<String> {
    let one = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| format!("{first}{}", letters.as_str().to_lowercase()))
    };
    head.map(one).to_vec()
}

/// Cells are HTML already.
fn table(head: &[String], numbers: &[usize], rows: &[Vec<String>]) -> String {
    let class = |n: usize| if numbers.contains(&n) { " class=\"n\"" } else { "" };
    let line = |tag: &str, cells: &[String]| {
        let cells = cells.iter().enumerate().map(|(n, cell)| format!("<{tag}{}>{cell}</{tag}>", class(n)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = rows.iter().map(|row| line("td", row)).collect();
    format!("<div class=\"wide\"><table>\n<thead>{}</thead>\n<tbody>{body}</tbody>\n</table></div>\n", line("th", head))
}

fn list(head: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", safe(&line.replace(" -> ", " → ")))).collect();
    format!("<h3>{head}</h3>\n<ul>\n{items}</ul>\n")
}

impl DailyRelay {
    fn html(&self, lang: Lang, zone: &TimeZone) -> String {
        let mut out = format!(
            "<h2>{}</h2>\n<p class=\"faint\">{}</p>\n",
            safe(&self.heading(lang)),
            safe(&self.span(lang, zone))
        );
        if self.lanes.is_empty() {
            return out + &format!("<p>{}</p>\n", none_of_lanes(lang));
        }
        let _ = writeln!(out, "<p>{}</p>", safe(&sentence(&self.total, lang)));
        let _ = writeln!(out, "<h3>{}</h3>", lang.pick("Verdict for the next day", "翌日の判定"));
        out += &self.verdict_table(lang);
        out += &self.answered(lang).draw();
        out += &self.lane_table(lang);
        if self.history.len() > 1 {
            out += &self.days(lang).draw(number);
        }
        let answers = self.answer_rows(lang);
        if !answers.is_empty() {
            let _ = writeln!(out, "<h3>{}</h3>", lang.pick("Worst answers", "目立った応答（重い順）"));
            let row = |[n, lane, answer, meaning, then]: [String; 5]| {
                vec![n, safe(&lane), format!("<code>{}</code>", safe(&answer)), safe(&meaning), safe(&then)]
            };
            let rows: Vec<Vec<String>> = answers.into_iter().map(row).collect();
            out += &table(&capitals(lang.pick(ANSWERS_EN, ANSWERS_JA)), &[0], &rows);
        }
        out + &list(lang.pick("Pauses and other decisions", "一時停止などの決定"), &self.decision_lines(lang, zone))
    }

    fn lane_table(&self, lang: Lang) -> String {
        let mut head = capitals(lang.pick(LANES_EN, LANES_JA));
        head.push(lang.pick("Came back", "リレーの先から").to_owned());
        let row = |lane: &DailyLane| {
            let back = came_back(&lane.figures, lang);
            let mut cells: Vec<String> = lane.cells(lang).iter().map(|cell| safe(cell)).collect();
            cells.push(if back.is_empty() { "-".to_owned() } else { safe(&back) });
            cells
        };
        let rows: Vec<Vec<String>> = self.lanes.iter().map(row).collect();
        table(&head, &[1, 2, 3, 4, 5, 6, 7, 8], &rows)
    }

    fn verdict_table(&self, lang: Lang) -> String {
        let head = capitals(lang.pick(VERDICTS_EN, VERDICTS_JA));
        let row = |lane: &DailyLane| {
            let mark = match lane.verdict.kind {
                VerdictKind::Advance => "good",
                VerdictKind::Hold | VerdictKind::NoVerdict => "wait",
                VerdictKind::StepBack | VerdictKind::Stop => "bad",
            };
            let [verdict, day, quota] = lane.next(lang).map(|cell| safe(&cell.replace("->", "→")));
            let verdict = format!("<span class=\"mark {mark}\">{verdict}</span>");
            vec![safe(&lang.bucket(&lane.bucket)), verdict, day, quota, safe(&lane.why(lang))]
        };
        let rows: Vec<Vec<String>> = self.lanes.iter().map(row).collect();
        let note = self.unwritten(lang).map(|note| format!("<p class=\"faint\">{note}</p>\n")).unwrap_or_default();
        note + &table(&head, &[2, 3], &rows)
    }

    fn answered(&self, lang: Lang) -> AnsweredChart {
        let lane = |lane: &DailyLane| {
            let f = &lane.figures;
            let (spent, quota) = (number(f.spent), number(f.quota));
            AnsweredLane {
                name: lang.bucket(&lane.bucket),
                quota: f.quota,
                spent: f.spent,
                parts: [f.accepted, f.deferred, f.bounced],
                figures: lang.pick(
                    format!("{spent} of {quota} ({})", share(f)),
                    format!("{quota} 通中 {spent} 通（{}）", share(f)),
                ),
            }
        };
        let legend = lang.pick(
            ["accepted", "deferred", "bounced", "not answered yet"],
            ["受理", "一時拒否", "バウンス", "応答待ち"],
        );
        AnsweredChart {
            title: lang.pick("How the quota was used", "割当の使われ方").to_owned(),
            legend: legend.map(str::to_owned),
            lanes: self.lanes.iter().map(lane).collect(),
        }
    }

    fn days(&self, lang: Lang) -> DaysChart {
        let form = lang.pick("%-d %b", "%-m/%-d");
        DaysChart {
            title: lang.pick("Quota and handovers, day by day", "割当と引き渡しの推移").to_owned(),
            legend: lang.pick(["quota", "handed over"], ["割当", "引き渡し"]).map(str::to_owned),
            days: self.history.iter().map(|day| (day.day.strftime(form).to_string(), day.quota, day.spent)).collect(),
        }
    }
}
