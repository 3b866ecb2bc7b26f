//! Owns the question whether a campaign may be submitted again, and what that changes.
//!
//! Invariants: `from` and pool never change; template, headers and schedule change only when that was asked for, and only for
//! unsent mail; a campaign that has ended keeps its name for itself.

use super::{Done, Options, Submission};
use crate::compose::Content;
use crate::core::campaign::CampaignState;
use crate::store::CampaignRow;

/// What a submission means for a campaign that may exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resubmission {
    pub(super) done: Done,
    /// A new revision is stored.
    pub(super) revises: bool,
}

impl Resubmission {
    /// Judges a submission against what the store has.
    ///
    /// # Errors
    /// Why it is refused, each reason in words.
    pub(super) fn judge(
        submission: &Submission,
        existing: Option<&CampaignRow>,
        options: Options,
    ) -> Result<Self, Vec<String>> {
        let name = &submission.name;
        let Some(row) = existing else { return Ok(Self { done: Done::Created, revises: false }) };
        if matches!(row.state, CampaignState::Finished | CampaignState::Cancelled) {
            return Err(vec![format!(
                "campaign {name} is {}: its name cannot be used again; give the new newsletter a name of its own",
                row.state.as_str()
            )]);
        }
        let mut problems = Vec::new();
        if row.from != submission.content.from {
            problems.push(format!(
                "campaign {name} is from {}; that never changes (the file says {}): use a new name",
                row.from, submission.content.from
            ));
        }
        if row.pool != submission.pool {
            problems.push(format!(
                "campaign {name} goes through pool {}; that never changes (the file says {}): use a new name",
                row.pool, submission.pool
            ));
        }
        let revises = row.current.digest != submission.revision().digest;
        // Of a campaign whose first submission stopped half-way nothing has left: it may still change.
        if revises && !options.update && row.state != CampaignState::Loading {
            problems.push(format!(
                "campaign {name} was submitted before, and its file changed since: {}; \
                 --update changes what is unsent, or take the change back to add to the list only",
                changes(submission, row).join(", ")
            ));
        }
        let done = match row.state {
            CampaignState::Loading => Done::Resumed,
            _ if revises => Done::Updated,
            _ => Done::Resubmitted,
        };
        if problems.is_empty() { Ok(Self { done, revises }) } else { Err(problems) }
    }
}

/// What differs from the stored revision.
fn changes(submission: &Submission, row: &CampaignRow) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let new = &submission.content;
    if let Ok(old) = serde_json::from_str::<Content>(&row.current.content) {
        let parts = [
            ("reply_to", old.reply_to != new.reply_to),
            ("subject", old.subject != new.subject),
            ("text", old.text != new.text),
            ("html", old.html != new.html),
            ("eml", old.parts != new.parts),
            ("headers", old.headers != new.headers),
            ("unsubscribe", old.unsubscribe != new.unsubscribe),
        ];
        changed.extend(parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name));
    }
    if row.current.class != submission.class {
        changed.push("priority");
    }
    if row.current.weight != submission.weight {
        changed.push("weight");
    }
    if changed.is_empty() {
        changed.push("start, finish_by or not_after");
    }
    changed
}
