//! Owns one row of a list as the mail that would leave for it: nothing is stored or sent.

use std::path::Path;

use serde::Serialize;

use super::clean::{clean, columns_json};
use super::rows::{List, Row};
use super::{Intake, Refused, Submission};
use crate::compose::{Composer, Recipient};
use crate::core::campaign::MessageId;
use crate::core::names::{BucketName, GroupName, RelayName};

/// A mail as it would leave. The keys of its JSON are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Row below the header, from 1; empty lines do not count.
    pub row: u64,
    /// Line of the list.
    pub line: u64,
    /// Relay whose headers it has: the pool's first.
    pub relay: RelayName,
    /// Destination group.
    pub group: GroupName,
    /// Its bucket.
    pub bucket: BucketName,
    /// Envelope sender.
    pub envelope_from: String,
    /// Envelope recipient.
    pub recipient: String,
    /// Octets of the whole message.
    pub size: usize,
    /// Subject as it is read.
    pub subject: String,
    /// Header section as it goes out.
    pub headers: String,
    /// Text part as it is read.
    pub text: Option<String>,
    /// HTML part as it is read.
    pub html: Option<String>,
    /// The row's columns: a JSON object of texts.
    #[serde(skip)]
    pub columns: String,
    /// The message as it goes out.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Intake<'_> {
    /// The mail for row `row` (from 1) of the submission's list. Its token is not that of a real message.
    ///
    /// # Errors
    /// Every problem of list and templates, or why the row is refused.
    pub fn preview(&self, submission: &Submission, row: u64) -> Result<Preview, Refused> {
        let mut problems = Vec::new();
        let relays = self.relays(&submission.pool).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let templates = self.templates(submission).map_err(|errors| problems.extend(errors)).ok();
        let list = List::open(&submission.list, submission.reading, &mut |_| {})
            .map_err(|problem| problems.push(problem))
            .ok();
        if let (Some(templates), Some(list)) = (&templates, &list) {
            problems.extend(templates.undefined(&list.header.names).into_iter().map(|e| e.0));
        }
        let (Some(templates), Some(mut list), Some(relay), true) =
            (templates, list, relays.first(), problems.is_empty())
        else {
            return Err(Refused::Problems(problems));
        };
        list.need(templates.used(&list.header.names));
        let mut preview = self.find(&list, row, &submission.list)?;
        let identity = relay.identity();
        let address = preview.recipient.clone();
        let recipient = Recipient { message: MessageId(0), address: &address, columns: &preview.columns };
        let compose =
            || Ok((templates.compose(recipient, &identity, self.clock.now())?, templates.show(recipient, &identity)?));
        let (outgoing, shown) = compose().map_err(|e: crate::compose::ComposeError| e.0)?;
        let text = String::from_utf8_lossy(&outgoing.bytes);
        preview.headers = text.split_once("\r\n\r\n").map_or(text.as_ref(), |(h, _)| h).replace("\r\n", "\n");
        preview.relay = relay.name.clone();
        (preview.envelope_from, preview.recipient) = (outgoing.envelope_from, outgoing.recipient);
        (preview.subject, preview.text, preview.html) = (shown.subject, shown.text, shown.html);
        (preview.size, preview.bytes) = (outgoing.bytes.len(), outgoing.bytes);
        Ok(preview)
    }

    /// Row `row` of the list, cleaned; everything about the mail is still to be filled in.
    fn find(&self, list: &List, row: u64, path: &Path) -> Result<Preview, Refused> {
        let mut rows = list.rows()?;
        let mut at = 0;
        while let Some(Row { line, record, refusal }) = rows.next_checked()? {
            at += 1;
            if at < row {
                continue;
            }
            let path = path.display();
            let judged = refusal.map_or_else(|| clean(record, &list.header, &self.config.groups), |r| Some(Err(r)));
            return match judged {
                Some(Ok(clean)) => Ok(Preview {
                    row,
                    line,
                    relay: self.config.relays.keys().next().cloned().ok_or("there is no relay".to_owned())?,
                    group: clean.group.name.clone(),
                    bucket: clean.group.bucket.clone(),
                    envelope_from: String::new(),
                    recipient: clean.address.to_string(),
                    size: 0,
                    subject: String::new(),
                    headers: String::new(),
                    text: None,
                    html: None,
                    columns: columns_json(record, &list.header, &clean.address),
                    bytes: Vec::new(),
                }),
                Some(Err(refusal)) => Err(format!("{path}:{line}: row {row} is refused: {}", refusal.why).into()),
                None => Err(format!("{path}:{line}: row {row} is empty").into()),
            };
        }
        Err(format!("{} has {at} rows; there is no row {row}", path.display()).into())
    }
}
