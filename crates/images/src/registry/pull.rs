//! A pull from name to image: resolve, then fetch what is not here yet.

use super::session::{Session, accept};
use super::{Endpoint, Registries, RegistryError, blob, candidates};
use crate::digest::Digest;
use crate::manifest::{
    self, Config, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, Document, MAX_DOCUMENT, Manifest, OCI_INDEX, OCI_MANIFEST,
};
use crate::reference::Reference;
use crate::service::{Image, ImageError, RegistryAuth};
use crate::store::{NewImage, StoreError, Work};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use std::sync::{Arc, Mutex};
use tracing::debug;

const DOCUMENTS: &[&str] = &[OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Indexes in indexes.
const MAX_DEPTH: usize = 4;

/// Where an image is, and the digest its name stands for.
struct Found<'a> {
    session: Session<'a>,
    digest: Digest,
}

impl Registries {
    pub async fn pull(&self, name: &Reference, auths: &[RegistryAuth]) -> Result<Image, ImageError> {
        let _turn = self.busy.wait(&name.to_string()).await;
        let endpoints = self.endpoints(&name.registry);
        let found = self.find(name, &endpoints, auths).await.map_err(|error| error.for_image(name))?;
        self.get(name, &found).await.map_err(|error| error.for_image(name))
    }

    /// Asks the endpoints in turn. Mirrors may fail as they like; from the registry itself only
    /// what could be another's fault leads on.
    async fn find<'a>(
        &'a self,
        name: &'a Reference,
        endpoints: &'a [Endpoint],
        auths: &'a [RegistryAuth],
    ) -> Result<Found<'a>, RegistryError> {
        let mut last = RegistryError::NotFound;
        for endpoint in endpoints {
            for auth in candidates(endpoint, auths) {
                let (http, env) = (&self.http, &self.env);
                let session = Session { http, env, endpoint, auth, name, authorization: Mutex::default() };
                match resolve(&session).await {
                    Ok(digest) => return Ok(Found { session, digest }),
                    Err(error) => {
                        debug!(image = %name, endpoint = endpoint.base, %error, "cannot resolve image");
                        last = error;
                    }
                }
                if !last.is_denied() && !matches!(last, RegistryError::NotFound) {
                    break;
                }
            }
            if !endpoint.mirror && !last.is_connection() {
                break;
            }
        }
        Err(last)
    }

    async fn get(&self, name: &Reference, found: &Found<'_>) -> Result<Image, RegistryError> {
        let named = name.with_digest(&found.digest);
        let store = self.store.clone();
        let work = Arc::new(self.blocking(move || store.work()).await?);
        if let Some(image) = self.store.images()?.iter().find(|image| image.repo_digests.contains(&named)) {
            let (store, work, name, id) = (self.store.clone(), work.clone(), name.clone(), image.id.clone());
            if let Some(image) = self.blocking(move || store.name(&work, &id, &name)).await? {
                return Ok(image);
            }
        }
        let session = &found.session;
        let top = session.document(&found.digest).await?;
        let manifest = session.for_host(&top).await?;
        let config_bytes = session.config(&manifest.config).await.map_err(copying)?;
        let config = Config::parse(&config_bytes)?;
        config.match_layers(manifest.layers.len())?;
        let layers = manifest.layers.iter().zip(&config.diff_ids);
        let fetches = layers.map(|(blob, diff_id)| self.layer(session, &work, blob, diff_id));
        let fetches: Vec<_> = fetches.collect();
        stream::iter(fetches).buffer_unordered(super::LAYERS_AT_ONCE).try_collect::<()>().await?;
        let size = manifest.layers.iter().map(|layer| layer.size).sum::<u64>() + config_bytes.len() as u64;
        let new = NewImage {
            config: config_bytes.to_vec(),
            manifest: Some(top.bytes.to_vec()),
            names: vec![name.clone()],
            size,
        };
        let store = self.store.clone();
        self.blocking(move || store.commit(&work, &new)).await
    }

    async fn layer(
        &self,
        session: &Session<'_>,
        work: &Arc<Work>,
        blob: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), RegistryError> {
        let _turn = self.busy.wait(diff_id.hex()).await;
        if self.store.has_layer(diff_id) {
            return Ok(());
        }
        let _place = self.layers.acquire().await.map_err(|closed| RegistryError::Interrupted(closed.to_string()))?;
        blob::layer(session, &self.store, work, blob, diff_id).await.map_err(copying)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let done = self.env.tasks.spawn_blocking(work).await;
        Ok(done.map_err(|error| RegistryError::Interrupted(error.to_string()))??)
    }
}

/// The name is good; what it stands for could not be had.
fn copying(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Store(_) | RegistryError::Interrupted(_) => error,
        error => RegistryError::Copy(Box::new(error)),
    }
}

/// A manifest or index as the registry gave it, its digest checked.
struct Fetched {
    bytes: Bytes,
    media_type: String,
}

/// The digest of the manifest or index behind the name.
async fn resolve(session: &Session<'_>) -> Result<Digest, RegistryError> {
    let name = session.name;
    let wanted = match (&name.digest, &name.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    let path = format!("manifests/{wanted}");
    let answer = session.ask(&Method::HEAD, &path, &accept(DOCUMENTS)).await?;
    if let Some(digest) = &name.digest {
        return Ok(digest.clone());
    }
    let said = answer.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    match said.and_then(|said| said.parse().ok()) {
        Some(digest) => Ok(digest),
        // An old registry; what it holds says itself what it is.
        None => Ok(Digest::of(&session.read(&path, &accept(DOCUMENTS)).await?.bytes)),
    }
}

impl Session<'_> {
    async fn document(&self, digest: &Digest) -> Result<Fetched, RegistryError> {
        let fetched = self.read(&format!("manifests/{digest}"), &accept(DOCUMENTS)).await?;
        check("manifest", digest, &fetched.bytes)?;
        Ok(fetched)
    }

    async fn config(&self, config: &Descriptor) -> Result<Bytes, RegistryError> {
        let fetched = self.read(&format!("blobs/{}", config.digest), &HeaderMap::new()).await?;
        check("image configuration", &config.digest, &fetched.bytes)?;
        Ok(fetched.bytes)
    }

    /// The manifest for this machine.
    async fn for_host(&self, top: &Fetched) -> Result<Manifest, RegistryError> {
        let mut document = manifest::parse(&top.bytes, &top.media_type)?;
        for _ in 0..MAX_DEPTH {
            match document {
                Document::Manifest(manifest) => return Ok(manifest),
                Document::Index(index) => {
                    let below = self.document(&index.for_host()?.digest).await.map_err(copying)?;
                    document = manifest::parse(&below.bytes, &below.media_type)?;
                }
            }
        }
        Err(manifest::ManifestError::Platform.into())
    }

    async fn read(&self, path: &str, headers: &HeaderMap) -> Result<Fetched, RegistryError> {
        let answer = self.ask(&Method::GET, path, headers).await?;
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_owned();
        let read = self.http.read(answer.into_body(), MAX_DOCUMENT).await;
        let bytes = read.map_err(|why| RegistryError::Body { url: format!("{}/{path}", self.endpoint.base), why })?;
        Ok(Fetched { bytes, media_type })
    }
}

fn check(what: &str, expected: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
    let found = Digest::of(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(RegistryError::Digest { what: what.to_owned(), expected: expected.clone(), found })
}
