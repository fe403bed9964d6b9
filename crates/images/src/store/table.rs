//! The table of images: one small file, replaced whole.

use super::{StoreError, failed};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Table {
    format: u64,
    pub images: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    /// The configuration's digest.
    pub id: Digest,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub digests: Vec<String>,
    /// Digests of the manifests behind `digests`.
    #[serde(default)]
    pub manifests: BTreeSet<Digest>,
    /// Lowest first.
    pub layers: Vec<Digest>,
    pub size: u64,
}

/// Changes whenever the file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, i64, i64, u64)>);

pub(super) fn stamp(path: &Path) -> Result<Stamp, StoreError> {
    match fs::metadata(path) {
        Ok(file) => Ok(Stamp(Some((file.ino(), file.mtime(), file.mtime_nsec(), file.size())))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Stamp(None)),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

impl Record {
    pub fn new(id: Digest, layers: Vec<Digest>) -> Self {
        Record { id, tags: Vec::new(), digests: Vec::new(), manifests: BTreeSet::new(), layers, size: 0 }
    }
}

impl Table {
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Table { format: FORMAT, images: Vec::new() });
            }
            Err(error) => return Err(failed("read", path)(error)),
        };
        let damaged = |why| StoreError::Table { path: path.to_owned(), why };
        let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
        if head.format > FORMAT {
            return Err(StoreError::Format { path: path.to_owned(), found: head.format });
        }
        serde_json::from_slice(&bytes).map_err(damaged)
    }

    /// A tag is one image's alone: the others lose it.
    pub fn give_tags(&mut self, id: &Digest, tags: Vec<String>) {
        for record in &mut self.images {
            record.tags.retain(|tag| !tags.contains(tag));
        }
        if let Some(record) = self.images.iter_mut().find(|record| record.id == *id) {
            record.tags.extend(tags);
            record.tags.sort();
            record.tags.dedup();
        }
    }

    /// By way of the file `made`, in the same file system.
    pub fn write(&self, path: &Path, made: &Path) -> Result<(), StoreError> {
        let damaged = |why| StoreError::Table { path: path.to_owned(), why };
        let bytes = serde_json::to_vec_pretty(self).map_err(damaged)?;
        let mut file = File::create(made).map_err(failed("make", made))?;
        file.write_all(&bytes).map_err(failed("write", made))?;
        file.sync_all().map_err(failed("sync", made))?;
        fs::rename(made, path).map_err(failed("replace", path))?;
        let Some(folder) = path.parent() else { return Ok(()) };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
    }
}
