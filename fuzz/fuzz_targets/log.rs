//! Owns the fuzzing of a relay's log: any octets are lines, each of which says something bounded or nothing.
#![no_main]

use hikagen::core::feedback::TEXT_MOST;
use hikagen::feedback::log::read_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let now = Timestamp::new(1_795_000_000, 0).expect("a time");
    for heard in read_all(bytes, TimeZone::UTC, now).flat_map(|piece| piece.expect("nothing fails to be read")) {
        assert!(!heard.id.is_empty() && heard.id.len() <= 1_000);
        assert!(heard.said.text.chars().count() <= TEXT_MOST);
        assert!(heard.evidence.chars().count() <= 4_000);
    }
});
