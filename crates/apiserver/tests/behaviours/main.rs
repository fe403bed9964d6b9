//! What version 1.37 tests for conformance of the API server alone, over a real connection: each
//! test is named in `tests/conformance/behaviours.tsv`.

#![allow(clippy::unwrap_used)]

#[path = "../listening/mod.rs"]
mod listening;
#[path = "../started/mod.rs"]
mod started;

mod discovery;
mod lists;
mod objects;
mod rig;
mod selectors;
mod validation;
