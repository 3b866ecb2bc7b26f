//! Owns the token of a message: what an unsubscribe URL, an envelope sender and a Message-ID carry home.
//!
//! Invariants: a token says which message it belongs to and cannot be made without the signing key; it is case-insensitive and
//! can stand in a local part and a URL as it is; the same key and message always give the same token.

use std::io::Write;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::core::campaign::MessageId;

/// Letters of a token: RFC 4648 base32 in lower case, which survives systems that change case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Octets of the signature kept: 96 bits, too many to guess through an unsubscribe page.
const SIGNATURE: usize = 12;
/// Length of a token in letters: 8 octets of number and 12 of signature.
pub const TOKEN_LETTERS: usize = 32;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not a key.
    #[error(
        "the signing key in {place} is not 32 bytes written as 64 hexadecimal digits or as base64; make one with: openssl rand -hex 32"
    )]
    Form {
        /// Where it was read.
        place: String,
    },
    /// The file cannot be read or made.
    #[error("the signing key {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(key hidden)")
    }
}

impl Tokens {
    /// Signs with `key`.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    /// Reads a key written as 64 hexadecimal digits or as base64; `place` is named when it cannot be read.
    ///
    /// # Errors
    /// [`KeyError::Form`].
    pub fn from_text(text: &str, place: &str) -> Result<Self, KeyError> {
        key_of(text.trim()).map(|key| Self::new(&key)).ok_or_else(|| KeyError::Form { place: place.to_owned() })
    }

    /// Where the key of the store at `store` lies: `<store>.key`.
    #[must_use]
    pub fn key_file(store: &Path) -> PathBuf {
        let mut path = store.as_os_str().to_owned();
        path.push(".key");
        path.into()
    }

    /// Reads the key at `path`; makes it (mode 0600) where there is none. Two programs that start together end with one key.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be read, made, or holds no key.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let fail = |source| KeyError::File { path: path.to_owned(), source };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_text(&text, &path.display().to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                make_key(path).map_err(fail)?;
                let text = std::fs::read_to_string(path).map_err(fail)?;
                Self::from_text(&text, &path.display().to_string())
            }
            Err(e) => Err(fail(e)),
        }
    }

    /// The token of a message: 32 letters and digits.
    #[must_use]
    pub fn token(&self, message: MessageId) -> String {
        let mut bytes = [0_u8; 8 + SIGNATURE];
        bytes[..8].copy_from_slice(&message.0.to_be_bytes());
        let signature = self.signed(&message.0.to_be_bytes()).finalize().into_bytes();
        bytes[8..].copy_from_slice(&signature[..SIGNATURE]);
        encode(&bytes)
    }

    /// The message of a token; `None` when it was not made with this key. Takes the same time wherever it differs.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<MessageId> {
        let bytes = decode(token)?;
        let (number, signature) = bytes.split_at(8);
        self.signed(number).verify_truncated_left(signature).ok()?;
        Some(MessageId(i64::from_be_bytes(number.try_into().ok()?)))
    }

    /// A text that only the holder of the key can foresee: a boundary between the parts of the message of this token.
    pub(super) fn boundary(&self, token: &str) -> String {
        let digest = self.mac.clone().chain_update(b"hikagen boundary ").chain_update(token).finalize().into_bytes();
        digest[..SIGNATURE].iter().map(|b| format!("{b:02x}")).collect()
    }

    fn signed(&self, number: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(b"hikagen message ").chain_update(number)
    }
}

fn key_of(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 && text.is_ascii() {
        let mut key = [0_u8; 32];
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        return Some(key);
    }
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).ok()?.try_into().ok()
}

/// Written beside and linked into place, so that nobody ever reads half a key and a second maker changes nothing.
fn make_key(path: &Path) -> std::io::Result<()> {
    let mut random = [0_u8; 40];
    getrandom::fill(&mut random).map_err(|e| std::io::Error::other(e.to_string()))?;
    let (key, name) = random.split_at(32);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", hex(name)));
    let made = write_private(Path::new(&beside), &format!("{}\n", hex(key)));
    let linked = made.and_then(|()| std::fs::hard_link(&beside, path));
    std::fs::remove_file(&beside).ok();
    match linked {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn encode(bytes: &[u8; 8 + SIGNATURE]) -> String {
    let mut text = String::with_capacity(TOKEN_LETTERS);
    for five in bytes.chunks_exact(5) {
        let bits = five.iter().fold(0_u64, |bits, b| bits << 8 | u64::from(*b));
        text.extend((0..8).rev().map(|i| char::from(ALPHABET[(bits >> (i * 5) & 31) as usize])));
    }
    text
}

fn decode(token: &str) -> Option<[u8; 8 + SIGNATURE]> {
    if token.len() != TOKEN_LETTERS {
        return None;
    }
    let mut bytes = [0_u8; 8 + SIGNATURE];
    for (five, letters) in bytes.chunks_exact_mut(5).zip(token.as_bytes().chunks_exact(8)) {
        let mut bits = 0_u64;
        for letter in letters {
            let value = match letter.to_ascii_lowercase() {
                l @ b'a'..=b'z' => l - b'a',
                d @ b'2'..=b'7' => d - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_home_whatever_its_case() {
        let tokens = Tokens::new(&[7; 32]);
        for id in [0, 1, 42, i64::MAX, -1] {
            let token = tokens.token(MessageId(id));
            assert_eq!(token.len(), TOKEN_LETTERS);
            assert!(token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
            assert_eq!(tokens.verify(&token), Some(MessageId(id)));
            assert_eq!(tokens.verify(&token.to_uppercase()), Some(MessageId(id)));
            assert_eq!(tokens.token(MessageId(id)), token);
        }
    }

    #[test]
    fn a_changed_token_or_another_key_is_refused() {
        let tokens = Tokens::new(&[7; 32]);
        let token = tokens.token(MessageId(42));
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(tokens.verify(std::str::from_utf8(&other).expect("ascii")), None, "letter {at}");
        }
        assert_eq!(Tokens::new(&[8; 32]).verify(&token), None);
        for text in ["", "m42", "あ", &token[1..], &format!("{token}a")] {
            assert_eq!(tokens.verify(text), None);
        }
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().expect("dir");
        let path = Tokens::key_file(&dir.path().join("hikagen.db"));
        let first = Tokens::open(&path).expect("made");
        let again = Tokens::open(&path).expect("read");
        assert_eq!(again.verify(&first.token(MessageId(5))), Some(MessageId(5)));
        assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 1);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("meta").permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "short").expect("write");
        assert!(Tokens::open(&path).expect_err("short").to_string().contains("openssl rand -hex 32"));
    }

    #[test]
    fn a_key_is_read_as_hexadecimal_or_base64() {
        let token = Tokens::new(&[1; 32]).token(MessageId(9));
        for text in ["01".repeat(32), "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n".to_owned()] {
            assert_eq!(Tokens::from_text(&text, "env KEY").expect("key").verify(&token), Some(MessageId(9)));
        }
    }
}
