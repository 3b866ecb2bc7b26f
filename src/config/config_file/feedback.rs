//! Owns the reading of `feedback`: what comes back from beyond the relay.

use std::path::Path;

use super::{providers, watched};
use crate::config::fields::Fields;
use crate::config::keys::feedback::FEEDBACK;
use crate::config::settings::FeedbackSettings;

/// Most reports that a full mailbox may be waited for.
const FULL_MOST: u32 = 100;

/// The settings; defaults where nothing is written. Relative paths begin at `folder`.
pub(super) fn read(top: &Fields<'_>, folder: &Path) -> FeedbackSettings {
    let mut settings = FeedbackSettings::default();
    let Some(map) = top.map("feedback", "full_mailbox_after, mailboxes, logs, ses, sendgrid") else { return settings };
    map.known(&FEEDBACK);
    let after = map.read("full_mailbox_after", |problems, node| {
        let after = problems.count(node)?.get();
        let fits = after <= FULL_MOST;
        if !fits {
            problems.expected(node, "a number of reports from 1 to 100");
        }
        fits.then_some(after)
    });
    settings.full_mailbox_after = after.unwrap_or(settings.full_mailbox_after);
    watched::read(&map, top, folder, &mut settings);
    settings.providers = providers::read(&map, folder);
    settings
}
