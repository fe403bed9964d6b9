//! Kinds of the group networking.k8s.io.

pub mod addresses;
pub mod ingress;
pub mod network_policy;
