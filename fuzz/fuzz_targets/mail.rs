//! Owns the fuzzing of mail that came back: any octets report something bounded, or say why they report nothing.
#![no_main]

use hikagen::core::feedback::TEXT_MOST;
use hikagen::feedback::mail::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for heard in read(bytes).into_iter().flatten() {
        assert!(!heard.id.is_empty() && heard.id.len() <= 1_000);
        assert!(heard.said.text.chars().count() <= TEXT_MOST);
        assert!(heard.evidence.chars().count() <= 4_000);
        assert!(heard.clues.len() <= 1_000);
    }
});
