//! Workloads, jobs, budgets and networking as they were called before they were stable.

use super::{Hub, Version, at, same};
use crate::tree::{default, default_text, items, items_mut, text};
use serde_json::{Map, Value, json};

const EXTENSIONS: &str = "extensions";
const NETWORKING: &str = "networking.k8s.io";

const DEPLOYMENT: Hub = Hub { group: "apps", version: "v1", plural: "deployments", kind: "Deployment" };
const DAEMON_SET: Hub = Hub { group: "apps", version: "v1", plural: "daemonsets", kind: "DaemonSet" };
const REPLICA_SET: Hub = Hub { group: "apps", version: "v1", plural: "replicasets", kind: "ReplicaSet" };
const STATEFUL_SET: Hub = Hub { group: "apps", version: "v1", plural: "statefulsets", kind: "StatefulSet" };
const REVISION: Hub = Hub { group: "apps", version: "v1", plural: "controllerrevisions", kind: "ControllerRevision" };
const INGRESS: Hub = Hub { group: NETWORKING, version: "v1", plural: "ingresses", kind: "Ingress" };
const INGRESS_CLASS: Hub = Hub { group: NETWORKING, version: "v1", plural: "ingressclasses", kind: "IngressClass" };
const NETWORK_POLICY: Hub = Hub { group: NETWORKING, version: "v1", plural: "networkpolicies", kind: "NetworkPolicy" };
const CRON_JOB: Hub = Hub { group: "batch", version: "v1", plural: "cronjobs", kind: "CronJob" };
const BUDGET: Hub = Hub { group: "policy", version: "v1", plural: "poddisruptionbudgets", kind: "PodDisruptionBudget" };

pub const ALL: &[Version] = &[
    Version::new(EXTENSIONS, "v1beta1", "Deployment", DEPLOYMENT)
        .defaults(|object| {
            from_template(object);
            rolling(object, 1.into(), i64::from(i32::MAX), i64::from(i32::MAX));
        })
        .converts(drop_rollback, same),
    Version::new(EXTENSIONS, "v1beta1", "DaemonSet", DAEMON_SET)
        .defaults(|object| {
            from_template(object);
            update_on_delete(object);
        })
        .converts(drop_generation, same),
    Version::new(EXTENSIONS, "v1beta1", "ReplicaSet", REPLICA_SET).defaults(from_template),
    Version::new(EXTENSIONS, "v1beta1", "Ingress", INGRESS).defaults(path_types).converts(ingress_up, ingress_down),
    Version::new(EXTENSIONS, "v1beta1", "NetworkPolicy", NETWORK_POLICY),
    Version::new("apps", "v1beta1", "Deployment", DEPLOYMENT)
        .defaults(|object| {
            from_template(object);
            rolling(object, "25%".into(), 600, 2);
        })
        .converts(drop_rollback, same),
    Version::new("apps", "v1beta1", "StatefulSet", STATEFUL_SET).defaults(|object| {
        from_template(object);
        update_on_delete(object);
    }),
    Version::new("apps", "v1beta1", "ControllerRevision", REVISION),
    Version::new("apps", "v1beta2", "Deployment", DEPLOYMENT),
    Version::new("apps", "v1beta2", "DaemonSet", DAEMON_SET),
    Version::new("apps", "v1beta2", "ReplicaSet", REPLICA_SET),
    Version::new("apps", "v1beta2", "StatefulSet", STATEFUL_SET),
    Version::new("apps", "v1beta2", "ControllerRevision", REVISION),
    Version::new("batch", "v1beta1", "CronJob", CRON_JOB),
    Version::new(NETWORKING, "v1beta1", "Ingress", INGRESS).defaults(path_types).converts(ingress_up, ingress_down),
    Version::new(NETWORKING, "v1beta1", "IngressClass", INGRESS_CLASS),
    Version::new("policy", "v1beta1", "PodDisruptionBudget", BUDGET).converts(budget_up, budget_down),
];

/// Selector and labels that nobody gave are the template's labels.
fn from_template(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").filter(|labels| labels.is_object()).cloned();
    let Some(labels) = labels else { return };
    if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
        default(spec, "selector", json!({"matchLabels": labels}));
    }
    if let Some(metadata) = object.get_mut("metadata").filter(|metadata| metadata.is_object()) {
        default(metadata, "labels", labels);
    }
}

