//! Claims of devices: those that a pod names, and which of them its containers use.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;
use std::collections::BTreeSet;

pub fn validate(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (at, claim) in items(spec, "resourceClaims").iter().enumerate() {
        let here = path.child("resourceClaims").index(at);
        let (name, at_name) = (text(claim, "name"), here.child("name"));
        if check::required(errors, &at_name, name) {
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&at_name, name));
            }
            check::all(errors, &at_name, name, validation::dns1123_label(name));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        match sources.iter().filter(|source| claim[**source].is_string()).count() {
            0 => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.push(FieldError::invalid(&here, claim.clone(), why));
            }
            1 => {}
            _ => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.push(FieldError::invalid(&here, claim.clone(), why));
            }
        }
        for source in sources {
            if let Some(name) = claim[source].as_str() {
                check::all(errors, &here.child(source), name, validation::dns1123_subdomain(name));
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for (at, container) in items(spec, list).iter().enumerate() {
            let here = path.child(list).index(at).child("resources").child("claims");
            used(items(&container["resources"], "claims"), &names, &here, errors);
        }
    }
}

fn used(claims: &[Value], known: &BTreeSet<&str>, path: &Path, errors: &mut ErrorList) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (at, claim) in claims.iter().enumerate() {
        let (name, request, here) = (text(claim, "name"), text(claim, "request"), path.index(at));
        if !check::required(errors, &here, name) {
            continue;
        }
        let shown = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
        // The claim as a whole has all of its requests.
        if seen.contains(name) || !seen.insert(shown.clone()) {
            errors.push(FieldError::duplicate(&here, shown));
        }
        if !known.contains(name) {
            let mut error = FieldError::not_found(&here, name);
            error.body.push_str(":  must be one of the names in pod.spec.resourceClaims");
            match known.is_empty() {
                true => error.body.push_str(" which is empty"),
                false => {
                    let known: Vec<&str> = known.iter().copied().collect();
                    error.body.push_str(&format!(": {}", known.join(", ")));
                }
            }
            errors.push(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_use_what_the_pod_names() {
        let named =
            json!([{"name": "gpu", "resourceClaimName": "c"}, {"name": "nic", "resourceClaimTemplateName": "t"}]);
        for (spec, wanted) in [
            (json!({"resourceClaims": named, "containers": [{"resources": {"claims": [{"name": "gpu"}]}}]}), vec![]),
            (
                json!({"resourceClaims": [{"name": "gpu"}, {"name": "gpu", "resourceClaimName": "C"}]}),
                vec![
                    "spec.resourceClaims[0]: Invalid value: {\"name\":\"gpu\"}: must specify one of: \
                     `resourceClaimName`, `resourceClaimTemplateName`",
                    "spec.resourceClaims[1].name: Duplicate value: \"gpu\"",
                    "spec.resourceClaims[1].resourceClaimName: Invalid value: \"C\": a lowercase RFC 1123 subdomain \
                     must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
                     alphanumeric character (e.g. 'example.com', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                ],
            ),
            (
                json!({"containers": [{"resources": {"claims": [{"name": "gpu"}]}}]}),
                vec![
                    "spec.containers[0].resources.claims[0]: Not found: \"gpu\":  must be one of the names in \
                     pod.spec.resourceClaims which is empty",
                ],
            ),
            (
                json!({"resourceClaims": named, "initContainers": [{"resources": {"claims":
                    [{"name": "gpu"}, {"name": "gpu", "request": "r"}, {"name": "x"}]}}]}),
                vec![
                    "spec.initContainers[0].resources.claims[1]: Duplicate value: \"gpu/r\"",
                    "spec.initContainers[0].resources.claims[2]: Not found: \"x\":  must be one of the names in \
                     pod.spec.resourceClaims: gpu, nic",
                ],
            ),
        ] {
            let mut errors = ErrorList::new();
            validate(&spec, &Path::new("spec"), &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told, wanted, "{spec}");
        }
    }
}
