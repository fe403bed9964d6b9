//! The project's own tools, as `cargo xtask COMMAND`:
//!
//! - `check`: what CI checks, in the order that fails fastest;
//! - `tidy`: the house rules that no compiler knows;
//! - `find-bugs [NAME...]`: that the simulator finds the bugs seeded on purpose;
//! - `new controller|command|strategy NAME`: a room with its first lines.

mod bugs;
mod new;
mod tidy;

use anyhow::Context as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["check"] => check(),
        ["tidy"] => tidy::run(&root()),
        ["find-bugs", names @ ..] => bugs::run(&root(), names),
        ["new", kind, name] => new::run(&root(), kind, name),
        _ => Err(anyhow::anyhow!("usage: cargo xtask check | tidy | find-bugs [NAME...] | new KIND NAME")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

fn check() -> anyhow::Result<()> {
    tidy::run(&root())?;
    for args in [
        &["fmt", "--all", "--check"][..],
        &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
        &["test", "--workspace"],
    ] {
        let status = Command::new("cargo").args(args).current_dir(root()).status().context("cannot run cargo")?;
        anyhow::ensure!(status.success(), "cargo {} failed", args.join(" "));
    }
    Ok(())
}
