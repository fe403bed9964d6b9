//! OCI and docker images: pull, verify, unpack, keep.
//!
//! The door is [`ImageService`]; the kubelet drives it and never sees a registry or a blob.
//! [`Images`] is the service on this node's disk; commands use it directly, beside a running node.

mod archive;
mod compression;
mod digest;
mod layer;
mod manifest;
pub mod reference;
mod registry;
pub mod service;
mod store;
#[cfg(test)]
mod testing;

pub use archive::{Archive, ImportError};
pub use reference::{Reference, ReferenceError};
pub use service::{Image, ImageConfig, ImageError, ImageService, RegistryAuth};
pub use store::StoreError;

use base::Env;
use registry::Registries;
use service::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;

/// Where and how images are pulled.
#[derive(Debug, Clone, Default)]
pub struct ImagesOptions {
    /// Registry → base URLs tried before the registry itself, in order.
    pub mirrors: std::collections::BTreeMap<String, Vec<String>>,
    /// Registries (`host` or `host:port`) spoken to without TLS. Loopback always may be.
    pub insecure: Vec<String>,
    /// PEM files of certificate authorities to trust beside the system's.
    pub extra_authorities: Vec<PathBuf>,
}

/// The images below one directory. Several processes may have the same one open.
#[derive(Clone)]
pub struct Images {
    store: Arc<Store>,
    env: Env,
    registries: Arc<Registries>,
}

impl Images {
    /// Opens or makes the store and throws away what a crash left behind. Blocks.
    pub fn open(root: &Path, env: &Env, options: ImagesOptions) -> Result<Self, StoreError> {
        let store = Arc::new(Store::open(root, env.rng.clone())?);
        let registries = Arc::new(Registries::new(store.clone(), env, options));
        Ok(Images { store, env: env.clone(), registries })
    }

    /// Imports every image of an archive that this machine can run.
    pub async fn import(&self, archive: Archive) -> Result<Vec<Image>, ImportError> {
        let imported = self.blocking(move |store| {
            let imported = archive::import(store, archive);
            // Images that lost their last name are kept; layers of a failed import are not.
            store.collect().map_err(ImportError::from).and(imported)
        });
        imported.await.unwrap_or_else(|why| Err(ImportError::Interrupted(why)))
    }

    /// Removes an image that nobody holds; `holders` are containers with the layers of their images.
    ///
    /// # Errors
    /// [`ImageError::InUse`], and those of [`ImageService::remove`].
    pub async fn remove_unused(&self, reference: &str, holders: &[(String, Vec<PathBuf>)]) -> Result<(), ImageError> {
        if let Some(image) = self.find(reference).await?
            && let Some((by, _)) = holders.iter().find(|(_, layers)| *layers == image.layers)
        {
            return Err(ImageError::InUse { image: reference.to_owned(), by: by.clone() });
        }
        self.remove(reference).await
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Store) -> T + Send + 'static) -> Result<T, String> {
        let store = self.store.clone();
        self.env.tasks.spawn_blocking(move || work(&store)).await.map_err(|error| error.to_string())
    }

    async fn find(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let images = self.all().await?;
        if reference.starts_with("sha256:") {
            return Ok(images.iter().find(|image| image.id == reference).cloned());
        }
        let id = format!("sha256:{reference}");
        if let Some(image) = images.iter().find(|image| image.id == id) {
            return Ok(Some(image.clone()));
        }
        let name = Reference::parse(reference).map_err(|why| ImageError::InvalidName(why.to_string()))?;
        // A digest says all; a tag beside it is for people.
        let (names, wanted): (fn(&Image) -> &Vec<String>, _) = match &name.digest {
            Some(digest) => (|image| &image.repo_digests, name.with_digest(digest)),
            None => (|image| &image.repo_tags, name.to_string()),
        };
        Ok(images.iter().find(|image| names(image).contains(&wanted)).cloned())
    }

    /// Costs one stat unless another process changed the table, so it runs where it is called.
    async fn all(&self) -> Result<Arc<[Image]>, ImageError> {
        self.store.images().map_err(failed("list images"))
    }
}

impl ImageService for Images {
    fn pull<'a>(&'a self, reference: &'a str, auths: &'a [RegistryAuth]) -> BoxFuture<'a, Result<Image, ImageError>> {
        Box::pin(async move {
            let name = Reference::parse(reference).map_err(|why| ImageError::InvalidName(why.to_string()))?;
            self.registries.pull(&name, auths).await
        })
    }

    fn present<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<Image>, ImageError>> {
        Box::pin(self.find(reference))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ImageError>> {
        Box::pin(async { Ok(self.all().await?.to_vec()) })
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ImageError>> {
        Box::pin(async move {
            let Some(image) = self.find(reference).await? else { return Ok(()) };
            let removed = self.blocking(move |store| store.remove(&image.id).and_then(|_| store.collect()));
            let removed = removed.await.map_err(|why| ImageError::Failed { operation: "remove image", why })?;
            removed.map_err(failed("remove image"))
        })
    }

    fn root(&self) -> PathBuf {
        self.store.root().to_owned()
    }
}

fn failed(operation: &'static str) -> impl Fn(StoreError) -> ImageError {
    move |error| ImageError::Failed { operation, why: error.to_string() }
}
