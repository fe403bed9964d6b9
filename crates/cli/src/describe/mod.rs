//! The long text of one object, as `kubectl describe` prints it: a page for the kinds people look
//! at most, a general layout for all others.
//!
//! A describer reads the object and asks the server for what belongs to it (events, pods); it
//! changes nothing.

mod access;
mod autoscaler;
mod config;
mod container;
mod events;
mod general;
mod ingress;
mod node;
mod page;
mod pod;
mod policy;
mod quota;
mod service;
mod storage;
mod volume;
mod workload;

pub use container::pod_template;

use crate::failure::Outcome;
use crate::session::Session;
use crate::targets::Target;
use page::Page;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;

/// What a describer works with.
pub struct Subject<'a> {
    pub session: &'a Session,
    pub target: &'a Target,
    pub object: &'a Value,
    pub events: bool,
}

type Written<'p> = Pin<Box<dyn Future<Output = Outcome> + 'p>>;
type Describer = for<'p> fn(&'p Subject<'p>, &'p mut Page) -> Written<'p>;

/// Kinds with a page of their own, by group and kind.
static ALL: &[(&str, &str, Describer)] = &[
    ("", "ConfigMap", config::config_map),
    ("", "Endpoints", service::endpoints),
    ("", "LimitRange", quota::limit_range),
    ("", "Namespace", config::namespace),
    ("", "Node", node::node),
    ("", "PersistentVolume", storage::volume),
    ("", "PersistentVolumeClaim", storage::claim),
    ("", "Pod", pod::pod),
    ("", "ReplicationController", workload::replica_set),
    ("", "ResourceQuota", quota::quota),
    ("", "Secret", config::secret),
    ("", "Service", service::service),
    ("", "ServiceAccount", config::service_account),
    ("apps", "DaemonSet", workload::daemon_set),
    ("apps", "Deployment", workload::deployment),
    ("apps", "ReplicaSet", workload::replica_set),
    ("apps", "StatefulSet", workload::stateful_set),
    ("autoscaling", "HorizontalPodAutoscaler", autoscaler::autoscaler),
    ("batch", "CronJob", workload::cron_job),
    ("batch", "Job", workload::job),
    ("discovery.k8s.io", "EndpointSlice", service::endpoint_slice),
    ("networking.k8s.io", "Ingress", ingress::ingress),
    ("networking.k8s.io", "IngressClass", ingress::class),
    ("networking.k8s.io", "NetworkPolicy", policy::network_policy),
    ("policy", "PodDisruptionBudget", policy::disruption_budget),
    ("rbac.authorization.k8s.io", "ClusterRole", access::role),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", access::binding),
    ("rbac.authorization.k8s.io", "Role", access::role),
    ("rbac.authorization.k8s.io", "RoleBinding", access::binding),
    ("scheduling.k8s.io", "PriorityClass", config::priority_class),
    ("storage.k8s.io", "StorageClass", storage::class),
];

pub async fn describe(session: &Session, target: &Target, object: &Value, events: bool) -> Outcome<String> {
    let subject = Subject { session, target, object, events };
    let mut page = Page::default();
    let resource = &target.resource;
    let own = ALL.iter().find(|(group, kind, _)| *group == resource.group && *kind == resource.kind);
    let describer = own.map_or(general::object as Describer, |(_, _, describer)| *describer);
    describer(&subject, &mut page).await?;
    Ok(page.finish())
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
