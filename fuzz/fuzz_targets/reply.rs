//! Owns the fuzzing of what relays answer: any octets are replies, wait for more, or are no SMTP.
#![no_main]

use hikagen::relay::smtp::read_replies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(count) = read_replies(bytes) {
        // "250\r\n" is the shortest.
        assert!(count <= bytes.len() / 5);
    }
});
