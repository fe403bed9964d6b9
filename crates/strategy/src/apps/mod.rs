//! Kinds of the group apps, and the older ReplicationController.

pub mod daemon_set;
pub mod deployment;
pub mod replicas;
pub mod stateful_set;
