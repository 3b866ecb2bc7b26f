//! Owns the charts of the daily report: how each lane's quota was answered, and the days until then.

use super::{Anchor, MARGIN, STEP, Svg, WIDTH, cut, room};

/// Most room for the names of lanes.
const NAMES: f64 = 260.0;
/// Room for the figures behind a bar.
const FIGURES: f64 = 250.0;
/// From one lane to the next.
const ROW: f64 = 26.0;
/// Height of the field of days.
const FIELD: f64 = 150.0;

/// Parts of a lane's quota, each with its colour.
const PARTS: [usize; 3] = [2, 4, 6];
/// What was handed over and is not answered.
const UNANSWERED: usize = 7;

/// One lane.
#[derive(Debug, Clone)]
pub struct AnsweredLane {
    /// Its name.
    pub name: String,
    /// Its quota.
    pub quota: u64,
    /// Handed over.
    pub spent: u64,
    /// Accepted, deferred, bounced.
    pub parts: [u64; 3],
    /// What stands behind its bar.
    pub figures: String,
}

/// Lanes with how their quotas were answered.
#[derive(Debug, Clone)]
pub struct AnsweredChart {
    /// What it shows.
    pub title: String,
    /// What the parts are: accepted, deferred, bounced, not answered yet.
    pub legend: [String; 4],
    /// The lanes.
    pub lanes: Vec<AnsweredLane>,
}

impl AnsweredChart {
    /// The chart.
    #[must_use]
    pub fn draw(&self) -> String {
        let mut svg = Svg::new(&self.title);
        svg.text((MARGIN, 30.0), "", Anchor::Start, &cut(&self.title, WIDTH - 2.0 * MARGIN));
        legend(&mut svg, &self.legend, 54.0);
        let names = self.lanes.iter().map(|lane| room(&lane.name)).fold(60.0, f64::max).min(NAMES);
        let (left, right) = (MARGIN + names + 12.0, WIDTH - MARGIN - FIGURES);
        let (top, mut y) = (66.0, 62.0);
        for lane in &self.lanes {
            y += ROW;
            let hint = format!("{}: {}", lane.name, lane.figures);
            svg.text((left - 12.0, y), "", Anchor::End, &cut(&lane.name, names));
            svg.bar((left, y - 12.0), (right - left, 15.0), Err("track"), &hint);
            let mut x = left;
            let answered: u64 = lane.parts.iter().sum();
            let rest = (lane.spent.saturating_sub(answered), UNANSWERED);
            for (n, colour) in lane.parts.into_iter().zip(PARTS).chain([rest]).filter(|(n, _)| *n > 0) {
                let wide = (right - left) * (n as f64 / lane.quota.max(1) as f64).min(1.0);
                let wide = wide.max(1.5).min(right - x);
                svg.bar((x, y - 12.0), (wide.max(0.0), 15.0), Ok(colour), &hint);
                x += wide;
            }
            svg.text((right + 12.0, y), "faint", Anchor::Start, &cut(&lane.figures, FIGURES - 12.0));
        }
        for (share, word) in [(0.0, "0"), (0.5, "50 %"), (1.0, "100 %")] {
            let x = left + (right - left) * share;
            svg.rule((x, top), (x, y + 10.0));
            svg.text((x, y + 26.0), "faint", Anchor::Middle, word);
        }
        svg.finish(y + 26.0 + MARGIN / 2.0)
    }
}

fn legend(svg: &mut Svg, words: &[String; 4], y: f64) {
    let mut x = MARGIN;
    for (word, colour) in words.iter().zip(PARTS.into_iter().chain([UNANSWERED])) {
        svg.bar((x, y - 11.0), (13.0, 13.0), Ok(colour), word);
        svg.text((x + 19.0, y), "faint", Anchor::Start, word);
        x += 19.0 + room(word) + 22.0;
    }
}

/// Quotas and handovers over days.
#[derive(Debug, Clone)]
pub struct DaysChart {
    /// What it shows.
    pub title: String,
    /// The words for quota and handed over.
    pub legend: [String; 2],
    /// The days, oldest first: name, quota, handed over.
    pub days: Vec<(String, u64, u64)>,
}

impl DaysChart {
    /// The chart; `number` writes a figure.
    #[must_use]
    pub fn draw(&self, number: impl Fn(u64) -> String) -> String {
        let mut svg = Svg::new(&self.title);
        svg.text((MARGIN, 30.0), "", Anchor::Start, &cut(&self.title, WIDTH - 2.0 * MARGIN));
        let mut x = MARGIN;
        for (word, fill) in self.legend.iter().zip([Err("track"), Ok(0)]) {
            svg.bar((x, 43.0), (13.0, 13.0), fill, word);
            svg.text((x + 19.0, 54.0), "faint", Anchor::Start, word);
            x += 19.0 + room(word) + 22.0;
        }
        let (top, bottom) = (66.0 + STEP, 66.0 + STEP + FIELD);
        let most = self.days.iter().map(|(_, quota, spent)| *quota.max(spent)).max().unwrap_or(1).max(1) as f64;
        let wide = (WIDTH - 2.0 * MARGIN) / self.days.len().max(7) as f64;
        for (n, (name, quota, spent)) in self.days.iter().enumerate() {
            let x = MARGIN + wide * n as f64;
            let high = |n: u64| FIELD * n as f64 / most;
            let hint = format!("{name}: {} {}, {} {}", self.legend[0], number(*quota), self.legend[1], number(*spent));
            svg.bar((x + 4.0, bottom - high(*quota)), (wide - 8.0, high(*quota)), Err("track"), &hint);
            svg.bar((x + 10.0, bottom - high(*spent)), (wide - 20.0, high(*spent)), Ok(0), &hint);
            let label_at = bottom - high(*quota).max(high(*spent)) - 5.0;
            svg.text((x + wide / 2.0, label_at.max(top - 5.0)), "faint", Anchor::Middle, &cut(&number(*spent), wide));
            svg.text((x + wide / 2.0, bottom + 18.0), "faint", Anchor::Middle, &cut(name, wide));
        }
        svg.rule((MARGIN, bottom), (WIDTH - MARGIN, bottom));
        svg.finish(bottom + 18.0 + MARGIN / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_within_the_quota_and_nothing_is_drawn_from_nothing() {
        let lane = |quota, spent, parts| AnsweredLane {
            name: "docomo".to_owned(),
            quota,
            spent,
            parts,
            figures: "5 of 10".to_owned(),
        };
        let words = ["accepted", "deferred", "bounced", "unanswered"].map(str::to_owned);
        let lanes = vec![lane(10, 10, [5, 3, 1]), lane(0, 0, [0, 0, 0]), lane(10, 30, [30, 0, 0])];
        let svg = AnsweredChart { title: "t".to_owned(), legend: words, lanes }.draw();
        for width in svg.split("width=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok()) {
            assert!((0.0..=WIDTH).contains(&width), "{svg}");
        }
        assert!(!svg.contains("NaN"));
        let days = DaysChart { title: "t".to_owned(), legend: ["q".to_owned(), "s".to_owned()], days: Vec::new() };
        assert!(!days.draw(|n| n.to_string()).contains("NaN"));
    }
}
