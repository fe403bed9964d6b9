//! Certificates of pods: a key is made here and never leaves the node but into the pod's volume, a
//! signer is asked through a PodCertificateRequest, and asked anew when the certificate says so.
//!
//! What a pod was given last stays until there is something newer.

use crate::certificate_key;
use crate::{VolumeError, pem};
use base::{Env, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Api, Error, Request, Response, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a projection asks for, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    pub namespace: String,
    pub pod_name: String,
    pub pod_uid: String,
    pub service_account: String,
    pub node_name: String,
    /// The projection's place: the volume's name and which of its sources.
    pub volume: String,
    pub source: usize,
    pub signer: String,
    pub key_type: String,
    pub max_expiration_seconds: Option<i32>,
    pub user_annotations: BTreeMap<String, String>,
}

/// A private key and its certificate with those above it, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub key: String,
    pub chain: String,
}

/// Keys stay out of logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("chain", &self.chain).finish_non_exhaustive()
    }
}

const REQUESTS: GroupVersionResource = GroupVersionResource::of("certificates.k8s.io", "v1", "podcertificaterequests");
/// How long a pod that has nothing yet waits for its signer at a time, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// Renewals are spread by up to this many seconds.
const SPREAD: u64 = 300;

/// One projection's.
#[derive(Clone, Default)]
struct Record {
    issued: Option<Issued>,
    pending: Option<Pending>,
    /// The signer's last word.
    refused: Option<String>,
}

#[derive(Clone)]
struct Issued {
    credentials: Credentials,
    renew_at: Timestamp,
}

#[derive(Clone)]
struct Pending {
    name: String,
    key: String,
}

enum Verdict {
    Open,
    Issued(Issued),
    Refused(String),
    Gone,
}

/// By pod, volume and source.
type Place = (String, String, usize);

pub(crate) struct PodCertificates {
    api: Arc<dyn Api>,
    env: Env,
    records: Mutex<BTreeMap<Place, Record>>,
}

impl PodCertificates {
    pub fn new(api: Arc<dyn Api>, env: &Env) -> Self {
        PodCertificates { api, env: env.clone(), records: Mutex::default() }
    }

    /// # Errors
    /// There is none yet, or the signer has refused.
    pub async fn get(&self, request: &CertificateRequest) -> Result<Credentials, VolumeError> {
        let place = (request.pod_uid.clone(), request.volume.clone(), request.source);
        let mut record = self.lock().get(&place).cloned().unwrap_or_default();
        let now = self.env.clock.now();
        if record.refused.is_none() && record.issued.as_ref().is_none_or(|issued| now >= issued.renew_at) {
            let advanced = self.advance(request, &place, &mut record).await;
            self.lock().insert(place, record.clone());
            if let (Err(error), None) = (advanced, &record.issued) {
                return Err(error);
            }
        }
        match (record.refused, record.issued) {
            (Some(why), _) => Err(VolumeError::Other(why)),
            (None, Some(issued)) => Ok(issued.credentials),
            (None, None) => Err(VolumeError::Other("PodCertificateRequest has not been issued yet".to_owned())),
        }
    }

    /// Forgets a pod that is gone.
    pub fn forget(&self, pod_uid: &str) {
        self.lock().retain(|(uid, ..), _| uid != pod_uid);
    }

    async fn advance(
        &self,
        request: &CertificateRequest,
        place: &Place,
        record: &mut Record,
    ) -> Result<(), VolumeError> {
        let pending = match record.pending.clone() {
            Some(pending) => pending,
            None => {
                let pending = self.create(request).await?;
                record.pending = Some(pending.clone());
                // Kept before the wait: who waits may be called away.
                self.lock().insert(place.clone(), record.clone());
                pending
            }
        };
        let patience = if record.issued.is_some() { Duration::ZERO } else { PATIENCE };
        let started = self.env.clock.instant();
        loop {
            match self.look(request, &pending).await? {
                Verdict::Open if started.elapsed() < patience => self.env.clock.sleep(LOOK).await,
                Verdict::Open => return Ok(()),
                Verdict::Issued(issued) => {
                    *record = Record { issued: Some(issued), ..Record::default() };
                    return Ok(());
                }
                Verdict::Refused(why) => {
                    record.refused = Some(why);
                    return Ok(());
                }
                Verdict::Gone => {
                    record.pending = None;
                    let why = format!("PodCertificateRequest {:?} appears to have been deleted", pending.name);
                    return Err(VolumeError::Other(why));
                }
            }
        }
    }

