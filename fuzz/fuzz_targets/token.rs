//! Owns the fuzzing of tokens: what was not signed is nobody's; what is taken is the token that would be made, in any case.
#![no_main]

use std::sync::LazyLock;

use hikagen::compose::Tokens;
use libfuzzer_sys::fuzz_target;

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| Tokens::new(&[7; 32]));

fuzz_target!(|text: &str| {
    if let Some(message) = TOKENS.verify(text) {
        assert_eq!(TOKENS.token(message), text.to_ascii_lowercase());
    }
});
