//! What is special about each kind: computed defaults, validation, update and status rules, print
//! columns. Everything general (names, generations, finalizers, managed fields) is the API
//! server's generic path; a kind without a file here gets just that.
//!
//! One file per kind under its group's folder, and one line in [`ALL`].

mod apps;
mod core;
mod print;
mod rbac;
mod rules;
mod tree;

pub use print::human_duration;
pub use rules::{Column, Context, Propagation, Strategy, complete};

/// Every kind with rules of its own.
pub const ALL: &[&dyn Strategy] = &[
    &core::namespace::Namespace,
    &core::plain::Plain("ConfigMap"),
    &core::plain::Plain("Endpoints"),
    &core::plain::Plain("Event"),
    &core::plain::Plain("LimitRange"),
    &core::plain::Plain("Node"),
    &core::plain::Plain("ResourceQuota"),
    &core::plain::Plain("ServiceAccount"),
    &core::pod::Pod,
    &core::secret::Secret,
    &core::service::Service,
    &apps::deployment::Deployment,
    &apps::replicas::ReplicaSet,
    &apps::replicas::ReplicationController,
    &rbac::Rbac("ClusterRole"),
    &rbac::Rbac("ClusterRoleBinding"),
    &rbac::Rbac("Role"),
    &rbac::Rbac("RoleBinding"),
];

struct Plain;

impl Strategy for Plain {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "")
    }
}

/// The rules of a kind; kinds without any get the trait's defaults.
pub fn find(group: &str, kind: &str) -> &'static dyn Strategy {
    ALL.iter().copied().find(|strategy| strategy.group_kind() == (group, kind)).unwrap_or(&Plain)
}
