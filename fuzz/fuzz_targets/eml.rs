//! Owns the fuzzing of mails made elsewhere: any octets are a template or problems.
#![no_main]

use hikagen::compose::read_eml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_eml(bytes, "fuzz.eml");
});
