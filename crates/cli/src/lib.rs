//! kubectl: one command a file.
//!
//! [`main`] takes a command line and talks to whatever server the kubeconfig names, over HTTPS
//! only: this is a client like any other, and knows nothing of the process it may run in. Output,
//! messages and exit codes are kubectl's.

mod change_cause;
mod changes;
mod command;
mod commands;
pub mod convert;
mod describe;
mod detach;
mod discovery;
mod download;
mod failure;
mod flags;
mod go_template;
mod jsonpath;
mod kustomize;
mod last_applied;
mod output;
mod preferences;
mod print;
mod session;
mod shared_flags;
mod targets;
pub mod templates;
mod terminal;
mod whole_file;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs kubectl with a command line whose first word is the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let line: Vec<String> = args.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            output::error_line(&format!("error: cannot start: {why}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(command::run(&commands::ROOT, &line)) {
        Ok(()) => 0,
        Err(failure) => command::tell(&failure),
    };
    // A read of standard input may still be waiting; it must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}
