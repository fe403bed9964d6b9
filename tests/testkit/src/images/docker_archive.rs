//! Writes images in the form of `docker save`.

use super::Made;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// One way to run a file system, and the tags it goes by.
pub struct Image<'t> {
    pub tags: &'t [&'t str],
    /// As an image's configuration has it: `Cmd`, `Env`, `ExposedPorts`…
    pub run: Value,
}

/// All images of a family and the layer they share.
pub fn write(path: &Path, repository: &str, made: &Made<'_>) -> Result<()> {
    let layer = made.files.layer()?;
    let layer_digest = hex(&layer);
    let layer_path = format!("{layer_digest}/layer.tar");
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    let mut tar = tar::Builder::new(file);
    let mut manifest = BTreeMap::new();
    add(&mut tar, &layer_path, &layer)?;
    for image in &made.images {
        let config = json!({
            "architecture": architecture(), "os": "linux", "created": "1970-01-01T00:00:00Z",
            "config": image.run,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        });
        let config = serde_json::to_vec(&config)?;
        let config_path = format!("{}.json", hex(&config));
        add(&mut tar, &config_path, &config)?;
        let tags: Vec<_> = image.tags.iter().map(|tag| format!("{repository}:{tag}")).collect();
        manifest.insert(config_path.clone(), json!({"Config": config_path, "RepoTags": tags, "Layers": [layer_path]}));
    }
    let manifest: Vec<_> = manifest.into_values().collect();
    add(&mut tar, "manifest.json", &serde_json::to_vec(&manifest)?)?;
    tar.into_inner()?.flush()?;
    Ok(())
}

fn add(tar: &mut tar::Builder<File>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    Ok(tar.append_data(&mut header, path, bytes)?)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
