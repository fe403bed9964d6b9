//! Mounts that volumes need: tmpfs for what must not reach a disk, layers of images, bind mounts for
//! safe subPaths.
//!
//! A trait, because the mounts must be made where containers see them, which wiring knows.

use crate::VolumeError;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub trait Mounts: Send + Sync {
    /// Makes `directory` a place whose later mounts also containers see that were made before.
    ///
    /// # Errors
    /// The directory cannot be made, or this process may not mount.
    fn share(&self, directory: &Path) -> Result<(), VolumeError>;
    /// Mounts an empty file system in memory over the directory; `size` in bytes, None: the
    /// kernel's half of memory.
    fn tmpfs<'a>(&'a self, target: &'a Path, size: Option<u64>) -> BoxFuture<'a, Result<(), VolumeError>>;
    /// Shows the layers, topmost first and two at least, as one file system at `target`, from which
    /// can only be read.
    fn layers<'a>(&'a self, layers: &'a [PathBuf], target: &'a Path) -> BoxFuture<'a, Result<(), VolumeError>>;
    /// Shows what `source` is open on also at `target`, which exists.
    fn bind<'a>(&'a self, source: &'a OwnedFd, target: &'a Path) -> BoxFuture<'a, Result<(), VolumeError>>;
    /// Undoes one mount. Ok where nothing is mounted.
    fn unmount<'a>(&'a self, target: &'a Path) -> BoxFuture<'a, Result<(), VolumeError>>;
    /// Mount points at or below a directory, parents before children.
    fn below<'a>(&'a self, directory: &'a Path) -> BoxFuture<'a, Result<Vec<PathBuf>, VolumeError>>;
}

/// Mounts in this process's own mount namespace.
#[derive(Default)]
pub struct HostMounts;

impl HostMounts {
    /// Undoes all mounts at and below `directory`, [`Mounts::share`]'s own too.
    ///
    /// # Errors
    /// A mount that is in use by more than a process's open files.
    pub fn release(directory: &Path) -> Result<(), VolumeError> {
        let Ok(directory) = directory.canonicalize() else { return Ok(()) };
        for point in mount_points()?.into_iter().filter(|point| point.starts_with(&directory)).rev() {
            detach(&point)?;
        }
        Ok(())
    }
}

fn detach(target: &Path) -> Result<(), VolumeError> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(VolumeError::io("unmount", target, error)),
    }
}

impl Mounts for HostMounts {
    fn share(&self, directory: &Path) -> Result<(), VolumeError> {
        std::fs::create_dir_all(directory).map_err(|error| VolumeError::io("create", directory, error))?;
        let directory = directory.canonicalize().map_err(|error| VolumeError::io("resolve", directory, error))?;
        if !mount_points()?.contains(&directory) {
            rustix::mount::mount_bind(&directory, &directory)
                .map_err(|error| VolumeError::io("bind", &directory, error))?;
        }
        rustix::mount::mount_change(&directory, MountPropagationFlags::SHARED)
            .map_err(|error| VolumeError::io("share", &directory, error))
    }

    fn tmpfs<'a>(&'a self, target: &'a Path, size: Option<u64>) -> BoxFuture<'a, Result<(), VolumeError>> {
        Box::pin(async move {
            let options = size.map(|bytes| format!("size={bytes}")).unwrap_or_default();
            let data = CString::new(options).map_err(|error| VolumeError::io("mount", target, error))?;
            let flags = MountFlags::NODEV | MountFlags::NOSUID;
            rustix::mount::mount("tmpfs", target, "tmpfs", flags, data.as_c_str())
                .map_err(|error| VolumeError::io("mount tmpfs on", target, error))
        })
    }

    fn layers<'a>(&'a self, layers: &'a [PathBuf], target: &'a Path) -> BoxFuture<'a, Result<(), VolumeError>> {
        Box::pin(async move {
            let failed = |error| VolumeError::io("mount an image on", target, error);
            // By file descriptor: the kernel takes no more than a page of text.
            let open = |layer: &PathBuf| rustix::fs::open(layer, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let open = layers.iter().map(open).collect::<Result<Vec<OwnedFd>, _>>().map_err(failed)?;
            let names: Vec<String> = open.iter().map(|layer| format!("/proc/self/fd/{}", layer.as_raw_fd())).collect();
            let data = CString::new(format!("lowerdir={}", names.join(":")))
                .map_err(|error| VolumeError::io("mount an image on", target, error))?;
            let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
            rustix::mount::mount("overlay", target, "overlay", flags, data.as_c_str()).map_err(failed)
        })
    }

    fn bind<'a>(&'a self, source: &'a OwnedFd, target: &'a Path) -> BoxFuture<'a, Result<(), VolumeError>> {
        Box::pin(async move {
            let source = format!("/proc/self/fd/{}", source.as_raw_fd());
            rustix::mount::mount_bind_recursive(source.as_str(), target)
                .map_err(|error| VolumeError::io("bind to", target, error))
        })
    }

    fn unmount<'a>(&'a self, target: &'a Path) -> BoxFuture<'a, Result<(), VolumeError>> {
        Box::pin(async move { detach(target) })
    }

    fn below<'a>(&'a self, directory: &'a Path) -> BoxFuture<'a, Result<Vec<PathBuf>, VolumeError>> {
        Box::pin(async move {
            // Mount points are listed by their real paths.
            let Ok(directory) = directory.canonicalize() else { return Ok(Vec::new()) };
            Ok(mount_points()?.into_iter().filter(|point| point.starts_with(&directory)).collect())
        })
    }
}

fn mount_points() -> Result<Vec<PathBuf>, VolumeError> {
    let path = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(path).map_err(|error| VolumeError::io("read", path, error))?;
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect())
}

/// mountinfo writes blanks and backslashes as `\040` and the like.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let octal = field.get(index + 1..index + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (bytes[index], octal) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                index += 4;
            }
            (byte, _) => {
                plain.push(byte);
                index += 1;
            }
        }
    }
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(plain))
}
