//! Images as the kubelet sees them: the CRI image service in plain types.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An image that is unpacked and can be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…` of the image's configuration.
    pub id: String,
    /// Full names, as `docker.io/library/nginx:1.27`.
    pub repo_tags: Vec<String>,
    /// Full names, as `docker.io/library/nginx@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Unpacked layers, topmost first, as overlayfs wants them.
    pub layers: Vec<PathBuf>,
    pub config: ImageConfig,
    /// Compressed bytes as pulled; for an imported archive the bytes read.
    pub size: u64,
}

/// What an image says about running it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub workdir: String,
    /// Name or number, `user:group` allowed; empty: root.
    pub user: String,
    /// `SIGQUIT`, `QUIT` or `3`; empty: SIGTERM.
    pub stop_signal: String,
    pub volumes: Vec<String>,
    /// `80/tcp`.
    pub exposed_ports: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// One way to log in to a registry, already chosen for the image's name by the caller.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryAuth {
    pub username: String,
    pub password: String,
    /// Exchanged for an access token (OAuth2 refresh token).
    pub identity_token: String,
    /// Sent as a bearer token as it is.
    pub registry_token: String,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The texts become the kubelet's events and waiting messages, so they name the image in full and
/// say what each registry answered, in the words users know from containerd.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// The name cannot be read; the text is the reason alone, as `invalid reference format`.
    #[error("{0}")]
    InvalidName(String),
    #[error(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
    )]
    NotFound { image: String },
    #[error(
        "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": pull access denied, repository does not exist or may require authorization: {why}"
    )]
    Unauthorized { image: String, why: String },
    #[error("failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {why}")]
    Unreachable { image: String, why: String },
    /// What the registry or archive gave is damaged, or of another platform.
    #[error("failed to pull and unpack image \"{image}\": {why}")]
    Broken { image: String, why: String },
    #[error("cannot remove image \"{image}\": container {by} uses it")]
    InUse { image: String, by: String },
    /// This node's own disk or store failed.
    #[error("{operation}: {why}")]
    Failed { operation: &'static str, why: String },
}

/// The CRI image service. References are as the user wrote them (`nginx`, `quay.io/a/b@sha256:…`);
/// the service gives them their default registry and tag.
pub trait ImageService: Send + Sync {
    /// Pulls and unpacks; tries `auths` in order, and without any when there are none. Pulling the
    /// same image twice at once does the work once.
    fn pull<'a>(&'a self, reference: &'a str, auths: &'a [RegistryAuth]) -> BoxFuture<'a, Result<Image, ImageError>>;

    /// The image if it is here, by name, digest or id.
    fn present<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<Image>, ImageError>>;

    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ImageError>>;

    /// Removes the image with all its names, by name or id. Ok where it is not here.
    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ImageError>>;

    /// The directory on the file system that images fill, for the kubelet's disk accounting.
    fn root(&self) -> PathBuf;
}
