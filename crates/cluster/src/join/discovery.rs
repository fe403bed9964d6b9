//! Learning whom to trust: the cluster tells its authority to everybody, the token's hash tells
//! whether it is the true one.

use super::Error;
use auth::pki;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Api, Request, Response, Verb};
use meta::GroupVersionResource;
use serde_json::Value;

/// The authority, in PEM, whose public key has this hash.
pub(super) async fn authority(api: &dyn Api, server: &str, hash: &str) -> Result<String, Error> {
    let failed = |source| Error::Discovery { server: server.to_owned(), source };
    let request = Request::new(Verb::Get, GroupVersionResource::of("", "v1", "configmaps"))
        .namespace("kube-public")
        .name("cluster-info");
    let Response::Object { body, .. } = api.call(request).await.map_err(failed)? else {
        return Err(Error::Answer("cluster-info is no object".to_owned()));
    };
    let info: Value = serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()))?;
    let kubeconfig = info["data"]["kubeconfig"].as_str().unwrap_or_default();
    let told = authority_data(kubeconfig)
        .ok_or_else(|| Error::Answer("cluster-info does not tell a certificate authority".to_owned()))?;
    // One that was not pinned is not believed, whatever stands beside it.
    blocks(&told)
        .find(|block| pki::ca_hash(block).is_ok_and(|own| own == hash))
        .map(str::to_owned)
        .ok_or_else(|| Error::Impostor(server.to_owned(), hash.to_owned()))
}

/// The authority in a kubeconfig, which may be written as YAML or as JSON: in both the base64 text
/// follows the key.
fn authority_data(kubeconfig: &str) -> Option<String> {
    let (_, after) = kubeconfig.split_once("certificate-authority-data")?;
    let data = after.trim_start_matches(['"', '\'', ':', ' ']);
    let end = data.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))).unwrap_or(data.len());
    String::from_utf8(STANDARD.decode(&data[..end]).ok()?).ok()
}

fn blocks(pem: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END).map(|block| block.trim_start()).filter(|block| block.ends_with(END))
}
