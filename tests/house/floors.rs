//! Owns the floor table: which part of the house may use which.

use crate::source::{Source, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Floor {
    Core,
    Ports,
    Adapters,
    Application,
    Edges,
}

/// The floor of a path below the crate's root. The crate's own page stands above everything.
fn floor_of(path: &[String]) -> Option<Floor> {
    let part = |i: usize| path.get(i).map_or("", String::as_str);
    Some(match (part(0), part(1)) {
        ("core", _) => Floor::Core,
        ("store", "sqlite") | ("relay", "smtp") => Floor::Adapters,
        ("store" | "relay" | "clock" | "compose" | "config" | "program", _) => Floor::Ports,
        ("worker" | "intake" | "feedback" | "report" | "forecast" | "sim", _) => Floor::Application,
        ("cli" | "simulator" | "listener" | "telemetry", _) => Floor::Edges,
        _ => return None,
    })
}

/// Crates that the pure floor may name.
const CORE_CRATES: [&str; 6] = ["std", "serde", "thiserror", "jiff", "governor", "core"];

/// What pure code may not name at all.
const CORE_BANS: [&str; 16] = [
    "tokio",
    "fs",
    "net",
    "rusqlite",
    "lettre",
    "tracing",
    "getrandom",
    "SystemTime",
    "HashSet",
    "async",
    "await",
    "println",
    "eprintln",
    "env",
    "thread",
    "process",
];

/// What the application may not name: it sees traits only.
const APPLICATION_BANS: [&str; 4] = ["rusqlite", "lettre", "sqlite", "tokio_rustls"];

/// What breaks the floor table in one file.
pub(crate) fn problems(source: &Source) -> Vec<String> {
    let here: Vec<String> = source.path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if ["lib.rs", "main.rs"].contains(&source.path.as_str()) {
        return Vec::new();
    }
    let Some(floor) = floor_of(&here) else {
        return vec![format!("{}: belongs to no floor; add it to the table or move it", source.path)];
    };
    let modules: Vec<String> =
        source.definitions().into_iter().filter(|(_, kind, _)| *kind == "mod").map(|(_, _, name)| name).collect();
    let known = |name: &String| {
        CORE_CRATES.contains(&name.as_str()) || modules.contains(name) || name.starts_with(char::is_uppercase)
    };
    let mut found = Vec::new();
    let mut say = |line: usize, what: String| found.push(format!("{}:{line}: {what}", source.path));
    for (line, path) in source.paths() {
        if path.first().is_some_and(|first| first == "::") {
            if floor == Floor::Core && !known(&path[1]) {
                say(line, format!("core uses the crate {}", path[1]));
            }
            continue;
        }
        let Some(target) = floor_of(&path) else { continue };
        let path = path.join("::");
        if target > floor {
            say(line, format!("{floor:?} uses {path}, which lies above it ({target:?})"));
        } else if target == Floor::Adapters && floor == Floor::Application {
            say(line, format!("the application names the adapter {path}; it sees the traits only"));
        } else if target == Floor::Adapters && floor == Floor::Adapters && !path.starts_with(&here[..2].join("::")) {
            say(line, format!("one adapter uses another: {path}"));
        }
    }
    for (at, _) in source.code.match_indices("Instant::now").chain(source.code.match_indices("time::Instant")) {
        if floor == Floor::Core {
            say(source.line_of(at), "core reads a clock".to_owned());
        }
    }
    for ban in bans(floor, source) {
        for at in words(&source.code, ban) {
            say(source.line_of(at), format!("{floor:?} names {ban}"));
        }
    }
    found
}

fn bans(floor: Floor, source: &Source) -> Vec<&'static str> {
    match floor {
        // The table of groups only looks up in its map; an order of iteration never reaches a decision.
        Floor::Core if source.path == "core/plan/groups.rs" => CORE_BANS.to_vec(),
        Floor::Core => [&CORE_BANS[..], &["HashMap"]].concat(),
        Floor::Application if source.path.starts_with("sim/") || source.path == "sim.rs" => {
            [&APPLICATION_BANS[..], &["tokio", "fs", "net"]].concat()
        }
        Floor::Application => APPLICATION_BANS.to_vec(),
        _ => Vec::new(),
    }
}

#[test]
fn every_floor_uses_only_the_floors_below_it() {
    let found: Vec<String> = crate::source::all().iter().flat_map(problems).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_path_to_a_higher_floor_is_found_however_it_is_written() {
    for planted in [
        "use crate::store::Store;",
        "use crate::{names::X, store::{rows::Row, Store}};",
        "use super::super::store;",
        "fn f() { crate::worker::run(); }",
        "use tokio::time;",
        "fn f(m: std::collections::HashMap<u8, u8>) {}",
        "fn f() { let t = std::time::Instant::now(); }",
        "use rusqlite::Connection;",
        "async fn f() {}",
    ] {
        let source = Source::read("core/lane/mod.rs", planted);
        assert!(!problems(&source).is_empty(), "not found: {planted}");
    }
    for (path, planted) in [
        ("worker/mod.rs", "use crate::store::sqlite::SqliteStore;"),
        ("worker/mod.rs", "use crate::cli::Context;"),
        ("report/status.rs", "fn f(c: lettre::Message) {}"),
        ("relay/smtp/mod.rs", "use crate::store::sqlite::SqliteStore;"),
        ("config/mod.rs", "use crate::relay::smtp::SmtpRelay;"),
        ("sim/provider.rs", "use tokio::net::TcpStream;"),
        ("somewhere/mod.rs", "fn f() {}"),
    ] {
        assert!(!problems(&Source::read(path, planted)).is_empty(), "not found in {path}: {planted}");
    }
}

#[test]
fn what_the_table_allows_is_let_through() {
    for (path, planted) in [
        (
            "core/lane/mod.rs",
            "use super::names::X;\nuse crate::core::{plan::Plan, units::*};\nuse std::time::Duration;",
        ),
        ("core/lane/mod.rs", "// tokio is not used here\nconst A: &str = \"use crate::store::Store\";"),
        ("core/lane/mod.rs", "#[cfg(test)]\nmod tests { use std::collections::HashMap; }"),
        ("core/lane/calendar_tests.rs", "use std::collections::HashMap; use proptest::prelude::*;"),
        ("worker/mod.rs", "use crate::{core::lane::Lane, relay::Relay, store::Store, clock::Clock};"),
        ("cli/mod.rs", "use crate::store::sqlite::SqliteStore; use crate::relay::smtp::SmtpRelay;"),
        ("store/sqlite/claim.rs", "use super::SqliteStore; use crate::store::rows::Claim; use rusqlite::params;"),
    ] {
        assert_eq!(problems(&Source::read(path, planted)), Vec::<String>::new(), "{path}: {planted}");
    }
}
