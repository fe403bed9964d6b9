//! The supervisor and nothing else: what this crate's tests execute. Kutter's own binary calls
//! `container::dispatch` in the same way.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    container::dispatch(&args).unwrap_or(ExitCode::from(2))
}
