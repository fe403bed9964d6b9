//! `matchLabelKeys` and `mismatchLabelKeys` of a new pod: the pod's values of these labels become part
//! of the selectors beside them, so that whoever reads the stored pod need not know of the keys. Pods
//! only: a template's labels are not those that its pods will have. Called by [`super::pod`].

use crate::tree::items_mut;
use serde_json::{Map, Value, json};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn merge(pod: &mut Value) {
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(rules) = spec.pointer_mut(&format!("/affinity/{kind}")) else { continue };
        items_mut(rules, REQUIRED).for_each(|term| merge_into(term, &labels));
        for preferred in items_mut(rules, PREFERRED) {
            if let Some(term) = preferred.get_mut("podAffinityTerm") {
                merge_into(term, &labels);
            }
        }
    }
    items_mut(spec, "topologySpreadConstraints").for_each(|constraint| merge_into(constraint, &labels));
}

/// Of a term or constraint without a selector nothing comes: it selects nothing, whatever is added.
fn merge_into(term: &mut Value, labels: &Map<String, Value>) {
    let mut more = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys = term.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let known = keys.filter_map(|key| Some((key, labels.get(key)?)));
        more.extend(known.map(|(key, value)| json!({"key": key, "operator": operator, "values": [value]})));
    }
    let Some(selector) = term.get_mut("labelSelector").and_then(Value::as_object_mut) else { return };
    if more.is_empty() {
        return;
    }
    let standing = selector.entry("matchExpressions").or_insert_with(|| json!([]));
    if standing.is_null() {
        *standing = json!([]);
    }
    if let Some(standing) = standing.as_array_mut() {
        standing.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_narrow_the_selectors_beside_them() {
        let term = |selector: Value| {
            json!({"topologyKey": "zone", "labelSelector": selector,
            "matchLabelKeys": ["rev", "absent"], "mismatchLabelKeys": ["tenant"]})
        };
        let merged = json!({"matchLabels": {"app": "a"}, "matchExpressions": [
            {"key": "rev", "operator": "In", "values": ["2"]}, {"key": "tenant", "operator": "NotIn", "values": ["x"]},
        ]});
        let plain = json!({"matchLabels": {"app": "a"}});
        let mut pod = json!({
            "metadata": {"labels": {"app": "a", "rev": "2", "tenant": "x"}},
            "spec": {
                "affinity": {
                    "podAffinity": {(REQUIRED): [term(plain.clone()), term(Value::Null)]},
                    "podAntiAffinity": {(PREFERRED): [{"weight": 1, "podAffinityTerm": term(plain.clone())}]},
                },
                "topologySpreadConstraints": [
                    {"labelSelector": {"matchExpressions": null}, "matchLabelKeys": ["rev"]},
                    {"labelSelector": plain},
                ],
            },
        });
        merge(&mut pod);
        let at = |path: &str| pod.pointer(path).cloned().unwrap();
        let required = format!("/spec/affinity/podAffinity/{REQUIRED}");
        assert_eq!(at(&format!("{required}/0/labelSelector")), merged);
        assert_eq!(at(&format!("{required}/1/labelSelector")), Value::Null);
        assert_eq!(at(&format!("/spec/affinity/podAntiAffinity/{PREFERRED}/0/podAffinityTerm/labelSelector")), merged);
        let spread = "/spec/topologySpreadConstraints";
        assert_eq!(
            at(&format!("{spread}/0/labelSelector/matchExpressions")),
            json!([{"key": "rev", "operator": "In", "values": ["2"]}])
        );
        assert_eq!(at(&format!("{spread}/1/labelSelector")), plain);
    }
}
