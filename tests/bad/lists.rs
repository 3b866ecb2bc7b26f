//! Owns broken lists and templates: one folder each, with `expected`, which holds every word that the operator is told.
//!
//! `lists/NAME/list.csv` (or `list.jsonl`) is submitted with templates that name the column `name` where there is one; `templates/NAME/` holds
//! `subject`, `text` or `html` and is submitted with a sound list. `UPDATE_EXPECTED=1` writes what is told now.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hikagen::clock::PacedClock;
use hikagen::compose::{Content, Places, Tokens};
use hikagen::config::campaign_file::{ListReading, Seeds};
use hikagen::config::config_file::load;
use hikagen::core::campaign::Class;
use hikagen::intake::{Intake, Options, Refused, Submission};
use hikagen::store::sqlite::SqliteStore;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad").join(name)
}

fn submission(content: Content, list: PathBuf) -> Submission {
    Submission {
        name: "bad".parse().unwrap(),
        pool: "news".parse().unwrap(),
        content,
        places: Places {
            campaign: "campaign.yaml".into(),
            text: "news.txt".into(),
            html: "news.html".into(),
            ..Places::default()
        },
        list,
        reading: ListReading::default(),
        seeds: Seeds::default(),
        start: "2026-11-24T00:00:00Z".parse().unwrap(),
        finish_by: None,
        not_after: None,
        class: Class::Normal,
        weight: 1,
        written: String::new(),
    }
}

fn content() -> Content {
    Content {
        campaign: "bad".into(),
        from: "News <news@m.example.jp>".into(),
        reply_to: None,
        subject: "News".into(),
        text: Some("News for {{ email }}\n".into()),
        html: None,
        parts: None,
        headers: Vec::new(),
        unsubscribe: None,
        list: None,
    }
}

/// Everything that a dry run tells, with the folder's own path taken out.
fn told(submission: &Submission, strip: &Path) -> String {
    let config = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hikagen.yaml")).value.unwrap();
    let store = SqliteStore::in_memory();
    let tokens = Arc::new(Tokens::new(&[1; 32]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let clock = PacedClock::new("2026-11-24T00:00:00Z".parse().unwrap(), 1.0);
        let intake = Intake { config: &config, tokens: &tokens, store: &store, clock: &clock };
        let dry = Options { dry_run: true, ..Options::default() };
        intake.submit(submission, dry, &mut |_| {}).await
    });
    let mut text = String::new();
    match result {
        Err(Refused::Problems(problems)) => problems.iter().for_each(|p| writeln!(text, "refused: {p}").unwrap()),
        Err(Refused::Store(error)) => panic!("{error}"),
        Ok(report) => {
            let (taken, refused, twice) = (report.recipients, report.rejected, report.duplicates);
            writeln!(text, "{}: {taken} taken, {refused} refused, {twice} duplicates", report.encoding).unwrap();
            for reject in report.first_rejects {
                let address = reject.address.escape_debug();
                writeln!(text, "line {} [{}] {address}: {}", reject.line, reject.rule.as_str(), reject.reason).unwrap();
            }
        }
    }
    text.replace(&format!("{}/", strip.display()), "")
}

fn check(kind: &str, made: impl Fn(&Path) -> Submission) -> usize {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder(kind)).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let mut wrong = String::new();
    for path in &names {
        let told = told(&made(path), path);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(path.join("expected"), &told).unwrap();
        }
        let expected = std::fs::read_to_string(path.join("expected")).unwrap_or_default();
        if told != expected {
            writeln!(wrong, "--- {}\nexpected:\n{expected}\ntold:\n{told}", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    names.len()
}

#[test]
fn every_broken_list_is_told_in_clear_words() {
    let list = |path: &Path| Some(path.join("list.jsonl")).filter(|p| p.is_file()).unwrap_or(path.join("list.csv"));
    assert!(check("lists", |path| submission(content(), list(path))) >= 12);
}

#[test]
fn every_broken_template_is_told_in_clear_words() {
    let read = |path: &Path, name: &str| std::fs::read_to_string(path.join(name)).ok();
    let made = |path: &Path| {
        let sound = content();
        let content = Content {
            subject: read(path, "subject").unwrap_or(sound.subject),
            text: read(path, "text").or(sound.text),
            html: read(path, "html"),
            ..sound
        };
        submission(content, folder("sound.csv"))
    };
    assert!(check("templates", made) >= 5);
}
