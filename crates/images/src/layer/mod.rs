//! Unpacks a layer's tar into a directory that overlayfs takes as a lower directory.
//!
//! A layer is somebody else's data: every name is resolved by the kernel below the layer's own
//! root, nothing is followed out of it, and entries and bytes are bounded. Whiteouts become what
//! overlayfs knows: a character device 0/0, or the opaque mark on a directory. Whether the bytes
//! are the right ones is for the caller to check.

mod entry;
#[cfg(test)]
mod tests;

use entry::{Attributes, Kind};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// What aufs kept for itself: of no use to anyone.
const AUFS: &str = ".wh..wh.";
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

const BUFFER: usize = 128 << 10;

/// How much a layer may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: u64,
    pub bytes: u64,
}

pub const LIMITS: Limits = Limits { entries: 4_000_000, bytes: 256 << 30 };

#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("read layer: {0}")]
    Read(io::Error),
    #[error("layer has more than {0} entries")]
    TooManyEntries(u64),
    #[error("layer is larger than {0} bytes")]
    TooLarge(u64),
    #[error("layer entry {path:?} leads out of the layer")]
    Escape { path: PathBuf },
    #[error("layer entry {path:?} is cut off")]
    CutOff { path: PathBuf },
    #[error("layer entry {path:?} is of an unknown kind")]
    Kind { path: PathBuf },
    #[error("{operation} layer entry {path:?}: {source}")]
    Write { operation: &'static str, path: PathBuf, source: io::Error },
}

/// Unpacks the uncompressed tar `reader` into the empty directory `root` and reads it to its end,
/// so that a digest taken on the way covers everything.
pub fn unpack(reader: impl Read, root: BorrowedFd<'_>, limits: Limits) -> Result<(), LayerError> {
    let mut archive = tar::Archive::new(reader);
    let mut unpacker = Unpacker {
        root,
        limits,
        parent: None,
        directories: Vec::new(),
        buffer: vec![0; BUFFER].into_boxed_slice(),
        entries: 0,
        bytes: 0,
    };
    for entry in archive.entries().map_err(LayerError::Read)? {
        unpacker.entry(&mut entry.map_err(LayerError::Read)?)?;
    }
    unpacker.date_directories()?;
    unpacker.drain(archive.into_inner())
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    limits: Limits,
    /// The last entry's directory: entries come in folder order.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Filling a directory changes its time, so they are set at the end.
    directories: Vec<(PathBuf, Timestamps)>,
    buffer: Box<[u8]>,
    entries: u64,
    bytes: u64,
}

/// An entry's place: its directory, opened, and its name there.
struct Place<'a> {
    path: &'a Path,
    parent: OwnedFd,
    name: OsString,
}

