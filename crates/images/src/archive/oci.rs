//! OCI layouts: `index.json` names manifests, everything else lies under its digest.

use super::{Import, ImportError, Result, check, name};
use crate::digest::Digest;
use crate::manifest::{self, Config, Descriptor, Document, Index, MAX_DOCUMENT, Manifest, ManifestError};
use crate::reference::Reference;
use crate::service::Image;
use crate::store::NewImage;

pub const INDEX: &str = "index.json";

/// containerd's and docker's full name comes first; the standard's may be a tag alone.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Indexes in indexes.
const MAX_DEPTH: usize = 4;

pub fn names_images(import: &Import<'_>) -> Result<bool> {
    Ok(index(import)?.manifests.iter().any(|entry| full_name(entry).is_some()))
}

pub fn import(import: &Import<'_>) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    for entry in &index(import)?.manifests {
        if !entry.is_for_host() {
            continue;
        }
        let Some((bytes, manifest)) = find(import, entry)? else { continue };
        let names = full_name(entry).map(name).transpose()?;
        if let Some(image) = image(import, bytes, &manifest, names.into_iter().collect())? {
            images.push(image);
        }
    }
    Ok(images)
}

fn index(import: &Import<'_>) -> Result<Index> {
    let bytes = import.source.read(INDEX, MAX_DOCUMENT)?;
    Ok(manifest::read(INDEX, &bytes)?)
}

fn full_name(entry: &Descriptor) -> Option<&str> {
    entry.annotation(CONTAINERD_NAME).or_else(|| entry.annotation(REF_NAME).filter(|name| name.contains(['/', ':'])))
}

/// The manifest for this machine below `entry`.
fn find(import: &Import<'_>, entry: &Descriptor) -> Result<Option<(Vec<u8>, Manifest)>> {
    let mut entry = entry.clone();
    for _ in 0..MAX_DEPTH {
        let bytes = blob(import, &entry)?;
        match manifest::parse(&bytes, &entry.media_type)? {
            Document::Manifest(manifest) => return Ok(Some((bytes, manifest))),
            Document::Index(index) => match index.for_host() {
                Ok(found) => entry = found.clone(),
                Err(_) => return Ok(None),
            },
        }
    }
    Ok(None)
}

fn image(import: &Import<'_>, bytes: Vec<u8>, manifest: &Manifest, names: Vec<Reference>) -> Result<Option<Image>> {
    let config_bytes = blob(import, &manifest.config)?;
    let config = match Config::parse(&config_bytes) {
        Err(ManifestError::OtherPlatform(_)) => return Ok(None),
        parsed => parsed?,
    };
    config.match_layers(manifest.layers.len())?;
    let mut size = config_bytes.len() as u64;
    for (layer, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
        let path = path(&layer.digest);
        let found = import.layer(&path, Some(&layer.digest), diff_id)?;
        if layer.size != 0 && layer.size != found {
            return Err(ImportError::Size { name: path, expected: layer.size, found });
        }
        size += found;
    }
    let new = NewImage { config: config_bytes, manifest: Some(bytes), names, size };
    Ok(Some(import.store.commit(import.work, &new)?))
}

fn blob(import: &Import<'_>, entry: &Descriptor) -> Result<Vec<u8>> {
    let path = path(&entry.digest);
    let bytes = import.source.read(&path, MAX_DOCUMENT)?;
    check(&path, Some(&entry.digest), Digest::of(&bytes))?;
    Ok(bytes)
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
