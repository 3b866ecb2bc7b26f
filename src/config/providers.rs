//! Owns what the configuration says of providers whose events are taken.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Providers whose events are taken; `None`: they are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Amazon SES, through SNS.
    pub ses: Option<SesSettings>,
    /// SendGrid.
    pub sendgrid: Option<SendGridSettings>,
}

/// Amazon SES, through SNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesSettings {
    /// ARNs of the topics that are taken, at least one.
    pub topics: Vec<String>,
    /// Certificates that verify, instead of those that messages name, which are read from SNS itself.
    pub certificate: Option<Pinned>,
}

/// Certificates from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The file.
    pub path: PathBuf,
    /// The certificates, DER, at least one.
    pub ders: Vec<Vec<u8>>,
}

/// SendGrid's Event Webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendGridSettings {
    /// The verification key: an uncompressed point on P-256, 65 octets.
    pub public_key: Vec<u8>,
    /// How long after it was signed a post is taken.
    pub stale_after: Duration,
}

/// How long after it was signed a post of SendGrid is taken where the configuration does not say.
pub const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(600);

/// Shortest time that can be set: clocks differ, and a post is on its way for some seconds.
pub const STALE_AFTER_LEAST: Duration = Duration::from_secs(60);

/// Longest time that can be set: SendGrid tries a post again for up to 24 h.
pub const STALE_AFTER_MOST: Duration = Duration::from_secs(25 * 3_600);

/// What stands before a P-256 public key's coordinates (SubjectPublicKeyInfo, RFC 5480): both algorithm names, lengths, and the
/// mark of an uncompressed point.
const P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The point of a P-256 public key written as base64 (SubjectPublicKeyInfo), as SendGrid shows it.
#[must_use]
pub fn p256_point(text: &str) -> Option<Vec<u8>> {
    let der = STANDARD.decode(text.trim()).ok()?;
    let coordinates = der.strip_prefix(&P256)?;
    (coordinates.len() == 64).then(|| [&P256[26..], coordinates].concat())
}

/// Most octets of a PEM text of certificates: one has about 2,000.
pub const PEM_MOST: usize = 64 * 1024;
/// Most certificates of a PEM text.
const CERTIFICATES_MOST: usize = 16;

/// The certificates of a PEM text, as DER.
///
/// # Errors
/// In words: there is none, or one cannot be read or bears no RSA key.
pub fn certificates_of(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if pem.len() > PEM_MOST {
        return Err(format!("expected at most {PEM_MOST} octets of PEM"));
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MOST) {
        let der = certificate.map_err(|error| format!("expected certificates as PEM: {error}"))?;
        certificate_of(&der)?;
        found.push(der.to_vec());
    }
    if found.is_empty() {
        return Err("expected at least one certificate between BEGIN and END lines, found none".to_owned());
    }
    Ok(found)
}

/// A certificate with an RSA key.
///
/// # Errors
/// In words: it is none.
pub fn certificate_of(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "the certificate cannot be read".to_owned())?;
    // rsaEncryption (RFC 3279 2.3.1).
    if certificate.public_key().algorithm.algorithm.to_id_string() != "1.2.840.113549.1.1.1" {
        return Err("the certificate bears no RSA key".to_owned());
    }
    Ok(certificate)
}