fn rolling(object: &mut Value, step: Value, deadline: i64, history: i64) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "progressDeadlineSeconds", deadline);
    default(spec, "revisionHistoryLimit", history);
    default(spec, "strategy", json!({}));
    default_text(&mut spec["strategy"], "type", "RollingUpdate");
    if text(&spec["strategy"], "type") == "RollingUpdate" {
        default(&mut spec["strategy"], "rollingUpdate", json!({}));
        for field in ["maxSurge", "maxUnavailable"] {
            default(&mut spec["strategy"]["rollingUpdate"], field, step.clone());
        }
    }
}

fn update_on_delete(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "updateStrategy", json!({}));
    default_text(&mut spec["updateStrategy"], "type", "OnDelete");
}

fn drop_rollback(object: &mut Value) {
    at(object, &["spec"]).map(|spec| spec.remove("rollbackTo"));
}

fn drop_generation(object: &mut Value) {
    at(object, &["spec"]).map(|spec| spec.remove("templateGeneration"));
}

fn path_types(ingress: &mut Value) {
    let Some(spec) = ingress.get_mut("spec") else { return };
    for rule in items_mut(spec, "rules") {
        let Some(http) = rule.get_mut("http") else { continue };
        items_mut(http, "paths").for_each(|path| default_text(path, "pathType", "ImplementationSpecific"));
    }
}

fn each_backend(ingress: &mut Value, change: fn(&mut Map<String, Value>)) {
    let Some(spec) = ingress.get_mut("spec") else { return };
    for rule in items_mut(spec, "rules") {
        let Some(http) = rule.get_mut("http") else { continue };
        for path in items_mut(http, "paths") {
            at(path, &["backend"]).into_iter().for_each(change);
        }
    }
}

fn ingress_up(ingress: &mut Value) {
    each_backend(ingress, backend_up);
    if let Some(spec) = at(ingress, &["spec"]) {
        super::rename(spec, "backend", "defaultBackend");
        spec.get_mut("defaultBackend").and_then(Value::as_object_mut).into_iter().for_each(backend_up);
    }
}

fn ingress_down(ingress: &mut Value) {
    each_backend(ingress, backend_down);
    // Manifests of these versions mostly say nothing of it, and applied again they must find nothing
    // changed.
    for rule in ingress.get_mut("spec").into_iter().flat_map(|spec| items_mut(spec, "rules")) {
        let Some(http) = rule.get_mut("http") else { continue };
        for path in items_mut(http, "paths").filter_map(Value::as_object_mut) {
            path.retain(|field, value| field != "pathType" || value != "ImplementationSpecific");
        }
    }
    if let Some(spec) = at(ingress, &["spec"]) {
        super::rename(spec, "defaultBackend", "backend");
        spec.get_mut("backend").and_then(Value::as_object_mut).into_iter().for_each(backend_down);
    }
}

fn backend_up(backend: &mut Map<String, Value>) {
    let (name, port) = (backend.remove("serviceName"), backend.remove("servicePort"));
    if name.is_none() && port.is_none() {
        return;
    }
    let port = match port {
        Some(Value::Number(number)) => json!({"number": number}),
        Some(Value::String(name)) => json!({"name": name}),
        _ => json!({}),
    };
    backend.insert("service".to_owned(), json!({"name": name.unwrap_or_else(|| "".into()), "port": port}));
}

fn backend_down(backend: &mut Map<String, Value>) {
    let Some(service) = backend.remove("service") else { return };
    let port = service["port"].get("number").or_else(|| service["port"].get("name")).cloned();
    backend.insert("serviceName".to_owned(), service["name"].clone());
    backend.extend(port.map(|port| ("servicePort".to_owned(), port)));
}

/// In the old version an empty selector meant no pods, in the new one it means all.
const EMPTY: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

fn swap_selectors(budget: &mut Value, empty_becomes: &str, becomes_empty: &str) {
    let Some(selector) = budget.pointer_mut("/spec/selector").filter(|selector| selector.is_object()) else { return };
    let only = match items(selector, "matchExpressions") {
        [only] if text(only, "key") == EMPTY => Some(text(only, "operator").to_owned()),
        _ => None,
    };
    if crate::check::is_empty_selector(selector) {
        *selector = json!({"matchExpressions": [{"key": EMPTY, "operator": empty_becomes}]});
    } else if only.as_deref() == Some(becomes_empty) {
        *selector = json!({});
    }
}

fn budget_up(budget: &mut Value) {
    swap_selectors(budget, "Exists", "DoesNotExist");
}

fn budget_down(budget: &mut Value) {
    swap_selectors(budget, "DoesNotExist", "Exists");
}
