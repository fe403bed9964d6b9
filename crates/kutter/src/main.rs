//! The kutter binary: flags, configuration and wiring; nothing else.

mod agent;
mod command_line;
mod control_plane;
mod down;
mod failure;
mod images;
mod instance;
mod node;
mod rooms;
mod sealing;
mod signing;
mod status;
mod token;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // The node's own small processes are this binary under another name.
    if let Some(code) = container::dispatch(&args) {
        return code;
    }
    match command_line::run(args) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("kutter: {failure:#}");
            ExitCode::FAILURE
        }
    }
}
