//! Owns the keys of a plan file. Read by `config::plan_file`.

use super::Shape::{Either, Few, Flag, List, Map, Scalar, Shipped, Word};
use super::forms::*;
use super::{Key, Names, Shape, Table};
use crate::config::curves::preset_names;
use crate::config::groups_file::Destinations;

/// The file.
pub static PLAN: Table = Table::new(
    "plan",
    &[&[
        Key::new("plan", Scalar(&NAME), "The plan's name.").required(),
        Key::new("timezone", Scalar(&ZONE), "The zone of all hours and dates of this plan, and of its plan days.")
            .required(),
        Key::new("day_starts", Scalar(&TIME), "When a plan day begins, local time. No window may cross it.")
            .or("\"00:00\""),
        Key::new("advance", Map(&ADVANCE), "The gate between two warm-up days: what a plan day must come to."),
        Key::new(
            "defaults",
            Map(&DEFAULTS),
            "Settings of every group that does not say otherwise; the stricter of these and the destination group's own holds.",
        ),
        Key::new(
            "groups",
            Shape::Names(&ENTRIES),
            "One entry per destination group. `default` holds for every group that the plan does not name.",
        )
        .required(),
    ]],
)
.together(
    r#"{ "allOf": [{ "properties": { "groups": { "properties": { "default": {
         "anyOf": [{ "required": ["curve"] }, { "required": ["like"] }] } } } } }] }"#,
);

/// The gate.
pub static ADVANCE: Table = Table::new(
    "advance",
    &[&[
        Key::new("filled", Scalar(&PART), "A day counts when this much of the quota was handed over.").or("70%"),
        Key::new(
            "emptied",
            Scalar(&PART),
            "A day counts, too, when the backlog was empty after this much of the quota.",
        )
        .or("50%"),
        Key::new(
            "sample",
            Scalar(&COUNT),
            "Fewest answered messages for a verdict by shares (at most half the quota).",
        )
        .or("200"),
        Key::new("deferrals", Scalar(&PART), "Below: advance. Messages whose last answer of the day was a deferral.").or("5%"),
        Key::new("bounces", Scalar(&PART), "Below: advance. Messages that were refused for good.").or("2%"),
        Key::new("unknown_users", Scalar(&PART), "Below: advance. Messages to addresses that do not exist.").or("1%"),
        Key::new("complaints", Scalar(&PART), "Below: advance. Complaints per accepted message, where they are known.")
            .or("0.1%"),
        Key::new("hold", Map(&HOLD), "Up to these shares the warm-up day stays; above, the lane steps back one rung."),
        Key::new("hold_from", Scalar(&COUNT), "Fewest such messages for a hold; fewer are written down and change nothing.")
            .or("3"),
        Key::new("step_back_from", Scalar(&COUNT), "Fewest such messages for a step back.").or("5"),
        Key::new("idle_days", Scalar(&COUNT), "Days without a handover from which each day is one rung back.").or("7"),
        Key::new(
            "restart_days",
            Scalar(&COUNT),
            "Days without a handover after which a lane starts again at the lower of four times its first day and a quarter of its peak.",
        )
        .or("30"),
        Key::new(
            "blind",
            Word(&["advance", "hold"]),
            "What a lane does about whose mail nothing is heard beyond its relay: advance by volume, or hold.",
        )
        .or("advance"),
        Key::new("blind_growth", Scalar(&SHARE), "Most that the quota of such a lane grows in a day; 100% is no growth.")
            .or("150%"),
    ]],
);

/// `hold` of the gate.
pub static HOLD: Table = Table::new(
    "hold",
    &[&[
        Key::new("deferrals", Scalar(&PART), "Messages whose last answer of the day was a deferral.").or("10%"),
        Key::new("bounces", Scalar(&PART), "Messages that were refused for good.").or("5%"),
        Key::new("unknown_users", Scalar(&PART), "Messages to addresses that do not exist.").or("3%"),
        Key::new("complaints", Scalar(&PART), "Complaints per accepted message.").or("0.3%"),
    ]],
);

