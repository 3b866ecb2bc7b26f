//! Owns what people are shown: read models over store, configuration and core, each with one form as text and one as JSON;
//! charts of them as SVG.
//!
//! Invariants: no terminal colours, no HTML, nothing decided here: what holds a lane is asked of the core. The JSON keys are documented
//! beside their fields and stable; times are RFC 3339 in UTC there, local in text.

pub mod audit;
pub mod chart;
pub mod daily;
pub mod forecast;
pub mod heard;
pub mod holds;
pub mod journal;
pub mod json;
pub mod law;
pub mod overrides;
pub mod overview;
pub mod picture;
pub mod revision;
pub mod seeds;
pub mod signing;
pub mod why;
pub mod words;
