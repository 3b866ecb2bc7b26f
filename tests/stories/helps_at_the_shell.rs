//! What helps at a shell: completion in the shells themselves, and manual pages that the system's own programs read.

use std::process::Command;

use crate::support::program::Project;
use crate::support::terminal::type_into;

/// A folder with the script of each shell.
fn scripts() -> Project {
    let project = Project::empty();
    for (shell, name) in [("bash", "hikagen.bash"), ("zsh", "_hikagen"), ("fish", "hikagen.fish")] {
        project.write(name, project.hikagen(&["completions", shell]).expect(0).out);
    }
    project
}

#[test]
fn bash_completes_commands_options_and_values() {
    let project = scripts();
    let screens = type_into(
        &["bash", "--norc", "--noprofile", "-i"],
        project.folder(),
        &[
            ("bind 'set bell-style none'; source hikagen.bash; echo re''ady\n", "ready"),
            ("hikagen compl\t", "hikagen completions "),
            ("\u{15}hikagen plan cu\t", "hikagen plan curves "),
            ("\u{15}hikagen status --sv\t", "hikagen status --svg"),
            ("\u{15}hikagen schema ca\t", "hikagen schema campaign "),
        ],
    );
    for (screen, completed) in
        screens[1..].iter().zip(["completions ", "plan curves ", "status --svg", "schema campaign "])
    {
        assert!(screen.contains(completed), "bash does not complete to \"{completed}\": {screens:#?}");
    }
}

#[test]
fn zsh_completes_commands_and_values() {
    let project = scripts();
    let screens = type_into(
        &["zsh", "-f", "-i"],
        project.folder(),
        &[
            ("fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; unsetopt beep; echo re''ady\n", "ready"),
            ("hikagen compl\t", "completions "),
            ("\u{15}hikagen schema ca\t", "campaign "),
        ],
    );
    for (screen, completed) in screens[1..].iter().zip(["completions ", "campaign "]) {
        assert!(screen.contains(completed), "zsh does not complete to \"{completed}\": {screens:#?}");
    }
}

#[test]
fn fish_completes_commands_and_options() {
    let project = scripts();
    let completed = |line: &str| {
        let ask = format!("source hikagen.fish; complete --do-complete '{line}'");
        let output = Command::new("fish")
            .args(["--no-config", "-c", &ask])
            .current_dir(project.folder())
            .env("HOME", project.folder())
            .output()
            .expect("fish is missing: ./tests/run installs it, or apt-get install fish");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        out.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(completed("hikagen compl"), ["completions"]);
    assert_eq!(completed("hikagen lane pau"), ["pause"]);
    assert_eq!(completed("hikagen plan show --sv"), ["--svg"]);
    assert_eq!(completed("hikagen plan "), ["check", "curves", "diff", "forecast", "help", "show"]);
}

#[test]
fn every_command_has_a_manual_page_that_reads_without_a_warning() {
    let project = Project::empty();
    let wrote = project.hikagen(&["man", "--dir", "man", "--json"]).expect(0).json();
    let pages: Vec<&str> = wrote["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for page in ["hikagen.1", "hikagen-plan.1", "hikagen-plan-curves.1", "hikagen-schema.1", "hikagen-lane-pause.1"] {
        assert!(pages.contains(&page), "{page} is not among {pages:?}");
    }
    for page in &pages {
        let file = project.path("man").join(page);
        let man = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l"])
            .arg(&file)
            .env("MANWIDTH", "80")
            .output()
            .expect("man is missing: ./tests/run installs it, or apt-get install man-db");
        let (out, err) = (String::from_utf8_lossy(&man.stdout), String::from_utf8_lossy(&man.stderr));
        assert!(man.status.success() && err.is_empty(), "{page}: {err}");
        assert!(out.contains("EXIT STATUS") && out.contains("SYNOPSIS"), "{page}:\n{out}");
        assert!(out.contains(&format!("hikagen {}", env!("CARGO_PKG_VERSION"))), "{page}:\n{out}");
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "error"])
            .arg(&file)
            .output()
            .expect("mandoc is missing: ./tests/run installs it, or apt-get install mandoc");
        assert!(lint.status.success(), "{page}: {}", String::from_utf8_lossy(&lint.stdout));
    }
    let help = project.hikagen(&["--help"]).expect(0).out;
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    for line in commands.take_while(|line| line.starts_with("  ")) {
        let command = line.split_whitespace().next().unwrap();
        assert!(command == "help" || pages.contains(&&*format!("hikagen-{command}.1")), "{command} has no page");
    }
    let printed = project.hikagen(&["man"]).expect(0).out;
    assert_eq!(printed, project.read("man/hikagen.1"));
}
