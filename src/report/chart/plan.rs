//! Owns the chart of a plan: a line per curve over the warm-up days, and their sum.

use super::{Anchor, MARGIN, STEP, Svg, WIDTH, cut, lines, room};
use crate::report::words::number;

/// Height of the field in which the lines are drawn.
const FIELD: f64 = 380.0;

/// Most days that get a number below the axis.
const NUMBERED: usize = 20;

/// A plan's curves over its days.
#[derive(Debug, Clone)]
pub struct PlanChart {
    /// The plan's name.
    pub plan: String,
    /// What stands below the name: the file, the zone.
    pub about: String,
    /// Curves, each over the same days from day 1 on.
    pub curves: Vec<Line>,
    /// Messages of all lanes, for each day.
    pub total: Vec<u64>,
}

/// One curve.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Who follows it.
    pub followers: String,
    /// Messages on each day; none is zero.
    pub volumes: Vec<u32>,
}

/// Where days and volumes lie in the field. Volumes are on a logarithmic scale: a warm-up grows by factors.
struct Scale {
    left: f64,
    top: f64,
    days: usize,
    low: f64,
    high: f64,
}

impl Scale {
    fn day(&self, n: usize) -> f64 {
        let right = WIDTH - MARGIN;
        let span = (self.days.max(2) - 1) as f64;
        let n = if self.days == 1 { 0.5 } else { n as f64 };
        self.left + (right - self.left) * n / span
    }

    fn volume(&self, volume: f64) -> f64 {
        self.top + FIELD * (self.high - volume.log10()) / (self.high - self.low)
    }

    fn points(&self, volumes: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
        volumes.enumerate().map(|(n, volume)| (self.day(n), self.volume(volume.max(1.0)))).collect()
    }
}

impl PlanChart {
    /// The chart.
    #[must_use]
    pub fn draw(&self) -> String {
        let mut svg = Svg::new(&format!("Plan {}: messages per warm-up day", self.plan));
        let most = WIDTH - 2.0 * MARGIN;
        svg.text((MARGIN, 36.0), "head", Anchor::Start, &cut(&format!("Plan {}", self.plan), most * 0.7));
        svg.text((MARGIN, 58.0), "faint", Anchor::Start, &cut(&self.about, most));
        let scale = self.scale();
        self.axes(&mut svg, &scale);
        svg.curve(&scale.points(self.total.iter().map(|n| *n as f64)), None, "all lanes");
        for (n, line) in self.curves.iter().enumerate() {
            let points = scale.points(line.volumes.iter().map(|volume| f64::from(*volume)));
            svg.curve(&points, Some(n), &format!("{}: {}", line.name, ends(&line.volumes)));
        }
        let bottom = self.legend(&mut svg, scale.top + FIELD + 72.0);
        svg.finish(bottom + MARGIN)
    }

    fn scale(&self) -> Scale {
        let lowest = self.curves.iter().flat_map(|line| &line.volumes).copied().min().unwrap_or(1).max(1);
        let highest = self.total.iter().copied().max().unwrap_or(10).max(10);
        let (low, high) = (f64::from(lowest).log10().floor(), (highest as f64).log10().ceil());
        let high = high.max(low + 1.0);
        let widest = room(&number(10_u64.saturating_pow(decade(high))));
        Scale { left: MARGIN + widest + 8.0, top: 84.0, days: self.total.len().max(1), low, high }
    }

    fn axes(&self, svg: &mut Svg, scale: &Scale) {
        let (right, bottom) = (WIDTH - MARGIN, scale.top + FIELD);
        for power in decade(scale.low)..=decade(scale.high) {
            let volume = 10_u64.saturating_pow(power);
            let y = scale.volume(volume as f64);
            svg.rule((scale.left, y), (right, y));
            svg.text((scale.left - 8.0, y + 4.5), "faint", Anchor::End, &number(volume));
        }
        let step = [1, 2, 5, 7, 10, 20, 50, 100].into_iter().find(|step| scale.days / step <= NUMBERED).unwrap_or(200);
        for n in (0..scale.days).filter(|n| n % step == 0) {
            svg.rule((scale.day(n), bottom), (scale.day(n), bottom + 5.0));
            svg.text((scale.day(n), bottom + 21.0), "faint", Anchor::Middle, &(n + 1).to_string());
        }
        let middle = (scale.left + right) / 2.0;
        svg.text((middle, bottom + 44.0), "faint", Anchor::Middle, "warm-up day (messages per lane, logarithmic)");
    }

