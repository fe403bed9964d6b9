//! Getting a certificate through a CertificateSigningRequest.

use super::Error;
use auth::pki::{self, Identity, Key, Parsed, Request as SigningRequest};
use base::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Api, Request, Response, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const RESOURCE: GroupVersionResource =
    GroupVersionResource::of("certificates.k8s.io", "v1", "certificatesigningrequests");
/// How often a request is looked at: soon at first, then calmer.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A certificate to ask for.
pub(super) struct Wanted {
    /// The name of its files, without extension.
    pub file: &'static str,
    pub signer: &'static str,
    pub usage: &'static str,
    pub common_name: String,
    pub names: Vec<String>,
}

/// Asks and waits. The key is kept until there is a certificate for it, so that an agent that is
/// restarted meanwhile goes on waiting for the same request.
pub(super) async fn get(
    env: &Env,
    api: &dyn Api,
    dir: &Path,
    wanted: &Wanted,
    patience: Duration,
) -> Result<Identity, Error> {
    let pending = dir.join(format!("{}.pending.key", wanted.file));
    let key = match pki::read(&pending)?.map(|text| Key::from_pem(&text)) {
        Some(Ok(key)) => key,
        _ => {
            let key = Key::generate()?;
            pki::write_private(&pending, key.to_pem().as_bytes())?;
            key
        }
    };
    let outcome = ask(env, api, &key, wanted, patience).await;
    if !matches!(outcome, Err(Error::NotApproved { .. } | Error::Call { .. })) {
        // Answered, for good or bad: the next request has a key of its own.
        let _ = std::fs::remove_file(&pending);
    }
    Ok(Identity { certificate: outcome?, key: key.to_pem().to_owned() })
}

async fn ask(env: &Env, api: &dyn Api, key: &Key, wanted: &Wanted, patience: Duration) -> Result<String, Error> {
    let name = format!("node-csr-{}", fingerprint(key, wanted));
    let pem = SigningRequest::create(key, &wanted.common_name, &[auth::names::NODES], &wanted.names)?;
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(pem),
            "signerName": wanted.signer,
            "usages": ["digital signature", wanted.usage],
        },
    });
    let create = Request::new(Verb::Create, RESOURCE).body(object.to_string());
    match api.call(create).await {
        Ok(_) => {}
        Err(error) if error.is(Reason::AlreadyExists) => {}
        Err(source) => return Err(Error::Call { what: "ask for a certificate", source }),
    }
    let deadline = env.clock.instant() + patience;
    let mut wait = FIRST_LOOK;
    loop {
        if let Some(certificate) = look(api, &name).await? {
            check(&certificate, key, wanted)?;
            return Ok(certificate);
        }
        if env.clock.instant() >= deadline {
            return Err(Error::NotApproved { name, seconds: patience.as_secs() });
        }
        env.clock.sleep(wait).await;
        wait = (wait * 2).min(LAST_LOOK);
    }
}

/// The same key and wish make the same name.
fn fingerprint(key: &Key, wanted: &Wanted) -> String {
    let told = format!("{}\n{}\n{}\n{}", key.public().id(), wanted.signer, wanted.common_name, wanted.names.join(","));
    let mut digest = auth::secret::sha256_hex(told.as_bytes());
    digest.truncate(43);
    digest
}

/// The certificate, once there is one.
async fn look(api: &dyn Api, name: &str) -> Result<Option<String>, Error> {
    let failed = |source| Error::Call { what: "look at the certificate request", source };
    let Response::Object { body, .. } = api.call(Request::new(Verb::Get, RESOURCE).name(name)).await.map_err(failed)?
    else {
        return Err(Error::Answer("a certificate request is no object".to_owned()));
    };
    let object: Value = serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()))?;
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        match condition["type"].as_str() {
            Some("Denied") => return Err(Error::Denied { name: name.to_owned(), message }),
            Some("Failed") => return Err(Error::Failed { name: name.to_owned(), message }),
            _ => {}
        }
    }
    let Some(data) = object["status"]["certificate"].as_str().filter(|data| !data.is_empty()) else { return Ok(None) };
    let pem = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    pem.map(Some).ok_or_else(|| Error::Answer("the certificate is not PEM in base64".to_owned()))
}

fn check(certificate: &str, key: &Key, wanted: &Wanted) -> Result<(), Error> {
    let parsed = Parsed::from_pem(certificate)?;
    if parsed.public_key != *key.public().subject() || parsed.common_name != wanted.common_name {
        return Err(Error::Answer("the certificate is not the one that was asked for".to_owned()));
    }
    Ok(())
}
