//! clusterTrustBundle projections: the certificates of one ClusterTrustBundle by name, or of all
//! that a signer's name and a label selector find, each once and always in the same order.

use crate::{Request, VolumeError, pem};
use k8s_openapi::api::core::v1::ClusterTrustBundleProjection;
use meta::labels::Selector;
use std::collections::BTreeSet;

/// Which bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bundles {
    Named(String),
    OfSigner { signer: String, labels: Selector },
}

pub(crate) async fn content(
    request: &Request<'_>,
    source: &ClusterTrustBundleProjection,
) -> Result<Vec<u8>, VolumeError> {
    let wanted = wanted(source)?;
    let nothing = matches!(&wanted, Bundles::OfSigner { labels, .. } if *labels == Selector::nothing());
    let found = if nothing { Vec::new() } else { request.context.sources.trust_bundles(&wanted).await? };
    if found.is_empty() && source.optional != Some(true) {
        return Err(VolumeError::Other(match wanted {
            Bundles::Named(name) => {
                format!("while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found")
            }
            Bundles::OfSigner { .. } => {
                "combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned()
            }
        }));
    }
    let anchors: BTreeSet<Vec<u8>> = found.iter().flat_map(|bundle| pem::blocks(bundle)).collect();
    Ok(anchors.iter().map(|anchor| pem::encode("CERTIFICATE", anchor)).collect::<String>().into_bytes())
}

/// No selector finds nothing, an empty one all of the signer's.
fn wanted(source: &ClusterTrustBundleProjection) -> Result<Bundles, VolumeError> {
    match (&source.name, &source.signer_name) {
        (Some(name), _) => Ok(Bundles::Named(name.clone())),
        (None, Some(signer)) => {
            let selector = serde_json::to_value(&source.label_selector).unwrap_or_default();
            let labels = Selector::from_json(&selector).map_err(|error| VolumeError::Other(error.to_string()))?;
            Ok(Bundles::OfSigner { signer: signer.clone(), labels })
        }
        (None, None) => Err(VolumeError::Other("either name or signerName must be specified".to_owned())),
    }
}
