//! Owns the providers whose events are taken: how what they post is opened, verified and read.
//!
//! A provider is one file with three functions and a line in [`PROVIDERS`]; its path is `/events/<name>`.
//! Invariants: pure; nothing is read that was not verified before; whatever is posted ends in a [`Refusal`] with words or in
//! [`Contents`], never in a panic; all of it is bounded.

mod by_hand;
pub mod certificate;
mod said;
pub mod sendgrid;
pub mod ses;
mod sns;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};

use crate::config::providers::ProviderSettings;
use crate::core::feedback::Heard;

pub use by_hand::by_hand;
pub use sns::Place;

/// How far ahead of ours a provider's clock may be.
const AHEAD: Duration = Duration::from_secs(300);

/// The providers.
pub static PROVIDERS: [Provider; 2] = [sendgrid::PROVIDER, ses::PROVIDER];

/// A provider.
#[derive(Debug)]
pub struct Provider {
    /// Its name: in the path, in the configuration (`feedback.<name>`) and as the way of what it reports.
    pub name: &'static str,
    /// Most octets of one post.
    pub octets_most: usize,
    /// Whether the configuration knows it.
    pub configured: fn(&ProviderSettings) -> bool,
    /// Opens what was posted, now: finds what is signed, by whom, when, and what is inside.
    pub open: fn(&Parcel<'_>, &ProviderSettings, Timestamp) -> Result<Opened, Refusal>,
    /// Reads events that were verified.
    pub read: fn(&str) -> Result<Contents, Refusal>,
}

/// What was posted.
pub struct Parcel<'a> {
    /// Looks a header up, without regard to case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body, as it came.
    pub body: &'a [u8],
}

impl fmt::Debug for Parcel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({} octets)", self.body.len())
    }
}

/// A parcel whose signature has yet to be verified.
#[derive(Debug)]
pub struct Opened {
    /// Whose key verifies it.
    pub key: KeyFrom,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// What is signed.
    pub signed: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// The same for each copy of the same parcel, however its outside is varied.
    pub copy_of: [u8; 32],
    /// How long after it was made the parcel is taken.
    pub window: Duration,
    /// What it holds. Not to be believed before [`Opened::verify`].
    pub inside: Inside,
}

/// Whose key verifies a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFrom {
    /// One of these, as [`Algorithm`] takes them.
    Here(Vec<Vec<u8>>),
    /// That of the certificate there; see [`certificate::key`].
    Certificate(Place),
}

/// How a parcel is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; the key is the uncompressed point.
    EcdsaP256Sha256,
    /// RSA (PKCS#1 v1.5) with SHA-1: Amazon SNS, signature version 1; the key is an `RSAPublicKey`.
    RsaSha1,
    /// RSA (PKCS#1 v1.5) with SHA-256.
    RsaSha256,
}

/// What a parcel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// Events, for [`Provider::read`].
    Events(String),
    /// Asks whether events shall come: yes is said by reading the place.
    Confirm {
        /// What asks.
        topic: String,
        /// Where yes is said.
        place: Place,
    },
    /// Something for the operator to know.
    Notice(String),
}

impl Opened {
    /// Whether one of `keys` made the signature.
    ///
    /// # Errors
    /// [`Refusal`] of kind [`Why::Forged`].
    pub fn verify(&self, keys: &[Vec<u8>]) -> Result<(), Refusal> {
        let by: &'static dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let holds = |key: &Vec<u8>| UnparsedPublicKey::new(by, key).verify(&self.signed, &self.signature).is_ok();
        if keys.iter().any(holds) {
            return Ok(());
        }
        Err(Refusal::new(Why::Forged, "the signature does not hold: it was made by another key, or over other content"))
    }
}

/// What verified events say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// What was heard, in the order as posted.
    pub heard: Vec<Heard>,
    /// Events that say nothing about what became of a message: opened, clicked, handed in.
    pub passed_over: usize,
    /// Events that could not be read, in words: at most [`ODD_MOST`].
    pub odd: Vec<String>,
    /// How many these are.
    pub odd_count: usize,
}

/// Most events that are told of when they cannot be read.
pub const ODD_MOST: usize = 5;

impl Contents {
    fn odd(&mut self, what: String) {
        self.odd_count += 1;
        if self.odd.len() < ODD_MOST {
            self.odd.push(what);
        }
    }
}

/// Why a post was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Refusal {
    /// Its kind.
    pub why: Why,
    /// For the operator: what was expected, what came, what to do. Without anything secret.
    pub words: String,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It cannot be read.
    Unreadable,
    /// It bears no signature.
    Unsigned,
    /// Its signature does not hold, or its key is none that we trust.
    Forged,
    /// It comes from a source that the configuration does not name.
    Foreign,
    /// It was made too long ago, or in the future.
    Stale,
}

impl Refusal {
    /// A refusal in words.
    #[must_use]
    pub fn new(why: Why, words: impl Into<String>) -> Self {
        Self { why, words: words.into() }
    }

    fn unreadable(words: impl Into<String>) -> Self {
        Self::new(Why::Unreadable, words)
    }
}

/// Whether what was made at `at` still counts; `setting` is what the operator can change about it.
fn fresh(at: Timestamp, now: Timestamp, window: Duration, setting: &str) -> Result<(), Refusal> {
    let age = now.duration_since(at);
    let seconds = age.as_secs();
    if age > jiff::SignedDuration::try_from(window).unwrap_or(jiff::SignedDuration::MAX) {
        let words = format!("it was made {seconds} s ago, and is taken for {} s{setting}", window.as_secs());
        return Err(Refusal::new(Why::Stale, words));
    }
    if seconds < -i64::try_from(AHEAD.as_secs()).unwrap_or(i64::MAX) {
        let words = format!("it was made {} s in the future; is this machine's clock right?", seconds.unsigned_abs());
        return Err(Refusal::new(Why::Stale, words));
    }
    Ok(())
}

/// What identifies a parcel, of parts that cannot run into each other.
fn copy_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Something that came from outside, for a message: bounded, without control characters.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    format!("\"{out}\"")
}

/// Where in a JSON text its reading ended.
fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::unreadable(format!("expected JSON: {error}"))
}
