//! Debian's cloud kernel and those of its modules that a node needs, unpacked below `target`.

use crate::images::files::Files;
use crate::images::{debian, default_folder};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the newest kernel's package as its dependency.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Folders of modules, below `kernel/`: networks and their filters, overlays, and what those use.
const MODULES: &[&str] = &["net", "fs/overlayfs", "drivers/net", "lib", "crypto", "arch/x86/crypto"];

/// The kernel as a boot loader takes it.
pub fn image() -> Result<PathBuf> {
    let boot = unpacked()?.join("boot");
    let found = entries(&boot)?.into_iter().find(|path| named(path).starts_with("vmlinuz-"));
    found.with_context(|| format!("no kernel in {}", boot.display()))
}

/// Adds its modules, with the list of what each needs.
pub fn add_modules(files: &mut Files) -> Result<()> {
    let root = unpacked()?.join("lib/modules");
    let version = entries(&root)?.into_iter().next().context("no modules")?;
    let below = format!("lib/modules/{}", named(&version));
    for folder in MODULES {
        add(files, &version.join("kernel").join(folder), &format!("{below}/kernel/{folder}"))?;
    }
    for list in ["modules.dep", "modules.alias", "modules.symbols"] {
        files.copy(&format!("{below}/{list}"), &version.join(list))?;
    }
    Ok(())
}

fn add(files: &mut Files, folder: &Path, path: &str) -> Result<()> {
    for entry in entries(folder)? {
        let inner = format!("{path}/{}", named(&entry));
        if entry.is_dir() {
            add(files, &entry, &inner)?;
        } else {
            files.copy(&inner, &entry)?;
        }
    }
    Ok(())
}

/// Downloads and unpacks it once.
fn unpacked() -> Result<PathBuf> {
    let folder = default_folder().with_file_name("test-kernel");
    if folder.is_dir() {
        return Ok(folder.join("packages"));
    }
    let beside = folder.parent().context("no folder for it")?;
    std::fs::create_dir_all(beside)?;
    let work = tempfile::tempdir_in(beside)?;
    let name = newest()?;
    let laid_out = debian::packages(&[&name], work.path()).with_context(|| format!("fetch {name}"))?;
    let version = entries(&laid_out.join("lib/modules"))?.into_iter().next().context("no modules")?;
    debian::run(Command::new("depmod").arg("--basedir").arg(&laid_out).arg(named(&version)))?;
    // Another test may have been faster: then its files are as good.
    match std::fs::rename(work.keep(), &folder) {
        Err(error) if !folder.is_dir() => return Err(error).context("keep the kernel"),
        _ => {}
    }
    Ok(folder.join("packages"))
}

/// The package of the newest kernel.
fn newest() -> Result<String> {
    if let Some(name) = dependency()? {
        return Ok(name);
    }
    // Package lists may be missing.
    debian::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    dependency()?.with_context(|| format!("no package {PACKAGE}"))
}

fn dependency() -> Result<Option<String>> {
    let output = Command::new("apt-cache").args(["depends", PACKAGE]).output().context("run apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn named(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
