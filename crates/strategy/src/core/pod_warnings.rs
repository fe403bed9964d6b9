//! What is allowed in a pod's spec but hardly meant: told in Warning headers.

use crate::check;
use crate::tree::{items, text};
use meta::field::Path;
use serde_json::Value;

/// Labels of nodes that have newer names.
const OLD_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
];

pub fn of_pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        hostname(new, "the Pod's hostname", &mut warnings);
    }
    if old.is_none_or(|old| old["spec"] != new["spec"]) {
        spec(&new["spec"], &Path::new("spec"), &mut warnings);
    }
    warnings
}

pub fn of_template(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let template = &new["spec"]["template"];
    if old.is_none() {
        hostname(new, "Pod names and hostnames", &mut warnings);
    }
    if old.is_none_or(|old| old["spec"]["template"] != *template) {
        spec(&template["spec"], &Path::new("spec").child("template").child("spec"), &mut warnings);
    }
    warnings
}

fn hostname(object: &Value, what: &str, warnings: &mut Vec<String>) {
    let name = text(&object["metadata"], "name");
    let problems = meta::validation::dns1123_label(name);
    if !name.is_empty() && !problems.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {what}, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            problems.join(" ")
        ));
    }
}

fn spec(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (key, why) in OLD_LABELS {
        if spec["nodeSelector"].get(key).is_some() {
            warnings.push(format!("{}: {why}", path.child("nodeSelector").key(key)));
        }
    }
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        let here = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{here}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    for list in ["initContainers", "containers"] {
        for (at, one) in items(spec, list).iter().enumerate() {
            container(one, &path.child(list).index(at), warnings);
        }
    }
}

fn container(one: &Value, path: &Path, warnings: &mut Vec<String>) {
    let env = items(one, "env");
    for (at, variable) in env.iter().enumerate() {
        let name = text(variable, "name");
        if env[..at].iter().any(|before| text(before, "name") == name) {
            let here = path.child("env").index(at);
            warnings
                .push(format!("{here}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
    let ports = items(one, "ports");
    for (at, port) in ports.iter().enumerate() {
        let same = |other: &&Value| {
            ["containerPort", "protocol", "hostPort", "hostIP"].iter().all(|field| other[*field] == port[*field])
        };
        if let Some(first) = ports[..at].iter().position(|other| same(&other)) {
            let here = path.child("ports");
            warnings.push(format!("{}: duplicate port definition with {}", here.index(at), here.index(first)));
        }
    }
    for list in ["limits", "requests"] {
        for name in ["memory", "ephemeral-storage"] {
            let amount = &one["resources"][list][name];
            if check::quantity(amount).is_some_and(|amount| !amount.is_whole()) {
                let here = path.child("resources").child(list).key(name);
                let amount = amount.as_str().unwrap_or_default();
                warnings.push(format!("{here}: fractional byte value {amount:?} is invalid, must be an integer"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn odd_things_are_told_once_they_are_written() {
        let pod = json!({"metadata": {"name": "a.b"}, "spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "containers": [{"env": [{"name": "A"}, {"name": "A"}], "ports": [{"containerPort": 1}, {"containerPort": 1}],
                "resources": {"limits": {"memory": "100m"}}}]}});
        assert_eq!(
            of_pod(&pod, None),
            [
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
             recommended: [must not contain dots]",
                "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            ]
        );
        assert!(of_pod(&pod, Some(&pod)).is_empty());
    }
}
