//! The supervisor and nothing else: what this crate's tests execute. Kutter's own binary calls
//! `container::dispatch` in the same way.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let [_, command, state] = args.as_slice()
        && command == "mounts"
    {
        return show_mounts(state.as_ref());
    }
    container::dispatch(&args).unwrap_or(ExitCode::from(2))
}

/// Joins the supervisor's mount namespace and says which it is.
fn show_mounts(state: &std::path::Path) -> ExitCode {
    let joined = container::join_mounts(state);
    match joined.and_then(|joined| Ok((joined, std::fs::read_link("/proc/self/ns/mnt")?))) {
        Ok((joined, now)) => {
            println!("joined {joined}, now in {}", now.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
