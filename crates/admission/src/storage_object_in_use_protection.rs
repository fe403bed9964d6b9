//! StorageObjectInUseProtection: claims, volumes and attribute classes do not vanish under a user.

use crate::paths::items_mut;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::Value;

/// Group, resource, finalizer.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(StorageObjectInUseProtection)
}

struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>, _: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let row = PROTECTED.iter().find(|(group, resource, _)| request.is(group, resource));
        let Some((_, _, finalizer)) = row else { return Ok(()) };
        if let Some(finalizers) = items_mut(&mut request.object, &["metadata", "finalizers"])
            && !finalizers.iter().any(|own| own == finalizer)
        {
            finalizers.push(Value::String((*finalizer).to_owned()));
        }
        Ok(())
    }
}