impl Place<'_> {
    fn failed(&self, operation: &'static str) -> impl Fn(Errno) -> LayerError {
        let path = self.path.to_owned();
        move |errno| LayerError::Write { operation, path: path.clone(), source: errno.into() }
    }

    fn kind(&self) -> Result<Option<(FileType, bool)>, LayerError> {
        match rustix::fs::statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let kind = FileType::from_raw_mode(stat.st_mode);
                Ok(Some((kind, kind == FileType::CharacterDevice && stat.st_rdev == 0)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("look at")(errno)),
        }
    }
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), LayerError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(LayerError::TooManyEntries(self.limits.entries));
        }
        let raw = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
        let Some(kind) = Kind::of(entry).map_err(|()| LayerError::Kind { path: raw.clone() })? else { return Ok(()) };
        let path = entry::clean(&raw).ok_or(LayerError::Escape { path: raw })?;
        let attributes = Attributes::of(entry).map_err(LayerError::Read)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The layer's root itself.
            return self.finish_directory(Path::new("."), &attributes);
        };
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        let place = Place { path: &path, parent, name };
        if place.name.as_bytes().starts_with(WHITEOUT.as_bytes()) {
            return self.whiteout(&place);
        }
        match kind {
            Kind::Directory => self.directory(&place, &attributes),
            Kind::File => {
                self.make_room(&place)?;
                self.file(&place, &attributes, entry)
            }
            Kind::HardLink => {
                let target = PathBuf::from(OsStr::from_bytes(&entry.link_name_bytes().unwrap_or_default()));
                self.hard_link(&place, &target)
            }
            Kind::SymbolicLink => {
                self.make_room(&place)?;
                let target = entry.link_name_bytes().unwrap_or_default();
                let made = rustix::fs::symlinkat(&*target, &place.parent, &place.name);
                made.map_err(place.failed("link"))?;
                Self::own_and_date(&place, &attributes)
            }
            Kind::Node(kind, device) => {
                self.make_room(&place)?;
                let made = rustix::fs::mknodat(&place.parent, &place.name, kind, attributes.mode, device);
                made.map_err(place.failed("make"))?;
                Self::own_and_date(&place, &attributes)?;
                let changed = rustix::fs::chmodat(&place.parent, &place.name, attributes.mode, AtFlags::empty());
                changed.map_err(place.failed("change the mode of"))
            }
        }
    }

    /// The directory `path`, made where the layer has no entry for it.
    fn parent(&mut self, path: &Path) -> Result<OwnedFd, LayerError> {
        let failed = |source| LayerError::Write { operation: "open the folder of", path: path.to_owned(), source };
        if self.parent.as_ref().is_none_or(|(known, _)| known != path) {
            let opened = sys::tree::make_directory(self.root, path, 0o755).map_err(failed)?;
            self.parent = Some((path.to_owned(), opened));
        }
        match &self.parent {
            Some((_, opened)) => opened.try_clone().map_err(failed),
            None => Err(failed(io::Error::from(io::ErrorKind::NotFound))),
        }
    }

    /// Marks what lower layers hold as gone. What this layer itself holds stays.
    fn whiteout(&mut self, place: &Place<'_>) -> Result<(), LayerError> {
        if place.name == OPAQUE {
            return Self::make_opaque(place, OsStr::new("."));
        }
        if place.name.as_bytes().starts_with(AUFS.as_bytes()) {
            return Ok(());
        }
        let name = OsStr::from_bytes(&place.name.as_bytes()[WHITEOUT.len()..]);
        if matches!(name.as_bytes(), b"" | b"." | b"..") {
            return Err(LayerError::Escape { path: place.path.to_owned() });
        }
        let hidden = Place {
            path: place.path,
            parent: place.parent.try_clone().map_err(LayerError::Read)?,
            name: name.to_owned(),
        };
        match hidden.kind()? {
            None => {
                let made = rustix::fs::mknodat(&hidden.parent, name, FileType::CharacterDevice, Mode::empty(), 0);
                made.map_err(hidden.failed("white out"))
            }
            Some((FileType::Directory, _)) => Self::make_opaque(&hidden, name),
            Some(_) => Ok(()),
        }
    }

    /// Hides what lower layers hold in the directory.
    fn make_opaque(place: &Place<'_>, name: &OsStr) -> Result<(), LayerError> {
        let failed = place.failed("make opaque");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&place.parent, name, flags, Mode::empty()).map_err(&failed)?;
        rustix::fs::fsetxattr(&directory, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty()).map_err(&failed)
    }

    fn directory(&mut self, place: &Place<'_>, attributes: &Attributes) -> Result<(), LayerError> {
        let before = place.kind()?;
        if !matches!(before, Some((FileType::Directory, _))) {
            self.make_room(place)?;
            let made = rustix::fs::mkdirat(&place.parent, &place.name, Mode::from_raw_mode(0o755));
            made.map_err(place.failed("make"))?;
        }
        // The layer removed what was there before and made it anew.
        if let Some((_, true)) = before {
            Self::make_opaque(place, &place.name)?;
        }
        self.finish_directory(place.path, attributes)
    }

    fn finish_directory(&mut self, path: &Path, attributes: &Attributes) -> Result<(), LayerError> {
        let failed = |source: io::Error| LayerError::Write { operation: "set up", path: path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = sys::tree::open(self.root, path, flags).map_err(failed)?;
        attributes.apply(directory.as_fd()).map_err(failed)?;
        self.directories.push((path.to_owned(), attributes.times.clone()));
        Ok(())
    }

    fn file(
        &mut self,
        place: &Place<'_>,
        attributes: &Attributes,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), LayerError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&place.parent, &place.name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(file.map_err(place.failed("make"))?);
        let size = entry.size();
        let mut copied = 0;
        loop {
            let read = entry.read(&mut self.buffer).map_err(LayerError::Read)?;
            if read == 0 {
                break;
            }
            copied += read as u64;
            self.bytes += read as u64;
            if self.bytes > self.limits.bytes {
                return Err(LayerError::TooLarge(self.limits.bytes));
            }
            let written = file.write_all(&self.buffer[..read]);
            written.map_err(|source| LayerError::Write { operation: "write", path: place.path.to_owned(), source })?;
        }
        if copied != size {
            return Err(LayerError::CutOff { path: place.path.to_owned() });
        }
        let applied = attributes.apply(file.as_fd());
        applied.map_err(|source| LayerError::Write { operation: "set up", path: place.path.to_owned(), source })?;
        rustix::fs::futimens(&file, &attributes.times).map_err(place.failed("date"))
    }

    fn hard_link(&mut self, place: &Place<'_>, target: &Path) -> Result<(), LayerError> {
        let escape = || LayerError::Escape { path: target.to_owned() };
        let target = entry::clean(target).ok_or_else(escape)?;
        let name = target.file_name().ok_or_else(escape)?;
        if target == place.path {
            return Ok(());
        }
        self.make_room(place)?;
        // Opened without making anything: a link to what is not here is an error.
        let folder = target.parent().unwrap_or(Path::new(""));
        let folder = sys::tree::open(self.root, folder, OFlags::PATH | OFlags::DIRECTORY);
        let failed = place.failed("link");
        let folder = folder.map_err(|_| failed(Errno::NOENT))?;
        rustix::fs::linkat(&folder, name, &place.parent, &place.name, AtFlags::empty()).map_err(failed)
    }

    /// Takes away what an earlier entry left under this name.
    fn make_room(&mut self, place: &Place<'_>) -> Result<(), LayerError> {
        match place.kind()? {
            None => Ok(()),
            Some((FileType::Directory, _)) => {
                self.parent = None;
                self.directories.retain(|(path, _)| !path.starts_with(place.path));
                let path = Path::new("/proc/self/fd").join(place.parent.as_raw_fd().to_string()).join(&place.name);
                let removed = std::fs::remove_dir_all(path);
                removed.map_err(|source| LayerError::Write {
                    operation: "replace",
                    path: place.path.to_owned(),
                    source,
                })
            }
            Some(_) => {
                self.parent = None;
                let removed = rustix::fs::unlinkat(&place.parent, &place.name, AtFlags::empty());
                removed.map_err(place.failed("replace"))
            }
        }
    }

    /// For what is not opened: links and devices.
    fn own_and_date(place: &Place<'_>, attributes: &Attributes) -> Result<(), LayerError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let owned = rustix::fs::chownat(&place.parent, &place.name, attributes.user(), attributes.group(), flags);
        owned.map_err(place.failed("change the owner of"))?;
        let dated = rustix::fs::utimensat(&place.parent, &place.name, &attributes.times, flags);
        dated.map_err(place.failed("date"))
    }

    fn date_directories(&mut self) -> Result<(), LayerError> {
        for (path, times) in self.directories.drain(..).rev() {
            let failed = |source| LayerError::Write { operation: "date", path: path.clone(), source };
            let opened = sys::tree::open(self.root, &path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            rustix::fs::futimens(&opened, &times).map_err(|errno| failed(errno.into()))?;
        }
        Ok(())
    }

    fn drain(&mut self, mut reader: impl Read) -> Result<(), LayerError> {
        let mut left = self.limits.bytes;
        loop {
            match reader.read(&mut self.buffer).map_err(LayerError::Read)? {
                0 => return Ok(()),
                read if read as u64 > left => return Err(LayerError::TooLarge(self.limits.bytes)),
                read => left -= read as u64,
            }
        }
    }
}
