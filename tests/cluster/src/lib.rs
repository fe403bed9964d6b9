//! Whole clusters under test: the kutter binary itself on hosts made of network namespaces, with
//! real containers, driven by kubectl as users drive it.
//!
//! Only tests use this. Everything here ends with its handle, whatever the test does: processes,
//! mounts, namespaces, tables, cgroups. It sees kutter from outside alone and links none of its
//! rooms but the client.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

pub mod admin;
pub mod kubectl;
pub mod kutter;
pub mod program;
pub mod remains;
pub mod requests;

use std::time::{Duration, Instant};

/// Looks until it finds something, for at most `seconds`; fails with what it saw last.
#[track_caller]
pub fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() > deadline => panic!("not within {seconds} s: {what}; last seen: {last}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// `Ok` where it holds; else what was seen instead.
pub fn holds(holds: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{seen:?}")) }
}
