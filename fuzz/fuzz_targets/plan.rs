//! Owns the fuzzing of plans: any text is read or refused, and what was read prints to a plan that reads the same.
#![no_main]

use std::sync::LazyLock;

use hikagen::config::groups_file::Destinations;
use hikagen::config::plan_file::{read_plan, show_plan};
use hikagen::config::problem::render;
use libfuzzer_sys::fuzz_target;

static SHIPPED: LazyLock<Destinations> = LazyLock::new(Destinations::shipped);

fuzz_target!(|text: &str| {
    let read = read_plan(text, "fuzz.yaml", &SHIPPED.groups);
    let _ = render(&read.problems, false);
    if let Some(plan) = read.value {
        let shown = show_plan(&plan, &SHIPPED.groups);
        let again = read_plan(&shown, "shown.yaml", &SHIPPED.groups);
        let again = again.value.unwrap_or_else(|| panic!("{}\n{shown}", render(&again.problems, false)));
        assert_eq!(show_plan(&again, &SHIPPED.groups), shown);
    }
});
