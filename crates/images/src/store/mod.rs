//! The images on this node's disk, shared by every process that opens the same root.
//!
//! ```text
//! images.json        the table: names, digests, layers of each image; replaced by a rename
//! blobs/<hex>        configurations and manifests
//! layers/<hex>/      unpacked layers by the digest of their uncompressed tar
//! work/              what is being fetched and unpacked
//! table.lock work.lock
//! ```
//! Everything is made in `work/` and renamed into place once it is whole and checked; the table
//! names only what is on the disk for good. Whoever works holds `work.lock` shared, so whoever gets
//! it alone may throw away all that the table does not name: what a crash left behind, too.
//! Everything here blocks.

mod lock;
mod table;

use crate::digest::{Digest, HashingReader};
use crate::layer::{self, LayerError};
use crate::manifest::{Config, ManifestError};
use crate::reference::Reference;
use crate::service::Image;
use base::Rng;
use lock::Lock;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use table::{Record, Stamp, Table};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{operation} {path}: {source}", path = path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is damaged: {why}", path = path.display())]
    Table { path: PathBuf, why: serde_json::Error },
    #[error("{path} has format {found}, this program reads {known}; use a newer one", path = path.display(), known = table::FORMAT)]
    Format { path: PathBuf, found: u64 },
    #[error("configuration of image {id}: {why}")]
    Config { id: Digest, why: ManifestError },
    #[error("layer has digest {found}, expected {expected}")]
    LayerDigest { expected: Digest, found: Digest },
    #[error(transparent)]
    Layer(#[from] LayerError),
}

type Result<T> = std::result::Result<T, StoreError>;

pub struct Store {
    root: PathBuf,
    rng: Rng,
    /// The table as last read and what it means, good while the file has the same stamp.
    known: Mutex<Option<(Stamp, Arc<[Image]>)>>,
}

/// Permission to work: holds off the collection of garbage and owns a folder of its own, which
/// goes with it.
pub struct Work {
    folder: PathBuf,
    _lock: Lock,
}

impl Work {
    /// A path nobody else uses.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays is collected later.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An image whose layers are all here, to be put into the table.
pub struct NewImage {
    pub config: Vec<u8>,
    /// As fetched; archives of docker's have none.
    pub manifest: Option<Vec<u8>>,
    pub names: Vec<Reference>,
    pub size: u64,
}

impl Store {
    pub fn open(root: &Path, rng: Rng) -> Result<Self> {
        for folder in [root.to_owned(), root.join("blobs"), root.join("layers"), root.join("work")] {
            fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        }
        // Paths are given to mounts made elsewhere.
        let root = root.canonicalize().map_err(failed("find", root))?;
        let store = Store { root, rng, known: Mutex::new(None) };
        store.images()?;
        store.collect()?;
        Ok(store)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn work(&self) -> Result<Work> {
        let lock = Lock::shared(&self.root.join("work.lock"))?;
        let folder = self.root.join("work").join(self.rng.uuid());
        fs::create_dir(&folder).map_err(failed("make", &folder))?;
        Ok(Work { folder, _lock: lock })
    }

    /// All images. Costs one stat while nothing has changed.
    pub fn images(&self) -> Result<Arc<[Image]>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.table_path();
        loop {
            let stamp = table::stamp(&path)?;
            if let Some((_, images)) = known.as_ref().filter(|(at, _)| *at == stamp) {
                return Ok(images.clone());
            }
            let table = Table::read(&path)?;
            let images: Result<Arc<[Image]>> = table.images.iter().map(|record| self.image(record)).collect();
            // What was read was replaced, or its blobs removed, meanwhile: it is of no use.
            if table::stamp(&path)? != stamp {
                continue;
            }
            let images = images?;
            *known = Some((stamp, images.clone()));
            return Ok(images);
        }
    }

    fn image(&self, record: &Record) -> Result<Image> {
        let config = self.config(&record.id)?;
        // Builders repeat layers; the kernel takes none twice. The topmost has the last word, so that
        // those below are of no effect.
        let mut layers: Vec<PathBuf> = Vec::new();
        for layer in config.diff_ids.iter().rev().map(|layer| self.layer_path(layer)) {
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        Ok(Image {
            id: record.id.to_string(),
            repo_tags: record.tags.clone(),
            repo_digests: record.digests.clone(),
            layers,
            config: config.run,
            size: record.size,
        })
    }

    fn config(&self, id: &Digest) -> Result<Config> {
        let path = self.blob_path(id);
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        Config::parse(&bytes).map_err(|why| StoreError::Config { id: id.clone(), why })
    }

    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_path(diff_id).is_dir()
    }

