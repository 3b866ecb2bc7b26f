//! Owns the reading of one mail that came back: what it reports, of whom, in whose words.
//!
//! Invariants: total and bounded (the first [`READ_MOST`] octets, [`PARTS_MOST`] parts, [`RECIPIENTS_MOST`] recipients); facts only, the
//! reply rules judge them; the machine's part of a report is believed before its prose; an automatic answer is never a refusal.

mod addresses;
mod arf;
mod automatic;
mod dsn;
mod parts;
mod prose;
mod said;

use sha2::{Digest, Sha256};

use crate::core::feedback::{Fate, Heard, Way};
use parts::Parts;

pub use said::{diagnostic, stage_in};

/// Octets of a mail that are looked at: reports come first in it, the original last.
pub const READ_MOST: usize = 1 << 20;
/// Parts of a mail that are looked at, those of mails inside it included.
pub const PARTS_MOST: usize = 200;
/// Recipients of one report.
pub const RECIPIENTS_MOST: usize = 1_000;
/// Longest evidence, in characters.
const EVIDENCE_MOST: usize = 2_000;

/// Why a mail reports nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReport {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has no header: it is no mail.
    #[error("it has no header, so it is no mail")]
    NoMail,
    /// Mail of a person, or of a program that reports nothing about a delivery.
    #[error("it reports nothing about a delivery (subject: {subject})")]
    Ordinary {
        /// Its subject.
        subject: String,
    },
    /// A feedback report that is no complaint.
    #[error("a feedback report of type {0}, which is no complaint")]
    OtherFeedback(String),
}

/// What `mail` reports, one entry a recipient.
///
/// # Errors
/// [`NotAReport`]: why it reports nothing.
pub fn read(mail: &[u8]) -> Result<Vec<Heard>, NotAReport> {
    read_for(mail, &[])
}

/// As [`read`], of a mail that was handed over for these recipients of the envelope: the first place to look for a token.
///
/// # Errors
/// As [`read`].
pub fn read_for(mail: &[u8], envelope: &[&str]) -> Result<Vec<Heard>, NotAReport> {
    if mail.iter().all(u8::is_ascii_whitespace) {
        return Err(NotAReport::Empty);
    }
    let parts = Parts::of(&mail[..mail.len().min(READ_MOST)], envelope).ok_or(NotAReport::NoMail)?;
    let mut heard = heard(&parts)?;
    heard.truncate(RECIPIENTS_MOST);
    for one in &mut heard {
        one.clues.clone_from(&parts.clues);
        one.at = one.at.or(parts.date);
        one.id = id(&parts, one);
        one.evidence = cut(&one.evidence, EVIDENCE_MOST);
    }
    Ok(heard)
}

fn heard(parts: &Parts) -> Result<Vec<Heard>, NotAReport> {
    if let Some(complaint) = arf::read(parts)? {
        return Ok(vec![complaint]);
    }
    let told = dsn::read(parts);
    if !told.is_empty() {
        return Ok(told);
    }
    if let Some(left) = automatic::left(parts) {
        return Ok(vec![left]);
    }
    let bounce = automatic::is_bounce(parts);
    if !bounce && automatic::is_answer(parts) {
        return Ok(vec![automatic::answer(parts)]);
    }
    if bounce {
        let told = prose::read(parts);
        if !told.is_empty() {
            return Ok(told);
        }
    }
    Err(NotAReport::Ordinary { subject: cut(&parts.subject, 100) })
}

/// The beginning of something that was heard by mail; clues, time and id come at the end.
fn blank(fate: Fate) -> Heard {
    Heard {
        way: Way::MAIL,
        id: String::new(),
        at: None,
        fate,
        said: crate::core::feedback::Diagnostic::default(),
        stage: None,
        remote: None,
        clues: Vec::new(),
        recipient: None,
        evidence: String::new(),
    }
}

/// The same for the same report, however it was stored on its way: trace headers in front of it do not matter.
fn id(parts: &Parts, heard: &Heard) -> String {
    let of = parts.message_id.clone().unwrap_or_else(|| {
        let date = parts.date.map(|at| at.to_string()).unwrap_or_default();
        format!("{}\n{date}\n{}\n{}", parts.subject, heard.said, parts.texts.concat())
    });
    let recipient = heard.recipient.as_deref().unwrap_or_default().to_lowercase();
    let digest = Sha256::new().chain_update(of).chain_update([0]).chain_update(recipient).chain_update([0]);
    let digest = digest.chain_update(heard.fate.as_str()).finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
