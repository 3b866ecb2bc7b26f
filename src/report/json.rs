//! The shapes of `--json`: documented beside each field, stable, held by `tests/stories/json_shapes.rs`.
//!
//! | command | shape |
//! |---|---|
//! | `status` | [`Overview`](super::overview::Overview) |
//! | `lane list` | list of [`LaneView`](super::overview::LaneView) |
//! | `why X` | [`Why`](super::why::Why) |
//! | `audit` | [`Audit`](super::audit::Audit) |
//! | `pause`, `lane pause` | `paused`, `reason`, `since`, `until` (null: until resumed) |
//! | `resume`, `lane resume` | `resumed`, `ended` (pauses taken off), `still_paused` (scopes that hold it yet) |
//! | `store backup` | `store`, `backup` |
//! | `init` | `dir`, `files` |
//!
//! Times are RFC 3339 in UTC, plan days are dates, lanes are written `relay/bucket`, messages `m123`. A key is never left out:
//! what is not known is null. Further keys may be added; none is renamed or given another meaning within a major version.
