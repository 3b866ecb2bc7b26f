//! Owns the rules on the shape of files: length, head, leftovers, words.

use std::path::Path;

use crate::source::{Source, files_below, words};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const HEAD_LINES: usize = 12;

/// What breaks a rule of shape in one file.
fn shape_problems(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        found.push(format!("{}: {lines} lines; at most {FILE_LINES}", source.path));
    }
    let head = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    if head == 0 {
        found.push(format!("{}: does not open with `//!` and what it owns", source.path));
    } else if head > HEAD_LINES && source.path != "lib.rs" {
        found.push(format!("{}: its head has {head} lines; at most {HEAD_LINES}", source.path));
    }
    for (name, line, lines) in source.functions() {
        if lines > FUNCTION_LINES {
            found.push(format!("{}:{line}: {name} has {lines} lines; at most {FUNCTION_LINES}", source.path));
        }
    }
    for leftover in ["dbg", "todo", "unimplemented"] {
        for at in words(&source.code, leftover) {
            if source.code[at + leftover.len()..].starts_with('!') {
                found.push(format!("{}:{}: {leftover}! is left over", source.path, source.line_of(at)));
            }
        }
    }
    for (n, line) in source.text.lines().enumerate() {
        for leftover in ["TODO", "FIXME", "XXX", "HACK"] {
            if !words(line, leftover).is_empty() {
                found.push(format!("{}:{}: {leftover} is left over", source.path, n + 1));
            }
        }
    }
    found
}

/// The parts of a name: `read_plan_file` and `ReadPlanFile` are read, plan, file.
fn parts(name: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut upper_before = true;
    for c in name.chars() {
        if c == '_' {
            out.push(String::new());
            continue;
        }
        if out.is_empty() || (c.is_uppercase() && !upper_before) {
            out.push(String::new());
        }
        upper_before = c.is_uppercase();
        out.last_mut().unwrap().extend(c.to_lowercase());
    }
    out.retain(|part| !part.is_empty());
    out
}

const NAMELESS: [&str; 9] = ["manager", "helper", "helpers", "util", "utils", "common", "types", "misc", "delivered"];

/// Names that say nothing, and texts that promise what nobody knows.
fn word_problems(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, kind, name) in source.definitions() {
        let parts = parts(&name);
        if let Some(word) = parts.iter().find(|part| NAMELESS.contains(&part.as_str())) {
            found.push(format!("{}:{line}: {kind} {name}: \"{word}\" says nothing of what it is", source.path));
        }
        // A method of a foreign trait has the name that the trait gives it.
        let foreign = ["get_value", "process_token"].contains(&name.as_str());
        if kind == "fn" && !foreign && parts.len() > 1 && ["get", "process"].contains(&parts[0].as_str()) {
            found.push(format!("{}:{line}: fn {name}: begins with \"{}_\"", source.path, parts[0]));
        }
    }
    for word in source.path.trim_end_matches(".rs").split(['/', '_']) {
        if NAMELESS.contains(&word) {
            found.push(format!("{}: a file named \"{word}\"", source.path));
        }
    }
    // The simulator speaks the carriers' own words, the ears hear what is reported from beyond the relay, and its counts are kept.
    let hears = ["sim", "feedback/", "core/feedback", "store/feedback", "store/sqlite/"];
    if !hears.iter().any(|place| source.path.starts_with(place)) {
        for (line, text) in &source.texts {
            let lower = text.to_lowercase();
            let header = ["delivered-to", "x-delivered-to"].contains(&lower.as_str());
            let reported = lower.contains("reported delivered");
            if !header && !reported && !words(&lower, "delivered").is_empty() && words(&lower, "never").is_empty() {
                found.push(format!(
                    "{}:{line}: a text says \"delivered\"; the relay has accepted, no more",
                    source.path
                ));
            }
        }
    }
    found
}

/// Somebody's own machine or conversation in a public file.
fn private_problems(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for place in ["/work/", "/home/", "/root/", "/tmp/"] {
            // A path begins here; `example.jp/work/980` is an address on the web.
            let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
            if line.match_indices(place).any(|(at, _)| begins(at)) {
                found.push(format!("{path}:{}: {place} is a place on somebody's own machine", n + 1));
            }
        }
        let lower = line.to_lowercase();
        // Data cites what others' trackers say.
        if !path.ends_with(".yaml")
            && lower.match_indices("issue ").any(|(at, _)| {
                let rest = lower[at + 6..].trim_start_matches('#');
                rest.starts_with(|c: char| c.is_ascii_digit())
            })
        {
            found.push(format!("{path}:{}: says what it does by a number of the tracker, not by itself", n + 1));
        }
    }
    found
}

fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn files_and_functions_are_short_and_finished() {
    none(crate::source::all().iter().flat_map(shape_problems).collect());
}

#[test]
fn names_say_what_they_are_and_nothing_claims_delivery() {
    none(crate::source::all().iter().flat_map(word_problems).collect());
}

#[test]
fn nothing_public_points_at_somebodys_own_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (folder, extension) in [
        ("src", "rs"),
        ("plans", "yaml"),
        ("examples", "yaml"),
        ("tests", "rs"),
        ("benches", "rs"),
        (".", "md"),
        (".", "toml"),
    ] {
        let folder = root.join(folder);
        let files = if folder.ends_with(".") {
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect()
        } else if folder.is_dir() {
            files_below(&folder, extension)
        } else {
            continue;
        };
        for file in files.into_iter().filter(|f| f.extension().is_some_and(|e| e == extension)) {
            let path = file.strip_prefix(root).unwrap().display().to_string();
            if !path.starts_with("tests/house") {
                found.extend(private_problems(&path, &std::fs::read_to_string(&file).unwrap()));
            }
        }
    }
    none(found);
}

#[test]
fn every_shipped_file_is_built_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let sources = crate::source::all();
    let texts: Vec<&str> = sources.iter().flat_map(|s| s.texts.iter().map(|(_, text)| text.as_str())).collect();
    let files = files_below(&root, "yaml");
    assert!(files.len() >= 5, "plans/ was not found");
    let missing = |file: &std::path::PathBuf| {
        let name = format!("plans/{}", file.strip_prefix(&root).unwrap().display());
        (!texts.iter().any(|text| text.ends_with(&name))).then(|| format!("{name} is not built into the program"))
    };
    none(files.iter().filter_map(missing).collect());
}

#[test]
fn what_breaks_a_rule_of_shape_is_found() {
    let long_function = format!("//! Owns.\nfn f() {{\n{}}}\n", "    let a = '{'; // }\n".repeat(70));
    let long_file = format!("//! Owns.\n{}", "const A: u8 = 1;\n".repeat(600));
    let long_head = "//! Owns.\n".repeat(13);
    for planted in [
        &long_function,
        &long_file,
        &long_head,
        "fn f() {}\n",
        "//! Owns.\n// TODO later\n",
        "//! Owns.\nfn f() { todo!() }\n",
        "//! Owns.\nfn f() { dbg!(1); }\n",
    ] {
        assert!(!shape_problems(&Source::read("core/x.rs", planted)).is_empty(), "not found: {planted}");
    }
    let fine = format!(
        "//! Owns.\nfn f() {{\n{}}}\nfn g(s: &'static str) -> [u8; 2] {{ [b'\"', b'{{'] }}\n",
        "    a();\n".repeat(68)
    );
    assert_eq!(shape_problems(&Source::read("core/x.rs", &fine)), Vec::<String>::new());
}

#[test]
fn a_name_without_meaning_is_found() {
    for planted in [
        "fn get_lane() {}",
        "fn process_all() {}",
        "struct LaneManager;",
        "mod util {}",
        "enum CommonTypes {}",
        "fn f() { say(\"3 delivered\"); }",
        "fn f() { say(r#\"3 Delivered\"#); }",
    ] {
        assert!(!word_problems(&Source::read("cli/x.rs", planted)).is_empty(), "not found: {planted}");
    }
    assert!(!word_problems(&Source::read("cli/helpers.rs", "")).is_empty());
    for planted in [
        "fn target_of() {}",
        "fn processed() {}",
        "fn f() { map.get(1); utility(); }",
        "fn f() { say(\"accepted, never \\\"delivered\\\"\"); }",
        "fn f() { say(\"3 reported delivered\"); }",
        "#[cfg(test)] mod tests { fn get_it() { say(\"delivered\"); } }",
        "/// Never delivered.\nstruct A;",
    ] {
        assert_eq!(word_problems(&Source::read("cli/x.rs", planted)), Vec::<String>::new(), "{planted}");
    }
    assert!(!private_problems("a", "see /home/somebody/x").is_empty());
    assert!(!private_problems("a", "as issue #12 says").is_empty());
    assert!(private_problems("a", "an issue with 3 relays, example.jp/work/980").is_empty());
}
