//! Which images containers hold, read from disk: also while no kutter runs.

use crate::runtime::SandboxConfig;
use crate::state::{self, ContainerRecord, Layout, SandboxRecord};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A container with the layers of one image: its own, or one mounted into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `namespace/pod/container`.
    pub container: String,
    pub layers: Vec<PathBuf>,
}

/// Every container that is there, also one that has ended: it may be started again.
///
/// # Errors
/// A directory cannot be read. What goes away meanwhile is left out.
pub fn image_holders(state_dir: &Path) -> io::Result<Vec<Holder>> {
    let layout = Layout { root: state_dir.to_owned() };
    let mut holders = Vec::new();
    for sandbox in below(&layout.sandboxes())? {
        let Some(pod) = record::<SandboxRecord>(&sandbox, state::SANDBOX).map(|record| record.config) else { continue };
        for container in below(&sandbox.join("containers"))? {
            if let Some(record) = record::<ContainerRecord>(&container, state::CONTAINER) {
                holders.extend(held(&pod, record));
            }
        }
    }
    Ok(holders)
}

fn held(pod: &SandboxConfig, record: ContainerRecord) -> impl Iterator<Item = Holder> {
    let container = format!("{}/{}/{}", pod.namespace, pod.name, record.config.name);
    let all = std::iter::once(record.config.rootfs_layers).chain(record.config.mounted_images);
    all.map(move |layers| Holder { container: container.clone(), layers })
}

fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

fn record<T: serde::de::DeserializeOwned>(directory: &Path, name: &str) -> Option<T> {
    let directory = state::open_directory(directory).ok()?;
    state::read_record(directory.as_fd(), name).ok()
}
