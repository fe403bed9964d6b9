//! NetworkPolicy.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default_text, items, items_mut, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub const NETWORK_POLICY: Declared =
    Declared::new("networking.k8s.io", "NetworkPolicy").with_generation().defaults(defaults).validates(validate);

fn defaults(policy: &mut Value) {
    let Some(spec) = policy.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    for list in ["ingress", "egress"] {
        for rule in items_mut(spec, list) {
            for port in items_mut(rule, "ports") {
                default_text(port, "protocol", "TCP");
            }
        }
    }
    if items(spec, "policyTypes").is_empty() {
        let has_egress = !items(spec, "egress").is_empty();
        spec["policyTypes"] = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
}

fn validate(policy: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    check::label_selector(errors, &path.child("podSelector"), &spec["podSelector"]);
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in items(spec, list).iter().enumerate() {
            let here = path.child(list).index(at);
            for (at, port) in items(rule, "ports").iter().enumerate() {
                self::port(port, &here.child("ports").index(at), errors);
            }
            for (at, peer) in items(rule, peers).iter().enumerate() {
                self::peer(peer, &here.child(peers).index(at), errors);
            }
        }
    }
    let (types, here) = (items(spec, "policyTypes"), path.child("policyTypes"));
    if types.len() > 2 {
        errors.push(FieldError::invalid(&here, types.to_vec(), "may not specify more than two policyTypes"));
        return;
    }
    for (at, one) in types.iter().enumerate() {
        check::one_of(errors, &here.index(at), one.as_str().unwrap_or_default(), &["Egress", "Ingress"]);
    }
}

fn port(port: &Value, path: &Path, errors: &mut ErrorList) {
    check::one_of(errors, &path.child("protocol"), text(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    if !port["port"].is_null() {
        check::port(errors, &path.child("port"), &port["port"]);
    }
    let Some(end) = port["endPort"].as_i64() else { return };
    let here = path.child("endPort");
    match &port["port"] {
        Value::Null => {
            errors.push(FieldError::required(&here, "may not be specified when `port` is not specified"));
        }
        Value::String(_) => {
            errors.push(FieldError::required(&here, "may not be specified when `port` is non-numeric"));
        }
        first => {
            if end < first.as_i64().unwrap_or_default() {
                errors.push(FieldError::invalid(&here, end, "must be greater than or equal to `port`"));
            }
            check::all(errors, &here, end, meta::validation::port_number(end));
        }
    }
}

fn peer(peer: &Value, path: &Path, errors: &mut ErrorList) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        check::label_selector(errors, &path.child(field), &peer[field]);
    }
    let has_selector = selectors.iter().any(|field| peer[*field].is_object());
    let block = &peer["ipBlock"];
    if !block.is_object() {
        if !has_selector {
            errors.push(FieldError::required(path, "must specify a peer"));
        }
        return;
    }
    if has_selector {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
    let (range, here) = (text(block, "cidr"), path.child("ipBlock"));
    if range.is_empty() {
        errors.push(FieldError::required(&here.child("cidr"), ""));
    } else {
        check::cidr(errors, &here.child("cidr"), range);
    }
    for (at, except) in items(block, "except").iter().enumerate() {
        let (except, here) = (except.as_str().unwrap_or_default(), here.child("except").index(at));
        check::cidr(errors, &here, except);
        let length = |range: &str| range.rsplit('/').next().and_then(|length| length.parse::<u8>().ok());
        if check::is_cidr(except) && check::is_cidr(range) && length(except) <= length(range) {
            errors.push(FieldError::invalid(&here, except, "must be a strict subset of `cidr`"));
        }
    }
}