    /// Unpacks a layer given as an uncompressed tar; it is kept only when its digest is `diff_id`.
    pub fn add_layer(&self, work: &Work, diff_id: &Digest, tar: impl Read) -> Result<()> {
        let path = work.path(&format!("layer-{}", diff_id.hex()));
        fs::create_dir(&path).map_err(failed("make", &path))?;
        // A layer without an entry for its root; whatever this process's umask is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed("set up", &path))?;
        let root = File::open(&path).map_err(failed("open", &path))?;
        let mut reader = HashingReader::new(tar);
        layer::unpack(&mut reader, root.as_fd(), layer::LIMITS)?;
        let found = reader.finish();
        if found != *diff_id {
            return Err(StoreError::LayerDigest { expected: diff_id.clone(), found });
        }
        let place = self.layer_path(diff_id);
        match fs::rename(&path, &place) {
            // Somebody else was faster; theirs is as good.
            Err(_) if place.is_dir() => Ok(()),
            done => done.map_err(failed("keep layer", &place)),
        }
    }

    /// Puts an image into the table, and its names on it; other images lose those names.
    pub fn commit(&self, work: &Work, new: &NewImage) -> Result<Image> {
        let id = self.add_blob(work, &new.config)?;
        let config = self.config(&id)?;
        let manifest = new.manifest.as_ref().map(|bytes| self.add_blob(work, bytes)).transpose()?;
        self.sync()?;
        let _lock = Lock::exclusive(&self.root.join("table.lock"))?;
        let path = self.table_path();
        let mut table = Table::read(&path)?;
        let at = table.images.iter().position(|record| record.id == id).unwrap_or_else(|| {
            table.images.push(Record::new(id.clone(), config.diff_ids.clone()));
            table.images.len() - 1
        });
        table.give_tags(&id, new.names.iter().filter_map(Reference::tagged).collect());
        let record = &mut table.images[at];
        record.size = new.size;
        if let Some(manifest) = manifest {
            let digests = new.names.iter().map(|name| name.with_digest(&manifest));
            record.digests = digests.chain(record.digests.drain(..)).collect::<BTreeSet<_>>().into_iter().collect();
            record.manifests.insert(manifest);
        }
        table.write(&path, &work.path("images.json"))?;
        self.image(&table.images[at])
    }

    /// Gives an image that is here one more name; none when it is gone meanwhile.
    pub fn name(&self, work: &Work, id: &str, name: &Reference) -> Result<Option<Image>> {
        let _lock = Lock::exclusive(&self.root.join("table.lock"))?;
        let path = self.table_path();
        let mut table = Table::read(&path)?;
        let Some(at) = table.images.iter().position(|record| record.id.to_string() == id) else { return Ok(None) };
        let id = table.images[at].id.clone();
        if let Some(tag) = name.tagged().filter(|tag| !table.images[at].tags.contains(tag)) {
            table.give_tags(&id, vec![tag]);
            table.write(&path, &work.path("images.json"))?;
        }
        self.image(&table.images[at]).map(Some)
    }

    /// Takes the image out of the table. False when it is not there.
    pub fn remove(&self, id: &str) -> Result<bool> {
        let work = self.work()?;
        let _lock = Lock::exclusive(&self.root.join("table.lock"))?;
        let path = self.table_path();
        let mut table = Table::read(&path)?;
        let before = table.images.len();
        table.images.retain(|record| record.id.to_string() != id);
        if table.images.len() == before {
            return Ok(false);
        }
        table.write(&path, &work.path("images.json"))?;
        Ok(true)
    }

    /// Throws away what the table does not name, unless somebody is at work: then it is left for
    /// the next time.
    pub fn collect(&self) -> Result<()> {
        let Some(_alone) = Lock::try_exclusive(&self.root.join("work.lock"))? else { return Ok(()) };
        let table = Table::read(&self.table_path())?;
        let layers = table.images.iter().flat_map(|record| &record.layers).map(Digest::hex).collect();
        let blobs = table.images.iter().flat_map(|record| record.manifests.iter().chain([&record.id]));
        let blobs = blobs.map(Digest::hex).collect();
        keep_only(&self.root.join("layers"), &layers)?;
        keep_only(&self.root.join("blobs"), &blobs)?;
        keep_only(&self.root.join("work"), &BTreeSet::new())
    }

    fn add_blob(&self, work: &Work, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(&digest);
        if !path.is_file() {
            let made = work.path(&format!("blob-{}", digest.hex()));
            let mut file = File::create(&made).map_err(failed("make", &made))?;
            file.write_all(bytes).map_err(failed("write", &made))?;
            fs::rename(&made, &path).map_err(failed("keep", &path))?;
        }
        Ok(digest)
    }

    /// Everything renamed into place so far outlives a loss of power.
    fn sync(&self) -> Result<()> {
        let root = File::open(&self.root).map_err(failed("open", &self.root))?;
        rustix::fs::syncfs(&root).map_err(|errno| failed("sync", &self.root)(errno.into()))
    }

    fn table_path(&self) -> PathBuf {
        self.root.join("images.json")
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.hex())
    }

    fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }
}

fn keep_only(folder: &Path, names: &BTreeSet<&str>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let entry = entry.map_err(failed("read", folder))?;
        if entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            continue;
        }
        let path = entry.path();
        let folder = entry.file_type().map_err(failed("look at", &path))?.is_dir();
        let removed = if folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed("remove", &path))?;
    }
    Ok(())
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { operation, path, source }
}
