//! ResourceQuota: what a write would take of the quotas of its namespace, and whether it may.
//!
//! Decides only. Charging is a write to each quota's status, which the API server does right before
//! it commits the object, as the last step of admission.

use crate::{Attributes, Operation, Plugin, Setup};
use base::Timestamp;
use meta::Status;
use quota::{Amounts, Subject};
use serde_json::Value;
use std::sync::Arc;

pub(crate) const NAME: &str = "ResourceQuota";

/// Holds the place in the order: the API server does the work, as it has to wait for writes.
pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(crate::chain::Elsewhere(NAME))
}

/// A quota to be charged.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// Its name.
    pub quota: String,
    /// Its `status.used` with the new object in it.
    pub used: Amounts,
}

/// True where the request can count against quotas at all.
pub fn can_count(request: &Attributes<'_>) -> bool {
    let is_resize = request.is("", "pods/resize") && request.operation == Operation::Update;
    let is_namespace = request.is("", "namespaces");
    let on_update = request.is("", "services") || request.is("", "persistentvolumeclaims");
    let counts = match request.operation {
        Operation::Create => request.subresource.is_empty(),
        Operation::Update => request.subresource.is_empty() && on_update || is_resize,
        Operation::Delete | Operation::Connect => false,
    };
    counts && !request.namespace.is_empty() && !is_namespace && !request.is("", "events")
}

/// What the request takes of `quotas`, those of its namespace; empty: nothing.
///
/// # Errors
/// Refused, in upstream's words.
pub fn charges(request: &Attributes<'_>, quotas: &[Arc<Value>], now: Timestamp) -> Result<Vec<Charge>, Status> {
    let subject = Subject { group: &request.resource.group, resource: &request.resource.resource };
    let object = &*request.object;
    let mut concerned = Vec::new();
    for quota in quotas {
        let hard = quota::amounts(&quota["status"]["hard"]);
        if !subject.is_seen_by(quota, &hard, object) {
            continue;
        }
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(why) = subject.unstated(object, &hard) {
            return Err(request.forbid(&format!("failed quota: {name}: {why}")));
        }
        let used = quota::amounts(&quota["status"]["used"]);
        let counted: Vec<&String> = hard.keys().filter(|name| subject.counts(name)).collect();
        if counted.iter().any(|name| !used.contains_key(*name)) {
            let names = quota::names(counted);
            return Err(request.forbid(&format!("status unknown for quota: {name}, resources: {names}")));
        }
        concerned.push((quota, name, hard, used));
    }
    if concerned.is_empty() {
        return Ok(Vec::new());
    }
    let usage = subject.usage(object, now);
    let negative: Vec<&String> =
        usage.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| name).collect();
    if !negative.is_empty() {
        let names = quota::names(negative);
        return Err(request.forbid(&format!("quota usage is negative for resource(s): {names}")));
    }
    let mut charges = Vec::new();
    for (quota, name, hard, used) in concerned {
        let before = request.old_object.filter(|old| subject.is_seen_by(quota, &hard, old));
        let delta = match before {
            Some(old) => quota::subtract(&usage, &subject.usage(old, now)),
            None => usage.clone(),
        };
        charges.extend(charge(request, name, &hard, used, &delta)?);
    }
    Ok(charges)
}

fn charge(
    request: &Attributes<'_>,
    quota: &str,
    hard: &Amounts,
    mut used: Amounts,
    delta: &Amounts,
) -> Result<Option<Charge>, Status> {
    let mut requested = quota::masked(delta, hard);
    requested.retain(|_, amount| !amount.is_zero());
    if requested.is_empty() {
        return Ok(None);
    }
    let before = used.clone();
    quota::add(&mut used, &requested);
    let beyond = quota::exceeding(&quota::masked(&used, &requested), hard);
    if beyond.is_empty() {
        return Ok(Some(Charge { quota: quota.to_owned(), used }));
    }
    let of = |amounts: &Amounts| quota::pretty(&quota::masked(amounts, &beyond));
    Err(request.forbid(&format!(
        "exceeded quota: {quota}, requested: {}, used: {}, limited: {}",
        of(&requested),
        of(&before),
        of(hard)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::{GroupVersionKind, GroupVersionResource, User};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn ask(
        resource: &str,
        operation: Operation,
        mut object: Value,
        old: Option<Value>,
        quota: &Value,
    ) -> Result<String, String> {
        let user = User::new("jane", &[]);
        let request = Attributes {
            operation,
            kind: GroupVersionKind::of("", "v1", "Any"),
            resource: GroupVersionResource {
                group: "".into(),
                version: "v1".into(),
                resource: resource.to_owned().into(),
            },
            subresource: "",
            namespace: "shop",
            name: "web",
            object: (&mut object).into(),
            old_object: old.as_ref(),
            user: &user,
            dry_run: false,
            options: &Value::Null,
            audit: BTreeMap::new(),
        };
        assert!(can_count(&request));
        let charges = charges(&request, &[Arc::new(quota.clone())], "2026-01-01T00:00:00Z".parse().unwrap());
        match charges {
            Ok(charges) => Ok(charges.iter().map(|charge| quota::pretty(&charge.used)).collect()),
            Err(status) => Err(status.message),
        }
    }

    fn quota(hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": "all"}, "spec": {}, "status": {"hard": hard, "used": used}})
    }

    #[test]
    fn what_fits_is_charged_and_what_does_not_is_refused() {
        let pod = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "200m"}}}]}});
        let full = quota(json!({"pods": "1", "requests.cpu": "300m"}), json!({"pods": "1", "requests.cpu": "200m"}));
        let free = quota(json!({"pods": "2", "requests.cpu": "400m"}), json!({"pods": "1", "requests.cpu": "200m"}));
        let blind = quota(json!({"pods": "2"}), json!({}));
        let cases = [
            (&free, Ok("pods=2,requests.cpu=400m")),
            (
                &full,
                Err("exceeded quota: all, requested: pods=1,requests.cpu=200m, used: pods=1,requests.cpu=200m, \
                     limited: pods=1,requests.cpu=300m"),
            ),
            (&blind, Err("status unknown for quota: all, resources: pods")),
            (&quota(json!({"secrets": "0"}), json!({"secrets": "0"})), Ok("")),
            (
                &quota(json!({"limits.cpu": "1"}), json!({"limits.cpu": "0"})),
                Err("failed quota: all: must specify limits.cpu for: a"),
            ),
        ];
        for (quota, wanted) in cases {
            let got = ask("pods", Operation::Create, pod.clone(), None, quota);
            let wanted = wanted.map(str::to_owned).map_err(|why| format!("pods \"web\" is forbidden: {why}"));
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn an_update_pays_the_difference() {
        let service = |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 80}]}});
        let quota = quota(
            json!({"services": "1", "services.nodeports": "1", "services.loadbalancers": "0"}),
            json!({"services": "1", "services.nodeports": "0", "services.loadbalancers": "0"}),
        );
        let update =
            |to: &str, from: &str| ask("services", Operation::Update, service(to), Some(service(from)), &quota);
        assert_eq!(
            update("NodePort", "ClusterIP").unwrap(),
            "services=1,services.loadbalancers=0,services.nodeports=1"
        );
        assert_eq!(update("ClusterIP", "NodePort").unwrap(), "");
        assert_eq!(
            update("LoadBalancer", "ClusterIP").unwrap_err(),
            "services \"web\" is forbidden: exceeded quota: all, requested: services.loadbalancers=1, \
             used: services.loadbalancers=0, limited: services.loadbalancers=0"
        );
    }
}
