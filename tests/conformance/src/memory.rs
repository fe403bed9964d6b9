//! A folder in memory for the nodes' data: how full this machine's disk happens to be must not
//! decide which images they throw away.

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, UnmountFlags};
use std::path::{Path, PathBuf};

/// What three nodes with all images need, and room for what runs there.
const LIMIT: &std::ffi::CStr = c"size=8g";

/// Gone when it is dropped.
pub struct Memory(PathBuf);

impl Memory {
    pub fn mount(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), LIMIT)
            .with_context(|| format!("mount a folder in memory at {}", path.display()))?;
        Ok(Memory(path.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}
