//! The shapes of `--json`, documented beside each field and held by `tests/stories/json_shapes.rs`: `status` is an
//! [`Overview`](super::overview::Overview), `lane list` a list of [`LaneView`](super::overview::LaneView), `why` a
//! [`Why`](super::why::Why), `audit` an [`Audit`](super::audit::Audit). `pause` says `paused`, `reason`, `since`, `until` (null:
//! until resumed); `resume` says `resumed`, `ended` (pauses taken off), `still_paused` (scopes); `store backup` says `store`,
//! `backup`; `init` says `dir`, `files`.
//!
//! Times are RFC 3339 in UTC, plan days are dates, lanes are written `relay/bucket`, messages `m123`. A key is never left out:
//! what is not known is null. Further keys may be added; none is renamed or given another meaning within a major version.
