//! Owns reading mail with an independent parser: Python's `email`.

use std::io::Write;
use std::process::{Command, Stdio};

const READER: &str = r#"
import email, email.policy, json, sys
out = []
for raw in json.load(sys.stdin):
    message = email.message_from_bytes(bytes(raw), policy=email.policy.default)
    body = {}
    for part in message.walk():
        if part.get_content_maintype() == "text":
            body[part.get_content_subtype()] = part.get_content().replace("\r\n", "\n")
    out.append({
        "headers": {name.lower(): str(value) for name, value in message.items()},
        "names": [name.lower() for name in message.keys()],
        "type": message.get_content_type(),
        "text": body.get("plain"),
        "html": body.get("html"),
        "defects": [str(defect) for part in message.walk() for defect in part.defects]
            + [str(defect) for value in message.values() for defect in value.defects],
    })
json.dump(out, sys.stdout)
"#;

/// A message as Python reads it.
#[derive(Debug, serde::Deserialize)]
pub struct Read {
    /// Decoded header values by lower-case name (the last of each).
    pub headers: std::collections::BTreeMap<String, String>,
    /// Lower-case names in order, repeats included.
    pub names: Vec<String>,
    /// Content type of the whole.
    #[serde(rename = "type")]
    pub content_type: String,
    /// Text part, line ends as `\n`.
    pub text: Option<String>,
    /// HTML part.
    pub html: Option<String>,
    /// What the parser found wrong.
    pub defects: Vec<String>,
}

/// Reads messages (RFC 5322 bytes) with Python.
pub fn read(messages: &[Vec<u8>]) -> Vec<Read> {
    let mut child = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is missing: ./tests/run installs it, or apt-get install python3");
    child.stdin.take().unwrap().write_all(serde_json::to_string(messages).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}
