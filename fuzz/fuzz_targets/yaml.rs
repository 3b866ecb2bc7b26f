//! Owns the fuzzing of the YAML tree: any text is a tree, or problems with places in the text.
#![no_main]

use hikagen::config::problem::{Problems, SourceFile, render};
use hikagen::config::tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let problems = Problems::new(&SourceFile::new("fuzz.yaml", text));
    if let Some(root) = tree::parse(&problems) {
        let _ = root.shown();
    }
    let _ = render(&problems.into_vec(), false);
});
