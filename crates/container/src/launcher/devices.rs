//! Device nodes of a container's /dev.

use super::{LaunchError, step};
use crate::runtime::ContainerConfig;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::tree;

const STANDARD: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Parts of the host's /dev that a privileged container has its own of.
const OWN: [&str; 9] = ["pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "ptmx", "console"];
/// Most nodes copied for a privileged container.
const MAX_NODES: usize = 8192;

/// Makes nodes and links in `/dev` below `root`, which is mounted already.
pub fn make(root: BorrowedFd<'_>, config: &ContainerConfig) -> Result<(), LaunchError> {
    let dev = tree::open(root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY).map_err(step("opening /dev"))?;
    for (name, major, minor) in STANDARD {
        let number = rustix::fs::makedev(major, minor);
        let made = rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), number);
        made.map_err(io::Error::from).map_err(step(format!("making /dev/{name}")))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name)
            .map_err(io::Error::from)
            .map_err(step(format!("linking /dev/{name}")))?;
    }
    if config.privileged {
        all(root, Path::new("/dev")).map_err(step("making the host's devices"))?;
    }
    for device in &config.devices {
        let to = &device.container_path;
        copy(root, &device.host_path, to).map_err(step(format!("making device {}", to.display())))?;
    }
    Ok(())
}

/// Every node of the host's /dev.
fn all(root: BorrowedFd<'_>, top: &Path) -> io::Result<()> {
    let mut todo = vec![top.to_owned()];
    let mut nodes = 0;
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory)?.flatten() {
            let path: PathBuf = entry.path();
            if directory == top && OWN.iter().any(|own| entry.file_name() == *own) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            use std::os::unix::fs::FileTypeExt;
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                copy(root, &path, &path)?;
                nodes += 1;
            }
            if nodes >= MAX_NODES {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Makes the same node, with the same owner and mode.
fn copy(root: BorrowedFd<'_>, from: &Path, to: &Path) -> io::Result<()> {
    let original = rustix::fs::statat(CWD, from, rustix::fs::AtFlags::empty())?;
    let kind = FileType::from_raw_mode(original.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a device node"));
    }
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent: OwnedFd = tree::make_directory(root, parent, 0o755)?;
    match rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(original.st_mode & 0o7777), original.st_rdev) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let owner = rustix::process::Uid::from_raw(original.st_uid);
    let group = rustix::process::Gid::from_raw(original.st_gid);
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chownat(parent.as_fd(), name, Some(owner), Some(group), flags)?)
}
