//! The long text of one object, as `kubectl describe` prints it: a page for the kinds people look
//! at most, a general layout for all others.
//!
//! A describer reads the object and asks the server for what belongs to it (events, pods); it
//! changes nothing.

mod access;
mod config;
mod container;
mod events;
mod general;
mod node;
mod page;
mod pod;
mod service;
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
    ("", "Namespace", config::namespace),
    ("", "Node", node::node),
    ("", "Pod", pod::pod),
    ("", "ReplicationController", workload::replica_set),
    ("", "Secret", config::secret),
    ("", "Service", service::service),
    ("", "ServiceAccount", config::service_account),
    ("apps", "DaemonSet", workload::daemon_set),
    ("apps", "Deployment", workload::deployment),
    ("apps", "ReplicaSet", workload::replica_set),
    ("apps", "StatefulSet", workload::stateful_set),
    ("batch", "CronJob", workload::cron_job),
    ("batch", "Job", workload::job),
    ("rbac.authorization.k8s.io", "ClusterRole", access::role),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", access::binding),
    ("rbac.authorization.k8s.io", "Role", access::role),
    ("rbac.authorization.k8s.io", "RoleBinding", access::binding),
    ("scheduling.k8s.io", "PriorityClass", config::priority_class),
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
