//! Images that specs run programs in: shells, upstream's test programs, tools that ask the DNS.

use super::Contents;
use crate::upstream::Upstream;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use testkit::images::files::Files;
use testkit::images::{busybox as own_busybox, debian};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where Debian's C library looks names up.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

fn with_busybox() -> Result<Files> {
    let mut files = Files::base();
    own_busybox::add(&mut files, &[])?;
    Ok(files)
}

/// As [`with_busybox`], but with a shell that runs what stands in the path: busybox's own prefers its
/// own commands.
fn with_shell() -> Result<Files> {
    let mut files = Files::base();
    own_busybox::add(&mut files, &["ash", "nc", "sh"])?;
    debian::program(&mut files, "bin/sh", Path::new("/bin/dash"))?;
    Ok(files)
}

/// Adds programs of this machine, which `make conformance` has installed.
fn add_tools(files: &mut Files, tools: &[&str]) -> Result<()> {
    for tool in tools {
        debian::program(files, &format!("usr/bin/{tool}"), &Path::new("/usr/bin").join(tool))?;
    }
    files.text("etc/nsswitch.conf", NSSWITCH);
    Ok(())
}

pub fn busybox(_: &Upstream, _: &Path) -> Result<Contents> {
    Ok((with_busybox()?, json!({"Cmd": ["sh"], "Env": [PATH]})))
}

pub fn dnsutils(_: &Upstream, _: &Path) -> Result<Contents> {
    let mut files = with_shell()?;
    add_tools(&mut files, &["dig", "getent"])?;
    Ok((files, json!({"Cmd": ["sh"], "Env": [PATH]})))
}

/// Upstream's program of many parts, beside the tools that specs call in its image.
pub fn agnhost(upstream: &Upstream, _: &Path) -> Result<Contents> {
    Ok((agnhost_files(upstream)?, json!({"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "Env": [PATH]})))
}

pub fn agnhost_files(upstream: &Upstream) -> Result<Files> {
    let mut files = with_shell()?;
    add_tools(&mut files, &["curl", "dig", "getent"])?;
    debian::program(&mut files, "usr/bin/nc", Path::new("/usr/bin/nc.openbsd"))?;
    debian::program(&mut files, "bin/bash", Path::new("/bin/bash"))?;
    files.copy("agnhost", &upstream.program("agnhost"))?.link("agnhost-2", "agnhost").folder("uploads", 0o755);
    for name in ["localhost.crt", "localhost.key"] {
        files.copy(name, &upstream.source.join("test/images/agnhost/porter").join(name))?;
    }
    Ok(files)
}

/// A program that runs as its owner unless that is forbidden.
pub fn nonewprivs(upstream: &Upstream, _: &Path) -> Result<Contents> {
    let mut files = with_busybox()?;
    files.copy_as("usr/local/bin/nnp", &upstream.program("nonewprivs"), 0o6755)?;
    Ok((files, json!({"Cmd": ["nnp"], "Env": [PATH]})))
}

pub fn nonroot(_: &Upstream, _: &Path) -> Result<Contents> {
    Ok((with_busybox()?, json!({"Cmd": ["sh"], "Env": [PATH], "User": "1234"})))
}

/// Upstream's few lines of C, and nothing else.
pub fn pause(upstream: &Upstream, work: &Path) -> Result<Contents> {
    let (source, program) = (upstream.source.join("build/pause/linux/pause.c"), work.join("pause"));
    debian::run(Command::new("gcc").args(["-Os", "-static", "-o"]).arg(&program).arg(source)).context("build pause")?;
    let mut files = Files::base();
    files.copy("pause", &program)?;
    Ok((files, json!({"Entrypoint": ["/pause"], "User": "65535:65535"})))
}