    async fn create(&self, request: &CertificateRequest) -> Result<Pending, VolumeError> {
        let account = GroupVersionResource::of("", "v1", "serviceaccounts");
        let account = Request::new(Verb::Get, account).namespace(&request.namespace).name(&request.service_account);
        let account = self.uid_of(account, "service account").await?;
        let node = Request::new(Verb::Get, GroupVersionResource::of("", "v1", "nodes")).name(&request.node_name);
        let node = self.uid_of(node, "node").await?;
        let fresh = certificate_key::generate(&self.env.tasks, &request.key_type).await?;
        let mut body = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "PodCertificateRequest",
            "metadata": {
                "generateName": "req-",
                "namespace": request.namespace,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": request.pod_name, "uid": request.pod_uid},
                ],
            },
            "spec": {
                "signerName": request.signer,
                "podName": request.pod_name,
                "podUID": request.pod_uid,
                "serviceAccountName": request.service_account,
                "serviceAccountUID": account,
                "nodeName": request.node_name,
                "nodeUID": node,
                "stubPKCS10Request": STANDARD.encode(&fresh.request),
            },
        });
        if let Some(seconds) = request.max_expiration_seconds {
            body["spec"]["maxExpirationSeconds"] = seconds.into();
        }
        if !request.user_annotations.is_empty() {
            body["spec"]["unverifiedUserAnnotations"] = json!(request.user_annotations);
        }
        let call = Request::new(Verb::Create, REQUESTS).namespace(&request.namespace).body(body.to_string());
        let made = self.object(call).await.map_err(|why| during("creating PodCertificateRequest", &why))?;
        let name = made["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(Pending { name, key: fresh.key })
    }

    async fn uid_of(&self, call: Request, what: &str) -> Result<String, VolumeError> {
        let found = self.object(call).await.map_err(|why| during(&format!("fetching {what}"), &why))?;
        Ok(found["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
    }

    /// How the request stands.
    async fn look(&self, request: &CertificateRequest, pending: &Pending) -> Result<Verdict, VolumeError> {
        let call = Request::new(Verb::Get, REQUESTS).namespace(&request.namespace).name(&pending.name);
        let found = match self.object(call).await {
            Ok(found) => found,
            Err(error) if error.is(Reason::NotFound) => return Ok(Verdict::Gone),
            Err(error) => return Err(during("getting PodCertificateRequest", &error)),
        };
        let status = &found["status"];
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            let how = match text("type") {
                "Issued" => return self.issued(status, &pending.key).map(Verdict::Issued),
                "Denied" => "denied",
                "Failed" => "failed",
                _ => continue,
            };
            return Ok(Verdict::Refused(format!(
                "PodCertificateRequest was permanently {how}: reason={:?} message={:?}",
                text("reason"),
                text("message")
            )));
        }
        Ok(Verdict::Open)
    }

    fn issued(&self, status: &Value, key: &str) -> Result<Issued, VolumeError> {
        let time = |field: &str| status[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let Some(renew_at) = time("beginRefreshAt") else {
            return Err(VolumeError::Other(
                "an issued PodCertificateRequest does not say when it is renewed".to_owned(),
            ));
        };
        let spread = i64::try_from(self.env.rng.u64(0..SPREAD)).unwrap_or(0);
        let renew_at = Timestamp::from_second(renew_at.as_second() + spread).unwrap_or(renew_at);
        let chain = pem::blocks(status["certificateChain"].as_str().unwrap_or_default());
        let chain = chain.iter().map(|certificate| pem::encode("CERTIFICATE", certificate)).collect();
        Ok(Issued { credentials: Credentials { key: key.to_owned(), chain }, renew_at })
    }

    async fn object(&self, call: Request) -> Result<Value, Error> {
        match self.api.call(call).await? {
            Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap_or_default()),
            _ => Ok(Value::Null),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn during(what: &str, error: &Error) -> VolumeError {
    VolumeError::Api(format!("while {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::fake::FakeApi;
    use jiff::SignedDuration;

    struct Scene {
        api: FakeApi,
        env: Env,
        certificates: PodCertificates,
    }

    impl Scene {
        fn new() -> Self {
            let api = FakeApi::new();
            let env = Env::simulated(1, Timestamp::UNIX_EPOCH);
            let meta = |name: &str, uid: &str| json!({"metadata": {"namespace": "shop", "name": name, "uid": uid}});
            api.put(&GroupVersionResource::of("", "v1", "serviceaccounts"), meta("default", "s1"));
            let node = json!({"metadata": {"name": "n1", "uid": "u1"}});
            api.put(&GroupVersionResource::of("", "v1", "nodes"), node);
            let certificates = PodCertificates::new(Arc::new(api.clone()), &env);
            Scene { api, env, certificates }
        }

        async fn get(&self) -> Result<Credentials, String> {
            let text = str::to_owned;
            let request = CertificateRequest {
                namespace: text("shop"),
                pod_name: text("web"),
                pod_uid: text("p1"),
                service_account: text("default"),
                node_name: text("n1"),
                volume: text("v"),
                signer: text("x.io/y"),
                key_type: text("ED25519"),
                ..CertificateRequest::default()
            };
            self.certificates.get(&request).await.map_err(|error| error.to_string())
        }

        /// The signer's word on all that are open.
        fn answer(&self, kind: &str, chain: &str) {
            let renewal = self.env.clock.now().checked_add(SignedDuration::from_hours(1)).unwrap();
            for mut request in self.api.all(&REQUESTS) {
                if request["status"].is_null() {
                    request["status"] = json!({
                        "conditions": [{"type": kind, "status": "True", "reason": "R", "message": "m"}],
                        "certificateChain": pem::encode("CERTIFICATE", chain.as_bytes()),
                        "beginRefreshAt": renewal.to_string(),
                    });
                    self.api.put(&REQUESTS, request);
                }
            }
        }

        fn asked(&self) -> usize {
            self.api.all(&REQUESTS).len()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_and_the_old_one_kept_until_then() {
        let scene = Scene::new();
        assert_eq!(scene.get().await.unwrap_err(), "PodCertificateRequest has not been issued yet");
        assert_eq!(scene.get().await.is_err(), scene.asked() == 1, "asked once, however often it is looked for");
        scene.answer("Issued", "first");
        let first = scene.get().await.unwrap();
        assert_eq!(first.chain, pem::encode("CERTIFICATE", b"first"));
        assert!(first.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(scene.get().await.unwrap() == first && scene.asked() == 1, "nothing is asked for before its time");
        scene.env.clock.jump(SignedDuration::from_hours(2));
        assert!(scene.get().await.unwrap() == first && scene.asked() == 2, "the old one until there is a new one");
        scene.answer("Issued", "second");
        let second = scene.get().await.unwrap();
        assert_eq!(second.chain, pem::encode("CERTIFICATE", b"second"));
        assert!(second.key != first.key, "a key for each");
        scene.certificates.forget("p1");
        assert!(scene.get().await.is_err() && scene.asked() == 3, "another pod begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_and_a_lost_request_is_made_again() {
        let scene = Scene::new();
        assert!(scene.get().await.is_err());
        let lost = scene.api.all(&REQUESTS)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        scene.api.remove(&REQUESTS, "shop", &lost);
        assert!(scene.get().await.unwrap_err().ends_with("appears to have been deleted"));
        assert!(scene.get().await.is_err() && scene.asked() == 1);
        scene.answer("Denied", "");
        let why = "PodCertificateRequest was permanently denied: reason=\"R\" message=\"m\"";
        for _ in 0..2 {
            assert_eq!(scene.get().await.err().as_deref(), Some(why));
        }
        assert_eq!(scene.asked(), 1);
    }
}
