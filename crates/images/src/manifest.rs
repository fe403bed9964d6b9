//! Manifests, indexes and image configurations, OCI's and docker's, as far as they are needed.

use crate::digest::Digest;
use crate::service::ImageConfig;
use serde::Deserialize;
use std::collections::BTreeMap;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Largest manifest, index or configuration that is read.
pub const MAX_DOCUMENT: u64 = 8 << 20;
/// Docker's own limit is 127; the options of an overlay mount have to fit into one page.
pub const MAX_LAYERS: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read {what}: {why}")]
    Json { what: &'static str, why: serde_json::Error },
    #[error("unsupported manifest media type {0:?}")]
    MediaType(String),
    #[error("no match for platform in manifest: not found")]
    Platform,
    #[error("image is for {0}, this node is {host}", host = host_platform())]
    OtherPlatform(String),
    #[error("manifest has {manifest} layers, configuration {config}")]
    LayerCount { manifest: usize, config: usize },
    #[error("image has {0} layers, more than {MAX_LAYERS}")]
    TooManyLayers(usize),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    pub config: Descriptor,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Index {
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

pub enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// What tells the documents apart when no media type does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

/// Reads a manifest or an index; the document's own media type wins over `media_type`.
pub fn parse(bytes: &[u8], media_type: &str) -> Result<Document, ManifestError> {
    let shape: Shape = read("manifest", bytes)?;
    let media_type = if shape.media_type.is_empty() { media_type } else { &shape.media_type };
    let index = match media_type {
        OCI_INDEX | DOCKER_LIST => true,
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        _ if shape.schema_version == 2 => shape.manifests.is_some(),
        other => return Err(ManifestError::MediaType(other.to_owned())),
    };
    if index {
        return read("index", bytes).map(Document::Index);
    }
    let manifest: Manifest = read("manifest", bytes)?;
    match manifest.layers.len() {
        count if count > MAX_LAYERS => Err(ManifestError::TooManyLayers(count)),
        _ => Ok(Document::Manifest(manifest)),
    }
}

impl Index {
    /// The manifest for this machine.
    pub fn for_host(&self) -> Result<&Descriptor, ManifestError> {
        self.manifests.iter().find(|entry| entry.is_for_host()).ok_or(ManifestError::Platform)
    }
}

impl Descriptor {
    /// A descriptor without a platform is for any.
    pub fn is_for_host(&self) -> bool {
        self.platform
            .as_ref()
            .is_none_or(|platform| platform.os == "linux" && platform.architecture == host_architecture())
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// An image's configuration: how to run it, and what its layers unpack to.
#[derive(Debug, Clone)]
pub struct Config {
    pub run: ImageConfig,
    pub diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RawRun>,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// Builders write `null` for what is empty, so everything is optional.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRun {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
}

impl Config {
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let raw: RawConfig = read("image configuration", bytes)?;
        let other = |value: &str, host: &str| !value.is_empty() && value != host;
        if other(&raw.os, "linux") || other(&raw.architecture, host_architecture()) {
            return Err(ManifestError::OtherPlatform(format!("{}/{}", raw.os, raw.architecture)));
        }
        let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() > MAX_LAYERS {
            return Err(ManifestError::TooManyLayers(diff_ids.len()));
        }
        let run = raw.config.unwrap_or_default();
        let run = ImageConfig {
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            workdir: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            stop_signal: run.stop_signal.unwrap_or_default(),
            volumes: run.volumes.unwrap_or_default().into_keys().collect(),
            exposed_ports: run.exposed_ports.unwrap_or_default().into_keys().collect(),
            labels: run.labels.unwrap_or_default(),
        };
        Ok(Config { run, diff_ids })
    }

    /// Fails unless there is a layer for each diff id.
    pub fn match_layers(&self, count: usize) -> Result<(), ManifestError> {
        let config = self.diff_ids.len();
        if config == count { Ok(()) } else { Err(ManifestError::LayerCount { manifest: count, config }) }
    }
}

pub fn read<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes).map_err(|why| ManifestError::Json { what, why })
}

/// In Go's words, as manifests have it.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

fn host_platform() -> String {
    format!("linux/{}", host_architecture())
}
