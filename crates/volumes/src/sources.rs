//! Where the content of volumes comes from: ConfigMaps, Secrets, trust bundles, tokens and
//! certificates of the API server.
//!
//! What was read last is kept, so that containers can restart while the server cannot be reached.

use crate::VolumeError;
use crate::mounts::BoxFuture;
use crate::pod_certificates::{CertificateRequest, Credentials, PodCertificates};
use crate::tokens::Tokens;
use crate::trust_bundle::Bundles;
use base::Env;
use bytes::Bytes;
use client::{Api, Error, Options, Request, Response, Verb};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use meta::{GroupVersionResource, Reason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A token for one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenRequest {
    pub namespace: String,
    pub service_account: String,
    /// Empty: the API server's own.
    pub audience: String,
    pub expiration_seconds: i64,
    pub pod_name: String,
    pub pod_uid: String,
}

pub trait Sources: Send + Sync {
    /// None where there is no such object.
    fn config_map<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ConfigMap>, VolumeError>>;
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, VolumeError>>;
    /// The pod's token, renewed in good time.
    fn token<'a>(&'a self, request: &'a TokenRequest) -> BoxFuture<'a, Result<String, VolumeError>>;
    /// The content of the bundles that are there.
    fn trust_bundles<'a>(&'a self, wanted: &'a Bundles) -> BoxFuture<'a, Result<Vec<String>, VolumeError>>;
    /// A key of the pod's own with the signer's certificate, renewed in good time.
    fn certificate<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Credentials, VolumeError>>;
    /// The pod is gone.
    fn forget(&self, _pod_uid: &str) {}
}

const CONFIG_MAPS: GroupVersionResource = GroupVersionResource::of("", "v1", "configmaps");
const SECRETS: GroupVersionResource = GroupVersionResource::of("", "v1", "secrets");
const TRUST_BUNDLES: GroupVersionResource =
    GroupVersionResource::of("certificates.k8s.io", "v1", "clustertrustbundles");
/// Objects that nobody asked for in this time are forgotten.
const KEEP: Duration = Duration::from_secs(600);
/// No more objects are kept than this; beyond it only the fallback without a server is lost.
const KEEP_MOST: usize = 4096;

/// Sources over an [`Api`].
pub struct ApiSources {
    api: Arc<dyn Api>,
    env: Env,
    kept: Mutex<BTreeMap<String, (Bytes, Instant)>>,
    tokens: Tokens,
    certificates: PodCertificates,
}

impl ApiSources {
    pub fn new(api: Arc<dyn Api>, env: &Env) -> Self {
        let tokens = Tokens::new(api.clone(), env);
        let certificates = PodCertificates::new(api.clone(), env);
        ApiSources { api, env: env.clone(), kept: Mutex::default(), tokens, certificates }
    }

    async fn bundles(&self, wanted: &Bundles) -> Result<Vec<String>, VolumeError> {
        let bodies = match wanted {
            Bundles::Named(name) => self.get(TRUST_BUNDLES, "", name).await?.into_iter().collect(),
            Bundles::OfSigner { signer, labels } => {
                let labels = Some(labels.to_string()).filter(|text| !text.is_empty());
                let field_selector = Some(format!("spec.signerName={signer}"));
                let options = Options { label_selector: labels, field_selector, ..Options::default() };
                match self.api.call(Request::new(Verb::List, TRUST_BUNDLES).options(options)).await {
                    Ok(Response::List(list)) => list.items,
                    Ok(_) => return Err(VolumeError::Api("a LIST was not answered with a list".to_owned())),
                    Err(error) => return Err(VolumeError::Api(error.to_string())),
                }
            }
        };
        let content = |body: Bytes| {
            decode::<ClusterTrustBundle>(Some(body)).map(|bundle| bundle.unwrap_or_default().spec.trust_bundle)
        };
        bodies.into_iter().map(content).collect()
    }

    async fn get(
        &self,
        resource: GroupVersionResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Bytes>, VolumeError> {
        let key = format!("{}/{namespace}/{name}", resource.resource);
        let request = Request::new(Verb::Get, resource).namespace(namespace).name(name);
        match self.api.call(request).await {
            Ok(Response::Object { body, .. }) => {
                self.keep(key, body.clone());
                Ok(Some(body))
            }
            Ok(_) => Err(VolumeError::Api("a GET was not answered with an object".to_owned())),
            Err(error) if error.is(Reason::NotFound) => {
                self.lock().remove(&key);
                Ok(None)
            }
            Err(error @ Error::Connection(_)) => match self.lock().get(&key) {
                Some((body, _)) => Ok(Some(body.clone())),
                None => Err(VolumeError::Api(error.to_string())),
            },
            Err(error) => Err(VolumeError::Api(error.to_string())),
        }
    }

    fn keep(&self, key: String, body: Bytes) {
        let now = self.env.clock.instant();
        let mut kept = self.lock();
        if kept.len() >= KEEP_MOST {
            kept.retain(|_, (_, used)| now.duration_since(*used) < KEEP);
        }
        if kept.len() < KEEP_MOST {
            kept.insert(key, (body, now));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Bytes, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode<T: serde::de::DeserializeOwned>(body: Option<Bytes>) -> Result<Option<T>, VolumeError> {
    let Some(body) = body else { return Ok(None) };
    serde_json::from_slice(&body).map(Some).map_err(|error| VolumeError::Api(error.to_string()))
}

impl Sources for ApiSources {
    fn config_map<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ConfigMap>, VolumeError>> {
        Box::pin(async move { decode(self.get(CONFIG_MAPS, namespace, name).await?) })
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, VolumeError>> {
        Box::pin(async move { decode(self.get(SECRETS, namespace, name).await?) })
    }

    fn token<'a>(&'a self, request: &'a TokenRequest) -> BoxFuture<'a, Result<String, VolumeError>> {
        Box::pin(self.tokens.get(request))
    }

    fn trust_bundles<'a>(&'a self, wanted: &'a Bundles) -> BoxFuture<'a, Result<Vec<String>, VolumeError>> {
        Box::pin(self.bundles(wanted))
    }

    fn certificate<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Credentials, VolumeError>> {
        Box::pin(self.certificates.get(request))
    }

    fn forget(&self, pod_uid: &str) {
        self.certificates.forget(pod_uid);
    }
}
