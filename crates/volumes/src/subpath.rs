//! Safe subPaths: a part of a volume, mounted without ever following a link out of it, even while
//! another container of the pod changes what stands there.
//!
//! The part is opened with the kernel's own check that the path stays below the volume, and what was
//! opened is bound to a place that containers cannot reach.

use crate::{Mounts, VolumeError};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Binds `subpath` of the volume at `volume` to `target` and returns the target. A part that is
/// missing is made as a directory.
///
/// # Errors
/// The path leads out of the volume or cannot be opened.
pub async fn prepare(mounts: &dyn Mounts, volume: &Path, subpath: &str, target: &Path) -> Result<PathBuf, VolumeError> {
    let part = open(volume, subpath)?;
    let meta = rustix::fs::fstat(&part).map_err(|error| VolumeError::io("read", volume, error))?;
    let is_directory = rustix::fs::FileType::from_raw_mode(meta.st_mode).is_dir();
    mounts.unmount(target).await?;
    make_target(target, is_directory)?;
    mounts.bind(&part, target).await?;
    Ok(target.to_owned())
}

fn make_target(target: &Path, is_directory: bool) -> Result<(), VolumeError> {
    let failed = |error| VolumeError::io("create", target, error);
    if let Ok(meta) = std::fs::symlink_metadata(target) {
        if meta.is_dir() == is_directory {
            return Ok(());
        }
        if meta.is_dir() { std::fs::remove_dir(target) } else { std::fs::remove_file(target) }.map_err(failed)?;
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    if is_directory { std::fs::create_dir(target) } else { std::fs::write(target, "") }.map_err(failed)
}

/// Opens a part of the volume, making the directories that are missing.
pub(crate) fn open(volume: &Path, subpath: &str) -> Result<OwnedFd, VolumeError> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| VolumeError::io("open", volume, error))?;
    match beneath(&root, subpath) {
        Ok(part) => return Ok(part),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(refused(volume, subpath, error)),
    }
    let mut done = PathBuf::new();
    let mut parent = beneath(&root, ".").map_err(|error| refused(volume, subpath, error))?;
    for part in Path::new(subpath).components() {
        let std::path::Component::Normal(name) = part else {
            return Err(VolumeError::Escapes { subpath: subpath.to_owned(), volume: volume.display().to_string() });
        };
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(refused(volume, subpath, error)),
        }
        done.push(name);
        let path = done.to_string_lossy().into_owned();
        parent = beneath(&root, &path).map_err(|error| refused(volume, subpath, error))?;
    }
    Ok(parent)
}

fn beneath(root: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn refused(volume: &Path, subpath: &str, error: rustix::io::Errno) -> VolumeError {
    match error {
        rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => {
            VolumeError::Escapes { subpath: subpath.to_owned(), volume: volume.display().to_string() }
        }
        error => VolumeError::io("open", &volume.join(subpath), error),
    }
}
