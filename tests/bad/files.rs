//! Owns the broken files: one folder per file under `tests/bad/<kind>/<name>/`, with what the operator is told in `expected`.
//!
//! To add a case, make the folder with its file and run `BLESS=1 cargo test --test bad`; then read what was written to
//! `expected` as the operator would. To add a kind, add a line to `KINDS`.
//! Invariant: the whole output and the exit code are compared, so that every problem is there, in order, at its place.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of file and the command that judges it, run inside the case's folder.
const KINDS: [(&str, &[&str]); 6] = [
    ("plans", &["plan", "check", "plan.yaml"]),
    ("plans-strict", &["plan", "check", "--strict", "plan.yaml"]),
    ("configs", &["check"]),
    ("groups", &["check"]),
    ("campaigns", &["check", "campaign.yaml"]),
    ("plans-json", &["plan", "check", "--json", "plan.yaml"]),
];

fn cases(kind: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad").join(kind);
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// What the command says in `folder`, and how it ends.
fn told(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_hikagen")).args(arguments).current_dir(folder).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    let code = output.status.code().expect("the command ends by itself");
    format!("{}{}exit {code}\n", text(output.stdout), text(output.stderr))
}

#[test]
fn every_broken_file_is_reported_as_expected() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    for (kind, arguments) in KINDS {
        let cases = cases(kind);
        assert!(!cases.is_empty(), "no cases in tests/bad/{kind}");
        for folder in cases {
            let told = told(&folder, arguments);
            let expected = folder.join("expected");
            if bless {
                std::fs::write(&expected, &told).unwrap();
            } else if std::fs::read_to_string(&expected).unwrap_or_default() != told {
                wrong += &format!("{}: the operator is told\n{told}\n", folder.display());
            }
            assert!(told.ends_with("exit 1\n"), "{}: a broken file is refused:\n{told}", folder.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nBLESS=1 writes these to the files `expected`");
}
