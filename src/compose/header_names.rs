//! Owns which headers a campaign or a relay may set, and how long a line of a message may be.

use super::ComposeError;

/// Longest line that SMTP must carry, without CRLF, octets (RFC 5321 4.5.3.1.6).
pub const LINE_MAX: usize = 998;

/// Headers that Hikagen writes itself, or that belong to the systems on the way.
const OWN_HEADERS: [&str; 23] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-language",
    "content-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "return-path",
    "received",
    "delivered-to",
    "dkim-signature",
    "resent-to",
];

/// Whether `name` can be the name of a header: printable ASCII but the colon (RFC 5322 3.6.8), at most 76 characters.
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    (1..=76).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Whether Hikagen writes this header itself, or it belongs to the systems on the way. In any case of letters.
#[must_use]
pub fn is_own_header(name: &str) -> bool {
    OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a campaign or a relay may set this header.
///
/// # Errors
/// In words: not a header name, or one that Hikagen writes itself.
pub fn check_header_name(name: &str) -> Result<(), ComposeError> {
    if !is_header_name(name) {
        return Err(ComposeError(format!(
            "\"{}\" is not a header name: printable ASCII without blanks and colons, at most 76 characters",
            name.escape_debug()
        )));
    }
    if is_own_header(name) {
        return Err(ComposeError(format!("the header {name} cannot be set: it is written by Hikagen or on the way")));
    }
    Ok(())
}
