//! Upstream's own conformance suite against three nodes of kutter, and the sums made of it.
//!
//! The suite is version 1.20.2, built from Debian's source package by `tools/upstream`; images it
//! asks for are stand-ins made on this machine, so that nothing outside of it is reached. The
//! program `conformance` runs it all; `make conformance` is how people call it. What must keep
//! passing stands in `kept.txt`, why the rest fails in `reasons.tsv`, and who shows each behaviour
//! of version 1.37 in `behaviours.tsv`. It starts kutter as users do and links none of its rooms.
#![allow(clippy::disallowed_methods)]

pub mod behaviours;
pub mod cluster;
pub mod images;
pub mod interrupt;
pub mod junit;
pub mod kept;
pub mod memory;
pub mod report;
pub mod selection;
pub mod suite;
pub mod summary;
pub mod swap;
pub mod upstream;

use std::path::{Path, PathBuf};

/// The checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
