//! Owns the fuzzing of campaign files: any text is read or refused.
#![no_main]

use hikagen::config::campaign_file::read_campaign;
use hikagen::config::problem::render;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = render(&read_campaign(text, "fuzz.yaml", &TimeZone::UTC).problems, false);
});
