//! The only door to the kernel: mounts, cgroups, namespaces, netlink, nftables.
//!
//! Knows no Kubernetes objects. Rooms above say what they want in plain terms; here stand the
//! system calls, each `unsafe` block with its reason.

pub mod pod_network;
