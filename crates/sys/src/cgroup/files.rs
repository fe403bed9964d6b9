//! Reading and writing the small files of a hierarchy, by paths below its root.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::io;
use std::os::fd::BorrowedFd;

/// Longest control file that is read.
const MAX_FILE: usize = 256 * 1024;

pub fn read(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    let file = rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        match rustix::io::read(&file, &mut part)? {
            0 => break,
            read => text.extend_from_slice(&part[..read]),
        }
        if text.len() > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "control file too long"));
        }
    }
    String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

pub fn write(root: BorrowedFd<'_>, path: &str, value: &str) -> io::Result<()> {
    let file = rustix::fs::openat(root, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

/// Names of the cgroups directly below; none where the cgroup is not there.
pub fn children(root: BorrowedFd<'_>, path: &str) -> io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match rustix::fs::openat(root, path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type() == rustix::fs::FileType::Directory && name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

pub fn remove_directory(root: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(root, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
