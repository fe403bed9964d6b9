//! One tar entry: its kind, where it may go, and what it says of owner, mode, time and attributes.

use rustix::fs::{Dev, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::{Component, Path, PathBuf};
use tar::{Entry, EntryType};

const XATTR: &[u8] = b"SCHILY.xattr.";
/// Overlayfs's own marks are made from whiteouts only; security labels are the host's business.
const KEPT_XATTRS: &[&str] = &["user.", "security.capability"];
/// As the kernel allows for one file.
const MAX_XATTR: usize = 64 << 10;

pub enum Kind {
    Directory,
    File,
    HardLink,
    SymbolicLink,
    Node(FileType, Dev),
}

impl Kind {
    /// None for what describes other entries only.
    pub fn of(entry: &Entry<'_, impl Read>) -> Result<Option<Self>, ()> {
        let header = entry.header();
        let device = || {
            let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
            rustix::fs::makedev(number(header.device_major()), number(header.device_minor()))
        };
        Ok(Some(match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            // Old tars mark a folder by its name alone.
            EntryType::Regular if entry.path_bytes().ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::SymbolicLink,
            EntryType::Char => Kind::Node(FileType::CharacterDevice, device()),
            EntryType::Block => Kind::Node(FileType::BlockDevice, device()),
            EntryType::Fifo => Kind::Node(FileType::Fifo, 0),
            EntryType::XGlobalHeader => return Ok(None),
            _ => return Err(()),
        }))
    }
}

/// The path below the root; none where it climbs.
pub fn clean(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

pub struct Attributes {
    uid: u32,
    gid: u32,
    pub mode: Mode,
    pub times: Timestamps,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    pub fn of(entry: &mut Entry<'_, impl Read>) -> io::Result<Self> {
        let mut xattrs = Vec::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let name = extension.key_bytes().strip_prefix(XATTR).and_then(|name| std::str::from_utf8(name).ok());
                let Some(name) = name.filter(|name| KEPT_XATTRS.iter().any(|kept| name.starts_with(kept))) else {
                    continue;
                };
                if extension.value_bytes().len() <= MAX_XATTR {
                    xattrs.push((name.to_owned(), extension.value_bytes().to_owned()));
                }
            }
        }
        let header = entry.header();
        let number = |id: u64| u32::try_from(id).map_err(|_| io::Error::other("owner's number is out of range"));
        let time = Timespec { tv_sec: header.mtime()?.try_into().unwrap_or(0), tv_nsec: 0 };
        Ok(Attributes {
            uid: number(header.uid()?)?,
            gid: number(header.gid()?)?,
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            times: Timestamps { last_access: time, last_modification: time },
            xattrs,
        })
    }

    pub fn user(&self) -> Option<Uid> {
        Some(Uid::from_raw(self.uid))
    }

    pub fn group(&self) -> Option<Gid> {
        Some(Gid::from_raw(self.gid))
    }

    /// In the kernel's order: a change of owner clears set-user-id bits and file capabilities.
    pub fn apply(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        rustix::fs::fchown(file, self.user(), self.group())?;
        rustix::fs::fchmod(file, self.mode)?;
        for (name, value) in &self.xattrs {
            match rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
                // Not every file system keeps them, and an image runs without.
                Err(rustix::io::Errno::NOTSUP) => {}
                done => done?,
            }
        }
        Ok(())
    }
}
