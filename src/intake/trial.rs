//! Owns a trial: one row's mail to an address of the operator's, as a campaign of its own beside the real one.
//!
//! Invariants: the real campaign is not touched; the mail goes the way of all mail, through plan and limits; as transactional
//! mail it waits for no window, and what has not left within an hour expires.

use jiff::{SignedDuration, Timestamp};

use super::clean::clean_address;
use super::{Intake, Refused, Submission};
use crate::compose::{Composer, Recipient};
use crate::core::campaign::{CampaignId, Class, MessageId};
use crate::core::names::CampaignName;
use crate::core::plan::AddressForm;
use crate::store::{NewCampaign, NewMessage};

/// How long a trial may wait.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// A trial in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Its campaign.
    pub campaign: CampaignName,
    /// That campaign's number.
    pub id: CampaignId,
    /// Its only message; `None` when the address is on the suppression list and nothing was stored for it.
    pub message: Option<MessageId>,
}

impl Intake<'_> {
    /// Queues the mail for row `row` of the submission's list to `to` instead.
    ///
    /// # Errors
    /// Every problem of list and templates, or why no mail can go to `to`.
    pub async fn try_out(&self, submission: &Submission, row: u64, to: &str) -> Result<Trial, Refused> {
        let address = clean_address(to).map_err(|refusal| format!("--to {}: {}", to.escape_debug(), refusal.why))?;
        let preview = self.preview(submission, row)?;
        let route = self.config.groups.route(address.domain());
        if route.dead {
            return Err(format!("--to {address}: the domain is out of service").into());
        }
        if address.is_irregular() && route.group.irregular == AddressForm::Refused {
            return Err(format!("--to {address}: group {} never gave such addresses out", route.group.name).into());
        }
        let columns = with_email(&preview.columns, &address.to_string());
        let recipient = Recipient { message: MessageId(0), address: &address.to_string(), columns: &columns };
        let templates = self.templates(submission).map_err(Refused::Problems)?;
        for relay in self.relays(&submission.pool)? {
            templates.compose(recipient, &relay.identity(), self.clock.now()).map_err(|e| e.0)?;
        }
        let now = self.clock.now();
        let campaign = name(&submission.name, now)?;
        let trial = Submission {
            name: campaign.clone(),
            start: now,
            finish_by: None,
            not_after: Some(now + PATIENCE),
            class: Class::Transactional,
            ..submission.clone()
        };
        let new = NewCampaign {
            name: campaign.clone(),
            pool: trial.pool.clone(),
            from: trial.content.from.clone(),
            revision: trial.revision(),
        };
        let id = self.store.create_campaign(new, now).await?;
        let message = NewMessage {
            address: address.to_string(),
            key: address.key(),
            bucket: route.group.bucket.clone(),
            score: 0,
            columns,
            refused: None,
        };
        self.store.enqueue(id, vec![message], 0, false, now).await?;
        self.store.finish_intake(id, 0, false, now).await?;
        let message = self.store.messages_of(id, &[], None, 1).await?.first().map(|row| row.id);
        Ok(Trial { campaign, id, message })
    }
}

/// The columns with another address.
fn with_email(columns: &str, email: &str) -> String {
    let mut map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(columns).unwrap_or_default();
    map.insert("email".to_owned(), email.into());
    serde_json::Value::Object(map).to_string()
}

/// `test-`, what fits of the campaign's name, and the time.
fn name(campaign: &CampaignName, now: Timestamp) -> Result<CampaignName, String> {
    let stem: String = campaign.as_str().chars().take(40).collect();
    let text = format!("test-{}-{}", stem.trim_end_matches('-'), now.as_millisecond());
    CampaignName::new(&text).map_err(|e| e.to_string())
}
