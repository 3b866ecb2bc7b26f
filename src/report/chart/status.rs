//! Owns the chart of the plan day: for each lane what is spent of its quota.

use super::{Anchor, MARGIN, STEP, Svg, WIDTH, cut, room};
use crate::config::Config;
use crate::report::overview::{LaneView, Overview, RelayView};
use crate::report::words::{at, count, number};

/// Most room for the names of lanes.
const NAMES: f64 = 260.0;

/// Room for the figures behind a bar.
const FIGURES: f64 = 330.0;

/// From one lane to the next.
const ROW: f64 = 26.0;

/// The overview's lanes as a chart, times in `config`'s zone.
#[must_use]
pub fn status_chart(overview: &Overview, config: &Config) -> String {
    let mut svg = Svg::new("Lanes: spent of today's quota");
    let most = WIDTH - 2.0 * MARGIN;
    svg.text((MARGIN, 36.0), "head", Anchor::Start, "Spent of today's quota");
    let about = format!("{}, store {}", at(overview.at, &config.timezone), overview.store);
    svg.text((MARGIN, 58.0), "faint", Anchor::Start, &cut(&about, most));
    let mut y = 58.0;
    for pause in &overview.pauses {
        y += STEP;
        svg.text((MARGIN, y), "", Anchor::Start, &cut(&pause.text, most));
    }
    let names = overview.relays.iter().flat_map(|relay| &relay.lanes).map(|lane| room(bucket(lane)));
    let left = MARGIN + names.fold(60.0, f64::max).min(NAMES) + 12.0;
    for (n, relay) in overview.relays.iter().enumerate() {
        y = rows(&mut svg, relay, n, left, y + 2.0 * STEP);
    }
    svg.finish(y + MARGIN)
}

/// Draws a relay with its lanes from `y` down, and gives the last line's place.
fn rows(svg: &mut Svg, relay: &RelayView, colour: usize, left: f64, mut y: f64) -> f64 {
    let most = WIDTH - 2.0 * MARGIN;
    let head = format!("Relay {}, plan {}", relay.relay, relay.plan);
    svg.text((MARGIN, y), "", Anchor::Start, &cut(&head, most));
    for pause in &relay.pauses {
        y += STEP;
        svg.text((MARGIN, y), "faint", Anchor::Start, &cut(&pause.text, most));
    }
    if relay.lanes.is_empty() {
        y += STEP;
        svg.text((MARGIN, y), "faint", Anchor::Start, "no lane is in use yet");
    }
    let right = WIDTH - MARGIN - FIGURES;
    let top = y + 10.0;
    for lane in &relay.lanes {
        y += ROW;
        let spent = f64::from(lane.spent.min(lane.quota)) / f64::from(lane.quota.max(1));
        let hint = format!("{}: {}", lane.lane, figures(lane));
        svg.text((left - 12.0, y), "", Anchor::End, &cut(bucket(lane), left - 12.0 - MARGIN));
        svg.bar((left, y - 12.0), (right - left, 15.0), Err("track"), &hint);
        svg.bar((left, y - 12.0), ((right - left) * spent, 15.0), Ok(colour), &hint);
        svg.text((right + 12.0, y), "faint", Anchor::Start, &cut(&figures(lane), FIGURES - 12.0));
    }
    if !relay.lanes.is_empty() {
        for (share, word) in [(0.0, "0"), (0.5, "50 %"), (1.0, "100 %")] {
            let x = left + (right - left) * share;
            svg.rule((x, top), (x, y + 10.0));
            svg.text((x, y + 26.0), "faint", Anchor::Middle, word);
        }
        y += 26.0;
    }
    y
}

fn bucket(lane: &LaneView) -> &str {
    lane.lane.split_once('/').map_or(&*lane.lane, |(_, bucket)| bucket)
}

fn figures(lane: &LaneView) -> String {
    let (spent, quota) = (number(lane.spent.into()), number(lane.quota.into()));
    let waiting = lane.waiting.total();
    let waiting = if waiting > 0 { format!(", {} waiting", count(waiting, "message")) } else { String::new() };
    format!("{spent} of {quota}, day {}{waiting}", lane.warmup_day)
}
