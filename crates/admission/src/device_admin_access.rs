//! DeviceAdminAccess: administrators' access to devices that others use is asked for in namespaces
//! that allow it. Upstream refuses this as part of what is valid; here rules of validity do not see
//! other objects, so it has a place of its own in the chain.

use crate::paths::at;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use meta::field::{self, FieldError, Path};
use serde_json::Value;

const GROUP: &str = "resource.k8s.io";
const LABEL: &str = "resource.kubernetes.io/admin-access";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(DeviceAdminAccess)
}

struct DeviceAdminAccess;

/// The first request for such access, by its path.
fn asked(owner: &Value, pointer: &str) -> Option<Path> {
    let requests = owner.pointer(pointer)?.as_array()?;
    let number = requests.iter().position(|request| request["exactly"]["adminAccess"] == true)?;
    // Upstream calls it so, wherever it stands.
    Some(Path::new("spec").child("devices").child("requests").index(number).child("adminAccess"))
}

/// The same of what was given.
fn given(claim: &Value) -> Option<Path> {
    let results = claim.pointer("/status/allocation/devices/results")?.as_array()?;
    let number = results.iter().position(|result| result["adminAccess"] == true)?;
    let path = Path::new("status").child("allocation").child("devices").child("results").index(number);
    Some(path.child("adminAccess"))
}

impl Plugin for DeviceAdminAccess {
    fn name(&self) -> &'static str {
        "DeviceAdminAccess"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let is_new = request.operation == Operation::Create;
        let (kind, path) = if is_new && request.is(GROUP, "resourceclaims") {
            ("ResourceClaim", asked(&request.object, "/spec/devices/requests"))
        } else if is_new && request.is(GROUP, "resourceclaimtemplates") {
            ("ResourceClaimTemplate", asked(&request.object, "/spec/spec/devices/requests"))
        } else if request.is(GROUP, "resourceclaims/status") && request.old_object.and_then(given).is_none() {
            ("ResourceClaim", given(&request.object))
        } else {
            return Ok(());
        };
        let Some(path) = path else { return Ok(()) };
        let namespace = lookup.get("", "namespaces", "", request.namespace);
        let allows = |namespace: &Value| at(namespace, &["metadata", "labels", LABEL]).is_some_and(|on| on == "true");
        if namespace.is_some_and(|namespace| allows(&namespace)) {
            return Ok(());
        }
        let why = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        let errors = [FieldError::forbidden(&path, &why)];
        Err(field::invalid(GROUP, kind, request.object_name(), &errors))
    }
}

#[cfg(test)]
mod tests {
    use super::LABEL;
    use crate::testing::{World, create, update};
    use serde_json::{Value, json};

    #[test]
    fn only_namespaces_that_allow_it_have_admin_access() {
        let namespace = |name: &str, on: &str| json!({"metadata": {"name": name, "labels": {LABEL: on}}});
        let world = World {
            objects: vec![("namespaces", namespace("admins", "true")), ("namespaces", namespace("others", "false"))],
            ..World::default()
        };
        let requests =
            |admin: bool| json!({"requests": [{"name": "a"}, {"name": "r", "exactly": {"adminAccess": admin}}]});
        let claim = |namespace: &str, admin: bool| json!({"metadata": {"name": "c", "namespace": namespace}, "spec": {"devices": requests(admin)}});
        let template = |namespace: &str| json!({"metadata": {"name": "t", "namespace": namespace}, "spec": {"spec": {"devices": requests(true)}}});
        let allocated = |namespace: &str| {
            let mut claim = claim(namespace, true);
            claim["status"] = json!({"allocation": {"devices": {"results": [{"adminAccess": true}]}}});
            claim
        };
        let (claims, templates) = ("resource.k8s.io/resourceclaims", "resource.k8s.io/resourceclaimtemplates");
        let asked = "spec.devices.requests[1].adminAccess";
        let status = "resource.k8s.io/resourceclaims/status";
        let run = |is_new: bool, on: &'static str, old: Value, object: Value| {
            let plugin = "DeviceAdminAccess";
            let write = if is_new { create(plugin, on) } else { update(plugin, on, old) };
            write.run(&world, object).err().map(|refused| refused.message)
        };
        for (is_new, on, old, object, refused) in [
            (true, claims, json!({}), claim("admins", true), None),
            (true, claims, json!({}), claim("others", false), None),
            (true, claims, json!({}), claim("others", true), Some(asked)),
            (true, templates, json!({}), template("others"), Some(asked)),
            (true, templates, json!({}), template("admins"), None),
            (false, status, claim("admins", true), allocated("admins"), None),
            (
                false,
                status,
                claim("others", true),
                allocated("others"),
                Some("status.allocation.devices.results[0].adminAccess"),
            ),
            (false, status, allocated("others"), allocated("others"), None),
        ] {
            let told = run(is_new, on, old, object.clone());
            let wanted = format!(
                "Forbidden: admin access to devices requires the `{LABEL}: true` label on the containing namespace"
            );
            match (told, refused) {
                (None, None) => {}
                (Some(told), Some(path)) => assert!(told.ends_with(&format!("{path}: {wanted}")), "{told}"),
                (told, _) => panic!("{object}: {told:?}"),
            }
        }
    }
}
