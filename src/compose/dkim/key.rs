//! Owns a DKIM key: from the text in a file or variable to something that signs.
//!
//! Invariant: the key is in no message and not in `Debug`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::error::KeyRejected;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

/// What a key that can be used looks like, for messages.
const WANTED: &str = "expected an RSA key of 2048 to 4096 bits or an Ed25519 key, as PEM (PKCS#8 or PKCS#1)";

/// A private key.
pub struct SigningKey {
    pair: Pair,
    place: String,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Why a text is no key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the DKIM key in {place} cannot be used: {why}")]
pub struct BadKey {
    /// Where it is kept.
    pub place: String,
    /// What is wrong, and what to do.
    pub why: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} in {}, hidden)", self.describe(), self.place)
    }
}

impl SigningKey {
    /// Reads a key: PEM (PKCS#8, or PKCS#1 for RSA), the base64 of the same without its frame, or the base64 of the 32 octets of
    /// an Ed25519 key. `place` names where the text came from.
    ///
    /// # Errors
    /// When it is none of these, is protected by a passphrase, or is an RSA key below 2048 or above 4096 bits.
    pub fn from_text(text: &str, place: &str) -> Result<Self, BadKey> {
        let bad = |why: String| BadKey { place: place.to_owned(), why };
        read(text).map(|pair| Self { pair, place: place.to_owned() }).map_err(bad)
    }

    /// The `a=` of its signatures.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "rsa-sha256",
            Pair::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// In words, such as `rsa-sha256, 2048 bits`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.pair {
            Pair::Rsa(pair) => format!("{}, {} bits", self.algorithm(), pair.public().modulus_len() * 8),
            Pair::Ed25519(_) => self.algorithm().to_owned(),
        }
    }

    /// Where it is kept.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The signature of `data`, in base64. `None`: the key does not sign, which a key that was read does.
    pub(super) fn sign(&self, data: &[u8]) -> Option<String> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature).ok()?;
                Some(STANDARD.encode(signature))
            }
            Pair::Ed25519(pair) => {
                // RFC 8463 3: what is signed is the hash.
                let hash = ring::digest::digest(&ring::digest::SHA256, data);
                Some(STANDARD.encode(pair.sign(hash.as_ref()).as_ref()))
            }
        }
    }
}

fn read(text: &str) -> Result<Pair, String> {
    let text = text.trim();
    if text.contains("-----BEGIN") {
        // Variables often hold the lines of a PEM file with \n written out.
        let text = if text.contains('\n') { text.to_owned() } else { text.replace("\\n", "\n") };
        if text.contains("ENCRYPTED") {
            let how = "openssl pkcs8 -in FILE -out PLAIN takes the passphrase away";
            return Err(format!("it is protected by a passphrase; {how}"));
        }
        return match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(der)) => pkcs8(der.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(der)) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der())),
            Ok(_) => Err(format!("it is an EC key; {WANTED}")),
            Err(_) => Err(format!("there is no private key in it; {WANTED}")),
        };
    }
    let bare: String = text.split_whitespace().collect();
    let der = STANDARD.decode(bare).map_err(|_| format!("it is neither PEM nor base64; {WANTED}"))?;
    if der.len() == 32 {
        return Ed25519KeyPair::from_seed_unchecked(&der).map(Pair::Ed25519).map_err(|why| odd(&why));
    }
    pkcs8(&der).or_else(|why| RsaKeyPair::from_der(&der).map(|pair| Pair::Rsa(Box::new(pair))).map_err(|_| why))
}

fn pkcs8(der: &[u8]) -> Result<Pair, String> {
    match RsaKeyPair::from_pkcs8(der) {
        Err(why) if why.to_string() == "WrongAlgorithm" => {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519).map_err(|why| odd(&why))
        }
        read => rsa(read),
    }
}

fn rsa(read: Result<RsaKeyPair, KeyRejected>) -> Result<Pair, String> {
    read.map(|pair| Pair::Rsa(Box::new(pair))).map_err(|why| match why.to_string().as_str() {
        "TooSmall" => {
            "the RSA key is shorter than 2048 bits, which receivers distrust (RFC 8301) and which is not signed \
                       with here; openssl genrsa -out FILE 2048 makes one, and its public half belongs in the DNS"
                .to_owned()
        }
        "TooLarge" => {
            "the RSA key is longer than 4096 bits, which receivers need not check (RFC 8301); use one of 2048"
                .to_owned()
        }
        _ => odd(&why),
    })
}

fn odd(why: &KeyRejected) -> String {
    format!("it is refused ({why}); {WANTED}")
}
