//! Owns an interactive shell at a terminal, driven by Python's `pty`: what is typed, and what the screen shows.

use std::path::Path;
use std::process::{Command, Stdio};

const DRIVER: &str = r#"
import json, os, pty, select, signal, sys, time
order = json.load(sys.stdin)
child, screen = pty.fork()
if child == 0:
    os.execvp(order["shell"][0], order["shell"])
seen = ""
def until(text, limit):
    global seen
    end = time.monotonic() + limit
    while text not in seen and time.monotonic() < end:
        if select.select([screen], [], [], 0.2)[0]:
            try:
                seen += os.read(screen, 65536).decode("utf-8", "replace")
            except OSError:
                return
answers = []
for typed, awaited in order["typed"]:
    seen = ""
    os.write(screen, typed.encode())
    until(awaited, 30)
    answers.append(seen)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
json.dump(answers, sys.stdout)
"#;

/// Starts `shell` in `folder`, types each text and waits until the screen shows what is awaited after it (half a minute at
/// most); gives what the screen showed after each.
pub fn type_into(shell: &[&str], folder: &Path, typed: &[(&str, &str)]) -> Vec<String> {
    let program = Path::new(super::program::binary()).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new("python3")
        .args(["-c", DRIVER])
        .current_dir(folder)
        .env("PATH", path)
        .env("TERM", "dumb")
        .env("HOME", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is missing: ./tests/run installs it, or apt-get install python3");
    let order = serde_json::json!({ "shell": shell, "typed": typed });
    serde_json::to_writer(child.stdin.take().unwrap(), &order).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}
