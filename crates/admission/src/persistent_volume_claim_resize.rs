//! PersistentVolumeClaimResize: a claim grows only where its class lets it.

use crate::paths::{annotation, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::{Quantity, Status};
use serde_json::Value;

/// Where claims of long ago named their class.
pub(crate) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(PersistentVolumeClaimResize)
}

struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let (true, Some(old)) = (request.is("", "persistentvolumeclaims"), request.old_object) else {
            return Ok(());
        };
        let (Some(before), Some(after)) = (size(old), size(&request.object)) else { return Ok(()) };
        if after <= before {
            return Ok(());
        }
        if text(old, &["status", "phase"]) != "Bound" {
            return Err(request.forbid("Only bound persistent volume claims can be expanded"));
        }
        let class = annotation(old, CLASS_ANNOTATION).unwrap_or_else(|| text(old, &["spec", "storageClassName"]));
        let class = lookup.get("storage.k8s.io", "storageclasses", "", class).filter(|_| !class.is_empty());
        if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
            return Ok(());
        }
        Err(request.forbid(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}

fn size(claim: &Value) -> Option<Quantity> {
    Quantity::parse(text(claim, &["spec", "resources", "requests", "storage"])).ok()
}
