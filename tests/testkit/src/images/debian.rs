//! What this machine's Debian gives: programs with their libraries, and packages not installed.

use super::files::Files;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Adds the program `source` as `path`, with every library it loads.
pub fn program(files: &mut Files, path: &str, source: &Path) -> Result<()> {
    files.copy(path, source)?;
    for library in libraries(source)? {
        let name = library.to_string_lossy().trim_start_matches('/').to_owned();
        files.copy(&name, &library)?;
    }
    Ok(())
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} lacks a library on this machine: {}", program.display(), missing.trim());
    }
    // `name => /path (address)`, or `/path (address)` for the loader; nothing for a static program.
    let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// Downloads packages and lays their files out below `work`, without installing them.
pub fn packages(names: &[&str], work: &Path) -> Result<PathBuf> {
    if download(names, work).is_err() {
        // Package lists may be missing or old.
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        download(names, work)?;
    }
    let laid_out = work.join("packages");
    for entry in std::fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(&laid_out))?;
        }
    }
    Ok(laid_out)
}

fn download(names: &[&str], work: &Path) -> Result<()> {
    run(Command::new("apt-get").args(["download", "--quiet"]).args(names).current_dir(work))
}

pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
