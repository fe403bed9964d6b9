//! `docker save`: `manifest.json` lists configurations, names and layers by file name.

use super::{Import, Result, check, name};
use crate::digest::Digest;
use crate::manifest::{self, Config, MAX_DOCUMENT, ManifestError};
use crate::service::Image;
use crate::store::NewImage;
use serde::Deserialize;
use std::path::Path;

pub const MANIFEST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

pub fn import(import: &Import<'_>) -> Result<Vec<Image>> {
    let bytes = import.source.read(MANIFEST, MAX_DOCUMENT)?;
    let entries: Vec<Entry> = manifest::read(MANIFEST, &bytes)?;
    let mut images = Vec::new();
    for entry in entries {
        let bytes = import.source.read(&entry.config, MAX_DOCUMENT)?;
        let found = Digest::of(&bytes);
        // `<hex>.json` or `blobs/sha256/<hex>`: the name is the digest.
        let stem = Path::new(&entry.config).file_stem().and_then(|stem| stem.to_str());
        check(&entry.config, stem.and_then(Digest::from_hex).as_ref(), found)?;
        let config = match Config::parse(&bytes) {
            Err(ManifestError::OtherPlatform(_)) => continue,
            parsed => parsed?,
        };
        let layers = entry.layers.unwrap_or_default();
        config.match_layers(layers.len())?;
        let mut size = bytes.len() as u64;
        for (layer, diff_id) in layers.iter().zip(&config.diff_ids) {
            size += import.layer(layer, None, diff_id)?;
        }
        let names = entry.repo_tags.unwrap_or_default();
        let names = names.iter().map(|text| name(text)).collect::<Result<_>>()?;
        let new = NewImage { config: bytes, manifest: None, names, size };
        images.push(import.store.commit(import.work, &new)?);
    }
    Ok(images)
}
