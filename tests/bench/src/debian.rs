//! Debian's programs that upstream is measured with, unpacked into a cache folder: nothing is
//! installed, no service starts, nothing is left on the machine's own paths.

use crate::process::output;
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of an unpacked package; fetched where it is not there yet.
pub fn package(cache: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let root = cache.join("debian").join(name);
    if root.exists() {
        return Ok(root);
    }
    let part = cache.join("debian").join(format!("{name}.part"));
    drop(fs::remove_dir_all(&part));
    fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let download = |folder: &Path| {
        let mut command = Command::new("apt-get");
        output(command.args(["download", "-qq", "-o", "APT::Sandbox::User=root", name]).current_dir(folder))
    };
    if download(&part).is_err() {
        output(Command::new("apt-get").args(["update", "-qq"]))?;
        download(&part).with_context(|| format!("cannot fetch Debian's {name}"))?;
    }
    let archive = fs::read_dir(&part)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let archive = archive.with_context(|| format!("apt-get download gave no {name}"))?;
    output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&part))?;
    fs::remove_file(&archive)?;
    fs::rename(&part, &root)?;
    Ok(root)
}
