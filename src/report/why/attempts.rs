//! Owns attempts as people read them: when, where, what the server said, what that meant.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::core::reply::{Action, Answer};
use crate::report::words::at;
use crate::store::AttemptRow;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// Message.
    pub message: String,
    /// When it left.
    pub at: Timestamp,
    /// `relay/bucket`
    pub lane: String,
    /// How far it came: `connect` ... `body`.
    pub stage: &'static str,
    /// The reply's code; null where none came.
    pub code: Option<u16>,
    /// The enhanced code.
    pub enhanced: Option<String>,
    /// The words of the server, or the fault.
    pub text: String,
    /// Whose fault; null where it was accepted.
    pub signal: Option<&'static str>,
    /// What its rule asked for; null where it was accepted.
    pub action: Option<&'static str>,
    /// The rule that decided; null for the built-in reading.
    pub rule: Option<String>,
    /// It counts against the quota.
    pub counted: bool,
}

impl AttemptView {
    /// From the stored row.
    #[must_use]
    pub fn of(row: &AttemptRow) -> Self {
        let attempt = &row.attempt;
        let (code, enhanced, text) = match &attempt.answer {
            Answer::Reply(reply) => (Some(reply.code), reply.enhanced.map(|e| e.to_string()), reply.text.clone()),
            Answer::Fault(fault) => (None, None, fault.to_string()),
        };
        Self {
            message: row.message.to_string(),
            at: attempt.released_at,
            lane: row.lane.to_string(),
            stage: attempt.stage.as_str(),
            code,
            enhanced,
            text: text.replace('\n', " / "),
            signal: attempt.action.map(|_| attempt.signal.as_str()),
            action: attempt.action.map(Action::as_str),
            rule: attempt.rule.as_ref().map(ToString::to_string),
            counted: row.counted,
        }
    }

    /// `2026-11-24 09:00:12  tokyo-new/docomo  rcpt: 450 4.2.0 try again (volume, throttle, rule docomo-450)`
    #[must_use]
    pub fn sentence(&self, zone: &TimeZone) -> String {
        let code = self.code.map(|c| format!("{c} ")).unwrap_or_default();
        let enhanced = self.enhanced.as_ref().map(|e| format!("{e} ")).unwrap_or_default();
        let meaning = match (self.signal, self.action, &self.rule) {
            (Some(signal), Some(action), Some(rule)) => format!(" ({signal}: {action}, rule {rule})"),
            (Some(signal), Some(action), None) => format!(" ({signal}: {action})"),
            _ => String::new(),
        };
        let free = if self.counted { "" } else { "; cost no quota" };
        let when = at(self.at, zone);
        format!("{when}  {}  {}: {code}{enhanced}{}{meaning}{free}", self.lane, self.stage, self.text.trim_end())
    }
}