/// Slowing down within the day.
pub static THROTTLING: Table = Table::new(
    "throttling",
    &[&[
        Key::new("down", Scalar(&PART), "What is left of the pace at each step down.").or("50%"),
        Key::new("up", Scalar(&PART), "What of the plan's pace comes back at each step up.").or("10%"),
        Key::new("floor", Scalar(&PART), "Never slower than this share of the plan's pace.").or("10%"),
        Key::new("ceiling", Scalar(&PART), "Never faster than this share of it.").or("100%"),
        Key::new("sample", Scalar(&COUNT), "Answers before a share of them counts (at most a tenth of the quota).")
            .or("20"),
        Key::new("deferrals", Scalar(&PART), "Deferrals among the last answers from which the lane slows down.")
            .or("10%"),
        Key::new("interval", Scalar(&SPAN), "One change in this time, at most 24h.").or("5m"),
    ]],
);

const CURVE_PART: &[Key] = &[
    Key::new(
        "curve",
        CURVE,
        "Messages per warm-up day: a list, { start, grow, up_to }, or a published curve as { preset, scale, up_to }.",
    ),
    Key::new("then", Map(&THEN), "What follows a listed curve's end; without it the last value stays."),
    Key::new("like", Scalar(&NAME), "Another group of this plan, whose entry is copied as written."),
    Key::new("scale", Scalar(&SHARE), "The curve, `then` included, times this share; each day at least 1."),
    Key::new("up_to", Scalar(&COUNT), "Most messages on any day, after `scale`."),
];

const SETTINGS: &[Key] = &[
    Key::new("rate", Scalar(&RATE), "Pace inside the day, such as 30/min or 5/s. Default: the destination group's."),
    Key::new("burst", Scalar(&COUNT), "Messages at once. Default: the larger of 2 and 50 ms of the rate."),
    Key::new("per_hour", Scalar(&COUNT), "Most messages in any rolling 60 minutes. Default: no such limit."),
    Key::new("connections", Scalar(&COUNT), "Connections at once. Default: the destination group's."),
    Key::new(
        "messages_per_connection",
        Scalar(&COUNT),
        "Messages before a connection is given up. Default: the destination group's, else the relay's.",
    ),
    Key::new(
        "window",
        WINDOW,
        "Hours in which normal and bulk mail may leave: \"08:00-21:00\", a list, or per weekday. Default: all day.",
    ),
    Key::new("avoid", Map(&AVOID), "Minutes of the hour, dates and holidays at which nothing leaves."),
    Key::new(
        "spread",
        Word(&["even", "asap"]),
        "even: over what is left of the window; asap: as fast as the rate allows. Default: even.",
    ),
    Key::new(
        "jitter",
        Either(&[Word(&["none"]), Scalar(&PART)]),
        "How far a release may move within its interval; none is exactly even. Default: 20% with spread even.",
    ),
    Key::new(
        "transactional",
        Map(&TRANSACTIONAL),
        "What binds transactional mail, which obeys neither window nor avoid.",
    ),
    Key::new(
        "cooldown",
        Scalar(&SPAN),
        "Pause after a block, at most 24h; it doubles with each further one. Default: the destination group's, else 30m.",
    ),
    Key::new("advance", Map(&ADVANCE), "The gate where it differs from the plan's; each figure by itself."),
    Key::new("throttling", Map(&THROTTLING), "How a lane slows down within the day and climbs back."),
    Key::new(
        "unknown_budget",
        Scalar(&PART),
        "Most unknown users among the messages answered on a day: the lane stops before, and names the list. Default: 3%.",
    ),
];

