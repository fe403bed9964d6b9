//! ClusterTrustBundleAttest: only who may attest for a signer writes its trust bundles.

use crate::certificate_approval::{GROUP, may_act_for};
use crate::paths::text;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(ClusterTrustBundleAttest)
}

struct ClusterTrustBundleAttest;

impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if !request.is(GROUP, "clustertrustbundles") {
            return Ok(());
        }
        // The collector may drop finalizers of what it could not write.
        if request.old_object.is_some_and(|old| old["spec"] == request.object["spec"]) {
            return Ok(());
        }
        let signer = text(&request.object, &["spec", "signerName"]);
        if signer.is_empty() || may_act_for(lookup, request.user, "attest", signer) {
            return Ok(());
        }
        Err(request.forbid(&format!("user not permitted to attest for signerName {signer:?}")))
    }
}
