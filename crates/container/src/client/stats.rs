//! What containers use: the cgroup's counts, and the size of what they wrote.

use super::Inner;
use crate::protocol::{SupervisorReply, SupervisorRequest};
use crate::runtime::{RuntimeError, Stats};
use std::path::{Path, PathBuf};

/// Most files counted below one directory; beyond it the size is what was counted.
const MAX_FILES: u64 = 2_000_000;

impl Inner {
    pub async fn container_stats(&self, id: &str) -> Result<Stats, RuntimeError> {
        let record = self.table().container(id)?.record.clone();
        let mut stats = self.usage(record.cgroup).await?;
        let upper = record.directory.join("fs/upper");
        let counted = self.env.tasks.spawn_blocking(move || disk_usage(&upper)).await;
        (stats.rootfs_used_bytes, stats.rootfs_used_inodes) = counted.unwrap_or_default();
        Ok(stats)
    }

    pub async fn sandbox_stats(&self, sandbox: &str) -> Result<Stats, RuntimeError> {
        let cgroup = self.table().sandbox(sandbox)?.record.cgroup.clone();
        self.usage(cgroup).await
    }

    async fn usage(&self, cgroup: String) -> Result<Stats, RuntimeError> {
        match self.ask(&SupervisorRequest::Usage { cgroup }).await?.0 {
            SupervisorReply::Usage(stats) => Ok(stats),
            _ => Err(RuntimeError::Failed { operation: "read usage", why: "unexpected answer".to_owned() }),
        }
    }
}

/// Bytes and files below a directory, on its own file system. Files that come and go meanwhile are no
/// error.
pub fn disk_usage(top: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut files) = (0, 0);
    let device = std::fs::metadata(top).map(|found| found.dev());
    let mut todo: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if device.as_ref().is_ok_and(|device| *device != found.dev()) {
                continue;
            }
            bytes += found.blocks() * 512;
            files += 1;
            if found.is_dir() {
                todo.push(entry.path());
            }
            if files >= MAX_FILES {
                return (bytes, files);
            }
        }
    }
    (bytes, files)
}
