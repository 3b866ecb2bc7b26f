//! The rules of the house, kept by reading the sources. Each rule is tried on planted samples too, so that it can fail.
#![allow(clippy::unwrap_used)]

mod floors;
mod shape;
mod source;
