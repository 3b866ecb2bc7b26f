//! Owns the fuzzing of destination groups and reply rules: any text is read or refused.
#![no_main]

use std::sync::LazyLock;

use hikagen::config::groups_file::{Destinations, read_destinations};
use hikagen::config::problem::{SourceFile, render};
use libfuzzer_sys::fuzz_target;

static SHIPPED: LazyLock<Destinations> = LazyLock::new(Destinations::shipped);

fuzz_target!(|text: &str| {
    let read = read_destinations(&SourceFile::new("fuzz.yaml", text), SHIPPED.clone());
    let _ = render(&read.problems, false);
});
