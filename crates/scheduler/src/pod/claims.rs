//! The claims of devices that a pod names, as far as they have been made.

use serde::Deserialize;

/// One entry of the pod's `resourceClaims`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodClaim {
    /// `is_own`: it was made for this pod, and must be owned by it.
    Named { name: String, is_own: bool },
    /// Its template has not been followed yet.
    Awaited,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wire {
    name: String,
    resource_claim_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    name: String,
    resource_claim_name: Option<String>,
}

/// Entries of which the status says that no claim is needed are left out.
pub(super) fn read(claims: Vec<Wire>, statuses: &[Status]) -> Box<[PodClaim]> {
    let read = |claim: Wire| match claim.resource_claim_name {
        Some(name) => Some(PodClaim::Named { name, is_own: false }),
        None => match statuses.iter().find(|status| status.name == claim.name) {
            Some(Status { resource_claim_name: Some(name), .. }) => {
                Some(PodClaim::Named { name: name.clone(), is_own: true })
            }
            Some(_) => None,
            None => Some(PodClaim::Awaited),
        },
    };
    claims.into_iter().filter_map(read).collect()
}
