//! Kinds of the group apps, and the older ReplicationController.

pub mod deployment;
pub mod replicas;
