//! Owns DKIM from outside: keys made by openssl, signatures checked by dkimpy, an implementation that shares nothing with ours.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const MISSING: &str = "./tests/run installs what is missing, or apt-get install openssl python3-dkim python3-nacl";

/// Debian's Python, whatever stands before it in PATH: it is the one that has dkimpy.
const PYTHON: &str = "/usr/bin/python3";

const CHECKER: &str = r#"
import dkim, json, sys
asked = json.load(sys.stdin)
records = {name.encode(): text.encode() for name, text in asked["records"].items()}
def lookup(name, timeout=5):
    return records.get(name.rstrip(b".") if isinstance(name, bytes) else name.rstrip(".").encode())
def holds(raw):
    try:
        return dkim.verify(bytes(raw), dnsfunc=lookup)
    except dkim.DKIMException as error:
        print(error, file=sys.stderr)
        return False
json.dump([holds(raw) for raw in asked["messages"]], sys.stdout)
"#;

/// A key pair: the private half as a file would hold it, the public half as the DNS would.
pub struct Key {
    /// PEM, or what else a file may hold.
    pub private: String,
    /// The TXT record of the selector.
    pub record: String,
}

/// Runs openssl.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect(MISSING);
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

fn base64(bytes: &[u8]) -> String {
    String::from_utf8(openssl(&["base64", "-A"], bytes)).unwrap()
}

/// An RSA key of so many bits, as PKCS#8.
pub fn rsa(bits: u32) -> Key {
    let size = format!("rsa_keygen_bits:{bits}");
    let private = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &size], b"");
    let public = openssl(&["pkey", "-pubout", "-outform", "DER"], &private);
    Key { private: String::from_utf8(private).unwrap(), record: format!("v=DKIM1; k=rsa; p={}", base64(&public)) }
}

/// An Ed25519 key, as PKCS#8.
pub fn ed25519() -> Key {
    let private = openssl(&["genpkey", "-algorithm", "ED25519"], b"");
    let public = openssl(&["pkey", "-pubout", "-outform", "DER"], &private);
    let raw = &public[public.len() - 32..];
    Key { private: String::from_utf8(private).unwrap(), record: format!("v=DKIM1; k=ed25519; p={}", base64(raw)) }
}

/// Whether the signature of each message holds, by the records in the DNS (name and text).
pub fn hold(messages: &[Vec<u8>], records: &[(&str, &str)]) -> Vec<bool> {
    let mut child =
        Command::new(PYTHON).args(["-c", CHECKER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(MISSING);
    let records: BTreeMap<&str, &str> = records.iter().copied().collect();
    let asked = serde_json::json!({ "messages": messages, "records": records }).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{MISSING}");
    serde_json::from_slice(&output.stdout).unwrap()
}
