//! An archive's files by name: in a folder, or in a tar file at known places.
//!
//! A stream or a compressed file is first written to a plain tar file in the work folder, since a
//! manifest may come after what it describes.

use super::{Archive, ImportError, Result};
use crate::compression;
use crate::store::Work;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

const MAX_FILES: usize = 100_000;
/// Links from name to name that are followed: old dockers link equal layers.
const MAX_LINKS: usize = 8;

pub(super) enum Source {
    Folder(File),
    Tar { path: PathBuf, entries: BTreeMap<String, Entry> },
}

pub(super) enum Entry {
    At { offset: u64, size: u64 },
    Link(String),
}

impl Source {
    pub fn open(archive: Archive, work: &Work) -> Result<Self> {
        let path = match archive {
            Archive::Path(path) => path,
            Archive::Stream(stream) => return Self::index(spool(stream, work)?),
        };
        let failed = |source| ImportError::Io { operation: "open", path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            return Ok(Source::Folder(file));
        }
        if !kind.is_file() {
            return Self::index(spool(Box::new(file), work)?);
        }
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start).map_err(failed)?;
        if !compression::is_compressed(&start) {
            return Self::index(path);
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Self::index(spool(Box::new(file), work)?)
    }

    fn index(path: PathBuf) -> Result<Self> {
        let file =
            File::open(&path).map_err(|source| ImportError::Io { operation: "open", path: path.clone(), source })?;
        let mut archive = tar::Archive::new(file);
        let mut entries = BTreeMap::new();
        for entry in archive.entries_with_seek().map_err(ImportError::Read)? {
            let entry = entry.map_err(ImportError::Read)?;
            let name = clean(Path::new(&*String::from_utf8_lossy(&entry.path_bytes())));
            let target = || entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
            let kind = entry.header().entry_type();
            let place = if kind.is_symlink() {
                let folder = Path::new(&name).parent().unwrap_or(Path::new(""));
                Entry::Link(clean(&folder.join(target().unwrap_or_default())))
            } else if kind.is_hard_link() {
                Entry::Link(clean(Path::new(&target().unwrap_or_default())))
            } else if kind.is_file() {
                Entry::At { offset: entry.raw_file_position(), size: entry.size() }
            } else {
                continue;
            };
            entries.insert(name, place);
            if entries.len() > MAX_FILES {
                return Err(ImportError::TooManyFiles(MAX_FILES));
            }
        }
        Ok(Source::Tar { path, entries })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.file(name).is_ok()
    }

    /// The file's bytes and how many they are.
    pub fn file(&self, name: &str) -> Result<(Box<dyn Read + Send>, u64)> {
        let missing = || ImportError::Missing(name.to_owned());
        match self {
            Source::Folder(folder) => {
                // A pipe by that name must not keep us waiting.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let file = sys::tree::open(folder.as_fd(), Path::new(name), flags).map_err(|_| missing())?;
                let file = File::from(file);
                let about = file.metadata().map_err(ImportError::Read)?;
                if !about.is_file() {
                    return Err(missing());
                }
                Ok((Box::new(file), about.len()))
            }
            Source::Tar { path, entries } => {
                let mut name = clean(Path::new(name));
                for _ in 0..MAX_LINKS {
                    match entries.get(&name).ok_or_else(missing)? {
                        Entry::Link(target) => name.clone_from(target),
                        Entry::At { offset, size } => {
                            let mut file = File::open(path).map_err(ImportError::Read)?;
                            file.seek(SeekFrom::Start(*offset)).map_err(ImportError::Read)?;
                            return Ok((Box::new(file.take(*size)), *size));
                        }
                    }
                }
                Err(missing())
            }
        }
    }

    /// A whole small file.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let (file, size) = self.file(name)?;
        if size > limit {
            return Err(ImportError::TooLarge { name: name.to_owned(), limit });
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(ImportError::Read)?;
        if bytes.len() as u64 != size {
            return Err(ImportError::Size { name: name.to_owned(), expected: size, found: bytes.len() as u64 });
        }
        Ok(bytes)
    }
}

fn spool(stream: Box<dyn Read + Send>, work: &Work) -> Result<PathBuf> {
    let path = work.path("archive.tar");
    let mut tar = compression::decompress(stream).map_err(ImportError::Read)?;
    let mut file =
        File::create(&path).map_err(|source| ImportError::Io { operation: "make", path: path.clone(), source })?;
    io::copy(&mut tar, &mut file).map_err(ImportError::Read)?;
    Ok(path)
}

/// Names as they are looked up: without `./`, and `a/../b` as `b`.
fn clean(path: &Path) -> String {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => _ = clean.pop(),
            _ => {}
        }
    }
    clean.to_string_lossy().into_owned()
}
