//! kubectl: one command a file.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs kubectl with a command line whose first word is the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    eprintln!("error: unknown command {:?} for \"kubectl\"", args.get(1).cloned().unwrap_or_default());
    ExitCode::FAILURE
}
