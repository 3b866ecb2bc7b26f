//! Owns the program under test as its operator meets it: a folder with files, commands and what they print, a worker as a process.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::schemas::what_was_taken_keeps_to_its_schemas;
use super::until;

/// The program that cargo built for these tests.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_hikagen")
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Fails, with all that was printed, unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}):\n{}\n{}", self.out, self.err))
    }

    /// Fails unless standard output or standard error says `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(said, "does not say \"{text}\"\n--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }
}

/// A folder with a configuration in it.
pub struct Project {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Project {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// A folder with the files of `examples/`.
    pub fn of_examples() -> Self {
        let project = Self::empty();
        for entry in std::fs::read_dir(repository().join("examples")).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                std::fs::copy(&from, project.path(from.file_name().unwrap().to_str().unwrap())).unwrap();
            }
        }
        project
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A place in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Sets a variable for all commands from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A command of the program in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    #[track_caller]
    pub fn hikagen(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        if let (["submit", campaign, ..], true) = (arguments, output.status.success()) {
            what_was_taken_keeps_to_its_schemas(self.folder(), &self.path(campaign));
        }
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a command of the program; what it prints goes to `NAME.log` in the folder, after what is there.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let log = self.path(&format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = self.command(arguments).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }
}

/// A running command. Killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Sends a signal by its name (`TERM`, `HUP`, `KILL`, `STOP`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -s {name} failed");
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, at most `limit`.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ran {
        let log = self.log.clone();
        let status = until(&format!("the end of {}", log.display()), limit, || self.child.try_wait().unwrap());
        assert!(status.signal().is_none_or(|s| s != 6), "it panicked:\n{}", self.log());
        Ran { code: status.code(), out: self.log(), err: String::new() }
    }

    /// Waits until it has printed `text`, at most `limit`.
    pub fn until_it_says(&self, text: &str, limit: Duration) {
        until(&format!("\"{text}\" in {}", self.log.display()), limit, || self.log().contains(text).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of {}", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
