//! Reads images from archives: what `docker save` writes, and OCI layouts.
//!
//! An archive is a folder, a tar file or a stream of one, compressed or not. Whatever it says of
//! itself is checked against the digests it names before any of it is kept.

mod docker;
mod oci;
mod source;
#[cfg(test)]
mod tests;

use crate::compression;
use crate::digest::{Digest, HashingReader};
use crate::manifest::ManifestError;
use crate::reference::Reference;
use crate::service::Image;
use crate::store::{Store, StoreError, Work};
use source::Source;
use std::io::{self, Read};
use std::path::PathBuf;

/// Where an archive comes from.
pub enum Archive {
    /// A tar file or a folder.
    Path(PathBuf),
    /// A tar stream, as standard input.
    Stream(Box<dyn Read + Send>),
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{operation} {path}: {source}", path = path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("read archive: {0}")]
    Read(io::Error),
    #[error("not an image archive: it holds neither manifest.json nor index.json")]
    NotAnArchive,
    #[error("archive holds no image for this machine's platform")]
    NoImage,
    #[error("archive holds more than {0} files")]
    TooManyFiles(usize),
    #[error("archive lacks {0:?}")]
    Missing(String),
    #[error("{name:?} is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    #[error("{name:?} has digest {found}, expected {expected}")]
    Digest { name: String, expected: Digest, found: Digest },
    #[error("{name:?} has {found} bytes, expected {expected}")]
    Size { name: String, expected: u64, found: u64 },
    #[error("image name {name:?}: {why}")]
    Name { name: String, why: crate::reference::ReferenceError },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("import did not end: {0}")]
    Interrupted(String),
}

type Result<T> = std::result::Result<T, ImportError>;

/// Imports every image of the archive that this machine can run. Blocks.
pub fn import(store: &Store, archive: Archive) -> Result<Vec<Image>> {
    let work = store.work()?;
    let source = Source::open(archive, &work)?;
    let import = Import { store, work: &work, source: &source };
    let (index, manifest) = (source.contains(oci::INDEX), source.contains(docker::MANIFEST));
    let images = match (index, manifest) {
        // Newer dockers write both; the index says more, but not every tool names its images there.
        (true, true) if !oci::names_images(&import)? => docker::import(&import)?,
        (true, _) => oci::import(&import)?,
        (false, true) => docker::import(&import)?,
        (false, false) => return Err(ImportError::NotAnArchive),
    };
    if images.is_empty() { Err(ImportError::NoImage) } else { Ok(images) }
}

struct Import<'a> {
    store: &'a Store,
    work: &'a Work,
    source: &'a Source,
}

impl Import<'_> {
    /// Unpacks one file of the archive as the layer `diff_id`, unless it is here already, and says
    /// how large the file is. `digest` is the file's own, where the archive names it.
    fn layer(&self, name: &str, digest: Option<&Digest>, diff_id: &Digest) -> Result<u64> {
        let (file, size) = self.source.file(name)?;
        if self.store.has_layer(diff_id) {
            return Ok(size);
        }
        let mut file = HashingReader::new(file);
        {
            let tar = compression::decompress(&mut file).map_err(ImportError::Read)?;
            self.store.add_layer(self.work, diff_id, tar)?;
        }
        // The decompressor stops where its data ends; the digest is of the whole file.
        io::copy(&mut file, &mut io::sink()).map_err(ImportError::Read)?;
        check(name, digest, file.finish())?;
        Ok(size)
    }
}

fn check(name: &str, expected: Option<&Digest>, found: Digest) -> Result<()> {
    match expected {
        Some(expected) if *expected != found => {
            Err(ImportError::Digest { name: name.to_owned(), expected: expected.clone(), found })
        }
        _ => Ok(()),
    }
}

fn name(text: &str) -> Result<Reference> {
    Reference::parse(text).map_err(|why| ImportError::Name { name: text.to_owned(), why })
}
