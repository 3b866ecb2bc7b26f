//! Owns the words of the decision journal: who or which rule decided what about a lane, a relay or a campaign, when, from what.
//!
//! Invariant: an entry is written once and never changed; what it says stands by itself, without the state of that time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::names::{BucketName, RelayName};

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who: `gate`, `throttling`, `budget`, the id of a reply rule, or an operator as `name@host`.
    pub by: String,
    /// About which relay; `None`: about none in particular.
    pub relay: Option<RelayName>,
    /// About which of its lanes; `None`: the relay as a whole.
    pub bucket: Option<BucketName>,
    /// The plan day that it is about.
    pub day: Option<Date>,
    /// What was decided.
    pub kind: Kind,
    /// Why, in words.
    pub because: String,
    /// The figures that it rests on, by name.
    pub inputs: BTreeMap<String, String>,
    /// What was in force before.
    pub before: String,
    /// What is in force now.
    pub after: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was decided.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word used in the store and in output.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// The gate judged a plan day.
    Verdict = "verdict",
    /// A late answer made an earlier verdict worse.
    Amended = "amended",
    /// A lane slowed down within the day.
    Slowed = "slowed",
    /// A lane climbs back.
    Quickened = "quickened",
    /// A pause began.
    Paused = "paused",
    /// A pause was ended by the operator.
    Resumed = "resumed",
    /// The operator keeps a lane on its warm-up day.
    Held = "held",
    /// The operator lets it go on.
    HoldLifted = "hold-lifted",
    /// The operator set the warm-up day.
    DaySet = "day-set",
    /// The operator lifted a slowing down.
    Lifted = "lifted",
    /// A revision of a plan came into force.
    PlanApplied = "plan-applied",
    /// A campaign was stopped.
    CampaignStopped = "campaign-stopped",
}

impl Kind {
    /// The kind of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_word_as_it_is_written_in_json() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.as_str()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).expect("JSON"), format!("\"{}\"", kind.as_str()));
        }
    }
}
