//! Pulls images from registries: the distribution protocol over HTTP(S).
//!
//! Mirrors are asked first and without credentials, which belong to the registry the image names.
//! Layers are unpacked as they arrive; nothing counts before its digest was right.

mod auth;
mod blob;
mod http;
mod pull;
mod session;
#[cfg(test)]
mod tests;

use self::http::{Http, HttpError, Trouble};
use crate::ImagesOptions;
use crate::digest::Digest;
use crate::manifest::ManifestError;
use crate::reference::{DOCKER_HUB, Reference};
use crate::service::{ImageError, RegistryAuth};
use crate::store::{Store, StoreError};
use auth::AuthError;
use base::Env;
use base::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedMutexGuard, Semaphore};

const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// Layers fetched at once, over all pulls.
const LAYERS_AT_ONCE: usize = 4;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0}")]
    Auth(#[from] AuthError),
    #[error("not found")]
    NotFound,
    #[error("{0}")]
    Denied(String),
    #[error("unexpected status from {method} request to {url}: {status}{message}")]
    Status { method: &'static str, url: String, status: ::http::StatusCode, message: String },
    #[error("unexpected end of answer from {url}: {why}")]
    Body { url: String, why: String },
    #[error("{what} is larger than {limit} bytes")]
    TooLarge { what: String, limit: u64 },
    #[error("unexpected digest {found} for {what}, expected {expected}")]
    Digest { what: String, expected: Digest, found: Digest },
    #[error("bad registry address {0:?}")]
    Address(String),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("failed to copy: {0}")]
    Copy(Box<RegistryError>),
    #[error("interrupted: {0}")]
    Interrupted(String),
}

impl RegistryError {
    fn is_denied(&self) -> bool {
        matches!(self, RegistryError::Denied(_) | RegistryError::Auth(_))
    }

    fn is_connection(&self) -> bool {
        matches!(self, RegistryError::Http(error) if matches!(error.trouble, Trouble::Connect | Trouble::Tls))
    }

    /// Worth another try at once.
    fn is_passing(&self) -> bool {
        match self {
            RegistryError::Http(error) => error.trouble == Trouble::Broken,
            RegistryError::Status { status, .. } => status.is_server_error() || status.as_u16() == 429,
            RegistryError::Body { .. } => true,
            _ => false,
        }
    }

    fn for_image(self, name: &Reference) -> ImageError {
        let (image, why) = (name.to_string(), self.to_string());
        match self {
            RegistryError::NotFound => ImageError::NotFound { image },
            RegistryError::Denied(_) | RegistryError::Auth(AuthError::NoCredentials) => {
                ImageError::Unauthorized { image, why }
            }
            RegistryError::Store(StoreError::LayerDigest { .. } | StoreError::Layer(_))
            | RegistryError::Digest { .. }
            | RegistryError::TooLarge { .. }
            | RegistryError::Manifest(_)
            | RegistryError::Copy(_) => ImageError::Broken { image, why },
            RegistryError::Store(_) | RegistryError::Interrupted(_) => {
                ImageError::Failed { operation: "store image", why }
            }
            _ => ImageError::Unreachable { image, why },
        }
    }
}

/// What pulls need: the store, the network, and who is at it already.
pub(crate) struct Registries {
    store: Arc<Store>,
    env: Env,
    options: ImagesOptions,
    http: Http,
    busy: Busy,
    layers: Semaphore,
}

/// A base URL that serves a repository, and who we are there.
struct Endpoint {
    base: String,
    plain: bool,
    mirror: bool,
}

impl Registries {
    pub fn new(store: Arc<Store>, env: &Env, options: ImagesOptions) -> Self {
        let http = Http::new(env, options.extra_authorities.clone());
        let layers = Semaphore::new(LAYERS_AT_ONCE);
        Registries { store, env: env.clone(), options, http, busy: Busy::default(), layers }
    }

    /// Mirrors first. A registry that may be plain is tried with TLS first.
    fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let mirrors = self.options.mirrors.get(registry).into_iter().flatten();
        let mut endpoints: Vec<_> = mirrors
            .map(|base| Endpoint {
                base: base.trim_end_matches('/').to_owned(),
                plain: base.starts_with("http://"),
                mirror: true,
            })
            .collect();
        let host = if registry == DOCKER_HUB { DOCKER_HUB_HOST } else { registry };
        let own = |scheme: &str, plain| Endpoint { base: format!("{scheme}://{host}"), plain, mirror: false };
        endpoints.push(own("https", false));
        if is_loopback(registry) || self.options.insecure.iter().any(|insecure| insecure == registry) {
            endpoints.push(own("http", true));
        }
        endpoints
    }
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => registry,
    };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Credentials to try, in order: none at all when the caller has none.
fn candidates<'a>(endpoint: &Endpoint, auths: &'a [RegistryAuth]) -> Vec<Option<&'a RegistryAuth>> {
    if endpoint.mirror || auths.is_empty() { vec![None] } else { auths.iter().map(Some).collect() }
}

/// Makes the second who wants the same thing wait for the first, and find it done.
#[derive(Default)]
struct Busy(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Busy {
    async fn wait(&self, what: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, lock| lock.strong_count() > 0);
            let lock = known.get(what).and_then(Weak::upgrade).unwrap_or_default();
            known.insert(what.to_owned(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}