/// An entry of `groups`.
pub static ENTRY: Table = Table::new("entry", &[CURVE_PART, SETTINGS]).together(
    r#"{ "if": { "not": { "anyOf": [{ "required": ["curve"] }, { "required": ["like"] }] } },
         "then": { "not": { "anyOf": [{ "required": ["then"] }, { "required": ["scale"] }, { "required": ["up_to"] }] } } }"#,
);

/// `defaults`.
pub static DEFAULTS: Table = Table::new("defaults", &[SETTINGS]);

static ENTRIES: Names = Names {
    name: &NAME,
    of: Map(&ENTRY),
    least: 1,
    required: &["default"],
    offered: || Destinations::shipped().groups.iter().map(|group| group.name.to_string()).collect(),
};

const CURVE: Shape = Either(&[List(&Scalar(&COUNT), 1, 1_000), Map(&GROWING), Map(&PUBLISHED)]);

/// A curve that grows by a factor.
pub static GROWING: Table = Table::new(
    "growing-curve",
    &[&[
        Key::new("start", Scalar(&COUNT), "Messages on day 1.").required(),
        Key::new("grow", Scalar(&GROWTH), "Factor per day: 1.15 is 15 % more each day.").required(),
        Key::new("up_to", Scalar(&COUNT), "Most messages on any day, after `scale`."),
        Key::new("scale", Scalar(&SHARE), "The curve times this share; each day at least 1."),
    ]],
);

/// A published curve.
pub static PUBLISHED: Table = Table::new(
    "published-curve",
    &[&[
        Key::new("preset", Shipped(presets), "A published curve; `hikagen plan curves` lists them with their sources.")
            .required(),
        Key::new("scale", Scalar(&SHARE), "The curve times this share; each day at least 1."),
        Key::new("up_to", Scalar(&COUNT), "Most messages on any day, after `scale`."),
    ]],
);

fn presets() -> Vec<String> {
    preset_names().map(str::to_owned).collect()
}

/// `then`.
pub static THEN: Table = Table::new(
    "then",
    &[&[
        Key::new("grow", Scalar(&GROWTH), "Factor per day: 1.15 is 15 % more each day.").required(),
        Key::new("up_to", Scalar(&COUNT), "Most messages on any day."),
    ]],
);

const RANGES: Shape = Either(&[Scalar(&HOURS), List(&Scalar(&HOURS), 1, usize::MAX)]);
const WINDOW: Shape = Either(&[Scalar(&HOURS), List(&Scalar(&HOURS), 1, usize::MAX), Shape::Names(&WEEK)]);

static WEEK: Names = Names {
    name: &WEEKDAYS,
    of: RANGES,
    least: 1,
    required: &[],
    offered: || ["mon-fri", "sat-sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(str::to_owned).to_vec(),
};

/// `avoid`.
pub static AVOID: Table = Table::new(
    "avoid",
    &[&[
        Key::new("minutes", Few(&Scalar(&MINUTES)), "Minutes of every hour, both ends included: \"00-02\", \"58-02\"."),
        Key::new("dates", Few(&Scalar(&ANY_DATE)), "Dates of every year (\"12-31\") or of one (\"2026-12-31\")."),
        Key::new(
            "holidays",
            Either(&[Word(&["japan", "none"]), Map(&HOLIDAYS)]),
            "japan: the public holidays of Japan; or a map with dates of one's own.",
        )
        .or("none"),
    ]],
);

/// `holidays` as a map.
pub static HOLIDAYS: Table = Table::new(
    "holidays",
    &[&[
        Key::new("japan", Flag, "The public holidays of Japan.").or("false"),
        Key::new("also", Few(&Scalar(&DATE)), "Further dates of one year."),
        Key::new("except", Few(&Scalar(&DATE)), "Dates that are no holidays all the same."),
    ]],
);

/// `transactional`.
pub static TRANSACTIONAL: Table = Table::new(
    "transactional",
    &[&[Key::new("window", WINDOW, "Hours in which transactional mail may leave.").required()]],
);
