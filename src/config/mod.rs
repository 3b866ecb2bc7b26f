//! Owns what operators write: configuration, plans, campaigns, destination groups, reply rules; from YAML to what is meant.
//!
//! Invariants: every problem of a file is reported at once with file, line, column, what was expected and what came; unknown and
//! duplicate keys are refused; a value that is in force has a source; a secret is never in YAML, `Debug` or output.

pub mod bare;
pub mod campaign_file;
pub mod compared;
pub mod config_file;
pub mod curves;
pub mod ears;
pub mod fields;
pub mod groups_file;
pub mod in_force;
pub mod keys;
mod network;
pub mod plan_file;
pub mod presets;
pub mod problem;
pub mod providers;
mod replies_file;
mod secret;
pub mod settings;
pub mod shipped;
mod struck;
pub mod tree;

pub use network::{Network, NetworkError};
pub use settings::*;