    /// Draws what each line is, and gives the place below it.
    fn legend(&self, svg: &mut Svg, mut y: f64) -> f64 {
        let (key, text) = (MARGIN + 34.0, MARGIN + 44.0);
        let most = WIDTH - MARGIN - text;
        let total: Vec<u32> = self.total.iter().map(|n| u32::try_from(*n).unwrap_or(u32::MAX)).collect();
        svg.curve(&[(MARGIN, y - 4.5), (key, y - 4.5)], None, "all lanes");
        svg.text((text, y), "", Anchor::Start, &cut(&format!("all lanes: {}", ends(&total)), most));
        y += STEP;
        for (n, line) in self.curves.iter().enumerate() {
            svg.curve(&[(MARGIN, y - 4.5), (key, y - 4.5)], Some(n), &line.name);
            svg.text((text, y), "", Anchor::Start, &cut(&format!("{}: {}", line.name, ends(&line.volumes)), most));
            y += STEP;
            if line.followers != line.name {
                for row in lines(&line.followers, most) {
                    svg.text((text, y), "faint", Anchor::Start, &row);
                    y += STEP;
                }
            }
        }
        y - STEP
    }
}

/// The power of ten, from its logarithm.
fn decade(power: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a logarithm of a u64, at least 0")]
    let power = power as u32;
    power
}

/// `50 to 20,000`, or the one volume.
fn ends(volumes: &[u32]) -> String {
    let shown = |volume: Option<&u32>| number(volume.copied().unwrap_or_default().into());
    match (volumes.first(), volumes.last()) {
        (first, last) if first == last => shown(first),
        (first, last) => format!("{} to {}", shown(first), shown(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(curves: &[(&str, &[u32])]) -> PlanChart {
        let days = curves.iter().map(|(_, volumes)| volumes.len()).max().unwrap_or(0);
        let total = |day: usize| curves.iter().map(|(_, volumes)| u64::from(volumes[day])).sum();
        PlanChart {
            plan: "spring".to_owned(),
            about: "plan.yaml".to_owned(),
            curves: curves
                .iter()
                .map(|(name, volumes)| Line {
                    name: (*name).to_owned(),
                    followers: (*name).to_owned(),
                    volumes: volumes.to_vec(),
                })
                .collect(),
            total: (0..days).map(total).collect(),
        }
    }

    #[test]
    fn a_volume_ten_times_as_large_lies_a_decade_higher() {
        let chart = chart(&[("docomo", &[50, 500, 5_000])]);
        let scale = chart.scale();
        let decade = scale.volume(50.0) - scale.volume(500.0);
        assert!((decade - (scale.volume(500.0) - scale.volume(5_000.0))).abs() < 0.01);
        assert!((scale.top..=scale.top + FIELD).contains(&scale.volume(5_000.0)));
        let svg = chart.draw();
        assert!(svg.contains(">10,000</text>") && svg.contains("docomo: 50 to 5,000"), "{svg}");
        assert_eq!(svg.matches("class=\"curve\"").count(), 2, "the line and its key");
    }

    #[test]
    fn plans_of_one_day_and_of_a_thousand_are_drawn() {
        let flat = chart(&[("docomo", &[1]), ("default", &[4_000_000_000])]);
        assert!(flat.draw().contains("h0.1"), "a day alone is a dot");
        let days: Vec<u32> = (1..=1_000).collect();
        let long = chart(&[("docomo", &days)]).draw();
        assert!(long.matches("text-anchor=\"middle\"").count() < 25, "not every day has a number");
        assert!(!chart(&[]).draw().contains("NaN"));
    }
}
