//! Paths inside somebody else's root: resolved by the kernel as if that root were `/`, so that no
//! symbolic link in an image or volume leads out of it.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Deepest path that is made.
const MAX_DEPTH: usize = 256;

/// Opens `path` below `root` without following anything out of it.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = relative(path);
    Ok(rustix::fs::openat2(root, &path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)?)
}

/// Opens the directory `path` below `root`, making what is missing.
pub fn make_directory(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
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
        so_far.push(component);
        match rustix::fs::mkdirat(&parent, component.as_os_str(), Mode::from_raw_mode(mode)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    open(root, &path, OFlags::PATH | OFlags::DIRECTORY)
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
        // Inside the root the link points to /outside, which is not there and is not made blindly.
        assert!(make_directory(root.as_fd(), Path::new("/link/made"), 0o755).is_err());
        make_file(root.as_fd(), Path::new("/top/a/b")).unwrap();
        let left = std::fs::read_dir(base.join("outside")).unwrap().count();
        let made = base.join("root/a/b").exists();
        std::fs::remove_dir_all(&base).unwrap();
        assert_eq!((left, made), (0, true));
    }
}
