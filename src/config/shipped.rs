//! Owns the plans that come with the program: `plans/steady.yaml` and `plans/japan-28.yaml`, built in.
//!
//! Invariant: a plan's name is its file's name; each reads without a problem, which a test keeps.

/// Names and texts of the shipped plans.
const PLANS: [(&str, &str); 2] =
    [("japan-28", include_str!("../../plans/japan-28.yaml")), ("steady", include_str!("../../plans/steady.yaml"))];

/// The text of the shipped plan of this name.
#[must_use]
pub fn shipped_plan(name: &str) -> Option<&'static str> {
    PLANS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names of the shipped plans.
pub fn shipped_plan_names() -> impl Iterator<Item = &'static str> {
    PLANS.iter().map(|(name, _)| *name)
}
