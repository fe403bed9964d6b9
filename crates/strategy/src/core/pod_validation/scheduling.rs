//! Where a pod may run: affinity, tolerations, spread.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn validate(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (affinity, here) = (&spec["affinity"], path.child("affinity"));
    node_affinity(&affinity["nodeAffinity"], &here.child("nodeAffinity"), errors);
    for kind in ["podAffinity", "podAntiAffinity"] {
        pod_affinity(&affinity[kind], &here.child(kind), errors);
    }
    tolerations(spec, path, errors);
    spread(spec, path, errors);
}

fn node_affinity(affinity: &Value, path: &Path, errors: &mut ErrorList) {
    let (required, here) = (&affinity[REQUIRED], path.child(REQUIRED));
    if required.is_object() {
        node_selector(required, &here, errors);
    }
    for (at, term) in items(affinity, PREFERRED).iter().enumerate() {
        let here = path.child(PREFERRED).index(at);
        weight(term, &here, errors);
        node_term(&term["preference"], &here.child("preference"), errors);
    }
}

pub fn node_selector(selector: &Value, path: &Path, errors: &mut ErrorList) {
    let (terms, here) = (items(selector, "nodeSelectorTerms"), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        errors.push(FieldError::required(&here, "must have at least one node selector term"));
    }
    for (at, term) in terms.iter().enumerate() {
        node_term(term, &here.index(at), errors);
    }
}

fn node_term(term: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, expression) in items(term, "matchExpressions").iter().enumerate() {
        let here = path.child("matchExpressions").index(at);
        check::values_fit(errors, &here, expression, &["Gt", "Lt"]);
        let key = text(expression, "key");
        check::all(errors, &here.child("key"), key, validation::qualified_name(key));
    }
}

fn pod_affinity(affinity: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, term) in items(affinity, REQUIRED).iter().enumerate() {
        pod_term(term, &path.child(REQUIRED).index(at), errors);
    }
    for (at, term) in items(affinity, PREFERRED).iter().enumerate() {
        let here = path.child(PREFERRED).index(at);
        weight(term, &here, errors);
        pod_term(&term["podAffinityTerm"], &here.child("podAffinityTerm"), errors);
    }
}

fn pod_term(term: &Value, path: &Path, errors: &mut ErrorList) {
    check::label_selector(errors, &path.child("labelSelector"), &term["labelSelector"]);
    check::label_selector(errors, &path.child("namespaceSelector"), &term["namespaceSelector"]);
    for (at, namespace) in items(term, "namespaces").iter().enumerate() {
        let namespace = namespace.as_str().unwrap_or_default();
        check::all(errors, &path.child("namespaces").index(at), namespace, validation::dns1123_label(namespace));
    }
    let (here, key) = (path.child("topologyKey"), text(term, "topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&here, "can not be empty"));
    } else {
        check::all(errors, &here, key, validation::qualified_name(key));
    }
}

fn weight(term: &Value, path: &Path, errors: &mut ErrorList) {
    let weight = term["weight"].as_i64().unwrap_or_default();
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.child("weight"), weight, "must be in the range 1-100"));
    }
}

fn tolerations(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, one) in items(spec, "tolerations").iter().enumerate() {
        let here = path.child("tolerations").index(at);
        let (key, operator, effect) = (text(one, "key"), text(one, "operator"), text(one, "effect"));
        if !key.is_empty() {
            check::all(errors, &here.child("key"), key, validation::qualified_name(key));
        } else if operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&here.child("operator"), operator, why));
        }
        if !one["tolerationSeconds"].is_null() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(&here.child("effect"), effect, why));
        }
        let value = text(one, "value");
        match operator {
            "" | "Equal" => check::all(errors, &here.child("operator"), value, validation::label_value(value)),
            "Exists" if !value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(&here.child("operator"), one.clone(), why));
            }
            "Exists" => {}
            other => errors.push(FieldError::not_supported(&here.child("operator"), other, &["Equal", "Exists"])),
        }
        check::one_of(errors, &here.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

fn spread(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let mut seen: Vec<String> = Vec::new();
    for (at, one) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        let here = path.child("topologySpreadConstraints").index(at);
        let skew = one["maxSkew"].as_i64().unwrap_or_default();
        if skew <= 0 {
            errors.push(FieldError::invalid(&here.child("maxSkew"), skew, "must be greater than zero"));
        }
        let (key, unsatisfiable) = (text(one, "topologyKey"), text(one, "whenUnsatisfiable"));
        if key.is_empty() {
            errors.push(FieldError::required(&here.child("topologyKey"), "can not be empty"));
        }
        let known = &["DoNotSchedule", "ScheduleAnyway"];
        if !known.contains(&unsatisfiable) {
            errors.push(FieldError::not_supported(&here.child("whenUnsatisfiable"), unsatisfiable, known));
        }
        let pair = format!("{{{key}, {unsatisfiable}}}");
        if seen.contains(&pair) {
            let here = here.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&here, pair.as_str()));
        }
        seen.push(pair);
        if let Some(domains) = one["minDomains"].as_i64() {
            if domains <= 0 {
                errors.push(FieldError::invalid(&here.child("minDomains"), domains, "must be greater than zero"));
            }
            if unsatisfiable != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}");
                errors.push(FieldError::invalid(&here.child("minDomains"), domains, &why));
            }
        }
        check::label_selector(errors, &here.child("labelSelector"), &one["labelSelector"]);
    }
}
