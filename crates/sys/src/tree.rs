//! Paths inside somebody else's root: resolved by the kernel as if that root were `/`, so that no
//! symbolic link in an image or volume leads out of it.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Deepest path that is made.
const MAX_DEPTH: usize = 256;
/// Most links to nothing that are followed on one path.
const MAX_LINKS: usize = 8;

/// Opens `path` below `root` without following anything out of it.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = relative(path);
    Ok(rustix::fs::openat2(root, &path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)?)
}

/// Opens the directory `path` below `root`, making what is missing. Where a link leads to nothing
/// its target is made, inside the root.
pub fn make_directory(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    make_linked(root, path, mode, MAX_LINKS)
}

fn make_linked(root: BorrowedFd<'_>, path: &Path, mode: u32, links: usize) -> io::Result<OwnedFd> {
    let path = relative(path);
    match open(root, &path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    let mut so_far = PathBuf::new();
    for (depth, component) in path.components().enumerate() {
        if depth >= MAX_DEPTH {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "path too deep"));
        }
        let parent = open(root, &so_far, OFlags::PATH | OFlags::DIRECTORY)?;
        match rustix::fs::mkdirat(&parent, component.as_os_str(), Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => follow(root, &so_far, component.as_ref(), mode, links)?,
            Err(error) => return Err(error.into()),
        }
        so_far.push(component);
    }
    open(root, &path, OFlags::PATH | OFlags::DIRECTORY)
}

/// Makes the target of a link that leads to nothing; anything else is left as it is.
fn follow(root: BorrowedFd<'_>, parent: &Path, name: &Path, mode: u32, links: usize) -> io::Result<()> {
    match open(root, &parent.join(name), OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done.map(drop),
    }
    if links == 0 {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    let directory = open(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let target = rustix::fs::readlinkat(&directory, name, Vec::new())?;
    let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
    // An absolute target replaces the parent; both begin at the root.
    make_linked(root, &parent.join(target), mode, links - 1).map(drop)
}

/// Opens `path` below `root` as something a file can be mounted over, making an empty file when
/// nothing is there.
pub fn make_file(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = relative(path);
    match open(root, &path, OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file's path"));
    };
    let parent = make_directory(root, parent, 0o755)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open(root, &path, OFlags::PATH)
}

/// The path without a leading slash and without `.`; `..` stays for the kernel to resolve.
fn relative(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let path: PathBuf = parts.collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_link_does_not_lead_out_of_the_root() {
        let base = std::env::temp_dir().join(format!("kt-tree-{}", std::process::id()));
        std::fs::create_dir_all(base.join("root")).unwrap();
        std::fs::create_dir_all(base.join("outside")).unwrap();
        std::os::unix::fs::symlink("../outside", base.join("root/link")).unwrap();
        std::os::unix::fs::symlink("/", base.join("root/top")).unwrap();
        let root = crate::mount::open_path(&base.join("root")).unwrap();
        std::os::unix::fs::symlink("loop", base.join("root/loop")).unwrap();
        // Seen from inside, `..` of the root is the root.
        make_directory(root.as_fd(), Path::new("/link/made"), 0o755).unwrap();
        make_file(root.as_fd(), Path::new("/top/a/b")).unwrap();
        assert!(make_directory(root.as_fd(), Path::new("/loop/x"), 0o755).is_err());
        let left = std::fs::read_dir(base.join("outside")).unwrap().count();
        let made = base.join("root/a/b").exists() && base.join("root/outside/made").exists();
        std::fs::remove_dir_all(&base).unwrap();
        assert_eq!((left, made), (0, true));
    }
}
