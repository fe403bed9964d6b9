//! `busybox`: Debian's static one, with a link for each of its commands.

use super::docker_archive::Image;
use super::files::Files;
use super::{Family, Made, debian, recipe};
use anyhow::{Context, Result};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "/bin/busybox";

pub const FAMILY: Family = Family { name: "busybox", tags: &["latest", "1.28"], sources, make };

pub fn sources() -> Vec<PathBuf> {
    let mut sources = recipe();
    sources.push(PROGRAM.into());
    sources
}

fn make(_work: &Path) -> Result<Made<'static>> {
    let mut files = Files::base();
    add(&mut files, &[])?;
    let run = json!({"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]});
    Ok(Made { files, images: vec![Image { tags: FAMILY.tags, run }] })
}

/// Adds busybox with its commands in `/bin`, but for those in `except`.
pub fn add(files: &mut Files, except: &[&str]) -> Result<()> {
    debian::program(files, "bin/busybox", Path::new(PROGRAM)).context("is the package busybox-static installed?")?;
    let commands = Command::new(PROGRAM).arg("--list").output().context("run busybox")?;
    for command in String::from_utf8_lossy(&commands.stdout).lines() {
        if command != "busybox" && !except.contains(&command) {
            files.link(&format!("bin/{command}"), "busybox");
        }
    }
    // Scripts name it there.
    files.link("usr/bin/env", "../../bin/busybox");
    Ok(())
}
