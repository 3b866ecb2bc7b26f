//! Owns the chart of a forecast: what leaves on each plan day as bars, a colour per relay, and what still waits as a line.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Anchor, MARGIN, STEP, Svg, WIDTH, cut, room};
use crate::core::names::RelayName;
use crate::forecast::Forecast;
use crate::report::words::{at, count, number};

/// Height of the field in which the bars are drawn.
const FIELD: f64 = 320.0;

/// Most days that get a date below the axis.
const DATED: usize = 12;

/// Most pixels that a bar is wide.
const WIDEST: f64 = 40.0;

/// Draws `forecast`; `about` stands below its name. Times are of `zone`.
#[must_use]
pub fn forecast_chart(forecast: &Forecast, about: &[String], zone: &TimeZone) -> String {
    let mut svg = Svg::new("Forecast: messages per plan day");
    let most = WIDTH - 2.0 * MARGIN;
    svg.text((MARGIN, 36.0), "head", Anchor::Start, "Forecast");
    let mut y = 38.0;
    for line in about {
        y += STEP;
        svg.text((MARGIN, y), "faint", Anchor::Start, &cut(line, most));
    }
    let bottom = field(&mut svg, forecast, y + 2.0 * STEP);
    let mut y = bottom + 52.0;
    for (n, relay) in relays(forecast).into_iter().enumerate() {
        svg.bar((MARGIN, y - 11.0), (34.0, 12.0), Ok(n), relay.as_str());
        let leaves = forecast.days.iter().filter(|row| row.relay == *relay).map(|row| row.leaves).sum();
        svg.text(
            (MARGIN + 44.0, y),
            "",
            Anchor::Start,
            &cut(&format!("{relay}: {}", count(leaves, "message")), most - 44.0),
        );
        y += STEP;
    }
    svg.curve(&[(MARGIN, y - 4.5), (MARGIN + 34.0, y - 4.5)], None, "still waiting");
    svg.text(
        (MARGIN + 44.0, y),
        "",
        Anchor::Start,
        "still waiting at the end of the day, on a scale from nothing to all",
    );
    for c in &forecast.campaigns {
        y += STEP;
        let ends = c.ends.map_or_else(
            || format!("{} would remain", number(c.remaining)),
            |end| format!("ends {}", at(whole(end), zone)),
        );
        let line = format!("{}: {}, {ends}", c.campaign, count(c.waiting, "message"));
        svg.text((MARGIN, y), "faint", Anchor::Start, &cut(&line, most));
    }
    svg.finish(y + MARGIN)
}

fn relays(forecast: &Forecast) -> Vec<&RelayName> {
    let mut relays = Vec::new();
    for row in &forecast.days {
        if !relays.contains(&&row.relay) {
            relays.push(&row.relay);
        }
    }
    relays
}

/// Draws bars, line and axes from `top` on, and gives the place below them.
fn field(svg: &mut Svg, forecast: &Forecast, top: f64) -> f64 {
    let (relays, bottom, right) = (relays(forecast), top + FIELD, WIDTH - MARGIN);
    let days: Vec<Date> = forecast.days.iter().map(|row| row.day).collect::<BTreeSet<_>>().into_iter().collect();
    let mut sums: BTreeMap<(Date, &RelayName), u64> = BTreeMap::new();
    let mut ended: BTreeMap<Date, u64> = BTreeMap::new();
    for row in &forecast.days {
        *sums.entry((row.day, &row.relay)).or_default() += row.leaves;
        *ended.entry(row.day).or_default() += row.accepted + row.bounced;
    }
    let of_day = |day: &Date| relays.iter().filter_map(|relay| sums.get(&(*day, *relay))).sum::<u64>();
    let highest = nice(days.iter().map(of_day).max().unwrap_or(1).max(1));
    let left = MARGIN + room(&number(highest)) + 8.0;
    for part in 0..=4_u32 {
        let y = bottom - FIELD * f64::from(part) / 4.0;
        svg.rule((left, y), (right, y));
        svg.text((left - 8.0, y + 4.5), "faint", Anchor::End, &number(highest * u64::from(part) / 4));
    }
    let room_each = (right - left) / days.len().max(1) as f64;
    let wide = (room_each * 0.7).min(WIDEST);
    let every = days.len().div_ceil(DATED).max(1);
    let waiting: u64 = forecast.campaigns.iter().map(|c| c.waiting).sum();
    let (mut done, mut line) = (0, Vec::new());
    for (n, day) in days.iter().enumerate() {
        let middle = left + room_each * (n as f64 + 0.5);
        let mut y = bottom;
        for (colour, relay) in relays.iter().enumerate() {
            let leaves = sums.get(&(*day, *relay)).copied().unwrap_or(0);
            let high = FIELD * leaves as f64 / highest as f64;
            y -= high;
            svg.bar((middle - wide / 2.0, y), (wide, high), Ok(colour), &format!("{day} {relay}: {}", number(leaves)));
        }
        done += ended.get(day).copied().unwrap_or(0);
        let open = waiting.saturating_sub(done) as f64 / waiting.max(1) as f64;
        line.push((middle, bottom - FIELD * open));
        if n % every == 0 {
            svg.text((middle, bottom + 21.0), "faint", Anchor::Middle, &day.strftime("%m-%d").to_string());
        }
    }
    if !line.is_empty() {
        svg.curve(&line, None, "still waiting");
    }
    bottom
}

/// The minute in which a time lies.
fn whole(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(time)
}

/// The next number up that divides well.
fn nice(n: u64) -> u64 {
    let mut step = 4;
    loop {
        for times in [1, 2, 3, 5] {
            if step * times >= n {
                return step * times;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::nice;

    #[test]
    fn the_axis_ends_above_the_highest_bar() {
        for (n, up) in [(1, 4), (4, 4), (5, 8), (9, 12), (13, 20), (21, 40), (1_999, 2_000), (2_001, 4_000)] {
            assert_eq!(nice(n), up, "{n}");
        }
    }
}
