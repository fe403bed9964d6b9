//! Pulls from a registry that misbehaves as told, and from Debian's real one.
#![allow(clippy::unwrap_used)]

mod debian;
mod fake;
mod pulls;

use crate::digest::Digest;
use crate::manifest::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::testing::{Item, config, gzip, host_architecture, tar, zstd};
use crate::{Images, ImagesOptions};
use base::Env;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An image's parts: paths below `/v2/NAME/` to media type and bytes.
pub struct Parts {
    pub files: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// The digest its tag stands for.
    pub digest: Digest,
    pub layers: Vec<Digest>,
    pub config: Digest,
}

const BLOB: &str = "application/octet-stream";

impl Parts {
    /// Two layers, gzip and zstd, under the tag `1`.
    pub fn new() -> Self {
        Self::of(&[tar(&[Item::File("low", b"1")]), tar(&[Item::File("high", &vec![7; 300_000])])])
    }

    pub fn of(layers: &[Vec<u8>]) -> Self {
        let digest = Digest::of(b"");
        let mut parts = Parts { files: BTreeMap::new(), config: digest.clone(), digest, layers: Vec::new() };
        let config = parts.blob(config(layers, host_architecture()));
        parts.config = config["digest"].as_str().unwrap().parse().unwrap();
        let mut descriptors = Vec::new();
        for (at, layer) in layers.iter().enumerate() {
            let blob = if at % 2 == 0 { gzip(layer) } else { zstd(layer) };
            parts.layers.push(Digest::of(&blob));
            descriptors.push(parts.blob(blob));
        }
        let manifest =
            json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": descriptors});
        parts.tag("1", DOCKER_MANIFEST, &manifest);
        parts
    }

    fn blob(&mut self, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"mediaType": BLOB, "digest": digest, "size": bytes.len()});
        self.files.insert(format!("blobs/{digest}"), (BLOB, bytes));
        descriptor
    }

    fn tag(&mut self, tag: &str, media_type: &'static str, manifest: &Value) {
        let bytes = serde_json::to_vec(manifest).unwrap();
        self.digest = Digest::of(&bytes);
        self.files.insert(format!("manifests/{tag}"), (media_type, bytes.clone()));
        self.files.insert(format!("manifests/{}", self.digest), (media_type, bytes));
    }

    /// Puts an index of two platforms in front, under the tag `1`.
    pub fn behind_index(mut self) -> Self {
        let entry = |digest: &Digest, architecture: &str| {
            json!({
                "mediaType": OCI_MANIFEST, "digest": digest, "size": 1,
                "platform": {"os": "linux", "architecture": architecture},
            })
        };
        let other = Digest::of(b"not here");
        let manifests = [entry(&other, "s390x"), entry(&self.digest, host_architecture())];
        self.tag("1", OCI_INDEX, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}));
        self
    }
}

struct Bench {
    folder: tempfile::TempDir,
    images: Images,
}

impl Bench {
    fn new(options: ImagesOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(&folder.path().join("images"), &Env::real(), options).unwrap();
        Bench { folder, images }
    }

    fn layers_on_disk(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("images/layers")).unwrap().count()
    }
}
