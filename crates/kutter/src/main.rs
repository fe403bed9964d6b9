//! The kutter binary: flags, configuration and wiring; nothing else.

mod access_flags;
mod agent;
mod api_flags;
mod command_line;
mod control_plane;
mod convert;
mod down;
mod failure;
mod images;
mod instance;
mod lead;
mod node;
mod node_flags;
mod process;
mod rooms;
mod rotation;
mod sealing;
mod signing;
mod split;
mod status;
mod token;
mod up;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Objects are trees of small texts, made and dropped with every request: on this allocator a write
/// costs a fifth less than on the C library's (docs/perf.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // The node's own small processes are this binary under another name.
    if let Some(code) = container::dispatch(&args) {
        return code;
    }
    if called_as(&args, "kubectl") {
        return cli::main(args);
    }
    if args.get(1).is_some_and(|arg| arg == "kubectl") {
        return cli::main(args[1..].to_vec());
    }
    match command_line::run(args) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("kutter: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn called_as(args: &[OsString], name: &str) -> bool {
    args.first().map(Path::new).and_then(Path::file_stem).is_some_and(|stem| stem == name)
}
