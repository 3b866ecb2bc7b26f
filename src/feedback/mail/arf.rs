//! Owns complaints: feedback reports (RFC 5965), and the older form that hands back the mail with the recipient in a header.

use super::addresses::of_field;
use super::parts::{Parts, fields};
use super::{NotAReport, blank};
use crate::core::feedback::{Fate, Heard};

/// `None`: it is no feedback report at all.
///
/// # Errors
/// It is one, and no complaint.
pub(super) fn read(parts: &Parts) -> Result<Option<Heard>, NotAReport> {
    if let Some(report) = parts.feedback.first() {
        let fields = fields(report);
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let kind = field("feedback-type").unwrap_or("other").to_lowercase();
        let fate = match kind.as_str() {
            "not-spam" | "auth-failure" | "auth_failure" | "dmarc" | "dkim" => {
                return Err(NotAReport::OtherFeedback(kind));
            }
            "opt-out" | "opt-out-list" | "unsubscribe" => Fate::Unsubscribed,
            _ => Fate::Complaint,
        };
        let recipient = ["original-rcpt-to", "original-recipient", "removal-recipient"]
            .iter()
            .find_map(|name| field(name).and_then(of_field))
            .or_else(|| parts.original("x-hmxmroriginalrecipient").and_then(of_field))
            .or_else(|| parts.original("to").and_then(of_field));
        let mut heard = Heard { recipient, evidence: report.trim().to_owned(), ..blank(fate) };
        heard.said.text = format!("complaint of type {kind}");
        heard.remote =
            field("reporting-mta").and_then(|value| value.split_once(';')).map(|(_, host)| host.trim().to_lowercase());
        return Ok(Some(heard));
    }
    // Microsoft's: the complaint is the mail itself, with the recipient in a header of it.
    let Some(recipient) =
        parts.original("x-hmxmroriginalrecipient").or_else(|| parts.header("x-hmxmroriginalrecipient"))
    else {
        return Ok(None);
    };
    let recipient_of = || parts.original("to").and_then(of_field);
    let mut heard = Heard { recipient: of_field(recipient).or_else(recipient_of), ..blank(Fate::Complaint) };
    heard.said.text = "complaint".to_owned();
    heard.evidence = format!("X-HmXmrOriginalRecipient: {recipient}");
    Ok(Some(heard))
}
