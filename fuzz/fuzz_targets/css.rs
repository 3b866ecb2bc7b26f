//! Owns the fuzzing of style sheets that are put into the HTML part.
#![no_main]

use hikagen::compose::inline_css;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|html: &str| {
    let _ = inline_css(html);
});
