//! Owns certificates that verify a provider's signatures.
//!
//! Invariant: a key is given out only within the certificate's validity by the time that is asked about. Who vouches for a
//! certificate is settled where it comes from: verified TLS from the provider's own host, or a file of the operator's.

use jiff::Timestamp;

use super::{Refusal, Why};
use crate::config::providers::certificate_of;

/// The public key of a certificate (DER) as `RSAPublicKey`, when it is valid now.
///
/// # Errors
/// [`Refusal`]: it cannot be read, or is not valid yet or any more.
pub fn key(der: &[u8], now: Timestamp) -> Result<Vec<u8>, Refusal> {
    let forged = |words: String| Refusal::new(Why::Forged, words);
    let certificate = certificate_of(der).map_err(forged)?;
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let shown = |second: i64| Timestamp::from_second(second).map_or_else(|_| second.to_string(), |t| t.to_string());
    if now.as_second() < from {
        return Err(forged(format!(
            "its certificate is valid only from {} on; is this machine's clock right?",
            shown(from)
        )));
    }
    if now.as_second() > until {
        return Err(forged(format!("its certificate was valid until {}", shown(until))));
    }
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}
