//! Owns the names an operator gives to things: relays, pools, groups, buckets, plans, campaigns.
//!
//! Invariant: a name is kebab-case, 1 to 64 characters; it can stand in a file name, a log line and a command.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a name: lower-case letters, digits and single hyphens between them, at most 64 characters")]
pub struct NameError(pub String);

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` as a name.
            ///
            /// # Errors
            /// [`NameError`] when it is not kebab-case or longer than 64 characters.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(NameError(text.to_owned())) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }
    };
}

name!(
    /// One authenticated SMTP server as one sending identity.
    RelayName
);
name!(
    /// The relays that a campaign may use.
    PoolName
);
name!(
    /// A destination group: recipient domains with a name of their own.
    GroupName
);
name!(
    /// Groups that one receiving system serves; the unit, with a relay, of plan, quota and health.
    BucketName
);
name!(
    /// A warm-up plan.
    PlanName
);
name!(
    /// A newsletter batch.
    CampaignName
);

impl BucketName {
    /// The bucket of a group that shares its system with no other group.
    #[must_use]
    pub fn of_group(group: &GroupName) -> Self {
        Self(group.0.clone())
    }
}

/// Relay x bucket: the unit of plan, quota, throttle, health and decision. Written `relay/bucket`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LaneKey {
    /// The sending identity.
    pub relay: RelayName,
    /// The receiving system.
    pub bucket: BucketName,
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.relay, self.bucket)
    }
}

impl std::str::FromStr for LaneKey {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (relay, bucket) = text.split_once('/').ok_or_else(|| NameError(text.to_owned()))?;
        Ok(Self { relay: RelayName::new(relay)?, bucket: BucketName::new(bucket)? })
    }
}
